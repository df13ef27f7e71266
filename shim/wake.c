/* Which environment variables wake the hook, and go into its request. SPDX-License-Identifier: GPL-2.0-or-later
 *
 * For the project's own hooks that is compiled in. What the configuration makes of it the daemon writes into the wake
 * table, and we read it ourselves, for the daemon may be dead. Lines of either: "<hook> <event> <name> <name> ...".
 * The first counts that has our hook, and our event or * for any. Of its names each variable that is set wakes the
 * request, and * always does. A table that can't be relied on wakes it too: rather a refusal than a wrong network. */
#include <stdlib.h>

#include "shim.h"

static char table[(256 << 10) + 1], compiled[] = /* cut in place: the request's names lie in them */
#include "wake.inc"
    ;

/* False: it can't be relied on. Who may put a file into its directory (on a host: root and the daemon's user) has a say
 * in what wakes hooks anyway, so its owner does not matter; but nobody else may have written into it. */
static bool read_table(const char *socket) {
    char path[128] = "/var/lib/vdsm-hookd/wake"; /* outlives a reboot, unlike the socket's directory */
    struct stat status;
    if (strlen(socket) + sizeof ".wake" > sizeof path)
        return false; /* a socket's name ends at 107 */
    if (strcmp(socket, HOOK_SOCKET) != 0)
        strcpy(stpcpy(path, socket), ".wake");
    int fd = open_regular(path, &status); /* the end of the program closes it */
    if (fd < 0)
        return errno == ENOENT || errno == ENOTDIR;
    size_t size = (size_t)status.st_size;
    return (status.st_mode & 022) == 0 && size > 0 && size < sizeof table && !read_file(fd, size, table) &&
           strlen(table) == size && table[size - 1] == '\n'; /* else it is what a crash of the host left of it */
}

/* The names in our line, or NULL. */
static char *own_names(const struct call *call, char *lines) {
    for (char *line; (line = strsep(&lines, "\n"));) {
        const char *hook = strsep(&line, " ");
        char *event = strsep(&line, " ");
        if (event && strcmp(hook, call->hook) == 0 && (strcmp(event, "*") == 0 || strcmp(event, call->event) == 0))
            return line ? line : strchr(event, '\0');
    }
    return NULL;
}

/* Into the request, if it is set. Of duplicates the first counts, and an empty value is one. */
static const char *note(struct call *call, const char *name, size_t places) {
    const char *value = getenv(name);
    if (value && call->woken_count == places) /* to leave one out would be to hide it from its rule */
        refuse(call, TOO_LARGE, NULL, "more than 63 of the hook's variables are set", NULL);
    if (value)
        call->woken[call->woken_count].name = name, call->woken[call->woken_count++].value = value;
    return value;
}

/* False: there is nothing to do. Without any table yet, a hook that is not ours is the daemon's to judge. */
bool is_woken(struct call *call) {
    bool is_reliable = read_table(call->socket), is_woken = !is_reliable;
    char *names = is_reliable ? own_names(call, table) : NULL;
    names = names ? names : own_names(call, compiled);
    if (!names && !is_reliable) /* its rules would not see their variables */
        refuse(call, INTERNAL, NULL, "the wake table can't be relied on, and without it the hook is not known", NULL);
    is_woken |= !names && !*table; /* a table without the hook: the configuration has it no more */
    for (char *name; (name = strsep(&names, " "));)
        is_woken |= strcmp(name, "*") == 0 || note(call, name, VARIABLES_MAX - 1);
    call->vm_id = note(call, "vmId", VARIABLES_MAX);
    return is_woken;
}
