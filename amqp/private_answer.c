/* Private channels: what the broker says on them. */
#include "amqp/private_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Answers ---- */

/* consume-ok and cancel-ok are sent by the queue's process: they may overtake other answers and be
 * overtaken. The owner hears all in the order of the requests. */
static void tell_answered(struct private_channel *ch)
{
    struct list *requests = &ch->channel.requests;
    while (!ch->is_gone && !list_is_empty(requests) && ask_of(requests->next)->is_answered) {
        struct ask *ask = ask_of(requests->next);
        struct broker_reply reply = BROKER_OK_REPLY;
        uint64_t cookie = ask->cookie;
        reply.messages = ask->messages;
        reply.consumers = ask->consumers;
        channel_forget(&ch->channel, &ask->request);
        private_free_ask(ask);
        if (cookie) {
            ch->events->answered(ch->owner, cookie, &reply);
        }
    }
}

static bool is_tagged(amqp_method_number_t id)
{
    return id == AMQP_BASIC_CONSUME_OK_METHOD || id == AMQP_BASIC_CANCEL_OK_METHOD;
}

/* The request that this answers: one of that tag, or else the first that has no tag. */
static struct ask *find_ask(struct private_channel *ch, amqp_method_number_t id,
                            const struct slice *tag)
{
    struct list *requests = &ch->channel.requests;
    for (struct list *n = requests->next; n != requests; n = n->next) {
        struct ask *ask = ask_of(n);
        if (ask->is_answered || ask->is_held || is_tagged(ask->request.expects) != (tag != NULL)) {
            continue;
        }
        if (!tag || (ask->request.expects == id && slice_is(*tag, ask->tag))) {
            return ask->request.expects == id ? ask : NULL;
        }
    }
    return NULL;
}

static void on_answer(struct broker *b, struct private_channel *ch, amqp_method_number_t id,
                      const void *method, const struct slice *tag)
{
    struct ask *ask = find_ask(ch, id, tag);
    if (!ask) {
        const char *name = amqp_method_name(id);
        conn_fail(b, "unexpected %s on channel %u", name ? name : "method", ch->channel.number);
        return;
    }
    ask->is_answered = true;
    if (id == AMQP_QUEUE_DECLARE_OK_METHOD) {
        const amqp_queue_declare_ok_t *ok = method;
        ask->messages = ok->message_count;
        ask->consumers = ok->consumer_count;
    } else if (id == AMQP_QUEUE_DELETE_OK_METHOD) {
        ask->messages = ((const amqp_queue_delete_ok_t *)method)->message_count;
    }
    tell_answered(ch);
}

/* ---- Consumers ---- */

static void on_consume_ok(struct broker *b, struct private_channel *ch, struct slice tag,
                          const void *method)
{
    struct private_consumer *c = map_get(&ch->consumers, tag.ptr, tag.len);
    if (c) {
        c->is_running = true;
        private_send_held(ch);
    }
    on_answer(b, ch, AMQP_BASIC_CONSUME_OK_METHOD, method, &tag);
}

static void on_cancel_ok(struct broker *b, struct private_channel *ch, struct slice tag,
                         const void *method)
{
    free(map_take(&ch->consumers, tag.ptr, tag.len));
    on_answer(b, ch, AMQP_BASIC_CANCEL_OK_METHOD, method, &tag);
}

/* One that its owner has cancelled is told by the answer to that. */
static void on_cancel(struct private_channel *ch, struct slice tag)
{
    struct private_consumer *c = map_get(&ch->consumers, tag.ptr, tag.len);
    if (!c || c->is_leaving) {
        return;
    }
    uint64_t cookie = c->cookie;
    map_take(&ch->consumers, tag.ptr, tag.len);
    free(c);
    private_send_held(ch);
    ch->events->cancelled(ch->owner, cookie);
}

/* Nobody can read it, here or after another delivery. Where the queue has a dead letter exchange,
 * it goes there. Streams have none, and over a nack RabbitMQ closes the connection. */
static void drop_delivery(struct broker *b, struct private_channel *ch,
                          const struct private_consumer *consumer, bool is_stream)
{
    const struct content *c = &ch->channel.content;
    b->stats.undecodable++;
    log_warn(b->name, "broker.undecodable", "tag=%s exchange=%s body_bytes=%llu", consumer->tag,
             c->exchange, (unsigned long long)c->body_size);
    if (is_stream) {
        private_ack(ch, c->tag, false);
    } else {
        private_nack(ch, c->tag, false, false);
    }
}

void private_on_delivery(struct broker *b, struct channel *channel, struct slice body)
{
    struct private_channel *ch = private_of(channel);
    const struct content *c = &channel->content;
    struct private_consumer *consumer = map_get(&ch->consumers, c->consumer, c->consumer_len);
    if (!consumer) {
        return;
    }
    struct broker_delivery delivery = {
        .tag = c->tag,
        .epoch = channel->epoch,
        .is_redelivered = c->is_redelivered,
        .exchange = {c->exchange, c->exchange_len},
        .routing_key = {c->routing_key, c->routing_key_len},
        .body = body,
    };
    struct slice header = {(const char *)buf_data(&c->header), c->header.len};
    bool is_read = codec_properties(header, &delivery.properties, &b->room) == 0;
    if (c->is_dropped || !is_read) {
        drop_delivery(b, ch, consumer,
                      is_read && codec_header(&delivery.properties, "x-stream-offset").ptr);
        return;
    }
    b->stats.delivered++;
    ch->events->delivery(ch->owner, consumer->cookie, &delivery);
}

/* ---- Errors ---- */

/* A consume that failed is found by the queue that the words name: one that was asked first may be
 * innocent, because its consume-ok may be on its way. All others are answered in order. */
static struct ask *find_culprit(struct private_channel *ch, amqp_method_number_t method,
                                const char *text)
{
    struct list *requests = &ch->channel.requests;
    struct ask *first = NULL;
    char quoted[CODEC_NAME_MAX + 3];
    for (struct list *n = requests->next; n != requests; n = n->next) {
        struct ask *ask = ask_of(n);
        if (ask->is_answered || ask->is_held || ask->request.method != method) {
            continue;
        }
        snprintf(quoted, sizeof(quoted), "'%s'", ask->queue);
        if (method != AMQP_BASIC_CONSUME_METHOD || strstr(text, quoted)) {
            return ask;
        }
        first = first ? first : ask;
    }
    return first;
}

static void close_over(struct private_channel *ch, const struct ask *culprit, uint16_t code,
                       const char *text)
{
    uint64_t cookie = culprit ? culprit->cookie : 0;
    private_bury(ch);
    ch->events->closed(ch->owner, cookie, code, text);
}

static void on_close(struct broker *b, struct private_channel *ch,
                     const amqp_channel_close_t *close)
{
    char text[256];
    amqp_channel_close_ok_t ok = {0};
    uint16_t number = ch->channel.number;
    snprintf(text, sizeof(text), "%.*s", (int)close->reply_text.len,
             (const char *)close->reply_text.bytes);
    b->stats.channel_errors++;
    log_info(b->name, "broker.channel_error", "channel=%u code=%u reason=%s", number,
             close->reply_code, text);
    channel_send(b, number, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    private_release(b, number);
    amqp_method_number_t method = (amqp_method_number_t)close->class_id << 16 | close->method_id;
    close_over(ch, find_culprit(ch, method, text), close->reply_code, text);
}

bool private_blame(struct broker *b, uint16_t code, const char *text, amqp_method_number_t method)
{
    struct private_channel *suspect = NULL;
    for (struct list *n = b->privates.open.next; n != &b->privates.open; n = n->next) {
        struct private_channel *ch = LIST_OWNER(n, struct private_channel, node);
        if (!find_culprit(ch, method, text)) {
            continue;
        }
        if (suspect) {
            return false;
        }
        suspect = ch;
    }
    if (suspect) {
        close_over(suspect, find_culprit(suspect, method, text), code, text);
    }
    return suspect;
}

/* ---- Frames ---- */

static struct slice slice_of_bytes(amqp_bytes_t bytes)
{
    return (struct slice){bytes.bytes, bytes.len};
}

bool private_on_method(struct broker *b, struct channel *channel, amqp_method_number_t id,
                       const void *method)
{
    struct private_channel *ch = private_of(channel);
    struct slice tag;
    switch (id) {
    case AMQP_BASIC_DELIVER_METHOD:
    case AMQP_CHANNEL_FLOW_METHOD:
        return false;
    case AMQP_CHANNEL_CLOSE_METHOD:
        on_close(b, ch, method);
        return true;
    case AMQP_BASIC_CANCEL_METHOD:
        on_cancel(ch, slice_of_bytes(((const amqp_basic_cancel_t *)method)->consumer_tag));
        return true;
    case AMQP_BASIC_CONSUME_OK_METHOD:
        tag = slice_of_bytes(((const amqp_basic_consume_ok_t *)method)->consumer_tag);
        on_consume_ok(b, ch, tag, method);
        return true;
    case AMQP_BASIC_CANCEL_OK_METHOD:
        tag = slice_of_bytes(((const amqp_basic_cancel_ok_t *)method)->consumer_tag);
        on_cancel_ok(b, ch, tag, method);
        return true;
    default:
        on_answer(b, ch, id, method, NULL);
        return true;
    }
}

/* AMQP 0-9-1, 1.5.2.5 "channel.close": all frames behind it are passed over, but for a close that
 * has crossed ours and for the answer. */
static void on_closing_frame(struct broker *b, const struct codec_frame *frame)
{
    if (frame->type != CODEC_METHOD || frame->len < 4) {
        return;
    }
    const uint8_t *p = frame->payload;
    amqp_method_number_t id = (amqp_method_number_t)p[0] << 24 | (amqp_method_number_t)p[1] << 16 |
                              (amqp_method_number_t)p[2] << 8 | p[3];
    if (id == AMQP_CHANNEL_CLOSE_METHOD) {
        amqp_channel_close_ok_t ok = {0};
        channel_send(b, frame->channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    } else if (id == AMQP_CHANNEL_CLOSE_OK_METHOD) {
        private_release(b, frame->channel);
    }
}

void private_on_frame(struct broker *b, const struct codec_frame *frame)
{
    size_t at = (size_t)frame->channel - CH_N;
    struct private_slot *slot = at < b->privates.n_slots ? &b->privates.slots[at] : NULL;
    if (slot && slot->ch) {
        channel_on_frame(b, &slot->ch->channel, frame);
    } else if (slot && slot->is_closing) {
        on_closing_frame(b, frame);
    } else {
        conn_fail(b, "frame on channel %u, which is not open", frame->channel);
    }
    private_reap(b);
}
