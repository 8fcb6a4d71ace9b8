#include "deal.h"

/* Spreads those that are picked over all: a step of a prime that is larger than any count goes
 * round through all numbers, in no order that has to do with rooms. */
static bool is_picked(uint64_t number, uint64_t of, uint64_t n_picked)
{
    return n_picked > 0 && number * 2654435761u % of < n_picked;
}

static uint64_t part(double share, uint64_t of)
{
    return (uint64_t)(share * (double)of + 0.5);
}

uint64_t deal_count(const struct options *o)
{
    return (uint64_t)o->subscribers * o->subscriptions;
}

unsigned deal_room(const struct options *o, uint64_t subscription)
{
    return (unsigned)(subscription % o->rooms);
}

static bool is_pattern(const struct options *o, uint64_t subscription)
{
    uint64_t all = deal_count(o);
    return all > 0 && is_picked(subscription, all, part(o->wildcard, all));
}

void deal_destination(const struct options *o, uint64_t subscription, char *text, size_t len)
{
    const char *name = is_pattern(o, subscription) ? o->pattern : o->destination;
    options_room(name, deal_room(o, subscription), text, len);
}

bool deal_hears_all(const struct options *o, uint64_t subscription)
{
    return o->pattern_hears_all && is_pattern(o, subscription);
}

uint64_t deal_count_hears_all(const struct options *o)
{
    return o->pattern_hears_all ? part(o->wildcard, deal_count(o)) : 0;
}

bool deal_is_stalled(const struct options *o, uint64_t subscriber)
{
    return is_picked(subscriber, o->subscribers, deal_count_stalled(o));
}

uint64_t deal_count_stalled(const struct options *o)
{
    return part(o->stalled, o->subscribers);
}

void deal_sizes(const struct options *o, uint32_t *sizes)
{
    uint32_t of_all = 0;
    for (uint64_t i = 0; i < deal_count(o); i++) {
        if (deal_is_stalled(o, i / o->subscriptions)) {
            continue;
        }
        if (deal_hears_all(o, i)) {
            of_all++;
        } else {
            sizes[deal_room(o, i)]++;
        }
    }
    for (unsigned room = 0; room < o->rooms; room++) {
        sizes[room] += of_all;
    }
}
