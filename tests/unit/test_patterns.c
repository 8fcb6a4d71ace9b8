#include "gateway/fanout/patterns.h"

#include "gateway/fanout/destination.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MANY 2000

static void count(void *value, void *arg)
{
    (void)arg;
    (*(int *)value)++;
}

static void take_one(void *value, void *arg)
{
    assert_null(*(void **)arg); /* one pattern matches, or none */
    *(void **)arg = value;
}

static void *match_one(struct patterns *p, const char *key)
{
    void *found = NULL;
    patterns_match(p, slice_of(key), take_one, &found);
    return found;
}

static void test_empty(void **state)
{
    (void)state;
    struct patterns p = {0};
    assert_null(match_one(&p, "a"));
    assert_null(patterns_get(&p, slice_of("#")));
    assert_null(patterns_take(&p, slice_of("#")));
    patterns_fini(&p);
    patterns_fini(&p);
}

static void test_words(void **state)
{
    (void)state;
    static const struct {
        const char *pattern;
        const char *yes[5];
        const char *no[5];
    } table[] = {
        {"a.*", {"a.b", "a.", "a.*", "a.#"}, {"a", "a.b.c", "b.a", ""}},
        {"*", {"a", "*", "#"}, {"", "a.b"}},
        {"#", {"", "a", "a.b", ".", "..."}, {NULL}},
        {"a.#", {"a", "a.b", "a.b.c", "a."}, {"", "b", "b.a"}},
        {"#.a", {"a", "b.a", "a.a", ".a"}, {"", "a.b"}},
        {"#.a.#.a", {"a.a", "a.b.a", "x.a.y.a"}, {"a", "a.b"}},
        {"*.#.*", {"a.b", "a.b.c", "."}, {"a", ""}},
        {"a..b.*", {"a..b.c"}, {"a.b.c", "a.x.b.c"}},
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        struct patterns p = {0};
        int value = 0;
        assert_int_equal(patterns_put(&p, slice_of(table[i].pattern), &value), 0);
        for (const char *const *yes = table[i].yes; *yes; yes++) {
            assert_ptr_equal(match_one(&p, *yes), &value);
        }
        for (const char *const *no = table[i].no; *no; no++) {
            assert_null(match_one(&p, *no));
        }
        patterns_fini(&p);
    }
}

static void test_take_leaves_the_others(void **state)
{
    (void)state;
    struct patterns p = {0};
    int one;
    int two;
    assert_int_equal(patterns_put(&p, slice_of("a.*"), &one), 0);
    assert_int_equal(patterns_put(&p, slice_of("a.*.c"), &two), 0);
    assert_null(patterns_get(&p, slice_of("a")));
    assert_ptr_equal(patterns_take(&p, slice_of("a.*")), &one);
    assert_null(patterns_take(&p, slice_of("a.*")));
    assert_null(match_one(&p, "a.b"));
    assert_ptr_equal(match_one(&p, "a.b.c"), &two);
    assert_ptr_equal(patterns_take(&p, slice_of("a.*.c")), &two);
    assert_int_equal(p.n, 0);
    assert_int_equal(p.n_nodes, 0);
    patterns_fini(&p);
}

static void random_text(char text[64], const char *const *words, size_t n_words)
{
    text[0] = '\0';
    for (int n = rand() % 7; n >= 0; n--) {
        strcat(text, words[(size_t)rand() % n_words]);
        strcat(text, n > 0 ? "." : "");
    }
}

/* The walk finds just those that the plain matching of one pattern finds, each once. */
static void test_agrees_with_matching_one_by_one(void **state)
{
    (void)state;
    static const char *const words[] = {"a", "b", "c", "", "*", "#"};
    static char texts[MANY][64];
    static int found[MANY];
    static bool is_in[MANY];
    struct patterns p = {0};
    srand(7);
    for (int i = 0; i < MANY; i++) {
        random_text(texts[i], words, 6);
        if (!patterns_get(&p, slice_of(texts[i]))) {
            assert_int_equal(patterns_put(&p, slice_of(texts[i]), &found[i]), 0);
            is_in[i] = true;
        }
    }
    for (int round = 0; round < 300; round++) {
        char key[64];
        int gone = rand() % MANY;
        random_text(key, words, 4);
        if (is_in[gone]) {
            assert_ptr_equal(patterns_take(&p, slice_of(texts[gone])), &found[gone]);
            is_in[gone] = false;
        }
        memset(found, 0, sizeof found);
        patterns_match(&p, slice_of(key), count, NULL);
        for (int i = 0; i < MANY; i++) {
            int expected = is_in[i] && destination_matches(slice_of(texts[i]), slice_of(key));
            assert_int_equal(found[i], expected);
        }
    }
    patterns_fini(&p);
    assert_int_equal(p.n_nodes, 0);
}

/* 60 times `#` over a key of 120 words: the set of nodes bounds the work. */
static void test_many_hashes_cost_little(void **state)
{
    (void)state;
    char pattern[256] = "";
    char key[256] = "";
    int value = 0;
    struct patterns p = {0};
    for (int i = 0; i < 60; i++) {
        strcat(pattern, "#.a.");
    }
    strcat(pattern, "b");
    for (int i = 0; i < 120; i++) {
        strcat(key, "a.");
    }
    strcat(key, "c");
    assert_int_equal(patterns_put(&p, slice_of(pattern), &value), 0);
    assert_null(match_one(&p, key));
    assert_true(p.n_nodes <= 122);
    patterns_fini(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_take_leaves_the_others),
        cmocka_unit_test(test_agrees_with_matching_one_by_one),
        cmocka_unit_test(test_many_hashes_cost_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
