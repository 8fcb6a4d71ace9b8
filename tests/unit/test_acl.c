#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "gateway/access/acl.h"

#define LIST(...)                                                                                  \
    {                                                                                              \
        (char *[]){__VA_ARGS__}, sizeof((char *[]){__VA_ARGS__}) / sizeof(char *)                  \
    }

static char everybody[] = "*";
static char anonymous[] = "anonymous";
static char ann[] = "ann";
static char bob[] = "bob";

static void check(const struct config_route *route, const char *user, bool may_send,
                  bool may_subscribe)
{
    struct destination d = {.route = route};
    assert_int_equal(acl_may_send(&d, slice_of(user)), may_send);
    assert_int_equal(acl_may_subscribe(&d, slice_of(user)), may_subscribe);
}

static void test_acl_lists_are_apart(void **state)
{
    (void)state;
    const struct config_route route = {.send = LIST(ann), .subscribe = LIST(ann, bob)};
    check(&route, "ann", true, true);
    check(&route, "bob", false, true);
    check(&route, "eve", false, false);
    check(&route, "anonymous", false, false);
}

static void test_acl_star_is_everybody(void **state)
{
    (void)state;
    const struct config_route route = {.send = LIST(bob, everybody), .subscribe = LIST(everybody)};
    check(&route, "ann", true, true);
    check(&route, "anonymous", true, true);
    check(&route, "", true, true);
}

static void test_acl_anonymous_is_a_name(void **state)
{
    (void)state;
    const struct config_route route = {.subscribe = LIST(anonymous), .send = LIST(ann)};
    check(&route, "anonymous", false, true);
    check(&route, "ann", true, false);
}

static void test_acl_empty_list_is_nobody(void **state)
{
    (void)state;
    const struct config_route route = {0};
    check(&route, "ann", false, false);
    check(&route, "anonymous", false, false);
    check(&route, "", false, false);
}

static void test_acl_names_are_compared_whole(void **state)
{
    (void)state;
    const struct config_route route = {.send = LIST(ann), .subscribe = LIST(ann)};
    check(&route, "an", false, false);
    check(&route, "anna", false, false);
    check(&route, "Ann", false, false);
    check(&route, "*", false, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acl_lists_are_apart),
        cmocka_unit_test(test_acl_star_is_everybody),
        cmocka_unit_test(test_acl_anonymous_is_a_name),
        cmocka_unit_test(test_acl_empty_list_is_nobody),
        cmocka_unit_test(test_acl_names_are_compared_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
