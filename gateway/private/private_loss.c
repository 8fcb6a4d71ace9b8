/* How subscriptions end, and what becomes of them when a queue, an exchange, a channel or a
 * connection goes. */
#include "gateway/private/private_internal.h"

#include "common/log.h"
#include "gateway/publish.h"

/* ---- Losses ---- */

static bool may_have_missed(const struct private_subscription *sub, bool is_connection)
{
    const struct private_queue *q = sub->queue;
    return sub->has_stood && !q->must_exist &&
           (q->is_auto_delete || (is_connection && (q->is_exclusive || !q->is_durable)));
}

static void reset(struct private_subscription *sub)
{
    sub->n_asked = 0;
    sub->n_held = 0;
    sub->consumer = sub->anchor = sub->anchor_tag = 0;
    sub->flow = PRIVATE_FLOWING;
    sub->window = sub->prefetch;
    sub->has_refused = false;
    sub->has_exchange = false;
    private_stream_rewind(sub);
}

/* There are requests over which RabbitMQ loses the whole connection, without a word about whose
 * fault it was. Those that were on their way are asked again at different times, behind all others:
 * so the one that does it is alone in the end, and it is not asked for ever. */
static void suspect(struct private_subscription *sub)
{
    const struct private_options *o = &sub->session->side->options;
    sub->n_tries++;
    sub->retry_ms = *o->now_ms + PRIVATE_RETRY_MS + sub->id * 2654435761u % PRIVATE_RETRY_MS;
    wheel_set(o->wheel, &sub->timer, sub->retry_ms);
}

void private_subscription_lost(struct private_subscription *sub, bool is_connection)
{
    bool was_asked = sub->state == PRIVATE_ASKED;
    bool was_there = was_asked || sub->state == PRIVATE_STANDS;
    reset(sub);
    if (sub->state == PRIVATE_ENDING) {
        sub->owes_delete = sub->owes_delete && !(is_connection && sub->queue->is_exclusive);
        sub->owes_touch = sub->owes_touch && !(is_connection && !sub->queue->is_durable);
        if (!sub->owes_delete && !sub->owes_touch) {
            private_subscription_free(sub);
        }
        return;
    }
    sub->has_gap = sub->has_gap || (was_there && may_have_missed(sub, is_connection));
    sub->state = PRIVATE_WAITING;
    if (sub->has_stood) {
        wheel_cancel(sub->session->side->options.wheel, &sub->timer);
    }
    if (was_asked && is_connection) {
        suspect(sub);
    }
}

/* The queue has gone, and so have its consumers. */
void private_subscription_cancelled(struct private_subscription *sub, uint64_t consumer)
{
    bool is_mine = consumer == sub->consumer || consumer == sub->anchor;
    if (sub->state == PRIVATE_ENDING || !is_mine) {
        return;
    }
    sub->n_held = 0;
    sub->anchor_tag = 0;
    if (sub->queue->must_exist) {
        private_subscription_fail(sub, NULL);
        return;
    }
    size_t n_asked = sub->n_asked; /* these are still answered: the channel stands */
    reset(sub);
    sub->n_asked = n_asked;
    sub->has_gap = true;
    sub->state = PRIVATE_WAITING;
    log_warn(sub->session->name, "private.queue_gone", "queue=%.*s", (int)sub->queue->name.len,
             sub->queue->name.ptr);
    private_subscription_go(sub);
}

void private_subscription_exchange_gone(struct private_subscription *sub)
{
    sub->has_gap = sub->has_stood;
    sub->has_exchange = false;
    sub->has_lost_exchange = true;
}

/* True when it is worth another try: what was asked for may be put right. The channel is opened
 * again right after this, and asks for everything that waits. */
static bool can_mend(struct private_subscription *sub, enum private_request request, uint16_t code)
{
    struct private_side *p = sub->session->side;
    if (++sub->n_tries > PRIVATE_MAX_TRIES) {
        return false;
    }
    if (code == 404 && (request == PRIVATE_BIND || request == PRIVATE_BIND_AGAIN)) {
        const struct destination *d = sub->destination;
        private_subscription_exchange_gone(sub);
        publish_exchange_gone(p->options.publish, (struct slice){d->exchange, d->exchange_len});
        return d->route->declare;
    }
    if (code == 404 && request == PRIVATE_CONSUME && !sub->queue->must_exist) {
        sub->has_gap = sub->has_stood; /* deleted between declare and consume */
        return true;
    }
    if (code == 406 && request == PRIVATE_CONSUME && private_stream_is_none(sub)) {
        return true; /* it read on at an offset that was a publisher's */
    }
    if (code == 405 && sub->has_stood && sub->queue->is_exclusive) {
        /* A half-open old connection of ours may still hold it. */
        sub->is_declared = false;
        sub->retry_ms = *p->options.now_ms + PRIVATE_RETRY_MS;
        wheel_set(p->options.wheel, &sub->timer, sub->retry_ms);
        return true;
    }
    return false;
}

void private_subscription_blame(struct private_subscription *sub, enum private_request request,
                                uint16_t code, const char *text)
{
    struct session_problem problem;
    if (sub->state == PRIVATE_ENDING) {
        private_subscription_free(sub);
        return;
    }
    if (can_mend(sub, request, code)) {
        return;
    }
    sub->is_declared = sub->is_declared && request != PRIVATE_DECLARE;
    publish_problem(&problem, code, text);
    private_subscription_fail(sub, &problem);
}

/* ---- The end ---- */

static void send_cancel(struct private_subscription *sub, uint64_t consumer)
{
    int failed = 0;
    private_subscription_count(sub, &failed,
                               private_cancel(sub->session->channel, consumer,
                                              private_subscription_cookie(sub, PRIVATE_CANCEL)));
}

/* What is owed when it ends. A session that leaves closes its channel, which ends its consumers. */
void private_subscription_pay(struct private_subscription *sub)
{
    struct private_channel *channel = sub->session->channel;
    if (!channel) {
        return;
    }
    int failed = 0;
    if (sub->owes_touch && private_subscription_consume(sub, PRIVATE_ANCHOR, 1) != 0) {
        failed = -1;
    }
    if (sub->anchor && !failed) {
        send_cancel(sub, sub->anchor);
    }
    if (sub->consumer && !sub->session->is_leaving) {
        send_cancel(sub, sub->consumer);
    }
    if (sub->owes_delete) {
        private_subscription_count(
            sub, &failed,
            private_delete_queue(channel, sub->queue->name,
                                 private_subscription_cookie(sub, PRIVATE_DELETE)));
    }
    sub->anchor = sub->consumer = 0;
    sub->owes_delete = sub->owes_touch = false;
    if (sub->n_asked == 0) {
        private_subscription_free(sub);
    }
}

/* Another subscription of the same session to the same queue keeps it. */
static bool is_needed_by_another(const struct private_subscription *sub)
{
    const struct list *all = &sub->session->subscriptions;
    for (const struct list *node = all->next; node != all; node = node->next) {
        const struct private_subscription *other =
            LIST_OWNER(node, struct private_subscription, node);
        if (other != sub && other->name == sub->name && other->state != PRIVATE_ENDING) {
            return true;
        }
    }
    return false;
}

void private_subscription_end(struct private_subscription *sub, bool deletes_queue)
{
    struct private_session *s = sub->session;
    const struct private_queue *q = sub->queue;
    if (sub->state == PRIVATE_ENDING) {
        return;
    }
    bool is_ours = sub->is_declared && !is_needed_by_another(sub);
    bool is_up = s->channel || private_pool_is_up(s->connection);
    sub->owes_delete = is_ours && (deletes_queue || (q->is_exclusive && is_up));
    sub->owes_touch =
        is_ours && !sub->owes_delete && q->is_auto_delete && !sub->has_stood && !sub->consumer;
    sub->state = PRIVATE_ENDING;
    wheel_cancel(s->side->options.wheel, &sub->timer);
    list_remove(&sub->exchanges);
    bool is_owing = sub->owes_delete || sub->owes_touch;
    if (!is_owing && (s->is_leaving || !s->channel)) {
        private_subscription_free(sub);
    } else {
        private_subscription_pay(sub);
    }
}

static void log_failure(const struct private_subscription *sub, const char *text)
{
    int len = (int)sub->queue->name.len;
    const char *queue = sub->queue->name.ptr;
    if (sub->has_stood) {
        log_warn(sub->session->name, "private.lost", "queue=%.*s text=%s", len, queue, text);
    } else {
        log_warn(sub->session->name, "private.refused", "queue=%.*s text=%s", len, queue, text);
    }
}

void private_subscription_fail(struct private_subscription *sub,
                               const struct session_problem *problem)
{
    const struct private_options *o = &sub->session->side->options;
    uint64_t client = sub->session->client;
    uint32_t handle = sub->handle;
    bool has_stood = sub->has_stood;
    bool is_told = !sub->session->is_leaving;
    log_failure(sub, problem ? problem->text : "the queue was deleted");
    private_subscription_end(sub, false);
    if (is_told && has_stood) {
        o->host->lost(o->reactor, client, handle, problem);
    } else if (is_told) {
        o->host->subscribed(o->reactor, client, handle, problem);
    }
}
