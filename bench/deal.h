/* Who subscribes to what. The subscriptions of a run are numbered: subscriber i has i * N to
 * i * N + N - 1, and they are dealt to the rooms like cards. Pure functions of the options.
 *
 * A share of them subscribes to a pattern: the destination with its last word replaced by *. Where
 * that word had the room's number in it, the pattern hears all rooms; where another had it, its own
 * room alone, and the same number of deliveries as without patterns is to come.
 */
#pragma once

#include "options.h"

#include <stdint.h>

/* All subscriptions of the run. */
uint64_t deal_count(const struct options *o);

unsigned deal_room(const struct options *o, uint64_t subscription);

/* The destination of a subscription. */
void deal_destination(const struct options *o, uint64_t subscription, char *text, size_t len);

/* Whether it hears every room, and not just its own. */
bool deal_hears_all(const struct options *o, uint64_t subscription);

/* How many do. */
uint64_t deal_count_hears_all(const struct options *o);

/* Whether this subscriber reads nothing. */
bool deal_is_stalled(const struct options *o, uint64_t subscriber);

/* How many do not. */
uint64_t deal_count_stalled(const struct options *o);

/* Fills in how many deliveries a message to each of the o->rooms rooms makes: to those who read. */
void deal_sizes(const struct options *o, uint32_t *sizes);
