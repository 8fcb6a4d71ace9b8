#include "amqp/confirm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static unsigned seed = 1;

static unsigned dice(unsigned n)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 8) % n;
}

static void test_tags_count_from_one(void **state)
{
    (void)state;
    struct confirm c;
    char items[3];
    confirm_init(&c);
    for (unsigned i = 0; i < 3; i++) {
        assert_int_equal(confirm_push(&c, &items[i]), i + 1);
    }
    assert_ptr_equal(confirm_get(&c, 2), &items[1]);
    assert_ptr_equal(confirm_take(&c, 2), &items[1]);
    assert_null(confirm_take(&c, 2));
    assert_null(confirm_take(&c, 0));
    assert_null(confirm_take(&c, 4));
    assert_null(confirm_take(&c, UINT64_MAX));
    assert_ptr_equal(confirm_shift(&c, 3), &items[0]);
    assert_ptr_equal(confirm_shift(&c, 3), &items[2]);
    assert_null(confirm_shift(&c, 3));
    assert_int_equal(c.n, 0);
    confirm_fini(&c);
}

static void test_multiple_stops_at_its_tag(void **state)
{
    (void)state;
    struct confirm c;
    char items[200];
    confirm_init(&c);
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(confirm_push(&c, &items[i]), i + 1);
    }
    unsigned n = 0;
    while (confirm_shift(&c, 150)) {
        n++;
    }
    assert_int_equal(n, 150);
    assert_int_equal(c.first, 151);
    assert_int_equal(c.n, 50);
    confirm_fini(&c);
}

#define N 20000

/* The naive model: one flag per tag. */
struct model {
    bool is_open[N + 1];
    unsigned next;
    unsigned n;
};

static void ack(struct confirm *c, struct model *m, char *items, unsigned tag, bool is_multiple)
{
    void *item;
    if (!is_multiple) {
        item = confirm_take(c, tag);
        assert_ptr_equal(item, m->is_open[tag] ? &items[tag] : NULL);
        m->n -= m->is_open[tag];
        m->is_open[tag] = false;
        return;
    }
    for (unsigned t = 1; t <= tag && t < m->next; t++) {
        if (m->is_open[t]) {
            assert_ptr_equal(confirm_shift(c, tag), &items[t]);
            m->is_open[t] = false;
            m->n--;
        }
    }
    assert_null(confirm_shift(c, tag));
}

static void test_random_acks_agree_with_a_naive_model(void **state)
{
    (void)state;
    static char items[N + 1];
    static struct model m;
    for (seed = 1; seed <= 20; seed++) {
        unsigned this_seed = seed;
        struct confirm c;
        confirm_init(&c);
        memset(&m, 0, sizeof(m));
        m.next = 1;
        while (m.next <= N || m.n > 0) {
            unsigned burst = dice(40);
            for (; burst > 0 && m.next <= N; burst--) {
                assert_int_equal(confirm_push(&c, &items[m.next]), m.next);
                m.is_open[m.next++] = true;
                m.n++;
            }
            unsigned back = dice(60);
            unsigned tag = m.next - 1 > back ? m.next - 1 - back : 1;
            ack(&c, &m, items, tag, dice(8) == 0 || m.next > N);
            assert_int_equal(c.n, m.n);
            assert_true(c.first <= c.next);
            assert_true(c.n == 0 || confirm_get(&c, c.first) != NULL);
        }
        assert_int_equal(c.first, c.next);
        assert_true(c.cap < N); /* it did not grow with all that ever passed */
        confirm_fini(&c);
        seed = this_seed;
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags_count_from_one),
        cmocka_unit_test(test_multiple_stops_at_its_tag),
        cmocka_unit_test(test_random_acks_agree_with_a_naive_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
