/* The live side of a reactor: its AMQP connection "live", the live queues on it, and who listens to
 * them. DESIGN section 3.
 *
 * One live queue per topic exchange, shared by all its rooms; one per fanout exchange; and for
 * exchanges of which only the administrator knows the type a tap per (exchange, key). The first
 * local subscriber of a room binds, the last one unbinds after a linger.
 *
 * Belongs to one loop thread. Callbacks run from the loop, never from inside a call to live_*.
 */
#pragma once

#include "amqp/broker.h"
#include "common/config.h"
#include "common/wheel.h"
#include "gateway/fanout/audience.h"
#include "gateway/session/session.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct live;
struct history;
struct uv_loop_s;

struct live_host {
    /* The answer to a live_subscribe() that said SESSION_WAIT. */
    void (*subscribed)(void *owner, struct subscriber *s, const struct session_problem *problem);

    /* A subscription that stood has ended: the broker refuses its binding or its queue now. It is
     * in no room any more; live_unsubscribe() may still be called. */
    void (*lost)(void *owner, struct subscriber *s, const struct session_problem *problem);

    /* The client is to be closed, at the end of the loop turn: its out queue is over its bound; its
     * route closes on a gap. Both may be said more than once. */
    void (*over)(void *owner);

    /* This out queue is full in the middle of a loop turn: what the socket takes goes out now. */
    void (*flush)(struct outq *q);
    void (*gap)(void *owner);

    /* Of the AMQP connection. */
    void (*state)(void *reactor, enum broker_state state);
};

struct live_options {
    struct uv_loop_s *loop;
    const struct config *config;
    struct wheel *wheel;
    const uint64_t *now_ms;  /* the reactor's clock */
    struct history *history; /* for on_gap = fill; NULL: fill becomes mark */
    const char *name;        /* of the reactor: "chat-1.0" */
    const struct live_host *host;
    void *reactor;
};

struct live_stats {
    uint64_t delivered; /* by the broker */
    uint64_t queued;    /* copies to clients */
    uint64_t dropped;   /* copies that a full queue of a client lost (on_slow = "drop") */
    uint64_t
        unheard; /* deliveries that nobody here listens to (a binding that lingers, a prefix) */
    uint64_t gaps;
    uint64_t filled; /* messages given again from the database after a gap */
    size_t queues;
    size_t rooms;
};

/* NULL when out of memory. Everything in the options is borrowed. */
struct live *live_new(const struct live_options *options);
void live_start(struct live *live);
void live_stop(struct live *live, void (*stopped)(void *reactor));

/* After stopped; all subscribers have left. */
void live_free(struct live *live);

/* Deliveries came whose MESSAGEs are not on out queues yet. */
bool live_is_pending(const struct live *live);

/* Puts them there. */
void live_settle(struct live *live);

/* Once per loop turn, before the loop waits: asks the broker what subscribers have brought up. */
void live_turn(struct live *live);

/* The subscriber has everything from `handle` on set. SESSION_DONE: MESSAGEs come from now on.
 * SESSION_WAIT: host.subscribed will say. */
enum session_verdict live_subscribe(struct live *live, const struct destination *d,
                                    struct subscriber *s, struct session_problem *problem);

/* Does nothing for one that is nowhere. */
void live_unsubscribe(struct live *live, struct subscriber *s);

const struct broker *live_broker(const struct live *live);
void live_stats(const struct live *live, struct live_stats *stats);
