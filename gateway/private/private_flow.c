/* A client that has no room. Its consumer is cancelled, and what was on its way is put back into
 * the queue once the broker says that no more comes: so other consumers get it, and when this one
 * starts again it finds everything in the queue's order. (Merely to put messages back would mix
 * them with those that are on their way.)
 *
 * A queue that is deleted with its last consumer must not be left without one: a second consumer,
 * the anchor, with a prefetch of one, is started before the first is cancelled, and ends when the
 * next one stands. The one message that it may get is put back like the others, but behind them:
 * so the anchor gets the first of all, and the next consumer what comes behind that. Where it was
 * not so (a message came when the anchor had none), it all goes back once more. */
#include "gateway/private/private_internal.h"

#include <stdlib.h>

/* Of a queue that we did not declare nobody has told us; but no stream goes so. */
static bool needs_anchor(const struct private_subscription *sub)
{
    const struct private_queue *q = sub->queue;
    return q->is_auto_delete || (q->must_exist && q->kind != PRIVATE_STREAM);
}

static void cancel(struct private_subscription *sub, uint64_t consumer,
                   enum private_request request)
{
    if (private_cancel(sub->session->channel, consumer,
                       private_subscription_cookie(sub, request)) == 0) {
        sub->n_asked++;
    }
}

static void close_flow(struct private_subscription *sub)
{
    if (needs_anchor(sub) && sub->anchor == 0) {
        if (private_subscription_consume(sub, PRIVATE_ANCHOR, 1) == 0) {
            sub->flow = PRIVATE_ANCHORING;
        }
        return;
    }
    sub->flow = PRIVATE_CLOSING;
    cancel(sub, sub->consumer, PRIVATE_CANCEL);
}

static int remember(struct private_subscription *sub, uint64_t tag)
{
    if (sub->n_held == sub->cap_held) {
        size_t cap = sub->cap_held ? sub->cap_held * 2 : 16;
        uint64_t *held = realloc(sub->held, cap * sizeof *held);
        if (!held) {
            return -1;
        }
        sub->held = held;
        sub->cap_held = cap;
    }
    sub->held[sub->n_held++] = tag;
    return 0;
}

/* How many messages of this size the client has room for. */
static size_t fitting(const struct private_subscription *sub, size_t bytes)
{
    size_t room = (size_t)sub->session->side->options.config->limits.private_queue_bytes;
    return room / (bytes > 0 ? bytes : 1);
}

/* At least halved, so that a client is not sent the same ones many times. */
static void narrow(struct private_subscription *sub, size_t bytes)
{
    size_t fits = fitting(sub, bytes);
    size_t window = sub->window / 2u;
    window = fits < window ? fits : window;
    sub->window = (uint16_t)(window > 0 ? window : 1);
}

static size_t unacked(const struct private_subscription *sub)
{
    const struct private_options *o = &sub->session->side->options;
    return o->host->unacked(o->reactor, sub->session->client, sub->handle);
}

/* What the last consumers delivered counts as well, though not at the broker. */
static void limit(struct private_subscription *sub)
{
    size_t used = unacked(sub);
    size_t left = used < sub->prefetch ? sub->prefetch - used : 1;
    sub->window = left < sub->window ? (uint16_t)left : sub->window;
}

/* The client has read all that the window let through, and may wait for more before it acknowledges
 * any; or more would fit its queue by now. */
static bool is_too_narrow(const struct private_subscription *sub)
{
    if (sub->window == sub->prefetch || sub->n_given < sub->window) {
        return false;
    }
    size_t used = unacked(sub);
    return used < sub->prefetch &&
           (used >= sub->window || fitting(sub, sub->last_bytes) / 2 >= sub->window);
}

static void widen(struct private_subscription *sub)
{
    unsigned window = sub->window * 2u;
    sub->window = window < sub->prefetch ? (uint16_t)window : sub->prefetch;
    close_flow(sub); /* and it is started again as soon as that is answered */
}

static bool is_anchor(const struct private_subscription *sub, uint64_t consumer)
{
    return sub->anchor != 0 && consumer == sub->anchor;
}

void private_flow_hold(struct private_subscription *sub, uint64_t consumer,
                       const struct broker_delivery *delivery)
{
    sub->session->side->stats.held++;
    sub->has_refused = true;
    if (private_stream_refuse(sub, delivery)) {
        private_ack(sub->session->channel, delivery->tag, false);
    } else if (is_anchor(sub, consumer)) {
        sub->anchor_tag = delivery->tag;
    } else if (remember(sub, delivery->tag) != 0) {
        private_nack(sub->session->channel, delivery->tag, false, true);
    }
    if (sub->state == PRIVATE_STANDS && sub->flow == PRIVATE_FLOWING) {
        narrow(sub, delivery->body.len);
        close_flow(sub);
    }
}

bool private_flow_holds(const struct private_subscription *sub, uint64_t consumer)
{
    return sub->has_refused || (sub->state == PRIVATE_STANDS && sub->flow != PRIVATE_FLOWING) ||
           (sub->state == PRIVATE_ASKED && is_anchor(sub, consumer) && !sub->is_anchor_first);
}

/* All but the anchor's. */
static void put_back_held(struct private_subscription *sub)
{
    for (size_t i = 0; i < sub->n_held && sub->session->channel; i++) {
        private_nack(sub->session->channel, sub->held[i], false, true);
    }
    sub->n_held = 0;
}

void private_flow_put_back(struct private_subscription *sub)
{
    put_back_held(sub);
    if (sub->anchor_tag && sub->session->channel) {
        private_nack(sub->session->channel, sub->anchor_tag, false, true);
    }
    sub->anchor_tag = 0;
}

void private_flow_resume(struct private_subscription *sub)
{
    if (sub->state != PRIVATE_STANDS) {
        return;
    }
    if (sub->flow == PRIVATE_CLOSED) {
        limit(sub);
        sub->is_anchor_first = sub->anchor_tag != 0;
        sub->has_refused = false;
        private_flow_put_back(sub);
        private_stream_resume(sub);
        private_subscription_go_quietly(sub); /* it may be the session itself that asks */
    } else if (sub->flow == PRIVATE_FLOWING && sub->has_refused) {
        sub->has_refused = false;
        private_flow_put_back(sub); /* its consumer could not be stopped */
    } else if (sub->flow == PRIVATE_FLOWING && is_too_narrow(sub)) {
        widen(sub);
    }
}

void private_flow_answered(struct private_subscription *sub, enum private_request request)
{
    if (request == PRIVATE_CONSUME) {
        sub->flow = PRIVATE_FLOWING;
        if (sub->has_refused) { /* it was refused again meanwhile, or out of order */
            close_flow(sub);
        } else if (sub->anchor) {
            cancel(sub, sub->anchor, PRIVATE_CANCEL_ANCHOR);
            sub->anchor = 0;
        }
    } else if (request == PRIVATE_ANCHOR && sub->flow == PRIVATE_ANCHORING) {
        sub->flow = PRIVATE_CLOSING;
        cancel(sub, sub->consumer, PRIVATE_CANCEL);
    } else if (request == PRIVATE_CANCEL && sub->flow == PRIVATE_CLOSING) {
        sub->consumer = 0;
        sub->flow = PRIVATE_CLOSED;
        put_back_held(sub);
        if (!sub->session->is_held) {
            private_flow_resume(sub);
        }
    }
}
