/* What random conversations with a session share: dice, a log of all that happened, a host that
 * answers by the dice, and bytes that are cut anywhere. For test_session_random.c and
 * test_session_private_random.c, which say what may happen and what must hold.
 *
 * Each has its own `struct world`, which begins with a `struct talk`, its own `step()`, and says
 * before it includes this how long its log can get: LOG_MAX. */
#pragma once

#include "common/log.h"
#include "gateway/session/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* Not rand(): the conversation and the cuts draw from different ones. */
struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *dice, unsigned n)
{
    dice->state = dice->state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(dice->state >> 33) % n;
}

struct talk {
    struct dice dice; /* what happens */
    struct dice cuts; /* where bytes are cut; unused when whole */
    bool is_cut;
    bool is_closed;
    char log[LOG_MAX];
    size_t log_len;
};

struct world;

/* The test's own: the session takes one event, and what must hold after each is checked. */
static void step(struct world *w, struct session_event event);

static void note(struct talk *t, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void note(struct talk *t, const char *format, ...)
{
    va_list args;
    assert_false(t->is_closed);
    va_start(args, format);
    t->log_len += (size_t)vsnprintf(t->log + t->log_len, LOG_MAX - t->log_len, format, args);
    va_end(args);
    assert_true(t->log_len < LOG_MAX);
}

static enum session_verdict verdict(struct talk *t, unsigned wait_of_100)
{
    unsigned n = roll(&t->dice, 100);
    if (n < wait_of_100) {
        return SESSION_WAIT;
    }
    return n == 99 ? SESSION_REFUSED : SESSION_DONE;
}

/* `host` is a world: it begins with its talk. */
static void host_read(void *host, bool wanted)
{
    note(host, "read %d\n", wanted);
}

/* `t` is the talk of `w`. */
static void feed(struct world *w, struct talk *t, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len;) {
        size_t n = t->is_cut ? 1 + roll(&t->cuts, 12) : len;
        n = n < len - at ? n : len - at;
        uint8_t *piece = malloc(n);
        memcpy(piece, bytes + at, n);
        step(w, (struct session_event){.type = SESSION_BYTES, .bytes = {piece, n}});
        free(piece);
        at += n;
    }
}

static void start_talk(struct talk *t, uint64_t seed, bool is_cut)
{
    t->dice.state = seed * 7919;
    t->cuts.state = seed;
    t->is_cut = is_cut;
}
