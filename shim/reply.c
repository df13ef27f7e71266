/* What a reply says. SPDX-License-Identifier: GPL-2.0-or-later
 *
 * [1, outcome, body, ...] in msgpack, see docs/protocol.md. What stands behind the body is for other clients.
 * No I/O and no state: fit for a fuzzer. */
#include "shim.h"

#define NONE SIZE_MAX
struct cursor { const uint8_t *at, *end; };

static const char *const words[] = {[UNCHANGED] = "unchanged", [REWRITTEN] = "rewritten", [REFUSED] = "refused"};

/* Each of these returns NULL, or NONE, when the bytes end early or are of another type. */
static const uint8_t *take(struct cursor *from, size_t length) {
    if (length > (size_t)(from->end - from->at)) /* NONE always is */
        return NULL;
    from->at += length;
    return from->at - length;
}

static size_t take_number(struct cursor *from, size_t width) {
    const uint8_t *bytes = take(from, width);
    size_t number = bytes ? 0 : NONE;
    for (size_t i = 0; bytes && i < width; i++)
        number = number << 8 | bytes[i];
    return number;
}

/* Of an array, a str or a bin: in the type's byte from fix on, or behind it, in more bytes the higher the type. */
static size_t take_length(struct cursor *from, size_t fix, size_t fix_count, size_t wide, size_t width) {
    size_t type = take_number(from, 1), step = type - wide;
    if (type - fix < fix_count)
        return type - fix;
    return step <= 2 && width << step <= 4 ? take_number(from, width << step) : NONE;
}

struct reply reply_parse(const uint8_t *payload, size_t length) {
    struct cursor cursor = {payload, payload + length};
    struct reply reply = {.outcome = UNREADABLE};
    size_t count = take_length(&cursor, 0x90, 16, 0xdc, 2); /* array */
    if (count < 4 || count == NONE || take_number(&cursor, 1) != 1) /* the version */
        return reply;
    size_t word_length = take_length(&cursor, 0xa0, 32, 0xd9, 1); /* str */
    const uint8_t *word = take(&cursor, word_length);
    reply.length = take_length(&cursor, 0, 0, 0xc4, 1); /* bin */
    reply.body = take(&cursor, reply.length);
    for (enum outcome each = UNCHANGED; word && reply.body && each <= REFUSED; each++)
        if (strlen(words[each]) == word_length && memcmp(words[each], word, word_length) == 0)
            reply.outcome = each;
    if ((reply.outcome == UNCHANGED) != (reply.length == 0)) /* there is no empty document or reason */
        reply.outcome = UNREADABLE;
    return reply;
}
