/* When live messages are written to clients: at the end of the loop turn that brought them; or a
 * little later where writing is what keeps the loop busy, so that one write carries more of them.
 * DESIGN section 7. Pure: time comes in, a pause comes out. Belongs to one loop thread.
 *
 * A pass (all out queues with live messages, each written once) that took a millisecond or more is
 * followed by a pause, as long as the pass was and at most `most_ms`. A system call costs more than
 * the bytes of several messages in it, so what gathers meanwhile is nearly free; and a message that
 * comes to an idle gateway never waits, as the pause is long over.
 *
 * Messages that were sent together come from the broker one by one. So while the loop is busy,
 * which is for PACE_BUSY_MS after a pass that counts, the first that comes waits PACE_FIRST_MS for
 * those behind it.
 *
 * A pause that gathered a single message was for nothing (a publisher who waits for each message to
 * come back, say). Then the next pauses are left out, twice as many each time, up to
 * PACE_SKIP_MAX; one that gains ends that.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PACE_BUSY_MS 20
#define PACE_FIRST_MS 1
#define PACE_SKIP_MAX 64

struct pace {
    uint64_t n;        /* messages since the last pass */
    uint32_t most_ms;  /* 0: never a pause */
    uint32_t skip;     /* pauses to leave out */
    uint32_t skipped;  /* that many were left out the last time */
    bool is_pausing;   /* after the last pass */
    uint64_t busy_ms;  /* until then the loop counts as busy */
    uint64_t until_ms; /* no pass before this */
};

void pace_init(struct pace *p, uint32_t most_ms);

/* At the end of a loop turn after which live messages wait; it brought `n_new` of them. 0: write
 * them now, then call pace_passed(). Else in so many milliseconds. */
uint32_t pace_wait_ms(struct pace *p, uint64_t now_ms, uint64_t n_new);

/* A pass has ended just now. */
void pace_passed(struct pace *p, uint64_t took_us, uint64_t now_ms);
