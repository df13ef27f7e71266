/* The line on stderr that goes with status 2, and the deadline. SPDX-License-Identifier: GPL-2.0-or-later */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <time.h>

#include "shim.h"

enum { BODY_SHOWN = 1024, PATH_SHOWN = 256, VALUE_SHOWN = 64 };

static const struct { const char *code, *advice; } failures[] = {
    [BAD_OPTION] = {"bad-option", "use --socket=PATH --event=NAME --hook=NAME --timeout=SECONDS (up to 60) --version"},
    [BAD_REQUEST] = {"bad-request", "run it as <event>/NN_<hook>, or give --event and --hook"},
    [BAD_DOCUMENT] = {"bad-document", "vdsm has to name a file in _hook_domxml, and to run one hook at a time on it"},
    [FOREIGN_DOCUMENT] = {"not-permitted", "only a regular file of the user who runs the hook is rewritten"},
    [TOO_LARGE] = {"too-large", "make the document or the custom properties smaller"},
    [DAEMON_UNREACHABLE] = {"daemon-unreachable", "see systemctl status vdsm-hookd"},
    [FOREIGN_DAEMON] = {"not-permitted", "see who listens there, and systemctl status vdsm-hookd.socket"},
    [WRITE_FAILED] = {"write-failed", "the document is as it was; see to space and permissions in its directory"},
    [INTERNAL] = {"internal", "see journalctl -u vdsm-hookd, and whether it and hook-shim are of one version"},
};

static char line[1200];
static size_t used;

static void add_byte(char byte) {
    if (used < sizeof line - 1) /* the last one is the newline's */
        line[used++] = byte;
}

static void add(const char *text) {
    while (*text)
        add_byte(*text++);
}

/* Text from outside must neither end the line, nor steer a terminal, nor crowd out the rest. */
static void add_escaped(const char *before, const char *text, size_t room, const char *after) {
    static const char hex[] = "0123456789abcdef";
    add(before);
    for (size_t end = used + room; *text && used < end; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte < 0x20 || byte > 0x7e)
            add((char[]){'\\', 'x', hex[byte >> 4], hex[byte & 15], '\0'});
        else if (byte == '\'' || byte == '\\')
            add((char[]){'\\', *text, '\0'});
        else
            add_byte(*text);
    }
    add(*text ? "..." : "");
    add(after);
}

/* A reader who closed the pipe must not kill us, one who does not read must not hold us. And a descriptor 2 that closes
 * on exec is not our parent's: we were started without stderr, and a file of ours got the number. */
static _Noreturn void print_and_exit(void) {
    struct pollfd out = {.fd = STDERR_FILENO, .events = POLLOUT};
    line[used++] = '\n';
    (void)signal(SIGPIPE, SIG_IGN);
    if (fcntl(STDERR_FILENO, F_GETFD) == 0 && poll(&out, 1, 100) > 0)
        while (write(STDERR_FILENO, line, used) < 0 && errno == EINTR) {}
    _exit(2);
}

/* The subject, if any, is shown escaped. The words up to a NULL are our own, and shown as they are. */
void refuse(const struct call *call, enum failure why, const char *subject, ...) {
    va_list words;
    add_escaped("", call->hook, VALUE_SHOWN, ": ");
    add(failures[why].code);
    add(": ");
    if (subject)
        add_escaped("'", subject, PATH_SHOWN, "' ");
    va_start(words, subject);
    for (const char *word = va_arg(words, const char *); word; word = va_arg(words, const char *))
        add(word);
    va_end(words);
    if (call->vm_id)
        add_escaped("; VM ", call->vm_id, VALUE_SHOWN, "");
    if (call->woken_count > 0 && call->woken[0].value != call->vm_id) {
        add(call->vm_id ? ", " : "; ");
        add(call->woken[0].name);
        add_escaped("='", call->woken[0].value, VALUE_SHOWN, "'");
    }
    add(": ");
    add(failures[why].advice);
    print_and_exit();
}

/* In the daemon's words. It sends one printable line; this only makes sure of that. */
void refuse_as_told(const struct call *call, const struct reply *reply) {
    size_t length = reply->length < BODY_SHOWN ? reply->length : BODY_SHOWN;
    while (length > 0 && length < reply->length && (reply->body[length] & 0xc0) == 0x80)
        length--; /* not within a character */
    add_escaped("", call->hook, VALUE_SHOWN, ": ");
    for (size_t i = 0; i < length; i++)
        add_byte(reply->body[i] < 0x20 || reply->body[i] == 0x7f ? '?' : (char)reply->body[i]);
    print_and_exit();
}

int64_t now(void) { /* microseconds */
    struct timespec time;
    (void)clock_gettime(CLOCK_MONOTONIC, &time); /* can't fail: clock and address are good */
    return (int64_t)time.tv_sec * 1000000 + time.tv_nsec / 1000;
}

/* Before another attempt; a signal may cut it short. False: what is left is too short for one. */
bool pause_for_another(const struct call *call) {
    if (call->deadline - now() < 20000)
        return false;
    (void)nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    return true;
}
