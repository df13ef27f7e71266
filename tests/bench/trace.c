/* When each function of the shim begins and ends, for breakdown.py. SPDX-License-Identifier: GPL-2.0-or-later
 *
 * gcc's -finstrument-functions calls the first two; at the end the times go to TRACE, of which each run has one. */
#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

#define PLAIN __attribute__((no_instrument_function))
enum { EVENTS_MAX = 256 };

static struct { int64_t function, leaves, time; } events[EVENTS_MAX];
static size_t count;

static PLAIN void note(void *function, int leaves) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    if (count == EVENTS_MAX)
        return;
    events[count].function = (int64_t)(intptr_t)function;
    events[count].leaves = leaves;
    events[count++].time = time.tv_sec * 1000000000LL + time.tv_nsec;
}

PLAIN void __cyg_profile_func_enter(void *function, void *caller) {
    (void)caller;
    note(function, 0);
}

PLAIN void __cyg_profile_func_exit(void *function, void *caller) {
    (void)caller;
    note(function, 1);
}

static PLAIN __attribute__((destructor)) void write_events(void) {
    int fd = open(TRACE, O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd < 0 || write(fd, events, sizeof events) != (ssize_t)sizeof events)
        _exit(3);
}
