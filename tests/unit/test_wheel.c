#include "common/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HOUR_MS (3600u * 1000)

struct probe {
    struct wheel_timer timer;
    int fired;
    uint64_t fired_at;
};

static void count(struct wheel_timer *t, uint64_t now_ms)
{
    struct probe *p = LIST_OWNER(t, struct probe, timer);
    p->fired++;
    p->fired_at = now_ms;
}

static void test_fires_once_and_not_early(void **state)
{
    (void)state;
    struct wheel w;
    struct probe p = {0};
    wheel_init(&w, 1000);
    wheel_timer_init(&p.timer, count);
    assert_false(wheel_is_set(&p.timer));
    wheel_set(&w, &p.timer, 1101);
    assert_true(wheel_is_set(&p.timer));
    for (uint64_t now = 1000; now < 1101; now++) {
        wheel_advance(&w, now);
        assert_int_equal(p.fired, 0);
    }
    wheel_advance(&w, 1101 + WHEEL_TICK_MS);
    assert_int_equal(p.fired, 1);
    assert_false(wheel_is_set(&p.timer));
    assert_int_equal(w.n, 0);
    wheel_advance(&w, 10 * HOUR_MS);
    assert_int_equal(p.fired, 1);
}

static void test_deadline_on_a_tick_fires_on_it(void **state)
{
    (void)state;
    struct wheel w;
    struct probe p = {0};
    wheel_init(&w, 0);
    wheel_timer_init(&p.timer, count);
    wheel_set(&w, &p.timer, WHEEL_TICK_MS);
    wheel_advance(&w, WHEEL_TICK_MS);
    assert_int_equal(p.fired, 1);
}

static void test_past_deadline_fires_at_next_advance(void **state)
{
    (void)state;
    struct wheel w;
    struct probe p = {0};
    wheel_init(&w, 5000);
    wheel_timer_init(&p.timer, count);
    wheel_set(&w, &p.timer, 10);
    wheel_advance(&w, 5001);
    assert_int_equal(p.fired, 1);
    wheel_set(&w, &p.timer, 5000);
    wheel_advance(&w, 5001);
    assert_int_equal(p.fired, 2);
}

static void test_set_again_moves(void **state)
{
    (void)state;
    struct wheel w;
    struct probe p = {0};
    wheel_init(&w, 0);
    wheel_timer_init(&p.timer, count);
    wheel_set(&w, &p.timer, 100);
    wheel_set(&w, &p.timer, 3 * HOUR_MS);
    assert_int_equal(w.n, 1);
    wheel_advance(&w, 3 * HOUR_MS - 1);
    assert_int_equal(p.fired, 0);
    wheel_advance(&w, 3 * HOUR_MS);
    assert_int_equal(p.fired, 1);
}

static void test_cancel(void **state)
{
    (void)state;
    struct wheel w;
    struct probe p = {0};
    wheel_init(&w, 0);
    wheel_cancel(&w, &p.timer); /* zeroed */
    wheel_timer_init(&p.timer, count);
    wheel_cancel(&w, &p.timer);
    wheel_set(&w, &p.timer, 100);
    wheel_cancel(&w, &p.timer);
    wheel_cancel(&w, &p.timer);
    assert_int_equal(w.n, 0);
    wheel_advance(&w, HOUR_MS);
    assert_int_equal(p.fired, 0);
}

static void test_farthest_deadline_stays(void **state)
{
    (void)state;
    struct wheel w;
    struct probe p = {0};
    wheel_init(&w, 0);
    wheel_timer_init(&p.timer, count);
    wheel_set(&w, &p.timer, UINT64_MAX);
    wheel_advance(&w, 1000 * (uint64_t)HOUR_MS);
    assert_int_equal(p.fired, 0);
    assert_true(wheel_is_set(&p.timer));
    wheel_cancel(&w, &p.timer);
}

static struct wheel chain_wheel;
static struct probe victim;
static int chain_left;

static void set_again(struct wheel_timer *t, uint64_t now_ms)
{
    (void)now_ms;
    if (--chain_left > 0) {
        wheel_set(&chain_wheel, t, 0);
    }
}

static void test_set_in_callback_waits_for_next_advance(void **state)
{
    (void)state;
    struct wheel_timer t;
    wheel_init(&chain_wheel, 0);
    wheel_timer_init(&t, set_again);
    chain_left = 3;
    wheel_set(&chain_wheel, &t, 0);
    for (int left = 2; left >= 0; left--) {
        wheel_advance(&chain_wheel, 1000);
        assert_int_equal(chain_left, left);
    }
    assert_false(wheel_is_set(&t));
}

static void cancel_victim(struct wheel_timer *t, uint64_t now_ms)
{
    (void)now_ms;
    wheel_cancel(&chain_wheel, &victim.timer);
    free(t); /* an owner may go in its own callback */
}

static void test_callback_cancels_one_that_is_due_too(void **state)
{
    (void)state;
    struct wheel_timer *killer = malloc(sizeof *killer);
    assert_non_null(killer);
    memset(&victim, 0, sizeof victim);
    wheel_init(&chain_wheel, 0);
    wheel_timer_init(killer, cancel_victim);
    wheel_timer_init(&victim.timer, count);
    wheel_set(&chain_wheel, killer, 100);
    wheel_set(&chain_wheel, &victim.timer, 100);
    wheel_advance(&chain_wheel, 100);
    assert_int_equal(victim.fired, 0);
    assert_int_equal(chain_wheel.n, 0);
}

#define TIMERS 500

static struct probe probes[TIMERS];
static uint64_t model_deadline[TIMERS];
static int model_is_set[TIMERS];

static uint64_t random_delay(void)
{
    switch (rand() % 4) {
    case 0:
        return (uint64_t)rand() % 200;
    case 1:
        return (uint64_t)rand() % 60000;
    case 2:
        return (uint64_t)WHEEL_TICK_MS * WHEEL_SLOTS * ((uint64_t)rand() % 5);
    default:
        return (uint64_t)rand() % (9 * HOUR_MS);
    }
}

/* The naive way: look at each timer. The wheel may be late by the rest of a tick, and never early.
 */
static void check_fired(uint64_t now)
{
    for (int i = 0; i < TIMERS; i++) {
        uint64_t tick = (model_deadline[i] + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
        if (probes[i].fired > 0) {
            assert_int_equal(probes[i].fired, 1);
            assert_true(model_is_set[i] && model_deadline[i] <= now);
            assert_int_equal(probes[i].fired_at, now);
            assert_false(wheel_is_set(&probes[i].timer));
            model_is_set[i] = 0;
            probes[i].fired = 0;
        } else if (model_is_set[i]) {
            assert_true(tick > now / WHEEL_TICK_MS);
            assert_true(wheel_is_set(&probes[i].timer));
        }
    }
}

static void test_against_model(void **state)
{
    (void)state;
    struct wheel w;
    uint64_t now = 123456789;
    wheel_init(&w, now);
    for (int i = 0; i < TIMERS; i++) {
        wheel_timer_init(&probes[i].timer, count);
    }
    srand(3);
    for (int op = 0; op < 100000; op++) {
        int i = rand() % TIMERS;
        int kind = rand() % 10;
        if (kind < 6) {
            model_deadline[i] = rand() % 20 ? now + random_delay() : now - 1000;
            model_is_set[i] = 1;
            wheel_set(&w, &probes[i].timer, model_deadline[i]);
        } else if (kind < 8) {
            model_is_set[i] = 0;
            wheel_cancel(&w, &probes[i].timer);
        } else {
            uint64_t step = rand() % 50 ? (uint64_t)rand() % 300 : random_delay();
            now += step;
            wheel_advance(&w, now);
            check_fired(now);
        }
    }
    now += 10 * HOUR_MS;
    wheel_advance(&w, now);
    check_fired(now);
    assert_int_equal(w.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fires_once_and_not_early),
        cmocka_unit_test(test_deadline_on_a_tick_fires_on_it),
        cmocka_unit_test(test_past_deadline_fires_at_next_advance),
        cmocka_unit_test(test_set_again_moves),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_farthest_deadline_stays),
        cmocka_unit_test(test_set_in_callback_waits_for_next_advance),
        cmocka_unit_test(test_callback_cancels_one_that_is_due_too),
        cmocka_unit_test(test_against_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
