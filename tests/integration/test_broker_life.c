/* Connections, consumers and probes against a real RabbitMQ. */
#include "tests/integration/broker_world.h"

static void test_message_goes_round(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test round");
    assert_true(keep_exchange(w, "sgt.round", "topic").is_ok);
    assert_true(live_queue(w, "sgt.live.round").is_ok);
    assert_true(bind_key(w, "sgt.live.round", "sgt.round", "room.1").is_ok);
    consume(w, "sgt.live.round", "round", true);
    REST(w, 100);
    publish(w, "sgt.round", "room.1", 1);
    publish(w, "sgt.round", "room.2", 2);
    WAIT(w, n_settled, 2);
    WAIT(w, n_delivered, 1);
    REST(w, 50);
    assert_int_equal(w->n_delivered, 1);
    assert_string_equal(w->last_body, "1");
    assert_string_equal(w->last_key, "room.1");
    assert_int_equal(w->outcomes[BROKER_CONFIRMED], 2);
    broker_drop_exchange(w->b, "sgt.round");
    broker_drop_queue(w->b, "sgt.live.round");
    close_world(w);
}

static void test_connection_closed_by_administrator_is_restored(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test reconnect");
    assert_true(keep_exchange(w, "sgt.reconnect", "topic").is_ok);
    assert_true(live_queue(w, "sgt.live.reconnect").is_ok);
    assert_true(bind_key(w, "sgt.live.reconnect", "sgt.reconnect", "a").is_ok);
    consume(w, "sgt.live.reconnect", "reconnect", true);
    kill_connection(w, "stompgate test reconnect");
    WAIT(w, n_down, 1);
    assert_int_equal(publish_with(w, "sgt.reconnect", "a", "x", 1, false, true), BROKER_FULL);
    assert_int_equal(
        broker_bind(w->b, "sgt.live.reconnect", "sgt.reconnect", slice_of("b"), on_done, 9), 0);
    WAIT(w, n_up, 2);
    WAIT(w, n_room, 1);
    WAIT(w, n_gaps, 1);
    assert_string_equal(w->gap_queue, "sgt.live.reconnect");
    assert_int_equal(w->done_cookie, 9);
    publish(w, "sgt.reconnect", "a", 1);
    publish(w, "sgt.reconnect", "b", 2);
    WAIT(w, n_delivered, 2);
    WAIT(w, n_settled, 2);
    assert_int_equal(w->n_gaps, 1);
    close_world(w);
}

static void test_queue_deleted_under_its_consumer_comes_back(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test queue deleted");
    struct broker_queue spec = {.name = "sgt.deleted"};
    assert_true(keep_queue(w, &spec).is_ok);
    bind_key(w, "sgt.deleted", "amq.topic", "sgt.deleted.a");
    bind_key(w, "sgt.deleted", "amq.topic", "sgt.deleted.b");
    consume(w, "sgt.deleted", "deleted", true);
    REST(w, 100);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(admin("DELETE", "/api/queues/%2F/sgt.deleted", ""), 204);
        WAIT(w, n_gaps, i);
        WAIT(w, n_restored, i);
        assert_string_equal(w->restored_kind, "queue");
        publish(w, "amq.topic", "sgt.deleted.b", i);
        WAIT(w, n_delivered, i);
    }
    assert_int_equal(w->n_down, 0);
    broker_drop_queue(w->b, "sgt.deleted");
    REST(w, 50);
    close_world(w);
}

static void test_probes_are_answered_and_remembered(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test probe");
    assert_int_equal(broker_probe_exchange(w->b, "amq.topic", on_done, 1), 0);
    assert_int_equal(broker_probe_exchange(w->b, "sgt.absent", on_done, 2), 0);
    assert_int_equal(broker_probe_exchange(w->b, "amq.fanout", on_done, 3), 0);
    assert_int_equal(broker_probe_queue(w->b, "sgt.absent", on_done, 4), 0);
    assert_int_equal(w->n_done, 0);
    WAIT(w, n_done, 4);
    assert_int_equal(w->reply.code, 404);
    assert_int_equal(broker_probe_exchange(w->b, "amq.topic", on_done, 5), 0);
    assert_int_equal(w->n_done, 5); /* from memory: inside the call */
    assert_true(w->reply.is_ok);
    assert_int_equal(broker_probe_exchange(w->b, "sgt.absent", on_done, 6), 0);
    assert_int_equal(w->n_done, 6);
    assert_int_equal(w->reply.code, 404);
    REST(w, 1500);
    assert_int_equal(broker_probe_exchange(w->b, "sgt.absent", on_done, 7), 0);
    assert_int_equal(w->n_done, 6); /* a missing one is asked for again after a second */
    WAIT(w, n_done, 7);
    struct broker_stats stats;
    broker_stats(w->b, &stats);
    assert_int_equal(stats.channel_errors, 3);
    assert_int_equal(w->n_down, 0);
    close_world(w);
}

static void test_unacked_come_again_and_old_acks_are_ignored(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test acks");
    struct broker_queue spec = {.name = "sgt.acks", .is_durable = true};
    assert_true(keep_queue(w, &spec).is_ok);
    bind_key(w, "sgt.acks", "amq.topic", "sgt.acks");
    consume(w, "sgt.acks", "acks", false);
    publish(w, "amq.topic", "sgt.acks", 1);
    WAIT(w, n_delivered, 1);
    uint64_t tag = w->last_tag;
    uint32_t epoch = w->last_epoch;
    kill_connection(w, "stompgate test acks");
    WAIT(w, n_up, 2);
    WAIT(w, n_delivered, 2);
    broker_ack(w->b, epoch, tag, false);
    REST(w, 100);
    assert_true(w->last_epoch != epoch);
    broker_nack(w->b, w->last_epoch, w->last_tag, false, true);
    WAIT(w, n_delivered, 3);
    /* Cancelled with messages on their way: those go back to the queue. */
    broker_ack(w->b, w->last_epoch, w->last_tag, false);
    for (unsigned i = 2; i <= 50; i++) {
        publish(w, "amq.topic", "sgt.acks", i);
    }
    WAIT(w, n_delivered, 4);
    broker_cancel(w->b, "acks");
    unsigned n = w->n_delivered;
    w->acks = true;
    consume(w, "sgt.acks", "acks", false);
    WAIT(w, n_settled, 50);
    REST(w, 300);
    assert_true(w->n_delivered > n || n == 52);
    assert_int_equal(w->n_down, 1);
    broker_drop_queue(w->b, "sgt.acks");
    REST(w, 50);
    close_world(w);
}

static void test_consumer_of_anothers_queue_waits_for_it(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test theirs");
    admin("DELETE", "/api/queues/%2F/sgt.their.queue", "");
    consume(w, "sgt.their.queue", "theirs", true);
    REST(w, 300);
    struct broker_stats stats;
    assert_int_equal(admin("PUT", "/api/queues/%2F/sgt.their.queue", "{}"), 201);
    for (unsigned i = 1; i <= 3; i++) {
        assert_int_equal(publish_with(w, "", "sgt.their.queue", "x", i, true, true),
                         BROKER_ACCEPTED);
        WAIT(w, n_delivered, i);
    }
    assert_int_equal(admin("DELETE", "/api/queues/%2F/sgt.their.queue", ""), 204);
    REST(w, 300);
    assert_int_equal(admin("PUT", "/api/queues/%2F/sgt.their.queue", "{}"), 201);
    assert_int_equal(publish_with(w, "", "sgt.their.queue", "x", 9, true, true), BROKER_ACCEPTED);
    WAIT(w, n_delivered, 4);
    broker_stats(w->b, &stats);
    assert_int_equal(stats.disconnects, 0);
    assert_int_equal(admin("DELETE", "/api/queues/%2F/sgt.their.queue", ""), 204);
    close_world(w);
}

static void test_overflow_is_a_gap(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test overflow");
    struct broker_queue spec = {.name = "sgt.live.overflow",
                                .is_exclusive = true,
                                .max_bytes = 100,
                                .overflow = "drop-head",
                                .reports_overflow = true};
    assert_true(keep_queue(w, &spec).is_ok);
    bind_key(w, "sgt.live.overflow", "amq.topic", "sgt.overflow");
    for (unsigned i = 1; i <= 200; i++) {
        assert_int_equal(
            publish_with(w, "amq.topic", "sgt.overflow", "0123456789", i, false, false),
            BROKER_ACCEPTED);
    }
    WAIT(w, n_settled, 200);
    WAIT(w, n_gaps, 1);
    assert_string_equal(w->gap_queue, "sgt.live.overflow");
    REST(w, 300);
    assert_int_equal(w->n_gaps, 1); /* at most one per second */
    close_world(w);
}

static void test_stop_settles_everything_once(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test stop");
    for (unsigned i = 1; i <= 2000; i++) {
        publish(w, "amq.topic", "x", i);
    }
    assert_int_equal(broker_bind(w->b, "sgt.none", "amq.topic", SLICE_LITERAL("x"), on_done, 1), 0);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    broker_stop(w->b, on_stopped);
    broker_stop(w->b, on_stopped);
    assert_int_equal(broker_state(w->b), BROKER_STOPPED);
    WAIT(w, n_stopped, 1);
    assert_int_equal(w->n_settled, 2000);
    assert_int_equal(w->n_done, 1);
    for (unsigned i = 1; i <= 2000; i++) {
        assert_int_equal(w->settled_by_token[i], 1);
    }
    broker_free(w->b);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    free(w);
}

/* Their consume-ok and qos-ok come in no order that one could rely on. */
static void test_many_consumers_start_again_together(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test consumers");
    char name[32];
    for (unsigned i = 0; i < 40; i++) {
        snprintf(name, sizeof(name), "sgt.consumer.%u", i);
        live_queue(w, name);
        bind_key(w, name, "amq.fanout", "");
        consume(w, name, name, i % 2);
    }
    for (unsigned i = 1; i <= 3; i++) {
        kill_connection(w, "stompgate test consumers");
        WAIT(w, n_up, i + 1);
        publish(w, "amq.fanout", "", i);
        WAIT(w, n_delivered, i * 40);
    }
    assert_int_equal(w->n_down, 3);
    assert_int_equal(w->n_gaps, 3 * 40);
    close_world(w);
}

static void test_unreachable_broker_is_tried_again_and_stopped(void **state)
{
    (void)state;
    const char *hosts[] = {"127.0.0.1:1", "host.invalid:5672", "nonsense",
                           getenv("STOMPGATE_AMQP")};
    struct world *w = calloc(1, sizeof(*w));
    uv_loop_init(&w->loop);
    struct broker_options options = {.hosts = hosts,
                                     .n_hosts = 4,
                                     .vhost = "/",
                                     .user = "guest",
                                     .password = "wrong",
                                     .name = "stompgate test unreachable",
                                     .heartbeat_s = 5,
                                     .reconnect_min_ms = 10,
                                     .reconnect_max_ms = 100};
    w->b = broker_new(&w->loop, &options, &EVENTS, w);
    broker_start(w->b);
    assert_int_equal(broker_keep_queue(w->b, &(struct broker_queue){.name = "x"}, on_done, 1), 0);
    WAIT(w, n_down, 8);
    assert_int_equal(w->n_up, 0);
    assert_int_equal(w->n_done, 0);
    broker_stop(w->b, on_stopped);
    WAIT(w, n_stopped, 1);
    assert_int_equal(w->n_done, 1);
    assert_int_equal(w->reply.code, 320);
    broker_free(w->b);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    free(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_goes_round),
        cmocka_unit_test(test_connection_closed_by_administrator_is_restored),
        cmocka_unit_test(test_queue_deleted_under_its_consumer_comes_back),
        cmocka_unit_test(test_probes_are_answered_and_remembered),
        cmocka_unit_test(test_unacked_come_again_and_old_acks_are_ignored),
        cmocka_unit_test(test_consumer_of_anothers_queue_waits_for_it),
        cmocka_unit_test(test_overflow_is_a_gap),
        cmocka_unit_test(test_stop_settles_everything_once),
        cmocka_unit_test(test_many_consumers_start_again_together),
        cmocka_unit_test(test_unreachable_broker_is_tried_again_and_stopped),
    };
    PREPARE_BROKER_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
