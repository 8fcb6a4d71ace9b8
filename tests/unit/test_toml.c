#include "common/toml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

static char path[64];
static char error[512];

static struct toml_doc *load(const char *text, size_t len)
{
    snprintf(path, sizeof path, "/tmp/test_toml.XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, len), (ssize_t)len);
    close(fd);
    error[0] = '\0';
    struct toml_doc *doc = toml_load(path, error, sizeof error);
    unlink(path);
    return doc;
}

static struct toml_doc *load_text(const char *text)
{
    return load(text, strlen(text));
}

static void expect_json(const char *text, const char *expected)
{
    struct toml_doc *doc = load_text(text);
    if (!doc) {
        fail_msg("%s", error);
    }
    char *json = json_dumps(toml_json(doc), JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(json, expected);
    free(json);
    toml_free(doc);
}

static void test_values(void **state)
{
    (void)state;
    expect_json("", "{}");
    expect_json("a = 1_000\nb = -1\nc = 0x10\n", "{\"a\":1000,\"b\":-1,\"c\":16}");
    expect_json("a = true\nb = 1.5\nc = 'x\\y'\n", "{\"a\":true,\"b\":1.5,\"c\":\"x\\\\y\"}");
    expect_json("a = [1, 'x', []]\n", "{\"a\":[1,\"x\",[]]}");
    expect_json("[a.b]\nc = {d = 1}\n", "{\"a\":{\"b\":{\"c\":{\"d\":1}}}}");
    expect_json("[[r]]\nx = 1\n[[r]]\n", "{\"r\":[{\"x\":1},{}]}");
    expect_json("a = 9223372036854775807\n", "{\"a\":9223372036854775807}");
}

static void test_what_json_does_not_know_becomes_text(void **state)
{
    (void)state;
    expect_json("a = 2026-11-21\nb = 07:32:00\n", "{\"a\":\"2026-11-21\",\"b\":\"07:32:00\"}");
    expect_json("a = inf\nb = nan\n", "{\"a\":\"inf\",\"b\":\"nan\"}");
}

static void expect_error(const char *text, size_t len, const char *place, const char *reason)
{
    struct toml_doc *doc = load(text, len);
    assert_null(doc);
    assert_int_equal(strncmp(error, path, strlen(path)), 0);
    if (strncmp(error + strlen(path), place, strlen(place)) != 0 || !strstr(error, reason)) {
        fail_msg("\"%s\" lacks \"%s\" or \"%s\"", error, place, reason);
    }
}

static void test_errors_have_a_place(void **state)
{
    (void)state;
    expect_error("a = 1\nb = \n", 10, ":2:", "");
    expect_error("a = 1\na = 2\n", 12, ":2:", "redefine");
    expect_error("x = [1,\n", 8, ":", "array");
    expect_error("a = 'b\n", 7, ":1:", "");
    expect_error("a = '\xff'\n", 8, ":1:", "utf-8");
    expect_error("a = 99999999999999999999\n", 25, ":1:", "");
    expect_error("\"a\\u0000b\" = 1\n", 15, ": ", "NUL");
}

static void test_deep_nesting_is_refused(void **state)
{
    (void)state;
    static char text[20004];
    memset(text, '[', sizeof text);
    memcpy(text, "a =", 3);
    struct toml_doc *doc = load(text, sizeof text);
    assert_null(doc);
    assert_non_null(strstr(error, ":1:"));
}

static void test_files_that_cannot_be_read(void **state)
{
    (void)state;
    assert_null(toml_load("/nonexistent/x.toml", error, sizeof error));
    assert_string_equal(error, "/nonexistent/x.toml: No such file or directory");
    assert_null(toml_load("/tmp", error, sizeof error));
    assert_string_equal(error, "/tmp: Is a directory");
    char tiny[8];
    assert_null(toml_load("/nonexistent/x.toml", tiny, sizeof tiny));
    assert_string_equal(tiny, "/nonexi");

    char *big = malloc(2 << 20);
    assert_non_null(big);
    memset(big, '\n', 2 << 20);
    assert_null(load(big, 2 << 20));
    assert_non_null(strstr(error, "larger"));
    free(big);
    toml_free(NULL);
}

static void expect_where(const struct toml_doc *doc, const char *key, unsigned line,
                         unsigned column, unsigned key_column)
{
    unsigned l = 0;
    unsigned c = 0;
    assert_int_equal(toml_where(doc, key, &l, &c), 0);
    assert_int_equal(l, line);
    assert_int_equal(c, column);
    if (key_column > 0) {
        assert_int_equal(toml_where_key(doc, key, &l, &c), 0);
        assert_int_equal(l, line);
        assert_int_equal(c, key_column);
    }
}

static void test_where(void **state)
{
    (void)state;
    struct toml_doc *doc = load_text("top = 1\n"
                                     "[broker]\n"
                                     "  hosts = ['a', 'b']\n"
                                     "\"a.b\" = 2\n"
                                     "[[route]]\n"
                                     "prefix = 1\n"
                                     "[[route]]\n"
                                     "  prefix = {x = 1}\n");
    assert_non_null(doc);
    expect_where(doc, "top", 1, 7, 1);
    expect_where(doc, "broker", 2, 1, 2);
    expect_where(doc, "broker.hosts", 3, 11, 3);
    expect_where(doc, "broker.hosts[1]", 3, 17, 0);
    expect_where(doc, "broker.a.b", 4, 9, 1);
    expect_where(doc, "route[0].prefix", 6, 10, 1);
    expect_where(doc, "route[1]", 7, 1, 0);
    expect_where(doc, "route[1].prefix.x", 8, 17, 13);

    static const char *const missing[] = {"nope",
                                          "top.x",
                                          "top[0]",
                                          "route[2]",
                                          "route[-1]",
                                          "route[",
                                          "route[0",
                                          "route[x]",
                                          "broker.host",
                                          "broker.hostss",
                                          "route[99999999999999999999]"};
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++) {
        unsigned l;
        unsigned c;
        int found = toml_where(doc, missing[i], &l, &c);
        if (found == 0) {
            fail_msg("found \"%s\"", missing[i]);
        }
    }
    toml_free(doc);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_what_json_does_not_know_becomes_text),
        cmocka_unit_test(test_errors_have_a_place),
        cmocka_unit_test(test_deep_nesting_is_refused),
        cmocka_unit_test(test_files_that_cannot_be_read),
        cmocka_unit_test(test_where),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
