/* A batch of rows and its way into the database, as data: what is gathered, what goes into one
 * statement, what is left when some rows were refused. Pure: reads no clock, knows no database.
 * Inside of persist/ only.
 *
 * Rows that share an id or a key must not meet in one statement, because its answer could not tell
 * them apart. So a batch is written in rounds: each takes the pending rows of which there is no
 * earlier pending one with the same id or key; when they are settled, the later ones are mostly
 * settled with them (same content: a duplicate; other content: a conflict).
 */
#pragma once

#include "persist/row.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct batch_limits {
    size_t rows;
    size_t bytes;
    uint64_t ms; /* from the first row on */
};

/* Owns its rows. A zeroed struct is a valid empty batch. */
struct batch {
    struct row **rows; /* in order of arrival */
    size_t n;
    size_t cap;
    size_t bytes;
    uint64_t opened_ms;
    struct row **picked; /* of this round, ascending by id; same capacity as rows */
    size_t n_picked;
};

/* Takes the row. 0, or -1 when out of memory (the row is freed). */
int batch_push(struct batch *b, struct row *row, uint64_t now_ms)
    __attribute__((warn_unused_result));

/* Full, or open for long enough. */
bool batch_is_due(const struct batch *b, const struct batch_limits *limits, uint64_t now_ms);

/* Picks the rows of the next round; 0 when none is pending any more. */
size_t batch_pick(struct batch *b);

/* How many of the picked rows from `at` on make one statement: at least one, within rows and bytes.
 */
size_t batch_span(const struct batch *b, size_t at, size_t rows_max, size_t bytes_max);

/* After a round: settles the rows whose leader was settled as stored or duplicate. */
void batch_settle_followers(struct batch *b);

size_t batch_count(const struct batch *b, enum row_fate fate);

/* Frees the rows and keeps the arrays. */
void batch_clear(struct batch *b);

void batch_fini(struct batch *b);

/* For qsort(): ascending by key. PostgreSQL locks in this order, so that two workers wait for each
 * other but never in a ring. */
int batch_compare_keys(const void *a, const void *b);
