/* broker_declare_queue(): queues that are declared once, on the scratch channel. */
#include "broker_world.h"

static uint64_t order[64];
static unsigned n_order;
static uint16_t codes[64];

static void on_ordered(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    if (n_order < 64) {
        order[n_order] = cookie;
        codes[n_order++] = reply->code;
    }
    on_done(owner, cookie, reply);
}

static struct broker_reply declare(struct world *w, const struct broker_declare *queue)
{
    unsigned n = w->n_done;
    assert_int_equal(broker_declare_queue(w->b, queue, on_done, 7), 0);
    assert_int_equal(w->n_done, n); /* not inside the call */
    WAIT(w, n_done, n + 1);
    assert_int_equal(w->done_cookie, 7);
    return w->reply;
}

static struct broker_declare durable(const char *name)
{
    return (struct broker_declare){.name = slice_of(name), .is_durable = true};
}

static struct broker_declare passive(const char *name)
{
    return (struct broker_declare){.name = slice_of(name), .is_passive = true};
}

static void delete_queue(const char *name)
{
    char path[400];
    snprintf(path, sizeof(path), "/api/queues/%%2F/%s", name);
    admin("DELETE", path, "");
}

static void test_declares_and_counts(void **state)
{
    (void)state;
    struct world *w = open_world("declare counts");
    delete_queue("t.declare");
    struct broker_declare queue = durable("t.declare");
    struct broker_reply reply = declare(w, &queue);
    assert_true(reply.is_ok);
    assert_int_equal(reply.messages, 0);
    publish(w, "", "t.declare", 1);
    publish(w, "", "t.declare", 2);
    WAIT(w, n_settled, 2);
    queue = passive("t.declare");
    reply = declare(w, &queue);
    assert_true(reply.is_ok);
    assert_int_equal(reply.messages, 2);
    delete_queue("t.declare");
    close_world(w);
}

static void test_arguments_have_their_types(void **state)
{
    (void)state;
    struct world *w = open_world("declare types");
    char answer[8192];
    delete_queue("t.typed");
    const struct broker_argument args[] = {
        {BROKER_INTEGER, SLICE_LITERAL("x-max-length"), SLICE_LITERAL(""), 5000000000},
        {BROKER_TEXT, SLICE_LITERAL("x-overflow"), SLICE_LITERAL("reject-publish"), 0},
        {BROKER_TIMESTAMP, SLICE_LITERAL("x-t-since"), SLICE_LITERAL(""), 1700000000},
        {BROKER_TEXTS, SLICE_LITERAL("x-t-list"), SLICE_LITERAL("a,,bc"), 0},
        {BROKER_BOOLEAN, SLICE_LITERAL("x-single-active-consumer"), SLICE_LITERAL(""), 1},
    };
    struct broker_declare queue = durable("t.typed");
    queue.args = args;
    queue.n_args = 5;
    assert_true(declare(w, &queue).is_ok);
    assert_int_equal(api("GET", "/api/queues/%2F/t.typed", "", answer, sizeof(answer)), 200);
    assert_non_null(strstr(answer, "\"x-max-length\":5000000000"));
    assert_non_null(strstr(answer, "\"x-overflow\":\"reject-publish\""));
    assert_non_null(strstr(answer, "\"x-t-since\":1700000000"));
    assert_non_null(strstr(answer, "\"x-t-list\":[\"a\",\"\",\"bc\"]"));
    assert_non_null(strstr(answer, "\"x-single-active-consumer\":true"));
    queue.n_args = 4;
    struct broker_reply reply = declare(w, &queue);
    assert_int_equal(reply.code, 406);
    assert_non_null(strstr(w->reply_text, "inequivalent arg 'x-single-active-consumer'"));
    delete_queue("t.typed");
    close_world(w);
}

static void test_errors_cost_nobody_else_anything(void **state)
{
    (void)state;
    struct world *w = open_world("declare errors");
    delete_queue("t.mine");
    delete_queue("t.good");
    struct world *other = open_world("declare errors other");
    struct broker_declare mine = {.name = SLICE_LITERAL("t.mine"), .is_exclusive = true};
    assert_true(declare(other, &mine).is_ok);
    const struct broker_declare asked[] = {
        passive("t.nowhere"), durable("t.good"),           passive("t.mine"),
        passive("t.good"),    durable("amq.gen-reserved"), passive("t.good"),
    };
    n_order = 0;
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(broker_declare_queue(w->b, &asked[i], on_ordered, i), 0);
    }
    WAIT(w, n_done, 6);
    /* Those that go down with the channel are sent again: answered later, and all of them ok. */
    static const uint16_t expected[] = {404, 0, 405, 0, 403, 0};
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(codes[i], expected[order[i]]);
    }
    assert_int_equal(order[0], 0);
    delete_queue("t.good");
    close_world(other);
    close_world(w);
}

static void test_waits_for_a_connection_and_is_answered_once(void **state)
{
    (void)state;
    struct world *w = open_world_as("declare waits", false, 0, 1 << 20);
    struct broker_declare queue = durable("t.waits");
    assert_int_equal(broker_declare_queue(w->b, &queue, on_done, 1), 0); /* before it connects */
    WAIT(w, n_done, 1);
    assert_true(w->reply.is_ok);
    kill_connection(w, "declare waits");
    unsigned n_asked = 1;
    while (w->n_down == 0) { /* while the connection goes */
        assert_int_equal(broker_declare_queue(w->b, &queue, on_done, 1), 0);
        n_asked++;
        REST(w, 1);
    }
    WAIT(w, n_done, n_asked);
    REST(w, 50);
    assert_int_equal(w->n_done, n_asked);
    delete_queue("t.waits");
    close_world(w);
}

static void test_stop_answers_what_waits(void **state)
{
    (void)state;
    struct world *w = open_world("declare stop");
    struct broker_declare queue = passive("t.nowhere");
    for (unsigned i = 0; i < 200; i++) {
        assert_int_equal(broker_declare_queue(w->b, &queue, on_done, 1), 0);
    }
    broker_stop(w->b, on_stopped);
    assert_int_equal(broker_declare_queue(w->b, &queue, on_done, 1), -1);
    WAIT(w, n_stopped, 1);
    assert_int_equal(w->n_done, 200);
    assert_int_equal(w->reply.code, 320);
    broker_free(w->b);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    free(w);
}

static void test_what_cannot_be_encoded_is_refused(void **state)
{
    (void)state;
    struct world *w = open_world("declare refused");
    static char name[256];
    static char large[4000];
    memset(name, 'n', 256);
    memset(large, 'l', sizeof(large));
    struct broker_argument args[33];
    for (unsigned i = 0; i < 33; i++) {
        args[i] = (struct broker_argument){BROKER_INTEGER, SLICE_LITERAL("x-some"), {NULL, 0}, 1};
    }
    struct broker_declare queue = {.name = {name, 256}};
    assert_int_equal(broker_declare_queue(w->b, &queue, on_done, 1), -1);
    queue.name.len = 0;
    assert_int_equal(broker_declare_queue(w->b, &queue, on_done, 1), -1);
    queue = durable("t.refused");
    queue.args = args;
    queue.n_args = 33;
    assert_int_equal(broker_declare_queue(w->b, &queue, on_done, 1), -1);
    queue.n_args = 1;
    args[0] = (struct broker_argument){BROKER_TEXT, {name, 256}, SLICE_LITERAL(""), 0};
    assert_int_equal(broker_declare_queue(w->b, &queue, on_done, 1), -1);
    args[0] = (struct broker_argument){BROKER_TEXT, SLICE_LITERAL("x"), {large, 4000}, 0};
    assert_int_equal(broker_declare_queue(w->b, &queue, on_done, 1), -1);
    args[0].text.len = 3000; /* the largest that passes goes over the wire whole */
    args[0].name = (struct slice){name, 50};
    queue.name = (struct slice){name, 255};
    assert_true(declare(w, &queue).is_ok);
    char path[300];
    snprintf(path, sizeof(path), "%.255s", name);
    delete_queue(path);
    close_world(w);
}

int main(int argc, char **argv)
{
    PREPARE_BROKER_TESTS(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_declares_and_counts),
        cmocka_unit_test(test_arguments_have_their_types),
        cmocka_unit_test(test_errors_cost_nobody_else_anything),
        cmocka_unit_test(test_waits_for_a_connection_and_is_answered_once),
        cmocka_unit_test(test_stop_answers_what_waits),
        cmocka_unit_test(test_what_cannot_be_encoded_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
