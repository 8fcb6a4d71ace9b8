/* Publishes against a real RabbitMQ: confirmed, returned, refused alone, and sent again. */
#include "tests/integration/broker_world.h"

/* 50 good ones and one in their middle that makes the broker close the channel. */
static void publish_50_and(struct world *w, const char *exchange,
                           enum broker_publish_status (*bad)(struct world *w))
{
    for (unsigned i = 1; i <= 50; i++) {
        publish(w, exchange, "k", i);
        if (i == 25) {
            assert_int_equal(bad(w), BROKER_ACCEPTED);
        }
    }
}

static void assert_only_the_bad_one_was_refused(struct world *w)
{
    WAIT(w, n_settled, 51);
    REST(w, 100);
    assert_int_equal(w->n_settled, 51);
    assert_int_equal(w->outcomes[BROKER_CONFIRMED], 50);
    assert_int_equal(w->outcomes[BROKER_REFUSED], 1);
    assert_int_equal(w->outcome_by_token[1000], BROKER_REFUSED);
    for (unsigned i = 1; i <= 50; i++) {
        assert_int_equal(w->settled_by_token[i], 1);
        assert_true(w->delivered_by_number[i] >= 1);
    }
}

static enum broker_publish_status bad_exchange(struct world *w)
{
    return publish_with(w, "sgt.no'where", "k", "0", 1000, false, true);
}

static enum broker_publish_status bad_expiration(struct world *w)
{
    struct broker_publish p = {
        .exchange = slice_of("sgt.culprit"),
        .token = 1000,
        .is_client_named = true,
        .properties = {.expiration = SLICE_LITERAL("soon")},
    };
    return broker_publish(w->b, &p);
}

static enum broker_publish_status bad_rights(struct world *w)
{
    return publish_with(w, "amq.rabbitmq.trace", "k", "0", 1000, false, true);
}

static void culprit(enum broker_publish_status (*bad)(struct world *w), const char *words)
{
    struct world *w = open_world("stompgate test culprit");
    keep_exchange(w, "sgt.culprit", "fanout");
    live_queue(w, "sgt.live.culprit");
    bind_key(w, "sgt.live.culprit", "sgt.culprit", "");
    consume(w, "sgt.live.culprit", "culprit", true);
    publish_50_and(w, "sgt.culprit", bad);
    assert_only_the_bad_one_was_refused(w);
    assert_non_null(strstr(w->refused_text, words));
    broker_drop_queue(w->b, "sgt.live.culprit");
    broker_drop_exchange(w->b, "sgt.culprit");
    REST(w, 50);
    close_world(w);
}

static void test_missing_exchange_is_refused_alone(void **state)
{
    (void)state;
    culprit(bad_exchange, "404 NOT_FOUND - no exchange 'sgt.no'where' in vhost '/'");
}

static void test_bad_property_is_refused_alone(void **state)
{
    (void)state;
    culprit(bad_expiration, "406 PRECONDITION_FAILED");
}

static void test_missing_rights_are_refused_alone(void **state)
{
    (void)state;
    culprit(bad_rights, "403 ACCESS_REFUSED");
}

static void test_two_culprits_in_one_batch_are_both_refused(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test culprits");
    keep_exchange(w, "sgt.culprit", "fanout");
    for (unsigned i = 1; i <= 300; i++) {
        publish(w, "sgt.culprit", "k", i);
        if (i % 100 == 0) {
            assert_int_equal(bad_expiration(w), BROKER_ACCEPTED);
            assert_int_equal(bad_rights(w), BROKER_ACCEPTED);
            assert_int_equal(bad_exchange(w), BROKER_ACCEPTED);
        }
    }
    WAIT(w, n_settled, 309);
    assert_int_equal(w->outcomes[BROKER_CONFIRMED], 300);
    assert_int_equal(w->outcomes[BROKER_REFUSED], 9);
    for (unsigned i = 1; i <= 300; i++) {
        assert_int_equal(w->settled_by_token[i], 1);
    }
    broker_drop_exchange(w->b, "sgt.culprit");
    REST(w, 50);
    close_world(w);
}

static void test_missing_exchange_is_declared_again_when_the_owner_wants(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test redeclare");
    admin("DELETE", "/api/exchanges/%2F/sgt.gone", "");
    w->redeclares = true;
    for (unsigned i = 1; i <= 20; i++) {
        publish(w, i % 2 ? "sgt.gone" : "amq.fanout", "k", i);
    }
    WAIT(w, n_settled, 20);
    assert_int_equal(w->outcomes[BROKER_CONFIRMED], 20);
    assert_int_equal(w->n_missing, 1);
    broker_drop_exchange(w->b, "sgt.gone");
    REST(w, 50);
    close_world(w);
}

static void test_mandatory_without_queue_is_returned(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test return");
    live_queue(w, "sgt.live.return");
    bind_key(w, "sgt.live.return", "amq.topic", "sgt.return.yes");
    for (unsigned i = 1; i <= 100; i++) {
        const char *key = i % 3 ? "sgt.return.yes" : "sgt.return.no";
        assert_int_equal(publish_with(w, "amq.topic", key, "x", i, true, false), BROKER_ACCEPTED);
    }
    WAIT(w, n_settled, 100);
    assert_int_equal(w->outcomes[BROKER_RETURNED], 33);
    for (unsigned i = 1; i <= 100; i++) {
        assert_int_equal(w->outcome_by_token[i], i % 3 ? BROKER_CONFIRMED : BROKER_RETURNED);
    }
    close_world(w);
}

static void test_full_queue_nacks(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test nack");
    struct broker_queue spec = {
        .name = "sgt.small", .is_exclusive = true, .max_bytes = 20, .overflow = "reject-publish"};
    assert_true(keep_queue(w, &spec).is_ok);
    bind_key(w, "sgt.small", "amq.topic", "sgt.small");
    for (unsigned i = 1; i <= 50; i++) {
        assert_int_equal(publish_with(w, "amq.topic", "sgt.small", "0123456789", i, true, false),
                         BROKER_ACCEPTED);
        if (i % 10 == 0) {
            WAIT(w, n_settled, i);
        }
    }
    assert_true(w->outcomes[BROKER_NACKED] >= 30);
    assert_true(w->outcomes[BROKER_CONFIRMED] >= 1);
    assert_int_equal(w->outcomes[BROKER_NACKED] + w->outcomes[BROKER_CONFIRMED], 50);
    close_world(w);
}

static void test_exchange_deleted_under_load_comes_back(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test exchange deleted");
    keep_exchange(w, "sgt.load", "topic");
    live_queue(w, "sgt.live.load");
    bind_key(w, "sgt.live.load", "sgt.load", "#");
    consume(w, "sgt.live.load", "load", true);
    for (unsigned i = 1; i <= 3000; i++) {
        publish(w, "sgt.load", "k", i);
        if (i % 500 == 250) {
            assert_int_equal(admin("DELETE", "/api/exchanges/%2F/sgt.load", ""), 204);
        }
        if (i % 10 == 0) {
            REST(w, 1);
        }
    }
    WAIT(w, n_settled, 3000);
    assert_int_equal(w->outcomes[BROKER_CONFIRMED], 3000);
    for (unsigned i = 1; i <= 3000; i++) {
        assert_int_equal(w->settled_by_token[i], 1);
    }
    assert_true(w->n_restored >= 3);
    assert_true(w->n_gaps >= 3);
    publish(w, "sgt.load", "k", 4000);
    for (unsigned i = 0; i < 100 && !w->delivered_by_number[4000]; i++) {
        REST(w, 50);
    }
    assert_int_equal(w->delivered_by_number[4000], 1);
    broker_drop_exchange(w->b, "sgt.load");
    broker_drop_queue(w->b, "sgt.live.load");
    REST(w, 50);
    close_world(w);
}

static void test_connections_killed_under_load_lose_nothing(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test load");
    struct broker_queue spec = {.name = "sgt.durable", .is_durable = true};
    assert_true(keep_queue(w, &spec).is_ok);
    assert_true(bind_key(w, "sgt.durable", "amq.topic", "sgt.durable").is_ok);
    w->acks = true;
    consume(w, "sgt.durable", "durable", false);
    unsigned next = 1;
    for (unsigned kills = 0; kills < 4; kills++) {
        for (unsigned i = 0; i < 500 && next <= 3000; i++) {
            while (publish_with(w, "amq.topic", "sgt.durable", "x", next, true, false) !=
                   BROKER_ACCEPTED) {
                REST(w, 5);
            }
            next++;
        }
        kill_connection(w, "stompgate test load");
    }
    WAIT(w, n_settled, next - 1);
    WAIT(w, n_down, 1);
    WAIT(w, n_delivered, next - 1);
    assert_int_equal(w->n_settled, next - 1);
    assert_int_equal(w->outcomes[BROKER_CONFIRMED], next - 1);
    for (unsigned i = 1; i < next; i++) {
        assert_int_equal(w->settled_by_token[i], 1);
    }
    broker_drop_queue(w->b, "sgt.durable");
    REST(w, 50);
    close_world(w);
}

static void fill(char *body, size_t len)
{
    unsigned x = 12345;
    for (size_t i = 0; i < len; i++) {
        x = x * 1103515245 + 12345;
        body[i] = (char)(x >> 16);
    }
}

struct big {
    char *body;
    size_t len;
    unsigned n_right;
};

static void on_big(void *owner, uint64_t cookie, const struct broker_delivery *d)
{
    struct big *big = owner;
    (void)cookie;
    big->n_right += d->body.len == big->len && memcmp(d->body.ptr, big->body, big->len) == 0 &&
                    slice_is(d->properties.message_id, "the id") && d->properties.n_headers == 1 &&
                    slice_is(d->properties.headers[0].name, "mood") &&
                    slice_is(d->properties.headers[0].value, "good") &&
                    d->properties.has_priority && d->properties.priority == 7;
}

static void test_bodies_of_every_size_arrive_whole(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 131064, 131065, 262128, 262129, (5u << 20) + 3, 20u << 20};
    struct world *w = open_world("stompgate test big");
    struct big big = {0};
    struct broker_header header = {SLICE_LITERAL("mood"), SLICE_LITERAL("good")};
    live_queue(w, "sgt.live.big");
    bind_key(w, "sgt.live.big", "amq.topic", "sgt.big");
    struct broker_consume spec = {
        .queue = "sgt.live.big", .tag = "big", .no_ack = true, .delivery = on_big, .owner = &big};
    assert_int_equal(broker_consume(w->b, &spec), 0);
    REST(w, 100);
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        big.len = sizes[i];
        big.body = malloc(sizes[i] + 1);
        fill(big.body, big.len);
        struct broker_publish p = {
            .exchange = SLICE_LITERAL("amq.topic"),
            .routing_key = SLICE_LITERAL("sgt.big"),
            .body = {big.body, big.len},
            .properties = {.message_id = SLICE_LITERAL("the id"),
                           .has_priority = true,
                           .priority = 7,
                           .headers = &header,
                           .n_headers = 1},
        };
        assert_int_equal(broker_publish(w->b, &p), BROKER_ACCEPTED);
        assert_true(run_for(w, &big.n_right, i + 1, DEADLINE_MS));
        free(big.body);
    }
    WAIT(w, n_settled, 8);
    close_world(w);
}

#define MIXED_N 80
#define MIXED_LARGE 100000

/* Each third one is large; all bytes of one are the same. */
static size_t mixed(char *body, unsigned i)
{
    size_t len = i % 3 == 0 ? MIXED_LARGE : 50;
    memset(body, (int)('0' + i), len);
    return len;
}

static void on_mixed(void *owner, uint64_t cookie, const struct broker_delivery *d)
{
    static char want[MIXED_LARGE];
    unsigned *n_right = owner;
    (void)cookie;
    size_t len = mixed(want, *n_right);
    *n_right += slice_equals(d->body, (struct slice){want, len});
}

/* In one turn, more than the socket takes. */
static void test_large_and_small_ones_keep_their_order(void **state)
{
    (void)state;
    static char body[MIXED_LARGE];
    unsigned n_right = 0;
    struct world *w = open_world("stompgate test mixed");
    live_queue(w, "sgt.live.mixed");
    bind_key(w, "sgt.live.mixed", "amq.topic", "sgt.mixed");
    struct broker_consume spec = {.queue = "sgt.live.mixed",
                                  .tag = "mixed",
                                  .no_ack = true,
                                  .delivery = on_mixed,
                                  .owner = &n_right};
    assert_int_equal(broker_consume(w->b, &spec), 0);
    REST(w, 100);
    for (unsigned i = 0; i < MIXED_N; i++) {
        struct broker_publish p = {
            .exchange = SLICE_LITERAL("amq.topic"),
            .routing_key = SLICE_LITERAL("sgt.mixed"),
            .body = {body, mixed(body, i)},
        };
        assert_int_equal(broker_publish(w->b, &p), BROKER_ACCEPTED);
    }
    assert_true(run_for(w, &n_right, MIXED_N, DEADLINE_MS));
    WAIT(w, n_settled, MIXED_N);
    close_world(w);
}

static void test_full_is_said_and_room_is_told(void **state)
{
    (void)state;
    struct world *w = open_world_as("stompgate test full", false, 0, 20000);
    assert_int_equal(publish_with(w, "amq.topic", "x", "x", 1, false, false), BROKER_FULL);
    WAIT(w, n_up, 1);
    WAIT(w, n_room, 1);
    unsigned n = 0;
    while (publish_with(w, "amq.topic", "x", "x", 1 + n, false, false) == BROKER_ACCEPTED) {
        n++;
    }
    assert_true(n > 10 && n < 200);
    assert_true(broker_is_full(w->b));
    WAIT(w, n_room, 2);
    assert_false(broker_is_full(w->b));
    WAIT(w, n_settled, n);
    char long_name[300];
    memset(long_name, 'x', 299);
    long_name[299] = '\0';
    struct broker_header header = {{long_name, 256}, SLICE_LITERAL("v")};
    struct broker_publish p = {.exchange = SLICE_LITERAL("amq.topic"),
                               .properties = {.headers = &header, .n_headers = 1}};
    assert_int_equal(broker_publish(w->b, &p), BROKER_INVALID);
    assert_int_equal(publish_with(w, "amq.topic", long_name, "x", 1, false, false), BROKER_INVALID);
    close_world(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_exchange_is_refused_alone),
        cmocka_unit_test(test_bad_property_is_refused_alone),
        cmocka_unit_test(test_missing_rights_are_refused_alone),
        cmocka_unit_test(test_two_culprits_in_one_batch_are_both_refused),
        cmocka_unit_test(test_missing_exchange_is_declared_again_when_the_owner_wants),
        cmocka_unit_test(test_mandatory_without_queue_is_returned),
        cmocka_unit_test(test_full_queue_nacks),
        cmocka_unit_test(test_exchange_deleted_under_load_comes_back),
        cmocka_unit_test(test_connections_killed_under_load_lose_nothing),
        cmocka_unit_test(test_bodies_of_every_size_arrive_whole),
        cmocka_unit_test(test_large_and_small_ones_keep_their_order),
        cmocka_unit_test(test_full_is_said_and_room_is_told),
    };
    PREPARE_BROKER_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
