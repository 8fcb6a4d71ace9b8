#include "gateway/fanout/encode.h"

#include <stdio.h>
#include <stdlib.h>

#define HEAD_BYTES 256 /* the command, subscription and destination of most messages */

void encoder_init(struct encoder *e, const struct broker_delivery *delivery, const char *fresh_id)
{
    const struct broker_properties *p = &delivery->properties;
    e->delivery = delivery;
    e->message_id = p->message_id;
    e->ack = (struct slice){0};
    e->amqp_message_id = (struct slice){0};
    if (!e->message_id.ptr || e->message_id.len == 0) {
        snprintf(e->made_id, sizeof e->made_id, "%s", fresh_id);
        e->message_id = slice_of(e->made_id);
    }
    e->is_text = stomp_is_utf8(delivery->body.ptr, delivery->body.len);
    memset(e->tail, 0, sizeof e->tail);
    e->has_room = true;
    e->spelling = (struct slice){0};
}

void encoder_fini(struct encoder *e)
{
    for (size_t i = 0; i < sizeof e->tail / sizeof e->tail[0]; i++) {
        if (e->tail[i] != e->room) {
            free(e->tail[i]);
        }
    }
}

/* It comes from the publisher, not from a frame that the parser has checked. */
static struct slice keep_spelling(struct encoder *e, struct slice spelling)
{
    e->spelling = spelling;
    e->is_text = e->is_text && stomp_is_utf8(spelling.ptr, spelling.len);
    return spelling;
}

static struct slice make_spelling(struct encoder *e, const struct config *config,
                                  struct slice exchange)
{
    size_t len = destination_spell(config, exchange, e->delivery->routing_key, e->made_spelling,
                                   sizeof e->made_spelling);
    return keep_spelling(e, (struct slice){e->made_spelling, len});
}

struct slice encoder_pair_spelling(struct encoder *e, const struct config *config)
{
    return e->spelling.ptr ? e->spelling : make_spelling(e, config, e->delivery->exchange);
}

struct slice encoder_spelling(struct encoder *e, const struct config *config, const char *exchange)
{
    if (e->spelling.ptr) {
        return e->spelling;
    }
    const struct broker_delivery *d = e->delivery;
    for (size_t i = 0; i < d->properties.n_headers; i++) {
        const struct broker_header *h = &d->properties.headers[i];
        struct destination told;
        if (slice_is(h->name, ENCODE_DESTINATION) &&
            destination_resolve(config, h->value, &told) == DESTINATION_OK &&
            slice_is((struct slice){told.exchange, told.exchange_len}, exchange) &&
            (told.route->type == CONFIG_FANOUT ||
             slice_equals((struct slice){told.key, told.key_len}, d->routing_key))) {
            return keep_spelling(e, h->value);
        }
    }
    return make_spelling(e, config, slice_of(exchange));
}

#define RESERVED(text)                                                                             \
    {                                                                                              \
        (text), sizeof(text) - 1                                                                   \
    }

/* Names that only the gateway says. */
static bool is_reserved(struct slice name)
{
    static const struct slice reserved[] = {
        RESERVED("subscription"),
        RESERVED("destination"),
        RESERVED("message-id"),
        RESERVED("redelivered"),
        RESERVED("ack"),
        RESERVED("gap"),
        RESERVED("receipt"),
        RESERVED("content-length"),
        RESERVED("receipt-id"),
        RESERVED("transaction"),
        RESERVED("passcode"),
        RESERVED("login"),
        RESERVED("amqp-message-id"),
    };
    if (slice_starts_with(name, SLICE_LITERAL(ENCODE_INTERNAL_PREFIX))) {
        return true;
    }
    for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++) {
        if (slice_equals(name, reserved[i])) {
            return true;
        }
    }
    return false;
}

static inline void write_optional(struct stomp_writer *w, const char *name, struct slice value)
{
    if (value.ptr) {
        stomp_writer_header(w, slice_of(name), value);
    }
}

#define REPLY_QUEUE "/reply-queue/"

static bool is_destination(struct slice reply_to)
{
    static const char *const prefixes[] = {"/exchange", "/topic", "/queue", "/amq/queue",
                                           REPLY_QUEUE};
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        if (slice_starts_with(reply_to, slice_of(prefixes[i]))) {
            return true;
        }
    }
    return false;
}

/* What an AMQP client or another gateway gives is the name of a queue. */
static void write_reply_to(struct stomp_writer *w, struct slice reply_to)
{
    char text[sizeof REPLY_QUEUE + 255]; /* an AMQP property is a short string */
    if (!reply_to.ptr || is_destination(reply_to) ||
        reply_to.len > sizeof text - sizeof REPLY_QUEUE) {
        write_optional(w, "reply-to", reply_to);
        return;
    }
    size_t n = strlen(REPLY_QUEUE);
    memcpy(text, REPLY_QUEUE, n);
    memcpy(text + n, reply_to.ptr, reply_to.len);
    write_optional(w, "reply-to", (struct slice){text, n + reply_to.len});
}

/* contracts: RabbitMQ's order of the properties. */
static void write_properties(struct stomp_writer *w, const struct encoder *e)
{
    const struct broker_properties *p = &e->delivery->properties;
    write_optional(w, "app-id", p->app_id);
    write_optional(w, "user-id", p->user_id);
    write_optional(w, "type", p->type);
    if (p->has_timestamp) {
        stomp_writer_number(w, "timestamp", p->timestamp);
    }
    write_optional(w, "amqp-message-id", e->amqp_message_id);
    write_optional(w, "expiration", p->expiration);
    write_reply_to(w, p->reply_to);
    write_optional(w, "correlation-id", p->correlation_id);
    if (p->has_priority) {
        stomp_writer_number(w, "priority", p->priority);
    }
    if (p->has_delivery_mode) {
        write_optional(w, "persistent",
                       p->delivery_mode == 2 ? SLICE_LITERAL("true") : SLICE_LITERAL("1"));
    }
    write_optional(w, "content-encoding", p->content_encoding);
    write_optional(w, "content-type", p->content_type);
}

static void write_tail(struct stomp_writer *w, const struct encoder *e)
{
    const struct broker_delivery *d = e->delivery;
    stomp_writer_header(w, SLICE_LITERAL("message-id"), e->message_id);
    stomp_writer_header(w, SLICE_LITERAL("redelivered"),
                        d->is_redelivered ? SLICE_LITERAL("true") : SLICE_LITERAL("false"));
    write_optional(w, "ack", e->ack);
    for (size_t i = 0; i < d->properties.n_headers; i++) {
        const struct broker_header *h = &d->properties.headers[i];
        if (!is_reserved(h->name)) {
            stomp_writer_header(w, h->name, h->value);
        }
    }
    write_properties(w, e);
    stomp_writer_blank(w, d->body.len);
}

/* Into the room where it is free and large enough; else into memory of its own. */
static int make_tail(struct encoder *e, enum stomp_version version)
{
    struct stomp_writer w;
    char *tail = e->room;
    stomp_writer_init(&w, tail, e->has_room ? sizeof e->room : 0, version);
    write_tail(&w, e);
    if (!stomp_writer_fits(&w)) {
        size_t len = w.len;
        tail = malloc(len);
        if (!tail) {
            return -1;
        }
        stomp_writer_init(&w, tail, len, version);
        write_tail(&w, e);
    }
    e->has_room = e->has_room && tail != e->room;
    e->tail[version] = tail;
    e->tail_len[version] = w.len;
    e->is_text = e->is_text && stomp_is_utf8(tail, w.len);
    return 0;
}

static void write_head(struct stomp_writer *w, struct slice subscription, struct slice spelling,
                       bool gap)
{
    stomp_writer_command(w, STOMP_MESSAGE);
    if (subscription.ptr) {
        stomp_writer_header(w, SLICE_LITERAL("subscription"), subscription);
    }
    stomp_writer_header(w, SLICE_LITERAL("destination"), spelling);
    if (gap) {
        stomp_writer_header(w, SLICE_LITERAL("gap"), SLICE_LITERAL("true"));
    }
}

/* Behind the head: tail, body, NUL. */
static void put_rest(uint8_t *at, const struct encoder *e, enum stomp_version version)
{
    struct slice body = e->delivery->body;
    memcpy(at, e->tail[version], e->tail_len[version]);
    at += e->tail_len[version];
    if (body.len > 0) {
        memcpy(at, body.ptr, body.len);
    }
    at[body.len] = '\0';
}

struct message *encode_message(struct encoder *e, enum stomp_version version,
                               struct slice subscription, struct slice spelling, bool gap,
                               enum encode_opcode opcode)
{
    if (!e->tail[version] && make_tail(e, version) != 0) {
        return NULL;
    }
    struct stomp_writer w;
    char head[HEAD_BYTES];
    stomp_writer_init(&w, head, sizeof head, version);
    write_head(&w, subscription, spelling, gap);
    size_t head_len = w.len;
    /* Of the head, the parser has checked what came from a client's frame, and encoder_spelling()
     * the rest. */
    bool is_text = opcode == ENCODE_AUTO ? e->is_text : opcode == ENCODE_TEXT;
    struct message *m =
        message_new(head_len + e->tail_len[version] + e->delivery->body.len + 1, is_text);
    if (!m) {
        return NULL;
    }
    if (stomp_writer_fits(&w)) {
        memcpy(message_payload(m), head, head_len);
    } else {
        stomp_writer_init(&w, (char *)message_payload(m), head_len, version);
        write_head(&w, subscription, spelling, gap);
    }
    put_rest(message_payload(m) + head_len, e, version);
    m->gap_off = gap ? 0 : (uint32_t)(m->payload_off + head_len);
    return m;
}
