/* Rows as PostgreSQL's binary arrays, one per column: the parameters of the statements in sql.h.
 * Pure. Inside of persist/ only.
 */
#pragma once

#include "common/buf.h"
#include "common/slice.h"
#include "persist/row.h"

#include <stddef.h>

#define COLUMNS_INSERT 13
#define COLUMNS_LOOKUP 3

/* A zeroed struct is valid. */
struct columns {
    struct buf bufs[COLUMNS_INSERT];
};

/* For SQL_INSERT. `rows` ascend by id. 0, or -1 when out of memory. */
int columns_insert(struct columns *c, struct row *const *rows, size_t n)
    __attribute__((warn_unused_result));

/* For SQL_LOOKUP: the rows numbered as they stand here. */
int columns_lookup(struct columns *c, struct row *const *rows, size_t n)
    __attribute__((warn_unused_result));

/* Borrowed until the next call. */
struct slice columns_param(const struct columns *c, size_t i);

/* Gives the memory back. */
void columns_fini(struct columns *c);
