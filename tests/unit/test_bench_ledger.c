#include "bench/ledger.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static int make(void **state)
{
    *state = calloc(1, sizeof(struct ledger));
    return *state ? 0 : -1;
}

static int drop(void **state)
{
    free(*state);
    return 0;
}

static void test_the_last_delivery_completes_a_message(void **state)
{
    struct ledger *l = *state;
    uint64_t at = 0;
    uint64_t number = ledger_sent(l, 77, 2);
    assert_int_equal(ledger_delivered(l, number, &at), LEDGER_DUE);
    assert_int_equal(at, 77);
    assert_int_equal(atomic_load(&l->completed), 0);
    assert_int_equal(ledger_delivered(l, number, &at), LEDGER_LAST);
    assert_int_equal(atomic_load(&l->completed), 1);
    assert_int_equal(ledger_delivered(l, number, &at), LEDGER_UNKNOWN);
    assert_int_equal(atomic_load(&l->completed), 1);
}

static void test_what_was_never_sent_is_unknown(void **state)
{
    uint64_t at = 5;
    assert_int_equal(ledger_delivered(*state, 0, &at), LEDGER_UNKNOWN);
    assert_int_equal(at, 5);
}

/* A room in which nobody reads must not hold up the window. */
static void test_a_message_to_nobody_is_complete_at_once(void **state)
{
    struct ledger *l = *state;
    uint64_t at = 0;
    uint64_t number = ledger_sent(l, 1, 0);
    assert_int_equal(atomic_load(&l->completed), 1);
    assert_int_equal(ledger_delivered(l, number, &at), LEDGER_UNKNOWN);
}

static void test_what_is_too_old_is_forgotten(void **state)
{
    struct ledger *l = *state;
    uint64_t at = 0;
    for (uint64_t i = 0; i < LEDGER_MAX + 1; i++) {
        assert_int_equal(ledger_sent(l, i, 1), i);
    }
    assert_int_equal(ledger_delivered(l, 0, &at), LEDGER_UNKNOWN);
    assert_int_equal(ledger_delivered(l, LEDGER_MAX, &at), LEDGER_LAST);
    assert_int_equal(at, LEDGER_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_last_delivery_completes_a_message, make, drop),
        cmocka_unit_test_setup_teardown(test_what_was_never_sent_is_unknown, make, drop),
        cmocka_unit_test_setup_teardown(test_a_message_to_nobody_is_complete_at_once, make, drop),
        cmocka_unit_test_setup_teardown(test_what_is_too_old_is_forgotten, make, drop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
