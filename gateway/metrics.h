/* Counters and gauges of a reactor, read by whichever reactor answers GET /metrics. One of the two
 * things that threads share (the other is the log): each value has one writer, its reactor; readers
 * may be anywhere. Names and meanings: docs/OPERATIONS.md.
 */
#pragma once

#include "gateway/session/reason.h"

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum metric {
    METRIC_CONNECTIONS,   /* gauge: sockets accepted and not closed */
    METRIC_SESSIONS,      /* gauge: WebSockets, and plain connections */
    METRIC_TCP_SESSIONS,  /* gauge: those of plain TCP */
    METRIC_SUBSCRIPTIONS, /* gauge */
    METRIC_ACCEPTED,
    METRIC_ACCEPT_PAUSED,     /* times that accepting paused for want of file descriptors */
    METRIC_ACCEPT_REFUSED,    /* sockets closed at once: a limit on connections */
    METRIC_HANDSHAKE_REFUSED, /* upgrades answered with 4xx */
    METRIC_BYTES_IN,
    METRIC_BYTES_OUT,
    METRIC_FLUSHES,  /* writes to sockets */
    METRIC_SENDS,    /* SENDs handed to the broker */
    METRIC_MESSAGES, /* MESSAGEs queued to clients */
    METRIC_MESSAGES_DROPPED,
    METRIC_CLIENTS_BEHIND,  /* gauge: clients for which something waits */
    METRIC_OUT_QUEUE_BYTES, /* gauge: how much */
    METRIC_DELIVERIES,      /* from the broker */
    METRIC_DELIVERIES_UNHEARD,
    METRIC_ROOMS,            /* gauge */
    METRIC_BINDINGS_WAITING, /* gauge */
    METRIC_PREFIXES,         /* gauge */
    METRIC_BINDS,
    METRIC_UNBINDS,
    METRIC_LIVE_QUEUES, /* gauge */
    METRIC_GAPS,
    METRIC_FILLED,
    METRIC_RESTORED,       /* things of ours that somebody deleted and that were put back */
    METRIC_BROKER_UP,      /* gauge: 1 when both connections are up */
    METRIC_BROKER_BLOCKED, /* gauge */
    METRIC_BROKER_CONNECTS,
    METRIC_BROKER_CHANNEL_ERRORS,
    METRIC_PUBLISH_CONFIRMED,
    METRIC_PUBLISH_NACKED,
    METRIC_PUBLISH_RETURNED,
    METRIC_PUBLISH_REFUSED,
    METRIC_PUBLISH_REPUBLISHED,
    METRIC_PUBLISH_UNCONFIRMED, /* gauge */
    METRIC_PRIVATE_CONNECTIONS, /* gauge */
    METRIC_PRIVATE_CHANNELS,    /* gauge: sessions with a channel of their own */
    METRIC_PRIVATE_CONSUMERS,   /* gauge */
    METRIC_PRIVATE_DELIVERIES,
    METRIC_PRIVATE_MESSAGES, /* MESSAGEs of private subscriptions queued to clients */
    METRIC_PRIVATE_ACKED,
    METRIC_PRIVATE_REQUEUED,
    METRIC_PRIVATE_HELD,
    METRIC_PRIVATE_RESTORED,
    METRIC_PRIVATE_CHANNEL_ERRORS,
    METRIC_HISTORY_QUERIES,
    METRIC_HISTORY_READS,
    METRIC_HISTORY_FAILED,
    METRIC_COUNT
};

struct metrics {
    const char *reactor; /* "0": the label */
    _Atomic uint64_t values[METRIC_COUNT];
    _Atomic uint64_t closed[CLOSE_REASON_COUNT];
};

static inline void metrics_set(struct metrics *m, enum metric which, uint64_t value)
{
    atomic_store_explicit(&m->values[which], value, memory_order_relaxed);
}

/* By the owner only: a load and a store, no locked instruction. */
static inline void metrics_add(struct metrics *m, enum metric which, int64_t n)
{
    metrics_set(m, which,
                atomic_load_explicit(&m->values[which], memory_order_relaxed) + (uint64_t)n);
}

static inline void metrics_closed(struct metrics *m, enum close_reason reason)
{
    uint64_t n = atomic_load_explicit(&m->closed[reason], memory_order_relaxed);
    atomic_store_explicit(&m->closed[reason], n + 1, memory_order_relaxed);
}

/* The Prometheus text (version 0.0.4) of n reactors; the caller frees it. NULL when out of memory.
 */
char *metrics_text(struct metrics *const *all, size_t n);
