/* broker_on_missing_queue() against a real RabbitMQ: queues that an administrator deletes under the
 * publishes. */
#include "broker_world.h"

static unsigned n_asked;
static bool declares;
static const char *declares_instead;

static bool on_missing_queue(void *owner, struct slice queue)
{
    struct world *w = owner;
    n_asked++;
    if (!declares) {
        return false;
    }
    struct broker_declare spec = {.name = queue, .is_durable = true};
    if (declares_instead) {
        spec.name = slice_of(declares_instead);
    }
    return broker_declare_queue(w->b, &spec, NULL, 0) == 0;
}

static struct world *open_absent_world(const char *name)
{
    const char *host = getenv("STOMPGATE_AMQP");
    struct world *w = calloc(1, sizeof(*w));
    n_asked = 0;
    declares = true;
    declares_instead = NULL;
    uv_loop_init(&w->loop);
    struct broker_options options = {
        .hosts = &host,
        .n_hosts = 1,
        .vhost = "/",
        .user = "guest",
        .password = "guest",
        .name = name,
        .heartbeat_s = 5,
        .reconnect_min_ms = 50,
        .reconnect_max_ms = 500,
        .is_publisher = true,
        .unconfirmed_bytes = 64 << 20,
    };
    w->is_in_order = true;
    w->b = broker_new(&w->loop, &options, &EVENTS, w);
    assert_non_null(w->b);
    broker_on_missing_queue(w->b, on_missing_queue);
    broker_start(w->b);
    WAIT(w, n_up, 1);
    return w;
}

static void delete_queue(const char *name)
{
    char path[300];
    snprintf(path, sizeof(path), "/api/queues/%%2F/%s", name);
    admin("DELETE", path, "");
}

static void declare(struct world *w, const char *name)
{
    struct broker_declare spec = {.name = slice_of(name), .is_durable = true};
    unsigned n = w->n_done;
    assert_int_equal(broker_declare_queue(w->b, &spec, on_done, 1), 0);
    WAIT(w, n_done, n + 1);
    assert_true(w->reply.is_ok);
}

static void send_to(struct world *w, const char *queue, uint64_t token, bool is_client_named)
{
    char body[32];
    snprintf(body, sizeof(body), "%llu", (unsigned long long)token);
    assert_int_equal(publish_with(w, "", queue, body, token, true, is_client_named),
                     BROKER_ACCEPTED);
}

static void assert_settled_once(const struct world *w, unsigned from, unsigned to,
                                enum broker_outcome outcome)
{
    for (unsigned i = from; i <= to; i++) {
        assert_int_equal(w->settled_by_token[i], 1);
        assert_int_equal(w->outcome_by_token[i], outcome);
    }
}

static void assert_holds_in_order(struct world *w, const char *queue, unsigned from, unsigned to)
{
    w->n_delivered = 0;
    w->last_number = 0;
    consume(w, queue, queue, true);
    WAIT(w, n_delivered, to - from + 1);
    REST(w, 20);
    assert_int_equal(w->n_delivered, to - from + 1);
    assert_true(w->is_in_order);
    assert_int_equal(w->last_number, to);
    for (unsigned i = from; i <= to; i++) {
        assert_int_equal(w->delivered_by_number[i], 1);
    }
    broker_cancel(w->b, queue);
}

static void test_deleted_queue_is_declared_again_and_order_is_kept(void **state)
{
    (void)state;
    struct world *w = open_absent_world("absent order");
    declare(w, "t.absent");
    for (unsigned i = 1; i <= 10; i++) {
        send_to(w, "t.absent", i, false);
    }
    WAIT(w, n_settled, 10);
    delete_queue("t.absent");
    unsigned token = 11;
    while (w->n_settled < 60 && token < MAX_NOTES) { /* through all steps, until it stands again */
        send_to(w, "t.absent", token++, false);
        uv_run(&w->loop, UV_RUN_NOWAIT);
    }
    WAIT(w, n_settled, token - 1);
    assert_settled_once(w, 1, token - 1, BROKER_CONFIRMED);
    assert_int_equal(n_asked, 1);
    struct broker_stats stats;
    broker_stats(w->b, &stats);
    assert_int_equal(stats.unconfirmed, 0);
    assert_int_equal(stats.unconfirmed_bytes, 0);
    assert_int_equal(stats.returned, 0);
    assert_holds_in_order(w, "t.absent", 11, token - 1);
    delete_queue("t.absent");
    close_world(w);
}

static void test_many_queues_are_gone_at_once(void **state)
{
    (void)state;
    struct world *w = open_absent_world("absent many");
    char queue[40];
    for (unsigned i = 0; i < 20; i++) {
        snprintf(queue, sizeof(queue), "t.absent.%u", i);
        delete_queue(queue);
    }
    for (unsigned i = 1; i <= 400; i++) {
        snprintf(queue, sizeof(queue), "t.absent.%u", i % 20);
        send_to(w, queue, i, i % 40 < 20);
        if (i % 70 == 0) {
            uv_run(&w->loop, UV_RUN_NOWAIT);
        }
    }
    WAIT(w, n_settled, 400);
    assert_settled_once(w, 1, 400, BROKER_CONFIRMED);
    assert_in_range(n_asked, 20, 40); /* over both channels */
    for (unsigned i = 0; i < 20; i++) {
        snprintf(queue, sizeof(queue), "t.absent.%u", i);
        delete_queue(queue);
    }
    close_world(w);
}

static void test_others_go_on_meanwhile(void **state)
{
    (void)state;
    struct world *w = open_absent_world("absent others");
    delete_queue("t.absent");
    declare(w, "t.present");
    declares = false;
    for (unsigned i = 1; i <= 100; i++) {
        send_to(w, i % 2 ? "t.absent" : "t.present", i, true);
    }
    WAIT(w, n_settled, 100);
    for (unsigned i = 1; i <= 100; i++) {
        assert_settled_once(w, i, i, i % 2 ? BROKER_RETURNED : BROKER_CONFIRMED);
    }
    assert_int_equal(n_asked, 1);
    delete_queue("t.present");
    close_world(w);
}

/* The owner says yes, and the queue is still not there. */
static void test_each_is_sent_again_once(void **state)
{
    (void)state;
    struct world *w = open_absent_world("absent once");
    declares_instead = "t.absent.other";
    for (unsigned i = 1; i <= 60; i++) {
        send_to(w, "t.absent.never", i, true);
        if (i % 20 == 0) {
            uv_run(&w->loop, UV_RUN_NOWAIT);
        }
    }
    WAIT(w, n_settled, 60);
    assert_settled_once(w, 1, 60, BROKER_RETURNED);
    assert_in_range(n_asked, 1, 60);
    struct broker_stats stats;
    broker_stats(w->b, &stats);
    assert_int_equal(stats.returned, 60);
    assert_true(stats.published <= 120);
    delete_queue("t.absent.other");
    close_world(w);
}

static enum broker_publish_status close_the_channel(struct world *w, uint64_t token)
{
    struct broker_publish p = {
        .exchange = slice_of("amq.fanout"),
        .token = token,
        .is_client_named = true,
        .properties = {.expiration = SLICE_LITERAL("soon")},
    };
    return broker_publish(w->b, &p);
}

static void test_channel_closes_meanwhile(void **state)
{
    (void)state;
    struct world *w = open_absent_world("absent channel");
    for (unsigned round = 0; round < 12; round++) {
        delete_queue("t.absent");
        unsigned first = 1 + round * 40;
        for (unsigned i = 0; i < 40; i++) {
            if (i == 20) {
                assert_int_equal(close_the_channel(w, first + i), BROKER_ACCEPTED);
            } else {
                send_to(w, "t.absent", first + i, true);
            }
            if (i % (round + 3) == 0) {
                uv_run(&w->loop, round % 2 ? UV_RUN_NOWAIT : UV_RUN_ONCE);
            }
        }
        WAIT(w, n_settled, first + 39);
        for (unsigned i = 0; i < 40; i++) {
            assert_settled_once(w, first + i, first + i,
                                i == 20 ? BROKER_REFUSED : BROKER_CONFIRMED);
        }
    }
    delete_queue("t.absent");
    close_world(w);
}

static void test_connection_is_lost_meanwhile(void **state)
{
    (void)state;
    struct world *w = open_absent_world("absent lost");
    delete_queue("t.absent");
    kill_connection(w, "absent lost");
    unsigned token = 0;
    while (w->n_down == 0) {
        if (broker_is_full(w->b) || token >= 3000) {
            uv_run(&w->loop, UV_RUN_ONCE);
            continue;
        }
        send_to(w, "t.absent", ++token, true);
        if (token % 50 == 0) {
            uv_run(&w->loop, UV_RUN_NOWAIT);
            delete_queue("t.absent");
        }
    }
    WAIT(w, n_settled, token);
    for (unsigned i = 1; i <= token; i++) {
        assert_int_equal(w->settled_by_token[i], 1);
    }
    delete_queue("t.absent");
    close_world(w);
}

static void test_stop_settles_what_waits(void **state)
{
    (void)state;
    struct world *w = open_absent_world("absent stop");
    delete_queue("t.absent");
    for (unsigned i = 1; i <= 300; i++) {
        send_to(w, "t.absent", i, true);
        if (i % 100 == 0) {
            uv_run(&w->loop, UV_RUN_ONCE);
        }
    }
    broker_stop(w->b, on_stopped);
    WAIT(w, n_stopped, 1);
    assert_int_equal(w->n_settled, 300);
    for (unsigned i = 1; i <= 300; i++) {
        assert_int_equal(w->settled_by_token[i], 1);
    }
    broker_free(w->b);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    free(w);
    delete_queue("t.absent");
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_deleted_queue_is_declared_again_and_order_is_kept),
        cmocka_unit_test(test_many_queues_are_gone_at_once),
        cmocka_unit_test(test_others_go_on_meanwhile),
        cmocka_unit_test(test_each_is_sent_again_once),
        cmocka_unit_test(test_channel_closes_meanwhile),
        cmocka_unit_test(test_connection_is_lost_meanwhile),
        cmocka_unit_test(test_stop_settles_what_waits),
    };
    PREPARE_BROKER_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
