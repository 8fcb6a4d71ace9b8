/* Rooms of the live side: bound for the first subscriber, unbound a linger after the last. */
#include "gateway/fanout/live_internal.h"

#include "amqp/code.h"
#include "common/log.h"

#include <stdio.h>
#include <stdlib.h>

static void bind_done(void *owner, uint64_t cookie, const struct broker_reply *reply);

static struct slice room_key(const struct room *room)
{
    return (struct slice){room->key, room->key_len};
}

void live_binding_answer(struct room *room, const struct session_problem *problem)
{
    const struct live_host *host =
        ((struct live_binding *)room->host_data)->queue->live->options.host;
    while (!list_is_empty(&room->waiting)) {
        struct subscriber *s = LIST_OWNER(room->waiting.next, struct subscriber, waiting);
        static const struct session_problem memory = {.reason = CLOSE_INTERNAL,
                                                      .message = "out of memory"};
        if (problem) {
            room_leave(s);
            host->subscribed(s->owner, s, problem);
        } else if (room_join(room, s) != 0) {
            host->subscribed(s->owner, s, &memory);
        } else {
            host->subscribed(s->owner, s, NULL);
        }
    }
}

void live_binding_ask(struct live_binding *b)
{
    if (b->is_asked || !b->queue->has_exchange) {
        return;
    }
    b->is_asked = true;
    struct live_queue *q = b->queue;
    if (broker_bind(q->live->broker, q->queue, q->exchange, room_key(b->room), bind_done, b->id) !=
        0) {
        b->is_asked = false; /* out of memory: the next turn tries again */
        list_remove(&q->turn);
        list_push(&q->live->turn, &q->turn);
    }
}

static void binding_linger(struct wheel_timer *timer, uint64_t now_ms);

struct live_binding *live_binding_new(struct live_queue *q, struct slice key, bool is_pattern)
{
    struct live *live = q->live;
    struct live_binding *b = calloc(1, sizeof *b);
    struct room *room = b ? audience_add(&q->audience, key, is_pattern) : NULL;
    if (!room) {
        free(b);
        return NULL;
    }
    b->id = ++live->last_id;
    b->queue = q;
    b->room = room;
    room->host_data = b;
    wheel_timer_init(&b->linger, binding_linger);
    if (map_put(&live->bindings, &b->id, sizeof b->id, b) != 0) {
        audience_remove(room);
        free(b);
        return NULL;
    }
    if (q->is_tap) {
        q->tapped = room;
    }
    return b;
}

/* The room goes, and with the last one a queue that nobody named in the configuration. */
void live_binding_free(struct live_binding *b)
{
    struct live_queue *q = b->queue;
    struct live *live = q->live;
    wheel_cancel(live->options.wheel, &b->linger);
    map_take(&live->bindings, &b->id, sizeof b->id);
    if (q->tapped == b->room) {
        q->tapped = NULL;
    }
    audience_remove(b->room);
    free(b);
    if (q->audience.n_rooms == 0 && !q->is_fixed) {
        broker_drop_queue(live->broker, q->queue);
        if (q->route->declare && q->is_client_named) {
            broker_drop_exchange(live->broker, q->exchange);
        }
        live_queue_free(q);
    }
}

static void binding_linger(struct wheel_timer *timer, uint64_t now_ms)
{
    struct live_binding *b = LIST_OWNER(timer, struct live_binding, linger);
    struct live *live = b->queue->live;
    if (!room_is_empty(b->room)) {
        return;
    }
    if (b->is_asked && !b->is_bound) { /* the answer is on its way */
        wheel_set(live->options.wheel, timer,
                  now_ms + (uint64_t)live->options.config->broker.linger_ms);
        return;
    }
    if (b->is_bound) {
        broker_unbind(live->broker, b->queue->queue, b->queue->exchange, room_key(b->room));
    }
    live_binding_free(b);
}

void live_binding_linger(struct live_binding *b)
{
    struct live *live = b->queue->live;
    if (room_is_empty(b->room)) {
        wheel_set(live->options.wheel, &b->linger,
                  *live->options.now_ms + (uint64_t)live->options.config->broker.linger_ms);
    }
}

void live_problem(const struct broker_reply *reply, struct session_problem *problem)
{
    *problem = (struct session_problem){.reason = CLOSE_REFUSED_FRAME};
    snprintf(problem->message, sizeof problem->message, "%s", broker_code_str(reply->code));
    snprintf(problem->text, sizeof problem->text, "%s", reply->text ? reply->text : "");
}

/* Whoever is told may leave other rooms as well, and this one. */
void live_binding_lose(struct room *room, const struct session_problem *problem)
{
    struct live_binding *b = room->host_data;
    struct live_queue *q = b->queue;
    if (b->is_bound) {
        broker_unbind(q->live->broker, q->queue, q->exchange, room_key(room));
    }
    b->is_bound = false;
    b->is_asked = false;
    live_binding_answer(room, problem);
    for (struct subscriber *s = room_any(room); s; s = room_any(room)) {
        room_leave(s);
        s->room = NULL;
        q->live->options.host->lost(s->owner, s, problem);
    }
    live_binding_linger(b);
}

static void bind_done(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct live *live = owner;
    struct live_binding *b = map_get(&live->bindings, &cookie, sizeof cookie);
    if (!b) {
        return;
    }
    b->is_bound = reply->is_ok;
    b->is_asked = reply->is_ok;
    struct session_problem problem;
    if (!reply->is_ok) {
        live_problem(reply, &problem);
        log_warn(live->options.name, "binding.refused", "exchange=%s key=%s code=%u text=%s",
                 b->queue->exchange, b->room->key, reply->code, reply->text ? reply->text : "");
    }
    live_binding_answer(b->room, reply->is_ok ? NULL : &problem);
    live_binding_linger(b);
}
