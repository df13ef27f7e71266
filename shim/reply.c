/* What a reply says. SPDX-License-Identifier: GPL-2.0-or-later
 *
 * [1, outcome, body, ...] in msgpack, see docs/protocol.md. What stands behind the body is for other clients.
 * No I/O and no state: fit for a fuzzer. */
#include "shim.h"

struct cursor { const uint8_t *at, *end; };

static const char *const words[] = {[UNCHANGED] = "unchanged", [REWRITTEN] = "rewritten", [REFUSED] = "refused"};

/* Each of these returns false, or NULL, when the bytes end early or are of another type. */
static const uint8_t *take(struct cursor *from, size_t length) {
    if (length > (size_t)(from->end - from->at))
        return NULL;
    from->at += length;
    return from->at - length;
}

static bool take_number(struct cursor *from, size_t width, size_t *number) {
    const uint8_t *bytes = take(from, width);
    *number = 0;
    for (size_t i = 0; bytes && i < width; i++)
        *number = *number << 8 | bytes[i];
    return bytes;
}

/* A type and a length: both in one byte from fix on, or the type wide and behind it the length. */
static bool take_head(struct cursor *from, size_t fix, size_t fix_count, size_t wide, size_t width, size_t *length) {
    size_t type;
    if (!take_number(from, 1, &type))
        return false;
    *length = type - fix;
    return *length < fix_count || (type == wide && take_number(from, width, length));
}

static const uint8_t *take_bin(struct cursor *from, size_t *length) {
    size_t type;
    if (!take_number(from, 1, &type) || type < 0xc4 || type > 0xc6) /* bin 8, 16, 32 */
        return NULL;
    return take_number(from, (size_t)1 << (type - 0xc4), length) ? take(from, *length) : NULL;
}

static enum outcome take_outcome(struct cursor *from) {
    size_t length;
    const uint8_t *word = take_head(from, 0xa0, 32, 0xd9, 1, &length) ? take(from, length) : NULL; /* str */
    for (enum outcome each = UNCHANGED; word && each <= REFUSED; each++)
        if (strlen(words[each]) == length && memcmp(words[each], word, length) == 0)
            return each;
    return UNREADABLE;
}

struct reply reply_parse(const uint8_t *payload, size_t length) {
    struct cursor cursor = {payload, payload + length};
    struct reply reply = {.outcome = UNREADABLE};
    size_t count, version;
    if (take_head(&cursor, 0x90, 16, 0xdc, 2, &count) && count >= 4 && /* array */
        take_number(&cursor, 1, &version) && version == 1) {
        reply.outcome = take_outcome(&cursor);
        reply.body = take_bin(&cursor, &reply.length);
    }
    /* "unchanged" has nothing to add; an empty document or reason is no answer. */
    if (!reply.body || (reply.outcome == UNCHANGED) != (reply.length == 0))
        reply.outcome = UNREADABLE;
    return reply;
}
