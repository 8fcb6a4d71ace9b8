/* What is kept against a real RabbitMQ, and an administrator who takes it away. */
#include "tests/integration/broker_world.h"

/* Bindings of the first queue of that name, as the broker has them; without the one to the default
 * exchange. */
static unsigned count_bindings(const char *prefix, bool *has_hash)
{
    static char answer[4 << 20];
    char mark[300];
    unsigned n = 0;
    api("GET", "/api/bindings/%2F?columns=source,destination,routing_key", "", answer,
        sizeof(answer));
    *has_hash = false;
    snprintf(mark, sizeof(mark), "\"destination\":\"%s", prefix);
    for (char *at = answer; (at = strstr(at, "{\""));) {
        char *end = strchr(at, '}');
        if (!end) {
            break;
        }
        *end = '\0';
        if (strstr(at, mark) && strstr(at, "\"source\":\"amq.topic\"")) {
            n++;
            *has_hash = *has_hash || strstr(at, "\"routing_key\":\"#\"");
        }
        at = end + 1;
    }
    return n;
}

static void wait_for_bindings(struct world *w, const char *prefix, unsigned n, bool wants_hash)
{
    bool has_hash = false;
    unsigned got = 0;
    for (int i = 0; i < 100; i++) {
        got = count_bindings(prefix, &has_hash);
        if (got == n && has_hash == wants_hash) {
            return;
        }
        REST(w, 100);
    }
    assert_int_equal(got, n);
    assert_int_equal(has_hash, wants_hash);
}

static void bind_many(struct world *w, const char *queue, unsigned from, unsigned to)
{
    unsigned n = w->n_done;
    for (unsigned i = from; i < to; i++) {
        char key[64];
        snprintf(key, sizeof(key), "sgt.many.%u", i);
        assert_int_equal(broker_bind(w->b, queue, "amq.topic", slice_of(key), on_done, i), 0);
    }
    WAIT(w, n_done, n + to - from);
}

static void test_2000_bindings_are_heard_again_at_once(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test many");
    live_queue(w, "sgt.live.many");
    bind_many(w, "sgt.live.many", 0, 2000);
    wait_for_bindings(w, "sgt.live.many.", 2000, false);
    consume(w, "sgt.live.many", "many", true);
    kill_connection(w, "stompgate test many");
    WAIT(w, n_down, 1);
    uint64_t before = uv_hrtime();
    WAIT(w, n_up, 2);
    uint64_t after = uv_hrtime();
    publish(w, "amq.topic", "sgt.many.1999", 1);
    publish(w, "amq.topic", "sgt.many.0", 2);
    WAIT(w, n_delivered, 2);
    print_message("2000 bindings heard again %llu ms after the loss\n",
                  (unsigned long long)(after - before) / 1000000);
    wait_for_bindings(w, "sgt.live.many.", 2000, false);
    publish(w, "amq.topic", "sgt.many.1000", 3);
    publish(w, "amq.topic", "sgt.many.none", 4);
    WAIT(w, n_settled, 4);
    WAIT(w, n_delivered, 3);
    REST(w, 100);
    assert_int_equal(w->n_delivered, 3);
    close_world(w);
}

static void test_over_bind_max_the_prefix_is_bound(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test bind max");
    struct broker_queue spec = {
        .name = "sgt.live.max", .is_exclusive = true, .prefix_key = "#", .bind_max = 40};
    assert_true(keep_queue(w, &spec).is_ok);
    bind_many(w, "sgt.live.max", 0, 40);
    bind_many(w, "sgt.live.max", 40, 60);
    consume(w, "sgt.live.max", "max", true);
    REST(w, 100);
    publish(w, "amq.topic", "sgt.many.59", 1);
    WAIT(w, n_delivered, 1);
    /* The exact ones have gone behind it: a queue with many bindings is slow to go. */
    wait_for_bindings(w, "sgt.live.max.", 1, true);
    publish(w, "amq.topic", "sgt.many.0", 5);
    WAIT(w, n_delivered, 2);
    for (unsigned i = 0; i < 45; i++) {
        char key[64];
        snprintf(key, sizeof(key), "sgt.many.%u", i);
        broker_unbind(w->b, "sgt.live.max", "amq.topic", slice_of(key));
    }
    wait_for_bindings(w, "sgt.live.max.", 15, false);
    publish(w, "amq.topic", "sgt.many.59", 2);
    WAIT(w, n_delivered, 3);
    /* The prefix as a key of its own is not taken away with the prefix. */
    assert_true(bind_key(w, "sgt.live.max", "amq.topic", "#").is_ok);
    bind_many(w, "sgt.live.max", 100, 140);
    for (unsigned i = 100; i < 140; i++) {
        char key[64];
        snprintf(key, sizeof(key), "sgt.many.%u", i);
        broker_unbind(w->b, "sgt.live.max", "amq.topic", slice_of(key));
    }
    wait_for_bindings(w, "sgt.live.max.", 16, true);
    close_world(w);
}

static void test_bind_and_unbind_in_one_breath(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test churn");
    live_queue(w, "sgt.live.churn");
    for (unsigned round = 0; round < 200; round++) {
        char key[64];
        snprintf(key, sizeof(key), "sgt.churn.%u", round % 7);
        for (unsigned i = 0; i <= round % 4; i++) {
            assert_int_equal(
                broker_bind(w->b, "sgt.live.churn", "amq.topic", slice_of(key), on_done, round), 0);
            if (round % 3) {
                broker_unbind(w->b, "sgt.live.churn", "amq.topic", slice_of(key));
            }
        }
        if (round % 5 == 0) {
            REST(w, 1);
        }
    }
    WAIT(w, n_done, 501);
    assert_int_equal(w->n_done, 501);
    for (unsigned i = 0; i < 7; i++) {
        char key[64];
        snprintf(key, sizeof(key), "sgt.churn.%u", i);
        broker_unbind(w->b, "sgt.live.churn", "amq.topic", slice_of(key));
    }
    wait_for_bindings(w, "sgt.live.churn.", 0, false);
    struct broker_stats stats;
    broker_stats(w->b, &stats);
    assert_int_equal(stats.bindings, 0);
    close_world(w);
}

static void test_events_tell_of_what_an_administrator_deletes(void **state)
{
    (void)state;
    struct world *w = open_world_as("stompgate test watch", true, 0, 1 << 20);
    WAIT(w, n_up, 1);
    keep_exchange(w, "sgt.watched", "topic");
    struct broker_queue spec = {.name = "sgt.stored", .is_durable = true};
    assert_true(keep_queue(w, &spec).is_ok);
    assert_true(bind_key(w, "sgt.stored", "sgt.watched", "x").is_ok);
    assert_true(bind_key(w, "sgt.stored", "sgt.watched", "y").is_ok);
    REST(w, 300);
    broker_unbind(w->b, "sgt.stored", "sgt.watched", SLICE_LITERAL("y"));
    assert_true(bind_key(w, "sgt.stored", "sgt.watched", "y").is_ok);
    REST(w, 300);
    assert_int_equal(w->n_restored, 0); /* that was our own doing */

    assert_int_equal(admin("DELETE", "/api/bindings/%2F/e/sgt.watched/q/sgt.stored/x", ""), 204);
    WAIT(w, n_restored, 1);
    assert_string_equal(w->restored_kind, "binding");
    WAIT(w, n_gaps, 1);
    assert_int_equal(admin("DELETE", "/api/queues/%2F/sgt.stored", ""), 204);
    WAIT(w, n_restored, 2);
    assert_string_equal(w->restored_kind, "queue");
    assert_int_equal(admin("DELETE", "/api/exchanges/%2F/sgt.watched", ""), 204);
    WAIT(w, n_restored, 3);
    assert_string_equal(w->restored_kind, "exchange");
    REST(w, 300);
    assert_int_equal(w->n_restored, 3);
    for (unsigned i = 0; i < 2; i++) {
        publish(w, "sgt.watched", i ? "x" : "y", 1);
    }
    WAIT(w, n_settled, 2);
    unsigned n = w->n_done;
    assert_int_equal(broker_probe_queue(w->b, "sgt.stored", on_done, 7), 0);
    WAIT(w, n_done, n + 1);
    assert_int_equal(w->reply.messages, 2);
    broker_drop_queue(w->b, "sgt.stored");
    broker_drop_exchange(w->b, "sgt.watched");
    REST(w, 300);
    assert_int_equal(w->n_restored, 3);
    close_world(w);
}

static void test_sweep_puts_back_without_events(void **state)
{
    (void)state;
    struct world *w = open_world_as("stompgate test sweep", false, 1000, 1 << 20);
    WAIT(w, n_up, 1);
    keep_exchange(w, "sgt.swept", "topic");
    struct broker_queue spec = {.name = "sgt.swept", .is_durable = true};
    assert_true(keep_queue(w, &spec).is_ok);
    assert_true(bind_key(w, "sgt.swept", "sgt.swept", "x").is_ok);
    assert_int_equal(admin("DELETE", "/api/queues/%2F/sgt.swept", ""), 204);
    WAIT(w, n_restored, 1);
    assert_int_equal(admin("DELETE", "/api/exchanges/%2F/sgt.swept", ""), 204);
    WAIT(w, n_restored, 2);
    assert_int_equal(admin("DELETE", "/api/bindings/%2F/e/sgt.swept/q/sgt.swept/x", ""), 204);
    REST(w, 2500);
    assert_int_equal(publish_with(w, "sgt.swept", "x", "x", 1, true, false), BROKER_ACCEPTED);
    WAIT(w, n_settled, 1);
    assert_int_equal(w->outcomes[BROKER_CONFIRMED], 1); /* not returned: the binding stands */
    broker_drop_queue(w->b, "sgt.swept");
    broker_drop_exchange(w->b, "sgt.swept");
    REST(w, 100);
    close_world(w);
}

static void test_binding_to_anothers_exchange_waits_for_its_return(void **state)
{
    (void)state;
    struct world *w = open_world_as("stompgate test tap", true, 0, 1 << 20);
    WAIT(w, n_up, 1);
    assert_int_equal(admin("PUT", "/api/exchanges/%2F/sgt.theirs", "{\"type\":\"topic\"}"), 201);
    live_queue(w, "sgt.live.tap");
    assert_true(bind_key(w, "sgt.live.tap", "sgt.theirs", "x").is_ok);
    consume(w, "sgt.live.tap", "tap", true);
    REST(w, 300);
    assert_int_equal(admin("DELETE", "/api/exchanges/%2F/sgt.theirs", ""), 204);
    WAIT(w, n_broken, 1);
    assert_string_equal(w->broken,
                        "sgt.live.tap x 404 NOT_FOUND - no exchange 'sgt.theirs' in vhost '/'");
    assert_int_equal(w->n_down, 0);
    assert_int_equal(admin("PUT", "/api/exchanges/%2F/sgt.theirs", "{\"type\":\"topic\"}"), 201);
    WAIT(w, n_restored, 1);
    WAIT(w, n_gaps, 1);
    publish(w, "sgt.theirs", "x", 1);
    WAIT(w, n_delivered, 1);
    assert_int_equal(admin("DELETE", "/api/exchanges/%2F/sgt.theirs", ""), 204);
    close_world(w);
}

static void test_refusals_are_told_and_not_kept(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test refused");
    assert_int_equal(keep_exchange(w, "amq.topic", "fanout").code, 406);
    assert_non_null(strstr(w->reply_text, "PRECONDITION_FAILED"));
    assert_int_equal(keep_exchange(w, "amq.sgt", "fanout").code, 403);
    assert_int_equal(bind_key(w, "sgt.no.queue", "amq.topic", "x").code, 404);
    live_queue(w, "sgt.live.refused");
    assert_int_equal(bind_key(w, "sgt.live.refused", "sgt.no.exchange", "x").code, 404);
    assert_true(bind_key(w, "sgt.live.refused", "amq.topic", "x").is_ok);
    assert_int_equal(w->n_down, 0);
    /* An unknown type closes the whole connection; it is the culprit all the same. */
    assert_int_equal(keep_exchange(w, "sgt.odd", "odd").code, 503);
    WAIT(w, n_up, 2);
    REST(w, 500);
    assert_int_equal(w->n_down, 1);
    struct broker_stats stats;
    broker_stats(w->b, &stats);
    assert_int_equal(stats.bindings, 1);
    close_world(w);
}

static void test_refused_queue_refuses_its_bindings(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test refused queue");
    struct broker_queue spec = {.name = "sgt.mine", .is_durable = true};
    assert_true(keep_queue(w, &spec).is_ok);
    struct world *other = open_world("stompgate test refused queue 2");
    struct broker_queue odd = {.name = "sgt.mine", .is_durable = true, .max_bytes = 77};
    assert_int_equal(broker_keep_queue(other->b, &odd, on_done, 1), 0);
    assert_int_equal(broker_bind(other->b, "sgt.mine", "amq.topic", SLICE_LITERAL("x"), on_done, 2),
                     0);
    assert_int_equal(broker_bind(other->b, "sgt.mine", "amq.topic", SLICE_LITERAL("y"), on_done, 3),
                     0);
    WAIT(other, n_done, 3);
    assert_int_equal(other->reply.code, 406);
    REST(other, 100);
    close_world(other);
    broker_drop_queue(w->b, "sgt.mine");
    REST(w, 50);
    close_world(w);
}

static void test_queue_made_anew_with_other_arguments_is_used(void **state)
{
    (void)state;
    struct world *w = open_world("stompgate test other arguments");
    struct broker_queue spec = {.name = "sgt.other", .is_durable = true};
    assert_true(keep_queue(w, &spec).is_ok);
    assert_true(bind_key(w, "sgt.other", "amq.topic", "sgt.other").is_ok);
    consume(w, "sgt.other", "other", true);
    REST(w, 100);
    struct world *admin_side = open_world("stompgate test other arguments 2");
    kill_connection(w, "stompgate test other arguments");
    /* In the moment that the connection is away, if the administrator is quick; else under its
     * consumer. */
    assert_int_equal(admin("DELETE", "/api/queues/%2F/sgt.other", ""), 204);
    admin("PUT", "/api/queues/%2F/sgt.other",
          "{\"durable\":true,\"arguments\":{\"x-max-length\":1000}}");
    WAIT(w, n_up, 2);
    for (unsigned i = 1; i < 200 && w->n_delivered == 0; i++) {
        publish(w, "amq.topic", "sgt.other", i);
        REST(w, 50);
    }
    assert_true(w->n_delivered > 0);
    broker_drop_queue(w->b, "sgt.other");
    close_world(admin_side);
    close_world(w);
}

/* RabbitMQ 3.10 closes the connection with 541 when a cancel comes before its consume-ok went out.
 */
static void test_cancel_right_behind_consume_costs_nothing(void **state)
{
    (void)state;
    struct world *w = open_world("cancel at once");
    live_queue(w, "live.at-once");
    bind_key(w, "live.at-once", "amq.topic", "at.once");
    for (unsigned i = 0; i < 200; i++) {
        consume(w, "live.at-once", "c", true);
        broker_cancel(w->b, "c");
        REST(w, i % 3);
    }
    consume(w, "live.at-once", "c", true);
    for (unsigned i = 1; i <= 10; i++) { /* until it consumes, what is published waits */
        publish(w, "amq.topic", "at.once", i);
    }
    WAIT(w, n_delivered, 10);
    assert_true(w->is_in_order);
    assert_int_equal(w->n_down, 0);
    close_world(w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_2000_bindings_are_heard_again_at_once),
        cmocka_unit_test(test_over_bind_max_the_prefix_is_bound),
        cmocka_unit_test(test_bind_and_unbind_in_one_breath),
        cmocka_unit_test(test_events_tell_of_what_an_administrator_deletes),
        cmocka_unit_test(test_sweep_puts_back_without_events),
        cmocka_unit_test(test_binding_to_anothers_exchange_waits_for_its_return),
        cmocka_unit_test(test_refusals_are_told_and_not_kept),
        cmocka_unit_test(test_refused_queue_refuses_its_bindings),
        cmocka_unit_test(test_queue_made_anew_with_other_arguments_is_used),
        cmocka_unit_test(test_cancel_right_behind_consume_costs_nothing),
    };
    PREPARE_BROKER_TESTS(argc, argv);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
