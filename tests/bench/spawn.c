/* Times whole processes, interleaved. SPDX-License-Identifier: GPL-2.0-or-later
 *
 *   spawn ROUNDS FRESH COPY PROGRAM [PROGRAM ...]
 *
 * Runs each program in turn, ROUNDS times, with this environment; PROGRAM is a path and arguments, separated by blanks.
 * Before each run COPY is made a copy of FRESH, so that a rewrite has something to rewrite. Prints a line a run: the
 * program's number, wall time and CPU time in ns, peak memory in KiB, exit status. In C because an interpreter's own
 * fork would be most of the figure. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PROGRAMS_MAX = 16, WORDS_MAX = 16 };

extern char **environ;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static long long now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void renew(const char *fresh, const char *copy) {
    static char buffer[8 << 20];
    unlink(copy); /* a new file each time, as vdsm's mkstemp() makes one: truncating would make ext4 write at once */
    int from = open(fresh, O_RDONLY), to = open(copy, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (from < 0 || to < 0)
        fail("spawn: open");
    ssize_t size = read(from, buffer, sizeof buffer);
    if (size < 0 || write(to, buffer, (size_t)size) != size)
        fail("spawn: copy");
    close(from);
    close(to);
}

static long long cpu(const struct rusage *usage) {
    return (usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000000LL +
           (usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1000LL;
}

int main(int argc, char **argv) {
    if (argc < 5) {
        fprintf(stderr, "usage: spawn ROUNDS FRESH COPY PROGRAM [PROGRAM ...]\n");
        return 64;
    }
    static char *words[PROGRAMS_MAX][WORDS_MAX + 1];
    int rounds = atoi(argv[1]), programs = argc - 4 < PROGRAMS_MAX ? argc - 4 : PROGRAMS_MAX;
    for (int program = 0; program < programs; program++) {
        int count = 0;
        for (char *word = strtok(argv[4 + program], " "); word && count < WORDS_MAX; word = strtok(NULL, " "))
            words[program][count++] = word;
    }
    for (int round = 0; round < rounds; round++)
        for (int program = 0; program < programs; program++) {
            pid_t child;
            int status;
            struct rusage usage;
            renew(argv[2], argv[3]);
            long long start = now();
            if (posix_spawn(&child, words[program][0], NULL, NULL, words[program], environ) != 0)
                fail(words[program][0]);
            if (wait4(child, &status, 0, &usage) < 0)
                fail("spawn: wait4");
            long long wall = now() - start;
            printf("%d %lld %lld %ld %d\n", program, wall, cpu(&usage), usage.ru_maxrss,
                   WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status));
        }
    return 0;
}
