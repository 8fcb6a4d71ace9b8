#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/session/properties.h"

static struct config_route routes[] = {
    {.prefix = (char *)"/topic/", .exchange = (char *)"amq.topic", .type = CONFIG_TOPIC},
    {.prefix = (char *)"/queue/", .exchange = (char *)"", .type = CONFIG_QUEUE, .declare = true},
};
static const struct config config = {
    .routes = routes,
    .n_routes = 2,
    .store = {.queue = (char *)"my.store", .dead_queue = (char *)"my.dead"},
};
static struct properties p;
static struct session_problem problem;

/* A SEND with these headers, name and value in turn, NULL at the end, behind a destination. */
static int from(int is_stored, ...)
{
    static struct stomp_frame frame;
    va_list args;
    memset(&frame, 0, sizeof(frame));
    memset(&problem, 0, sizeof(problem));
    memset(&p, 0x55, sizeof(p));
    frame.command = STOMP_SEND;
    frame.headers[frame.n_headers++] =
        (struct stomp_header){SLICE_LITERAL("destination"), SLICE_LITERAL("/topic/a")};
    va_start(args, is_stored);
    const char *name;
    while ((name = va_arg(args, const char *)) != NULL) {
        frame.headers[frame.n_headers++] =
            (struct stomp_header){slice_of(name), slice_of(va_arg(args, const char *))};
    }
    va_end(args);
    return properties_from_send(&config, &frame, slice_of("ann"), is_stored, &p, &problem);
}

#define FROM(...) from(false, __VA_ARGS__, NULL)

/* The custom header of that name; ptr NULL when there is none. */
static struct slice custom(const char *name)
{
    for (size_t i = 0; i < p.amqp.n_headers; i++) {
        if (slice_is(p.amqp.headers[i].name, name)) {
            return p.amqp.headers[i].value;
        }
    }
    return (struct slice){NULL, 0};
}

static void test_properties_of_nothing(void **state)
{
    (void)state;
    assert_int_equal(from(false, NULL), 0);
    assert_null(
        p.amqp.content_type.ptr); /* never invented: Spring's clients would try to decode by it */
    assert_null(p.amqp.reply_to.ptr);
    assert_null(p.amqp.user_id.ptr);
    assert_null(p.amqp.message_id.ptr);
    assert_false(p.amqp.has_priority || p.amqp.has_delivery_mode || p.amqp.has_timestamp);
    assert_int_equal(p.amqp.n_headers, 2);
    assert_true(slice_is(custom(PROPERTIES_DESTINATION), "/topic/a"));
    assert_true(slice_is(custom(PROPERTIES_USER), "ann"));
}

static const struct {
    const char *name;
    const char *value;
    bool is_ok;
} numbers[] = {
    {"expiration", "0", true},
    {"expiration", "60000", true},
    {"expiration", "4294967295", true},
    {"expiration", "4294967296", false},
    {"expiration", "18446744073709551616", false},
    {"expiration", "99999999999999999999999", false},
    {"expiration", "", false},
    {"expiration", " ", false},
    {"expiration", "abc", false},
    {"expiration", "-1", false},
    {"expiration", "+1", false},
    {"expiration", "1.5", false},
    {"expiration", "0x10", false},
    {"expiration", "1e3", false},
    {"expiration", "1 2", false},
    {"priority", "0", true},
    {"priority", "255", true},
    {"priority", " 9 ", true},
    {"priority", "256", false},
    {"priority", "-1", false},
    {"priority", "", false},
    {"priority", "high", false},
    {"timestamp", "0", true},
    {"timestamp", "1700000000", true},
    {"timestamp", "9223372036854775807", true},
    {"timestamp", "9223372036854775808", false},
    {"timestamp", "18446744073709551615", false},
    {"timestamp", "18446744073709551616", false},
    {"timestamp", "2026-11-21", false},
    {"timestamp", "-5", false},
};

static void test_properties_numbers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        int result = FROM(numbers[i].name, numbers[i].value);
        if (result != (numbers[i].is_ok ? 0 : -1)) {
            fail_msg("%s:%s", numbers[i].name, numbers[i].value);
        }
        assert_null(custom(numbers[i].name).ptr);
        if (result != 0) {
            assert_string_equal(problem.message, "Invalid header");
            assert_non_null(strstr(problem.text, numbers[i].name));
        }
    }
    assert_int_equal(FROM("expiration", " 12 "), 0);
    assert_true(slice_is(p.amqp.expiration, "12"));
    assert_int_equal(FROM("priority", "200"), 0);
    assert_int_equal(p.amqp.priority, 200);
    assert_int_equal(FROM("timestamp", "1700000000"), 0);
    assert_int_equal(p.amqp.timestamp, 1700000000);
}

static void test_properties_texts_at_255_and_256(void **state)
{
    (void)state;
    static const char *const names[] = {
        "content-type", "content-encoding", "correlation-id",  "type",
        "app-id",       "message-id",       "idempotency-key", "reply-to"};
    char value[257];
    memset(value, 'v', 256);
    value[256] = '\0';
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(FROM(names[i], value), -1);
        assert_non_null(strstr(problem.text, names[i]));
        assert_int_equal(FROM(names[i], value + 1), 0);
        assert_int_equal(FROM(names[i], ""), 0);
        assert_null(custom(names[i]).ptr);
    }
    assert_int_equal(FROM("type", "t", "app-id", "a", "correlation-id", "c"), 0);
    assert_true(slice_is(p.amqp.type, "t"));
    assert_true(slice_is(p.amqp.app_id, "a"));
    assert_true(slice_is(p.amqp.correlation_id, "c"));
}

/* M1: a longer name would be cut into further fields of the table, past all rights. */
static void test_properties_header_names(void **state)
{
    (void)state;
    char name[300];
    memset(name, 'n', sizeof(name));
    name[256] = '\0';
    assert_int_equal(FROM(name, "v"), -1);
    name[255] = '\0';
    assert_int_equal(FROM(name, "v"), 0);
    assert_true(slice_is(custom(name), "v"));
    assert_int_equal(FROM("", "v"), -1);
}

static void test_properties_reply_to(void **state)
{
    (void)state;
    static const struct {
        const char *value;
        bool is_ok;
    } values[] = {
        {"/topic/answers", true},
        {"/topic/answers/1", true},
        {"/queue/answers", true},
        {"/temp-queue/answers", true},
        {"/reply-queue/amq.gen-x", true},
        {"/reply-queue/a/b", true},
        {"answers", true},
        {"amq.gen-abc", true},
        {"amq.rabbitmq.reply", false},
        {"amq.rabbitmq.reply-to", false},
        {"AMQ.RabbitMQ.reply-to.g1h2", false},
        {"", true},
        {"/foo/bar", false},
        {"/", false},
        {"/queue/a/b", false},
        {"/queue/", false},
        {"/temp-queue/", false},
        {"a/b", false},
        /* Who answers has rights of his own: he must not be led to what is ours. */
        {"my.store", false},
        {"/queue/my.store", false},
        {"/reply-queue/my.dead", false},
        {"/topic/a\nb", false},
    };
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (FROM("reply-to", values[i].value) != (values[i].is_ok ? 0 : -1)) {
            fail_msg("reply-to:%s", values[i].value);
        }
        if (values[i].is_ok) {
            assert_true(slice_is(p.amqp.reply_to, values[i].value));
        } else {
            assert_string_equal(problem.message, "Invalid header");
            assert_non_null(strstr(problem.text, "'reply-to' must "));
        }
        assert_null(custom("reply-to").ptr);
    }
}

/* Where /queue/ is a broadcast, a bare name is still a queue's for who answers by AMQP. */
static void test_properties_reply_to_without_queues(void **state)
{
    (void)state;
    const struct config topics = {
        .routes = routes, .n_routes = 1, .store = {.queue = (char *)"my.store"}};
    struct stomp_frame frame = {.command = STOMP_SEND, .n_headers = 1};
    frame.headers[0] = (struct stomp_header){SLICE_LITERAL("reply-to"), SLICE_LITERAL("answers")};
    assert_int_equal(properties_from_send(&topics, &frame, slice_of("ann"), false, &p, &problem),
                     0);
    frame.headers[0].value = SLICE_LITERAL("my.store");
    assert_int_equal(properties_from_send(&topics, &frame, slice_of("ann"), false, &p, &problem),
                     -1);
}

/* M2: RabbitMQ would route by these; it knows them in capitals alone. */
static void test_properties_copies(void **state)
{
    (void)state;
    static const char *const names[] = {"CC", "BCC"};
    static const char *const values[] = {"", "x.secret", "[\"x.secret\"]"};
    for (size_t i = 0; i < 2; i++) {
        for (size_t v = 0; v < 3; v++) {
            assert_int_equal(FROM("a", "b", names[i], values[v]), -1);
            assert_string_equal(problem.message, "Invalid header");
            assert_non_null(strstr(problem.text, names[i]));
        }
    }
}

static void test_properties_delivery_mode(void **state)
{
    (void)state;
    assert_int_equal(FROM("persistent", "true"), 0);
    assert_true(p.amqp.has_delivery_mode && p.amqp.delivery_mode == 2);
    assert_int_equal(FROM("persistent", "True"), 0);
    assert_true(p.amqp.has_delivery_mode && p.amqp.delivery_mode == 2);
    assert_int_equal(FROM("persistent", "false"), 0);
    assert_false(p.amqp.has_delivery_mode);
    assert_int_equal(FROM("persistent", "1"), 0);
    assert_false(p.amqp.has_delivery_mode);
    assert_int_equal(FROM("persistent", "true", "persistent", "false"), 0);
    assert_true(p.amqp.has_delivery_mode);
    assert_int_equal(from(true, "persistent", "false", NULL), 0);
    assert_true(p.amqp.has_delivery_mode && p.amqp.delivery_mode == 2);
    /* A header of that name is nobody's property. */
    assert_int_equal(FROM("delivery-mode", "7"), 0);
    assert_false(p.amqp.has_delivery_mode);
    assert_true(slice_is(custom("delivery-mode"), "7"));
}

static void test_properties_user_id(void **state)
{
    (void)state;
    assert_int_equal(FROM("user-id", "ann"), 0);
    assert_null(p.amqp.user_id.ptr);
    assert_null(custom("user-id").ptr);
    assert_int_equal(FROM("user-id", "bob"), -1);
    assert_int_equal(FROM("user-id", ""), -1);
    assert_int_equal(FROM("user-id", "Ann"), -1);
}

/* A8, A32: each of these with three values, alone and repeated: never a custom header of that name.
 */
static void test_properties_never_copied(void **state)
{
    (void)state;
    static const char *const names[] = {
        "content-type",
        "content-encoding",
        "correlation-id",
        "type",
        "app-id",
        "persistent",
        "receipt",
        "transaction",
        "login",
        "passcode",
        "content-length",
        "message-id",
        "idempotency-key",
        "subscription",
        "ack",
        "redelivered",
        "amqp-message-id",
        "gap",
        "x-stompgate-",
        "x-stompgate-a",
        "X-Stompgate-User",
        "X-STOMPGATE-KEY",
        "x-stompgate-gap",
        "x-stompgate-seq",
        "x-death",
        "X-Death",
        "x-death.0.queue",
        "x-death.",
        "X-Received-From.0.uri",
        "x-first-death-queue",
        "x-first-death-reason",
        "x-first-death-exchange",
        "X-FIRST-DEATH-QUEUE",
        "X-First-Death-Reason",
        "x-First-death-eXchange",
        "destination",
    };
    static const char *const values[] = {"", "1", "x.secret"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
            assert_int_equal(FROM(names[i], values[v], names[i], "again", "ok", "1"), 0);
            assert_null(custom(names[i]).ptr);
            assert_true(slice_is(custom("ok"), "1"));
            assert_true(slice_is(custom(PROPERTIES_USER), "ann"));
            assert_true(slice_is(custom(PROPERTIES_DESTINATION), "/topic/a"));
        }
    }
}

/* All else is the application's own and must arrive, whatever it looks like. */
static void test_properties_custom(void **state)
{
    (void)state;
    static const char *const names[] = {
        "simpOrigDestination",
        "x-custom",
        "id",
        "seq",
        "cc",
        "bcc",
        "Cc",
        /* They shape the queue of a SEND (queue.h), and are headers of the message as well. */
        "x-message-ttl",
        "x-queue-type",
        "x-stream-filter-value",
        "exclusive",
        "x-deaths",
        "x-deaths.0",
        "x-dead.0",
        "x-first-death",
        "durable",
        "auto-delete",
        "selector",
        "sender",
        "x-stomp",
        "Ack",
        "Content-Type",
        "priority2",
        "\xc3\xbc-name",
        "a b",
        "expires",
        "x-match",
        "host",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(FROM(names[i], "first", names[i], "second"), 0);
        assert_true(slice_is(custom(names[i]), "first"));
        assert_int_equal(p.amqp.n_headers, 3);
    }
}

static void test_properties_key(void **state)
{
    (void)state;
    assert_int_equal(FROM("message-id", "m"), 0);
    assert_true(slice_is(custom(PROPERTIES_KEY), "m"));
    assert_null(p.amqp.message_id.ptr);
    assert_int_equal(FROM("message-id", "m", "idempotency-key", "k"), 0);
    assert_true(slice_is(custom(PROPERTIES_KEY), "k"));
    assert_int_equal(FROM("idempotency-key", ""), 0);
    assert_null(custom(PROPERTIES_KEY).ptr);
}

/* As many headers as a frame can hold: ours find room beside them. */
static void test_properties_full_frame(void **state)
{
    (void)state;
    static struct stomp_frame frame;
    static char names[STOMP_MAX_HEADERS][8];
    frame.headers[0] = (struct stomp_header){SLICE_LITERAL("message-id"), SLICE_LITERAL("k")};
    for (unsigned i = 1; i < STOMP_MAX_HEADERS; i++) {
        snprintf(names[i], sizeof(names[i]), "h%u", i);
        frame.headers[i] = (struct stomp_header){slice_of(names[i]), slice_of("v")};
    }
    frame.n_headers = STOMP_MAX_HEADERS;
    assert_int_equal(properties_from_send(&config, &frame, slice_of("ann"), true, &p, &problem), 0);
    assert_int_equal(p.amqp.n_headers, STOMP_MAX_HEADERS + 2);
}

/* 100,000 frames of random headers: whatever comes out, the broker takes it, and nothing of it
 * could route or be taken for ours. */
static void test_properties_random(void **state)
{
    (void)state;
    static const char *const names[] = {
        "content-type", "expiration",  "priority", "timestamp",        "persistent", "reply-to",
        "user-id",      "message-id",  "type",     "idempotency-key",  "CC",         "BCC",
        "cc",           "x-death",     "X-DEATH",  "x-stompgate-user", "app-id",     "destination",
        "x-last-death", "routing-key", "exchange", "delivery-mode",    "headers",    "a",
    };
    static const char *const values[] = {"",         "1",        "256", "-1",       "true",
                                         "ann",      "/topic/x", "/x",  "my.store", "4294967296",
                                         "\xc3\xbc", "a,b",      "#",   "x\ny",     "amq.gen-1",
                                         "bob",      "/queue/q", "1.5", " 7 ",      "99999999999"};
    static struct stomp_frame frame;
    const size_t n_names = sizeof(names) / sizeof(names[0]);
    const size_t n_values = sizeof(values) / sizeof(values[0]);
    int n_ok = 0;
    srand(23);
    for (int i = 0; i < 100000; i++) {
        frame.n_headers = (unsigned)rand() % 6;
        for (unsigned h = 0; h < frame.n_headers; h++) {
            frame.headers[h].name = slice_of(names[(size_t)rand() % n_names]);
            frame.headers[h].value = slice_of(values[(size_t)rand() % n_values]);
        }
        memset(&problem, 0, sizeof(problem));
        if (properties_from_send(&config, &frame, slice_of("ann"), rand() % 2, &p, &problem) != 0) {
            assert_string_equal(problem.message, "Invalid header");
            continue;
        }
        n_ok++;
        assert_null(p.amqp.user_id.ptr);
        assert_null(p.amqp.message_id.ptr);
        assert_true(!p.amqp.has_delivery_mode || p.amqp.delivery_mode == 2);
        assert_true(p.amqp.reply_to.len <= 255 && !slice_is(p.amqp.reply_to, "my.store"));
        for (size_t k = 0; k < p.amqp.expiration.len; k++) {
            assert_in_range(p.amqp.expiration.ptr[k], '0', '9');
        }
        assert_null(custom("CC").ptr);
        assert_null(custom("BCC").ptr);
        assert_null(custom("x-death").ptr);
        assert_null(custom("X-DEATH").ptr);
        assert_true(slice_is(custom(PROPERTIES_USER), "ann"));
        for (size_t k = 0; k < p.amqp.n_headers; k++) {
            assert_in_range(p.amqp.headers[k].name.len, 1, 255);
            for (size_t j = 0; j < k; j++) {
                assert_false(slice_equals(p.amqp.headers[k].name, p.amqp.headers[j].name));
            }
        }
    }
    assert_in_range(n_ok, 10000, 90000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_properties_of_nothing),
        cmocka_unit_test(test_properties_numbers),
        cmocka_unit_test(test_properties_texts_at_255_and_256),
        cmocka_unit_test(test_properties_header_names),
        cmocka_unit_test(test_properties_reply_to),
        cmocka_unit_test(test_properties_reply_to_without_queues),
        cmocka_unit_test(test_properties_copies),
        cmocka_unit_test(test_properties_delivery_mode),
        cmocka_unit_test(test_properties_user_id),
        cmocka_unit_test(test_properties_never_copied),
        cmocka_unit_test(test_properties_custom),
        cmocka_unit_test(test_properties_key),
        cmocka_unit_test(test_properties_full_frame),
        cmocka_unit_test(test_properties_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
