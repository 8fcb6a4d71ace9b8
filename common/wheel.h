/* One timing wheel for all deadlines of a loop: heart-beats, time-outs, lingers.
 *
 * Setting, moving and cancelling a timer is O(1) and allocates nothing; the timer is embedded in
 * its owner. The wheel reads no clock: time is a number of milliseconds (monotonic) that the caller
 * passes in. Resolution is WHEEL_TICK_MS, and a timer never fires early. Belongs to one thread.
 */
#pragma once

#include "common/list.h"

#include <stdbool.h>
#include <stdint.h>

#define WHEEL_TICK_MS 50
#define WHEEL_SLOTS 1024

struct wheel_timer;

/* Runs from wheel_advance() when the deadline has passed. The timer is idle again by then: it may
 * be set anew, and its owner may be freed. */
typedef void (*wheel_fn)(struct wheel_timer *timer, uint64_t now_ms);

struct wheel_timer {
    struct list node;
    uint64_t deadline_ms;
    wheel_fn fn;
};

struct wheel {
    struct list slots[WHEEL_SLOTS];
    struct list due; /* set with a deadline that had passed */
    uint64_t now_tick;
    uint64_t n;
};

void wheel_init(struct wheel *w, uint64_t now_ms);

/* A zeroed timer counts as idle, but must be initialised before it is set. */
void wheel_timer_init(struct wheel_timer *t, wheel_fn fn);

/* Sets or moves the timer. A deadline in the past fires at the next wheel_advance(). */
void wheel_set(struct wheel *w, struct wheel_timer *t, uint64_t deadline_ms);

/* Does nothing when the timer is idle. */
void wheel_cancel(struct wheel *w, struct wheel_timer *t);

bool wheel_is_set(const struct wheel_timer *t);

/* Fires all timers whose deadline, rounded up to a tick, is at or before now_ms. Timers that are
 * set during the call fire at the next one at the earliest. A callback must not call
 * wheel_advance(). */
void wheel_advance(struct wheel *w, uint64_t now_ms);
