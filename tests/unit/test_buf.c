#include "common/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_zeroed_is_empty(void **state)
{
    (void)state;
    struct buf b = {0};
    assert_int_equal(b.len, 0);
    assert_null(buf_data(&b));
    assert_int_equal(buf_append(&b, NULL, 0), 0);
    assert_null(b.mem);
    buf_consume(&b, 0);
    buf_trim(&b);
    buf_fini(&b);
    buf_fini(&b);
}

static void test_reserve_and_commit(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    uint8_t *room = buf_reserve(&b, 10);
    assert_non_null(room);
    memcpy(room, "0123456789", 10);
    assert_int_equal(b.len, 0);
    buf_commit(&b, 4);
    assert_int_equal(b.len, 4);
    assert_memory_equal(buf_data(&b), "0123", 4);
    assert_non_null(buf_reserve(&b, 0));
    buf_fini(&b);
}

static void test_impossible_reserve_changes_nothing(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    assert_int_equal(buf_append(&b, "abc", 3), 0);
    assert_null(buf_reserve(&b, SIZE_MAX));
    assert_null(buf_reserve(&b, SIZE_MAX - 2));
    assert_int_equal(b.len, 3);
    assert_memory_equal(buf_data(&b), "abc", 3);
    buf_fini(&b);
}

static void test_empty_begins_at_the_front(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    assert_int_equal(buf_append(&b, "abcdef", 6), 0);
    buf_consume(&b, 2);
    assert_memory_equal(buf_data(&b), "cdef", 4);
    buf_consume(&b, 4);
    assert_int_equal(b.off, 0);
    assert_non_null(b.mem);
    buf_trim(&b);
    assert_null(b.mem);
    assert_int_equal(b.cap, 0);
}

static void test_trim_keeps_bytes(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    assert_int_equal(buf_append(&b, "x", 1), 0);
    buf_trim(&b);
    assert_int_equal(b.len, 1);
    assert_memory_equal(buf_data(&b), "x", 1);
    buf_fini(&b);
}

static void test_steady_flow_does_not_grow(void **state)
{
    (void)state;
    struct buf b;
    buf_init(&b);
    char piece[100] = {0};
    assert_int_equal(buf_append(&b, piece, sizeof piece), 0);
    for (int i = 0; i < 100000; i++) {
        assert_int_equal(buf_append(&b, piece, sizeof piece), 0);
        buf_consume(&b, sizeof piece);
    }
    assert_true(b.cap <= 1024);
    buf_fini(&b);
}

/* Random appends and consumes against a long array in which nothing ever moves. */
static void test_against_model(void **state)
{
    (void)state;
    enum { ALL = 1 << 20 };
    uint8_t *model = malloc(ALL);
    assert_non_null(model);
    size_t in = 0;
    size_t out = 0;
    struct buf b;
    buf_init(&b);
    srand(7);
    while (in + 3000 < ALL) {
        size_t n = (size_t)rand() % 3000;
        for (size_t i = 0; i < n; i++) {
            model[in + i] = (uint8_t)rand();
        }
        assert_int_equal(buf_append(&b, model + in, n), 0);
        in += n;
        size_t gone = (size_t)rand() % (b.len + 1);
        buf_consume(&b, gone);
        out += gone;
        assert_int_equal(b.len, in - out);
        assert_true(b.off + b.len <= b.cap);
        if (b.len > 0) {
            assert_memory_equal(buf_data(&b), model + out, b.len);
        } else {
            assert_int_equal(b.off, 0);
        }
    }
    buf_fini(&b);
    free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_zeroed_is_empty),
        cmocka_unit_test(test_reserve_and_commit),
        cmocka_unit_test(test_impossible_reserve_changes_nothing),
        cmocka_unit_test(test_empty_begins_at_the_front),
        cmocka_unit_test(test_trim_keeps_bytes),
        cmocka_unit_test(test_steady_flow_does_not_grow),
        cmocka_unit_test(test_against_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
