#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "persist/batch.h"
#include "persist/columns.h"
#include "persist/sql.h"

static struct row *make(const char *message_id, const char *key, const char *body)
{
    static struct id_generator ids;
    const struct broker_header header = {SLICE_LITERAL(ROW_HEADER_KEY), slice_of(key)};
    const struct broker_delivery d = {
        .routing_key = SLICE_LITERAL("rk"),
        .properties = {.message_id = slice_of(message_id),
                       .headers = &header,
                       .n_headers = key != NULL},
        .body = slice_of(body),
    };
    struct row *row = row_new(&d, &ids, 946684800123ULL);
    assert_non_null(row);
    return row;
}

static void assert_bytes(struct slice s, const void *bytes, size_t len)
{
    assert_int_equal(s.len, len);
    assert_memory_equal(s.ptr, bytes, len);
}

static void test_columns_insert_is_binary_arrays(void **state)
{
    (void)state;
    struct row *rows[2] = {make("01932c07-209d-7abc-8def-000000000001", NULL, "one"),
                           make("01932c07-209d-7abc-8def-000000000002", "k", "")};
    struct columns c = {.bufs = {{0}}};
    assert_int_equal(columns_insert(&c, rows, 2), 0);

    static const uint8_t bodies[] = {0, 0, 0, 1, 0, 0, 0, 1, 0,   0,   0,   17, 0, 0, 0, 2,
                                     0, 0, 0, 1, 0, 0, 0, 3, 'o', 'n', 'e', 0,  0, 0, 0};
    assert_bytes(columns_param(&c, 11), bodies, sizeof(bodies));
    static const uint8_t destinations[] = {0,   0,   0,   1,   0,   0,   0,   1,  0, 0,
                                           0,   25,  0,   0,   0,   2,   0,   0,  0, 1,
                                           255, 255, 255, 255, 255, 255, 255, 255};
    assert_bytes(columns_param(&c, 7), destinations, sizeof(destinations));
    static const uint8_t headers_tail[] = {0, 0, 0, 3, 1, '{', '}', 0, 0, 0, 3, 1, '{', '}'};
    struct slice headers = columns_param(&c, 10);
    assert_int_equal(headers.len, 20 + sizeof(headers_tail));
    assert_memory_equal(headers.ptr + 20, headers_tail, sizeof(headers_tail));

    /* one of the two has a key: it claims it in the first three columns, and names it in the fifth
     */
    struct slice claims = columns_param(&c, 0);
    assert_int_equal(claims.len, 20 + 4 + ROW_KEY_LEN);
    assert_memory_equal(claims.ptr + 24, rows[1]->key, ROW_KEY_LEN);
    struct slice keys = columns_param(&c, 4);
    assert_int_equal(keys.len, 20 + 4 + 4 + ROW_KEY_LEN);
    assert_memory_equal(keys.ptr + 20, "\xff\xff\xff\xff\0\0\0\x10", 8);
    columns_fini(&c);
    row_free(rows[0]);
    row_free(rows[1]);
}

static void test_columns_time_counts_from_2000(void **state)
{
    (void)state;
    struct row *row = make(NULL, NULL, ""); /* made at 2000-01-01T00:00:00.123Z */
    struct columns c = {.bufs = {{0}}};
    assert_int_equal(columns_insert(&c, &row, 1), 0);
    static const uint8_t us[] = {0, 0, 0, 8, 0, 0, 0, 0, 0, 1, 0xe0, 0x78};
    struct slice sent = columns_param(&c, 12);
    assert_int_equal(sent.len, 20 + sizeof(us));
    assert_memory_equal(sent.ptr + 20, us, sizeof(us));
    columns_fini(&c);
    row_free(row);
}

static void test_columns_keys_ascend(void **state)
{
    (void)state;
    enum { N = 50 };
    struct row *rows[N];
    struct columns c = {.bufs = {{0}}};
    for (int i = 0; i < N; i++) {
        char key[8];
        snprintf(key, sizeof(key), "%d", i);
        rows[i] = make(NULL, key, "");
    }
    assert_int_equal(columns_insert(&c, rows, N), 0);
    const char *p = columns_param(&c, 0).ptr + 24;
    for (int i = 1; i < N; i++, p += 4 + ROW_KEY_LEN) {
        assert_true(memcmp(p, p + 4 + ROW_KEY_LEN, ROW_KEY_LEN) < 0);
    }
    columns_fini(&c);
    for (int i = 0; i < N; i++) {
        row_free(rows[i]);
    }
}

static void test_columns_without_keys_are_empty_arrays(void **state)
{
    (void)state;
    struct row *row = make(NULL, NULL, "");
    struct columns c = {.bufs = {{0}}};
    assert_int_equal(columns_insert(&c, &row, 1), 0);
    static const uint8_t none[] = {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 11, 0x86};
    assert_bytes(columns_param(&c, 0), none, sizeof(none));
    assert_int_equal(columns_lookup(&c, &row, 1), 0);
    static const uint8_t number[] = {0, 0, 0, 4, 0, 0, 0, 0};
    assert_memory_equal(columns_param(&c, 0).ptr + 20, number, sizeof(number));
    columns_fini(&c);
    row_free(row);
}

static void test_partition_bounds_are_ids(void **state)
{
    (void)state;
    char sql[SQL_PARTITION_LEN];
    sql_partition(sql, 1795046400000ULL, 1795651200000ULL);
    assert_non_null(strstr(sql, "message_20261119 "));
    assert_non_null(strstr(sql, "FROM ('01a1f11a-6000-0000-0000-000000000000')"));
    assert_non_null(strstr(sql, "TO ('01a21526-e400-0000-0000-000000000000')"));
    assert_true(strlen(sql) < SQL_PARTITION_LEN - 1);
    sql_partition(sql, 0, UINT64_MAX);
    assert_true(strlen(sql) < SQL_PARTITION_LEN - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_insert_is_binary_arrays),
        cmocka_unit_test(test_columns_time_counts_from_2000),
        cmocka_unit_test(test_columns_keys_ascend),
        cmocka_unit_test(test_columns_without_keys_are_empty_arrays),
        cmocka_unit_test(test_partition_bounds_are_ids),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
