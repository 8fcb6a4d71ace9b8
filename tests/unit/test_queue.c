/* From headers to queues: names, flags, arguments, rights. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/session/queue.h"

static struct config_route routes[] = {
    {.prefix = (char *)"/topic/", .exchange = (char *)"amq.topic", .type = CONFIG_TOPIC},
    {.prefix = (char *)"/fanout/", .exchange = (char *)"", .type = CONFIG_FANOUT, .declare = true},
    {.prefix = (char *)"/exchange/", .exchange = (char *)"", .type = CONFIG_ANY},
    {.prefix = (char *)"/queue/",
     .exchange = (char *)"",
     .type = CONFIG_QUEUE,
     .declare = true,
     .durable = true},
    {.prefix = (char *)"/amq/queue/", .exchange = (char *)"", .type = CONFIG_QUEUE},
    {.prefix = (char *)"/brief/", .exchange = (char *)"", .type = CONFIG_QUEUE, .declare = true},
};
static const struct config config = {
    .routes = routes,
    .n_routes = 6,
    .store = {.queue = (char *)"my.store", .dead_queue = (char *)"my.dead"},
    .stomp = {.spring_user = (char *)"/user/"},
};

#define RANDOM "0123456789abcdefghijkl"
#define RANDOM_NAME QUEUE_SUBSCRIPTION_PREFIX RANDOM
#define HEADERS(...) ((const char *const[]){__VA_ARGS__, NULL})
#define NOTHING ((const char *const[]){NULL})

static struct session_queue queue;
static struct session_problem problem;
static struct destination destination;

static void fill(struct stomp_frame *frame, enum stomp_command command, const char *name,
                 const char *const *headers)
{
    memset(frame, 0, sizeof(*frame));
    memset(&problem, 0, sizeof(problem));
    memset(&queue, 0x55, sizeof(queue));
    assert_int_equal(destination_resolve(&config, slice_of(name), &destination), DESTINATION_OK);
    frame->command = command;
    frame->headers[frame->n_headers++] =
        (struct stomp_header){SLICE_LITERAL("destination"), slice_of(name)};
    for (size_t i = 0; headers[i]; i += 2) {
        frame->headers[frame->n_headers++] =
            (struct stomp_header){slice_of(headers[i]), slice_of(headers[i + 1])};
    }
}

/* Names and values in turn, NULL at the end. */
static bool is_wanted(const char *name, const char *const *headers)
{
    struct stomp_frame frame;
    fill(&frame, STOMP_SUBSCRIBE, name, headers);
    return queue_is_wanted(&frame, &destination);
}

static int subscribe_as(bool may_shape, const char *name, const char *const *headers)
{
    static struct stomp_frame frame;
    fill(&frame, STOMP_SUBSCRIBE, name, headers);
    return queue_from_subscribe(&config, &frame, &destination, RANDOM, may_shape, &queue, &problem);
}

static int subscribe(const char *name, const char *const *headers)
{
    return subscribe_as(true, name, headers);
}

static int send_as(bool may_shape, const char *name, const char *const *headers)
{
    static struct stomp_frame frame;
    fill(&frame, STOMP_SEND, name, headers);
    return queue_from_send(&config, &frame, &destination, may_shape, &queue, &problem);
}

static void expect_problem(const char *message, const char *part)
{
    if (strcmp(problem.message, message) != 0 || !strstr(problem.text, part)) {
        fail_msg("'%s': '%s', not '%s': '…%s…'", problem.message, problem.text, message, part);
    }
}

/* ---- Shared or not ---- */

static void test_which_subscriptions_want_a_queue(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *headers[5];
        bool is_wanted;
    } cases[] = {
        {"/topic/a", {NULL}, false},
        {"/topic/a", {"ack", "auto", NULL}, false},
        {"/topic/a", {"ack", "client", NULL}, true},
        {"/topic/a", {"ack", "client-individual", NULL}, true},
        {"/topic/a", {"durable", "true", NULL}, true},
        {"/topic/a", {"durable", "True", NULL}, true},
        {"/topic/a", {"persistent", "true", NULL}, true},
        {"/topic/a", {"durable", "false", NULL}, false},
        {"/topic/a", {"durable", "false", "persistent", "true", NULL}, false},
        {"/topic/a", {"durable", "yes", NULL}, true},
        {"/topic/a", {"auto-delete", "true", NULL}, false},
        {"/topic/a", {"auto-delete", "false", NULL}, true},
        {"/topic/a", {"exclusive", "true", NULL}, false},
        {"/topic/a", {"exclusive", "false", NULL}, false},
        {"/topic/a", {"prefetch-count", "1", NULL}, false},
        {"/topic/a", {"selector", "a='b'", NULL}, false},
        {"/topic/a", {"x-queue-name", "q", NULL}, true},
        {"/topic/a", {"x-message-ttl", "1", NULL}, true},
        {"/topic/a", {"x-overflow", "reject-publish", NULL}, true},
        {"/topic/a", {"x-match", "any", NULL}, true},
        {"/exchange/x", {"x-bind-a", "b", NULL}, true},
        {"/topic/a", {"x-stream-offset", "first", NULL}, true},
        /* nobody else is there whom it could matter to */
        {"/topic/a", {"x-priority", "1", NULL}, false},
        /* what no broker knows */
        {"/topic/a", {"x-auth-token", "abc", NULL}, false},
        {"/topic/a", {"X-Message-TTL", "1", NULL}, false},
        {"/fanout/a", {NULL}, false},
        {"/exchange/a/b", {NULL}, false},
        {"/queue/a", {NULL}, true},
        {"a", {NULL}, true},
        {"/amq/queue/a", {NULL}, true},
        {"/reply-queue/a", {NULL}, true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (is_wanted(cases[i].name, cases[i].headers) != cases[i].is_wanted) {
            fail_msg("%s %s:%s", cases[i].name, cases[i].headers[0], cases[i].headers[1]);
        }
    }
}

/* ---- Names and flags ---- */

#define D 1 /* durable */
#define E 2 /* exclusive */
#define A 4 /* auto-delete */
#define S 8 /* only for who may shape queues */

static const struct shape {
    const char *name;
    const char *headers[9];
    int flags;
    const char *queue;
} shapes[] = {
    /* contract 1.2 */
    {"/queue/a", {NULL}, D, "a"},
    {"a", {NULL}, D, "a"},
    {"/queue/a%2Fb", {NULL}, D, "a/b"},
    {"/brief/a", {NULL}, 0, "a"},
    {"/topic/a", {"ack", "client", NULL}, E | A, RANDOM_NAME},
    {"/exchange/x", {"ack", "client", NULL}, E | A, RANDOM_NAME},
    {"/fanout/x", {"ack", "client", NULL}, E | A, RANDOM_NAME},
    /* contract 1.3 */
    {"/queue/a", {"durable", "true", NULL}, D, "a"},
    {"/queue/a", {"durable", "true", "auto-delete", "false", "exclusive", "false", NULL}, D, "a"},
    {"/queue/a", {"persistent", "True", NULL}, D, "a"},
    {"/queue/a", {"durable", "false", NULL}, E | A | S, "a"},
    {"/queue/a", {"persistent", "false", NULL}, E | A | S, "a"},
    {"/queue/a", {"durable", "false", "exclusive", "false", NULL}, A | S, "a"},
    {"/queue/a", {"durable", "true", "persistent", "false", NULL}, D, "a"},
    {"/queue/a", {"auto-delete", "true", NULL}, D | A | S, "a"},
    {"/queue/a", {"exclusive", "true", NULL}, D | E | S, "a"},
    {"/queue/a", {"auto-delete", "false", NULL}, D, "a"},
    {"/queue/a", {"exclusive", "False", NULL}, D, "a"},
    {"/queue/a", {"x-queue-name", "b", NULL}, D, "a"},
    {"/brief/a", {"durable", "true", NULL}, D | S, "a"},
    {"/topic/a", {"exclusive", "false", "ack", "client", NULL}, A | S, RANDOM_NAME},
    {"/topic/a", {"auto-delete", "false", NULL}, E | S, RANDOM_NAME},
    {"/topic/a", {"auto-delete", "true", "ack", "client", NULL}, E | A, RANDOM_NAME},
    {"/topic/a", {"durable", "false", "ack", "client", NULL}, E | A, RANDOM_NAME},
    /* durable subscriptions */
    {"/topic/durable",
     {"id", "test.subscription", "durable", "true", NULL},
     D | A | S,
     "stomp-subscription-tMbeqL30tjlgaXMmaFM6Ew"},
    {"/topic/durable",
     {"id", "test.subscription", "durable", "true", "auto-delete", "false", NULL},
     D | S,
     "stomp-subscription-tMbeqL30tjlgaXMmaFM6Ew"},
    {"/exchange/amq.topic/durable",
     {"id", "test.subscription", "persistent", "true", "exclusive", "true", NULL},
     D | E | A | S,
     "stomp-subscription-tMbeqL30tjlgaXMmaFM6Ew"},
    {"/exchange/x",
     {"id", "1", "durable", "true", NULL},
     D | A | S,
     "stomp-subscription-AFCOpGoyZRgTdV2sYkpHvQ"},
    /* named ones */
    {"/topic/a", {"x-queue-name", "mine", NULL}, D | A | S, "mine"},
    {"/topic/a", {"x-queue-name", "mine", "auto-delete", "false", NULL}, D | S, "mine"},
    {"/topic/a", {"x-queue-name", "mine", "exclusive", "true", NULL}, D | E | A | S, "mine"},
    {"/topic/a", {"x-queue-name", "mine", "durable", "false", NULL}, E | A | S, "mine"},
    {"/topic/a", {"id", "1", "x-queue-name", "mine", "durable", "true", NULL}, D | A | S, "mine"},
    {"/exchange/x/k", {"x-queue-name", "a/b", NULL}, D | A | S, "a/b"},
    /* Spring */
    {"/queue/x-user1a2b", {"simpOrigDestination", "/user/queue/x", NULL}, E | A, "x-user1a2b"},
    {"/queue/x-user1a2b", {NULL}, D, "x-user1a2b"},
    {"/queue/jobs", {"simpOrigDestination", "/user/queue/jobs", NULL}, D, "jobs"},
    {"/queue/x-user1a2b", {"simpOrigDestination", "/queue/x", NULL}, D, "x-user1a2b"},
    {"/queue/x-user1a2b", {"simpOrigDestination", "", NULL}, D, "x-user1a2b"},
    /* quorum and stream */
    {"/queue/a", {"x-queue-type", "quorum", NULL}, D | S, "a"},
    {"/queue/a", {"x-queue-type", "quorum", "auto-delete", "false", NULL}, D | S, "a"},
    {"/brief/a", {"x-queue-type", "quorum", NULL}, D | S, "a"},
    {"/queue/a", {"x-queue-type", "classic", "auto-delete", "true", NULL}, D | A | S, "a"},
    {"/topic/a", {"x-queue-type", "quorum", "x-queue-name", "mine", NULL}, D | S, "mine"},
    {"/topic/durable",
     {"x-queue-type", "quorum", "id", "test.subscription", "durable", "true", NULL},
     D | S,
     "stomp-subscription-tMbeqL30tjlgaXMmaFM6Ew"},
    {"/queue/a",
     {"x-queue-type", "stream", "ack", "client", "prefetch-count", "10", NULL},
     D | S,
     "a"},
};

static void check_shape(const struct shape *s)
{
    int flags = queue.is_durable | queue.is_exclusive << 1 | queue.is_auto_delete << 2;
    if (flags != (s->flags & ~S) || strcmp(queue.name, s->queue) != 0) {
        fail_msg("%s %s: flags %d, '%s'", s->name, s->headers[0], flags, queue.name);
    }
    assert_int_equal(queue.name_len, strlen(queue.name));
    assert_false(queue.must_exist);
    assert_int_equal(queue.is_bound, destination.kind == DESTINATION_EXCHANGE);
    assert_int_equal(queue.is_named, strcmp(s->queue, RANDOM_NAME) != 0);
}

static void test_names_and_flags(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const struct shape *s = &shapes[i];
        if (subscribe(s->name, s->headers) != 0) {
            fail_msg("%s %s: %s", s->name, s->headers[0], problem.text);
        }
        check_shape(s);
        int result = subscribe_as(false, s->name, s->headers);
        if (s->flags & S) {
            if (result == 0) {
                fail_msg("%s %s:%s is for everybody", s->name, s->headers[0], s->headers[1]);
            }
            expect_problem("access_refused", "is for users who may name, keep and shape queues\n");
        } else {
            assert_int_equal(result, 0);
            check_shape(s);
        }
    }
}

static void test_the_refused_header_is_named(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"x-queue-name", "q"},   {"auto-delete", "false"}, {"exclusive", "false"},
        {"x-message-ttl", "60"}, {"durable", "true"},      {"persistent", "true"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char part[64];
        assert_int_equal(
            subscribe_as(false, "/topic/a", HEADERS("id", "1", cases[i][0], cases[i][1])), -1);
        snprintf(part, sizeof(part), "'%s' is for users", cases[i][0]);
        expect_problem("access_refused", part);
    }
}

/* What is not declared is not shaped: its headers say nothing. */
static void test_existing_queues(void **state)
{
    (void)state;
    static const char *const names[] = {"/amq/queue/a", "/reply-queue/a", "/amq/queue/stomp.gen-1",
                                        "/queue/amq.gen-1"};
    static const char *const queues[] = {"a", "a", "stomp.gen-1", "amq.gen-1"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(subscribe_as(false, names[i],
                                      HEADERS("durable", "maybe", "x-message-ttl", "x", "exclusive",
                                              "true", "x-queue-name", "my.store", "x-foo", "1")),
                         0);
        assert_string_equal(queue.name, queues[i]);
        assert_int_equal(queue.name_len, strlen(queues[i]));
        assert_true(queue.must_exist && queue.is_named);
        assert_false(queue.is_durable || queue.is_exclusive || queue.is_auto_delete ||
                     queue.is_bound);
        assert_int_equal(queue.n_args + queue.n_binding_args + queue.n_consume_args, 0);
    }
}

static void test_durable_names(void **state)
{
    (void)state;
    /* The plugin's own, by erl: base64 of md5 of term_to_binary({Key, Id}). */
    static const char *const vectors[][3] = {
        {"durable", "test.subscription", "tMbeqL30tjlgaXMmaFM6Ew"},
        {"", "1", "AFCOpGoyZRgTdV2sYkpHvQ"},
        {"a.b.#", "sub-0", "5FvtywbZNCJeEyXSuHMLEQ"},
        {"x", "", "JM-i4-UpuM_HlCUI638YRA"},
        {"\xc3\xbc", "i/d", "yj15jdAvdKIpjyyKR-PW4A"},
    };
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        char name[QUEUE_NAME_MAX + 1];
        char expected[64];
        snprintf(expected, sizeof(expected), "stomp-subscription-%s", vectors[i][2]);
        assert_int_equal(queue_durable_name(slice_of(vectors[i][0]), slice_of(vectors[i][1]), name),
                         0);
        assert_string_equal(name, expected);
    }
    char key[255];
    char id[255];
    char name[QUEUE_NAME_MAX + 1];
    memset(key, 'x', sizeof(key));
    memset(id, 'y', sizeof(id));
    assert_int_equal(queue_durable_name((struct slice){key, 255}, (struct slice){id, 255}, name),
                     0);
    assert_string_equal(name, "stomp-subscription-vezH1gW3ZcDcrBNuq73QQw");
    /* An absent id is no pointer to nothing. */
    assert_int_equal(queue_durable_name((struct slice){NULL, 0}, (struct slice){NULL, 0}, name), 0);
}

static void test_the_queue_behind_a_reply_to(void **state)
{
    (void)state;
    memset(&queue, 0x55, sizeof(queue));
    queue_for_reply(RANDOM, &queue);
    assert_string_equal(queue.name, "stomp.gen-" RANDOM);
    assert_int_equal(queue.name_len, strlen(queue.name));
    assert_true(queue.is_exclusive && queue.is_auto_delete);
    assert_false(queue.is_durable || queue.must_exist || queue.is_bound || queue.is_named);
    assert_int_equal(queue.n_args + queue.n_binding_args + queue.n_consume_args, 0);
}

/* ---- SEND ---- */

static void test_queue_of_a_send(void **state)
{
    (void)state;
    static const struct shape sends[] = {
        {"/queue/a", {NULL}, D, "a"},
        {"/queue/a", {"persistent", "false", NULL}, D, "a"},
        {"/queue/a", {"persistent", "nonsense", NULL}, D, "a"},
        {"/queue/a", {"durable", "true", "exclusive", "false", NULL}, D, "a"},
        {"/queue/a", {"durable", "false", NULL}, A | S, "a"},
        {"/queue/a", {"auto-delete", "true", NULL}, D | A | S, "a"},
        {"/queue/a", {"x-queue-type", "stream", NULL}, D | S, "a"},
        {"/queue/a", {"x-request-id", "17", "x-priority", "high", "x-match", "?", NULL}, D, "a"},
        {"/brief/a", {NULL}, 0, "a"},
    };
    for (size_t i = 0; i < sizeof(sends) / sizeof(sends[0]); i++) {
        const struct shape *s = &sends[i];
        if (send_as(true, s->name, s->headers) != 0) {
            fail_msg("%s %s: %s", s->name, s->headers[0], problem.text);
        }
        check_shape(s);
        assert_int_equal(queue.n_consume_args + queue.n_binding_args, 0);
        assert_int_equal(queue.n_args,
                         strstr(s->headers[0] ? s->headers[0] : "", "queue-type") != NULL);
        assert_int_equal(send_as(false, s->name, s->headers), s->flags & S ? -1 : 0);
    }
    assert_int_equal(send_as(true, "/queue/a", HEADERS("exclusive", "true")), -1);
    expect_problem("Invalid header", "'exclusive' must be false on SEND");
    assert_int_equal(send_as(true, "/queue/a", HEADERS("durable", "1")), -1);
    expect_problem("Invalid header", "'durable' must be true or false");
    assert_int_equal(send_as(true, "/queue/a", HEADERS("x-message-ttl", "1", "x-expires", "soon")),
                     -1);
    expect_problem("Invalid header", "'x-expires' must be an integer");
}

/* Spring's server sends to a user's queue when that user has gone: then nobody may make it. */
static void test_send_to_a_user_of_spring_declares_nothing(void **state)
{
    (void)state;
    assert_int_equal(send_as(false, "/queue/x-user1a2b",
                             HEADERS("simpOrigDestination", "/user/queue/x", "x-message-ttl", "1")),
                     0);
    assert_true(queue.must_exist);
    assert_string_equal(queue.name, "x-user1a2b");
    assert_int_equal(queue.n_args, 0);
    assert_int_equal(send_as(false, "/queue/x", HEADERS("simpOrigDestination", "/user/queue/x")),
                     0);
    assert_false(queue.must_exist);
}

/* ---- Arguments ---- */

static const struct broker_argument *find(const struct broker_argument *args, size_t n,
                                          const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_is(args[i].name, name)) {
            return &args[i];
        }
    }
    return NULL;
}

static const char *const integers[] = {
    "x-expires",
    "x-message-ttl",
    "x-max-length",
    "x-max-length-bytes",
    "x-max-in-memory-length",
    "x-max-in-memory-bytes",
    "x-max-priority",
    "x-delivery-limit",
    "x-consumer-timeout",
    "x-consumer-disconnected-timeout",
    "x-quorum-initial-group-size",
    "x-quorum-target-group-size",
    "x-initial-cluster-size",
    "x-stream-max-segment-size-bytes",
    "x-stream-filter-size-bytes",
    "x-queue-version",
};

static const struct {
    const char *text;
    bool is_ok;
    int64_t number;
} integer_texts[] = {
    {"0", true, 0},
    {"60000", true, 60000},
    {" 7 ", true, 7},
    {"007", true, 7},
    {"-1", true, -1},
    {"9223372036854775807", true, INT64_MAX},
    {"-9223372036854775808", true, INT64_MIN},
    {"-9223372036854775807", true, -INT64_MAX},
    {"9223372036854775808", false, 0},
    {"-9223372036854775809", false, 0},
    {"18446744073709551616", false, 0},
    {"99999999999999999999999999", false, 0},
    {"", false, 0},
    {" ", false, 0},
    {"-", false, 0},
    {"--1", false, 0},
    {"+1", false, 0},
    {"1.0", false, 0},
    {"1e3", false, 0},
    {"0x10", false, 0},
    {"1 2", false, 0},
    {"true", false, 0},
    {"ten", false, 0},
};

static void test_integer_arguments(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(integers) / sizeof(integers[0]); i++) {
        for (size_t k = 0; k < sizeof(integer_texts) / sizeof(integer_texts[0]); k++) {
            int result = subscribe("/queue/a", HEADERS(integers[i], integer_texts[k].text));
            if (result != (integer_texts[k].is_ok ? 0 : -1)) {
                fail_msg("%s:%s", integers[i], integer_texts[k].text);
            }
            if (result != 0) {
                expect_problem("Invalid header", integers[i]);
                expect_problem("Invalid header", "must be an integer\n");
                continue;
            }
            const struct broker_argument *arg = find(queue.args, queue.n_args, integers[i]);
            assert_non_null(arg);
            assert_int_equal(queue.n_args, 1);
            assert_int_equal(arg->type, BROKER_INTEGER);
            assert_true(arg->number == integer_texts[k].number);
        }
    }
}

static void test_boolean_and_text_arguments(void **state)
{
    (void)state;
    static const char *const texts[] = {"x-queue-mode",
                                        "x-queue-leader-locator",
                                        "x-overflow",
                                        "x-dead-letter-routing-key",
                                        "x-dead-letter-strategy",
                                        "x-queue-type"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(subscribe("/queue/a", HEADERS(texts[i], "17")), 0);
        const struct broker_argument *arg = find(queue.args, queue.n_args, texts[i]);
        assert_int_equal(arg->type, BROKER_TEXT);
        assert_true(slice_is(arg->text, "17"));
    }
    assert_int_equal(subscribe("/queue/a", HEADERS("x-queue-master-locator", "random")), 0);
    assert_int_equal(subscribe("/queue/a", HEADERS("x-queue-master-locator", "17")), -1);
    expect_problem("Invalid header", "x-queue-master-locator");
    /* Over a stream with some of these RabbitMQ 3.10 loses the connection. */
    static const char *const bad_ages[] = {"", "D", "soon", "-1D", " 1D", "1.5h", "7", "7d", "7 D"};
    for (size_t i = 0; i < sizeof(bad_ages) / sizeof(bad_ages[0]); i++) {
        assert_int_equal(subscribe("/queue/a", HEADERS("x-max-age", bad_ages[i])), -1);
        expect_problem("Invalid header", "x-max-age");
    }
    assert_int_equal(subscribe("/queue/a", HEADERS("x-max-age", "7D")), 0);
    assert_true(slice_is(queue.args[0].text, "7D"));
    static const struct {
        const char *text;
        bool is_ok;
        bool value;
    } booleans[] = {{"true", true, true},   {"True", true, true},  {"false", true, false},
                    {"False", true, false}, {" true", true, true}, {"TRUE", false, false},
                    {"1", false, false},    {"", false, false},    {"yes", false, false}};
    for (size_t i = 0; i < sizeof(booleans) / sizeof(booleans[0]); i++) {
        int result = subscribe("/queue/a", HEADERS("x-single-active-consumer", booleans[i].text));
        assert_int_equal(result, booleans[i].is_ok ? 0 : -1);
        if (result != 0) {
            expect_problem("Invalid header", "'x-single-active-consumer' must be true or false");
            continue;
        }
        assert_int_equal(queue.args[0].type, BROKER_BOOLEAN);
        assert_true(queue.args[0].number == booleans[i].value);
    }
}

/* A header that RabbitMQ does not know yet: by its look, for who may; nothing for who may not. */
static void test_unknown_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum broker_argument_type type;
        int64_t number;
    } looks[] = {
        {"17", BROKER_INTEGER, 17},  {"-17", BROKER_INTEGER, -17},
        {"true", BROKER_BOOLEAN, 1}, {"false", BROKER_BOOLEAN, 0},
        {"seven", BROKER_TEXT, 0},   {"", BROKER_TEXT, 0},
        {"1.5", BROKER_TEXT, 0},     {"9223372036854775808", BROKER_TEXT, 0},
        {" 17", BROKER_TEXT, 0},
    };
    for (size_t i = 0; i < sizeof(looks) / sizeof(looks[0]); i++) {
        assert_int_equal(subscribe("/queue/a", HEADERS("x-new", looks[i].text)), 0);
        assert_int_equal(queue.n_args, 1);
        assert_int_equal(queue.args[0].type, looks[i].type);
        if (looks[i].type == BROKER_TEXT) {
            assert_true(slice_is(queue.args[0].text, looks[i].text));
        } else {
            assert_true(queue.args[0].number == looks[i].number);
        }
        assert_int_equal(subscribe_as(false, "/queue/a", HEADERS("x-new", looks[i].text)), 0);
        assert_int_equal(queue.n_args, 0);
        assert_int_equal(send_as(true, "/queue/a", HEADERS("x-new", looks[i].text)), 0);
        assert_int_equal(queue.n_args, 0);
    }
    assert_int_equal(subscribe("/queue/a", HEADERS("x-stompgate-user", "root", "X-New", "1",
                                                   "y-new", "1", "x", "1")),
                     0);
    assert_int_equal(queue.n_args, 0);
    assert_int_equal(subscribe("/queue/a", HEADERS("x-new", "1", "x-new", "2")), 0);
    assert_int_equal(queue.n_args, 1);
    assert_int_equal(queue.args[0].number, 1);
}

static void test_dead_letters_never_reach_what_is_ours(void **state)
{
    (void)state;
    static const struct {
        const char *exchange;
        const char *key;
        const char *at; /* NULL: allowed */
    } cases[] = {
        {"dlx", NULL, NULL},
        {"dlx", "my.store", NULL}, /* a key of that exchange */
        {"", "other", NULL},
        {"", "my.store2", NULL},
        {"", NULL, "x-dead-letter-routing-key"}, /* the message's own key would be the queue */
        {"", "my.store", "x-dead-letter-routing-key"},
        {"", "my.dead", "x-dead-letter-routing-key"},
        {"", "stompgate.live.x", "x-dead-letter-routing-key"},
        {"", "stomp.gen-x", "x-dead-letter-routing-key"},
        {"", "amq.rabbitmq.reply-to.x", "x-dead-letter-routing-key"},
        {"amq.rabbitmq.event", "queue.deleted", "x-dead-letter-exchange"},
        {"amq.rabbitmq.trace", NULL, "x-dead-letter-exchange"},
        {NULL, "my.store", NULL}, /* the broker refuses it: no exchange */
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *headers[5] = {NULL};
        size_t n = 0;
        if (cases[i].exchange) {
            headers[n++] = "x-dead-letter-exchange";
            headers[n++] = cases[i].exchange;
        }
        if (cases[i].key) {
            headers[n++] = "x-dead-letter-routing-key";
            headers[n++] = cases[i].key;
        }
        headers[n] = NULL;
        for (int is_send = 0; is_send < 2; is_send++) {
            int result =
                is_send ? send_as(true, "/queue/a", headers) : subscribe("/queue/a", headers);
            if (result != (cases[i].at ? -1 : 0)) {
                fail_msg("%s, %s", cases[i].exchange, cases[i].key);
            }
            if (cases[i].at) {
                expect_problem("Invalid header", cases[i].at);
            }
            assert_int_equal(is_send ? send_as(false, "/queue/a", headers)
                                     : subscribe_as(false, "/queue/a", headers),
                             -1);
        }
    }
}

static void test_consumer_arguments(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        const char *text;
        bool is_ok;
        enum broker_argument_type type;
        int64_t number;
    } cases[] = {
        {"x-priority", "10", true, BROKER_INTEGER, 10},
        {"x-priority", "-10", true, BROKER_INTEGER, -10},
        {"x-priority", "high", false, 0, 0},
        {"x-cancel-on-ha-failover", "true", true, BROKER_BOOLEAN, 1},
        {"x-cancel-on-ha-failover", "2", false, 0, 0},
        {"x-stream-match-unfiltered", "false", true, BROKER_BOOLEAN, 0},
        {"x-stream-match-unfiltered", "", false, 0, 0},
        {"x-stream-filter", "a", true, BROKER_TEXTS, 0},
        {"x-stream-filter", "a,b,,c", true, BROKER_TEXTS, 0},
        {"x-stream-offset", "first", true, BROKER_TEXT, 0},
        {"x-stream-offset", "last", true, BROKER_TEXT, 0},
        {"x-stream-offset", "next", true, BROKER_TEXT, 0},
        {"x-stream-offset", "7D", true, BROKER_TEXT, 0},
        {"x-stream-offset", "90m", true, BROKER_TEXT, 0},
        {"x-stream-offset", "offset=0", true, BROKER_INTEGER, 0},
        {"x-stream-offset", "offset=12345", true, BROKER_INTEGER, 12345},
        {"x-stream-offset", "timestamp=1700000000", true, BROKER_TIMESTAMP, 1700000000},
        {"x-stream-offset", "", false, 0, 0},
        {"x-stream-offset", "middle", false, 0, 0},
        {"x-stream-offset", "12", false, 0, 0},
        {"x-stream-offset", "D", false, 0, 0},
        {"x-stream-offset", "7W", false, 0, 0},
        {"x-stream-offset", "-7D", false, 0, 0},
        {"x-stream-offset", "First", false, 0, 0},
        {"x-stream-offset", "offset=", false, 0, 0},
        {"x-stream-offset", "offset=-1", false, 0, 0},
        {"x-stream-offset", "offset=9223372036854775808", false, 0, 0},
        {"x-stream-offset", "offset= 1", false, 0, 0},
        {"x-stream-offset", "timestamp=now", false, 0, 0},
        {"x-stream-offset", "timestamp=-1", false, 0, 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        /* Nobody needs a right for it. */
        int result = subscribe_as(
            false, "/amq/queue/s",
            HEADERS("ack", "client", "prefetch-count", "10", cases[i].header, cases[i].text));
        if (result != (cases[i].is_ok ? 0 : -1)) {
            fail_msg("%s:%s", cases[i].header, cases[i].text);
        }
        if (result != 0) {
            expect_problem("Invalid header", cases[i].header);
            continue;
        }
        assert_int_equal(queue.n_args, 0);
        assert_int_equal(queue.n_consume_args, 1);
        assert_true(slice_is(queue.consume_args[0].name, cases[i].header));
        assert_int_equal(queue.consume_args[0].type, cases[i].type);
        assert_true(queue.consume_args[0].number == cases[i].number);
        if (cases[i].type == BROKER_TEXT || cases[i].type == BROKER_TEXTS) {
            assert_true(slice_is(queue.consume_args[0].text, cases[i].text));
        }
    }
}

static void test_streams_need_acks_and_prefetch(void **state)
{
    (void)state;
    static const char *const asks[][2] = {
        {"x-queue-type", "stream"}, {"x-stream-offset", "first"}, {"x-stream-filter", "a"}};
    for (size_t i = 0; i < 3; i++) {
        const char *name = asks[i][0];
        const char *value = asks[i][1];
        assert_int_equal(subscribe("/queue/s", HEADERS(name, value)), -1);
        expect_problem("Invalid header", "'ack' must be client or client-individual");
        assert_int_equal(
            subscribe("/queue/s", HEADERS(name, value, "ack", "auto", "prefetch-count", "1")), -1);
        expect_problem("Invalid header", "'ack' must be client or client-individual");
        assert_int_equal(subscribe("/queue/s", HEADERS(name, value, "ack", "client")), -1);
        expect_problem("Missing Header", "'prefetch-count' is required for streams");
        assert_int_equal(subscribe("/queue/s", HEADERS(name, value, "ack", "client-individual",
                                                       "prefetch-count", "1")),
                         0);
    }
    assert_int_equal(subscribe("/queue/s", HEADERS("x-queue-type", "quorum")), 0);
    assert_int_equal(subscribe("/queue/s", HEADERS("x-priority", "1")), 0);
}

static void test_binding_arguments(void **state)
{
    (void)state;
    assert_int_equal(subscribe_as(false, "/exchange/headers",
                                  HEADERS("x-match", "any", "x-bind-kind", "order", "x-bind-n", "5",
                                          "x-bind-integer-n", "6", "x-bind-integer-count", "5",
                                          "x-bind-boolean-urgent", "true", "x-bind-", "?")),
                     -1);
    expect_problem("Invalid header", "'x-bind-' must be followed by the name of a header");
    assert_int_equal(subscribe_as(false, "/exchange/headers",
                                  HEADERS("x-match", "any", "x-bind-kind", "order", "x-bind-n", "5",
                                          "x-bind-integer-n", "6", "x-bind-integer-count", "5",
                                          "x-bind-boolean-urgent", "true")),
                     0);
    assert_int_equal(queue.n_args, 0);
    assert_int_equal(queue.n_binding_args, 5);
    assert_string_equal(queue.name, RANDOM_NAME);
    const struct broker_argument *arg = find(queue.binding_args, 5, "x-match");
    assert_true(arg->type == BROKER_TEXT && slice_is(arg->text, "any"));
    arg = find(queue.binding_args, 5, "kind");
    assert_true(arg->type == BROKER_TEXT && slice_is(arg->text, "order"));
    /* Every SEND's headers are text, so that is what matches them; the first of a name counts. */
    arg = find(queue.binding_args, 5, "n");
    assert_true(arg->type == BROKER_TEXT && slice_is(arg->text, "5"));
    arg = find(queue.binding_args, 5, "count");
    assert_true(arg->type == BROKER_INTEGER && arg->number == 5);
    arg = find(queue.binding_args, 5, "urgent");
    assert_true(arg->type == BROKER_BOOLEAN && arg->number == 1);

    static const char *const matches[] = {"all", "any", "all-with-x", "any-with-x"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(subscribe("/exchange/headers", HEADERS("x-match", matches[i])), 0);
    }
    static const char *const wrong[][2] = {{"x-match", "some"},      {"x-match", ""},
                                           {"x-match", "ALL"},       {"x-bind-integer-a", "b"},
                                           {"x-bind-integer-", "1"}, {"x-bind-boolean-a", "1"}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(subscribe("/exchange/headers", HEADERS(wrong[i][0], wrong[i][1])), -1);
        expect_problem("Invalid header", wrong[i][0]);
    }
    static const char *const elsewhere[] = {"/topic/a", "/exchange/amq.topic/a", "/fanout/a",
                                            "/queue/a", "/amq/queue/a"};
    for (size_t i = 0; i < sizeof(elsewhere) / sizeof(elsewhere[0]); i++) {
        assert_int_equal(subscribe(elsewhere[i], HEADERS("x-bind-a", "b")), -1);
        expect_problem("Invalid header", "'x-bind-a' must be for an exchange of type headers");
    }
}

/* Every method fits into one frame. */
static void test_too_many_arguments(void **state)
{
    (void)state;
    static char names[STOMP_MAX_HEADERS][16];
    static struct stomp_frame frame;
    fill(&frame, STOMP_SUBSCRIBE, "/queue/a", NOTHING);
    for (unsigned i = 0; i < QUEUE_MAX_ARGUMENTS + 1; i++) {
        snprintf(names[i], sizeof(names[i]), "x-a%u", i);
        frame.headers[frame.n_headers++] =
            (struct stomp_header){slice_of(names[i]), SLICE_LITERAL("text")};
        int result =
            queue_from_subscribe(&config, &frame, &destination, RANDOM, true, &queue, &problem);
        assert_int_equal(result, i < QUEUE_MAX_ARGUMENTS ? 0 : -1);
    }
    expect_problem("Invalid header", "'x-a32' must be left out");

    static char value[4000];
    memset(value, 'v', sizeof(value));
    value[QUEUE_MAX_ARGUMENT_BYTES - 10 - strlen("x-overflow")] = '\0';
    assert_int_equal(subscribe("/queue/a", HEADERS("x-overflow", value)), 0);
    assert_int_equal(subscribe("/queue/a", HEADERS("x-overflow", value, "x-max-length", "1")), -1);
    expect_problem("Invalid header", "'x-max-length' must be left out");
    memset(value, ',', sizeof(value));
    value[QUEUE_MAX_ITEMS - 1] = '\0';
    const char *const full[] = {"ack", "client", "prefetch-count", "1", "x-stream-filter",
                                value, NULL};
    assert_int_equal(subscribe("/queue/a", full), 0);
    value[QUEUE_MAX_ITEMS - 1] = ',';
    value[QUEUE_MAX_ITEMS] = '\0';
    assert_int_equal(subscribe("/queue/a", full), -1);
    expect_problem("Invalid header", "'x-stream-filter' must have at most 64 texts");
}

/* ---- Refusals ---- */

static void test_wrong_flags(void **state)
{
    (void)state;
    static const char *const flags[] = {"durable", "persistent", "exclusive", "auto-delete"};
    static const char *const values[] = {"", "1", "TRUE", "yes", " true", "truefalse"};
    for (size_t i = 0; i < 4; i++) {
        for (size_t k = 0; k < sizeof(values) / sizeof(values[0]); k++) {
            assert_int_equal(subscribe("/queue/a", HEADERS(flags[i], values[k])), -1);
            expect_problem("Invalid header", flags[i]);
        }
    }
}

static void test_wrong_names(void **state)
{
    (void)state;
    char name[QUEUE_NAME_MAX + 2];
    memset(name, 'n', sizeof(name));
    name[QUEUE_NAME_MAX + 1] = '\0';
    assert_int_equal(subscribe("/topic/a", HEADERS("x-queue-name", name)), -1);
    expect_problem("Invalid header", "'x-queue-name' must have 1 to 255 bytes");
    assert_int_equal(subscribe("/topic/a", HEADERS("x-queue-name", name + 1)), 0);
    assert_int_equal(queue.name_len, QUEUE_NAME_MAX);
    assert_int_equal(subscribe("/topic/a", HEADERS("x-queue-name", "")), -1);
    assert_int_equal(subscribe("/topic/a", HEADERS("x-queue-name", "a\nb")), -1);
    static const char *const doors[] = {"/topic/a", "/fanout/a", "/exchange/x/k"};
    static const char *const ours[] = {
        "my.store",  "my.dead",     "stompgate.live.x",     "amq.gen-x",
        "amq.topic", "stomp.gen-x", "amq.rabbitmq.reply-to"};
    for (size_t i = 0; i < 3; i++) {
        for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++) {
            assert_int_equal(subscribe(doors[i], HEADERS("x-queue-name", ours[k])), -1);
            expect_problem("Invalid header", "'x-queue-name' must not be a queue that the server");
        }
    }
    /* RabbitMQ's words */
    assert_int_equal(subscribe("/topic/a", HEADERS("durable", "true")), -1);
    assert_string_equal(problem.message, "Missing Header");
    assert_string_equal(problem.text, "Header 'id' is required for durable subscriptions");
    char id[257];
    memset(id, 'i', 256);
    id[256] = '\0';
    assert_int_equal(subscribe("/topic/a", HEADERS("durable", "true", "id", id)), -1);
    assert_int_equal(subscribe("/topic/a", HEADERS("durable", "true", "id", id + 1)), 0);
}

static void test_quorum_and_stream_are_kept(void **state)
{
    (void)state;
    static const char *const types[] = {"quorum", "stream"};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            subscribe("/queue/a", HEADERS("x-queue-type", types[i], "exclusive", "true")), -1);
        expect_problem("Invalid header", "'exclusive' must be false for x-queue-type quorum");
        assert_int_equal(
            subscribe("/queue/a", HEADERS("x-queue-type", types[i], "auto-delete", "true")), -1);
        expect_problem("Invalid header", "'auto-delete' must be false for x-queue-type quorum");
        assert_int_equal(subscribe("/topic/a", HEADERS("x-queue-type", types[i])), -1);
        expect_problem("Invalid header", "'x-queue-type' must come with durable:true");
    }
}

static void test_reserved_names(void **state)
{
    (void)state;
    assert_true(queue_is_reserved(&config, SLICE_LITERAL("my.store")));
    assert_true(queue_is_reserved(&config, SLICE_LITERAL("stompgate.x")));
    assert_true(queue_is_reserved(&config, SLICE_LITERAL("amq.x")));
    assert_true(queue_is_reserved(&config, SLICE_LITERAL("stomp.gen-x")));
    assert_false(queue_is_reserved(&config, SLICE_LITERAL("mine")));
    assert_false(queue_is_reserved(&config, SLICE_LITERAL("stomp-subscription-x")));
    assert_false(queue_is_reserved(&config, SLICE_LITERAL("")));
}

/* ---- Kept ones ---- */

static void assert_same_args(const struct broker_argument *a, const struct broker_argument *b,
                             size_t n)
{
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(a[i].type, b[i].type);
        assert_true(a[i].number == b[i].number);
        assert_true(slice_equals(a[i].name, b[i].name) && a[i].name.ptr != b[i].name.ptr);
        assert_true(slice_equals(a[i].text, b[i].text));
        assert_true(!a[i].text.ptr == !b[i].text.ptr);
        assert_true(!a[i].text.len || a[i].text.ptr != b[i].text.ptr);
    }
}

static void assert_same(const struct session_queue *a, const struct session_queue *b)
{
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->name_len, b->name_len);
    assert_true(a->must_exist == b->must_exist && a->is_durable == b->is_durable &&
                a->is_exclusive == b->is_exclusive && a->is_auto_delete == b->is_auto_delete &&
                a->is_bound == b->is_bound && a->is_named == b->is_named);
    assert_true(a->n_args == b->n_args && a->n_binding_args == b->n_binding_args &&
                a->n_consume_args == b->n_consume_args);
    assert_same_args(a->args, b->args, a->n_args);
    assert_same_args(a->binding_args, b->binding_args, a->n_binding_args);
    assert_same_args(a->consume_args, b->consume_args, a->n_consume_args);
}

static void test_kept_queues_own_everything(void **state)
{
    (void)state;
    assert_int_equal(subscribe("/exchange/h/k",
                               HEADERS("ack", "client", "prefetch-count", "3", "x-message-ttl", "7",
                                       "x-bind-a", "b", "x-stream-filter", "c,d", "x-overflow", "",
                                       "x-match", "all", "x-priority", "2", "x-queue-name", "q")),
                     0);
    assert_true(queue.n_args == 2 && queue.n_binding_args == 2 && queue.n_consume_args == 2);
    struct session_queue *kept = session_queue_keep(&queue);
    assert_non_null(kept);
    assert_same(kept, &queue);
    /* And once more, from a kept one. */
    struct session_queue *again = session_queue_keep(kept);
    assert_same(again, kept);
    free(kept);
    assert_same(again, &queue);
    free(again);
    queue_for_reply(RANDOM, &queue);
    kept = session_queue_keep(&queue);
    assert_same(kept, &queue);
    free(kept);
}

/* ---- At random ---- */

static const char *const random_names[] = {"id",
                                           "ack",
                                           "durable",
                                           "persistent",
                                           "exclusive",
                                           "auto-delete",
                                           "x-queue-name",
                                           "x-message-ttl",
                                           "x-dead-letter-exchange",
                                           "x-queue-type",
                                           "x-dead-letter-routing-key",
                                           "x-single-active-consumer",
                                           "x-match",
                                           "x-bind-a",
                                           "x-bind-integer-b",
                                           "x-priority",
                                           "x-stream-offset",
                                           "x-stream-filter",
                                           "x-new",
                                           "x-stompgate-user",
                                           "prefetch-count",
                                           "CC",
                                           "simpOrigDestination",
                                           "x-overflow"};
static const char *const random_values[] = {
    "true", "false",  "True",   "",         "1",         "-1",       "client",      "auto",
    "any",  "quorum", "stream", "my.store", "my.dead",   "mine",     "stompgate.x", "first",
    "7D",   "a,b",    "other",  "\xc3\xbc", "amq.gen-x", "offset=5", "/user/q/x",   "stomp.gen-x"};
static const char *const random_destinations[] = {
    "/topic/a", "/exchange/x", "/exchange/x/k",  "/fanout/f",
    "/queue/q", "bare",        "/amq/queue/q",   "/reply-queue/r/s",
    "/brief/b", "/topic/a.#",  "/queue/x-user1", "/queue/amq.gen-1",
};
#define PICK(list) (list)[(size_t)rand() % (sizeof(list) / sizeof((list)[0]))]

/* What holds for every queue that comes of a frame. */
static void check_invariants(bool may_shape, bool is_send)
{
    struct slice name = {queue.name, queue.name_len};
    bool is_exchange = destination.kind == DESTINATION_EXCHANGE;
    assert_int_equal(strlen(queue.name), queue.name_len);
    assert_in_range(queue.name_len, 1, QUEUE_NAME_MAX);
    assert_false(destination_is_own_queue(&config, name));
    assert_int_equal(queue.is_bound, is_exchange);
    /* Only who may shapes queues; a queue is the destination's, or has a name nobody knows. */
    if (!is_exchange) {
        assert_string_equal(queue.name, destination.key);
    } else if (!may_shape) {
        assert_string_equal(queue.name, RANDOM_NAME);
        assert_true(queue.is_exclusive && queue.is_auto_delete && !queue.is_durable);
    }
    if (!may_shape || queue.must_exist) {
        assert_int_equal(queue.n_args, 0);
    }
    assert_false(is_send && (queue.is_exclusive || queue.n_consume_args || queue.n_binding_args));
    assert_true(!queue.must_exist || !is_exchange);
    const struct broker_argument *exchange =
        find(queue.args, queue.n_args, "x-dead-letter-exchange");
    const struct broker_argument *key = find(queue.args, queue.n_args, "x-dead-letter-routing-key");
    assert_false(exchange && exchange->text.len == 0 &&
                 (!key || queue_is_reserved(&config, key->text)));
    for (size_t i = 0; i < queue.n_args; i++) {
        assert_true(slice_starts_with(queue.args[i].name, SLICE_LITERAL("x-")));
        assert_false(slice_starts_with(queue.args[i].name, SLICE_LITERAL("x-stompgate-")));
        assert_true(queue.args[i].type != BROKER_BOOLEAN || queue.args[i].number / 2 == 0);
    }
}

static void test_random_frames(void **state)
{
    (void)state;
    static struct stomp_frame frame;
    int n_ok = 0;
    srand(17);
    for (int i = 0; i < 200000; i++) {
        fill(&frame, STOMP_SUBSCRIBE, PICK(random_destinations), NOTHING);
        unsigned n = (unsigned)rand() % 5;
        for (unsigned h = 0; h < n; h++) {
            frame.headers[frame.n_headers++] =
                (struct stomp_header){slice_of(PICK(random_names)), slice_of(PICK(random_values))};
        }
        bool may_shape = rand() % 2;
        bool is_send = rand() % 2 && destination.kind == DESTINATION_QUEUE;
        struct destination before = destination;
        int result =
            is_send ? queue_from_send(&config, &frame, &destination, may_shape, &queue, &problem)
                    : queue_from_subscribe(&config, &frame, &destination, RANDOM, may_shape, &queue,
                                           &problem);
        assert_memory_equal(&destination, &before, sizeof(before));
        if (result != 0) {
            assert_true(problem.message[0] && problem.text[0]);
            continue;
        }
        n_ok++;
        check_invariants(may_shape, is_send);
        struct session_queue *kept = session_queue_keep(&queue);
        assert_non_null(kept);
        assert_same(kept, &queue);
        free(kept);
    }
    assert_in_range(n_ok, 20000, 180000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_subscriptions_want_a_queue),
        cmocka_unit_test(test_names_and_flags),
        cmocka_unit_test(test_the_refused_header_is_named),
        cmocka_unit_test(test_existing_queues),
        cmocka_unit_test(test_durable_names),
        cmocka_unit_test(test_the_queue_behind_a_reply_to),
        cmocka_unit_test(test_queue_of_a_send),
        cmocka_unit_test(test_send_to_a_user_of_spring_declares_nothing),
        cmocka_unit_test(test_integer_arguments),
        cmocka_unit_test(test_boolean_and_text_arguments),
        cmocka_unit_test(test_unknown_arguments),
        cmocka_unit_test(test_dead_letters_never_reach_what_is_ours),
        cmocka_unit_test(test_consumer_arguments),
        cmocka_unit_test(test_streams_need_acks_and_prefetch),
        cmocka_unit_test(test_binding_arguments),
        cmocka_unit_test(test_too_many_arguments),
        cmocka_unit_test(test_wrong_flags),
        cmocka_unit_test(test_wrong_names),
        cmocka_unit_test(test_quorum_and_stream_are_kept),
        cmocka_unit_test(test_reserved_names),
        cmocka_unit_test(test_kept_queues_own_everything),
        cmocka_unit_test(test_random_frames),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
