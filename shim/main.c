/* hook-shim: has vdsm's XML file rewritten by vdsm-hookd. SPDX-License-Identifier: GPL-2.0-or-later
 *
 * vdsm runs it as <event>/NN_<hook>, without arguments. How it ends, in the order in which that is decided:
 *
 *   status  the file   stderr    when
 *   2       untouched  one line  an option is wrong (options are for people and tests)
 *   0       untouched  empty     nothing wakes the hook (wake.c)
 *   2       untouched  one line  no event, no file, or a file that is not ours to rewrite
 *   2       untouched  one line  no readable answer within the deadline, or a refusal: the line is its reason
 *   0       untouched  empty     the daemon finds nothing to change
 *   2       untouched  one line  the new file can't be written
 *   0       replaced   empty     the document is rewritten
 *
 * The deadline is 5 s, and 30 s at before_update_device: there a refusal has vdsm plug a running vNIC into the Engine's
 * bridge. There is no other status; failure.c has the codes. No environment variable configures anything: users write
 * there. */
#include <stdlib.h>

#include "shim.h"

#define DIGITS "0123456789"
static const char version[] = "hook-shim " VERSION "\n";

/* .../EVENT/NN_HOOK, cut in place. */
static void read_own_name(struct call *call, char *path) {
    char *slash = strrchr(path, '/'), *file = slash ? slash + 1 : path;
    call->hook = strspn(file, DIGITS) == 2 && file[2] == '_' ? file + 3 : file;
    if (!slash)
        return;
    *slash = '\0';
    slash = strrchr(path, '/');
    call->event = slash ? slash + 1 : path;
}

/* Seconds as a decimal fraction, in microseconds; 0 if it is none, or not within 0.001 to 60. */
static int64_t parse_seconds(const char *text) {
    size_t whole = strspn(text, DIGITS), fraction = text[whole] == '.' ? strspn(text + whole + 1, DIGITS) : 0;
    size_t length = whole + (fraction > 0 ? 1 + fraction : 0);
    int64_t value = 0, unit = 1000000;
    if (whole == 0 || length > 9 || text[length]) /* 9: the sum fits, and the error line can show it */
        return 0;
    for (size_t i = 0; i < length; i++)
        if (i != whole)
            value = i < whole ? value * 10 + (text[i] - '0') * unit : value + (text[i] - '0') * (unit /= 10);
    return value >= 1000 && value <= 60000000 ? value : 0;
}

static void read_options(struct call *call, char *const *arguments) {
    const struct { const char *name, **value; } options[] = {
        {"--socket=", &call->socket}, {"--event=", &call->event}, {"--hook=", &call->hook},
        {"--timeout=", &call->timeout}, {"", NULL},
    }, *option;
    for (const char *argument; (argument = *arguments); arguments++) {
        if (strcmp(argument, "--version") == 0)
            _exit(write(STDOUT_FILENO, version, sizeof version - 1) < 0 ? 2 : 0);
        for (option = options; strncmp(argument, option->name, strlen(option->name)) != 0;)
            option++;
        argument += strlen(option->name);
        if (*argument && option->value)
            *option->value = argument;
        if (!*argument || !option->value || (option->value == &call->timeout && parse_seconds(argument) == 0))
            refuse(call, BAD_OPTION, *arguments, "is no option, or has an unfit value", NULL);
    }
}

int main(int argc, char **argv) {
    static struct call call = {.socket = HOOK_SOCKET, .hook = "hook-shim", .event = ""};
    if (argc > 0) {
        read_own_name(&call, argv[0]);
        read_options(&call, argv + 1);
    }
    if (!is_woken(&call))
        return 0;
    if (!call.timeout)
        call.timeout = strcmp(call.event, "before_update_device") == 0 ? "30" : "5";
    call.deadline = now() + parse_seconds(call.timeout); /* not sooner: most runs need no clock */
    if (!*call.event || !*call.hook)
        refuse(&call, BAD_REQUEST, NULL, "the program's name does not tell event and hook", NULL);
    struct document document = document_lock(&call, getenv("_hook_domxml"));
    const uint8_t *old = daemon_request(&call, &document);
    struct reply reply = daemon_ask(&call);
    if (reply.outcome == UNREADABLE)
        refuse(&call, INTERNAL, NULL, "the daemon's answer can't be read", NULL);
    if (reply.outcome == REFUSED)
        refuse_as_told(&call, &reply);
    if (reply.outcome == REWRITTEN && (reply.length != document.size || memcmp(reply.body, old, reply.length) != 0))
        document_replace(&call, &document, &reply);
    return 0;
}
