#include "gateway/transport/quiet.h"

void quiet_begin(struct quiet *q, struct wheel *w, wheel_fn fn, uint64_t now_ms)
{
    wheel_timer_init(&q->timer, fn);
    q->heard_ms = now_ms;
    q->is_pinged = false;
    wheel_set(w, &q->timer, now_ms + QUIET_PING_MS);
}

/* A timer that fires too early only looks again, so it is moved only when it stands where the peer
 * would be given up. */
void quiet_heard(struct quiet *q, struct wheel *w, uint64_t now_ms)
{
    q->heard_ms = now_ms;
    if (q->is_pinged) {
        q->is_pinged = false;
        wheel_set(w, &q->timer, now_ms + QUIET_PING_MS);
    }
}

enum quiet_verdict quiet_look(struct quiet *q, struct wheel *w, uint64_t now_ms, bool is_deaf)
{
    if (is_deaf) {
        q->heard_ms = now_ms;
    }
    if (now_ms >= q->heard_ms + QUIET_HANG_UP_MS) {
        return QUIET_HANG_UP;
    }
    q->is_pinged = now_ms >= q->heard_ms + QUIET_PING_MS;
    wheel_set(w, &q->timer, q->heard_ms + (q->is_pinged ? QUIET_HANG_UP_MS : QUIET_PING_MS));
    return q->is_pinged ? QUIET_PING : QUIET_WAIT;
}

void quiet_end(struct quiet *q, struct wheel *w)
{
    wheel_cancel(w, &q->timer);
}
