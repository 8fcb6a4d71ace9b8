/* Any bytes, for the reader of AMQP content properties and for the cutter of frames. What must
 * hold:
 *
 * 1. Whatever is read lies inside the bytes that were given or in the room for it, header names
 * have 1 to 255 bytes, and what was flattened out of a table lies behind one another without
 * overlap.
 * 2. What was read and is written again by rabbitmq-c reads as the same: no name or value can slip
 * into another field.
 * 3. Frames come out the same however often the front is looked at.
 */
#include "amqp/codec.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct codec_room first_room;
static struct codec_room second_room;

static void assert_same(struct slice a, struct slice b)
{
    assert((a.ptr == NULL) == (b.ptr == NULL));
    assert(slice_equals(a, b));
}

static void compare(const struct broker_properties *a, const struct broker_properties *b)
{
    assert_same(a->content_type, b->content_type);
    assert_same(a->content_encoding, b->content_encoding);
    assert_same(a->correlation_id, b->correlation_id);
    assert_same(a->reply_to, b->reply_to);
    assert_same(a->expiration, b->expiration);
    assert_same(a->message_id, b->message_id);
    assert_same(a->type, b->type);
    assert_same(a->user_id, b->user_id);
    assert_same(a->app_id, b->app_id);
    assert(a->has_priority == b->has_priority && a->priority == b->priority);
    assert(a->has_delivery_mode == b->has_delivery_mode && a->delivery_mode == b->delivery_mode);
    assert(a->has_timestamp == b->has_timestamp && a->timestamp == b->timestamp);
    assert(a->n_headers == b->n_headers);
    for (size_t i = 0; i < a->n_headers; i++) {
        assert(slice_equals(a->headers[i].name, b->headers[i].name));
        assert(slice_equals(a->headers[i].value, b->headers[i].value));
    }
}

static void write_again(const struct broker_properties *read)
{
    struct broker_publish publish = {
        .exchange = SLICE_LITERAL("e"), .routing_key = SLICE_LITERAL("k"), .properties = *read};
    size_t bound = codec_publish_bound(&publish, CODEC_FRAME_MAX);
    if (bound == 0) {
        return;
    }
    uint8_t *bytes = malloc(bound);
    assert(bytes);
    size_t method_len = 0;
    ssize_t n = codec_publish_head(bytes, bound, 4, &publish, &method_len);
    assert(n > 0 && (size_t)n <= bound);
    struct codec_frame frame;
    ssize_t used = codec_next(bytes + method_len, (size_t)n - method_len, CODEC_FRAME_MAX, &frame);
    assert(used > 0 && (size_t)used == (size_t)n - method_len);
    uint64_t body_size = 0;
    struct slice raw;
    struct broker_properties again;
    assert(codec_content((struct slice){(const char *)frame.payload, frame.len}, &body_size,
                         &raw) == 0);
    assert(body_size == 0);
    assert(codec_properties(raw, &again, &second_room) == 0);
    compare(read, &again);
    free(bytes);
}

static bool is_inside(struct slice s, const void *bytes, size_t len)
{
    uintptr_t at = (uintptr_t)s.ptr;
    uintptr_t from = (uintptr_t)bytes;
    return at >= from && at + s.len <= from + len;
}

static void check_headers(const struct broker_properties *p, const uint8_t *bytes, size_t len)
{
    const char *next = first_room.names;
    assert(p->n_headers <= BROKER_MAX_HEADERS);
    for (size_t i = 0; i < p->n_headers; i++) {
        struct slice name = p->headers[i].name;
        struct slice value = p->headers[i].value;
        assert(name.len > 0 && name.len <= CODEC_NAME_MAX);
        if (!is_inside(name, bytes, len)) {
            assert(name.ptr == next && is_inside(name, first_room.names, sizeof(first_room.names)));
            assert(memchr(name.ptr, '.', name.len));
            next += name.len;
        }
        assert(is_inside(value, bytes, len) || slice_is(value, "true") ||
               slice_is(value, "false") ||
               is_inside(value, first_room.numbers[i], sizeof(first_room.numbers[i])));
    }
}

static void read_properties(const uint8_t *data, size_t size)
{
    struct broker_properties p;
    uint8_t *copy = malloc(size); /* with a fence of the sanitizer behind it */
    assert(copy || size == 0);
    if (size > 0) {
        memcpy(copy, data, size);
    }
    if (codec_properties((struct slice){(const char *)copy, size}, &p, &first_room) == 0) {
        check_headers(&p, copy, size);
        write_again(&p);
    }
    free(copy);
}

static void cut_frames(const uint8_t *data, size_t size)
{
    size_t at = 0;
    for (;;) {
        struct codec_frame a;
        struct codec_frame b;
        ssize_t n = codec_next(data + at, size - at, CODEC_FRAME_MIN, &a);
        if (n <= 0) {
            return;
        }
        assert(codec_next(data + at, (size_t)n, CODEC_FRAME_MIN, &b) == n);
        assert(codec_next(data + at, (size_t)n - 1, CODEC_FRAME_MIN, &b) == 0);
        assert(a.payload == b.payload && a.len == b.len &&
               a.len + CODEC_FRAME_OVERHEAD == (size_t)n);
        if (a.type == CODEC_HEADER) {
            uint64_t body_size;
            struct slice raw;
            struct slice payload = {(const char *)a.payload, a.len};
            if (codec_content(payload, &body_size, &raw) == 0) {
                read_properties((const uint8_t *)raw.ptr, raw.len);
            }
        }
        at += (size_t)n;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_properties(data, size);
    cut_frames(data, size);
    return 0;
}
