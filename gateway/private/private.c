#include "gateway/private/private_internal.h"

#include <stdlib.h>

/* ---- Life ---- */

static void on_retry(struct wheel_timer *timer, uint64_t now_ms)
{
    struct private_side *p = LIST_OWNER(timer, struct private_side, retry);
    (void)now_ms;
    for (size_t i = 0; i < p->n_connections; i++) {
        struct private_connection *c = &p->connections[i];
        if (!c->broker) {
            continue;
        }
        for (struct list *node = c->sessions.next; node != &c->sessions;) {
            struct private_session *s = LIST_OWNER(node, struct private_session, node);
            node = node->next;
            private_session_open(s);
        }
    }
}

static void on_end(struct wheel_timer *timer, uint64_t now_ms)
{
    struct private_side *p = LIST_OWNER(timer, struct private_side, end);
    (void)now_ms;
    p->stopped(p->options.reactor);
}

struct private_side *private_side_new(const struct private_options *options)
{
    struct private_side *p = calloc(1, sizeof *p);
    size_t n = (size_t)options->config->broker.private_connections;
    if (!p) {
        return NULL;
    }
    p->options = *options;
    p->connections = calloc(n, sizeof *p->connections);
    if (!p->connections) {
        free(p);
        return NULL;
    }
    p->n_connections = n;
    for (size_t i = 0; i < n; i++) {
        p->connections[i].side = p;
        p->connections[i].number = (int)i;
    }
    list_init(&p->exchanges);
    wheel_timer_init(&p->retry, on_retry);
    wheel_timer_init(&p->end, on_end);
    return p;
}

void private_side_stop(struct private_side *p, void (*stopped)(void *reactor))
{
    if (!p->stopped) {
        p->stopped = stopped;
        private_pool_stop(p);
    }
}

void private_side_free(struct private_side *p)
{
    if (!p) {
        return;
    }
    struct map_entry entry;
    for (size_t cursor = 0; map_next(&p->sessions, &cursor, &entry); cursor = 0) {
        private_session_free(entry.value);
    }
    wheel_cancel(p->options.wheel, &p->retry);
    wheel_cancel(p->options.wheel, &p->end);
    for (size_t i = 0; i < p->n_connections; i++) {
        wheel_cancel(p->options.wheel, &p->connections[i].idle);
    }
    private_pool_free(p);
    map_fini(&p->sessions);
    map_fini(&p->subscriptions);
    map_fini(&p->names);
    free(p);
}

/* ---- Subscriptions ---- */

static struct private_session *find(const struct private_side *p, uint64_t client)
{
    struct private_session *s = map_get(&p->sessions, &client, sizeof client);
    return s && !s->is_leaving ? s : NULL;
}

enum session_verdict private_side_subscribe(struct private_side *p, uint64_t client,
                                            const char *session_name,
                                            const struct session_subscription *subscription,
                                            const struct destination *destination,
                                            struct session_problem *problem)
{
    struct private_session *s = private_session_for(p, client, session_name, problem);
    if (!s) {
        return SESSION_REFUSED;
    }
    struct private_subscription *sub = private_subscription_new(s, subscription, destination);
    if (!sub) {
        problem->reason = CLOSE_INTERNAL;
        return SESSION_REFUSED;
    }
    if (!private_subscription_start(sub, problem)) {
        private_subscription_end(sub, false);
        return SESSION_REFUSED;
    }
    return SESSION_WAIT;
}

void private_side_unsubscribe(struct private_side *p, uint64_t client, uint32_t handle,
                              bool deletes_queue)
{
    struct private_session *s = find(p, client);
    for (struct list *node = s ? s->subscriptions.next : NULL; s && node != &s->subscriptions;
         node = node->next) {
        struct private_subscription *sub = LIST_OWNER(node, struct private_subscription, node);
        if (sub->handle == handle && sub->state != PRIVATE_ENDING) {
            private_subscription_end(sub, deletes_queue);
            return;
        }
    }
}

bool private_side_resume(struct private_side *p, uint64_t client)
{
    struct private_session *s = find(p, client);
    bool is_narrow = false;
    if (!s) {
        return false;
    }
    s->is_held = false;
    for (struct list *node = s->subscriptions.next; node != &s->subscriptions;) {
        struct private_subscription *sub = LIST_OWNER(node, struct private_subscription, node);
        node = node->next;
        private_flow_resume(sub);
        is_narrow = is_narrow || sub->window < sub->prefetch;
    }
    return is_narrow;
}

bool private_side_has_queue(const struct private_side *p, uint64_t client, struct slice queue)
{
    const struct private_session *s = find(p, client);
    for (const struct list *node = s ? s->subscriptions.next : NULL; s && node != &s->subscriptions;
         node = node->next) {
        const struct private_subscription *sub =
            LIST_OWNER(node, struct private_subscription, node);
        if (sub->state == PRIVATE_STANDS && sub->is_declared &&
            slice_equals(sub->queue->name, queue)) {
            return true;
        }
    }
    return false;
}

/* ---- Acks ---- */

/* A multiple one would take along what is held here, of which the session knows nothing. */
static void put_back_held(struct private_session *s)
{
    for (struct list *node = s->subscriptions.next; node != &s->subscriptions; node = node->next) {
        private_flow_put_back(LIST_OWNER(node, struct private_subscription, node));
    }
}

void private_side_settle(struct private_side *p, uint64_t client,
                         const struct session_settle *settle)
{
    struct private_session *s = find(p, client);
    if (!s || !s->channel || s->epoch != settle->epoch) {
        return;
    }
    if (settle->is_multiple) {
        put_back_held(s);
    }
    /* Over a nack of a stream's message RabbitMQ closes the whole connection (540). The stream
     * keeps it in any case; where it may be a queue, the message goes back with the channel. */
    const struct private_subscription *stream = private_stream_settled(s, settle);
    if (settle->is_nack && stream && stream->queue->kind == PRIVATE_EITHER) {
        return;
    }
    if (settle->is_nack && !stream) {
        p->stats.requeued += settle->requeue;
        private_nack(s->channel, settle->tag, false, settle->requeue);
    } else {
        p->stats.acked++;
        private_ack(s->channel, settle->tag, settle->is_multiple);
    }
}

bool private_side_sync(struct private_side *p, uint64_t client, uint64_t token)
{
    struct private_session *s = find(p, client);
    return s && s->channel && private_session_sync(s, token) == 0;
}

void private_side_leave(struct private_side *p, uint64_t client)
{
    struct private_session *s = find(p, client);
    if (!s) {
        return;
    }
    s->is_leaving = true;
    s->n_inside++;
    for (struct list *node = s->subscriptions.next; node != &s->subscriptions;) {
        struct private_subscription *sub = LIST_OWNER(node, struct private_subscription, node);
        node = node->next;
        private_subscription_end(sub, false);
    }
    s->n_inside--;
    private_session_tidy(s);
}

/* ---- Exchanges ---- */

void private_side_room(struct private_side *p)
{
    struct list again;
    list_init(&again);
    while (!list_is_empty(&p->exchanges)) {
        struct list *node = p->exchanges.next;
        list_remove(node);
        list_push(&again, node);
    }
    while (!list_is_empty(&again)) {
        struct private_subscription *sub =
            LIST_OWNER(again.next, struct private_subscription, exchanges);
        struct private_session *s = sub->session;
        list_remove(&sub->exchanges);
        s->n_inside++;
        if (sub->state == PRIVATE_STANDS) {
            private_subscription_bind_again(sub);
        } else if (sub->state == PRIVATE_WAITING) {
            private_subscription_go(sub);
        }
        s->n_inside--;
        private_session_tidy(s);
    }
}

static bool is_bound_to(const struct private_subscription *sub, struct slice exchange)
{
    const struct private_queue *q = sub->queue;
    return sub->state == PRIVATE_STANDS && q->exchange.ptr && slice_equals(q->exchange, exchange);
}

/* Not here: what it is found in is being walked. */
static void bind_again_soon(struct private_subscription *sub)
{
    sub->has_gap = true;
    wheel_set(sub->session->side->options.wheel, &sub->timer, 0);
}

/* Every room that somebody leaves, at any gateway, is such news: only the queue's own subscriptions
 * are looked at. */
static void binding_deleted(struct private_side *p, struct slice exchange, struct slice queue,
                            struct slice key)
{
    const struct private_name *name = map_get(&p->names, queue.ptr, queue.len);
    for (const struct list *node = name ? name->subscriptions.next : NULL;
         name && node != &name->subscriptions; node = node->next) {
        struct private_subscription *sub = LIST_OWNER(node, struct private_subscription, by_name);
        if (is_bound_to(sub, exchange) && slice_equals(sub->queue->key, key)) {
            bind_again_soon(sub);
        }
    }
}

void private_side_deleted(struct private_side *p, struct slice exchange, struct slice queue,
                          struct slice key)
{
    struct map_entry entry;
    if (queue.ptr) {
        binding_deleted(p, exchange, queue, key);
        return;
    }
    for (size_t cursor = 0; map_next(&p->subscriptions, &cursor, &entry);) {
        struct private_subscription *sub = entry.value;
        if (is_bound_to(sub, exchange)) {
            private_subscription_exchange_gone(sub);
            bind_again_soon(sub);
        }
    }
}

/* ---- Figures ---- */

void private_side_stats(const struct private_side *p, struct private_stats *stats)
{
    *stats = p->stats;
    stats->connections = 0;
    for (size_t i = 0; i < p->n_connections; i++) {
        stats->connections += private_pool_is_up(&p->connections[i]);
    }
    struct map_entry entry;
    stats->channels = 0;
    for (size_t cursor = 0; map_next(&p->sessions, &cursor, &entry);) {
        stats->channels += ((const struct private_session *)entry.value)->channel != NULL;
    }
    stats->consumers = 0;
    for (size_t cursor = 0; map_next(&p->subscriptions, &cursor, &entry);) {
        const struct private_subscription *sub = entry.value;
        stats->consumers += (sub->consumer != 0) + (sub->anchor != 0);
    }
}
