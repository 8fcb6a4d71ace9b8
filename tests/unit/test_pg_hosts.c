#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <uv.h>

#include "persist/pg_hosts.h"

struct answer {
    int n;
    char hosts[256];
    char addresses[256];
    char ports[256];
    bool has_error;
};

static void on_hosts(void *owner, const char *hosts, const char *addresses, const char *ports,
                     const char *error)
{
    struct answer *a = owner;
    a->n++;
    a->has_error = error != NULL;
    if (error == NULL) {
        snprintf(a->hosts, sizeof(a->hosts), "%s", hosts);
        snprintf(a->addresses, sizeof(a->addresses), "%s", addresses);
        snprintf(a->ports, sizeof(a->ports), "%s", ports);
    }
}

static struct answer resolve(const char *hosts, const char *ports)
{
    struct answer a = {.n = 0};
    uv_loop_t loop;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_non_null(pg_hosts_resolve(&loop, hosts, ports, on_hosts, &a));
    assert_int_equal(a.n, 0); /* never inside the call */
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    assert_int_equal(a.n, 1);
    return a;
}

static void assert_resolved(const char *hosts, const char *ports, const char *expected_hosts,
                            const char *expected_addresses, const char *expected_ports)
{
    struct answer a = resolve(hosts, ports);
    assert_false(a.has_error);
    assert_string_equal(a.hosts, expected_hosts);
    assert_string_equal(a.addresses, expected_addresses);
    assert_string_equal(a.ports, expected_ports);
}

static void test_pg_hosts_addresses_stay(void **state)
{
    (void)state;
    assert_resolved("127.0.0.1", "7", "127.0.0.1", "127.0.0.1", "7");
    assert_resolved("127.0.0.1", "", "127.0.0.1", "127.0.0.1", "5432");
    assert_resolved("::1", "7", "::1", "::1", "7");
}

static void test_pg_hosts_lists_keep_their_order(void **state)
{
    (void)state;
    assert_resolved("127.0.0.2,127.0.0.1", "7", "127.0.0.2,127.0.0.1", "127.0.0.2,127.0.0.1",
                    "7,7");
    assert_resolved("127.0.0.2,127.0.0.1", "7,8", "127.0.0.2,127.0.0.1", "127.0.0.2,127.0.0.1",
                    "7,8");
    assert_resolved("127.0.0.2,127.0.0.1", ",8", "127.0.0.2,127.0.0.1", "127.0.0.2,127.0.0.1",
                    "5432,8");
}

static void test_pg_hosts_sockets_have_no_address(void **state)
{
    (void)state;
    assert_resolved("/var/run", "7", "/var/run", "", "7");
    assert_resolved("@x,127.0.0.1", "7,8", "@x,127.0.0.1", ",127.0.0.1", "7,8");
}

static void test_pg_hosts_name_may_have_several_addresses(void **state)
{
    (void)state;
    struct answer a = resolve("localhost", "7");
    assert_false(a.has_error);
    assert_non_null(strstr(a.addresses, "127.0.0.1"));
    size_t commas[3] = {0, 0, 0};
    const char *lists[3] = {a.hosts, a.addresses, a.ports};
    for (size_t i = 0; i < 3; i++) {
        for (const char *p = lists[i]; *p != '\0'; p++) {
            commas[i] += *p == ',';
        }
    }
    assert_int_equal(commas[0], commas[1]);
    assert_int_equal(commas[0], commas[2]);
}

static void test_pg_hosts_unknown_name_fails_alone(void **state)
{
    (void)state;
    assert_true(resolve("no-such-host.invalid", "7").has_error);
    assert_resolved("no-such-host.invalid,127.0.0.1", "7,8", "127.0.0.1", "127.0.0.1", "8");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pg_hosts_addresses_stay),
        cmocka_unit_test(test_pg_hosts_lists_keep_their_order),
        cmocka_unit_test(test_pg_hosts_sockets_have_no_address),
        cmocka_unit_test(test_pg_hosts_name_may_have_several_addresses),
        cmocka_unit_test(test_pg_hosts_unknown_name_fails_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
