/* Dead letters: what the database will never take goes to the dead queue, with the reason, and only
 * when the broker confirmed that is its original acknowledged. Inside of persist/ only.
 *
 * Publishes over a connection of its own: while the broker has a memory or disk alarm it stops
 * reading from connections that publish, and the worker's acks must get through just then. Belongs
 * to one loop thread.
 *
 * A dead letter has body and properties of the original and these headers: x-stompgate-reason
 * ("refused", "id-conflict"), x-stompgate-error (SQLSTATE and message), x-stompgate-exchange,
 * x-stompgate-routing-key. expiration and user_id become headers (x-stompgate-expiration,
 * x-stompgate-user-id): the first would remove the letter, the second would be refused.
 */
#pragma once

#include "persist/batch.h"

#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
struct config;
struct dead;

/* Borrows all. `done` runs from the loop when every condemned row of the batch is buried. NULL when
 * out of memory. */
struct dead *dead_new(struct uv_loop_s *loop, const struct config *config,
                      void (*done)(void *owner), void *owner);

void dead_start(struct dead *d);

/* Borrows the batch until `done` or dead_abort(). It has at least one condemned row. */
void dead_bury(struct dead *d, struct batch *batch);

/* Gives up on the batch: what was published is published. */
void dead_abort(struct dead *d);

struct dead_stats {
    uint64_t buried;
    uint64_t retries;
};

const struct dead_stats *dead_stats(const struct dead *d);

void dead_stop(struct dead *d, void (*stopped)(void *owner));

/* After stopped, or when dead_start() never was called. NULL does nothing. */
void dead_free(struct dead *d);
