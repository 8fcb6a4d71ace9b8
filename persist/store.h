/* The storage worker: takes what the storage queue gives, writes it into PostgreSQL, acknowledges
 * after COMMIT. A face of persist/ (the other is history.h). Any number of workers share one queue
 * and one database.
 *
 * One batch is being written while the next one fills. What is held in memory is bounded twice: by
 * the prefetch of 2 × store.batch_rows messages, and by STORE_HELD_BATCHES × store.batch_bytes (at
 * least STORE_HELD_MIN_BYTES) plus one message. When bodies are so large that the second bound is
 * reached first, everything unacknowledged goes back to the queue and the worker takes fewer at a
 * time. While a statement is under way its rows are in memory twice more (arrays, libpq's buffer);
 * that is store.batch_bytes at the most, or one message. The broker library adds the message it is
 * assembling.
 *
 * Nothing is acknowledged while the database is away. When a delivery has waited for STORE_PARK_MS
 * and nothing went forward meanwhile, or for STORE_PARK_AT_LAST_MS in any case, all go back to the
 * queue and the consumer is cancelled until the database is there again, so that RabbitMQ's
 * consumer_timeout (30 minutes by default) never strikes.
 *
 * Belongs to one loop thread, which needs a stack of 8 MiB (broker.h).
 */
#pragma once

#include "common/buf.h"
#include "common/slice.h"

#include <stdbool.h>
#include <stdint.h>

#define STORE_HELD_BATCHES 8
#define STORE_HELD_MIN_BYTES (64u << 20)
#define STORE_PARK_MS 45000
#define STORE_PARK_AT_LAST_MS 600000
#define STORE_STOP_MS 10000 /* store_stop(): what is not written by then goes back to the queue */

struct uv_loop_s;
struct config;
struct store;

/* Borrows both. NULL when out of memory. */
struct store *store_new(struct uv_loop_s *loop, const struct config *config);

/* 0, or -1 when out of memory. */
int store_start(struct store *s) __attribute__((warn_unused_result));

/* Stops consuming, finishes what it holds, acknowledges, closes the connections, then calls
 * stopped(owner) from the loop. The second call does nothing. */
void store_stop(struct store *s, void (*stopped)(void *owner), void *owner);

/* After stopped, or when store_start() never was called. NULL does nothing. */
void store_free(struct store *s);

/* Connected to the database and to the broker, and consuming. */
bool store_is_ready(const struct store *s);

/* Appends the metrics in Prometheus' text format. 0, or -1 when out of memory. */
int store_metrics(const struct store *s, struct buf *out) __attribute__((warn_unused_result));

/* GET /healthz, /readyz, /metrics: an http_fn whose owner is the store. */
int store_http(void *store, struct slice path, struct buf *body);
