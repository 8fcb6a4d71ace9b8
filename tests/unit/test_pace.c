/* When live messages are written: by numbers, without a loop. */
#include "gateway/fanout/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_a_message_for_an_idle_gateway_never_waits(void **state)
{
    (void)state;
    struct pace p;
    pace_init(&p, 4);
    for (uint64_t now = 1000; now < 100000; now += PACE_BUSY_MS + 10) {
        assert_int_equal(pace_wait_ms(&p, now, 1), 0);
        pace_passed(&p, 9000, now + 9);
    }
}

static void test_a_pause_is_as_long_as_the_pass_and_bounded(void **state)
{
    (void)state;
    static const struct {
        uint64_t took_us;
        uint32_t pause_ms;
    } cases[] = {{0, 0}, {999, 0}, {1000, 1}, {2999, 2}, {4000, 4}, {900000, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pace p;
        pace_init(&p, 4);
        assert_int_equal(pace_wait_ms(&p, 50, 1), 0);
        pace_passed(&p, cases[i].took_us, 60);
        assert_int_equal(pace_wait_ms(&p, 60, 1), cases[i].pause_ms);
        for (uint32_t ms = 0; ms < cases[i].pause_ms; ms++) {
            assert_int_equal(pace_wait_ms(&p, 60 + ms, ms % 2), cases[i].pause_ms - ms);
        }
        assert_int_equal(pace_wait_ms(&p, 60 + cases[i].pause_ms, 1), 0);
    }
}

static void test_the_first_waits_for_those_behind_it_while_the_loop_is_busy(void **state)
{
    (void)state;
    struct pace p;
    pace_init(&p, 4);
    pace_passed(&p, 5000, 100); /* a pause until 104 */
    assert_int_equal(pace_wait_ms(&p, 110, 1), PACE_FIRST_MS);
    assert_int_equal(pace_wait_ms(&p, 110, 1), PACE_FIRST_MS); /* but not for each of them */
    assert_int_equal(pace_wait_ms(&p, 110 + PACE_FIRST_MS, 1), 0);
    pace_passed(&p, 5000, 200);
    assert_int_equal(pace_wait_ms(&p, 200 + PACE_BUSY_MS, 1), 0);
    pace_passed(&p, 500, 300); /* no pass that counts */
    assert_int_equal(pace_wait_ms(&p, 301, 1), 0);
}

static void test_none_is_made_when_it_is_off(void **state)
{
    (void)state;
    struct pace p;
    pace_init(&p, 0);
    pace_passed(&p, 100000, 10);
    assert_int_equal(pace_wait_ms(&p, 10, 1), 0);
}

/* One pass over so many messages. Returns whether a pause follows. */
static bool pass(struct pace *p, uint64_t *now_ms, uint64_t n)
{
    (void)pace_wait_ms(p, *now_ms, n);
    *now_ms += 10;
    pace_passed(p, 5000, *now_ms);
    return pace_wait_ms(p, *now_ms, 0) > 0;
}

static void test_pauses_that_gain_go_on(void **state)
{
    (void)state;
    struct pace p;
    uint64_t now_ms = 100;
    pace_init(&p, 4);
    for (int i = 0; i < 100; i++) {
        assert_true(pass(&p, &now_ms, 2));
    }
}

static void test_pauses_for_nothing_become_rare(void **state)
{
    (void)state;
    struct pace p;
    uint64_t now_ms = 100;
    int pauses = 0;
    pace_init(&p, 4);
    for (int i = 0; i < 10000; i++) {
        pauses += pass(&p, &now_ms, 1);
    }
    assert_in_range(pauses, 10000 / (PACE_SKIP_MAX + 1), 10000 / PACE_SKIP_MAX + 8);
    int n = 0;
    while (!pass(&p, &now_ms, 2)) {
        n++; /* one is tried again in the end, and as it gains they all come back */
    }
    assert_in_range(n, 0, PACE_SKIP_MAX);
    for (int i = 0; i < 10; i++) {
        assert_true(pass(&p, &now_ms, 2));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_message_for_an_idle_gateway_never_waits),
        cmocka_unit_test(test_a_pause_is_as_long_as_the_pass_and_bounded),
        cmocka_unit_test(test_the_first_waits_for_those_behind_it_while_the_loop_is_busy),
        cmocka_unit_test(test_none_is_made_when_it_is_off),
        cmocka_unit_test(test_pauses_that_gain_go_on),
        cmocka_unit_test(test_pauses_for_nothing_become_rare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
