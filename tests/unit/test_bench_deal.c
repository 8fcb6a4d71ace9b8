#include "bench/deal.h"

#include <getopt.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#define ROOMS 10

static struct options make(const char *arguments)
{
    struct options o;
    static char text[256]; /* the options point into it */
    char *argv[32];
    int argc = 0;
    snprintf(text, sizeof(text), "loadgen --url ws://127.0.0.1:1/ws %s", arguments);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) {
        argv[argc++] = word;
    }
    argv[argc] = NULL;
    optind = 0; /* getopt begins anew */
    assert_int_equal(options_parse(&o, argc, argv), 0);
    return o;
}

static uint64_t sum_of_sizes(const struct options *o, uint32_t sizes[ROOMS])
{
    uint64_t sum = 0;
    memset(sizes, 0, ROOMS * sizeof(*sizes));
    deal_sizes(o, sizes);
    for (int i = 0; i < ROOMS; i++) {
        sum += sizes[i];
    }
    return sum;
}

static void test_rooms_get_their_subscriptions_in_turn(void **state)
{
    (void)state;
    uint32_t sizes[ROOMS];
    struct options o = make("--subscribers 5 --subscriptions 5 --rooms 10 --destination /t/%d");
    assert_int_equal(deal_count(&o), 25);
    assert_int_equal(sum_of_sizes(&o, sizes), 25);
    for (int i = 0; i < ROOMS; i++) {
        assert_int_equal(sizes[i], i < 5 ? 3 : 2);
    }
}

static void test_a_pattern_with_the_room_in_it_hears_that_room(void **state)
{
    (void)state;
    char text[256];
    uint32_t sizes[ROOMS];
    unsigned n = 0;
    struct options o = make("--subscribers 100 --rooms 10 --wildcard 0.3 --destination /t/a.%d.b");
    for (unsigned i = 0; i < 100; i++) {
        deal_destination(&o, i, text, sizeof(text));
        n += strchr(text, '*') != NULL;
        assert_false(deal_hears_all(&o, i));
    }
    assert_int_equal(n, 30);
    deal_destination(&o, 0, text, sizeof(text));
    assert_string_equal(text, "/t/a.0.*"); /* the first is always picked */
    assert_int_equal(sum_of_sizes(&o, sizes), 100);
    assert_int_equal(sizes[3], 10);
}

static void test_a_pattern_in_place_of_the_room_hears_all(void **state)
{
    (void)state;
    char text[256];
    uint32_t sizes[ROOMS];
    struct options o = make("--subscribers 100 --rooms 10 --wildcard 0.3 --destination /t/a.%d");
    deal_destination(&o, 0, text, sizeof(text));
    assert_string_equal(text, "/t/a.*");
    assert_true(deal_hears_all(&o, 0));
    assert_int_equal(deal_count_hears_all(&o), 30);
    assert_int_equal(sum_of_sizes(&o, sizes), 70 + 30 * ROOMS);
}

static void test_nothing_is_due_to_the_stalled(void **state)
{
    (void)state;
    uint32_t sizes[ROOMS];
    unsigned n = 0;
    struct options o = make("--subscribers 100 --subscriptions 2 --rooms 10 --stalled 0.25");
    for (unsigned i = 0; i < 100; i++) {
        n += deal_is_stalled(&o, i);
    }
    assert_int_equal(n, 25);
    assert_int_equal(deal_count_stalled(&o), 25);
    assert_int_equal(sum_of_sizes(&o, sizes), 150);
}

static void test_names_of_rooms_are_filled_in(void **state)
{
    (void)state;
    char text[32];
    options_room("/sub/%d/x", 12, text, sizeof(text));
    assert_string_equal(text, "/sub/12/x");
    options_room("/sub", 12, text, sizeof(text));
    assert_string_equal(text, "/sub");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rooms_get_their_subscriptions_in_turn),
        cmocka_unit_test(test_a_pattern_with_the_room_in_it_hears_that_room),
        cmocka_unit_test(test_a_pattern_in_place_of_the_room_hears_all),
        cmocka_unit_test(test_nothing_is_due_to_the_stalled),
        cmocka_unit_test(test_names_of_rooms_are_filled_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
