#include "gateway/transport/quiet.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define START_MS 1000000u

/* A peer as its transport sees it: what it was asked, and when. */
struct peer {
    struct quiet quiet;
    struct wheel wheel;
    uint64_t now_ms;
    bool is_deaf;
    int looks;
    int pings;
    uint64_t pinged_ms;
    uint64_t hung_up_ms; /* 0: not */
};

static void on_timer(struct wheel_timer *timer, uint64_t now_ms)
{
    struct quiet *q = LIST_OWNER(timer, struct quiet, timer);
    struct peer *p = LIST_OWNER(q, struct peer, quiet);
    p->looks++;
    switch (quiet_look(q, &p->wheel, now_ms, p->is_deaf)) {
    case QUIET_WAIT:
        return;
    case QUIET_PING:
        p->pings++;
        p->pinged_ms = now_ms;
        return;
    case QUIET_HANG_UP:
        p->hung_up_ms = now_ms;
        return;
    }
}

static void begin(struct peer *p)
{
    memset(p, 0, sizeof *p);
    p->now_ms = START_MS;
    wheel_init(&p->wheel, p->now_ms);
    quiet_begin(&p->quiet, &p->wheel, on_timer, p->now_ms);
}

/* Lets time pass. The wheel may be a tick late, never early. */
static void pass(struct peer *p, uint64_t ms)
{
    for (uint64_t end = p->now_ms + ms; p->now_ms < end;) {
        p->now_ms += WHEEL_TICK_MS;
        wheel_advance(&p->wheel, p->now_ms);
    }
}

static void hear(struct peer *p)
{
    quiet_heard(&p->quiet, &p->wheel, p->now_ms);
}

static void test_pings_once_and_hangs_up_on_one_that_never_answers(void **state)
{
    (void)state;
    struct peer p;
    begin(&p);
    pass(&p, QUIET_PING_MS - WHEEL_TICK_MS);
    assert_int_equal(p.pings, 0);
    pass(&p, WHEEL_TICK_MS);
    assert_int_equal(p.pings, 1);
    assert_int_equal(p.pinged_ms, START_MS + QUIET_PING_MS);
    pass(&p, QUIET_HANG_UP_MS);
    assert_int_equal(p.pings, 1);
    assert_int_equal(p.hung_up_ms, START_MS + QUIET_HANG_UP_MS);
    assert_int_equal(p.looks, 2); /* it costs nothing in between */
    assert_int_equal(p.wheel.n, 0);
}

static void test_pings_again_after_as_long_when_it_answers(void **state)
{
    (void)state;
    struct peer p;
    begin(&p);
    for (int i = 1; i <= 5; i++) {
        pass(&p, QUIET_PING_MS);
        assert_int_equal(p.pings, i);
        pass(&p, 1000);
        hear(&p);
    }
    assert_int_equal(p.hung_up_ms, 0);
    quiet_end(&p.quiet, &p.wheel);
}

static void test_leaves_one_alone_that_talks(void **state)
{
    (void)state;
    struct peer p;
    begin(&p);
    for (int i = 0; i < 100; i++) {
        pass(&p, QUIET_PING_MS - 5000);
        hear(&p);
    }
    assert_int_equal(p.pings, 0);
    pass(&p, QUIET_PING_MS); /* counted from when it was last heard */
    assert_int_equal(p.pings, 1);
    quiet_end(&p.quiet, &p.wheel);
}

static void test_judges_nobody_who_is_not_read_from(void **state)
{
    (void)state;
    struct peer p;
    begin(&p);
    p.is_deaf = true;
    pass(&p, 10 * QUIET_HANG_UP_MS);
    assert_int_equal(p.pings, 0);
    assert_int_equal(p.hung_up_ms, 0);
    p.is_deaf = false;
    hear(&p);
    pass(&p, QUIET_HANG_UP_MS);
    assert_int_equal(p.pings, 1);
    assert_int_equal(p.hung_up_ms, p.now_ms);
}

static void test_pinged_and_then_not_read_from_starts_afresh(void **state)
{
    (void)state;
    struct peer p;
    begin(&p);
    pass(&p, QUIET_PING_MS);
    p.is_deaf = true;
    pass(&p, QUIET_HANG_UP_MS);
    p.is_deaf = false;
    hear(&p);
    pass(&p, QUIET_PING_MS);
    assert_int_equal(p.pings, 2);
    assert_int_equal(p.hung_up_ms, 0);
    quiet_end(&p.quiet, &p.wheel);
}

static void test_ends_in_any_state(void **state)
{
    (void)state;
    struct peer p;
    begin(&p);
    quiet_end(&p.quiet, &p.wheel);
    quiet_end(&p.quiet, &p.wheel);
    pass(&p, 2 * QUIET_HANG_UP_MS);
    assert_int_equal(p.pings, 0);
    struct quiet zeroed = {0};
    quiet_end(&zeroed, &p.wheel);
    assert_int_equal(p.wheel.n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pings_once_and_hangs_up_on_one_that_never_answers),
        cmocka_unit_test(test_pings_again_after_as_long_when_it_answers),
        cmocka_unit_test(test_leaves_one_alone_that_talks),
        cmocka_unit_test(test_judges_nobody_who_is_not_read_from),
        cmocka_unit_test(test_pinged_and_then_not_read_from_starts_afresh),
        cmocka_unit_test(test_ends_in_any_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
