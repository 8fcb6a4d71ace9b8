#include "publisher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int watch(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.ptr = NULL};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int publisher_init(struct publisher *p, struct client_set *set)
{
    const struct options *o = set->run->options;
    *p = (struct publisher){.set = set, .n = o->is_idle ? 0 : o->publishers};
    p->type = o->is_binary ? "application/octet-stream" : "text/plain";
    p->room_size = calloc(o->rooms, sizeof(*p->room_size));
    p->written = calloc(p->n + 1, sizeof(struct client *));
    p->body = malloc(o->body_bytes);
    p->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    if (!p->room_size || !p->written || !p->body || p->timer_fd < 0 ||
        watch(set->epoll_fd, p->timer_fd) < 0 || watch(set->epoll_fd, set->run->wake_fd) < 0) {
        perror("loadgen: the publisher");
        return -1;
    }
    for (unsigned i = 0; i < o->body_bytes; i++) {
        p->body[i] =
            o->is_binary ? (uint8_t)(0x80 + i * 131) : 'x'; /* a stray continuation, NULs */
    }
    deal_sizes(o, p->room_size);
    return 0;
}

void publisher_fini(struct publisher *p)
{
    free(p->room_size);
    free(p->written);
    free(p->body);
    if (p->timer_fd > 0) {
        close(p->timer_fd);
    }
}

void publisher_start(struct publisher *p, uint64_t now_ns)
{
    p->start_ns = now_ns;
}

/* The rooms take turns. */
static void publish(struct publisher *p, uint64_t intended_ns)
{
    const struct options *o = p->set->run->options;
    struct ledger *ledger = p->set->run->ledger;
    unsigned room = (unsigned)(ledger->sent % o->rooms);
    struct client *c = &p->set->clients[room % p->n];
    char destination[256];
    char head[PROTOCOL_TEXT_MAX];
    char tail[PROTOCOL_TEXT_MAX];
    char mark[CLIENT_MARK_LEN + 1];
    uint64_t number = ledger_sent(ledger, intended_ns, p->room_size[room]);
    p->expected += p->room_size[room];
    client_write_mark(mark, number);
    memcpy(p->body, mark, CLIENT_MARK_LEN);
    options_room(o->destination, room, destination, sizeof(destination));
    size_t head_len = o->protocol->publish_head(head, destination, p->type, o->body_bytes);
    size_t tail_len = o->protocol->publish_tail(tail);
    if (c->state != CLIENT_READY) {
        return;
    }
    if (c->out.len == 0) { /* else it is noted already, or waits for its socket */
        p->written[p->n_written++] = c;
    }
    struct client_message message = {.opcode = o->is_binary ? WEBSOCKET_BINARY : WEBSOCKET_TEXT,
                                     .head = head,
                                     .head_len = head_len,
                                     .body = p->body,
                                     .body_len = o->body_bytes,
                                     .tail = tail,
                                     .tail_len = tail_len};
    if (client_put(c, &message) < 0) {
        fprintf(stderr, "loadgen: out of memory\n");
    }
}

static uint64_t due_ns(const struct publisher *p)
{
    double interval_ns = 1e9 / p->set->run->options->rate;
    return p->start_ns + (uint64_t)((double)p->scheduled * interval_ns);
}

static void set_timer(struct publisher *p)
{
    uint64_t at = due_ns(p);
    struct itimerspec when = {
        .it_value = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)}};
    timerfd_settime(p->timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static uint64_t on_their_way(struct publisher *p)
{
    struct ledger *ledger = p->set->run->ledger;
    return ledger->sent - atomic_load_explicit(&ledger->completed, memory_order_acquire);
}

void publisher_turn(struct publisher *p, uint64_t now_ns)
{
    const struct options *o = p->set->run->options;
    if (o->window > 0) {
        while (on_their_way(p) < o->window) {
            publish(p, now_ns);
        }
    } else {
        /* a server that falls behind by half the ledger is given time; the schedule is not */
        while (due_ns(p) <= now_ns && on_their_way(p) < LEDGER_MAX / 2) {
            uint64_t behind_ns = now_ns - due_ns(p);
            p->behind_ns = behind_ns > p->behind_ns ? behind_ns : p->behind_ns;
            publish(p, due_ns(p));
            p->scheduled++;
        }
        set_timer(p);
    }
    for (unsigned i = 0; i < p->n_written; i++) {
        client_flush(p->set, p->written[i]);
    }
    p->n_written = 0;
}
