#include "amqp/codec_internal.h"

#include <amqp.h>
#include <amqp_framing.h>
#include <string.h>

#define FRAME_HEADER 7
#define FRAME_END 0xce

static void put16(uint8_t *p, uint16_t v)
{
    p[0] = (uint8_t)(v >> 8);
    p[1] = (uint8_t)v;
}

static void put32(uint8_t *p, uint32_t v)
{
    put16(p, (uint16_t)(v >> 16));
    put16(p + 2, (uint16_t)v);
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)(v >> 32));
    put32(p + 4, (uint32_t)v);
}

/* ---- Frames ---- */

ssize_t codec_next(const uint8_t *bytes, size_t len, size_t frame_max, struct codec_frame *frame)
{
    if (len < FRAME_HEADER) {
        return 0;
    }
    size_t payload = codec_get32(bytes + 3);
    if (payload + CODEC_FRAME_OVERHEAD > frame_max) {
        return -1;
    }
    if (len < payload + CODEC_FRAME_OVERHEAD) {
        return 0;
    }
    if (bytes[FRAME_HEADER + payload] != FRAME_END) {
        return -1;
    }
    frame->type = bytes[0];
    frame->channel = codec_get16(bytes + 1);
    frame->payload = bytes + FRAME_HEADER;
    frame->len = payload;
    return (ssize_t)(payload + CODEC_FRAME_OVERHEAD);
}

static void frame_begin(uint8_t *mem, uint8_t type, uint16_t channel, size_t payload)
{
    mem[0] = type;
    put16(mem + 1, channel);
    put32(mem + 3, (uint32_t)payload);
    mem[FRAME_HEADER + payload] = FRAME_END;
}

/* Writes a whole method frame into `mem`; its length, or -1. */
static ssize_t write_method(uint8_t *mem, size_t cap, uint16_t channel, uint32_t id, void *method)
{
    if (cap < CODEC_FRAME_OVERHEAD + 4) {
        return -1;
    }
    amqp_bytes_t room = {cap - CODEC_FRAME_OVERHEAD - 4, mem + FRAME_HEADER + 4};
    int n = amqp_encode_method(id, method, room);
    if (n < 0) {
        return -1;
    }
    put32(mem + FRAME_HEADER, id);
    frame_begin(mem, CODEC_METHOD, channel, (size_t)n + 4);
    return n + 4 + (ssize_t)CODEC_FRAME_OVERHEAD;
}

int codec_put_method(struct buf *out, uint16_t channel, uint32_t id, void *method, size_t cap)
{
    size_t room = cap + CODEC_FRAME_OVERHEAD + 4;
    uint8_t *mem = buf_reserve(out, room);
    if (!mem) {
        return -1;
    }
    ssize_t n = write_method(mem, room, channel, id, method);
    if (n < 0) {
        return -1;
    }
    buf_commit(out, (size_t)n);
    return 0;
}

int codec_put_body(struct buf *out, uint16_t channel, struct slice body, size_t frame_max)
{
    size_t chunk_max = frame_max - CODEC_FRAME_OVERHEAD;
    size_t n_frames = (body.len + chunk_max - 1) / chunk_max;
    size_t total = body.len + n_frames * CODEC_FRAME_OVERHEAD;
    if (total == 0) {
        return 0;
    }
    uint8_t *mem = buf_reserve(out, total);
    if (!mem) {
        return -1;
    }
    for (size_t at = 0; at < body.len;) {
        size_t n = body.len - at < chunk_max ? body.len - at : chunk_max;
        frame_begin(mem, CODEC_BODY, channel, n);
        memcpy(mem + FRAME_HEADER, body.ptr + at, n);
        mem += n + CODEC_FRAME_OVERHEAD;
        at += n;
    }
    buf_commit(out, total);
    return 0;
}

int codec_put_heartbeat(struct buf *out)
{
    uint8_t *mem = buf_reserve(out, CODEC_FRAME_OVERHEAD);
    if (!mem) {
        return -1;
    }
    frame_begin(mem, CODEC_HEARTBEAT, 0, 0);
    buf_commit(out, CODEC_FRAME_OVERHEAD);
    return 0;
}

/* ---- What we publish ---- */

#define METHOD_FIXED 64 /* of basic.publish, frame included, without its two names; generous */
#define HEADER_FIXED 96 /* of the content header without its strings and table; generous */

static void property_strings(const struct broker_properties *p, const struct slice *strings[9])
{
    strings[0] = &p->content_type;
    strings[1] = &p->content_encoding;
    strings[2] = &p->correlation_id;
    strings[3] = &p->reply_to;
    strings[4] = &p->expiration;
    strings[5] = &p->message_id;
    strings[6] = &p->type;
    strings[7] = &p->user_id;
    strings[8] = &p->app_id;
}

/* rabbitmq-c writes the length of a table key as (uint8_t)len but all of its bytes: a longer name
 * would put the sender's bytes where the broker expects fields of ours. So nothing over 255 gets
 * past this function. */
size_t codec_publish_bound(const struct broker_publish *publish, size_t frame_max)
{
    const struct broker_properties *p = &publish->properties;
    if (publish->exchange.len > CODEC_NAME_MAX || publish->routing_key.len > CODEC_NAME_MAX ||
        p->n_headers > BROKER_MAX_HEADERS) {
        return 0;
    }
    const struct slice *strings[9];
    size_t header = HEADER_FIXED;
    property_strings(p, strings);
    for (size_t i = 0; i < 9; i++) {
        if (strings[i]->len > CODEC_NAME_MAX) {
            return 0;
        }
        header += 1 + strings[i]->len;
    }
    for (size_t i = 0; i < p->n_headers; i++) {
        const struct broker_header *h = &p->headers[i];
        if (h->name.len == 0 || h->name.len > CODEC_NAME_MAX || h->value.len > frame_max) {
            return 0;
        }
        header += 1 + h->name.len + 1 + 4 + h->value.len;
    }
    if (header > frame_max) {
        return 0;
    }
    return METHOD_FIXED + publish->exchange.len + publish->routing_key.len + header;
}

static amqp_bytes_t bytes_of(struct slice s)
{
    /* rabbitmq-c's bytes are not const; encoding only reads them. */
    return (amqp_bytes_t){s.len, (void *)(uintptr_t)s.ptr};
}

static void set_string(amqp_basic_properties_t *to, amqp_flags_t flag, amqp_bytes_t *field,
                       struct slice value)
{
    if (value.ptr) {
        to->_flags |= flag;
        *field = bytes_of(value);
    }
}

static void set_strings(amqp_basic_properties_t *to, const struct broker_properties *p)
{
    set_string(to, AMQP_BASIC_CONTENT_TYPE_FLAG, &to->content_type, p->content_type);
    set_string(to, AMQP_BASIC_CONTENT_ENCODING_FLAG, &to->content_encoding, p->content_encoding);
    set_string(to, AMQP_BASIC_CORRELATION_ID_FLAG, &to->correlation_id, p->correlation_id);
    set_string(to, AMQP_BASIC_REPLY_TO_FLAG, &to->reply_to, p->reply_to);
    set_string(to, AMQP_BASIC_EXPIRATION_FLAG, &to->expiration, p->expiration);
    set_string(to, AMQP_BASIC_MESSAGE_ID_FLAG, &to->message_id, p->message_id);
    set_string(to, AMQP_BASIC_TYPE_FLAG, &to->type, p->type);
    set_string(to, AMQP_BASIC_USER_ID_FLAG, &to->user_id, p->user_id);
    set_string(to, AMQP_BASIC_APP_ID_FLAG, &to->app_id, p->app_id);
}

static ssize_t write_properties(uint8_t *mem, size_t cap, const struct broker_properties *p)
{
    amqp_table_entry_t entries[BROKER_MAX_HEADERS];
    amqp_basic_properties_t to = {0};
    set_strings(&to, p);
    if (p->has_priority) {
        to._flags |= AMQP_BASIC_PRIORITY_FLAG;
        to.priority = p->priority;
    }
    if (p->has_delivery_mode) {
        to._flags |= AMQP_BASIC_DELIVERY_MODE_FLAG;
        to.delivery_mode = p->delivery_mode;
    }
    if (p->has_timestamp) {
        to._flags |= AMQP_BASIC_TIMESTAMP_FLAG;
        to.timestamp = p->timestamp;
    }
    if (p->n_headers > 0) {
        for (size_t i = 0; i < p->n_headers; i++) {
            entries[i].key = bytes_of(p->headers[i].name);
            entries[i].value.kind = AMQP_FIELD_KIND_UTF8;
            entries[i].value.value.bytes = bytes_of(p->headers[i].value);
        }
        to._flags |= AMQP_BASIC_HEADERS_FLAG;
        to.headers.num_entries = (int)p->n_headers;
        to.headers.entries = entries;
    }
    return amqp_encode_properties(CODEC_CLASS_BASIC, &to, (amqp_bytes_t){cap, mem});
}

ssize_t codec_publish_head(uint8_t *mem, size_t cap, uint16_t channel,
                           const struct broker_publish *publish, size_t *method_len)
{
    amqp_basic_publish_t method = {
        .exchange = bytes_of(publish->exchange),
        .routing_key = bytes_of(publish->routing_key),
        .mandatory = publish->is_mandatory,
    };
    ssize_t n = write_method(mem, cap, channel, AMQP_BASIC_PUBLISH_METHOD, &method);
    if (n < 0 || cap - (size_t)n < HEADER_FIXED) {
        return -1;
    }
    *method_len = (size_t)n;

    /* type channel size | class weight body-size(8) properties... | end */
    uint8_t *frame = mem + n;
    uint8_t *fixed = frame + FRAME_HEADER;
    ssize_t m = write_properties(fixed + 12, cap - (size_t)n - CODEC_FRAME_OVERHEAD - 12,
                                 &publish->properties);
    if (m < 0) {
        return -1;
    }
    put16(fixed, CODEC_CLASS_BASIC);
    put16(fixed + 2, 0);
    put64(fixed + 4, publish->body.len);
    frame_begin(frame, CODEC_HEADER, channel, 12 + (size_t)m);
    return n + 12 + m + (ssize_t)CODEC_FRAME_OVERHEAD;
}
