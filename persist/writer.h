/* Writes one batch after the other into the database, until every row of it has a fate. Inside of
 * persist/ only.
 *
 * Waits while the database is away, tries again what may succeed, and corners what never will by
 * halving: a statement that is refused is sent again with half of its rows, down to the one that is
 * at fault; then the size grows again. Belongs to one loop thread.
 */
#pragma once

#include "persist/batch.h"
#include "persist/pg.h"

#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
struct writer;

struct writer_stats {
    uint64_t statements;
    uint64_t successes; /* of these; a refusal counts, for it settles something */
    uint64_t clashes;   /* deadlocks, serialization failures, lock timeouts */
    uint64_t timeouts;
    uint64_t
        failures; /* other errors of the server, and lost connections in the middle of a batch */
    uint64_t refusals; /* statements that were halved, or rows that were refused */
};

/* Borrows all. `done` runs from the loop when no row of the batch is pending any more. NULL when
 * out of memory. */
struct writer *writer_new(struct uv_loop_s *loop, struct pg *pg, const char *name,
                          const struct batch_limits *limits, int retry_max_ms,
                          void (*done)(void *owner), void *owner);

/* Borrows the batch until `done`. Only when the writer is free. */
void writer_write(struct writer *w, struct batch *batch);

/* Tell when the connection is ready. */
void writer_wake(struct writer *w);

/* True: the batch is given up and `done` will not run. False: a statement is at the server, `done`
 * will run. */
bool writer_abort(struct writer *w);

const struct writer_stats *writer_stats(const struct writer *w);

/* After the connection was stopped. `closed` is not needed: the memory goes when libuv is done with
 * the timer. NULL does nothing. */
void writer_free(struct writer *w);
