#include "bench/hist.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct hist one;
static struct hist two;

static int clear(void **state)
{
    (void)state;
    memset(&one, 0, sizeof(one));
    memset(&two, 0, sizeof(two));
    return 0;
}

static void test_quantiles_of_nothing_are_zero(void **state)
{
    (void)state;
    assert_int_equal(hist_quantile(&one, 0.5), 0);
    assert_int_equal(hist_quantile(&one, 1), 0);
}

static void assert_near(uint64_t value, uint64_t wanted)
{
    uint64_t apart = value > wanted ? value - wanted : wanted - value;
    assert_true(apart * 64 <= wanted);
}

static void test_quantiles_are_exact_to_a_64th(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 100000; i++) {
        hist_record(&one, i * 1000);
    }
    assert_near(hist_quantile(&one, 0.5), 50000000);
    assert_near(hist_quantile(&one, 0.9), 90000000);
    assert_near(hist_quantile(&one, 0.99), 99000000);
    assert_near(hist_quantile(&one, 0.999), 99900000);
    assert_int_equal(hist_quantile(&one, 1), 100000000);
}

static void test_every_power_of_two_keeps_its_place(void **state)
{
    (void)state;
    for (unsigned power = 0; power < 43; power++) {
        clear(NULL);
        hist_record(&one, (uint64_t)1 << power);
        hist_record(&one, UINT64_C(1) << 43);
        assert_near(hist_quantile(&one, 0.4), (uint64_t)1 << power);
    }
}

static void test_what_is_too_long_counts_as_the_longest(void **state)
{
    (void)state;
    hist_record(&one, UINT64_MAX);
    assert_int_equal(one.n, 1);
    assert_int_equal(one.max, UINT64_MAX);
    assert_true(hist_quantile(&one, 0.5) >= UINT64_C(1) << 43);
}

static void test_two_are_added_up(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 10; i++) {
        hist_record(&one, 10);
        hist_record(&two, 1000000);
    }
    hist_add(&one, &two);
    assert_int_equal(one.n, 20);
    assert_int_equal(one.max, 1000000);
    assert_int_equal(hist_quantile(&one, 0.4), 10);
    assert_near(hist_quantile(&one, 0.6), 1000000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_quantiles_of_nothing_are_zero, clear),
        cmocka_unit_test_setup(test_quantiles_are_exact_to_a_64th, clear),
        cmocka_unit_test_setup(test_every_power_of_two_keeps_its_place, clear),
        cmocka_unit_test_setup(test_what_is_too_long_counts_as_the_longest, clear),
        cmocka_unit_test_setup(test_two_are_added_up, clear),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
