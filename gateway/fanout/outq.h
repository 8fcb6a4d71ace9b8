/* What one client is still due: a ring of pointers to shared messages, bounded in bytes. DESIGN
 * section 7.
 *
 * The bound is on the live messages that wait behind the first: a message that finds less than that
 * is taken whatever its size. So the largest message and a small one in one loop turn, in either
 * order, make nobody a slow client. Messages of private subscriptions have a bound of their own,
 * outside of here: the broker keeps what does not fit.
 *
 * Pushing marks the queue dirty: its node goes on one of the reactor's lists, and the end of the
 * loop turn flushes each dirty queue once; live messages alone may wait a little longer. An empty
 * queue holds at most a small ring (256 bytes). Belongs to one loop thread.
 *
 * Invariants: bytes is the sum of the queued lens, own_bytes and private_bytes are the parts of
 * those kinds; a queue is on the dirty list at most once.
 */
#pragma once

#include "common/list.h"
#include "gateway/fanout/message.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum outq_policy {
    OUTQ_CLOSE,      /* at the bound: refuse, the client is to be closed */
    OUTQ_DROP_OLDEST /* at the bound: whole droppable messages at the front make room */
};

enum outq_result {
    OUTQ_OK,
    OUTQ_DROPPED, /* queued, but older ones were dropped (outq.dropped counts) */
    OUTQ_OVER,    /* not queued: the bound */
    OUTQ_MEMORY   /* not queued: out of memory */
};

enum outq_kind {
    OUTQ_LIVE,   /* a live MESSAGE: may be dropped */
    OUTQ_OWN,    /* RECEIPT, ERROR, heart-beat */
    OUTQ_PRIVATE /* a MESSAGE that the broker keeps until it is settled */
};

struct outq_entry {
    struct message *message;
    enum outq_kind kind;
};

/* Queues that hold something new: a reactor has one of these. */
struct outq_dirty {
    struct list now;   /* to be flushed at the end of this loop turn */
    struct list later; /* live messages alone, which may gather a little (pace.h) */
};

void outq_dirty_init(struct outq_dirty *dirty);

#define OUTQ_INLINE 2 /* entries without a ring of their own; a power of two */

struct outq {
    struct list node;         /* in one of the lists of *dirty, or in none */
    struct outq_entry *ring;  /* inline_ring, or on the heap */
    struct outq_dirty *dirty; /* the reactor's; borrowed */
    uint32_t head;
    uint32_t n;
    uint32_t cap;
    bool is_plain; /* no WebSocket around its frames: takes no packs */
    bool has_gap;  /* messages were dropped: the next MESSAGE is to say so */
    size_t bytes;
    size_t own_bytes;
    size_t private_bytes;
    size_t limit_bytes;
    size_t first_off; /* bytes of the first message that were written already: it is never dropped
                         then */
    struct outq_entry inline_ring[OUTQ_INLINE];
    uint64_t private_popped; /* messages of private subscriptions that were written, ever */
    uint64_t dropped;
};

/* It stays where it is from now on. */
void outq_init(struct outq *q, size_t limit_bytes, struct outq_dirty *dirty);

/* To be flushed at the end of this turn, whatever it holds. */
void outq_mark(struct outq *q);

/* Drops what is queued and leaves the dirty list. */
void outq_fini(struct outq *q);

/* Shares a live message (takes a reference of its own when it is queued). */
enum outq_result outq_push(struct outq *q, struct message *m, enum outq_policy policy)
    __attribute__((warn_unused_result));

/* Takes the caller's reference, also on failure. Answers of the session itself: among themselves
 * they have the same bound, whatever live messages wait. */
enum outq_result outq_push_own(struct outq *q, struct message *m)
    __attribute__((warn_unused_result));

/* Takes the caller's reference, also on failure. Only memory can fail. */
enum outq_result outq_push_private(struct outq *q, struct message *m)
    __attribute__((warn_unused_result));

/* The first message, borrowed, or NULL. */
struct message *outq_first(const struct outq *q);

/* Message number i from the front; i < q->n. */
static inline struct message *outq_at(const struct outq *q, uint32_t i)
{
    return q->ring[(q->head + i) & (q->cap - 1)].message;
}

/* The first n messages were written to their end. */
void outq_pop(struct outq *q, uint32_t n);

static inline size_t outq_live_bytes(const struct outq *q)
{
    return q->bytes - q->own_bytes - q->private_bytes;
}

/* True when the next live message would be refused, or cost older ones. */
static inline bool outq_is_full(const struct outq *q)
{
    if (q->n == 0) {
        return false;
    }
    size_t first = q->ring[q->head].kind == OUTQ_LIVE ? outq_at(q, 0)->len : 0;
    return outq_live_bytes(q) - first >= q->limit_bytes;
}

/* Drops all MESSAGEs, private ones too: the client is being closed, and only what the session
 * itself says still goes out. */
void outq_drop_live(struct outq *q);
