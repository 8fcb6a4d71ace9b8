#include "gateway/private/private_internal.h"

#include "common/log.h"
#include "gateway/publish.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TAG_MAX 240 /* an anchor's tag has a few bytes more */

/* ---- Life ---- */

/* An UNSUBSCRIBE may be on its way. */
static bool is_taken(const struct private_subscription *sub)
{
    const struct list *all = &sub->session->subscriptions;
    for (const struct list *node = all->next; node != all; node = node->next) {
        const struct private_subscription *other =
            LIST_OWNER(node, struct private_subscription, node);
        if (other != sub && strcmp(other->tag, sub->tag) == 0) {
            return true;
        }
    }
    return false;
}

/* "stompgate chat-1.0-5f3a T_sub-0": unique on the channel, as the ids of a session's subscriptions
 * are. Where the id cannot be shown as it is, or is used again, its handle makes it so. */
static void write_tag(struct private_subscription *sub, const struct session_subscription *from)
{
    struct slice id = from->id.ptr ? from->id : from->spelling;
    char *tag = sub->tag;
    size_t most = TAG_MAX - 12;
    int head =
        snprintf(tag, most, "stompgate %s %s_", sub->session->name, from->id.ptr ? "T" : "Q");
    size_t len = (size_t)head < most ? (size_t)head : most - 1;
    bool is_whole = len + id.len < most;
    for (size_t i = 0; i < id.len && len < most; i++) {
        bool is_shown = isprint((unsigned char)id.ptr[i]);
        tag[len++] = is_shown ? id.ptr[i] : '?';
        is_whole = is_whole && is_shown;
    }
    tag[len] = 0;
    if (!is_whole || is_taken(sub)) {
        snprintf(tag + len, TAG_MAX - len, "#%u", from->handle);
    }
}

static void on_timer(struct wheel_timer *timer, uint64_t now_ms);

struct private_subscription *private_subscription_new(struct private_session *s,
                                                      const struct session_subscription *from,
                                                      const struct destination *d)
{
    struct private_side *p = s->side;
    const struct config *config = p->options.config;
    struct private_subscription *sub = calloc(1, sizeof *sub);
    if (!sub) {
        return NULL;
    }
    sub->id = ++p->last_id;
    sub->session = s;
    sub->handle = from->handle;
    sub->prefetch = from->prefetch ? from->prefetch : (uint16_t)config->limits.prefetch;
    sub->window = sub->prefetch;
    sub->give_up_ms = *p->options.now_ms + (uint64_t)config->broker.grace_ms;
    wheel_timer_init(&sub->timer, on_timer);
    list_init(&sub->by_name);
    list_init(&sub->exchanges);
    list_init(&sub->node);
    write_tag(sub, from);
    list_push(&s->subscriptions, &sub->node);
    sub->queue = private_queue_copy(from->queue, d);
    sub->destination = from->queue->is_bound ? malloc(sizeof *d) : NULL;
    if (sub->destination) {
        *sub->destination = *d;
    }
    if (!sub->queue || (from->queue->is_bound && !sub->destination) ||
        private_name_enter(sub) != 0 ||
        map_put(&p->subscriptions, &sub->id, sizeof sub->id, sub) != 0) {
        private_subscription_free(sub);
        return NULL;
    }
    wheel_set(p->options.wheel, &sub->timer, sub->give_up_ms);
    return sub;
}

void private_subscription_free(struct private_subscription *sub)
{
    struct private_side *p = sub->session->side;
    private_flow_put_back(sub);
    wheel_cancel(p->options.wheel, &sub->timer);
    list_remove(&sub->exchanges);
    list_remove(&sub->node);
    private_name_leave(sub);
    map_take(&p->subscriptions, &sub->id, sizeof sub->id);
    private_stream_free(sub->stream);
    free(sub->held);
    free(sub->destination);
    free(sub->queue);
    free(sub);
}

struct private_subscription *private_subscription_get(const struct private_side *p, uint64_t cookie)
{
    uint64_t id = cookie >> 16;
    return map_get(&p->subscriptions, &id, sizeof id);
}

uint64_t private_subscription_cookie(const struct private_subscription *sub,
                                     enum private_request request)
{
    return sub->id << 16 | (uint64_t)sub->generation << 8 | request;
}

/* ---- Asking ---- */

void private_subscription_count(struct private_subscription *sub, int *failed, int result)
{
    if (result == 0) {
        sub->n_asked++;
    } else {
        *failed = -1;
    }
}

int private_subscription_consume(struct private_subscription *sub, enum private_request request,
                                 uint16_t prefetch)
{
    char tag[sizeof sub->tag + 8];
    uint64_t cookie = private_subscription_cookie(sub, request);
    snprintf(tag, sizeof tag, request == PRIVATE_ANCHOR ? "%s /%u" : "%s", sub->tag,
             sub->generation); /* the last anchor may not have gone */
    struct private_consume consume = {
        .queue = sub->queue->name,
        .tag = tag,
        .prefetch = prefetch,
        .args = sub->queue->consume_args,
        .n_args = sub->queue->n_consume_args,
    };
    if (private_consume(sub->session->channel, &consume, cookie) != 0) {
        return -1;
    }
    sub->n_asked++;
    *(request == PRIVATE_ANCHOR ? &sub->anchor : &sub->consumer) = cookie;
    return 0;
}

static int bind(struct private_subscription *sub, enum private_request request)
{
    const struct private_queue *q = sub->queue;
    return private_bind(sub->session->channel, q->name, q->exchange, q->key, q->binding_args,
                        q->n_binding_args, private_subscription_cookie(sub, request));
}

/* All in one go: the answers come in that order, and the first that fails takes the rest along. */
static int ask(struct private_subscription *sub)
{
    const struct private_queue *q = sub->queue;
    int failed = 0;
    sub->state = PRIVATE_ASKED;
    sub->generation++;
    sub->n_given = 0;
    if (!q->must_exist) {
        struct broker_declare declare = {
            .name = q->name,
            .is_durable = q->is_durable,
            .is_exclusive = q->is_exclusive,
            .is_auto_delete = q->is_auto_delete,
            .args = q->args,
            .n_args = q->n_args,
        };
        sub->is_declared = true;
        private_subscription_count(
            sub, &failed,
            private_declare(sub->session->channel, &declare,
                            private_subscription_cookie(sub, PRIVATE_DECLARE)));
    }
    if (q->exchange.ptr && !failed) {
        private_subscription_count(sub, &failed, bind(sub, PRIVATE_BIND));
    }
    return failed ? failed : private_subscription_consume(sub, PRIVATE_CONSUME, sub->window);
}

static void locked(const struct private_subscription *sub, struct session_problem *problem)
{
    char text[sizeof problem->text];
    snprintf(text, sizeof text,
             "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '%.*s' in vhost "
             "'%s'. It could be originally declared on another connection or the exclusive "
             "property value does not match that of the original declaration.",
             (int)sub->queue->name.len, sub->queue->name.ptr,
             sub->session->side->options.config->broker.vhost);
    publish_problem(problem, 405, text);
}

/* Client-named exchanges may not exist, and a 404 costs the channel: so they are looked for, or
 * declared, before. Those of the configuration stand, unless we found one gone. */
static enum session_verdict check_exchange(struct private_subscription *sub,
                                           struct session_problem *problem)
{
    struct private_side *p = sub->session->side;
    if (sub->has_exchange || !sub->destination ||
        (!sub->destination->is_client_named && !sub->has_lost_exchange)) {
        return SESSION_DONE;
    }
    enum session_verdict verdict = publish_exchange(p->options.publish, sub->destination, problem);
    if (verdict == SESSION_REFUSED && sub->has_lost_exchange && sub->destination->route->declare) {
        wheel_set(p->options.wheel, &sub->timer, *p->options.now_ms + PRIVATE_RETRY_MS);
        return SESSION_WAIT; /* the publishing side puts it back */
    }
    if (verdict == SESSION_WAIT && list_is_empty(&sub->exchanges)) {
        list_push(&p->exchanges, &sub->exchanges);
    }
    sub->has_exchange = verdict == SESSION_DONE;
    return verdict;
}

bool private_subscription_start(struct private_subscription *sub, struct session_problem *problem)
{
    if (sub->state == PRIVATE_ENDING) {
        private_subscription_pay(sub);
        return true;
    }
    enum private_lock lock = private_name_lock(sub);
    if (lock == PRIVATE_LOCKED) {
        locked(sub, problem);
        return false;
    }
    enum session_verdict verdict = check_exchange(sub, problem);
    if (verdict == SESSION_REFUSED) {
        return false;
    }
    bool is_early = *sub->session->side->options.now_ms < sub->retry_ms;
    if (lock == PRIVATE_BUSY || verdict == SESSION_WAIT || is_early || !sub->session->channel) {
        return true;
    }
    if (ask(sub) != 0) {
        *problem = (struct session_problem){.reason = CLOSE_INTERNAL};
        return false;
    }
    return true;
}

void private_subscription_go(struct private_subscription *sub)
{
    struct session_problem problem = {0};
    if (!private_subscription_start(sub, &problem)) {
        private_subscription_fail(sub, &problem);
    }
}

void private_subscription_go_quietly(struct private_subscription *sub)
{
    struct session_problem problem = {0};
    if (!private_subscription_start(sub, &problem)) {
        wheel_set(sub->session->side->options.wheel, &sub->timer, 0);
    }
}

/* ---- Standing ---- */

/* Bindings are asserted once in sweep_ms; not all at the same time. */
static void set_sweep(struct private_subscription *sub)
{
    const struct private_options *o = &sub->session->side->options;
    uint64_t sweep = (uint64_t)o->config->broker.sweep_ms;
    if (sub->queue->exchange.ptr && sweep > 0) {
        uint64_t jitter = sub->id * 2654435761u % (sweep / 4 + 1);
        wheel_set(o->wheel, &sub->timer, *o->now_ms + sweep / 4 * 3 + jitter);
    } else {
        wheel_cancel(o->wheel, &sub->timer);
    }
}

static void stands(struct private_subscription *sub)
{
    struct private_side *p = sub->session->side;
    bool is_resumed = sub->flow != PRIVATE_FLOWING;
    bool has_stood = sub->has_stood;
    sub->state = PRIVATE_STANDS;
    sub->has_stood = true;
    sub->n_tries = 0;
    private_stream_stands(sub);
    set_sweep(sub);
    private_flow_answered(sub, PRIVATE_CONSUME);
    if (!has_stood) {
        p->options.host->subscribed(p->options.reactor, sub->session->client, sub->handle, NULL);
    } else if (!is_resumed) {
        p->stats.restored++;
        log_info(sub->session->name, "private.restored", "queue=%.*s gap=%d",
                 (int)sub->queue->name.len, sub->queue->name.ptr, sub->has_gap);
    }
}

void private_subscription_answered(struct private_subscription *sub, enum private_request request)
{
    sub->n_asked--;
    if (sub->state == PRIVATE_ENDING) {
        if (sub->n_asked == 0) {
            private_subscription_free(sub);
        }
        return;
    }
    switch (request) {
    case PRIVATE_CONSUME:
        if (sub->state == PRIVATE_ASKED) {
            stands(sub);
        }
        break;
    case PRIVATE_BIND_AGAIN:
        set_sweep(sub);
        break;
    case PRIVATE_ANCHOR:
    case PRIVATE_CANCEL:
    case PRIVATE_CANCEL_ANCHOR:
        private_flow_answered(sub, request);
        break;
    case PRIVATE_DECLARE:
    case PRIVATE_BIND:
    case PRIVATE_DELETE:
    case PRIVATE_SYNC:
        break;
    }
}

void private_subscription_bind_again(struct private_subscription *sub)
{
    struct session_problem problem = {0};
    if (sub->state != PRIVATE_STANDS || !sub->session->channel) {
        return;
    }
    switch (check_exchange(sub, &problem)) {
    case SESSION_DONE:
        if (sub->flow == PRIVATE_CLOSED && !sub->session->is_held) {
            private_subscription_go(sub); /* it waited for this; it binds as well */
            return;
        }
        if (sub->destination && bind(sub, PRIVATE_BIND_AGAIN) == 0) {
            sub->n_asked++;
            sub->has_lost_exchange = false;
        }
        set_sweep(sub);
        break;
    case SESSION_WAIT:
        break;
    case SESSION_REFUSED:
        private_subscription_fail(sub, &problem);
        break;
    }
}

static void on_timer(struct wheel_timer *timer, uint64_t now_ms)
{
    struct private_subscription *sub = LIST_OWNER(timer, struct private_subscription, timer);
    struct private_session *s = sub->session;
    s->n_inside++;
    if (sub->state == PRIVATE_STANDS) {
        /* One that others declared is looked for each time. */
        sub->has_exchange = sub->has_exchange && sub->destination->route->declare;
        private_subscription_bind_again(sub);
    } else if (!sub->has_stood && now_ms >= sub->give_up_ms) {
        struct session_problem problem = {.reason = CLOSE_BROKER};
        private_subscription_fail(sub, &problem);
    } else if (sub->state == PRIVATE_WAITING) {
        uint64_t next = sub->has_stood ? now_ms + PRIVATE_RETRY_MS : sub->give_up_ms;
        wheel_set(s->side->options.wheel, timer, next);
        private_subscription_go(sub);
    } else if (sub->state == PRIVATE_ASKED && !sub->has_stood) {
        wheel_set(s->side->options.wheel, timer, sub->give_up_ms);
    }
    s->n_inside--;
    private_session_tidy(s);
}

/* ---- Deliveries ---- */

/* True when the host took it. False: `sub` may be gone. */
static bool give(struct private_subscription *sub, const struct broker_delivery *delivery,
                 bool must_take)
{
    struct private_side *p = sub->session->side;
    bool gap = sub->has_gap;
    sub->has_gap = false;
    sub->n_given++;
    sub->last_bytes = delivery->body.len;
    private_stream_take(sub, delivery);
    bool is_taken = p->options.host->delivery(p->options.reactor, sub->session->client, sub->handle,
                                              delivery, gap, must_take);
    p->stats.delivered += is_taken;
    return is_taken;
}

void private_subscription_delivery(struct private_subscription *sub, uint64_t consumer,
                                   const struct broker_delivery *delivery)
{
    struct private_session *s = sub->session;
    struct private_side *p = s->side;
    if (sub->state == PRIVATE_ASKED && !sub->has_stood) {
        stands(sub); /* the answer is on its way: answers wait for one another, deliveries do not */
        sub = private_subscription_get(p, consumer);
    }
    if (!sub) {
        return;
    }
    bool must_take = private_stream_is_unsure(sub, delivery);
    bool gap = sub->has_gap;
    bool is_held = s->is_held || private_flow_holds(sub, consumer);
    if (sub->state == PRIVATE_ENDING && must_take) {
        return; /* it goes back with the channel, if it is from a queue */
    }
    if (sub->state != PRIVATE_ENDING && (!is_held || must_take)) {
        if (give(sub, delivery, must_take)) {
            return;
        }
        s->is_held = true;
        sub = private_subscription_get(p, consumer);
        if (!sub) {
            return; /* as above: the channel is being closed */
        }
        sub->has_gap = gap;
    }
    private_flow_hold(sub, consumer, delivery);
}
