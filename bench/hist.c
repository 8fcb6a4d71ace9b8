#include "hist.h"

#include <stddef.h>

/* Below 64 each value has its own bucket; above, the six bits behind the leading one choose the
 * step. */
static size_t bucket_of(uint64_t ns)
{
    if (ns < HIST_STEPS) {
        return (size_t)ns;
    }
    unsigned power = 63 - (unsigned)__builtin_clzll(ns) - 6;
    size_t bucket = (size_t)(power + 1) * HIST_STEPS + (size_t)((ns >> power) - HIST_STEPS);
    return bucket < HIST_BUCKETS ? bucket : HIST_BUCKETS - 1;
}

/* The middle of a bucket. */
static uint64_t value_of(size_t bucket)
{
    if (bucket < HIST_STEPS) {
        return bucket;
    }
    unsigned power = (unsigned)(bucket / HIST_STEPS) - 1;
    uint64_t low = (uint64_t)(HIST_STEPS + bucket % HIST_STEPS) << power;
    return low + (((uint64_t)1 << power) >> 1);
}

void hist_record(struct hist *h, uint64_t ns)
{
    h->counts[bucket_of(ns)]++;
    h->n++;
    if (ns > h->max) {
        h->max = ns;
    }
}

void hist_add(struct hist *h, const struct hist *other)
{
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        h->counts[i] += other->counts[i];
    }
    h->n += other->n;
    if (other->max > h->max) {
        h->max = other->max;
    }
}

uint64_t hist_quantile(const struct hist *h, double share)
{
    uint64_t wanted = (uint64_t)(share * (double)h->n);
    uint64_t seen = 0;
    for (size_t i = 0; i < HIST_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > wanted) {
            uint64_t value = value_of(i);
            return value < h->max ? value : h->max;
        }
    }
    return h->max;
}
