/* AMQP 0-9-1 bytes: frames cut out of a stream, content headers read and written. Pure: no socket,
 * no clock, no connection.
 *
 * Methods are encoded and decoded by rabbitmq-c; frames are cut here, and the content properties of
 * what comes in are read here too, for two reasons. rabbitmq-c 0.11 recurses into nested tables
 * without a bound and fails the whole stream when one publisher's table is malformed; this reader
 * has bounds for what is nested and fails that one message only. Nothing here keeps a pointer
 * after it returns, but results point into the bytes that were given.
 */
#pragma once

#include "amqp/broker.h"
#include "common/buf.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define CODEC_FRAME_MAX 131072u /* what we offer, and the most we take */
#define CODEC_FRAME_MIN                                                                            \
    4096u                   /* AMQP 0-9-1, 1.4.2.6 "connection.tune": the least a peer must take */
#define CODEC_NAME_MAX 255u /* of a short string */
#define CODEC_FRAME_OVERHEAD 8u /* type, channel, size, and the end octet */

enum codec_frame_type { CODEC_METHOD = 1, CODEC_HEADER = 2, CODEC_BODY = 3, CODEC_HEARTBEAT = 8 };

struct codec_frame {
    uint8_t type;
    uint16_t channel;
    const uint8_t *payload;
    size_t len;
};

/* Looks for one whole frame at the front of `bytes`. Its length with overhead, 0 when it is not all
 * there, -1 when it is malformed or longer than frame_max (overhead included). *frame borrows
 * `bytes`. */
ssize_t codec_next(const uint8_t *bytes, size_t len, size_t frame_max, struct codec_frame *frame)
    __attribute__((warn_unused_result));

/* Appends a method frame. `method` is rabbitmq-c's struct of the method `id`, its encoding at most
 * `cap` bytes. 0, or -1 when out of memory or when it does not fit; nothing appended then. Short
 * strings must have been checked before. */
int codec_put_method(struct buf *out, uint16_t channel, uint32_t id, void *method, size_t cap)
    __attribute__((warn_unused_result));

/* Appends the body cut into frames of at most frame_max, none for an empty body. 0, or -1 when out
 * of memory. */
int codec_put_body(struct buf *out, uint16_t channel, struct slice body, size_t frame_max)
    __attribute__((warn_unused_result));

int codec_put_heartbeat(struct buf *out) __attribute__((warn_unused_result));

/* An upper bound for what codec_publish_head() writes, 0 when the publish can never be encoded: a
 * short string over 255 bytes, a header name that is empty or over 255, too many headers, or a
 * content header over frame_max. */
size_t codec_publish_bound(const struct broker_publish *publish, size_t frame_max);

/* Writes the method frame basic.publish and the content header frame. `mem` holds
 * codec_publish_bound() bytes. The length, or -1. *method_len is that of the first frame. */
ssize_t codec_publish_head(uint8_t *mem, size_t cap, uint16_t channel,
                           const struct broker_publish *publish, size_t *method_len)
    __attribute__((warn_unused_result));

#define CODEC_NUMBER_MAX 40
#define CODEC_DEPTH_MAX 8    /* tables and arrays inside each other */
#define CODEC_FIELDS_MAX 512 /* of tables and arrays of one message that are looked at */

/* Room that decoded headers live in. */
struct codec_room {
    struct broker_header headers[BROKER_MAX_HEADERS];
    char numbers[BROKER_MAX_HEADERS][CODEC_NUMBER_MAX];
    char names[BROKER_MAX_HEADERS * CODEC_NAME_MAX]; /* of what was nested */
};

/* Reads the payload of a content header frame: its body size, and the slice where its properties
 * are. 0, or -1 when too short or not of class basic. */
int codec_content(struct slice payload, uint64_t *body_size, struct slice *properties)
    __attribute__((warn_unused_result));

/* Reads the properties. Tables and arrays are flattened: their scalars become headers with dotted
 * names, "x-death.0.queue". What lies deeper than CODEC_DEPTH_MAX, has a longer name than
 * CODEC_NAME_MAX or comes behind the first BROKER_MAX_HEADERS or CODEC_FIELDS_MAX is left out, and
 * so is a table or array that is malformed inside its length. 0, or -1 when malformed. *properties
 * borrows from `bytes` and *room. */
int codec_properties(struct slice bytes, struct broker_properties *properties,
                     struct codec_room *room) __attribute__((warn_unused_result));

/* The value of a header, borrowed; ptr NULL when there is none. */
struct slice codec_header(const struct broker_properties *properties, const char *name);
