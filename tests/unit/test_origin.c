#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "gateway/access/origin.h"

static char *entries[] = {
    (char *)"https://app.example.com",
    (char *)"https://dev.example.com:8443",
    (char *)"https://*.wild.example",
    (char *)"*.any.example",
    (char *)"bare.example",
    (char *)"http://[::1]:3000",
    (char *)"capacitor://localhost",
    (char *)"null",
};
static const struct config config = {.gateway.origins = {entries, 8}};

static const struct {
    const char *origin;
    const char *host;
    bool is_allowed;
} table[] = {
    /* listed: scheme, host and port */
    {"https://app.example.com", "ws.example.com", true},
    {"https://app.example.com:443", "ws.example.com", true},
    {"HTTPS://App.Example.COM", "ws.example.com", true},
    {"http://app.example.com", "ws.example.com", false},
    {"https://app.example.com:8443", "ws.example.com", false},
    {"https://dev.example.com:8443", "ws.example.com", true},
    {"https://dev.example.com", "ws.example.com", false},
    {"http://dev.example.com:8443", "ws.example.com", false},
    {"http://[::1]:3000", "ws.example.com", true},
    {"http://[::1]", "ws.example.com", false},
    /* what only looks like it */
    {"https://app.example.com.evil.net", "ws.example.com", false},
    {"https://evil-app.example.com", "ws.example.com", false},
    {"https://app.example.co", "ws.example.com", false},
    {"https://xapp.example.com", "ws.example.com", false},
    {"https://app.example.com.", "ws.example.com", false},
    {"https://app.example.com@evil.net", "ws.example.com", false},
    {"https://evil.net/https://app.example.com", "ws.example.com", false},
    {"https://evil.net#https://app.example.com", "ws.example.com", false},
    {"https://app.example.com/", "ws.example.com", false},
    {"https://app.example.com https://evil.net", "ws.example.com", false},
    {"https://evil.net,https://app.example.com", "ws.example.com", false},
    {"https://app.example.com, https://app.example.com", "ws.example.com", false},
    {" https://app.example.com", "ws.example.com", false},
    {"https://app.example.com\t", "ws.example.com", false},
    {"https://app\x2e"
     "example%2ecom",
     "ws.example.com", false},
    {"https://\xc3\xa4pp.example.com", "ws.example.com", false},
    {"https://xn--pp-xia.example.com", "ws.example.com", false},
    /* wildcards: below, not itself */
    {"https://a.wild.example", "ws.example.com", true},
    {"https://a.b.wild.example", "ws.example.com", true},
    {"https://A.WILD.example", "ws.example.com", true},
    {"https://wild.example", "ws.example.com", false},
    {"https://evilwild.example", "ws.example.com", false},
    {"https://.wild.example", "ws.example.com", false},
    {"https://*.wild.example", "ws.example.com", false},
    {"http://a.wild.example", "ws.example.com", false},
    {"https://a.wild.example:444", "ws.example.com", false},
    {"http://a.any.example", "ws.example.com", true},
    {"https://a.any.example", "ws.example.com", true},
    {"https://a.any.example:8080", "ws.example.com", false},
    {"ftp://a.any.example", "ws.example.com", false},
    {"http://bare.example", "ws.example.com", true},
    {"https://bare.example:443", "ws.example.com", true},
    {"https://a.bare.example", "ws.example.com", false},
    /* the same origin */
    {"http://localhost:8080", "localhost:8080", true},
    {"http://localhost", "localhost", true},
    {"https://chat.example.org", "chat.example.org", true},
    {"https://chat.example.org", "chat.example.org:443", true},
    {"http://chat.example.org:80", "CHAT.example.org", true},
    {"http://[::1]:8080", "[::1]:8080", true},
    {"http://127.0.0.1:8080", "localhost:8080", false},
    {"http://localhost:8081", "localhost:8080", false},
    {"http://localhost", "localhost:8080", false},
    {"http://evil.net:8080", "localhost:8080", false},
    {"http://localhost:8080", NULL, false},
    {"http://localhost:8080", "", false},
    {"http://localhost:8080", "localhost:8080, evil.net", false},
    {"http://*", "*", false},
    /* ill-formed */
    {"null", "localhost", false},
    {"", "localhost", false},
    {"localhost", "localhost", false},
    {"://localhost", "localhost", false},
    {"http://", "localhost", false},
    {"http:///", "localhost", false},
    {"http://localhost:", "localhost", false},
    {"http://localhost:0", "localhost", false},
    {"http://localhost:65536", "localhost", false},
    {"http://localhost:8o", "localhost", false},
    {"http://localhost:000080", "localhost", false},
    {"http://[::1", "[::1", false},
    {"http://::1", "::1", false},
    {"file://", "localhost", false},
    /* other schemes, only as listed */
    {"chrome-extension://abcdef", "localhost", false},
    {"capacitor://localhost", "ws.example.com", true},
    {"capacitor://localhost:1", "ws.example.com", false},
    {"ionic://localhost", "localhost", false},
    {"ionic://bare.example", "localhost", false},
};

static void test_origin_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        if (origin_is_allowed(&config, slice_of(table[i].origin), slice_of(table[i].host), false) !=
            table[i].is_allowed) {
            fail_msg("'%s' at '%s'", table[i].origin, table[i].host ? table[i].host : "-");
        }
    }
}

static void test_origin_missing(void **state)
{
    (void)state;
    struct config strict = config;
    strict.gateway.require_origin = true;
    assert_true(origin_is_allowed(&config, slice_of(NULL), slice_of("localhost"), false));
    assert_false(origin_is_allowed(&strict, slice_of(NULL), slice_of("localhost"), false));
    assert_true(
        origin_is_allowed(&strict, slice_of("http://localhost"), slice_of("localhost"), false));
}

static void test_origin_star_is_every_well_formed_one(void **state)
{
    (void)state;
    char star[] = "*";
    char *list[] = {star};
    const struct config open = {.gateway.origins = {list, 1}};
    assert_true(
        origin_is_allowed(&open, slice_of("https://evil.net"), slice_of("localhost"), false));
    assert_false(origin_is_allowed(&open, slice_of("null"), slice_of("localhost"), false));
    assert_false(origin_is_allowed(&open, slice_of("https://a b"), slice_of("localhost"), false));
}

static void test_origin_nothing_listed(void **state)
{
    (void)state;
    const struct config none = {0};
    assert_true(
        origin_is_allowed(&none, slice_of("http://localhost"), slice_of("localhost"), false));
    assert_false(
        origin_is_allowed(&none, slice_of("http://evil.net"), slice_of("localhost"), false));
}

static bool is_allowed_over_tls(const char *origin, const char *host)
{
    return origin_is_allowed(&config, slice_of(origin), slice_of(host), true);
}

static void test_origin_over_tls(void **state)
{
    (void)state;
    assert_true(is_allowed_over_tls("https://chat.example.org", "chat.example.org"));
    assert_true(is_allowed_over_tls("HTTPS://chat.example.org:8443", "chat.example.org:8443"));
    assert_false(is_allowed_over_tls("http://chat.example.org", "chat.example.org"));
    assert_false(is_allowed_over_tls("http://chat.example.org:8443", "chat.example.org:8443"));
    assert_true(is_allowed_over_tls("http://bare.example", "chat.example.org")); /* listed */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origin_table),
        cmocka_unit_test(test_origin_missing),
        cmocka_unit_test(test_origin_star_is_every_well_formed_one),
        cmocka_unit_test(test_origin_nothing_listed),
        cmocka_unit_test(test_origin_over_tls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
