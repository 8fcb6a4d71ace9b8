#include "common/config_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/toml.h"

#define EXAMPLE TESTS_DIR "/../config.example.toml"

static char folder[64];
static char path[128];

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_config.XXXXXX");
    snprintf(path, sizeof path, "%s/c.toml", mkdtemp(folder) ? folder : "");
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_file(const char *name, const char *text, size_t len)
{
    FILE *file = fopen(name, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, len, file), len);
    assert_int_equal(fclose(file), 0);
}

static struct config *load(const char *text)
{
    char *errors;
    write_file(path, text, strlen(text));
    struct config *c = config_load(path, &errors);
    if (!c) {
        fail_msg("%s", errors);
    }
    assert_null(errors);
    return c;
}

/* The complaints must be these lines, without the file's name before them. */
static void expect(const char *text, const char *expected)
{
    char *errors;
    char got[8192] = "";
    write_file(path, text, strlen(text));
    assert_null(config_load(path, &errors));
    assert_non_null(errors);
    for (char *line = strtok(errors, "\n"); line; line = strtok(NULL, "\n")) {
        assert_int_equal(strncmp(line, path, strlen(path)), 0);
        size_t n = strlen(got);
        snprintf(got + n, sizeof got - n, "%s\n", line + strlen(path));
    }
    free(errors);
    assert_string_equal(got, expected);
}

static void test_defaults(void **state)
{
    (void)state;
    char *errors;
    struct config *c = config_load(NULL, &errors);
    assert_non_null(c);
    assert_null(errors);
    assert_true(strlen(c->gateway.name) >= 1 && strlen(c->gateway.name) <= 64);
    assert_string_equal(c->gateway.bind, "127.0.0.1");
    assert_int_equal(c->gateway.port, 8080);
    assert_string_equal(c->gateway.path, "/ws");
    assert_int_equal(c->gateway.threads, 1);
    assert_false(c->gateway.anonymous);
    assert_int_equal(c->gateway.origins.n, 0);
    assert_int_equal(c->gateway.ws_frame, CONFIG_FRAME_AUTO);
    assert_int_equal(c->gateway.drain_ms, 5000);
    assert_string_equal(c->gateway.log_level, "info");
    assert_int_equal(c->limits.header_block_http_bytes, 16384);
    assert_int_equal(c->limits.handshake_ms, 5000);
    assert_int_equal(c->limits.connect_ms, 10000);
    assert_int_equal(c->limits.half_frame_ms, 10000);
    assert_int_equal(c->limits.frame_before_connect_bytes, 16384);
    assert_int_equal(c->limits.headers, 64);
    assert_int_equal(c->limits.header_name_bytes, 128);
    assert_int_equal(c->limits.header_value_bytes, 8192);
    assert_int_equal(c->limits.header_block_bytes, 32768);
    assert_int_equal(c->limits.body_bytes, 1048576);
    assert_int_equal(c->limits.fragments, 1024);
    assert_int_equal(c->limits.subscriptions, 256);
    assert_int_equal(c->limits.unconfirmed, 1000);
    assert_int_equal(c->limits.unconfirmed_bytes, 4194304);
    assert_int_equal(c->limits.parked_bytes, 1048576);
    assert_int_equal(c->limits.out_queue_bytes, 1048576);
    assert_int_equal(c->limits.write_stall_ms, 10000);
    assert_int_equal(c->limits.receipt_timeout_ms, 30000);
    assert_int_equal(c->limits.close_linger_ms, 3000);
    assert_int_equal(c->limits.connections_per_address, 0);
    assert_int_equal(c->limits.connections, 0);
    assert_int_equal(c->heartbeat.send_ms, 10000);
    assert_int_equal(c->heartbeat.receive_ms, 10000);
    assert_int_equal(c->broker.hosts.n, 1);
    assert_string_equal(c->broker.hosts.items[0], "127.0.0.1:5672");
    assert_string_equal(c->broker.vhost, "/");
    assert_string_equal(c->broker.user, "guest");
    assert_string_equal(c->broker.password, "guest");
    assert_int_equal(c->broker.heartbeat_s, 10);
    assert_int_equal(c->broker.grace_ms, 30000);
    assert_int_equal(c->broker.bind_max, 5000);
    assert_string_equal(c->store.queue, "stompgate.store");
    assert_string_equal(c->store.dead_queue, "stompgate.dead");
    assert_true(c->store.queue_max_bytes == 1073741824);
    assert_int_equal(c->store.metrics_port, -1);
    assert_string_equal(c->database.url, "");
    assert_false(c->history.enabled);
    assert_int_equal(c->n_users, 0);
    config_free(c);
    config_free(NULL);
}

static void test_built_in_routes(void **state)
{
    (void)state;
    char *errors;
    struct config *c = config_load(NULL, &errors);
    assert_non_null(c);
    assert_int_equal(c->n_routes, 5);
    const struct config_route *r = c->routes;
    assert_string_equal(r[0].prefix, "/topic/");
    assert_string_equal(r[0].exchange, "amq.topic");
    assert_int_equal(r[0].type, CONFIG_TOPIC);
    assert_false(r[0].declare);
    assert_string_equal(r[1].prefix, "/fanout/");
    assert_string_equal(r[1].exchange, "");
    assert_int_equal(r[1].type, CONFIG_FANOUT);
    assert_true(r[1].declare);
    for (int i = 0; i < 2; i++) {
        assert_true(r[i].durable);
        assert_false(r[i].store);
        assert_int_equal(r[i].on_gap, CONFIG_GAP_MARK);
        assert_int_equal(r[i].on_slow, CONFIG_SLOW_CLOSE);
        assert_int_equal(r[i].send.n, 1);
        assert_string_equal(r[i].send.items[0], "*");
        assert_int_equal(r[i].subscribe.n, 1);
        assert_string_equal(r[i].subscribe.items[0], "*");
    }
    /* What reaches anything of the broker is closed. */
    static const struct {
        const char *prefix;
        enum config_exchange_type type;
        bool declare;
    } closed[] = {
        {"/exchange/", CONFIG_ANY, false},
        {"/queue/", CONFIG_QUEUE, true},
        {"/amq/queue/", CONFIG_QUEUE, false},
    };
    for (size_t i = 0; i < 3; i++) {
        const struct config_route *route = &r[2 + i];
        assert_string_equal(route->prefix, closed[i].prefix);
        assert_string_equal(route->exchange, "");
        assert_int_equal(route->type, closed[i].type);
        assert_int_equal(route->declare, closed[i].declare);
        assert_true(route->durable);
        assert_int_equal(route->send.n, 0);
        assert_int_equal(route->subscribe.n, 0);
        assert_int_equal(route->queues.n, 0);
    }
    config_free(c);
}

/* Every default of the table is one that the file could hold. */
static void test_defaults_are_in_range(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        assert_ptr_equal(config_key_find(k->section, k->name), k);
        bool is_given = strcmp(k->section, "user") == 0 || strcmp(k->name, "prefix") == 0;
        if (k->type == CONFIG_TYPE_INT || k->type == CONFIG_TYPE_INT64) {
            assert_true(k->number >= k->min && k->number <= k->max);
            assert_true(k->type == CONFIG_TYPE_INT64 || k->max <= INT32_MAX);
        } else if (k->type == CONFIG_TYPE_STRINGS) {
            assert_true((*k->text ? 1 : 0) >= k->min);
        } else if (k->text && !k->words && !is_given) {
            assert_true((int64_t)strlen(k->text) >= k->min && (int64_t)strlen(k->text) <= k->max);
        }
    }
}

static char *slurp(const char *name)
{
    FILE *file = fopen(name, "r");
    assert_non_null(file);
    char *text = calloc(1, 1 << 17);
    assert_non_null(text);
    size_t n = fread(text, 1, (1 << 17) - 1, file);
    assert_true(n > 0 && n < (1 << 17) - 1);
    fclose(file);
    return text;
}

static void expect_in_example(const json_t *doc, const struct config_key *k)
{
    const json_t *table = json_object_get(doc, k->section);
    if (json_is_array(table)) {
        table = json_array_get(table, 0); /* the route /topic/ */
    }
    const json_t *value = json_object_get(table, k->name);
    if (!value) {
        fail_msg("%s.%s is not in the example", k->section, k->name);
    }
    char expected[256];
    config_key_default(k, expected, sizeof expected);
    if (strcmp(k->section, "route") == 0 && strcmp(k->name, "prefix") == 0) {
        snprintf(expected, sizeof expected, "\"/topic/\"");
    } else if (strcmp(k->section, "route") == 0 && strcmp(k->name, "exchange") == 0) {
        snprintf(expected, sizeof expected, "\"amq.topic\"");
    }
    char *text = json_dumps(value, JSON_ENCODE_ANY);
    if (strcmp(text, expected) != 0) {
        fail_msg("%s.%s is %s in the example, and %s by default", k->section, k->name, text,
                 expected);
    }
    free(text);
}

static void test_example_has_every_key_and_default(void **state)
{
    (void)state;
    char error[512];
    struct toml_doc *doc = toml_load(EXAMPLE, error, sizeof error);
    if (!doc) {
        fail_msg("%s", error);
    }
    char *text = slurp(EXAMPLE);
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        if (strcmp(k->section, "user") == 0) {
            char line[64]; /* there are no users by default, so theirs are comments */
            snprintf(line, sizeof line, "\n# %s = ", k->name);
            assert_non_null(strstr(text, line));
        } else {
            expect_in_example(toml_json(doc), k);
        }
    }
    free(text);
    toml_free(doc);
}

static void assert_same_strings(const struct config_strings *a, const struct config_strings *b)
{
    assert_int_equal(a->n, b->n);
    for (size_t i = 0; i < a->n; i++) {
        assert_string_equal(a->items[i], b->items[i]);
    }
}

static void assert_same(const void *a, const void *b, const struct config_key *k)
{
    const char *x = (const char *)a + k->offset;
    const char *y = (const char *)b + k->offset;
    switch (k->type) {
    case CONFIG_TYPE_BOOL:
        assert_int_equal(*(const bool *)x, *(const bool *)y);
        break;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_ENUM:
        assert_int_equal(*(const int *)x, *(const int *)y);
        break;
    case CONFIG_TYPE_INT64:
        assert_true(*(const int64_t *)x == *(const int64_t *)y);
        break;
    case CONFIG_TYPE_WORD:
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_PATH:
    case CONFIG_TYPE_SECRET:
    case CONFIG_TYPE_FILE:
        assert_string_equal(*(char *const *)x, *(char *const *)y);
        break;
    case CONFIG_TYPE_STRINGS:
        assert_same_strings((const struct config_strings *)x, (const struct config_strings *)y);
        break;
    }
}

static void test_example_does_the_same_as_no_file(void **state)
{
    (void)state;
    char *errors;
    struct config *none = config_load(NULL, &errors);
    struct config *example = config_load(EXAMPLE, &errors);
    assert_non_null(none);
    if (!example) {
        fail_msg("%s", errors);
    }
    assert_int_equal(example->n_routes, none->n_routes);
    assert_int_equal(example->n_users, 0);
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        if (strcmp(k->section, "route") == 0) {
            for (size_t j = 0; j < none->n_routes; j++) {
                assert_same(&none->routes[j], &example->routes[j], k);
            }
        } else if (strcmp(k->section, "user") != 0) {
            assert_same(none, example, k);
        }
    }
    config_free(none);
    config_free(example);
}

static void test_values_are_taken(void **state)
{
    (void)state;
    struct config *c =
        load("[gateway]\n"
             "name = 'chat-1'\nport = 0\nanonymous = true\nws_frame = 'binary'\n"
             "bind = '::1'\nlog_level = 'debug'\nfiles = 'www'\n"
             "origins = ['https://a.example', 'https://*.b.example:8443', '*', 'c:80']\n"
             "[limits]\nbody_bytes = 67_108_864\nheader_name_bytes = 255\n"
             "[broker]\nhosts = ['a:1', '[::1]:5672']\npassword = 's e c'\n"
             "[store]\nqueue_max_bytes = 1099511627776\nmetrics_port = 0\n"
             "[database]\nurl = 'host=/run'\n"
             "[history]\nenabled = true\n");
    char files[128];
    snprintf(files, sizeof files, "%s/www", folder);
    assert_string_equal(c->gateway.name, "chat-1");
    assert_int_equal(c->gateway.port, 0);
    assert_true(c->gateway.anonymous);
    assert_int_equal(c->gateway.ws_frame, CONFIG_FRAME_BINARY);
    assert_string_equal(c->gateway.bind, "::1");
    assert_string_equal(c->gateway.log_level, "debug");
    assert_string_equal(c->gateway.files, files);
    assert_int_equal(c->gateway.origins.n, 4);
    assert_string_equal(c->gateway.origins.items[1], "https://*.b.example:8443");
    assert_int_equal(c->limits.body_bytes, 67108864);
    assert_int_equal(c->limits.header_name_bytes, 255);
    assert_int_equal(c->broker.hosts.n, 2);
    assert_string_equal(c->broker.hosts.items[1], "[::1]:5672");
    assert_string_equal(c->broker.password, "s e c");
    assert_true(c->store.queue_max_bytes == 1099511627776);
    assert_int_equal(c->store.metrics_port, 0);
    assert_true(c->history.enabled);
    assert_int_equal(c->limits.headers, 64);
    config_free(c);
}

static void test_unknown_keys_suggest_the_nearest(void **state)
{
    (void)state;
    expect("[gateway]\nthread = 2\n",
           ":2:1: gateway.thread: unknown key; did you mean gateway.threads?\n");
    expect("[limits]\n  max_rows = 2\n",
           ":2:3: limits.max_rows: unknown key; did you mean history.max_rows?\n");
    expect("[broker]\nusre = 'x'\n", ":2:1: broker.usre: unknown key; did you mean broker.user?\n");
    expect("[[user]]\nlogin = 'a'\npasword = 'x'\npassword = 'x'\n",
           ":3:1: user[0].pasword: unknown key; did you mean user.password?\n");
    expect("port = 1\n", ":1:1: port: unknown key; did you mean gateway.port?\n");
    expect("[gatewy]\nport = 1\n", ":1:2: gatewy: unknown section; did you mean [gateway]?\n");
    expect("[[routes]]\n", ":1:3: routes: unknown section; did you mean [[route]]?\n");
}

static void test_wrong_types(void **state)
{
    (void)state;
    expect("[gateway]\nport = '80'\n", ":2:8: gateway.port: must be an integer, is a string\n");
    expect("[gateway]\nport = 80.0\n",
           ":2:8: gateway.port: must be an integer, is a number with a fraction\n");
    expect("[gateway]\nname = 1\n", ":2:8: gateway.name: must be a string, is an integer\n");
    expect("[gateway]\nanonymous = 1\n",
           ":2:13: gateway.anonymous: must be true or false, is an integer\n");
    expect("[gateway]\norigins = '*'\n",
           ":2:11: gateway.origins: must be an array of strings, is a string\n");
    expect("[gateway]\norigins = ['*', true]\n",
           ":2:17: gateway.origins[1]: must be a string, is a boolean\n");
    expect("[gateway.port]\nx = 1\n", ":1:1: gateway.port: must be an integer, is a table\n");
    expect("gateway = 1\n", ":1:1: gateway: is a table: write [gateway]\n");
    expect("[[gateway]]\n", ":1:3: gateway: is a table: write [gateway]\n");
    expect("[route]\n", ":1:2: route: is a list of tables: write [[route]]\n");
    expect("user = [1]\n", ":1:1: user: is a list of tables: write [[user]]\n");
}

static void test_out_of_range(void **state)
{
    (void)state;
    expect("[gateway]\nport = 65536\n", ":2:8: gateway.port: must be 0 to 65535, is 65536\n");
    expect("[gateway]\nthreads = 0\n", ":2:11: gateway.threads: must be 1 to 64 threads, is 0\n");
    expect("[limits]\nbody_bytes = 67108865\n",
           ":2:14: limits.body_bytes: must be 1024 to 67108864 bytes, is 67108865\n");
    expect("[limits]\nheader_name_bytes = 256\n",
           ":2:21: limits.header_name_bytes: must be 16 to 255 bytes, is 256\n");
    expect("[limits]\nheaders = -9223372036854775807\n",
           ":2:11: limits.headers: must be 8 to 64 headers, is -9223372036854775807\n");
    expect("[broker]\nhosts = []\n", ":2:9: broker.hosts: must have 1 to 64 items, has 0\n");
    expect("[broker]\nuser = ''\n", ":2:8: broker.user: must not be empty\n");
    expect("[gateway]\nname = '"
           "0123456789012345678901234567890123456789012345678901234567890123x'\n",
           ":2:8: gateway.name: must be at most 64 bytes, is 65\n");
}

static void test_bad_words_and_texts(void **state)
{
    (void)state;
    expect("[gateway]\nws_frame = 'bin'\n",
           ":2:12: gateway.ws_frame: must be one of \"auto\", \"text\", \"binary\", is \"bin\"\n");
    expect("[gateway]\nlog_level = 'INFO'\n",
           ":2:13: gateway.log_level: must be one of \"error\", \"warn\", \"info\", \"debug\", is "
           "\"INFO\"\n");
    expect("[gateway]\nname = 'a.b'\n",
           ":2:8: gateway.name: must be letters, digits, _ and - only\n");
    expect("[gateway]\nbind = 'localhost'\n",
           ":2:8: gateway.bind: must be an IPv4 or IPv6 address, is \"localhost\"\n");
    expect("[tcp]\nbind = 'localhost'\n",
           ":2:8: tcp.bind: must be an IPv4 or IPv6 address, is \"localhost\"\n");
    expect("[tcp]\nenabled = true\nport = 8080\n",
           ":3:8: tcp.port: must not be gateway.port (8080)\n");
    expect("[tls]\nenabled = true\ncertificate = 'c'\nkey = 'k'\nport = 61613\n"
           "[tcp]\nenabled = true\n",
           ":5:8: tls.port: must not be tcp.port (61613)\n");
    expect("[tls]\nenabled = true\nport = 8080\ncertificate = 'c'\n",
           ":1:1: tls.key: is needed: a PEM file\n"
           ":3:8: tls.port: must not be gateway.port (8080)\n");
    expect("[gateway]\npath = 'ws'\n",
           ":2:8: gateway.path: must begin with a slash and be without space, ?, # and %\n");
    expect("[gateway]\norigins = ['null', 'https://a/']\n",
           ":2:12: gateway.origins[0]: must be \"*\" or like \"https://example.org\", is "
           "\"null\"\n"
           ":2:20: gateway.origins[1]: must be \"*\" or like \"https://example.org\", is "
           "\"https://a/\"\n");
    expect("[broker]\nvhost = \"a\\nb\"\n", ":2:9: broker.vhost: has a control character\n");
    expect("[broker]\nvhost = \"a\\u0000b\"\n", ":2:9: broker.vhost: has a control character\n");
}

static void test_bad_hosts(void **state)
{
    (void)state;
    static const char *const bad[] = {"a",      "a:",      ":1",    "a:0",   "a:65536",  "a:1x",
                                      "::1:80", "[]:5672", "[::1]", "a b:1", "a:123456", "u@h:1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[128];
        char expected[256];
        snprintf(text, sizeof text, "[broker]\nhosts = ['x:1', '%s']\n", bad[i]);
        snprintf(expected, sizeof expected,
                 ":2:17: broker.hosts[1]: must be \"host:port\", is \"%s\"\n", bad[i]);
        expect(text, expected);
    }
}

static void test_values_that_do_not_go_together(void **state)
{
    (void)state;
    expect("[broker]\nreconnect_min_ms = 9000\n",
           ":2:20: broker.reconnect_min_ms: must be at most broker.reconnect_max_ms (5000)\n");
    expect("[broker]\nreconnect_max_ms = 100\n",
           ":1:1: broker.reconnect_min_ms: must be at most broker.reconnect_max_ms (100)\n");
    expect("[limits]\nheader_value_bytes = 65536\n",
           ":2:22: limits.header_value_bytes: must be at most limits.header_block_bytes (32768)\n");
    expect("[store]\nqueue = 'q'\ndead_queue = 'q'\n",
           ":3:14: store.dead_queue: must not be store.queue itself\n");
    expect("[history]\nenabled = true\n", ":2:11: history.enabled: needs database.url\n");
}

static void test_all_complaints_in_order(void **state)
{
    (void)state;
    expect("[store]\nbatch_rows = 0\n[gateway]\nport = -1\nprt = 1\n[broker]\nhosts = ['a']\n"
           "[[user]]\n[[route]]\n",
           ":2:14: store.batch_rows: must be 1 to 10000 rows, is 0\n"
           ":4:8: gateway.port: must be 0 to 65535, is -1\n"
           ":5:1: gateway.prt: unknown key; did you mean gateway.port?\n"
           ":7:10: broker.hosts[0]: must be \"host:port\", is \"a\"\n"
           ":8:1: user[0]: login must be given\n"
           ":8:1: user[0]: one of password and password_hash must be given, none is\n"
           ":9:1: route[0]: prefix must be given\n");
}

static void test_syntax_error(void **state)
{
    (void)state;
    char *errors;
    char expected[160];
    write_file(path, "[gateway\n", 9);
    assert_null(config_load(path, &errors));
    snprintf(expected, sizeof expected, "%s:1:", path);
    assert_int_equal(strncmp(errors, expected, strlen(expected)), 0);
    free(errors);
    assert_null(config_load("/nonexistent/c.toml", &errors));
    assert_string_equal(errors, "/nonexistent/c.toml: No such file or directory\n");
    free(errors);
}

static void test_users(void **state)
{
    (void)state;
    struct config *c = load("[[user]]\nlogin = 'ann'\npassword = 'x'\n"
                            "[[user]]\nlogin = 'bob'\npassword_hash = '$6$a$b'\n");
    assert_int_equal(c->n_users, 2);
    assert_string_equal(c->users[0].login, "ann");
    assert_string_equal(c->users[0].password, "x");
    assert_null(c->users[0].password_hash);
    assert_string_equal(c->users[1].password_hash, "$6$a$b");
    assert_null(c->users[1].password);
    config_free(c);

    expect("[[user]]\nlogin = 'a'\npassword = 'x'\n[[user]]\nlogin = 'a'\npassword = 'y'\n",
           ":5:9: user[1].login: there are two users \"a\"\n");
    expect("[[user]]\nlogin = 'a'\npassword = 'x'\npassword_hash = '$6$a$b'\n",
           ":1:1: user[0]: one of password and password_hash must be given, not both\n");
    expect("[[user]]\nlogin = 'a'\n",
           ":1:1: user[0]: one of password and password_hash must be given, none is\n");
    expect("[[user]]\nlogin = 'anonymous'\npassword = 'x'\n",
           ":2:9: user[0].login: \"anonymous\" has a meaning of its own in routes\n");
    expect("[[user]]\nlogin = ''\npassword = ''\n", ":2:9: user[0].login: must not be empty\n"
                                                    ":3:12: user[0].password: must not be empty\n");
    expect("[[user]]\nlogin = 'a'\npassword_hash = 'plain'\n",
           ":3:17: user[0].password_hash: must begin with \"$\", like \"$y$\" or \"$6$\"\n");
}

static void test_route_changes_built_in_key_by_key(void **state)
{
    (void)state;
    struct config *c = load("[database]\nurl = 'x'\n[history]\nenabled = true\n"
                            "[[route]]\nprefix = '/topic/'\nstore = true\non_gap = 'fill'\n"
                            "[[route]]\nprefix = '/exchange/'\nsend = ['ann']\n"
                            "[[route]]\nprefix = '/fanout/'\non_slow = 'drop'\nsubscribe = []\n");
    assert_int_equal(c->n_routes, 5);
    assert_string_equal(c->routes[0].exchange, "amq.topic");
    assert_true(c->routes[0].store);
    assert_int_equal(c->routes[0].on_gap, CONFIG_GAP_FILL);
    assert_int_equal(c->routes[0].send.n, 1);
    assert_true(c->routes[1].declare);
    assert_int_equal(c->routes[1].on_slow, CONFIG_SLOW_DROP);
    assert_int_equal(c->routes[1].send.n, 1);
    assert_int_equal(c->routes[1].subscribe.n, 0);
    assert_int_equal(c->routes[2].type, CONFIG_ANY);
    assert_int_equal(c->routes[2].send.n, 1);
    assert_string_equal(c->routes[2].send.items[0], "ann");
    assert_int_equal(c->routes[2].subscribe.n, 0);
    config_free(c);
}

static void test_route_is_added(void **state)
{
    (void)state;
    struct config *c =
        load("[[route]]\nprefix = '/chat/'\nexchange = 'chat'\ntype = 'fanout'\n"
             "[[route]]\nprefix = '/x/y/'\ntype = 'any'\nsubscribe = ['ann', 'bob']\n"
             "[[route]]\nprefix = '/jobs/'\ntype = 'queue'\nsend = ['ann']\n");
    assert_int_equal(c->n_routes, 8);
    assert_string_equal(c->routes[5].prefix, "/chat/");
    assert_string_equal(c->routes[5].exchange, "chat");
    assert_int_equal(c->routes[5].type, CONFIG_FANOUT);
    assert_false(c->routes[5].declare);
    assert_true(c->routes[5].durable);
    assert_int_equal(c->routes[5].send.n, 1);
    /* What reaches any exchange is closed until somebody is named. */
    assert_int_equal(c->routes[6].send.n, 0);
    assert_int_equal(c->routes[6].subscribe.n, 2);
    assert_int_equal(c->routes[7].type, CONFIG_QUEUE);
    assert_false(c->routes[7].declare);
    assert_int_equal(c->routes[7].send.n, 1);
    assert_int_equal(c->routes[7].subscribe.n, 0);
    assert_int_equal(c->routes[7].queues.n, 0);
    config_free(c);
}

static void test_bad_routes(void **state)
{
    (void)state;
    static const char *const bad_prefixes[] = {"chat/", "/chat", "chat"};
    for (size_t i = 0; i < sizeof bad_prefixes / sizeof *bad_prefixes; i++) {
        char text[64];
        snprintf(text, sizeof text, "[[route]]\nprefix = '%s'\n", bad_prefixes[i]);
        expect(text, ":2:10: route[0].prefix: must begin and end with a slash, like \"/topic/\"\n");
    }
    expect("[[route]]\nprefix = ''\n", ":2:10: route[0].prefix: must not be empty\n");
    expect("[[route]]\nprefix = '/a//b/'\n",
           ":2:10: route[0].prefix: must not hold a space, *, # or an empty part\n");
    expect("[[route]]\nprefix = '/a/'\n[[route]]\nprefix = '/a/'\n",
           ":4:10: route[1].prefix: another route has the same prefix\n");
    expect("[[route]]\nprefix = '/a/'\nexchange = 'amq.topic'\n",
           ":3:12: route[0].exchange: another route has the same exchange, and an exchange belongs "
           "to one "
           "route\n");
    expect("[[route]]\nprefix = '/a/'\ntype = 'any'\ndeclare = true\nstore = true\n",
           ":4:11: route[0].declare: an exchange of type \"any\" cannot be declared; say topic or "
           "fanout\n"
           ":5:9: route[0].store: a route of type \"any\" cannot be stored; say topic or fanout\n");
    expect("[[route]]\nprefix = '/exchange/'\nstore = true\n",
           ":3:9: route[0].store: a route of type \"any\" cannot be stored; say topic or fanout\n");
    expect("[database]\nurl = 'x'\n[history]\nenabled = true\n"
           "[[route]]\nprefix = '/topic/'\non_gap = 'fill'\n",
           ":7:10: route[0].on_gap: \"fill\" needs store = true\n");
    expect("[history]\n[[route]]\nprefix = '/topic/'\non_gap = 'fill'\nstore = true\n",
           ":1:1: history.enabled: must be true: the route /topic/ has on_gap = \"fill\"\n");
    expect("[[route]]\nprefix = 3\n", ":2:10: route[0].prefix: must be a string, is an integer\n");
}

static void test_bad_queue_routes(void **state)
{
    (void)state;
    expect(
        "[[route]]\nprefix = '/jobs/'\ntype = 'queue'\nexchange = 'x'\nstore = true\n"
        "on_slow = 'drop'\non_gap = 'fill'\n[history]\nenabled = true\n[database]\nurl = 'x'\n",
        ":4:12: route[0].exchange: must be \"\" with type \"queue\": the rest of the destination "
        "names the queue\n"
        ":5:9: route[0].store: a route of type \"queue\" cannot be stored; say topic or fanout\n"
        ":6:11: route[0].on_slow: must be \"close\" with type \"queue\": what a client does not "
        "read stays in its queue\n"
        ":7:10: route[0].on_gap: must be \"mark\" with type \"queue\"\n");
    expect("[[route]]\nprefix = '/queue/'\non_gap = 'close'\n",
           ":3:10: route[0].on_gap: must be \"mark\" with type \"queue\"\n");
    static const char *const replies[] = {"/reply-queue/", "/temp-queue/", "/reply-queue/a/"};
    for (size_t i = 0; i < sizeof replies / sizeof *replies; i++) {
        char text[64];
        snprintf(text, sizeof text, "[[route]]\nprefix = '%s'\n", replies[i]);
        expect(text, ":2:10: route[0].prefix: /reply-queue/ and /temp-queue/ are no routes: who is "
                     "asked may answer\n");
    }
}

/* Spring's users know /queue/ as a broadcast: then it can be one. */
static void test_queue_route_of_another_type(void **state)
{
    (void)state;
    struct config *c = load("[[route]]\nprefix = '/queue/'\ntype = 'topic'\nexchange = 'q'\n"
                            "send = ['*']\nsubscribe = ['*']\nstore = true\n");
    assert_int_equal(c->n_routes, 5);
    assert_int_equal(c->routes[3].type, CONFIG_TOPIC);
    assert_string_equal(c->routes[3].exchange, "q");
    config_free(c);
}

static void expect_secret(const char *content, size_t len, const char *expected)
{
    char name[128];
    char *errors;
    snprintf(name, sizeof name, "%s/secret", folder);
    write_file(name, content, len);
    static const char text[] = "[broker]\npassword_file = 'secret'\n";
    write_file(path, text, sizeof text - 1);
    struct config *c = config_load(path, &errors);
    unlink(name);
    if (expected) {
        assert_non_null(c);
        assert_string_equal(c->broker.password, expected);
    } else {
        assert_null(c);
        assert_non_null(strstr(errors, ":2:17: broker.password_file: "));
        assert_null(strstr(errors, "hunter2"));
    }
    free(errors);
    config_free(c);
}

static void test_password_file(void **state)
{
    (void)state;
    static char big[5000];
    memset(big, 'x', sizeof big);
    expect_secret("hunter2\n", 8, "hunter2");
    expect_secret("hunter2", 7, "hunter2");
    expect_secret("hunter2\r\n", 9, "hunter2");
    expect_secret(" hunter2 \n", 10, " hunter2 ");
    expect_secret("", 0, NULL);
    expect_secret("\n", 1, NULL);
    expect_secret("hunter2\nx\n", 10, NULL);
    expect_secret("hunter2\0x\n", 10, NULL);
    expect_secret(big, sizeof big, NULL);

    char *errors;
    static const char missing[] = "[broker]\npassword_file = '/nonexistent/p'\n";
    write_file(path, missing, sizeof missing - 1);
    assert_null(config_load(path, &errors));
    assert_non_null(strstr(errors, "/nonexistent/p: No such file or directory"));
    free(errors);
    static const char both[] = "[broker]\npassword = 'hunter2'\npassword_file = '/dev/null'\n";
    write_file(path, both, sizeof both - 1);
    assert_null(config_load(path, &errors));
    assert_non_null(strstr(errors, "3:1: broker.password_file: broker.password is given as well"));
    assert_null(strstr(errors, "hunter2"));
    free(errors);
}

/* Changing one byte of the example at a time gives a configuration or complaints, and nothing else.
 */
/* toml++ 3.3 asserts that this cannot be. */
static void test_a_table_whose_name_begins_with_a_control_byte(void **state)
{
    (void)state;
    static const char text[] = "[\001gateway]\nport = 1\n";
    char *errors;
    write_file(path, text, sizeof text - 1);
    assert_null(config_load(path, &errors));
    assert_non_null(strstr(errors, "is damaged"));
    free(errors);
}

static void test_damaged_files(void **state)
{
    (void)state;
    char *text = slurp(EXAMPLE);
    size_t len = strlen(text);
    int n_refused = 0;
    srand(17);
    for (int i = 0; i < 300; i++) {
        size_t at = (size_t)rand() % len;
        char was = text[at];
        text[at] = (char)rand();
        write_file(path, text, len);
        char *errors;
        struct config *c = config_load(path, &errors);
        assert_true(!c == !!errors);
        n_refused += !c;
        free(errors);
        config_free(c);
        text[at] = was;
    }
    assert_true(n_refused > 0 && n_refused < 300);
    free(text);
}

static void test_print_keys(void **state)
{
    (void)state;
    fflush(stdout);
    int saved = dup(STDOUT_FILENO);
    assert_non_null(freopen(path, "w", stdout));
    config_print_keys();
    fflush(stdout);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    char *text = slurp(path);
    size_t lines = 0;
    for (const char *p = text; *p; p++) {
        lines += *p == '\n';
    }
    assert_int_equal(lines, config_n_keys + 1);
    for (size_t i = 0; i < config_n_keys; i++) {
        char line[128];
        snprintf(line, sizeof line, "\n%s.%s ", config_keys[i].section, config_keys[i].name);
        assert_non_null(strstr(text, line));
    }
    assert_non_null(strstr(text, "65535"));
    assert_non_null(strstr(text, "auto|text|binary"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_built_in_routes),
        cmocka_unit_test(test_defaults_are_in_range),
        cmocka_unit_test(test_example_has_every_key_and_default),
        cmocka_unit_test(test_example_does_the_same_as_no_file),
        cmocka_unit_test(test_values_are_taken),
        cmocka_unit_test(test_unknown_keys_suggest_the_nearest),
        cmocka_unit_test(test_wrong_types),
        cmocka_unit_test(test_out_of_range),
        cmocka_unit_test(test_bad_words_and_texts),
        cmocka_unit_test(test_bad_hosts),
        cmocka_unit_test(test_values_that_do_not_go_together),
        cmocka_unit_test(test_all_complaints_in_order),
        cmocka_unit_test(test_syntax_error),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_route_changes_built_in_key_by_key),
        cmocka_unit_test(test_route_is_added),
        cmocka_unit_test(test_bad_routes),
        cmocka_unit_test(test_bad_queue_routes),
        cmocka_unit_test(test_queue_route_of_another_type),
        cmocka_unit_test(test_password_file),
        cmocka_unit_test(test_a_table_whose_name_begins_with_a_control_byte),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_print_keys),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
