/* Reads of stored messages for the gateway, asynchronous, on the reactor's loop. A face of persist/
 * (the other is store.h).
 *
 * One PostgreSQL connection that reconnects by itself; reads are queued (bounded) and run one after
 * the other. Belongs to one loop thread.
 */
#pragma once

#include "common/id.h"
#include "common/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uv_loop_s;
struct history;

/* Rows come in ascending order of id. Everything is borrowed until the callback returns. */
struct history_row {
    struct id id;
    struct slice exchange;
    struct slice routing_key;
    struct slice
        destination;     /* the sender's spelling, ptr NULL when the message came from plain AMQP */
    struct slice sender; /* user name, ptr NULL when unknown */
    struct slice content_type; /* ptr NULL when none */
    struct slice headers;      /* JSON object of strings, "{}" when none */
    struct slice body;
    uint64_t sent_unix_ms;
};

struct history_query {
    const char *exchange;
    struct slice routing_key;
    bool is_any_key;   /* fanout: the routing key does not matter */
    bool is_ascending; /* the oldest of the span first to be cut by `limit`; false: the newest */
    struct id after;   /* only ids greater than this; all zero: no bound */
    struct id before;  /* only ids smaller than this; all zero: no bound */
    unsigned limit;
};

/* An answer is also cut where its bodies exceed this, though never before the first row. So fewer
 * rows than `limit` do not mean that there are no more: who must have all of a span asks again from
 * the last row on, until nothing comes. */
#define HISTORY_MAX_BYTES (16u << 20)

/* rows NULL with n_rows 0 and error NULL: nothing stored. error is a text to show. */
typedef void (*history_fn)(void *owner, uint64_t cookie, const struct history_row *rows,
                           size_t n_rows, const char *error);

/* Borrows loop and owner; copies the connection string. NULL when out of memory. `name` is the
 * application_name. */
struct history *history_new(struct uv_loop_s *loop, const char *url, const char *name,
                            int statement_timeout_ms, void *owner);

/* Who asks what somebody else has asked, and what PostgreSQL was not sent yet, gets that answer:
 * ten thousand who join a room at once cost a few reads. What was sent is not shared, because it
 * may not see what was stored since.
 *
 * 0: `done` will run once, from the loop, with this `owner` (several parts of a reactor share one
 * history). -1: too many reads are waiting (HISTORY_WAITING_MAX), or
 * the database is away: say so to the client at once. */
#define HISTORY_WAITING_MAX 256
int history_read(struct history *h, const struct history_query *query, history_fn done, void *owner,
                 uint64_t cookie) __attribute__((warn_unused_result));

/* From inside `done`: the number of the answer. Who is called with the same number got the very
 * same rows. */
uint64_t history_answer(const struct history *h);

/* From inside `done`: nobody else is called with this answer. */
bool history_is_last(const struct history *h);

/* Reads sent to PostgreSQL, ever. */
uint64_t history_reads(const struct history *h);

bool history_is_up(const struct history *h);

/* Waiting reads end with an error; `stopped` runs from the loop, then history_free() is allowed. */
void history_stop(struct history *h, void (*stopped)(void *owner));
void history_free(struct history *h);
