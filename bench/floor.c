/* The floor: the least that a server can do to bring a message to its subscribers. One thread,
 * epoll, one send() per message and socket; with --gather what a turn of the loop brought to a room
 * is sent at once. No broker, no rights, no acknowledgement, no limits.
 *
 * Speaks just enough to be driven by loadgen and by nothing else: one frame per WebSocket message,
 * the subscription id sub-0, one subscription per connection. What a gateway costs above this is
 * its own doing.
 *
 *     floor PORT [--gather]
 */
#include "websocket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define READ_BYTES 262144
#define ROOMS_MAX 16384 /* a power of two, twice as many as are used */
#define EVENTS_MAX 256

struct peer {
    int fd;
    bool is_open; /* the handshake is done */
    uint8_t *in;  /* the begin of a frame */
    size_t in_len;
    uint8_t *out; /* what the socket did not take */
    size_t out_len;
};

struct room {
    char name[256];
    struct peer **peers;
    size_t n;
    uint8_t *frames; /* --gather: of this turn */
    size_t len;
    size_t cap;
};

static struct {
    int epoll_fd;
    int listen_fd;
    bool gathers;
    uint8_t read_mem[READ_BYTES * 2];
    struct room rooms[ROOMS_MAX];
    struct room *dirty[ROOMS_MAX];
    size_t n_dirty;
    unsigned long long messages;
} floor_state;

/* A benchmark's server may give up at once. */
static void *need(void *memory)
{
    if (!memory) {
        perror("floor");
        exit(1);
    }
    return memory;
}

static struct room *room_of(const char *name, size_t len)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < len; i++) {
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    }
    for (size_t i = hash % ROOMS_MAX;; i = (i + 1) % ROOMS_MAX) {
        struct room *room = &floor_state.rooms[i];
        if (room->name[0] == '\0') {
            memcpy(room->name, name, len < 255 ? len : 255);
        }
        if (strncmp(room->name, name, len) == 0 && room->name[len] == '\0') {
            return room;
        }
    }
}

static void room_leave(struct peer *peer)
{
    for (size_t r = 0; r < ROOMS_MAX; r++) {
        struct room *room = &floor_state.rooms[r];
        for (size_t i = 0; i < room->n; i++) {
            if (room->peers[i] == peer) {
                room->peers[i] = room->peers[--room->n];
            }
        }
    }
}

/* ---- out ---- */

static void peer_watch(struct peer *peer, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = peer};
    epoll_ctl(floor_state.epoll_fd, EPOLL_CTL_MOD, peer->fd, &event);
}

static void peer_keep(struct peer *peer, const uint8_t *bytes, size_t len)
{
    peer->out = need(realloc(peer->out, peer->out_len + len));
    memcpy(peer->out + peer->out_len, bytes, len);
    peer->out_len += len;
    peer_watch(peer, EPOLLIN | EPOLLOUT);
}

static void peer_send(struct peer *peer, const uint8_t *bytes, size_t len)
{
    ssize_t n = peer->out_len > 0 ? 0 : send(peer->fd, bytes, len, MSG_NOSIGNAL);
    size_t sent = n > 0 ? (size_t)n : 0; /* an error is seen by the next read */
    if (sent < len) {
        peer_keep(peer, bytes + sent, len - sent);
    }
}

static void peer_flush(struct peer *peer)
{
    ssize_t n = send(peer->fd, peer->out, peer->out_len, MSG_NOSIGNAL);
    if (n > 0) {
        peer->out_len -= (size_t)n;
        memmove(peer->out, peer->out + n, peer->out_len);
    }
    if (peer->out_len == 0) {
        peer_watch(peer, EPOLLIN);
    }
}

static void peer_answer(struct peer *peer, const char *text)
{
    uint8_t frame[512];
    size_t len = strlen(text) + 1;
    size_t n = websocket_head(frame, WEBSOCKET_TEXT, len, NULL);
    memcpy(frame + n, text, len);
    peer_send(peer, frame, n + len);
}

static void room_send(struct room *room, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < room->n; i++) {
        peer_send(room->peers[i], bytes, len);
    }
}

static void room_gather(struct room *room, const uint8_t *bytes, size_t len)
{
    if (room->len == 0) {
        floor_state.dirty[floor_state.n_dirty++] = room;
    }
    if (room->len + len > room->cap) {
        room->cap = (room->len + len) * 2;
        room->frames = need(realloc(room->frames, room->cap));
    }
    memcpy(room->frames + room->len, bytes, len);
    room->len += len;
}

static void flush_rooms(void)
{
    for (size_t i = 0; i < floor_state.n_dirty; i++) {
        struct room *room = floor_state.dirty[i];
        room_send(room, room->frames, room->len);
        room->len = 0;
    }
    floor_state.n_dirty = 0;
}

/* ---- in ---- */

static const char *header(const char *frame, const char *name, size_t *len)
{
    const char *at = strstr(frame, name);
    const char *value = at ? at + strlen(name) : "";
    *len = strcspn(value, "\n");
    return value;
}

/* A MESSAGE costs what one costs: a head with what clients rely on, and a copy of the body. */
static void publish(const char *frame, size_t len)
{
    size_t name_len;
    const char *name = header(frame, "\ndestination:", &name_len);
    const char *end = strstr(frame, "\n\n");
    size_t body_len = end ? len - (size_t)(end + 2 - frame) - 1 : 0;
    char text[1024];
    int head_len = snprintf(text, sizeof(text),
                            "MESSAGE\nsubscription:sub-0\ndestination:%.*s\nmessage-id:0190b5e0-"
                            "0000-7000-8000-%012llx\n"
                            "content-type:text/plain\ncontent-length:%zu\n\n",
                            (int)name_len, name, floor_state.messages++, body_len);
    size_t payload_len = (size_t)head_len + body_len + 1;
    uint8_t *bytes = need(malloc(WEBSOCKET_HEAD_MAX + payload_len));
    size_t n = websocket_head(bytes, WEBSOCKET_TEXT, payload_len, NULL);
    memcpy(bytes + n, text, (size_t)head_len);
    memcpy(bytes + n + head_len, end ? end + 2 : "", body_len + 1);
    struct room *room = room_of(name, name_len);
    if (floor_state.gathers) {
        room_gather(room, bytes, n + payload_len);
    } else {
        room_send(room, bytes, n + payload_len);
    }
    free(bytes);
}

static void subscribe(struct peer *peer, const char *frame)
{
    size_t len;
    const char *name = header(frame, "\ndestination:", &len);
    struct room *room = room_of(name, len);
    room->peers = need(realloc(room->peers, (room->n + 1) * sizeof(struct peer *)));
    room->peers[room->n++] = peer;
    peer_answer(peer, "RECEIPT\nreceipt-id:sub\n\n");
}

/* loadgen ends each frame with the NUL that STOMP wants, so that a frame is a string. */
static void take_frame(struct peer *peer, const char *frame, size_t len)
{
    if (len < 8 || frame[len - 1] != '\0') {
        return;
    }
    if (memcmp(frame, "SEND", 4) == 0) {
        publish(frame, len);
    } else if (memcmp(frame, "CONNECT", 7) == 0) {
        peer_answer(peer, "CONNECTED\nversion:1.2\nheart-beat:0,0\nserver:floor\n\n");
    } else if (memcmp(frame, "SUBSCRIB", 8) == 0) {
        subscribe(peer, frame);
    }
}

static size_t take_all(struct peer *peer, uint8_t *bytes, size_t len)
{
    static const char ANSWER[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " WEBSOCKET_ACCEPT "\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n";
    if (!peer->is_open) {
        /* the request of loadgen comes whole and alone */
        peer->is_open = true;
        peer_send(peer, (const uint8_t *)ANSWER, sizeof(ANSWER) - 1);
        return len;
    }
    struct websocket_frame frame;
    size_t taken = 0;
    size_t n;
    while ((n = websocket_take(bytes + taken, len - taken, &frame)) > 0) {
        take_frame(peer, (const char *)frame.payload, frame.len);
        taken += n;
    }
    return taken;
}

static void peer_free(struct peer *peer)
{
    room_leave(peer);
    close(peer->fd);
    free(peer->in);
    free(peer->out);
    free(peer);
}

static void peer_read(struct peer *peer)
{
    size_t before = peer->in_len;
    if (before > READ_BYTES) {
        peer_free(peer);
        return;
    }
    ssize_t n = recv(peer->fd, floor_state.read_mem + before, READ_BYTES, 0);
    if (n <= 0) {
        if (n == 0 || errno != EAGAIN) {
            peer_free(peer);
        }
        return;
    }
    if (before > 0) {
        memcpy(floor_state.read_mem, peer->in, before);
    }
    size_t len = before + (size_t)n;
    size_t taken = take_all(peer, floor_state.read_mem, len);
    peer->in_len = len - taken;
    if (peer->in_len > 0) {
        peer->in = need(realloc(peer->in, peer->in_len));
        memcpy(peer->in, floor_state.read_mem + taken, peer->in_len);
    }
}

/* ---- the loop ---- */

static void accept_peer(void)
{
    int one = 1;
    int fd = accept(floor_state.listen_fd, NULL, NULL);
    if (fd < 0) {
        return;
    }
    struct peer *peer = need(calloc(1, sizeof(*peer)));
    peer->fd = fd;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    fcntl(fd, F_SETFL, O_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
    epoll_ctl(floor_state.epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

static void turn(void)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(floor_state.epoll_fd, events, EVENTS_MAX, -1);
    for (int i = 0; i < n; i++) {
        struct peer *peer = events[i].data.ptr;
        if (!peer) {
            accept_peer();
            continue;
        }
        if ((events[i].events & EPOLLOUT) && peer->out_len > 0) {
            peer_flush(peer);
        }
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            peer_read(peer);
        }
    }
    flush_rooms();
}

static int listen_on(int port)
{
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    floor_state.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    floor_state.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    setsockopt(floor_state.listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(floor_state.listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(floor_state.listen_fd, 1024) < 0 ||
        epoll_ctl(floor_state.epoll_fd, EPOLL_CTL_ADD, floor_state.listen_fd, &event) < 0) {
        perror("floor: listen");
        return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0;
    struct rlimit limit;
    if (port <= 0 || port > 65535) {
        fprintf(stderr, "floor PORT [--gather]\n");
        return 2;
    }
    floor_state.gathers = argc > 2 && strcmp(argv[2], "--gather") == 0;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
    if (listen_on(port) < 0) {
        return 1;
    }
    printf("listener.open port=%d\n", port);
    fflush(stdout);
    for (;;) {
        turn();
    }
}
