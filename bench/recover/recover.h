/* The client of bench/recover.mjs: very many rooms on few connections, and what others feel of the
 * broker meanwhile. Three threads that share nothing but the table of marks:
 *
 *     rooms      STOMP over WebSocket, epoll: subscribes each room once, notes when a mark comes
 *     publisher  plain AMQP: a mark to a random room, at a rate; or once to each room (a sweep)
 *     bystander  plain AMQP, to an exchange and a queue of its own: how long does a confirm take,
 *                and how long a bind and an unbind
 *
 * All times are CLOCK_REALTIME in nanoseconds, so that the driver can lay them beside log lines.
 */
#pragma once

#include <amqp.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct recover_options {
    const char *host;
    unsigned ws_port;
    const char *ws_path;
    unsigned amqp_port;
    const char *exchange;
    const char *prefix; /* "room.": destination /topic/room.N, routing key room.N */
    unsigned connections;
    unsigned rooms; /* of all connections together */
    unsigned rate;  /* marks per second */
    unsigned bystander_rate;
    unsigned max_marks;
    int nice;
};

/* One message on its way to one room. */
struct recover_mark {
    uint64_t sent_ns; /* 0: not sent */
    _Atomic uint64_t heard_ns;
    _Atomic uint32_t n_heard;
    uint32_t room;
};

struct recover_sample {
    uint64_t at_ns;
    uint64_t took_ns;
};

struct recover_samples {
    struct recover_sample *all;
    unsigned n;
    unsigned cap;
};

struct recover {
    struct recover_options options;
    struct recover_mark *marks;
    _Atomic unsigned n_marks;
    _Atomic bool is_publishing;
    _Atomic bool is_sweeping; /* each room once, as fast as the broker takes it; ends by itself */
    _Atomic bool is_over;
    _Atomic unsigned n_subscribed; /* rooms */
    _Atomic unsigned n_foreign;    /* marks heard in a room that they are not for */
    _Atomic unsigned n_closed;     /* connections that ended */
    struct recover_samples confirms;
    struct recover_samples binds;
};

uint64_t recover_now_ns(void);

/* Each is the body of a thread; `arg` is the struct recover. They return when is_over. */
void *rooms_run(void *arg);
void *publisher_run(void *arg);
void *bystander_run(void *arg);
void *binder_run(void *arg);

/* amqp.c: a connection with one open channel. Ends the program when there is none to be had. */
amqp_connection_state_t amqp_dial(const struct recover_options *o, const char *name);
