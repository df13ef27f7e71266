/* The talk with the daemon. SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The socket does not block: all waiting is one poll() for what is left of the deadline. SO_SNDTIMEO would not do, it
 * starts anew for every buffer that a send() waits for, so that a peer that reads slowly could hold us for minutes. */
#include <arpa/inet.h>
#include <poll.h>
#include <sched.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "shim.h"

/* Two whole frames, in bss: pages that no byte reaches cost nothing. The answer comes right behind the request: most
 * share a page. Nor is it a huge page, as bss begins in the same 2 MiB as the text: where these are always given, as EL
 * does, an array of its own got one, and to clear it took 180 us. One more byte is for read_file(). */
static uint8_t request[2 * (HEAD + PAYLOAD_MAX) + 1], *answer;
static size_t request_size = HEAD, answer_size;

enum { ARRAY_OF_5 = 0x95, VERSION_1 = 0x01, STR_32 = 0xdb, BIN_32 = 0xc6, MAP_32 = 0xdf }; /* msgpack */

/* The start of a value, and room for the rest. Lengths take their widest form: a few bytes more, one way to do it. */
static uint8_t *put(const struct call *call, uint8_t type, size_t number, size_t room) {
    uint8_t *at = request + request_size;
    if (request_size + 5 + room > HEAD + PAYLOAD_MAX)
        refuse(call, TOO_LARGE, NULL, "document and variables together are larger than 5 MiB", NULL);
    at[0] = type;
    memcpy(at + 1, &(uint32_t){htonl((uint32_t)number)}, 4);
    request_size += 5 + room;
    return at + 5;
}

static void put_text(const struct call *call, uint8_t type, const char *text) {
    size_t length = strlen(text);
    memcpy(put(call, type, length, length), text, length);
}

/* [1, event, hook, {name: value}, document]. The document is read straight into its place, so that one send() carries
 * all. Returns that place. */
const uint8_t *daemon_request(const struct call *call, const struct document *document) {
    request[request_size++] = ARRAY_OF_5;
    request[request_size++] = VERSION_1;
    put_text(call, STR_32, call->event);
    put_text(call, STR_32, call->hook);
    put(call, MAP_32, call->woken_count, 0);
    for (size_t i = 0; i < call->woken_count; i++) {
        put_text(call, STR_32, call->woken[i].name);
        put_text(call, BIN_32, call->woken[i].value);
    }
    if (document->size > DOCUMENT_MAX)
        refuse(call, TOO_LARGE, document->path, "is larger than 4 MiB", NULL);
    uint8_t *place = put(call, BIN_32, document->size, document->size);
    const char *trouble = read_file(document->fd, document->size, place);
    if (trouble)
        refuse(call, BAD_DOCUMENT, document->path, "can't be read: ", trouble, NULL);
    memcpy(request, &(uint32_t){htonl((uint32_t)(request_size - HEAD))}, HEAD);
    return place;
}

/* False: the deadline is over. An interruption counts as ready: the caller then meets EAGAIN and comes back.
 * An answer takes the daemon some 100 us. To fall asleep for them and be woken takes a virtual CPU that is idle nearly as
 * long; so we look again for a while, and yield to whoever has work to do. On an idle host that ends a fifth sooner, for
 * a tenth more CPU time of both together (measured). */
static bool wait_for(const struct call *call, int fd, short events) {
    struct pollfd wait = {.fd = fd, .events = events};
    for (int64_t start = now(), time = start; time < call->deadline; time = now()) {
        if (poll(&wait, 1, time < start + 250 ? 0 : (int)((call->deadline - time) / 1000 + 1)) != 0)
            return true;
        (void)sched_yield();
    }
    return false;
}

/* These three return NULL, or what went wrong and is worth another attempt. */
static const char *connect_to_server(const struct call *call, int fd) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(call->socket) >= sizeof address.sun_path)
        refuse(call, BAD_OPTION, call->socket, "is too long for a socket's name", NULL);
    strcpy(address.sun_path, call->socket);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) {
        if (errno == ENOENT || errno == EACCES || errno == ECONNREFUSED || errno == EAGAIN || errno == EINTR)
            return strerror(errno); /* not there, or not ours, yet; restarting; with a full queue: it passes */
        refuse(call, DAEMON_UNREACHABLE, call->socket, "can't be connected to: ", strerror(errno), NULL);
    }
    /* Whoever managed to bind the path could otherwise hand any XML to the VMs. */
    struct ucred server = {.uid = (uid_t)-1};
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &server, &(socklen_t){sizeof server}) < 0 ||
        (server.uid != 0 && server.uid != geteuid()))
        refuse(call, FOREIGN_DAEMON, call->socket, "is served neither by root nor by the hook's own user", NULL);
    return NULL;
}

static const char *send_request(const struct call *call, int fd) {
    for (size_t sent = 0; sent < request_size;) {
        ssize_t count = send(fd, request + sent, request_size - sent, MSG_NOSIGNAL);
        if (count >= 0)
            sent += (size_t)count;
        else if (errno == EPIPE || errno == ECONNRESET)
            break; /* closed before it read all: perhaps it has refused, so look for an answer */
        else if (errno != EAGAIN && errno != EINTR)
            return strerror(errno);
        else if (!wait_for(call, fd, POLLOUT))
            return "it does not read";
    }
    return NULL;
}

static const char *receive_answer(const struct call *call, int fd) {
    answer = request + request_size;
    answer_size = HEAD;
    for (size_t have = 0; have < answer_size;) {
        if (!wait_for(call, fd, POLLIN)) /* before recv(): the answer is not there yet */
            return "it does not answer";
        ssize_t count = recv(fd, answer + have, HEAD + PAYLOAD_MAX - have, 0);
        if (count < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (count <= 0)
            return count < 0 ? strerror(errno) : "it closed the connection";
        have += (size_t)count;
        if (have >= HEAD)
            answer_size = HEAD + (answer[0] * 0x1000000UL + answer[1] * 0x10000UL + answer[2] * 0x100UL + answer[3]);
        if (answer_size > HEAD + PAYLOAD_MAX)
            refuse(call, INTERNAL, NULL, "the daemon's answer is larger than 5 MiB", NULL);
    }
    return NULL;
}

/* A request changes nothing in the daemon, so it can be put as often as need be. */
struct reply daemon_ask(const struct call *call) {
    for (;;) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
            refuse(call, DAEMON_UNREACHABLE, NULL, "there is no socket to be had: ", strerror(errno), NULL);
        const char *trouble = connect_to_server(call, fd);
        trouble = trouble ? trouble : send_request(call, fd);
        trouble = trouble ? trouble : receive_answer(call, fd);
        if (!trouble)
            return reply_parse(answer + HEAD, answer_size - HEAD); /* the end of the program closes the socket */
        (void)close(fd);
        if (!pause_for_another(call))
            refuse(call, DAEMON_UNREACHABLE, call->socket, "gave no answer in ", call->timeout, " s: ", trouble, NULL);
    }
}
