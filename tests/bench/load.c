/* Puts one request many times, one after the other. SPDX-License-Identifier: GPL-2.0-or-later
 *
 *   load SOCKET COUNT < FRAME
 *
 * Prints how long each took, from socket() to the whole answer, in ns, or fails when the answer is no rewritten
 * document. */
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "bench.h"

static unsigned char request[6 << 20], answer[6 << 20];
static const char rewritten[] = "rewritten";

static void put(const struct sockaddr_un *address, size_t size) {
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (const struct sockaddr *)address, sizeof *address) < 0)
        fail("load: connect");
    for (size_t sent = 0; sent < size;) {
        ssize_t count = send(fd, request + sent, size - sent, MSG_NOSIGNAL);
        if (count < 0)
            fail("load: send");
        sent += (size_t)count;
    }
    size_t have = 0;
    for (ssize_t count; (count = recv(fd, answer + have, sizeof answer - have, 0)) > 0;)
        have += (size_t)count;
    close(fd);
    if (have < 16 || memcmp(answer + 7, rewritten, strlen(rewritten)) != 0) {
        fprintf(stderr, "load: the answer is %.*s\n", have > 200 ? 200 : (int)have, (char *)answer);
        exit(1);
    }
}

int main(int argc, char **argv) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (argc != 3 || strlen(argv[1]) >= sizeof address.sun_path) {
        fprintf(stderr, "usage: load SOCKET COUNT < FRAME\n");
        return 64;
    }
    strcpy(address.sun_path, argv[1]);
    size_t size = fread(request, 1, sizeof request, stdin);
    for (int round = atoi(argv[2]); round > 0; round--) {
        long long begin = now();
        put(&address, size);
        printf("%lld\n", now() - begin);
    }
    return 0;
}
