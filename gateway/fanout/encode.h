/* From a delivery to the bytes of a MESSAGE: once per delivery and distinct (subscription id,
 * spelling, version, gap), whatever the number of clients. DESIGN section 7. Pure but for malloc.
 * Belongs to one loop thread.
 *
 * Header order: subscription, destination, gap, message-id, redelivered, ack, the publisher's own
 * headers, properties, content-length. A reply-to that is no destination becomes one: /reply-queue/
 * in front (contracts: RabbitMQ 1.5). The first of repeated headers counts ("Repeated Header
 * Entries"), so a publisher's header can never stand in for one of ours; names that are ours are
 * left out.
 */
#pragma once

#include "amqp/broker.h"
#include "common/config.h"
#include "common/slice.h"
#include "gateway/fanout/destination.h"
#include "gateway/fanout/message.h"
#include "stomp/stomp.h"

#include <stdbool.h>

/* Headers between gateway and gateway, gateway and storage worker. Never passed on from or to a
 * client. */
#define ENCODE_INTERNAL_PREFIX "x-stompgate-"
#define ENCODE_DESTINATION "x-stompgate-destination"

#define ENCODE_ROOM_BYTES 1024 /* the headers of most messages */

/* What one delivery has in common for all who get it. Borrows the delivery; lives for one fan-out.
 */
struct encoder {
    const struct broker_delivery *delivery;
    struct slice message_id;
    /* Of a private subscription with client acks; absent by default. To be set between
     * encoder_init() and the first encode_message(), and borrowed as long. */
    struct slice ack;
    struct slice amqp_message_id; /* the message's own id, where message_id is another */
    bool is_text;                 /* body and headers are valid UTF-8 */
    /* Per version: everything between destination and body; NULL until asked for. The first that
     * fits stands in `room`. */
    char *tail[3];
    size_t tail_len[3];
    char made_id[40];      /* for messages that came without an id */
    struct slice spelling; /* for pattern subscriptions; ptr NULL until asked for */
    /* When the sender's is not there or not to be trusted. */
    char made_spelling[DESTINATION_SPELLING_MAX];
    bool has_room;
    char room[ENCODE_ROOM_BYTES];
};

enum encode_opcode { ENCODE_AUTO, ENCODE_TEXT, ENCODE_BINARY };

/* `fresh_id` is used as message-id when the delivery carries none (36 bytes and a NUL). */
void encoder_init(struct encoder *e, const struct broker_delivery *delivery, const char *fresh_id);

void encoder_fini(struct encoder *e);

/* The destination to show to a subscription with wildcards: the sender's spelling if it stands for
 * the same (exchange, key), else one made from the pair. Borrowed from the encoder. `exchange` is
 * that of the live queue. */
struct slice encoder_spelling(struct encoder *e, const struct config *config, const char *exchange);

/* The one made from the pair of the delivery itself, whatever the sender wrote. Likewise borrowed.
 */
struct slice encoder_pair_spelling(struct encoder *e, const struct config *config);

/* One reference. `subscription` with ptr NULL: the client subscribed without an id (STOMP 1.0).
 * `gap`: messages before this one were lost. NULL when out of memory. */
struct message *encode_message(struct encoder *e, enum stomp_version version,
                               struct slice subscription, struct slice spelling, bool gap,
                               enum encode_opcode opcode);
