/* What must be done to the tables now and then: partitions made ahead, keys past their window
 * removed. Inside of persist/ only. Every worker does it; they do not get in each other's way.
 * Belongs to one loop thread.
 */
#pragma once

#include "persist/pg.h"

#include <stdbool.h>
#include <stdint.h>

struct uv_loop_s;
struct config;
struct upkeep;

struct upkeep_stats {
    uint64_t pruned;             /* keys */
    uint64_t partition_failures; /* rows of that period go to message_default */
};

/* Borrows all. NULL when out of memory. */
struct upkeep *upkeep_new(struct uv_loop_s *loop, struct pg *pg, const struct config *config,
                          const char *name);

/* Tell when the connection is ready, before anything else is submitted: the partitions are made
 * before the first row comes. */
void upkeep_wake(struct upkeep *u);

const struct upkeep_stats *upkeep_stats(const struct upkeep *u);

/* After the connection was stopped. The memory goes when libuv is done with the timer. NULL does
 * nothing. */
void upkeep_free(struct upkeep *u);
