#include "common/map.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void test_empty(void **state)
{
    (void)state;
    struct map m = {0};
    size_t cursor = 0;
    struct map_entry e;
    assert_null(map_get(&m, "a", 1));
    assert_null(map_take(&m, "a", 1));
    assert_false(map_next(&m, &cursor, &e));
    map_fini(&m);
    map_fini(&m);
}

static void test_put_get_take(void **state)
{
    (void)state;
    struct map m;
    int a;
    int b;
    map_init(&m);
    assert_int_equal(map_put(&m, "key", 3, &a), 0);
    assert_ptr_equal(map_get(&m, "key", 3), &a);
    assert_null(map_get(&m, "ke", 2));
    assert_null(map_get(&m, "keys", 4));
    assert_int_equal(map_put(&m, "kez", 3, &b), 0);
    assert_int_equal(m.n, 2);
    assert_ptr_equal(map_take(&m, "key", 3), &a);
    assert_null(map_take(&m, "key", 3));
    assert_ptr_equal(map_get(&m, "kez", 3), &b);
    assert_int_equal(m.n, 1);
    map_fini(&m);
}

static void test_empty_key_and_nul_bytes(void **state)
{
    (void)state;
    struct map m = {0};
    int a;
    int b;
    int c;
    assert_int_equal(map_put(&m, NULL, 0, &a), 0);
    assert_int_equal(map_put(&m, "\0", 1, &b), 0);
    assert_int_equal(map_put(&m, "\0\0", 2, &c), 0);
    assert_ptr_equal(map_get(&m, "", 0), &a);
    assert_ptr_equal(map_get(&m, "\0", 1), &b);
    assert_ptr_equal(map_get(&m, "\0\0", 2), &c);
    map_fini(&m);
}

static void test_replace_borrows_the_new_key(void **state)
{
    (void)state;
    struct map m = {0};
    char old_key[] = "key";
    char new_key[] = "key";
    int a;
    int b;
    assert_int_equal(map_put(&m, old_key, 3, &a), 0);
    assert_int_equal(map_put(&m, new_key, 3, &b), 0);
    memset(old_key, 'x', sizeof old_key);
    assert_int_equal(m.n, 1);
    assert_ptr_equal(map_get(&m, "key", 3), &b);
    map_fini(&m);
}

static void test_shrinks(void **state)
{
    (void)state;
    static char keys[10000][8];
    struct map m = {0};
    for (int i = 0; i < 10000; i++) {
        snprintf(keys[i], sizeof keys[i], "%d", i);
        assert_int_equal(map_put(&m, keys[i], strlen(keys[i]), keys[i]), 0);
    }
    assert_true(m.cap >= 10000 && m.cap <= 32768);
    for (int i = 0; i < 9999; i++) {
        assert_ptr_equal(map_take(&m, keys[i], strlen(keys[i])), keys[i]);
    }
    assert_ptr_equal(map_get(&m, "9999", 4), keys[9999]);
    assert_true(m.cap <= 16);
    map_fini(&m);
}

/* Each key is a number's text; the model says whether it is in the map, and with which value. */
static void test_against_model(void **state)
{
    (void)state;
    enum { KEYS = 700 };
    static char keys[KEYS][16];
    static int values[KEYS][2];
    void *model[KEYS] = {0};
    size_t n = 0;
    struct map m = {0};
    srand(11);
    for (int i = 0; i < KEYS; i++) {
        snprintf(keys[i], sizeof keys[i], "/topic/%d", i);
    }
    for (int op = 0; op < 200000; op++) {
        /* The share of puts swings, so that the table fills and empties again. */
        int puts = op / 10000 % 2 ? 70 : 30;
        int i = rand() % KEYS;
        size_t len = strlen(keys[i]);
        assert_ptr_equal(map_get(&m, keys[i], len), model[i]);
        if (rand() % 100 < puts) {
            n += model[i] == NULL;
            model[i] = &values[i][rand() % 2];
            assert_int_equal(map_put(&m, keys[i], len, model[i]), 0);
        } else {
            n -= model[i] != NULL;
            assert_ptr_equal(map_take(&m, keys[i], len), model[i]);
            model[i] = NULL;
        }
        assert_int_equal(m.n, n);
        if (op % 1000 == 0) {
            size_t cursor = 0;
            size_t walked = 0;
            struct map_entry e;
            while (map_next(&m, &cursor, &e)) {
                long k = strtol((const char *)e.key + strlen("/topic/"), NULL, 10);
                assert_ptr_equal(e.value, model[k]);
                walked++;
            }
            assert_int_equal(walked, n);
        }
    }
    map_fini(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_put_get_take),
        cmocka_unit_test(test_empty_key_and_nul_bytes),
        cmocka_unit_test(test_replace_borrows_the_new_key),
        cmocka_unit_test(test_shrinks),
        cmocka_unit_test(test_against_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
