/* What is kept and is not there: after a reconnect, after an administrator, after the sweep. And
 * how the keys of a group are heard while they are put back: a queue gets one copy of a message
 * however many of its bindings match, so the prefix can be bound first, which makes all keys heard
 * after one round trip, and be taken away when the exact bindings stand. */
#include "amqp/broker_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SWEEP_TICK_MS 250

/* ---- Groups ---- */

static bool has_prefix(const struct group *g)
{
    return g->queue && g->queue->prefix_key && !g->has_no_prefix;
}

static bool is_over(const struct group *g)
{
    return has_prefix(g) && g->queue->bind_max > 0 && g->n_keys > g->queue->bind_max;
}

static void reconcile_keys(struct broker *b, struct group *g)
{
    struct list *n = g->keys.next;
    bool more = n != &g->keys;
    while (more) {
        struct list *next = n->next; /* the last one may take the group with it */
        struct binding *x = LIST_OWNER(n, struct binding, node);
        more = next != &g->keys;
        kept_reconcile(b, &x->kept);
        n = next;
    }
}

static bool ensure_prefix(struct broker *b, struct group *g)
{
    if (!g->prefix && !binding_get(b, g, slice_of(g->queue->prefix_key))) {
        log_error(b->name, "broker.no_memory", "queue=%s", g->queue->name);
        return false;
    }
    return true;
}

static const char *mode_str(enum group_mode mode)
{
    switch (mode) {
    case GROUP_EXACT:
        return "exact";
    case GROUP_JOINING:
        return "joining";
    case GROUP_PREFIX:
        return "prefix";
    }
    return "?";
}

static void set_mode(struct broker *b, struct group *g, enum group_mode mode)
{
    if (mode != GROUP_EXACT && !ensure_prefix(b, g)) {
        mode = GROUP_EXACT;
    }
    if (g->mode != mode) {
        log_info(b->name, "broker.bindings",
                 "queue=%s exchange=%s keys=%zu standing=%zu from=%s to=%s", g->id, g->exchange,
                 g->n_keys, g->n_standing, mode_str(g->mode), mode_str(mode));
        g->mode = mode;
    }
}

/* Without a connection nothing is decided here: restore_group() will. */
void group_review(struct broker *b, struct group *g)
{
    if (!broker_is_connected(b) || !has_prefix(g)) {
        return;
    }
    switch (g->mode) {
    case GROUP_EXACT:
        if (is_over(g)) {
            set_mode(b, g, GROUP_PREFIX);
            if (group_is_covered(g)) {
                group_prefix_stands(b, g); /* its owner had bound it, or it has not gone yet */
            } else if (g->prefix) {
                kept_reconcile(b, &g->prefix->kept);
            }
        }
        break;
    case GROUP_JOINING:
        if (is_over(g)) {
            set_mode(b, g, GROUP_PREFIX);
            if (group_is_covered(g)) {
                group_prefix_stands(b, g);
            }
        } else if (g->n_standing == g->n_keys) {
            set_mode(b, g, GROUP_EXACT);
            kept_reconcile(b, &g->prefix->kept);
        }
        break;
    case GROUP_PREFIX:
        if (g->n_keys < g->queue->bind_max - g->queue->bind_max / 4) {
            set_mode(b, g, GROUP_JOINING);
            reconcile_keys(b, g);
        }
        break;
    }
}

void group_prefix_stands(struct broker *b, struct group *g)
{
    for (struct list *n = g->keys.next; n != &g->keys; n = n->next) {
        broker_defer_all(b, &LIST_OWNER(n, struct binding, node)->kept.waiters, &BROKER_OK_REPLY);
    }
    if (g->mode == GROUP_PREFIX) {
        reconcile_keys(b, g); /* what stands beside it costs the broker a long stop when it goes */
    }
}

static void wait_for(struct broker *b, struct binding *x)
{
    struct kept *k = &x->kept;
    struct queue *q = x->group->queue;
    if (q && !k->is_first) {
        k->is_first = true;
        q->n_first++;
        q->is_whole = false;
    }
    if (b->state == BROKER_RESTORING && !k->is_restoring) {
        k->is_restoring = true;
        b->n_restoring++;
    }
}

static void forget_standing(struct group *g)
{
    for (struct list *n = g->keys.next; n != &g->keys; n = n->next) {
        struct kept *k = &LIST_OWNER(n, struct binding, node)->kept;
        if (k->is_first) {
            k->is_first = false;
            if (g->queue && g->queue->n_first > 0) {
                g->queue->n_first--;
            }
        }
        kept_disown_answer(k);
        k->is_asserting = false;
        k->is_broken = false;
        k->has_vanished = false; /* with its queue or exchange: that is told instead */
        list_remove(&k->work);
        kept_set(k, k->is_wanted, false);
    }
}

void restore_group(struct broker *b, struct group *g)
{
    forget_standing(g);
    enum group_mode mode = GROUP_EXACT;
    if (is_over(g)) {
        mode = GROUP_PREFIX;
    } else if (has_prefix(g) && g->n_keys > TOPOLOGY_JOIN_MIN) {
        mode = GROUP_JOINING;
    }
    set_mode(b, g, mode);
    if (g->mode != GROUP_EXACT) {
        wait_for(b, g->prefix);
    } else {
        for (struct list *n = g->keys.next; n != &g->keys; n = n->next) {
            struct binding *x = LIST_OWNER(n, struct binding, node);
            if (x->kept.is_wanted) {
                wait_for(b, x);
            }
        }
    }
    reconcile_keys(b, g);
}

void group_fall_back(struct broker *b, struct group *g)
{
    g->has_no_prefix = true;
    restore_group(b, g);
}

void queue_check_whole(struct broker *b, struct queue *q)
{
    if (!q->kept.is_present || q->n_first > 0 || q->is_whole) {
        return;
    }
    q->is_whole = true;
    if (q->kept.has_vanished) {
        q->kept.has_vanished = false;
        if (!q->is_internal) {
            broker_defer_restored(b, "queue", q->name);
        }
    }
    if (q->lost_unix_ms && !q->is_internal) {
        broker_defer_gap(b, q->name, q->lost_unix_ms);
    }
    q->lost_unix_ms = 0;
    consumer_start_all(b, q->name);
}

/* ---- What somebody took away ---- */

static void note_loss(struct queue *q, uint64_t from_unix_ms)
{
    if (q && q->kept.has_stood && (q->lost_unix_ms == 0 || from_unix_ms < q->lost_unix_ms)) {
        q->lost_unix_ms = from_unix_ms;
    }
}

void kept_break(struct broker *b, struct kept *k, uint64_t retry_ms)
{
    kept_set(k, k->is_wanted, false);
    k->is_broken = true;
    k->has_vanished = true;
    k->retry_at_ms = uv_now(b->loop) + retry_ms;
    list_remove(&k->work);
    list_push(&b->broken, &k->work);
}

void kept_tell_broken(struct broker *b, const struct kept *k, const struct broker_reply *reply)
{
    struct slice whole = {NULL, 0};
    const struct binding *x = NULL;
    switch (k->kind) {
    case KEPT_EXCHANGE:
        break;
    case KEPT_QUEUE:
        broker_defer_broken(b, LIST_OWNER(k, struct queue, kept), whole, reply);
        break;
    case KEPT_BINDING:
        x = LIST_OWNER(k, struct binding, kept);
        if (x->group->queue) {
            struct slice key = {x->key, x->key_len};
            broker_defer_broken(b, x->group->queue, binding_is_prefix(x) ? whole : key, reply);
        }
        break;
    }
}

static void break_bindings(struct broker *b, struct group *g, uint64_t from_unix_ms)
{
    note_loss(g->queue, from_unix_ms);
    for (struct list *n = g->keys.next; n != &g->keys; n = n->next) {
        struct kept *k = &LIST_OWNER(n, struct binding, node)->kept;
        if (k->is_wanted && k->is_present && !k->is_in_flight) {
            kept_break(b, k, 1000);
        }
    }
}

void exchange_vanished(struct broker *b, struct slice name, uint64_t from_unix_ms)
{
    struct exchange *e = topology_exchange(b, name);
    probe_forget_exchange(b, name);
    if (e && e->kept.is_wanted) {
        if (!e->kept.is_present) {
            return; /* being put back already */
        }
        kept_disown_answer(&e->kept);
        kept_set(&e->kept, true, false);
        e->kept.has_vanished = true;
        kept_reconcile(b, &e->kept);
    }
    for (struct list *n = b->groups.next; n != &b->groups;) {
        struct group *g = LIST_OWNER(n, struct group, node);
        n = n->next; /* a group whose last binding goes is freed */
        if (!slice_is(name, g->exchange)) {
            continue;
        }
        if (e && e->kept.is_wanted) {
            note_loss(g->queue, from_unix_ms);
            restore_group(b, g);
        } else {
            break_bindings(b, g, from_unix_ms);
        }
    }
}

void queue_vanished(struct broker *b, struct queue *q, uint64_t from_unix_ms)
{
    if (!q->kept.is_present || !q->kept.is_wanted) {
        return;
    }
    kept_disown_answer(&q->kept);
    kept_set(&q->kept, true, false);
    q->kept.has_vanished = true;
    q->is_whole = false;
    note_loss(q, from_unix_ms);
    if (!q->is_internal) {
        queue_rename(q); /* so that late news of the old one are not taken for the new one's */
    }
    consumer_queue_vanished(b, q->name);
    kept_reconcile(b, &q->kept);
}

void binding_vanished(struct broker *b, struct binding *x, uint64_t from_unix_ms)
{
    struct kept *k = &x->kept;
    if (!k->is_present || k->is_in_flight) {
        return;
    }
    kept_set(k, k->is_wanted, false);
    k->has_vanished = k->is_wanted;
    note_loss(x->group->queue, from_unix_ms);
    wait_for(b, x);
    kept_reconcile(b, k);
}

/* ---- Reconnect ---- */

void restore_check(struct broker *b)
{
    if (b->n_restoring == 0 && b->state == BROKER_RESTORING && !b->is_stopping) {
        b->conn.failures = 0;
        broker_set_state(b, BROKER_UP);
        broker_wake(b);
    }
}

static void begin_one(struct broker *b, struct kept *k)
{
    bool comes_behind_queue =
        k->kind == KEPT_BINDING && LIST_OWNER(k, struct binding, kept)->group->queue;
    if (k->is_wanted && !comes_behind_queue) {
        k->is_restoring = true;
        b->n_restoring++;
    }
    kept_reconcile(b, k);
}

/* Held open by one until all that waits is counted. */
void restore_begin(struct broker *b)
{
    b->n_restoring = 1;
    struct list *n = b->kept.next;
    while (n != &b->kept) {
        struct kept *k = LIST_OWNER(n, struct kept, ring);
        n = n->next;
        begin_one(b, k);
    }
    consumer_restore(b);
    watch_begin(b);
    b->n_restoring--;
    restore_check(b);
}

static void reset_one(struct broker *b, struct kept *k)
{
    bool was_on_its_way = k->is_in_flight;
    k->is_in_flight = false;
    k->is_removing = false;
    k->is_stale = false;
    k->is_asserting = false;
    k->is_broken = false;
    k->is_restoring = false;
    k->is_first = false;
    k->tries = 0;
    list_remove(&k->work);
    struct queue *q = NULL;
    if (k->kind == KEPT_QUEUE) {
        q = LIST_OWNER(k, struct queue, kept);
        q->is_whole = false;
        q->n_first = 0;
        if (q->is_exclusive) {
            note_loss(q, b->last_in_unix_ms);
            queue_rename(q);
        }
    } else if (k->kind == KEPT_BINDING) {
        q = LIST_OWNER(k, struct binding, kept)->group->queue;
    }
    bool is_gone = k->is_wanted || (q && q->is_exclusive);
    kept_set(k, k->is_wanted, !is_gone && (k->is_present || was_on_its_way));
}

/* The connection is gone, and with it what is exclusive. What else we had is asserted again, so it
 * counts as absent too; only what was on its way out is remembered as there. */
void restore_reset(struct broker *b)
{
    b->n_restoring = 0;
    for (struct list *n = b->kept.next; n != &b->kept; n = n->next) {
        reset_one(b, LIST_OWNER(n, struct kept, ring));
    }
    for (struct list *n = b->groups.next; n != &b->groups; n = n->next) {
        struct group *g = LIST_OWNER(n, struct group, node);
        g->mode = GROUP_EXACT;
        g->has_no_prefix = false;
    }
    struct list *n = b->kept.next;
    while (n != &b->kept) {
        struct kept *k = LIST_OWNER(n, struct kept, ring);
        n = n->next;
        if (!k->is_wanted && !k->is_present) {
            kept_reconcile(b, k); /* frees it */
        }
    }
}

/* ---- Broken ones, and the sweep ---- */

static void on_exchange_asked(struct broker *b, uint64_t cookie, const struct broker_reply *reply)
{
    (void)cookie;
    if (reply->is_ok) {
        broker_wake(b);
    }
}

/* In the broker's words. */
static void tell_missing(struct broker *b, const struct kept *k, const char *exchange)
{
    char text[2 * CODEC_NAME_MAX + 64];
    snprintf(text, sizeof(text), "NOT_FOUND - no exchange '%s' in vhost '%s'", exchange,
             b->options.vhost);
    struct broker_reply reply = {.code = 404, .text = text};
    kept_tell_broken(b, k, &reply);
}

/* A binding whose exchange is not there is not sent: the 404 would cost the whole channel. True:
 * try it. */
static bool is_worth_a_try(struct broker *b, struct kept *k)
{
    if (k->kind != KEPT_BINDING) {
        return true;
    }
    const struct group *g = LIST_OWNER(k, struct binding, kept)->group;
    bool exists = false;
    if (probe_peek_exchange(b, slice_of(g->exchange), &exists)) {
        k->retry_at_ms = uv_now(b->loop) + (exists ? 0 : TOPOLOGY_RETRY_MS);
        if (!exists) {
            tell_missing(b, k, g->exchange);
        }
        return exists;
    }
    if (probe_exchange_inside(b, g->exchange, on_exchange_asked, 0) < 0) {
        log_error(b->name, "broker.no_memory", "exchange=%s", g->exchange);
    }
    return false;
}

static void retry_broken(struct broker *b, uint64_t now_ms)
{
    struct list *n = b->broken.next;
    while (n != &b->broken) {
        struct kept *k = LIST_OWNER(n, struct kept, work);
        n = n->next;
        if (k->retry_at_ms > now_ms || !is_worth_a_try(b, k)) {
            continue;
        }
        k->is_broken = false;
        list_remove(&k->work);
        if (k->kind == KEPT_BINDING) {
            wait_for(b, LIST_OWNER(k, struct binding, kept));
        }
        kept_reconcile(b, k);
    }
}

static void sweep_one(struct broker *b, struct kept *k)
{
    if (!k->is_wanted || !k->is_present || k->is_in_flight || !list_is_empty(&k->work)) {
        return;
    }
    if (k->kind == KEPT_BINDING) {
        k->is_asserting = true;
        kept_reconcile(b, k);
    } else {
        topology_assert(b, k);
    }
}

/* As many at each tick that all had their turn within sweep_ms. */
static void sweep(struct broker *b)
{
    if (b->options.sweep_ms <= 0 || b->state != BROKER_UP || list_is_empty(&b->kept)) {
        return;
    }
    size_t n_kept = b->n_kept;
    b->sweep_due += n_kept * SWEEP_TICK_MS;
    size_t interval = (size_t)b->options.sweep_ms;
    for (; b->sweep_due >= interval && n_kept > 0; n_kept--) {
        b->sweep_due -= interval;
        struct kept *k = LIST_OWNER(b->kept.next, struct kept, ring);
        list_remove(&k->ring);
        list_push(&b->kept, &k->ring);
        sweep_one(b, k);
    }
    b->sweep_due %= interval;
}

void restore_tick(struct broker *b, uint64_t now_ms)
{
    retry_broken(b, now_ms);
    sweep(b);
}
