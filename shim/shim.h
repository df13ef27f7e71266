/* hook-shim: what its parts share. SPDX-License-Identifier: GPL-2.0-or-later */
#pragma once

#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DOCUMENT_MAX = 4 << 20, PAYLOAD_MAX = 5 << 20, VARIABLES_MAX = 64, HEAD = 4 }; /* see docs/protocol.md */

#define HOOK_SOCKET "/run/vdsm-hookd/hook.sock"

/* One run. All strings lie in argv, in environ or in the program itself. */
struct call {
    const char *hook, *event, *socket, *timeout;
    const char *vm_id; /* NULL: not in the environment */
    struct { const char *name, *value; } woken[VARIABLES_MAX]; /* what the hook reads of the environment, and vmId */
    size_t woken_count;
    int64_t deadline; /* on the clock of now() */
};

struct document {
    const char *path;
    int fd; /* holds the lock until the program ends */
    mode_t mode;
    size_t size;
};

struct reply {
    enum outcome { UNREADABLE, UNCHANGED, REWRITTEN, REFUSED } outcome;
    const uint8_t *body;
    size_t length;
};

/* failure.c, document.c, wake.c, daemon.c, reply.c, in this order; refuse() ends the program with status 2 */
enum failure {
    BAD_OPTION, BAD_REQUEST, BAD_DOCUMENT, FOREIGN_DOCUMENT, TOO_LARGE, DAEMON_UNREACHABLE, FOREIGN_DAEMON,
    WRITE_FAILED, INTERNAL
};
_Noreturn __attribute__((sentinel)) void refuse(const struct call *call, enum failure why, const char *subject, ...);
_Noreturn void refuse_as_told(const struct call *call, const struct reply *reply);
int64_t now(void);
bool pause_for_another(const struct call *call);
int open_regular(const char *path, struct stat *status);
const char *read_file(int fd, size_t size, void *into);
struct document document_lock(const struct call *call, const char *path);
void document_replace(const struct call *call, const struct document *document, const struct reply *reply);
bool is_woken(struct call *call);
const uint8_t *daemon_request(const struct call *call, const struct document *document);
struct reply daemon_ask(const struct call *call);
struct reply reply_parse(const uint8_t *payload, size_t length);
