/* The floor: the least that a server can do to bring a message to its subscribers. One thread,
 * epoll, one send() per message and socket; with --gather what a turn of the loop brought to a
 * socket is sent at once. No broker, no rights, no acknowledgement, no limits.
 *
 * Speaks just enough to be driven by loadgen and by nothing else: one frame per WebSocket message,
 * headers in the order in which loadgen writes them, no wildcards. What a gateway costs above this
 * is its own doing.
 *
 *     floor PORT [--gather] [--tls CERT KEY]
 */
#include "floor_rooms.h"
#include "inlet.h"
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

#define EVENTS_MAX 256
#define MESSAGE_ID "0190b5e0-0000-7000-8000-"

struct peer {
    int fd;
    uint32_t events;  /* that epoll waits for */
    bool is_open;     /* the handshake is done */
    bool is_dirty;    /* in the list of those to be flushed at the end of the turn */
    struct tls *tls;  /* NULL: plain */
    struct bytes out; /* what the socket did not take, or what is gathered for this peer alone */
    struct bytes in;  /* the begin of a frame */
    struct seats seats;
};

/* What a SEND says, borrowed from the frame. */
struct publication {
    enum websocket_opcode opcode;
    const char *destination;
    size_t destination_len;
    const char *type;
    size_t type_len;
    const char *body;
    size_t body_len;
};

static struct {
    int epoll_fd;
    int listen_fd;
    bool gathers;
    struct tls_context *tls;
    struct inlet inlet;
    struct bytes frame; /* the one that is being sent */
    /* --gather: groups with frames, and peers with several seats that have something to send */
    struct seat *groups;
    size_t n_groups;
    size_t groups_cap;
    struct peer **peers;
    size_t n_peers;
    size_t peers_cap;
    unsigned long long messages;
} state;

/* ---- out ---- */

static void watch(struct peer *peer, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = peer};
    if (peer->events != events) {
        epoll_ctl(state.epoll_fd, EPOLL_CTL_MOD, peer->fd, &event);
        peer->events = events;
    }
}

static ssize_t peer_write(struct peer *peer, const uint8_t *bytes, size_t len)
{
    return peer->tls ? tls_write(peer->tls, bytes, len) : send(peer->fd, bytes, len, MSG_NOSIGNAL);
}

static void append(struct bytes *to, const void *bytes, size_t len)
{
    if (bytes_append(to, bytes, len) < 0) {
        need(NULL);
    }
}

static void peer_flush(struct peer *peer)
{
    ssize_t n = peer->out.len > 0 ? peer_write(peer, bytes_begin(&peer->out), peer->out.len) : 0;
    if (n > 0) {
        bytes_drop(&peer->out, (size_t)n);
    }
    bool is_waiting = peer->out.len > 0 && !(peer->tls && tls_waits_for_read(peer->tls));
    watch(peer, is_waiting ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

static void peer_send(struct peer *peer, const uint8_t *bytes, size_t len)
{
    ssize_t n = peer->out.len > 0 ? 0 : peer_write(peer, bytes, len);
    size_t sent = n > 0 ? (size_t)n : 0; /* an error is seen by the next read */
    if (sent < len) {
        append(&peer->out, bytes + sent, len - sent);
        watch(peer, EPOLLIN | EPOLLOUT);
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

/* ---- gathering ---- */

static void note_peer(struct peer *peer)
{
    if (peer->is_dirty) {
        return;
    }
    if (state.n_peers == state.peers_cap) {
        state.peers_cap = state.peers_cap ? state.peers_cap * 2 : 64;
        state.peers = need(realloc(state.peers, state.peers_cap * sizeof(struct peer *)));
    }
    peer->is_dirty = true;
    state.peers[state.n_peers++] = peer;
}

static void note_group(struct room *room, uint32_t number)
{
    if (state.n_groups == state.groups_cap) {
        state.groups_cap = state.groups_cap ? state.groups_cap * 2 : 64;
        state.groups = need(realloc(state.groups, state.groups_cap * sizeof(struct seat)));
    }
    state.groups[state.n_groups++] = (struct seat){.room = room, .group = number};
}

/* A socket in one room is sent what the room has gathered; one in several gathers for itself. */
static void flush_groups(void)
{
    for (size_t i = 0; i < state.n_groups; i++) {
        struct group *group = &state.groups[i].room->groups[state.groups[i].group];
        for (uint32_t m = 0; m < group->n; m++) {
            struct peer *peer = group->members[m].peer;
            if (peer->seats.n == 1) {
                peer_send(peer, bytes_begin(&group->frames), group->frames.len);
            } else {
                append(&peer->out, bytes_begin(&group->frames), group->frames.len);
                note_peer(peer);
            }
        }
        group->frames.len = 0;
    }
    state.n_groups = 0;
}

static void flush_peers(void)
{
    for (size_t i = 0; i < state.n_peers; i++) {
        state.peers[i]->is_dirty = false;
        peer_flush(state.peers[i]);
    }
    state.n_peers = 0;
}

/* ---- MESSAGE ---- */

static char *put(char *to, const char *text, size_t len)
{
    memcpy(to, text, len);
    return to + len;
}

#define PUT(to, text) put((to), (text), sizeof(text) - 1)

static char *put_hex(char *to, unsigned long long number)
{
    for (int shift = 44; shift >= 0; shift -= 4) {
        *to++ = "0123456789abcdef"[number >> shift & 15];
    }
    return to;
}

/* A head with what clients rely on. `head` holds what a frame of loadgen can make it: 1 KiB. */
static size_t message_head(char *head, const struct publication *p, const char *id)
{
    char *end = PUT(head, "MESSAGE\nsubscription:");
    end = put(end, id, strlen(id));
    end = PUT(end, "\ndestination:");
    end = put(end, p->destination, p->destination_len);
    end = PUT(end, "\nmessage-id:" MESSAGE_ID);
    end = put_hex(end, state.messages);
    end = PUT(end, "\ncontent-type:");
    end = put(end, p->type, p->type_len);
    end += sprintf(end, "\ncontent-length:%zu\n\n", p->body_len);
    return (size_t)(end - head);
}

static void encode(struct bytes *to, const struct publication *p, const char *id)
{
    uint8_t start[WEBSOCKET_HEAD_MAX];
    char head[1024];
    size_t head_len = message_head(head, p, id);
    append(to, start, websocket_head(start, p->opcode, head_len + p->body_len + 1, NULL));
    append(to, head, head_len);
    append(to, p->body, p->body_len + 1);
}

/* Encoded once for each subscription id in the room. */
static void publish(const struct publication *p)
{
    struct room *room = rooms_get(p->destination, p->destination_len);
    for (uint32_t i = 0; i < room->n_groups; i++) {
        struct group *group = &room->groups[i];
        if (state.gathers) {
            if (group->frames.len == 0) {
                note_group(room, i);
            }
            encode(&group->frames, p, group->id);
            continue;
        }
        state.frame.len = 0;
        encode(&state.frame, p, group->id);
        for (uint32_t m = 0; m < group->n; m++) {
            peer_send(group->members[m].peer, bytes_begin(&state.frame), state.frame.len);
        }
    }
    state.messages++;
}

/* ---- in ---- */

static const char *header(const char *frame, const char *name, size_t *len)
{
    const char *at = strstr(frame, name);
    const char *value = at ? at + strlen(name) : "";
    *len = strcspn(value, "\n");
    return value;
}

static void take_send(const char *frame, size_t len, enum websocket_opcode opcode)
{
    struct publication p = {.opcode = opcode};
    const char *end = strstr(frame, "\n\n");
    p.destination = header(frame, "\ndestination:", &p.destination_len);
    p.type = header(frame, "\ncontent-type:", &p.type_len);
    if (end && p.destination_len + p.type_len < 512) {
        p.body = end + 2;
        p.body_len = len - (size_t)(p.body - frame) - 1;
        publish(&p);
    }
}

static void take_subscribe(struct peer *peer, const char *frame)
{
    size_t id_len;
    size_t len;
    const char *id = header(frame, "\nid:", &id_len);
    const char *name = header(frame, "\ndestination:", &len);
    if (memchr(name, '*', len) || memchr(name, '#', len)) {
        peer_answer(peer, "ERROR\nmessage:the floor has no wildcards\n\n");
        return;
    }
    rooms_join(rooms_get(name, len), id, id_len, peer, &peer->seats);
    peer_answer(peer, "RECEIPT\nreceipt-id:sub\n\n");
}

/* loadgen ends each frame with the NUL that STOMP wants, so that a frame is a string. */
static void take_frame(struct peer *peer, const struct websocket_frame *frame)
{
    const char *text = (const char *)frame->payload;
    if (frame->len < 8 || text[frame->len - 1] != '\0') {
        return;
    }
    if (memcmp(text, "SEND", 4) == 0) {
        take_send(text, frame->len, frame->opcode);
    } else if (memcmp(text, "CONNECT", 7) == 0) {
        peer_answer(peer, "CONNECTED\nversion:1.2\nheart-beat:0,0\nserver:floor\n\n");
    } else if (memcmp(text, "SUBSCRIB", 8) == 0) {
        take_subscribe(peer, text);
    }
}

static struct seats *seats_of(struct peer *peer)
{
    return &peer->seats;
}

static void peer_free(struct peer *peer)
{
    for (size_t i = 0; peer->is_dirty && i < state.n_peers; i++) {
        if (state.peers[i] == peer) {
            state.peers[i] = state.peers[--state.n_peers];
            break;
        }
    }
    rooms_leave(&peer->seats, seats_of);
    tls_free(peer->tls);
    close(peer->fd);
    free(peer->in.mem);
    free(peer->out.mem);
    free(peer);
}

static size_t peer_close(struct peer *peer)
{
    static const uint8_t GOODBYE[] = {0x80 | WEBSOCKET_CLOSE, 2, 1000 >> 8, 1000 & 255};
    peer_send(peer, GOODBYE, sizeof(GOODBYE));
    peer_free(peer);
    return INLET_CLOSED;
}

static size_t take(void *owner, uint8_t *bytes, size_t len)
{
    static const char ANSWER[] =
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: " WEBSOCKET_ACCEPT "\r\nSec-WebSocket-Protocol: v12.stomp\r\n\r\n";
    struct peer *peer = owner;
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
        if (frame.opcode == WEBSOCKET_CLOSE) {
            return peer_close(peer);
        }
        take_frame(peer, &frame);
        taken += n;
    }
    return taken;
}

static void peer_read(struct peer *peer)
{
    enum inlet_result result;
    struct inlet_socket socket = {
        .fd = peer->fd, .tls = peer->tls, .left = &peer->in, .owner = peer};
    do {
        result = inlet_read(&state.inlet, socket, take);
    } while (result == INLET_READ && peer->tls && tls_has_more(peer->tls));
    if (result == INLET_ENDED) {
        peer_free(peer);
    } else if (result != INLET_GONE && peer->tls && peer->out.len > 0 && !peer->is_dirty) {
        peer_flush(peer); /* a handshake may have kept it back */
    }
}

/* ---- the loop ---- */

static void accept_peers(void)
{
    int one = 1;
    int fd;
    while ((fd = accept(state.listen_fd, NULL, NULL)) >= 0) {
        struct peer *peer = need(calloc(1, sizeof(*peer)));
        peer->fd = fd;
        peer->events = EPOLLIN;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        fcntl(fd, F_SETFL, O_NONBLOCK);
        if (state.tls) {
            peer->tls = need(tls_new(state.tls, fd));
        }
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = peer};
        epoll_ctl(state.epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

static void turn(void)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(state.epoll_fd, events, EVENTS_MAX, -1);
    for (int i = 0; i < n; i++) {
        struct peer *peer = events[i].data.ptr;
        if (!peer) {
            accept_peers();
            continue;
        }
        if (events[i].events & EPOLLOUT) {
            peer_flush(peer);
        }
        if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
            peer_read(peer);
        }
    }
    flush_groups();
    flush_peers();
}

static int listen_on(int port)
{
    int one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL};
    state.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    state.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    setsockopt(state.listen_fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(state.listen_fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(state.listen_fd, 1024) < 0 ||
        epoll_ctl(state.epoll_fd, EPOLL_CTL_ADD, state.listen_fd, &event) < 0) {
        perror("floor: listen");
        return -1;
    }
    return 0;
}

static int usage(void)
{
    fprintf(stderr, "floor PORT [--gather] [--tls CERT KEY]\n");
    return 2;
}

static int parse(int argc, char **argv)
{
    for (int i = 2; i < argc; i++) {
        if (strcmp(argv[i], "--gather") == 0) {
            state.gathers = true;
        } else if (strcmp(argv[i], "--tls") == 0 && i + 2 < argc) {
            state.tls = tls_context_server(argv[i + 1], argv[i + 2]);
            i += 2;
            if (!state.tls) {
                return 1;
            }
        } else {
            return usage();
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    int port = argc > 1 ? atoi(argv[1]) : 0;
    struct rlimit limit;
    if (port <= 0 || port > 65535) {
        return usage();
    }
    int result = parse(argc, argv);
    if (result != 0) {
        return result;
    }
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
