#include "gateway/fanout/outq.h"

#include <assert.h>
#include <stdlib.h>

/* An emptied ring of up to so many entries is kept: a client in a busy room fills it again in the
 * next loop turn. */
#define KEPT_CAP 16

void outq_dirty_init(struct outq_dirty *dirty)
{
    list_init(&dirty->now);
    list_init(&dirty->later);
}

void outq_init(struct outq *q, size_t limit_bytes, struct outq_dirty *dirty)
{
    *q = (struct outq){
        .ring = q->inline_ring, .cap = OUTQ_INLINE, .limit_bytes = limit_bytes, .dirty = dirty};
    list_init(&q->node);
}

static void set_ring(struct outq *q, struct outq_entry *ring, uint32_t cap)
{
    if (q->ring != q->inline_ring) {
        free(q->ring);
    }
    q->ring = ring;
    q->cap = cap;
    q->head = 0;
}

void outq_mark(struct outq *q)
{
    list_remove(&q->node);
    list_push(&q->dirty->now, &q->node);
}

void outq_fini(struct outq *q)
{
    outq_pop(q, q->n);
    set_ring(q, q->inline_ring, OUTQ_INLINE);
    list_remove(&q->node);
}

static int grow(struct outq *q)
{
    uint32_t cap = q->cap * 2;
    struct outq_entry *ring = malloc(cap * sizeof *ring);
    if (!ring) {
        return -1;
    }
    for (uint32_t i = 0; i < q->n; i++) {
        ring[i] = q->ring[(q->head + i) & (q->cap - 1)];
    }
    set_ring(q, ring, cap);
    return 0;
}

static void count(struct outq *q, struct outq_entry e, bool is_in)
{
    size_t len = is_in ? e.message->len : 0 - (size_t)e.message->len;
    q->bytes += len;
    q->own_bytes += e.kind == OUTQ_OWN ? len : 0;
    q->private_bytes += e.kind == OUTQ_PRIVATE ? len : 0;
}

static enum outq_result append(struct outq *q, struct message *m, enum outq_kind kind)
{
    if (q->n == q->cap && grow(q) != 0) {
        return OUTQ_MEMORY;
    }
    struct outq_entry e = {message_ref(m), kind};
    q->ring[(q->head + q->n) & (q->cap - 1)] = e;
    q->n++;
    count(q, e, true);
    if (kind != OUTQ_LIVE) {
        outq_mark(q);
    } else if (list_is_empty(&q->node)) {
        list_push(&q->dirty->later, &q->node);
    }
    return OUTQ_OK;
}

/* Keeps the entries for which nothing says that they go, in order; stops dropping once no more than
 * `target` bytes of live messages are left. `is_end`: private ones go as well. */
static void drop(struct outq *q, size_t target, bool is_end)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < q->n; i++) {
        struct outq_entry e = q->ring[(q->head + i) & (q->cap - 1)];
        bool is_begun = i == 0 && q->first_off > 0;
        bool is_droppable = e.kind == OUTQ_LIVE && outq_live_bytes(q) > target;
        if (!is_begun && (is_droppable || (is_end && e.kind == OUTQ_PRIVATE))) {
            count(q, e, false);
            q->dropped += e.kind == OUTQ_LIVE ? e.message->n_frames : 0;
            q->has_gap = q->has_gap || e.kind == OUTQ_LIVE;
            message_unref(e.message);
        } else {
            q->ring[(q->head + kept++) & (q->cap - 1)] = e;
        }
    }
    q->n = kept;
}

enum outq_result outq_push(struct outq *q, struct message *m, enum outq_policy policy)
{
    if (!outq_is_full(q)) {
        return append(q, m, OUTQ_LIVE);
    }
    if (policy == OUTQ_CLOSE) {
        return OUTQ_OVER;
    }
    /* A quarter is freed at a time, so that a full queue is not walked for every message. */
    bool is_begun = q->first_off > 0 && q->ring[q->head].kind == OUTQ_LIVE;
    size_t on_its_way = is_begun ? outq_first(q)->len : 0;
    drop(q, on_its_way + q->limit_bytes / 4 * 3, false);
    enum outq_result result = append(q, m, OUTQ_LIVE);
    return result == OUTQ_OK ? OUTQ_DROPPED : result;
}

enum outq_result outq_push_own(struct outq *q, struct message *m)
{
    bool has_room = q->own_bytes < q->limit_bytes;
    enum outq_result result = has_room ? append(q, m, OUTQ_OWN) : OUTQ_OVER;
    message_unref(m);
    return result;
}

enum outq_result outq_push_private(struct outq *q, struct message *m)
{
    enum outq_result result = append(q, m, OUTQ_PRIVATE);
    message_unref(m);
    return result;
}

struct message *outq_first(const struct outq *q)
{
    return q->n > 0 ? q->ring[q->head].message : NULL;
}

void outq_pop(struct outq *q, uint32_t n)
{
    assert(n <= q->n);
    for (uint32_t i = 0; i < n; i++) {
        struct outq_entry e = q->ring[(q->head + i) & (q->cap - 1)];
        count(q, e, false);
        q->private_popped += e.kind == OUTQ_PRIVATE;
        message_unref(e.message);
    }
    if (n > 0) {
        q->first_off = 0;
        q->head = (q->head + n) & (q->cap - 1);
        q->n -= n;
    }
    if (q->n == 0) {
        q->head = 0;
        if (q->cap > KEPT_CAP) {
            set_ring(q, q->inline_ring, OUTQ_INLINE);
        }
    }
}

void outq_drop_live(struct outq *q)
{
    if (q->n > 0) {
        drop(q, 0, true);
        outq_pop(q, 0);
    }
}
