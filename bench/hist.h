/* A log-linear histogram of nanoseconds: 64 steps per power of two, so that a value is known to 1.6
 * %. Fixed memory, no allocation. Belongs to one thread; hist_add() joins those of several.
 */
#pragma once

#include <stdint.h>

#define HIST_STEPS 64
#define HIST_POWERS 38 /* up to 2^43 ns, more than two hours */
#define HIST_BUCKETS (HIST_STEPS * (HIST_POWERS + 1))

struct hist {
    uint64_t n;
    uint64_t max;
    uint64_t counts[HIST_BUCKETS];
};

void hist_record(struct hist *h, uint64_t ns);

/* Adds all of `other`. */
void hist_add(struct hist *h, const struct hist *other);

/* The value that `share` (0 to 1) of all are not above; 0 when there are none. */
uint64_t hist_quantile(const struct hist *h, double share);
