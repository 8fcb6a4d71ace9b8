#include "client_internal.h"

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

#define CLIENTS_OF_ADDRESS 2000

uint64_t client_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void client_write_mark(char mark[CLIENT_MARK_LEN + 1], uint64_t number)
{
    snprintf(mark, CLIENT_MARK_LEN + 1, "SG%012llx", (unsigned long long)number & 0xffffffffffff);
}

static bool is_opening(const struct client *c)
{
    return c->state > CLIENT_NEW && c->state < CLIENT_READY;
}

static void release(struct client *c)
{
    tls_free(c->tls);
    c->tls = NULL;
    if (c->fd >= 0) {
        close(c->fd);
    }
    c->fd = -1;
    bytes_drop(&c->in, c->in.len);
    bytes_drop(&c->out, c->out.len);
}

void client_fate_add(struct client_fate fates[CLIENT_FATES_MAX], unsigned code, uint64_t n)
{
    unsigned i = 0;
    while (i < CLIENT_FATES_MAX - 1 && fates[i].n > 0 && fates[i].code != code) {
        i++;
    }
    fates[i].code = code;
    fates[i].n += n;
}

/* That a server ends one that does not read is no fault of the run. */
static void stalled_ended(struct client_set *set, struct client *c)
{
    client_fate_add(set->fates, c->close_code, 1);
    release(c);
    c->state = CLIENT_CLOSED;
    client_count(&set->counters.stalled_closed, 1);
}

void client_close(struct client_set *set, struct client *c, const char *why)
{
    static _Atomic bool is_told;
    if (c->state == CLIENT_CLOSED) {
        return;
    }
    set->n_opening -= is_opening(c) ? 1 : 0;
    if (c->state == CLIENT_STALLED || c->state == CLIENT_WAKING) {
        stalled_ended(set, c);
        return;
    }
    if (c->state == CLIENT_LEAVING) {
        c->has_left = true;
        release(c);
        c->state = CLIENT_CLOSED;
        return;
    }
    if (!atomic_exchange(&is_told, true)) {
        fprintf(stderr, "loadgen: %s: a connection ended: %s\n", set->run->options->label, why);
    }
    release(c);
    c->state = CLIENT_CLOSED;
    client_count(&set->counters.closed, 1);
}

void client_watch(struct client_set *set, struct client *c, bool is_writing)
{
    uint32_t events =
        (c->state == CLIENT_STALLED ? EPOLLRDHUP : EPOLLIN) | (is_writing ? EPOLLOUT : 0);
    struct epoll_event event = {.events = events, .data.ptr = c};
    if (c->events != events && epoll_ctl(set->epoll_fd, EPOLL_CTL_MOD, c->fd, &event) == 0) {
        c->events = events;
    }
}

static ssize_t client_send(struct client *c)
{
    const uint8_t *bytes = bytes_begin(&c->out);
    return c->tls ? tls_write(c->tls, bytes, c->out.len)
                  : send(c->fd, bytes, c->out.len, MSG_NOSIGNAL);
}

void client_flush(struct client_set *set, struct client *c)
{
    if (c->state == CLIENT_CLOSED || c->out.len == 0) {
        return;
    }
    ssize_t n = client_send(c);
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        client_close(set, c, strerror(errno));
        return;
    }
    if (n > 0) {
        bytes_drop(&c->out, (size_t)n);
    }
    client_watch(set, c, c->out.len > 0 && !(c->tls && tls_waits_for_read(c->tls)));
}

int client_put(struct client *c, const struct client_message *m)
{
    uint8_t start[WEBSOCKET_HEAD_MAX];
    size_t len = m->head_len + m->body_len + m->tail_len;
    size_t n = websocket_head(start, m->opcode, len, CLIENT_MASK);
    uint8_t *to = bytes_reserve(&c->out, n + len);
    if (!to || bytes_append(&c->out, start, n) < 0 ||
        bytes_append(&c->out, m->head, m->head_len) < 0 ||
        bytes_append(&c->out, m->body, m->body_len) < 0 ||
        bytes_append(&c->out, m->tail, m->tail_len) < 0) {
        return -1;
    }
    websocket_mask(to + n, len, CLIENT_MASK);
    return 0;
}

void client_say(struct client_set *set, struct client *c, const char *text, size_t len)
{
    struct client_message message = {.opcode = WEBSOCKET_TEXT, .head = text, .head_len = len};
    if (client_put(c, &message) < 0) {
        client_close(set, c, "out of memory");
        return;
    }
    client_flush(set, c);
}

/* The kernel looks for a free port one by one. Beyond some thousand connections between the same
 * two addresses that takes longer than all else, so on loopback they come from several. */
static void client_bind(const struct client_set *set, const struct client *c,
                        const struct sockaddr_in *to)
{
    uint32_t host = ntohl(to->sin_addr.s_addr);
    struct sockaddr_in from = {.sin_family = AF_INET};
    int one = 1;
    if (host >> 24 == 127) {
        from.sin_addr.s_addr =
            htonl(0x7f000001u + (uint32_t)(c - set->clients) / CLIENTS_OF_ADDRESS);
        setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof(one));
        (void)bind(c->fd, (const struct sockaddr *)&from, sizeof(from)); /* or from wherever */
    }
}

void client_open(struct client_set *set, struct client *c)
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
    if (c->is_stalled) {
        int bytes = CLIENT_STALLED_RCVBUF;
        setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    }
    const struct sockaddr_in *address =
        c->is_publisher ? &set->run->publish_address : &set->run->address;
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = c};
    c->events = event.events;
    client_bind(set, c, address);
    if ((connect(c->fd, (const struct sockaddr *)address, sizeof(*address)) < 0 &&
         errno != EINPROGRESS) ||
        epoll_ctl(set->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) < 0) {
        client_close(set, c, strerror(errno));
    }
}

/* Reads from now on. What is there may end with the server's reason. */
static void client_wake(struct client_set *set, struct client *c)
{
    c->state = CLIENT_WAKING;
    client_watch(set, c, c->out.len > 0);
}

static void wake_all(struct client_set *set)
{
    set->is_awake = true;
    for (unsigned i = 0; i < set->n; i++) {
        if (set->clients[i].state == CLIENT_STALLED) {
            client_wake(set, &set->clients[i]);
        }
    }
}

static void client_event(struct client_set *set, struct client *c, uint32_t events)
{
    if (c->state == CLIENT_CONNECTING) {
        client_join(set, c);
        return;
    }
    if (events & EPOLLOUT) {
        client_flush(set, c);
    }
    if (c->state == CLIENT_STALLED && (events & ~(uint32_t)EPOLLOUT)) {
        client_wake(set, c);
        return;
    }
    if (c->state != CLIENT_CLOSED && (events & (EPOLLIN | EPOLLERR | EPOLLHUP))) {
        client_read(set, c);
        while (c->tls && tls_has_more(c->tls) && c->state != CLIENT_STALLED) {
            client_read(set, c);
        }
        if (c->tls && tls_waits_for_read(c->tls)) {
            client_flush(set, c);
        }
    }
}

/* ---- the set ---- */

/* A row of next_all for each subscription that hears all rooms. */
static int count_all_rooms(struct client_set *set)
{
    const struct options *o = set->run->options;
    uint32_t rows = 0;
    for (unsigned i = 0; o->pattern_hears_all && i < set->n; i++) {
        struct client *c = &set->clients[i];
        for (unsigned s = 0; !c->is_publisher && s < o->subscriptions; s++) {
            if (deal_hears_all(o, c->first + s)) {
                c->next[s] = rows++;
            }
        }
    }
    set->next_all = rows > 0 ? calloc((size_t)rows * o->rooms, sizeof(*set->next_all)) : NULL;
    if (rows > 0 && !set->next_all) {
        perror("loadgen: counters");
        return -1;
    }
    return 0;
}

int client_set_init(struct client_set *set, struct client_run *run, struct client *clients,
                    unsigned n)
{
    unsigned each = run->options->subscriptions;
    *set = (struct client_set){.run = run, .clients = clients, .n = n, .since_ns = client_now_ns()};
    set->next = calloc((size_t)n * each + 1, sizeof(*set->next));
    set->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!set->next || set->epoll_fd < 0) {
        perror("loadgen: a loop");
        return -1;
    }
    for (unsigned i = 0; i < n; i++) {
        clients[i].fd = -1;
        clients[i].next = set->next + (size_t)i * each;
    }
    return count_all_rooms(set);
}

void client_set_open(struct client_set *set)
{
    while (set->n_opened < set->n && set->n_opening < set->run->options->connecting) {
        client_open(set, &set->clients[set->n_opened++]);
    }
}

/* One wheel for all: its hand passes every client once in heartbeat_ms. */
static void beat(struct client_set *set)
{
    const struct options *o = set->run->options;
    uint64_t turn_ns = (uint64_t)o->login.heartbeat_ms * 1000000;
    uint64_t hand = (client_now_ns() - set->since_ns) / 1000 * set->n / (turn_ns / 1000);
    if (hand > set->n_beats + set->n) {
        set->n_beats = hand - set->n; /* who is late once beats once */
    }
    for (; set->n_beats < hand; set->n_beats++) {
        struct client *c = &set->clients[set->n_beats % set->n];
        if (c->state >= CLIENT_SUBSCRIBING && c->state <= CLIENT_STALLED) {
            client_say(set, c, o->protocol->beat, strlen(o->protocol->beat));
        }
    }
}

void client_set_turn(struct client_set *set, int timeout_ms)
{
    struct epoll_event events[256];
    if (!set->is_awake && atomic_load_explicit(&set->run->is_waking, memory_order_relaxed)) {
        wake_all(set);
    }
    int n = epoll_wait(set->epoll_fd, events, 256, timeout_ms);
    for (int i = 0; i < n; i++) {
        /* without a client: a timer or a wake-up of whoever runs the loop, read by them */
        if (events[i].data.ptr) {
            client_event(set, events[i].data.ptr, events[i].events);
        }
    }
    if (set->run->options->login.heartbeat_ms > 0) {
        beat(set);
    }
}

void client_set_fini(struct client_set *set)
{
    for (unsigned i = 0; i < set->n; i++) {
        release(&set->clients[i]);
    }
    if (set->epoll_fd > 0) {
        close(set->epoll_fd);
    }
    free(set->clients);
    free(set->next);
    free(set->next_all);
    inlet_fini(&set->inlet);
}
