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
    for (uint64_t now = 1000; now < 100000; now += 20) {
        assert_true(pace_is_due(&p, now, true));
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
        assert_true(pace_is_due(&p, 50, true));
        assert_int_equal(pace_passed(&p, cases[i].took_us, 60), cases[i].pause_ms);
        if (cases[i].pause_ms > 0) {
            assert_false(pace_is_due(&p, 60 + cases[i].pause_ms - 1, true));
        }
        assert_true(pace_is_due(&p, 60 + cases[i].pause_ms, true));
    }
}

static void test_none_is_made_when_it_is_off(void **state)
{
    (void)state;
    struct pace p;
    pace_init(&p, 0);
    assert_int_equal(pace_passed(&p, 100000, 10), 0);
    assert_true(pace_is_due(&p, 10, true));
}

/* One pass: `turns` turns bring messages before it. Returns whether a pause follows. */
static bool pass(struct pace *p, uint64_t *now_ms, int turns)
{
    for (int i = 0; i < turns; i++) {
        (void)pace_is_due(p, *now_ms, true);
    }
    *now_ms += 10;
    return pace_passed(p, 5000, *now_ms) > 0;
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
        cmocka_unit_test(test_none_is_made_when_it_is_off),
        cmocka_unit_test(test_pauses_that_gain_go_on),
        cmocka_unit_test(test_pauses_for_nothing_become_rare),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
