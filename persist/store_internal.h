/* The worker's inside, for store.c and store_metrics.c alone. */
#pragma once

#include <uv.h>

#include "amqp/broker.h"
#include "common/id.h"
#include "persist/batch.h"
#include "persist/dead.h"
#include "persist/pg.h"
#include "persist/store.h"
#include "persist/upkeep.h"
#include "persist/writer.h"

enum store_state {
    STORE_IDLE,
    STORE_RUNNING,  /* consuming, or about to as soon as the broker is there */
    STORE_PARKED,   /* the consumer is cancelled for a while */
    STORE_STOPPING, /* finishes what it holds */
    STORE_CLOSING,  /* closes its connections */
    STORE_STOPPED
};

struct store_counts {
    uint64_t stored;
    uint64_t duplicates;
    uint64_t conflicts;
    uint64_t refused;
    uint64_t unidentified; /* brought nothing by which a second delivery could be known */
    uint64_t redelivered;
    uint64_t batches;
    uint64_t bytes;
    uint64_t parks;
};

/* Invariants: filling and flying are the two batches, never the same; flying is NULL when nothing
 * is being written; rows of both have tags of `epoch` unless is_void (then those of flying have
 * not). */
struct store {
    uv_loop_t *loop;
    const struct config *config;
    char name[128];
    char tag[128];
    enum store_state state;
    struct broker *broker;
    struct dead *dead;
    struct pg *pg;
    struct writer *writer;
    struct upkeep *upkeep;
    uv_timer_t flush; /* the filling batch is due */
    uv_timer_t tick;
    int n_timers; /* not closed yet, while closing */
    struct id_generator ids;
    struct batch_limits limits;
    struct batch batches[2];
    struct batch *filling;
    struct batch *flying;
    bool is_void;    /* what is flying was handed back to the queue: its tags are nobody's */
    bool is_burying; /* what is flying waits for its dead letters */
    bool has_epoch;
    uint32_t epoch;
    uint64_t last_tag;    /* delivered in this epoch */
    uint64_t settled_tag; /* acknowledged or handed back up to here, in this epoch */
    unsigned prefetch;
    size_t held_max_bytes;
    size_t largest; /* body since the last tuning */
    uint64_t tune_ms;
    uint64_t progress;    /* statements that succeeded and dead letters, when last looked at */
    uint64_t progress_ms; /* when that changed */
    uint64_t park_until_ms;
    uint64_t stop_ms;
    void (*on_delivery)(void *owner, uint64_t cookie, const struct broker_delivery *delivery);
    void (*stopped)(void *owner);
    void *stopped_owner;
    struct store_counts counts;
};
