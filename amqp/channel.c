/* Channels: AMQP 0-9-1, 1.5 "Channel", and the content frames of 4.2.6. */
#include "amqp/broker_internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define METHOD_CAP 4096  /* no method of ours is longer: names are checked, tables are small */
#define ODD_CLOSES_MAX 5 /* in a row, before the whole connection is given up */
#define HEADER_BYTES_MAX CODEC_FRAME_MAX
#define HEADER_KEPT_BYTES 4096 /* of the buffer for the next message */

void channel_init(struct channel *ch, uint16_t number)
{
    memset(ch, 0, sizeof(*ch));
    ch->number = number;
    list_init(&ch->requests);
    list_init(&ch->open.node);
    list_init(&ch->select.node);
}

void channel_fini(struct channel *ch)
{
    buf_fini(&ch->content.header);
    buf_fini(&ch->content.body);
}

bool channel_send(struct broker *b, unsigned number, amqp_method_number_t id, void *method)
{
    if (b->conn.has_failed || b->conn.phase == CONN_NONE) {
        return false;
    }
    if (codec_put_method(&b->conn.out, (uint16_t)number, id, method, METHOD_CAP) < 0) {
        conn_fail(b, "cannot encode %s", amqp_method_name(id));
        return false;
    }
    broker_wake(b);
    return true;
}

void channel_await(struct channel *ch, struct request *r, amqp_method_number_t id,
                   amqp_method_number_t expects, answer_fn answer)
{
    r->method = id;
    r->expects = expects;
    r->answer = answer;
    list_push(&ch->requests, &r->node);
    ch->n_requests++;
}

void channel_request(struct broker *b, unsigned number, struct request *r, amqp_method_number_t id,
                     void *method, amqp_method_number_t expects, answer_fn answer)
{
    channel_await(&b->channels[number], r, id, expects, answer);
    channel_send(b, number, id, method);
}

void channel_forget(struct channel *ch, struct request *r)
{
    list_remove(&r->node);
    ch->n_requests--;
}

static struct request *shift(struct channel *ch)
{
    if (list_is_empty(&ch->requests)) {
        return NULL;
    }
    struct request *r = LIST_OWNER(ch->requests.next, struct request, node);
    list_remove(&r->node);
    ch->n_requests--;
    return r;
}

static void content_reset(struct content *c)
{
    c->expects = CONTENT_NONE;
    buf_consume(&c->header, c->header.len);
    buf_consume(&c->body, c->body.len);
    buf_trim(&c->body);
    if (c->header.cap > HEADER_KEPT_BYTES) {
        buf_trim(&c->header); /* there may be thousands of channels */
    }
}

void channel_reset(struct channel *ch)
{
    ch->is_open = false;
    ch->odd_closes = 0;
    while (shift(ch)) {
    }
    content_reset(&ch->content);
}

static bool is_private(const struct channel *ch)
{
    return ch->number >= CH_N;
}

/* ---- Opening, and what the broker's errors do ---- */

static void on_opened(struct broker *b, struct request *r, const struct answer *a)
{
    (void)r;
    if (a->kind == ANSWER_REFUSED) {
        conn_fail(b, "cannot open a channel: %u %s", a->code, a->text);
    }
}

/* What is behind channel.open does not wait for its answer: the broker handles a channel's frames
 * in order. */
void channel_open(struct broker *b, struct channel *ch)
{
    amqp_channel_open_t open = {.out_of_band = amqp_empty_bytes};
    ch->is_open = true;
    ch->epoch++;
    channel_request(b, ch->number, &ch->open, AMQP_CHANNEL_OPEN_METHOD, &open,
                    AMQP_CHANNEL_OPEN_OK_METHOD, on_opened);
    if (ch->number == CH_FIXED || ch->number == CH_DYNAMIC) {
        amqp_confirm_select_t select = {0};
        channel_request(b, ch->number, &ch->select, AMQP_CONFIRM_SELECT_METHOD, &select,
                        AMQP_CONFIRM_SELECT_OK_METHOD, on_opened);
    }
}

static void answer_lost(struct broker *b, struct list *lost)
{
    struct answer answer = {.kind = ANSWER_LOST};
    /* From the last to the first: each is put back in front of what waits, so their order stays. */
    while (!list_is_empty(lost)) {
        struct request *r = LIST_OWNER(lost->prev, struct request, node);
        list_remove(&r->node);
        r->answer(b, r, &answer);
    }
}

static void on_close(struct broker *b, struct channel *ch, const amqp_channel_close_t *close)
{
    amqp_method_number_t method = (amqp_method_number_t)close->class_id << 16 | close->method_id;
    char text[256];
    snprintf(text, sizeof(text), "%.*s", (int)close->reply_text.len,
             (const char *)close->reply_text.bytes);
    b->stats.channel_errors++;
    if (ch->number == CH_SCRATCH) {
        log_debug(b->name, "broker.not_there", "code=%u reason=%s", close->reply_code, text);
    } else {
        log_info(b->name, "broker.channel_error", "channel=%u code=%u reason=%s", ch->number,
                 close->reply_code, text);
    }

    struct request *culprit = NULL;
    if (!list_is_empty(&ch->requests)) {
        struct request *head = LIST_OWNER(ch->requests.next, struct request, node);
        culprit = head->method == method ? shift(ch) : NULL;
    }
    struct list lost;
    list_init(&lost);
    for (struct request *r = shift(ch); r; r = shift(ch)) {
        list_push(&lost, &r->node);
    }
    bool is_publish = method == AMQP_BASIC_PUBLISH_METHOD;
    ch->odd_closes = culprit || is_publish ? 0 : ch->odd_closes + 1;
    content_reset(&ch->content);
    amqp_channel_close_ok_t ok = {0};
    channel_send(b, ch->number, AMQP_CHANNEL_CLOSE_OK_METHOD, &ok);
    if (ch->odd_closes > ODD_CLOSES_MAX) {
        conn_fail(b, "channel %u is closed again and again: %u %s", ch->number, close->reply_code,
                  text);
    }
    answer_lost(b,
                &lost); /* that of channel.open may be among them, so only then is it sent again */
    channel_open(b, ch);
    if (culprit) {
        struct answer answer = {.kind = ANSWER_REFUSED, .code = close->reply_code, .text = text};
        culprit->answer(b, culprit, &answer);
    }
    if (ch->number == CH_CONSUME) {
        if (method == AMQP_BASIC_CONSUME_METHOD) {
            consumer_on_channel_error(b, close->reply_code, text);
        }
        consumer_restore(b);
    } else if (ch->number == CH_FIXED || ch->number == CH_DYNAMIC) {
        publisher_on_close(b, ch->number, close->reply_code, text, is_publish);
    }
}

bool channel_says_missing(const char *text, const char *what, struct slice name)
{
    char words[CODEC_NAME_MAX + 64];
    int n = snprintf(words, sizeof(words), "NOT_FOUND - no %s '%.*s' in vhost '", what,
                     (int)name.len, name.ptr);
    size_t len = strlen(text);
    if (n < 0 || (size_t)n >= sizeof(words)) {
        return false;
    }
    if (len >= (size_t)n) {
        return memcmp(text, words, (size_t)n) == 0;
    }
    /* "NOT_FOUND - no exchange 'a very long na..." */
    return len > 64 && strcmp(text + len - 3, "...") == 0 && memcmp(text, words, len - 3) == 0;
}

void channel_blame(struct broker *b, uint16_t code, const char *text, amqp_method_number_t method)
{
    if (method == AMQP_BASIC_PUBLISH_METHOD) {
        publisher_blame(b, code, text);
        return;
    }
    for (unsigned i = CH_TOPOLOGY; i < CH_N; i++) {
        struct channel *ch = &b->channels[i];
        if (list_is_empty(&ch->requests)) {
            continue;
        }
        struct request *head = LIST_OWNER(ch->requests.next, struct request, node);
        if (head->method == method) {
            struct answer answer = {.kind = ANSWER_REFUSED, .code = code, .text = text};
            shift(ch);
            head->answer(b, head, &answer);
            return;
        }
    }
    private_blame(b, code, text, method);
}

/* ---- Content ---- */

static size_t copy_name(char to[256], amqp_bytes_t from)
{
    size_t len = from.len < 255 ? from.len : 255;
    if (len > 0) {
        memcpy(to, from.bytes, len);
    }
    to[len] = '\0';
    return len;
}

static void on_deliver(struct channel *ch, const amqp_basic_deliver_t *m)
{
    struct content *c = &ch->content;
    c->expects = CONTENT_HEADER;
    c->is_return = false;
    c->tag = m->delivery_tag;
    c->is_redelivered = m->redelivered;
    c->consumer_len = copy_name(c->consumer, m->consumer_tag);
    c->exchange_len = copy_name(c->exchange, m->exchange);
    c->routing_key_len = copy_name(c->routing_key, m->routing_key);
}

static void on_return(struct channel *ch, const amqp_basic_return_t *m)
{
    struct content *c = &ch->content;
    c->expects = CONTENT_HEADER;
    c->is_return = true;
    c->code = m->reply_code;
    c->consumer_len = copy_name(c->consumer, m->reply_text); /* the reason */
    c->exchange_len = copy_name(c->exchange, m->exchange);
    c->routing_key_len = copy_name(c->routing_key, m->routing_key);
}

static void content_done(struct broker *b, struct channel *ch, struct slice body)
{
    struct content *c = &ch->content;
    c->expects = CONTENT_NONE;
    if (c->is_return) {
        publisher_on_return(b, ch->number, c);
    } else if (is_private(ch)) {
        private_on_delivery(b, ch, body);
    } else {
        consumer_on_delivery(b, c, body);
    }
    content_reset(c);
}

static void on_header(struct broker *b, struct channel *ch, const struct codec_frame *frame)
{
    struct content *c = &ch->content;
    struct slice properties;
    struct slice payload = {(const char *)frame->payload, frame->len};
    if (c->expects != CONTENT_HEADER || codec_content(payload, &c->body_size, &properties) < 0) {
        conn_fail(b, "unexpected content header on channel %u", ch->number);
        return;
    }
    /* The body of a return is our own message again: nobody needs it. */
    c->is_dropped = c->body_size > CONSUMER_BODY_MAX;
    c->body_got = 0;
    buf_consume(&c->header, c->header.len);
    if (properties.len > HEADER_BYTES_MAX ||
        buf_append(&c->header, properties.ptr, properties.len) < 0) {
        conn_fail(b, "out of memory");
        return;
    }
    c->expects = CONTENT_BODY;
    if (c->body_size == 0) {
        content_done(b, ch, SLICE_LITERAL(""));
    }
}

static void on_body(struct broker *b, struct channel *ch, const struct codec_frame *frame)
{
    struct content *c = &ch->content;
    if (c->expects != CONTENT_BODY || frame->len > c->body_size - c->body_got) {
        conn_fail(b, "unexpected body frame on channel %u", ch->number);
        return;
    }
    c->body_got += frame->len;
    if (c->body_got == c->body_size && c->body.len == 0 && !c->is_dropped) {
        content_done(b, ch, (struct slice){(const char *)frame->payload, frame->len});
        return;
    }
    /* Grows with what has come, not with what was announced. */
    if (!c->is_dropped && !c->is_return && buf_append(&c->body, frame->payload, frame->len) < 0) {
        log_error(b->name, "broker.no_memory", "body_bytes=%llu", (unsigned long long)c->body_size);
        c->is_dropped = true;
    }
    if (c->body_got == c->body_size) {
        const char *bytes = c->body.len ? (const char *)buf_data(&c->body) : "";
        content_done(b, ch, (struct slice){bytes, c->body.len});
    }
}

/* ---- Methods ---- */

static void on_answer(struct broker *b, struct channel *ch, amqp_method_number_t id,
                      const void *method)
{
    struct request *r = shift(ch);
    if (!r || r->expects != id) {
        conn_fail(b, "unexpected %s on channel %u",
                  amqp_method_name(id) ? amqp_method_name(id) : "method", ch->number);
        return;
    }
    ch->odd_closes = 0;
    struct answer answer = {.kind = ANSWER_OK, .method = method};
    r->answer(b, r, &answer);
}

static void on_flow(struct broker *b, struct channel *ch, const amqp_channel_flow_t *flow)
{
    amqp_channel_flow_ok_t ok = {.active = flow->active};
    channel_send(b, ch->number, AMQP_CHANNEL_FLOW_OK_METHOD, &ok);
}

static bool is_publishing(const struct channel *ch)
{
    return ch->number == CH_FIXED || ch->number == CH_DYNAMIC;
}

static void on_method(struct broker *b, struct channel *ch, amqp_method_number_t id,
                      const void *method)
{
    if (is_private(ch) && private_on_method(b, ch, id, method)) {
        return;
    }
    if (id == AMQP_BASIC_DELIVER_METHOD && (ch->number == CH_CONSUME || is_private(ch))) {
        on_deliver(ch, method);
    } else if (id == AMQP_BASIC_RETURN_METHOD && is_publishing(ch)) {
        on_return(ch, method);
    } else if (id == AMQP_BASIC_ACK_METHOD && is_publishing(ch)) {
        const amqp_basic_ack_t *ack = method;
        publisher_on_ack(b, ch->number, ack->delivery_tag, ack->multiple, false);
    } else if (id == AMQP_BASIC_NACK_METHOD && is_publishing(ch)) {
        const amqp_basic_nack_t *nack = method;
        publisher_on_ack(b, ch->number, nack->delivery_tag, nack->multiple, true);
    } else if (id == AMQP_BASIC_CANCEL_METHOD && ch->number == CH_CONSUME) {
        const amqp_basic_cancel_t *cancel = method;
        consumer_on_cancel(b, (struct slice){cancel->consumer_tag.bytes, cancel->consumer_tag.len});
    } else if (id == AMQP_BASIC_QOS_OK_METHOD && ch->number == CH_CONSUME) {
        return;
    } else if (id == AMQP_BASIC_CONSUME_OK_METHOD && ch->number == CH_CONSUME) {
        const amqp_basic_consume_ok_t *ok = method;
        consumer_on_consuming(b, (struct slice){ok->consumer_tag.bytes, ok->consumer_tag.len});
    } else if (id == AMQP_BASIC_CANCEL_OK_METHOD && ch->number == CH_CONSUME) {
        const amqp_basic_cancel_ok_t *ok = method;
        consumer_on_cancelled(b, (struct slice){ok->consumer_tag.bytes, ok->consumer_tag.len});
    } else if (id == AMQP_CHANNEL_CLOSE_METHOD) {
        on_close(b, ch, method);
    } else if (id == AMQP_CHANNEL_FLOW_METHOD) {
        on_flow(b, ch, method);
    } else {
        on_answer(b, ch, id, method);
    }
}

static void on_method_frame(struct broker *b, struct channel *ch, const struct codec_frame *frame)
{
    void *method = NULL;
    const uint8_t *p = frame->payload;
    if (frame->len < 4 || ch->content.expects != CONTENT_NONE) {
        conn_fail(b, "unexpected method frame on channel %u", ch->number);
        return;
    }
    amqp_method_number_t id = (amqp_method_number_t)p[0] << 24 | (amqp_method_number_t)p[1] << 16 |
                              (amqp_method_number_t)p[2] << 8 | p[3];
    amqp_bytes_t encoded = {frame->len - 4, (void *)(uintptr_t)(p + 4)};
    if (amqp_decode_method(id, &b->conn.pool, encoded, &method) < 0) {
        conn_fail(b, "malformed method %08x on channel %u", (unsigned)id, ch->number);
        return;
    }
    on_method(b, ch, id, method);
}

void channel_on_frame(struct broker *b, struct channel *ch, const struct codec_frame *frame)
{
    switch (frame->type) {
    case CODEC_METHOD:
        on_method_frame(b, ch, frame);
        break;
    case CODEC_HEADER:
        on_header(b, ch, frame);
        break;
    case CODEC_BODY:
        on_body(b, ch, frame);
        break;
    default:
        conn_fail(b, "frame of type %u on channel %u", frame->type, ch->number);
        break;
    }
}
