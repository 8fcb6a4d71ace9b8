#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "persist/batch.h"

static const struct batch_limits limits = {.rows = 3, .bytes = 100000, .ms = 10};

/* A row with id n (0: one of its own), key `key` (NULL: none), this body. */
static struct row *push(struct batch *b, unsigned n, const char *key, const char *body)
{
    static struct id_generator ids;
    char id[ID_TEXT_LEN + 1];
    const struct broker_header header = {SLICE_LITERAL(ROW_HEADER_KEY), slice_of(key)};
    snprintf(id, sizeof(id), "01932c07-209d-7abc-8def-%012x", n);
    const struct broker_delivery d = {
        .exchange = SLICE_LITERAL("e"),
        .routing_key = SLICE_LITERAL("k"),
        .properties = {.message_id = slice_of(n > 0 ? id : NULL),
                       .headers = &header,
                       .n_headers = key != NULL},
        .body = slice_of(body),
    };
    struct row *row = row_new(&d, &ids, 1795000000000ULL);
    assert_non_null(row);
    assert_int_equal(batch_push(b, row, 1000), 0);
    return row;
}

static void settle_picked(struct batch *b, enum row_fate fate)
{
    for (size_t i = 0; i < b->n_picked; i++) {
        b->picked[i]->fate = fate;
    }
}

static void test_batch_is_due_by_rows_bytes_or_time(void **state)
{
    (void)state;
    struct batch b = {.rows = NULL};
    assert_false(batch_is_due(&b, &limits, UINT64_MAX));
    push(&b, 1, NULL, "x");
    assert_false(batch_is_due(&b, &limits, 1009));
    assert_true(batch_is_due(&b, &limits, 1010));
    push(&b, 2, NULL, "x");
    assert_false(batch_is_due(&b, &limits, 1009));
    push(&b, 3, NULL, "x");
    assert_true(batch_is_due(&b, &limits, 1000));
    const struct batch_limits small = {.rows = 100, .bytes = b.bytes, .ms = 10};
    assert_true(batch_is_due(&b, &small, 1000));
    const struct batch_limits larger = {.rows = 100, .bytes = b.bytes + 1, .ms = 10};
    assert_false(batch_is_due(&b, &larger, 1000));
    batch_clear(&b);
    assert_int_equal(b.n, 0);
    assert_int_equal(b.bytes, 0);
    batch_fini(&b);
}

static void test_batch_grows(void **state)
{
    (void)state;
    struct batch b = {.rows = NULL};
    for (unsigned i = 1; i <= 1000; i++) {
        push(&b, 1001 - i, NULL, "x");
    }
    assert_int_equal(batch_pick(&b), 1000);
    for (size_t i = 1; i < 1000; i++) {
        assert_true(memcmp(b.picked[i - 1]->id.bytes, b.picked[i]->id.bytes, 16) < 0);
        assert_int_equal(b.rows[i]->serial, i);
    }
    batch_fini(&b);
}

static void test_batch_span_is_bounded_and_never_empty(void **state)
{
    (void)state;
    struct batch b = {.rows = NULL};
    for (unsigned i = 1; i <= 5; i++) {
        push(&b, i, NULL, "x");
    }
    assert_int_equal(batch_pick(&b), 5);
    size_t each = b.rows[0]->bytes;
    assert_int_equal(batch_span(&b, 0, 100, SIZE_MAX), 5);
    assert_int_equal(batch_span(&b, 3, 100, SIZE_MAX), 2);
    assert_int_equal(batch_span(&b, 0, 2, SIZE_MAX), 2);
    assert_int_equal(batch_span(&b, 0, 100, each * 3), 3);
    assert_int_equal(batch_span(&b, 0, 100, each * 3 - 1), 2);
    assert_int_equal(batch_span(&b, 0, 0, 0), 1);
    assert_int_equal(batch_span(&b, 5, 100, SIZE_MAX), 0);
    batch_fini(&b);
}

static void test_batch_same_id_waits_for_the_first(void **state)
{
    (void)state;
    struct batch b = {.rows = NULL};
    struct row *first = push(&b, 1, NULL, "x");
    struct row *same = push(&b, 1, NULL, "x");
    struct row *other = push(&b, 1, NULL, "y");
    assert_int_equal(batch_pick(&b), 1);
    assert_ptr_equal(b.picked[0], first);
    settle_picked(&b, ROW_STORED);
    batch_settle_followers(&b);
    assert_int_equal(same->fate, ROW_DUPLICATE);
    assert_int_equal(other->fate, ROW_CONFLICT);
    assert_int_equal(batch_pick(&b), 0);
    assert_int_equal(batch_count(&b, ROW_STORED), 1);
    assert_int_equal(batch_count(&b, ROW_PENDING), 0);
    batch_fini(&b);
}

static void test_batch_same_key_waits_for_the_first(void **state)
{
    (void)state;
    struct batch b = {.rows = NULL};
    struct row *first = push(&b, 9, "k", "x"); /* the first to arrive, not the smallest id */
    struct row *same = push(&b, 1, "k", "x");
    struct row *other = push(&b, 2, "k", "y");
    struct row *alone = push(&b, 3, "l", "y");
    assert_int_equal(batch_pick(&b), 2);
    assert_ptr_equal(b.picked[0], alone);
    assert_ptr_equal(b.picked[1], first);
    settle_picked(&b, ROW_DUPLICATE);
    batch_settle_followers(&b);
    assert_int_equal(same->fate, ROW_DUPLICATE);
    assert_int_equal(other->fate, ROW_CONFLICT);
    assert_int_equal(batch_pick(&b), 0);
    batch_fini(&b);
}

static void test_batch_followers_of_a_dead_letter_go_themselves(void **state)
{
    (void)state;
    struct batch b = {.rows = NULL};
    struct row *first = push(&b, 1, NULL, "bad");
    struct row *second = push(&b, 1, NULL, "good");
    struct row *third = push(&b, 1, NULL, "good");
    assert_int_equal(batch_pick(&b), 1);
    row_condemn(first, ROW_REFUSED, "22021", "no");
    batch_settle_followers(&b);
    assert_int_equal(second->fate, ROW_PENDING);
    assert_int_equal(batch_pick(&b), 1);
    assert_ptr_equal(b.picked[0], second);
    settle_picked(&b, ROW_STORED);
    batch_settle_followers(&b);
    assert_int_equal(third->fate, ROW_DUPLICATE);
    batch_fini(&b);
}

/* Whatever meets, every round settles something and each row gets a fate. */
static void test_batch_always_ends(void **state)
{
    (void)state;
    static const enum row_fate fates[] = {ROW_STORED, ROW_DUPLICATE, ROW_CONFLICT, ROW_REFUSED};
    static const char *const keys[] = {NULL, "a", "b", "c"};
    srand(7);
    for (int run = 0; run < 500; run++) {
        struct batch b = {.rows = NULL};
        for (int i = 0; i < 40; i++) {
            push(&b, (unsigned)rand() % 8, keys[rand() % 4], rand() % 2 ? "x" : "y");
        }
        int rounds = 0;
        for (size_t n; (n = batch_pick(&b)) > 0; rounds++) {
            for (size_t i = 1; i < n; i++) { /* nothing that could not be told apart */
                assert_true(memcmp(b.picked[i - 1]->id.bytes, b.picked[i]->id.bytes, 16) < 0);
                for (size_t j = 0; j < i; j++) {
                    assert_false(b.picked[i]->has_key && b.picked[j]->has_key &&
                                 memcmp(b.picked[i]->key, b.picked[j]->key, ROW_KEY_LEN) == 0);
                }
            }
            for (size_t i = 0; i < n; i++) {
                b.picked[i]->fate = fates[rand() % 4];
            }
            batch_settle_followers(&b);
            assert_true(rounds < 40);
        }
        assert_int_equal(batch_count(&b, ROW_PENDING), 0);
        batch_fini(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_batch_is_due_by_rows_bytes_or_time),
        cmocka_unit_test(test_batch_grows),
        cmocka_unit_test(test_batch_span_is_bounded_and_never_empty),
        cmocka_unit_test(test_batch_same_id_waits_for_the_first),
        cmocka_unit_test(test_batch_same_key_waits_for_the_first),
        cmocka_unit_test(test_batch_followers_of_a_dead_letter_go_themselves),
        cmocka_unit_test(test_batch_always_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
