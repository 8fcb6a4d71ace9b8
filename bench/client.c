#include "client.h"
#include "websocket.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static const uint8_t MASK[4] = {0x37, 0xfa, 0x21, 0x3d};

uint64_t client_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* ---- waiting bytes ---- */

static int bytes_append(struct client_bytes *b, const void *bytes, size_t n)
{
    if (n == 0) {
        return 0;
    }
    if (b->len + n > b->cap) {
        size_t cap = (b->len + n) * 2;
        uint8_t *mem = realloc(b->mem, cap);
        if (!mem) {
            return -1;
        }
        b->mem = mem;
        b->cap = cap;
    }
    memcpy(b->mem + b->len, bytes, n);
    b->len += n;
    return 0;
}

static void bytes_drop(struct client_bytes *b, size_t n)
{
    b->len -= n;
    if (b->len > 0) {
        memmove(b->mem, b->mem + n, b->len);
        return;
    }
    free(b->mem);
    *b = (struct client_bytes){0};
}

/* ---- life ---- */

static void count(_Atomic uint64_t *counter, uint64_t n)
{
    /* one writer, so no locked instruction */
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static bool is_opening(const struct client *c)
{
    return c->state > CLIENT_NEW && c->state < CLIENT_READY;
}

static void client_close(struct client_set *set, struct client *c, const char *why)
{
    static _Atomic bool is_told;
    if (c->state == CLIENT_CLOSED) {
        return;
    }
    if (!atomic_exchange(&is_told, true)) {
        fprintf(stderr, "loadgen: %s: a connection ended: %s\n", set->run->options->label, why);
    }
    set->n_opening -= is_opening(c) ? 1 : 0;
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
    c->state = CLIENT_CLOSED;
    bytes_drop(&c->in, c->in.len);
    bytes_drop(&c->out, c->out.len);
    count(&set->counters.closed, 1);
}

static void client_watch(struct client_set *set, struct client *c, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (c->events != events && epoll_ctl(set->epoll_fd, EPOLL_CTL_MOD, c->fd, &event) == 0) {
        c->events = events;
    }
}

void client_flush(struct client_set *set, struct client *c)
{
    if (c->state == CLIENT_CLOSED || c->out.len == 0) {
        return;
    }
    ssize_t n = send(c->fd, c->out.mem, c->out.len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        client_close(set, c, strerror(errno));
        return;
    }
    if (n > 0) {
        bytes_drop(&c->out, (size_t)n);
    }
    client_watch(set, c, c->out.len > 0 ? EPOLLIN | EPOLLOUT : EPOLLIN);
}

int client_put(struct client *c, const char *head, size_t head_len, const uint8_t *body,
               size_t body_len, size_t tail_len, const char *tail)
{
    uint8_t start[WEBSOCKET_HEAD_MAX];
    size_t len = head_len + body_len + tail_len;
    size_t n = websocket_head(start, WEBSOCKET_TEXT, len, MASK);
    if (bytes_append(&c->out, start, n) < 0 || bytes_append(&c->out, head, head_len) < 0 ||
        bytes_append(&c->out, body, body_len) < 0 || bytes_append(&c->out, tail, tail_len) < 0) {
        return -1;
    }
    websocket_mask(c->out.mem + c->out.len - len, len, MASK);
    return 0;
}

static void client_say(struct client_set *set, struct client *c, const char *text, size_t len)
{
    if (client_put(c, text, len, NULL, 0, 0, NULL) < 0) {
        client_close(set, c, "out of memory");
        return;
    }
    client_flush(set, c);
}

/* ---- the way to ready ---- */

static void client_ready(struct client_set *set, struct client *c)
{
    c->state = CLIENT_READY;
    set->n_opening--;
    count(&set->counters.ready, 1);
}

static unsigned room_of(const struct options *o, const struct client *c, unsigned subscription)
{
    return o->subscriptions == 1 ? c->room : (c->room + subscription) % o->rooms;
}

static void client_subscribed(struct client_set *set, struct client *c)
{
    c->n_answered++;
    count(&set->counters.subscribed, 1);
    if (c->n_answered == set->run->options->subscriptions) {
        client_ready(set, c);
    }
}

/* Not all at once: the server's answers would have to wait for our reading them. */
static void client_subscribe(struct client_set *set, struct client *c)
{
    const struct options *o = set->run->options;
    char text[PROTOCOL_TEXT_MAX];
    char destination[256];
    c->state = CLIENT_SUBSCRIBING;
    while (c->n_asked < o->subscriptions && c->n_asked - c->n_answered < CLIENT_SUBSCRIBES_MAX) {
        options_room(o->destination, room_of(o, c, c->n_asked), destination, sizeof(destination));
        size_t n = o->protocol->subscribe(text, c->n_asked, destination);
        c->n_asked++;
        if (n == 0) {
            client_subscribed(set, c);
        } else if (client_put(c, text, n, NULL, 0, 0, NULL) < 0) {
            client_close(set, c, "out of memory");
            return;
        }
    }
    client_flush(set, c);
}

/* Logged in. */
static void client_connected(struct client_set *set, struct client *c)
{
    if (c->is_publisher) {
        client_ready(set, c);
        return;
    }
    client_subscribe(set, c);
}

static void client_greet(struct client_set *set, struct client *c)
{
    char text[PROTOCOL_TEXT_MAX];
    size_t n = set->run->options->protocol->hello(text, &set->run->options->login);
    if (n == 0) {
        client_connected(set, c);
        return;
    }
    c->state = CLIENT_GREETING;
    client_say(set, c, text, n);
}

static void client_upgraded(struct client_set *set, struct client *c)
{
    if (set->run->options->protocol->server_greets) {
        c->state = CLIENT_OPENING;
        return;
    }
    client_greet(set, c);
}

static void client_upgrade(struct client_set *set, struct client *c)
{
    const struct options *o = set->run->options;
    const struct options_url *url = c->is_publisher ? &o->publish_url : &o->url;
    char text[1024];
    char host[160];
    char path[256];
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
        client_close(set, c, error ? strerror(error) : "no socket");
        return;
    }
    snprintf(host, sizeof(host), "%s:%u", url->host, url->port);
    if (o->protocol->path_is_room) {
        options_room(url->path, c->room, path, sizeof(path));
    } else {
        snprintf(path, sizeof(path), "%s", url->path);
    }
    size_t n = websocket_request(text, sizeof(text), host, path, o->protocol->subprotocol);
    c->state = CLIENT_UPGRADING;
    if (n == 0 || bytes_append(&c->out, text, n) < 0) {
        client_close(set, c, "no request");
        return;
    }
    client_flush(set, c);
}

static void client_open(struct client_set *set, struct client *c)
{
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c->state = CLIENT_CONNECTING;
    set->n_opening++;
    if (c->fd < 0) {
        client_close(set, c, strerror(errno));
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    const struct sockaddr_in *address =
        c->is_publisher ? &set->run->publish_address : &set->run->address;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    c->events = event.events;
    if ((connect(c->fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(set->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) {
        client_close(set, c, strerror(errno));
    }
}

/* ---- what comes in ---- */

void client_write_mark(char mark[CLIENT_MARK_LEN + 1], uint64_t number)
{
    snprintf(mark, CLIENT_MARK_LEN + 1, "SG%012llx", (unsigned long long)number & 0xffffffffffff);
}

static bool read_mark(const uint8_t *body, size_t len, uint64_t *number)
{
    if (len < CLIENT_MARK_LEN || body[0] != 'S' || body[1] != 'G') {
        return false;
    }
    *number = 0;
    for (size_t i = 2; i < CLIENT_MARK_LEN; i++) {
        unsigned digit = body[i] <= '9' ? body[i] - (unsigned)'0' : body[i] - 'a' + 10u;
        if (digit > 15) {
            return false;
        }
        *number = *number << 4 | digit;
    }
    return true;
}

static void wake_publisher(struct client_set *set)
{
    uint64_t one = 1;
    if (set->wakes && write(set->run->wake_fd, &one, sizeof(one)) < 0) {
        return; /* EAGAIN: it is awake */
    }
}

/* Which of its subscriptions a message came for. */
static unsigned find_subscription(const struct options *o, const struct client *c,
                                  const struct websocket_frame *frame, unsigned room)
{
    if (o->subscriptions == 1) {
        return 0;
    }
    return o->protocol->subscription ? o->protocol->subscription(frame->payload, frame->len)
                                     : (room + o->rooms - c->room) % o->rooms;
}

/* Number m belongs to room m % rooms and is number m / rooms there; a room has one publisher, so
 * they come in order. */
static void client_deliver(struct client_set *set, struct client *c,
                           const struct websocket_frame *frame, uint64_t number, uint64_t now_ns)
{
    struct client_run *run = set->run;
    const struct options *o = run->options;
    unsigned room = (unsigned)(number % o->rooms);
    unsigned subscription = find_subscription(o, c, frame, room);
    uint64_t intended_ns = 0;
    if (subscription >= o->subscriptions || room_of(o, c, subscription) != room) {
        count(&set->counters.foreign, 1);
        return;
    }
    count(&set->counters.delivered, 1);
    uint32_t in_room = (uint32_t)(number / o->rooms);
    if (in_room < c->next[subscription]) {
        count(&set->counters.duplicated, 1);
        return;
    }
    c->next[subscription] = in_room + 1;
    enum ledger_answer answer = ledger_delivered(run->ledger, number, &intended_ns);
    if (answer == LEDGER_LAST) {
        wake_publisher(set);
    }
    if (answer != LEDGER_UNKNOWN &&
        intended_ns >= atomic_load_explicit(&run->from_ns, memory_order_relaxed) &&
        intended_ns < atomic_load_explicit(&run->until_ns, memory_order_relaxed)) {
        hist_record(&set->latency, now_ns - intended_ns);
    }
}

static void client_protocol(struct client_set *set, struct client *c,
                            const struct websocket_frame *frame, uint64_t now_ns)
{
    const struct protocol *protocol = set->run->options->protocol;
    const uint8_t *body = NULL;
    size_t len = 0;
    uint64_t number = 0;
    switch (protocol->receive(frame->payload, frame->len, &body, &len)) {
    case PROTOCOL_MESSAGE:
        /* Nchan tells a publisher how many there were to hear it */
        if (c->is_publisher) {
            return;
        }
        if (read_mark(body, len, &number)) {
            client_deliver(set, c, frame, number, now_ns);
        } else {
            count(&set->counters.foreign, 1);
        }
        return;
    case PROTOCOL_OPENED:
        if (c->state == CLIENT_OPENING) {
            client_greet(set, c);
        }
        return;
    case PROTOCOL_PING:
        client_say(set, c, protocol->pong, strlen(protocol->pong));
        return;
    case PROTOCOL_CONNECTED:
        if (c->state == CLIENT_GREETING) {
            client_connected(set, c);
        }
        return;
    case PROTOCOL_SUBSCRIBED:
        if (c->state == CLIENT_SUBSCRIBING) {
            client_subscribed(set, c);
        }
        if (c->state == CLIENT_SUBSCRIBING &&
            c->n_asked - c->n_answered <= CLIENT_SUBSCRIBES_MAX / 2) {
            client_subscribe(set, c);
        }
        return;
    case PROTOCOL_REFUSED: {
        char text[512];
        snprintf(text, sizeof(text), "refused: %.*s", (int)(len < 480 ? len : 480),
                 (const char *)body);
        client_close(set, c, text);
        return;
    }
    case PROTOCOL_NOTHING:
        return;
    }
}

static void client_frame(struct client_set *set, struct client *c,
                         const struct websocket_frame *frame, uint64_t now_ns)
{
    char text[256];
    switch (frame->opcode) {
    case WEBSOCKET_TEXT:
    case WEBSOCKET_BINARY:
        if (frame->is_final) {
            client_protocol(set, c, frame, now_ns);
            return;
        }
        client_close(set, c, "a fragmented message");
        return;
    case WEBSOCKET_CLOSE: {
        int code = frame->len >= 2 ? frame->payload[0] << 8 | frame->payload[1] : 0;
        int n = frame->len > 2 ? (int)frame->len - 2 : 0;
        snprintf(text, sizeof(text), "closed by the server: %d %.*s", code, n,
                 n ? (const char *)frame->payload + 2 : "");
        client_close(set, c, text);
        return;
    }
    case WEBSOCKET_PING: {
        uint8_t head[WEBSOCKET_HEAD_MAX];
        size_t n = websocket_head(head, WEBSOCKET_PONG, frame->len, MASK);
        websocket_mask(frame->payload, frame->len, MASK);
        if (bytes_append(&c->out, head, n) == 0 &&
            bytes_append(&c->out, frame->payload, frame->len) == 0) {
            client_flush(set, c);
        }
        return;
    }
    case WEBSOCKET_PONG:
        return;
    case WEBSOCKET_CONTINUATION:
        client_close(set, c, "a fragmented message");
        return;
    }
    client_close(set, c, "an unknown WebSocket opcode");
}

/* Returns how many of the bytes it took. */
static size_t client_frames(struct client_set *set, struct client *c, uint8_t *bytes, size_t len,
                            uint64_t now_ns)
{
    size_t taken = 0;
    if (c->state == CLIENT_UPGRADING) {
        int n = websocket_answer((const char *)bytes, len);
        if (n <= 0) {
            if (n < 0) {
                client_close(set, c, "no 101 to the handshake");
            }
            return 0;
        }
        taken = (size_t)n;
        client_upgraded(set, c);
    }
    struct websocket_frame frame;
    size_t n;
    while (c->state != CLIENT_CLOSED &&
           (n = websocket_take(bytes + taken, len - taken, &frame)) > 0) {
        client_frame(set, c, &frame, now_ns);
        taken += n;
    }
    return taken;
}

static int reserve_read(struct client_set *set, size_t before)
{
    if (set->read_cap >= before + CLIENT_READ_BYTES) {
        return 0;
    }
    uint8_t *mem = realloc(set->read_mem, before + CLIENT_READ_BYTES);
    if (!mem) {
        return -1;
    }
    set->read_mem = mem;
    set->read_cap = before + CLIENT_READ_BYTES;
    return 0;
}

static void client_read(struct client_set *set, struct client *c)
{
    size_t before = c->in.len;
    if (reserve_read(set, before) < 0) {
        client_close(set, c, "out of memory");
        return;
    }
    ssize_t n = recv(c->fd, set->read_mem + before, CLIENT_READ_BYTES, 0);
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            client_close(set, c, n == 0 ? "end of stream" : strerror(errno));
        }
        return;
    }
    if (before > 0) {
        memcpy(set->read_mem, c->in.mem, before);
        c->in.len = 0;
    }
    size_t len = before + (size_t)n;
    size_t taken = client_frames(set, c, set->read_mem, len, client_now_ns());
    if (c->state != CLIENT_CLOSED && taken < len &&
        bytes_append(&c->in, set->read_mem + taken, len - taken) < 0) {
        client_close(set, c, "out of memory");
    }
    if (c->in.len == 0) {
        bytes_drop(&c->in, 0);
    }
}

static void client_event(struct client_set *set, struct client *c, uint32_t events)
{
    if (c->state == CLIENT_CONNECTING) {
        client_upgrade(set, c);
        return;
    }
    if (events & EPOLLOUT) {
        client_flush(set, c);
    }
    if (c->state != CLIENT_CLOSED && (events & (EPOLLIN | EPOLLERR | EPOLLHUP))) {
        client_read(set, c);
    }
}

/* ---- the set ---- */

int client_set_init(struct client_set *set, struct client_run *run, struct client *clients,
                    unsigned n)
{
    unsigned each = run->options->subscriptions;
    *set = (struct client_set){.run = run, .clients = clients, .n = n};
    set->next = calloc((size_t)n * each + 1, sizeof(*set->next));
    set->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!set->next || set->epoll_fd < 0 || reserve_read(set, 0) < 0) {
        perror("loadgen: a loop");
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        clients[i].fd = -1;
        clients[i].next = set->next + (size_t)i * each;
    }
    return 0;
}

void client_set_open(struct client_set *set)
{
    while (set->n_opened < set->n && set->n_opening < set->run->options->connecting) {
        client_open(set, &set->clients[set->n_opened++]);
    }
}

void client_set_turn(struct client_set *set, int timeout_ms)
{
    struct epoll_event events[256];
    int n = epoll_wait(set->epoll_fd, events, 256, timeout_ms);
    for (int i = 0; i < n; i++) {
        /* without a client: a timer or a wake-up of whoever runs the loop, read by them */
        if (events[i].data.ptr) {
            client_event(set, events[i].data.ptr, events[i].events);
        }
    }
}

void client_set_fini(struct client_set *set)
{
    for (unsigned i = 0; i < set->n; i++) {
        if (set->clients[i].fd >= 0) {
            close(set->clients[i].fd);
        }
        free(set->clients[i].in.mem);
        free(set->clients[i].out.mem);
    }
    if (set->epoll_fd > 0) {
        close(set->epoll_fd);
    }
    free(set->clients);
    free(set->next);
    free(set->read_mem);
}
