#include "gateway/transport/sparse.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define N 100

static void test_blocks_do_not_overlap_and_run_out(void **state)
{
    (void)state;
    struct sparse *s = sparse_new(100, N);
    uint8_t *blocks[N];
    assert_non_null(s);
    for (int i = 0; i < N; i++) {
        blocks[i] = sparse_take(s);
        assert_non_null(blocks[i]);
        assert_int_equal((uintptr_t)blocks[i] % 16, 0);
        memset(blocks[i], i, 100);
    }
    assert_null(sparse_take(s));
    for (int i = 0; i < N; i++) {
        assert_int_equal(blocks[i][0], i);
        assert_int_equal(blocks[i][99], i);
    }
    sparse_free(s);
}

static void test_the_last_that_was_given_back_comes_first(void **state)
{
    (void)state;
    struct sparse *s = sparse_new(4096, N);
    void *a = sparse_take(s);
    void *b = sparse_take(s);
    void *c = sparse_take(s);
    sparse_give(s, b);
    sparse_give(s, a);
    assert_ptr_equal(sparse_take(s), a);
    assert_ptr_equal(sparse_take(s), b);
    assert_ptr_not_equal(sparse_take(s), c);
    sparse_free(s);
}

static void test_knows_its_own(void **state)
{
    (void)state;
    struct sparse *s = sparse_new(64, 2);
    uint8_t *a = sparse_take(s);
    uint8_t *b = sparse_take(s);
    int other;
    void *heap = malloc(64);
    assert_true(sparse_owns(s, a));
    assert_true(sparse_owns(s, b));
    assert_false(sparse_owns(s, &other));
    assert_false(sparse_owns(s, heap));
    assert_false(sparse_owns(s, (a < b ? b : a) + 64));
    assert_false(sparse_owns(s, NULL));
    free(heap);
    sparse_free(s);
}

/* Pages of [at, at + bytes) that are in memory. */
static size_t resident(uint8_t *at, size_t bytes)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char in[1024];
    size_t n = bytes / page;
    size_t count = 0;
    assert_true(n <= sizeof in);
    assert_int_equal(mincore(at, bytes, in), 0);
    for (size_t i = 0; i < n; i++) {
        count += in[i] & 1;
    }
    return count;
}

static void test_what_is_not_written_costs_no_memory(void **state)
{
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    struct sparse *s = sparse_new(page, 1000);
    uint8_t *first = sparse_take(s);
    for (int i = 1; i < 1000; i++) {
        assert_non_null(sparse_take(s));
    }
    assert_int_equal(resident(first, 1000 * page), 0);
    first[500 * page] = 1;
    assert_int_equal(resident(first, 1000 * page), 1);
    sparse_free(s);
    sparse_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_do_not_overlap_and_run_out),
        cmocka_unit_test(test_the_last_that_was_given_back_comes_first),
        cmocka_unit_test(test_knows_its_own),
        cmocka_unit_test(test_what_is_not_written_costs_no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
