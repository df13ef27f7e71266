/* Times whole processes. SPDX-License-Identifier: GPL-2.0-or-later
 *
 *   spawn in-turn ROUNDS FRESH COPY PROGRAM [PROGRAM ...]    each program in turn, ROUNDS times
 *   spawn at-once ROUNDS FRESH COPY PROGRAM                  ROUNDS times the program, all at the same time
 *
 * PROGRAM is a path and arguments, separated by blanks; a + between two commands runs one after the other. It gets this
 * environment and, in _hook_domxml, the path of a fresh copy of FRESH: COPY, or COPY.NUMBER for all at once. Prints a
 * line a run: the program's number, wall time (at once: since the first was started) and CPU time in ns, exit status. In
 * C because an interpreter's own fork would be most of the figure. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { PROGRAMS_MAX = 16, WORDS_MAX = 32, ENVIRONMENT_MAX = 4096, RUNS_MAX = 4096 };

struct run {
    pid_t child;
    int status;
    long long wall, cpu;
};

extern char **environ;
static char *words[PROGRAMS_MAX][WORDS_MAX + 2];
static char document[4096 + 32] = "_hook_domxml=";
static char *environment[ENVIRONMENT_MAX + 2] = {document};

/* A new file each time, as vdsm's mkstemp() makes one: truncating would make ext4 write at once. */
static void renew(const char *fresh, const char *copy) {
    static char buffer[8 << 20];
    unlink(copy);
    int from = open(fresh, O_RDONLY), to = open(copy, O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (from < 0 || to < 0)
        fail("spawn: open");
    ssize_t size = read(from, buffer, sizeof buffer);
    if (size < 0 || write(to, buffer, (size_t)size) != size)
        fail("spawn: copy");
    close(from);
    close(to);
    strcpy(document + strlen("_hook_domxml="), copy);
}

static struct run start(char **command) {
    struct run run = {0};
    if (posix_spawn(&run.child, command[0], NULL, NULL, command, environment) != 0)
        fail(command[0]);
    return run;
}

static pid_t finish(struct run *run, pid_t child) {
    struct rusage usage;
    int status;
    pid_t ended = wait4(child, &status, 0, &usage);
    if (ended < 0)
        fail("spawn: wait4");
    run->cpu += (usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000LL +
                (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000LL;
    run->status |= WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    return ended;
}

static void print(int program, const struct run *run) {
    printf("%d %lld %lld %d\n", program, run->wall, run->cpu, run->status);
}

static void run_in_turn(int program) {
    struct run run = {0};
    long long begin = now();
    for (int command = 0; words[program][command]; command++) {
        finish(&run, start(&words[program][command]).child);
        while (words[program][command])
            command++;
    }
    run.wall = now() - begin;
    print(program, &run);
}

static void run_at_once(int rounds, const char *fresh, const char *copy) {
    static struct run runs[RUNS_MAX];
    static char name[4096];
    for (int round = 0; round < rounds; round++) {
        snprintf(name, sizeof name, "%s.%d", copy, round);
        renew(fresh, name);
    }
    long long begin = now();
    for (int round = 0; round < rounds; round++) {
        snprintf(document, sizeof document, "_hook_domxml=%s.%d", copy, round);
        runs[round] = start(words[0]);
    }
    for (int ended = 0; ended < rounds; ended++) {
        struct run run = {0};
        pid_t child = finish(&run, -1);
        run.wall = now() - begin;
        for (int round = 0; round < rounds; round++)
            if (runs[round].child == child)
                runs[round] = run;
    }
    for (int round = 0; round < rounds; round++)
        print(0, &runs[round]);
}

/* Commands lie one behind the other, each with the NULL that execve() wants; an empty one is the end. */
static void split(int program, char *text) {
    int count = 0;
    for (char *word = strtok(text, " "); word && count < WORDS_MAX; word = strtok(NULL, " "))
        words[program][count++] = strcmp(word, "+") == 0 ? NULL : word;
}

int main(int argc, char **argv) {
    if (argc < 6) {
        fprintf(stderr, "usage: spawn in-turn|at-once ROUNDS FRESH COPY PROGRAM [PROGRAM ...]\n");
        return 64;
    }
    int rounds = atoi(argv[2]), programs = argc - 5 < PROGRAMS_MAX ? argc - 5 : PROGRAMS_MAX, count = 1;
    for (char **variable = environ; *variable && count <= ENVIRONMENT_MAX; variable++)
        if (strncmp(*variable, document, strlen("_hook_domxml=")) != 0)
            environment[count++] = *variable;
    for (int program = 0; program < programs; program++)
        split(program, argv[5 + program]);
    if (strcmp(argv[1], "at-once") == 0) {
        run_at_once(rounds < RUNS_MAX ? rounds : RUNS_MAX, argv[3], argv[4]);
        return 0;
    }
    for (int round = 0; round < rounds; round++)
        for (int program = 0; program < programs; program++) {
            renew(argv[3], argv[4]);
            run_in_turn(program);
        }
    return 0;
}
