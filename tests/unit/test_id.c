#include "common/id.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct id parsed(const char *text)
{
    struct id id;
    assert_int_equal(id_parse(slice_of(text), &id), 0);
    return id;
}

static void assert_text(struct id id, const char *expected)
{
    char text[ID_TEXT_LEN + 1];
    id_text(id, text);
    assert_string_equal(text, expected);
}

/* RFC 9562, appendix A.4. */
static void test_v5_of_the_rfc(void **state)
{
    (void)state;
    struct id dns = parsed("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    assert_text(id_v5(dns, "www.example.com", 15), "2ed6657d-e927-568b-95e1-2665a8aea6a2");
}

static void test_v5_depends_on_space_and_name(void **state)
{
    (void)state;
    struct id dns = parsed("6ba7b810-9dad-11d1-80b4-00c04fd430c8");
    struct id url = parsed("6ba7b811-9dad-11d1-80b4-00c04fd430c8");
    struct id a = id_v5(dns, "a", 1);
    struct id same = id_v5(dns, "a", 1);
    struct id other_name = id_v5(dns, "b", 1);
    struct id other_space = id_v5(url, "a", 1);
    struct id no_name = id_v5(dns, "", 0);
    assert_memory_equal(&a, &same, sizeof a);
    assert_memory_not_equal(&a, &other_name, sizeof a);
    assert_memory_not_equal(&a, &other_space, sizeof a);
    assert_int_equal(no_name.bytes[6] >> 4, 5);
    assert_false(id_is_v7(a));
}

/* RFC 9562, appendix A.6: 2022-02-22T19:22:22Z. */
static void test_v7_of_the_rfc(void **state)
{
    (void)state;
    struct id id = parsed("017F22E2-79B0-7CC3-98C4-DC0C0C07398F");
    assert_true(id_is_v7(id));
    assert_int_equal(id_unix_ms(id), 0x017F22E279B0);
    assert_text(id, "017f22e2-79b0-7cc3-98c4-dc0c0c07398f");
}

static void test_v7_carries_the_time(void **state)
{
    (void)state;
    struct id_generator g = {0};
    struct id id = id_v7(&g, 1700000000123);
    assert_true(id_is_v7(id));
    assert_int_equal(id_unix_ms(id), 1700000000123);
    assert_int_equal(id.bytes[8] >> 6, 2);
}

static void assert_grows(const struct id *before, const struct id *after)
{
    assert_true(memcmp(before->bytes, after->bytes, sizeof before->bytes) < 0);
}

static void test_v7_grows_over_clock_steps(void **state)
{
    (void)state;
    struct id_generator g = {0};
    uint64_t now = 1700000000000;
    struct id last = id_v7(&g, now);
    srand(5);
    for (int i = 0; i < 100000; i++) {
        switch (rand() % 8) {
        case 0:
            now += (uint64_t)rand() % 50;
            break;
        case 1:
            now -= (uint64_t)rand() % 60;
            break;
        case 2:
            now -= rand() % 100 == 0 ? 3600000 : 0;
            break;
        default:
            break;
        }
        struct id next = id_v7(&g, now);
        assert_true(id_is_v7(next));
        assert_grows(&last, &next);
        last = next;
    }
}

static void test_v7_grows_when_the_counter_is_used_up(void **state)
{
    (void)state;
    struct id_generator g = {.last_ms = 1700000000000, .counter = UINT32_MAX - 2};
    struct id last = id_v7(&g, 1700000000000);
    for (int i = 0; i < 10; i++) {
        struct id next = id_v7(&g, 1700000000000);
        assert_grows(&last, &next);
        last = next;
    }
    assert_int_equal(id_unix_ms(last), 1700000000001);
}

static void test_v7_of_two_generators_differ(void **state)
{
    (void)state;
    struct id_generator a = {0};
    struct id_generator b = {0};
    struct id x = id_v7(&a, 1);
    struct id y = id_v7(&b, 1);
    assert_memory_not_equal(&x, &y, sizeof x);
}

/* Over many ids each bit that is not fixed is seen as 0 and as 1. */
static void test_v7_uses_all_bits(void **state)
{
    (void)state;
    uint8_t ones[16] = {0};
    uint8_t zeros[16] = {0};
    for (int i = 0; i < 400; i++) {
        struct id_generator g = {0};
        struct id id = id_v7(&g, 1700000000000);
        for (int j = 0; j < 16; j++) {
            ones[j] |= id.bytes[j];
            zeros[j] |= (uint8_t)~id.bytes[j];
        }
    }
    /* The first bit of the counter is kept for rolling over. */
    static const uint8_t free_bits[16] = {[6] = 0x07, [7] = 0xff, [8] = 0x3f, [9] = 0xff, 0xff,
                                          0xff,       0xff,       0xff,       0xff,       0xff};
    for (int j = 6; j < 16; j++) {
        assert_int_equal(ones[j] & zeros[j], free_bits[j]);
    }
}

static void test_text_there_and_back(void **state)
{
    (void)state;
    srand(9);
    for (int i = 0; i < 1000; i++) {
        struct id id;
        for (int j = 0; j < 16; j++) {
            id.bytes[j] = (uint8_t)rand();
        }
        char text[ID_TEXT_LEN + 1];
        id_text(id, text);
        struct id back = parsed(text);
        assert_memory_equal(&id, &back, sizeof id);
    }
}

static void test_parse_refuses(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "-",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398ff",
        "017f22e279b07cc398c4dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c07398g",
        "017f22e2_79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e-279b0-7cc3-98c4-dc0c0c07398f",
        "{17f22e2-79b0-7cc3-98c4-dc0c0c07398}",
        " 17f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        "017f22e2-79b0-7cc3-98c4-dc0c0c0739\xc3\xa9",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct id id = {{1}};
        assert_int_equal(id_parse(slice_of(bad[i]), &id), -1);
        assert_int_equal(id.bytes[0], 1);
    }
    struct id id;
    assert_int_equal(id_parse((struct slice){NULL, 0}, &id), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_v5_of_the_rfc),
        cmocka_unit_test(test_v5_depends_on_space_and_name),
        cmocka_unit_test(test_v7_of_the_rfc),
        cmocka_unit_test(test_v7_carries_the_time),
        cmocka_unit_test(test_v7_grows_over_clock_steps),
        cmocka_unit_test(test_v7_grows_when_the_counter_is_used_up),
        cmocka_unit_test(test_v7_of_two_generators_differ),
        cmocka_unit_test(test_v7_uses_all_bits),
        cmocka_unit_test(test_text_there_and_back),
        cmocka_unit_test(test_parse_refuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
