/* From a delivery of a private subscription to its MESSAGE. */
#include "gateway/fanout/encode.h"
#include "gateway/session/session_internal.h"

#include <stdio.h>

static enum encode_opcode opcode_of(const struct config *config)
{
    switch (config->gateway.ws_frame) {
    case CONFIG_FRAME_TEXT:
        return ENCODE_TEXT;
    case CONFIG_FRAME_BINARY:
        return ENCODE_BINARY;
    case CONFIG_FRAME_AUTO:
        return ENCODE_AUTO;
    }
    return ENCODE_AUTO;
}

/* FNV-1a. */
uint32_t deliveries_hash(struct slice text)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < text.len; i++) {
        hash = (hash ^ (unsigned char)text.ptr[i]) * 16777619u;
    }
    return hash;
}

/* RabbitMQ's shape, which Spring's clients and others have been seen to take apart. */
static struct slice write_id(const struct session *s, const struct session_subscription *sub,
                             uint64_t number, char text[DELIVERIES_ID_MAX], uint32_t *hash)
{
    struct slice key = sub->id.ptr ? sub->id : sub->spelling;
    int front = snprintf(text, DELIVERIES_ID_MAX, "%c_%.*s", sub->id.ptr ? 'T' : 'Q', (int)key.len,
                         key.ptr);
    *hash = deliveries_hash((struct slice){text, (size_t)front});
    int len = front + snprintf(text + front, DELIVERIES_ID_MAX - (size_t)front, "@@%s@@%llu",
                               s->name, (unsigned long long)number);
    assert(len < DELIVERIES_ID_MAX);
    return (struct slice){text, (size_t)len};
}

/* The client's own spelling where the message was sent to just that; else the sender's, or one from
 * exchange and key: a queue may be bound anywhere. The queue of a reply-to shows its name. */
static struct slice spelling_of(const struct session *s, const struct session_subscription *sub,
                                struct encoder *e)
{
    const struct config *config = s->settings->config;
    const struct broker_delivery *delivery = e->delivery;
    struct destination d;
    char exchange[DESTINATION_PART_MAX + 1];
    if (sub->is_reply) {
        return encoder_pair_spelling(e, config);
    }
    if (!sub->is_pattern && destination_resolve(config, sub->spelling, &d) == DESTINATION_OK &&
        slice_is(delivery->exchange, d.exchange) && slice_is(delivery->routing_key, d.key)) {
        return sub->spelling;
    }
    snprintf(exchange, sizeof(exchange), "%.*s", (int)delivery->exchange.len,
             delivery->exchange.ptr);
    return encoder_spelling(e, config, exchange);
}

static struct message *encode(struct session *s, const struct session_subscription *sub,
                              const struct broker_delivery *delivery, struct slice id, bool gap)
{
    struct encoder e;
    encoder_init(&e, delivery, "");
    if (sub->ack != SESSION_ACK_AUTO) {
        e.amqp_message_id = delivery->properties.message_id;
        e.message_id = id;
        e.ack = s->version == STOMP_1_2 ? id : (struct slice){NULL, 0};
    } else if (e.message_id.len == 0) {
        e.message_id = id;
    }
    struct message *m = encode_message(&e, s->version, sub->id, spelling_of(s, sub, &e), gap,
                                       opcode_of(s->settings->config));
    encoder_fini(&e);
    return m;
}

/* It was on its way when its subscription ended. */
static void give_back(struct session *s, const struct broker_delivery *delivery)
{
    const struct session_settle settle = {
        .epoch = delivery->epoch, .tag = delivery->tag, .is_nack = true, .requeue = true};
    s->host->settle(s->host_data, &settle);
}

static void deliver(struct session *s, struct session_subscription *sub,
                    const struct broker_delivery *delivery, bool gap)
{
    char text[DELIVERIES_ID_MAX];
    uint32_t hash;
    uint64_t number = unacked_next_number(s, delivery->epoch);
    struct slice id = write_id(s, sub, number, text, &hash);
    struct message *message = number ? encode(s, sub, delivery, id, gap) : NULL;
    if (!message) {
        error_out_of_memory(s);
        return;
    }
    if (unacked_add(s, sub, number, delivery->tag, hash) != 0) {
        message_unref(message);
        error_out_of_memory(s);
        return;
    }
    s->host->deliver(s->host_data, message, number);
}

void deliveries_take(struct session *s, uint32_t handle, const struct broker_delivery *delivery,
                     bool gap)
{
    struct session_subscription *sub = subs_find_handle(s, handle);
    if (sub && sub->queue) {
        deliver(s, sub, delivery, gap);
    } else if (s->state != SESSION_STATE_LINGERING) { /* there all goes back with the channel */
        give_back(s, delivery);
    }
}
