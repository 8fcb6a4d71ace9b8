#include "deal.h"

uint64_t deal_count(const struct options *o)
{
    return (uint64_t)o->subscribers * o->subscriptions;
}

unsigned deal_room(const struct options *o, uint64_t subscription)
{
    return (unsigned)(subscription % o->rooms);
}

void deal_sizes(const struct options *o, uint32_t *sizes)
{
    for (uint64_t i = 0; i < deal_count(o); i++) {
        sizes[deal_room(o, i)]++;
    }
}
