/* Destinations that are queues (contract rabbitmq-stomp 1.1), and who may use them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "gateway/access/acl.h"
#include "gateway/fanout/destination.h"

enum { TOPIC, FANOUT, EXCHANGE, QUEUE, AMQ_QUEUE, JOBS, TASKS, N_ROUTES, NONE };

static struct config_route routes[N_ROUTES] = {
    [TOPIC] = {.prefix = (char *)"/topic/", .exchange = (char *)"amq.topic", .type = CONFIG_TOPIC},
    [FANOUT] = {.prefix = (char *)"/fanout/",
                .exchange = (char *)"",
                .type = CONFIG_FANOUT,
                .declare = true},
    [EXCHANGE] = {.prefix = (char *)"/exchange/", .exchange = (char *)"", .type = CONFIG_ANY},
    [QUEUE] = {.prefix = (char *)"/queue/",
               .exchange = (char *)"",
               .type = CONFIG_QUEUE,
               .declare = true},
    [AMQ_QUEUE] = {.prefix = (char *)"/amq/queue/", .exchange = (char *)"", .type = CONFIG_QUEUE},
    [JOBS] = {.prefix = (char *)"/jobs/", .exchange = (char *)"", .type = CONFIG_QUEUE},
    [TASKS] = {.prefix = (char *)"/jobs/new/",
               .exchange = (char *)"",
               .type = CONFIG_QUEUE,
               .declare = true},
};
static const struct config config = {
    .routes = routes,
    .n_routes = N_ROUTES,
    .store = {.queue = (char *)"my.store", .dead_queue = (char *)"my.dead"},
};

#define A10 "aaaaaaaaaa"
#define A50 A10 A10 A10 A10 A10
#define A250 A50 A50 A50 A50 A50
#define A255 A250 "12345"

static const struct {
    const char *name;
    enum destination_kind kind;
    int route;
    const char *queue;
} good[] = {
    /* declared */
    {"/queue/a", DESTINATION_QUEUE, QUEUE, "a"},
    {"/queue/a.b", DESTINATION_QUEUE, QUEUE, "a.b"},
    {"/queue/a%2Fb", DESTINATION_QUEUE, QUEUE, "a/b"},
    {"/queue/a%2fb", DESTINATION_QUEUE, QUEUE, "a%2fb"},
    {"/queue/%2F", DESTINATION_QUEUE, QUEUE, "/"},
    {"/queue/100%25", DESTINATION_QUEUE, QUEUE, "100%"},
    {"/queue/100%", DESTINATION_QUEUE, QUEUE, "100%"},
    {"/queue/a%20b", DESTINATION_QUEUE, QUEUE, "a%20b"},
    {"/queue/a b", DESTINATION_QUEUE, QUEUE, "a b"},
    {"/queue/ a", DESTINATION_QUEUE, QUEUE, " a"},
    {"/queue/gr\xc3\xbc\xc3\x9f", DESTINATION_QUEUE, QUEUE, "gr\xc3\xbc\xc3\x9f"},
    {"/queue/*", DESTINATION_QUEUE, QUEUE, "*"},
    {"/queue/#", DESTINATION_QUEUE, QUEUE, "#"},
    {"/queue/a.*.#", DESTINATION_QUEUE, QUEUE, "a.*.#"},
    {"/queue/queue", DESTINATION_QUEUE, QUEUE, "queue"},
    {"/queue/A", DESTINATION_QUEUE, QUEUE, "A"},
    {"/queue/stomp-subscription-x", DESTINATION_QUEUE, QUEUE, "stomp-subscription-x"},
    {"/queue/stompgate", DESTINATION_QUEUE, QUEUE, "stompgate"},
    {"/queue/amq", DESTINATION_QUEUE, QUEUE, "amq"},
    {"/queue/x-user1a2b", DESTINATION_QUEUE, QUEUE, "x-user1a2b"},
    {"/queue/" A255, DESTINATION_QUEUE, QUEUE, A255},
    {"/queue/" A250 "1234%2F", DESTINATION_QUEUE, QUEUE, A250 "1234/"},
    /* no slash at all */
    {"a", DESTINATION_QUEUE, QUEUE, "a"},
    {"queue", DESTINATION_QUEUE, QUEUE, "queue"},
    {"topic", DESTINATION_QUEUE, QUEUE, "topic"},
    {"a.b", DESTINATION_QUEUE, QUEUE, "a.b"},
    {"a%2Fb", DESTINATION_QUEUE, QUEUE, "a/b"},
    {"%2Ftopic%2Fa", DESTINATION_QUEUE, QUEUE, "/topic/a"},
    {" ", DESTINATION_QUEUE, QUEUE, " "},
    {"#", DESTINATION_QUEUE, QUEUE, "#"},
    {A255, DESTINATION_QUEUE, QUEUE, A255},
    /* existing */
    {"/amq/queue/a", DESTINATION_AMQ_QUEUE, AMQ_QUEUE, "a"},
    {"/amq/queue/a%2Fb", DESTINATION_AMQ_QUEUE, AMQ_QUEUE, "a/b"},
    {"/amq/queue/amq.gen-Xy_1", DESTINATION_AMQ_QUEUE, AMQ_QUEUE, "amq.gen-Xy_1"},
    {"/amq/queue/stomp.gen-Xy_1", DESTINATION_AMQ_QUEUE, AMQ_QUEUE, "stomp.gen-Xy_1"},
    /* who made such a name declared it */
    {"/queue/amq.gen-Xy_1", DESTINATION_AMQ_QUEUE, QUEUE, "amq.gen-Xy_1"},
    {"stomp.gen-Xy_1", DESTINATION_AMQ_QUEUE, QUEUE, "stomp.gen-Xy_1"},
    /* raw */
    {"/reply-queue/a", DESTINATION_REPLY_QUEUE, AMQ_QUEUE, "a"},
    {"/reply-queue/a/b", DESTINATION_REPLY_QUEUE, AMQ_QUEUE, "a/b"},
    {"/reply-queue//queue/a", DESTINATION_REPLY_QUEUE, AMQ_QUEUE, "/queue/a"},
    {"/reply-queue/a/", DESTINATION_REPLY_QUEUE, AMQ_QUEUE, "a/"},
    {"/reply-queue//", DESTINATION_REPLY_QUEUE, AMQ_QUEUE, "/"},
    {"/reply-queue/a%2Fb%25", DESTINATION_REPLY_QUEUE, AMQ_QUEUE, "a%2Fb%25"},
    {"/reply-queue/amq.gen-Xy_1", DESTINATION_REPLY_QUEUE, AMQ_QUEUE, "amq.gen-Xy_1"},
    {"/reply-queue/stomp.gen-Xy_1", DESTINATION_REPLY_QUEUE, AMQ_QUEUE, "stomp.gen-Xy_1"},
    {"/reply-queue/" A255, DESTINATION_REPLY_QUEUE, AMQ_QUEUE, A255},
    /* for reply-to alone; the name is the client's, not a queue's */
    {"/temp-queue/a", DESTINATION_TEMP_QUEUE, AMQ_QUEUE, "a"},
    {"/temp-queue/a%2Fb", DESTINATION_TEMP_QUEUE, AMQ_QUEUE, "a/b"},
    {"/temp-queue/my.store", DESTINATION_TEMP_QUEUE, AMQ_QUEUE, "my.store"},
    /* the longest prefix */
    {"/jobs/a", DESTINATION_AMQ_QUEUE, JOBS, "a"},
    {"/jobs/new/a", DESTINATION_QUEUE, TASKS, "a"},
};

static void test_queue_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct destination d;
        memset(&d, 0x55, sizeof(d));
        if (destination_resolve(&config, slice_of(good[i].name), &d) != DESTINATION_OK) {
            fail_msg("'%s' was refused", good[i].name);
        }
        if (d.kind != good[i].kind || d.route != &routes[good[i].route]) {
            fail_msg("'%s': kind %d, route %s", good[i].name, d.kind, d.route->prefix);
        }
        assert_string_equal(d.key, good[i].queue);
        assert_int_equal(d.key_len, strlen(good[i].queue));
        assert_string_equal(d.exchange, "");
        assert_int_equal(d.exchange_len, 0);
        assert_false(d.is_pattern || d.is_client_named);
        bool is_temp = d.kind == DESTINATION_TEMP_QUEUE;
        assert_int_equal(destination_check_send(&d),
                         is_temp ? DESTINATION_TEMP_SEND : DESTINATION_OK);
        assert_int_equal(destination_check_subscribe(&d),
                         is_temp ? DESTINATION_TEMP_SUBSCRIBE : DESTINATION_OK);
    }
}

#define INVALID DESTINATION_INVALID
#define UNKNOWN DESTINATION_UNKNOWN
#define TOO_LONG DESTINATION_TOO_LONG
#define OURS DESTINATION_OURS
#define CONTROL DESTINATION_CONTROL
#define UNKNOWN_BODY(name)                                                                         \
    "'" name "' is not a valid destination.\nValid destination types are: /temp-queue, "           \
    "/exchange, /topic, /queue, /amq/queue, /reply-queue/.\n"

/* Wrong, each with RabbitMQ's words; NULL: it has none, because it takes it. */
static const struct {
    const char *name;
    enum destination_error error;
    const char *body;
} bad[] = {
    {"/queue", INVALID, "'' is not a valid queue destination\n"},
    {"/queue/", INVALID, "'/' is not a valid queue destination\n"},
    {"/queue/bah/baz", INVALID, "'/bah/baz' is not a valid queue destination\n"},
    {"/queue/a/", INVALID, "'/a/' is not a valid queue destination\n"},
    {"/queue//a", INVALID, "'//a' is not a valid queue destination\n"},
    {"/queue//", INVALID, "'//' is not a valid queue destination\n"},
    {"/queue/a/b/c", INVALID, "'/a/b/c' is not a valid queue destination\n"},
    {"/amq/queue", INVALID, "'' is not a valid amqqueue destination\n"},
    {"/amq/queue/", INVALID, "'/' is not a valid amqqueue destination\n"},
    {"/amq/queue/a/b", INVALID, "'/a/b' is not a valid amqqueue destination\n"},
    {"/temp-queue", INVALID, "'' is not a valid temp_queue destination\n"},
    {"/temp-queue/", INVALID, "'/' is not a valid temp_queue destination\n"},
    {"/temp-queue/a/b", INVALID, "'/a/b' is not a valid temp_queue destination\n"},
    {"/reply-queue/", INVALID, "'/' is not a valid reply_queue destination\n"},
    {"/exchange", INVALID, "'' is not a valid exchange destination\n"},
    {"/exchange//foo", INVALID, "'//foo' is not a valid exchange destination\n"},
    {"/topic", INVALID, "'' is not a valid topic destination\n"},
    {"/topic/", INVALID, "'/' is not a valid topic destination\n"},
    {"/jobs/a/b", INVALID, "'/a/b' is not a valid jobs destination\n"},
    {"/jobs/new", INVALID, "'/new' is not a valid jobs destination\n"},
    {"", DESTINATION_MISSING, "Destination cannot be blank"},
    {"/", UNKNOWN, UNKNOWN_BODY("/")},
    {"//", UNKNOWN, UNKNOWN_BODY("//")},
    {"/amq", UNKNOWN, UNKNOWN_BODY("/amq")},
    {"/amq/", UNKNOWN, UNKNOWN_BODY("/amq/")},
    {"/amq/a", UNKNOWN, UNKNOWN_BODY("/amq/a")},
    {"/amq/queues/a", UNKNOWN, UNKNOWN_BODY("/amq/queues/a")},
    {"/reply-queue", UNKNOWN, UNKNOWN_BODY("/reply-queue")},
    {"/reply-queues/a", UNKNOWN, UNKNOWN_BODY("/reply-queues/a")},
    {"/temp-queues/a", UNKNOWN, UNKNOWN_BODY("/temp-queues/a")},
    {"/queues/a", UNKNOWN, UNKNOWN_BODY("/queues/a")},
    {"/Queue/a", UNKNOWN, UNKNOWN_BODY("/Queue/a")},
    {"/user/queue/a", UNKNOWN, UNKNOWN_BODY("/user/queue/a")},
    {"queue/a", UNKNOWN, UNKNOWN_BODY("queue/a")},
    {"a/", UNKNOWN, UNKNOWN_BODY("a/")},
    {"a/b", UNKNOWN, UNKNOWN_BODY("a/b")},
    {" /queue/a", UNKNOWN, UNKNOWN_BODY(" /queue/a")},
    {"//queue/a", UNKNOWN, UNKNOWN_BODY("//queue/a")},
    {"/queue/" A255 "6", TOO_LONG, NULL},
    {"/reply-queue/" A255 "6", TOO_LONG, NULL},
    {A255 "6", TOO_LONG, NULL},
    {"/queue/a\tb", CONTROL, NULL},
    {"a\nb", CONTROL, NULL},
    {"/reply-queue/a\x7f", CONTROL, NULL},
};

static void test_queue_names_in_wrong_spellings(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct destination d = {.key_len = 77};
        char body[512];
        enum destination_error error = destination_resolve(&config, slice_of(bad[i].name), &d);
        if (error != bad[i].error) {
            fail_msg("'%s': error %d, not %d", bad[i].name, error, bad[i].error);
        }
        assert_int_equal(d.key_len, 77);
        destination_error_body(error, slice_of(bad[i].name), body, sizeof(body));
        if (bad[i].body) {
            assert_string_equal(body, bad[i].body);
        }
        assert_string_equal(destination_error_message(error),
                            error == UNKNOWN ? "Unknown destination" : "Invalid destination");
    }
}

static void test_temp_queue_is_for_reply_to(void **state)
{
    (void)state;
    char body[512];
    struct slice name = SLICE_LITERAL("/temp-queue/a");
    destination_error_body(DESTINATION_TEMP_SEND, name, body, sizeof(body));
    assert_string_equal(body, "'/temp-queue/a' is not a valid destination for 'SEND'\n");
    destination_error_body(DESTINATION_TEMP_SUBSCRIBE, name, body, sizeof(body));
    assert_string_equal(body, "'/temp-queue/a' is not a valid destination for 'SUBSCRIBE'\n");
    assert_string_equal(destination_error_message(DESTINATION_TEMP_SEND), "Invalid destination");
}

/* A11: our own queues, by every spelling there is. */
static void test_own_queues_cannot_be_reached(void **state)
{
    (void)state;
    static const char *const doors[] = {"/queue/", "/amq/queue/", "/reply-queue/",
                                        "",        "/jobs/",      "/jobs/new/"};
    static const char *const ours[] = {
        "my.store",
        "my.dead",
        "stompgate.",
        "stompgate.live.chat-1.0.amq.topic.9c7283",
        "stompgate.overflow.chat-1.0.live.9c7283",
        "amq.",
        "amq.topic",
        "amq.rabbitmq.reply-to",
        "amq.rabbitmq.reply-to.g1h2AA",
        "amq.gen",
        "amq.ctag-x",
    };
    for (size_t i = 0; i < sizeof(doors) / sizeof(doors[0]); i++) {
        for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++) {
            char name[128];
            char body[512];
            struct destination d;
            snprintf(name, sizeof(name), "%s%s", doors[i], ours[k]);
            if (destination_resolve(&config, slice_of(name), &d) != OURS) {
                fail_msg("'%s' was let through", name);
            }
            destination_error_body(OURS, slice_of(name), body, sizeof(body));
            assert_non_null(strstr(body, name));
            assert_string_equal(destination_error_message(OURS), "access_refused");
        }
    }
    /* One byte beside it is another queue. */
    static const char *const others[] = {
        "/queue/my.store2", "my.stor",     "/queue/My.store",
        "/queue/stompgate", "my%2Estore",  "/queue/ my.store",
        "/queue/AMQ.x",     "stompgate-a", "/reply-queue//my.store"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct destination d;
        if (destination_resolve(&config, slice_of(others[i]), &d) != DESTINATION_OK) {
            fail_msg("'%s' was refused", others[i]);
        }
    }
}

/* Where /queue/ is a broadcast (SimpleBroker), there are no bare names, and no door behind
 * /reply-queue/ but for who was asked. */
static void test_queue_made_a_topic(void **state)
{
    (void)state;
    struct config_route topics[] = {
        {.prefix = (char *)"/queue/", .exchange = (char *)"q", .type = CONFIG_TOPIC}};
    const struct config c = {.routes = topics, .n_routes = 1};
    struct destination d;
    char name[64];
    assert_int_equal(destination_resolve(&c, SLICE_LITERAL("/queue/a/b"), &d), DESTINATION_OK);
    assert_int_equal(d.kind, DESTINATION_EXCHANGE);
    assert_string_equal(d.exchange, "q");
    assert_string_equal(d.key, "a.b");
    assert_int_equal(destination_resolve(&c, SLICE_LITERAL("a"), &d), UNKNOWN);
    assert_int_equal(destination_resolve(&c, SLICE_LITERAL("/reply-queue/a"), &d), DESTINATION_OK);
    assert_false(acl_may_send(&d, SLICE_LITERAL("ann")));
    assert_int_equal(destination_resolve(&c, SLICE_LITERAL("/reply-queue/amq.gen-1"), &d),
                     DESTINATION_OK);
    assert_true(acl_may_send(&d, SLICE_LITERAL("ann")));
    assert_false(acl_may_subscribe(&d, SLICE_LITERAL("ann")));
    assert_int_equal(
        destination_spell(&c, SLICE_LITERAL(""), SLICE_LITERAL("a"), name, sizeof(name)), 8);
    assert_string_equal(name, "/queue/a");
}

static void test_spell_queues(void **state)
{
    (void)state;
    static const char *const spellings[][2] = {
        {"orders", "/queue/orders"},     {"a/b", "/queue/a%2Fb"},
        {"100%", "/queue/100%25"},       {"a%2Fb", "/queue/a%252Fb"},
        {"a\nb", "/queue/a%0Ab"},        {"amq.gen-1", "/queue/amq.gen-1"},
        {"my.store", "/queue/my.store"},
    };
    for (size_t i = 0; i < sizeof(spellings) / sizeof(spellings[0]); i++) {
        char name[64];
        destination_spell(&config, SLICE_LITERAL(""), slice_of(spellings[i][0]), name,
                          sizeof(name));
        assert_string_equal(name, spellings[i][1]);
    }
    /* Where /queue/ is another's, the first door that leads back. */
    struct config_route doors[] = {
        {.prefix = (char *)"/queue/", .exchange = (char *)"q", .type = CONFIG_TOPIC},
        {.prefix = (char *)"/jobs/", .exchange = (char *)"", .type = CONFIG_QUEUE}};
    const struct config c = {.routes = doors, .n_routes = 2};
    char name[64];
    destination_spell(&c, SLICE_LITERAL(""), SLICE_LITERAL("a/b"), name, sizeof(name));
    assert_string_equal(name, "/jobs/a%2Fb");
}

/* 200,000 random names: what resolves is spelled by a name that leads back to the very same pair,
 * and no queue is an exchange. */
static void test_random_names_lead_back(void **state)
{
    (void)state;
    static const char *const pieces[] = {"/queue/",
                                         "/amq/queue/",
                                         "/reply-queue/",
                                         "/temp-queue/",
                                         "/topic/",
                                         "/exchange/",
                                         "/jobs/",
                                         "/",
                                         "%2F",
                                         "%25",
                                         "%",
                                         ".",
                                         "a",
                                         "amq.",
                                         "gen-",
                                         "stomp.",
                                         "my.store",
                                         "#",
                                         "*",
                                         "\xc3\xbc",
                                         "2F"};
    const size_t n_pieces = sizeof(pieces) / sizeof(pieces[0]);
    size_t n_queues = 0;
    srand(5);
    for (int i = 0; i < 200000; i++) {
        char text[128] = "";
        char spelled[1024];
        struct destination d;
        struct destination again;
        size_t n = 1 + (size_t)rand() % 5;
        for (size_t k = 0; k < n; k++) {
            strcat(text, pieces[(size_t)rand() % n_pieces]);
        }
        if (destination_resolve(&config, slice_of(text), &d) != DESTINATION_OK ||
            d.kind == DESTINATION_TEMP_QUEUE) {
            continue;
        }
        assert_int_equal(d.kind == DESTINATION_EXCHANGE, d.exchange_len > 0);
        assert_false(d.exchange_len == 0 &&
                     destination_is_own_queue(&config, (struct slice){d.key, d.key_len}));
        size_t len = destination_spell(&config, (struct slice){d.exchange, d.exchange_len},
                                       (struct slice){d.key, d.key_len}, spelled, sizeof(spelled));
        if (destination_resolve(&config, (struct slice){spelled, len}, &again) != DESTINATION_OK ||
            strcmp(again.exchange, d.exchange) != 0 || strcmp(again.key, d.key) != 0) {
            fail_msg("'%s' was spelled '%s'", text, spelled);
        }
        n_queues += d.kind != DESTINATION_EXCHANGE;
    }
    assert_true(n_queues > 10000);
}

/* ---- Rights ---- */

static bool may(bool (*ask)(const struct destination *, struct slice), const struct config *c,
                const char *name, const char *user)
{
    struct destination d;
    assert_int_equal(destination_resolve(c, slice_of(name), &d), DESTINATION_OK);
    return ask(&d, slice_of(user));
}

static void test_rights_by_the_door_that_was_used(void **state)
{
    (void)state;
    char *ann[] = {(char *)"ann"};
    char *bob[] = {(char *)"bob"};
    struct config_route doors[] = {
        {.prefix = (char *)"/queue/",
         .exchange = (char *)"",
         .type = CONFIG_QUEUE,
         .declare = true,
         .send = {ann, 1},
         .subscribe = {bob, 1},
         .queues = {ann, 1}},
        {.prefix = (char *)"/amq/queue/",
         .exchange = (char *)"",
         .type = CONFIG_QUEUE,
         .send = {bob, 1},
         .subscribe = {ann, 1}},
    };
    const struct config c = {.routes = doors, .n_routes = 2};
    static const char *const declared[] = {"/queue/a", "a", "/queue/amq.gen-1"};
    for (size_t i = 0; i < 3; i++) {
        assert_true(may(acl_may_send, &c, declared[i], "ann"));
        assert_false(may(acl_may_send, &c, declared[i], "bob"));
        assert_false(may(acl_may_subscribe, &c, declared[i], "ann"));
        assert_true(may(acl_may_subscribe, &c, declared[i], "bob"));
        assert_true(may(acl_may_shape, &c, declared[i], "ann"));
        assert_false(may(acl_may_shape, &c, declared[i], "bob"));
    }
    static const char *const existing[] = {"/amq/queue/a", "/reply-queue/a", "/reply-queue/a/b"};
    for (size_t i = 0; i < 3; i++) {
        assert_false(may(acl_may_send, &c, existing[i], "ann"));
        assert_true(may(acl_may_send, &c, existing[i], "bob"));
        assert_true(may(acl_may_subscribe, &c, existing[i], "ann"));
        assert_false(may(acl_may_subscribe, &c, existing[i], "bob"));
        assert_false(may(acl_may_shape, &c, existing[i], "ann"));
    }
}

/* Who knows a name that a server made was asked: he may answer, and no more. */
static void test_rights_to_answer(void **state)
{
    (void)state;
    assert_true(may(acl_may_send, &config, "/reply-queue/amq.gen-1", "eve"));
    assert_true(may(acl_may_send, &config, "/reply-queue/stomp.gen-1", "anonymous"));
    static const char *const closed[] = {"/reply-queue/amq.gen",    "/reply-queue/a",
                                         "/reply-queue//amq.gen-1", "/amq/queue/amq.gen-1",
                                         "/queue/stomp.gen-1",      "stomp.gen-1"};
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        struct destination d;
        if (destination_resolve(&config, slice_of(closed[i]), &d) == DESTINATION_OK) {
            assert_false(acl_may_send(&d, SLICE_LITERAL("eve")));
        }
    }
    /* Nobody else's answers, whoever he is. */
    char *all[] = {(char *)"*"};
    struct config_route doors[] = {
        {.prefix = (char *)"/queue/",
         .exchange = (char *)"",
         .type = CONFIG_QUEUE,
         .subscribe = {all, 1}},
        {.prefix = (char *)"/amq/queue/",
         .exchange = (char *)"",
         .type = CONFIG_QUEUE,
         .send = {all, 1},
         .subscribe = {all, 1}},
    };
    const struct config open = {.routes = doors, .n_routes = 2};
    static const char *const others[] = {"/queue/stomp.gen-1", "stomp.gen-1",
                                         "/amq/queue/stomp.gen-1", "/reply-queue/stomp.gen-1"};
    for (size_t i = 0; i < 4; i++) {
        assert_false(may(acl_may_subscribe, &open, others[i], "ann"));
    }
    assert_true(may(acl_may_subscribe, &open, "/amq/queue/amq.gen-1", "ann"));
    assert_true(may(acl_may_send, &open, "/amq/queue/a", "ann"));
    assert_false(may(acl_may_send, &open, "/temp-queue/a", "ann"));
    assert_false(may(acl_may_subscribe, &open, "/temp-queue/a", "ann"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_queue_names),
        cmocka_unit_test(test_queue_names_in_wrong_spellings),
        cmocka_unit_test(test_temp_queue_is_for_reply_to),
        cmocka_unit_test(test_own_queues_cannot_be_reached),
        cmocka_unit_test(test_queue_made_a_topic),
        cmocka_unit_test(test_spell_queues),
        cmocka_unit_test(test_random_names_lead_back),
        cmocka_unit_test(test_rights_by_the_door_that_was_used),
        cmocka_unit_test(test_rights_to_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
