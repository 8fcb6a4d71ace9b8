/* Heart-beats (STOMP 1.2, "Heart-beating"; contracts: stompjs 1.4).
 *
 * We send a LF when nothing was written for nine tenths of the agreed interval (at most a second
 * early): the client measures from its side, and stock clients cut at twice the interval, Spring's
 * at three times.
 *
 * We give up when nothing was heard for three times the agreed interval: Spring's clients may be
 * half an interval late by design, and the strictest test of a stock client (an interval of 1 s
 * whose LFs are swallowed) wants a close within 5 s. Any byte is a sign of life, half a frame too
 * ("any new data"). A WebSocket PONG is one as well where the interval is 5 s or more: browsers
 * slow down the timers of hidden tabs to one a minute, but answer PINGs at once. Below 5 s the
 * client has asked for a sharp check, so only its own bytes count. */
#include "gateway/session/session_internal.h"

#define BEAT_MIN_MS 1000u /* RabbitMQ's */
#define BEAT_PONG_MS 5000u
#define BEAT_PATIENCE 3u

static uint32_t at_least_min(uint32_t ms)
{
    return ms && ms < BEAT_MIN_MS ? BEAT_MIN_MS : ms;
}

void beats_offer(const struct session *s, uint32_t *sx_ms, uint32_t *sy_ms)
{
    *sx_ms = at_least_min((uint32_t)s->settings->config->heartbeat.send_ms);
    *sy_ms = at_least_min((uint32_t)s->settings->config->heartbeat.receive_ms);
}

void beats_agree(struct session *s, uint32_t cx_ms, uint32_t cy_ms)
{
    uint32_t sx_ms;
    uint32_t sy_ms;
    beats_offer(s, &sx_ms, &sy_ms);
    s->send_beat_ms = stomp_heartbeat_agree(sx_ms, cy_ms);
    s->receive_beat_ms = stomp_heartbeat_agree(cx_ms, sy_ms);
}

void beats_heard(struct session *s)
{
    s->heard_ms = s->now_ms;
}

void beats_alive(struct session *s)
{
    if (s->receive_beat_ms >= BEAT_PONG_MS) {
        beats_heard(s);
    }
}

static uint64_t send_due(const struct session *s)
{
    bool is_talking = s->state == SESSION_STATE_RUNNING || s->state == SESSION_STATE_LEAVING ||
                      s->state == SESSION_STATE_DRAINING;
    if (!is_talking || s->send_beat_ms == 0) {
        return SESSION_NEVER;
    }
    uint32_t early = s->send_beat_ms / 10;
    return s->wrote_ms + s->send_beat_ms - (early < BEAT_MIN_MS ? early : BEAT_MIN_MS);
}

/* Who is not read from cannot be heard. */
static uint64_t receive_due(const struct session *s)
{
    if (s->state != SESSION_STATE_RUNNING || s->receive_beat_ms == 0 || s->is_reading_off) {
        return SESSION_NEVER;
    }
    return s->heard_ms + (uint64_t)s->receive_beat_ms * BEAT_PATIENCE;
}

void beats_tick(struct session *s)
{
    if (s->now_ms >= receive_due(s)) {
        error_end(s, CLOSE_HEARTBEAT, NULL, "Heart-beat missed",
                  "Nothing was received for %u ms; the agreed heart-beat is %u ms.\n",
                  (unsigned)(s->now_ms - s->heard_ms), (unsigned)s->receive_beat_ms);
        return;
    }
    if (s->now_ms >= send_due(s)) {
        s->host->send(s->host_data, "\n", 1);
        s->wrote_ms = s->now_ms;
    }
}

uint64_t beats_deadline(const struct session *s)
{
    uint64_t send = send_due(s);
    uint64_t receive = receive_due(s);
    return send < receive ? send : receive;
}
