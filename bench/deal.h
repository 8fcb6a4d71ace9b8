/* Which subscription is for which room. The subscriptions of a run are numbered: subscriber i has
 * i * N to i * N + N - 1, and they are dealt to the rooms like cards. Pure functions of the
 * options.
 */
#pragma once

#include "options.h"

#include <stdint.h>

/* All subscriptions of the run. */
uint64_t deal_count(const struct options *o);

unsigned deal_room(const struct options *o, uint64_t subscription);

/* Fills in how many deliveries a message to each of the o->rooms rooms makes. */
void deal_sizes(const struct options *o, uint32_t *sizes);
