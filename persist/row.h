/* One message on its way into the database: a delivery of the storage queue, copied, with what the
 * table wants to know of it. Pure: no socket, no clock, no database. Inside of persist/ only.
 */
#pragma once

#include "amqp/broker.h"
#include "common/buf.h"
#include "common/id.h"
#include "common/slice.h"
#include "persist/digest.h"

#include <stdbool.h>
#include <stdint.h>

/* Set by the gateway alone, never by clients: contract between gateway/ and persist/. */
#define ROW_HEADER_PREFIX "x-stompgate-"
#define ROW_HEADER_DESTINATION "x-stompgate-destination"
#define ROW_HEADER_USER "x-stompgate-user"
#define ROW_HEADER_KEY "x-stompgate-key"

#define ROW_KEY_LEN 16
#define ROW_ERROR_MAX 240

enum row_fate {
    ROW_PENDING,
    ROW_STORED,    /* inserted and committed by us */
    ROW_DUPLICATE, /* the database has this very message already */
    ROW_CONFLICT,  /* its id or key stands for another message: dead letter */
    ROW_REFUSED    /* the database will never take it: dead letter */
};

/* Invariant: all slices point into memory of the row itself. */
struct row {
    uint64_t tag;    /* of the delivery */
    uint64_t serial; /* order of arrival */
    bool is_redelivered;

    struct id id;
    bool is_id_ours;          /* the message brought none that could serve as the row's */
    bool has_key;             /* it brought something that makes it the same message again */
    uint8_t key[ROW_KEY_LEN]; /* digest of who, where and that something */
    uint8_t body_digest[DIGEST_LEN];

    struct slice exchange;
    struct slice routing_key;
    struct slice destination; /* ptr NULL: absent; the same for sender */
    struct slice sender;
    struct buf headers; /* JSON object of strings */
    struct broker_properties properties;
    struct slice body;
    int64_t sent_unix_us;
    size_t bytes; /* memory held, roughly */

    enum row_fate fate;
    const struct row
        *leader; /* batch.h: an earlier row with the same id or key, whose fate decides */
    char sqlstate[6];
    char error[ROW_ERROR_MAX]; /* why it becomes a dead letter */
    bool is_buried;            /* dead.h: the broker confirmed the dead letter */
    bool is_bare; /* dead.h: the broker refused it with its properties; it goes without */
};

/* What identifies a message:
 *   - a message id that is a UUIDv7 (the gateway's): it is the row's id, unique for ever;
 *   - a key of the gateway's client, within user, exchange and routing key; or, where the message
 * comes from an application, its message id of any other form, within exchange and routing key:
 * unique within store.dedup_hours. The row's id is made from `ids` then and not derived from the
 * text: ids are in the order of time, and so is history;
 *   - else nothing: the row gets an id from `ids`, and a second delivery is a second row.
 *
 * Gives a row; copies everything. NULL when out of memory. */
struct row *row_new(const struct broker_delivery *delivery, struct id_generator *ids,
                    uint64_t now_unix_ms);

void row_free(struct row *row);

/* True when both would be the same row of the table: exchange, routing key and body. */
bool row_is_same_message(const struct row *row, struct slice exchange, struct slice routing_key,
                         struct slice body_digest);

/* Makes it a dead letter. `sqlstate` may be "". */
void row_condemn(struct row *row, enum row_fate fate, const char *sqlstate, const char *error);

/* "id-conflict" or "refused". */
const char *row_reason(const struct row *row);
