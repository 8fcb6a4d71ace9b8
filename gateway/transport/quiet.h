/* How long a WebSocket has been quiet: when it is to be asked for a sign of life, and when it is
 * given up. Knows no socket. One timer on the loop's wheel; belongs to one loop thread.
 *
 * libwebsockets has the same (retry_and_idle_policy), but keeps its timers in one sorted list: with
 * ten thousand connections each new one walks past all the others. It also asks those that are
 * talking all the time.
 */
#pragma once

#include "common/wheel.h"

#include <stdbool.h>
#include <stdint.h>

#define QUIET_PING_MS 25000
#define QUIET_HANG_UP_MS 75000

enum quiet_verdict {
    QUIET_WAIT,   /* nothing to do */
    QUIET_PING,   /* quiet for QUIET_PING_MS: send a PING */
    QUIET_HANG_UP /* quiet for QUIET_HANG_UP_MS */
};

struct quiet {
    struct wheel_timer timer;
    uint64_t heard_ms;
    bool is_pinged; /* since it was last heard */
};

/* `fn` runs on the wheel, and calls quiet_look(). */
void quiet_begin(struct quiet *q, struct wheel *w, wheel_fn fn, uint64_t now_ms);

/* The peer gave a sign of life: any bytes, or a PONG. Also to be called when reading begins again:
 * who was not read from could not be heard. */
void quiet_heard(struct quiet *q, struct wheel *w, uint64_t now_ms);

/* What is to be done now that the timer has fired. It is set anew, but for QUIET_HANG_UP.
 * `is_deaf`: nothing is read from this peer at present, so that it is not judged. */
enum quiet_verdict quiet_look(struct quiet *q, struct wheel *w, uint64_t now_ms, bool is_deaf);

/* A zeroed one counts as ended. */
void quiet_end(struct quiet *q, struct wheel *w);
