/* What a session costs, and what it does when memory runs out. The session's files, and those of
 * others that allocate for it, are compiled into this program, with an allocator that counts and
 * fails on request; their static names that clash are renamed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/log.h"
#include "gateway/access/acl.h"
#include "gateway/session/properties.h"

static size_t live_bytes;
static long n_calls;
static long fail_at; /* the nth call fails; 0: none */

#define HEAD 16 /* before each block: its size */

static void *counted_malloc(size_t size)
{
    if (++n_calls == fail_at) {
        return NULL;
    }
    char *mem = malloc(size + HEAD);
    memcpy(mem, &size, sizeof(size));
    live_bytes += size;
    return mem + HEAD;
}

static void *counted_calloc(size_t n, size_t size)
{
    void *mem = counted_malloc(n * size);
    return mem ? memset(mem, 0, n * size) : NULL;
}

static void counted_free(void *mem)
{
    if (mem) {
        size_t size;
        memcpy(&size, (char *)mem - HEAD, sizeof(size));
        live_bytes -= size;
        free((char *)mem - HEAD);
    }
}

static void *counted_realloc(void *old, size_t size)
{
    void *mem = counted_malloc(size);
    size_t old_size = 0;
    if (mem && old) {
        memcpy(&old_size, (char *)old - HEAD, sizeof(old_size));
        memcpy(mem, old, old_size < size ? old_size : size);
        counted_free(old);
    }
    return mem;
}

#define malloc counted_malloc
#define calloc counted_calloc
#define realloc counted_realloc
#define free counted_free

#include "common/map.c"
#include "gateway/fanout/encode.c"
#include "gateway/fanout/message.c"
#define is_declared queue_is_declared
#include "gateway/session/queue.c"
#undef is_declared
#define find acks_find
#define refuse acks_refuse
#define resolve acks_resolve
#include "gateway/session/acks.c"
#undef resolve
#undef refuse
#undef find
#include "gateway/session/beats.c"
#define give_up commit_give_up
#include "gateway/session/commit.c"
#undef give_up
#define refused connect_refused
#include "gateway/session/connect.c"
#undef refused
#include "gateway/session/deliveries.c"
#include "gateway/session/error.c"
#define resolve outgoing_resolve
#include "gateway/session/outgoing.c"
#undef resolve
#include "gateway/session/parked.c"
#include "gateway/session/receipts.c"
#include "gateway/session/reply.c"
#define keep sends_keep
#define refuse sends_refuse
#include "gateway/session/sends.c"
#undef refuse
#undef keep
#include "gateway/session/session.c"
#include "gateway/session/session_step.c"
#define keep subs_keep
#define refused subs_refused
#define give_up subs_give_up
#include "gateway/session/subs.c"
#undef give_up
#undef refused
#undef keep
#include "gateway/session/subscribe.c"
#define answer syncs_answer_one
#define pop syncs_pop
#define unknown syncs_unknown
#include "gateway/session/syncs.c"
#undef unknown
#undef pop
#undef answer
#define check temps_check
#define find temps_find
#include "gateway/session/temps.c"
#undef find
#undef check
#define check tx_check
#define find tx_find
#define keep tx_keep
#define pop tx_pop
#define release tx_release
#include "gateway/session/tx.c"
#undef release
#undef pop
#undef keep
#undef find
#undef check
#include "gateway/session/unacked.c"

#undef malloc
#undef calloc
#undef realloc
#undef free

/* ---- A host that takes everything, or makes it wait ---- */

struct test_host {
    enum session_verdict verdict;
    uint64_t sync; /* on its way */
    int n_settled;
    int n_delivered;
    int n_subscribed;
    int n_published;
    int n_closed;
    enum close_reason reason;
};

static void host_send(void *host, const char *bytes, size_t len)
{
    const struct test_host *h = host;
    assert_int_equal(h->n_closed, 0);
    assert_true(len > 0 && bytes);
}

static enum session_verdict host_login(void *host, struct slice login, struct slice passcode,
                                       struct session_problem *problem)
{
    (void)login;
    (void)passcode;
    (void)problem;
    return ((struct test_host *)host)->verdict;
}

static enum session_verdict host_publish(void *host, const struct session_send *send,
                                         struct session_problem *problem)
{
    struct test_host *h = host;
    (void)send;
    (void)problem;
    h->n_published += h->verdict == SESSION_DONE;
    return h->verdict;
}

static enum session_verdict host_subscribe(void *host, struct session_subscription *sub,
                                           const struct destination *d,
                                           struct session_problem *problem)
{
    struct test_host *h = host;
    (void)d;
    (void)problem;
    sub->host_data = h;
    h->n_subscribed++;
    return h->verdict;
}

static void host_unsubscribe(void *host, struct session_subscription *sub, bool deletes_queue)
{
    (void)deletes_queue;
    struct test_host *h = host;
    assert_ptr_equal(sub->host_data, h);
    h->n_subscribed--;
}

static void host_deliver(void *host, struct message *message, uint64_t number)
{
    struct test_host *h = host;
    (void)number;
    h->n_delivered++;
    message_unref(message);
}

static void host_settle(void *host, const struct session_settle *settle)
{
    (void)settle;
    ((struct test_host *)host)->n_settled++;
}

static bool host_sync(void *host, uint64_t token)
{
    ((struct test_host *)host)->sync = token;
    return true;
}

static void host_random(void *host, char *text)
{
    (void)host;
    memset(text, 'r', QUEUE_RANDOM_LEN);
    text[QUEUE_RANDOM_LEN] = '\0';
}

static void host_read(void *host, bool wanted)
{
    (void)host;
    (void)wanted;
}

static void host_close(void *host, enum close_reason reason, const char *text)
{
    struct test_host *h = host;
    assert_non_null(text);
    h->n_closed++;
    h->reason = reason;
}

static const struct session_host host_functions = {
    .send = host_send,
    .login = host_login,
    .publish = host_publish,
    .subscribe = host_subscribe,
    .unsubscribe = host_unsubscribe,
    .deliver = host_deliver,
    .settle = host_settle,
    .sync = host_sync,
    .random = host_random,
    .read = host_read,
    .close = host_close,
};

static char *everybody[] = {(char *)"*"};
#define ROUTE(p, e, t)                                                                             \
    .prefix = (char *)p, .exchange = (char *)e, .type = t, .send = {everybody, 1},                 \
    .subscribe = {everybody, 1}
static struct config_route routes[] = {
    {ROUTE("/topic/", "amq.topic", CONFIG_TOPIC)},
    {ROUTE("/queue/", "", CONFIG_QUEUE), .declare = true, .durable = true},
};
static struct config config;
static struct session_settings settings;

static void confirm(struct session *s, uint64_t token)
{
    struct session_event event = {.type = SESSION_SETTLED,
                                  .settled = {token, BROKER_CONFIRMED, 0, ""}};
    session_step(s, &event);
}

static void bytes(struct session *s, const char *text, size_t len)
{
    uint8_t *copy = malloc(len);
    memcpy(copy, text, len);
    struct session_event event = {.type = SESSION_BYTES, .bytes = {copy, len}};
    session_step(s, &event);
    free(copy);
}

#define FRAME(s, text) bytes(s, text, sizeof(text))

static void plain(struct session *s, enum session_event_type type)
{
    struct session_event event = {.type = type};
    session_step(s, &event);
}

static void answer(struct session *s, enum session_event_type type, uint32_t handle)
{
    struct session_event event = {.type = type, .answer = {handle, true, NULL}};
    session_step(s, &event);
}

static void give(struct session *s, uint32_t handle, uint64_t tag)
{
    const struct broker_delivery delivery = {
        .tag = tag, .epoch = 1, .exchange = {"", 0}, .routing_key = {"a", 1}, .body = {"hello", 5}};
    struct session_event event = {.type = SESSION_DELIVERY};
    event.delivery.handle = handle;
    event.delivery.delivery = &delivery;
    session_step(s, &event);
}

static void written(struct session *s, uint64_t number)
{
    struct session_event event = {.type = SESSION_WRITTEN, .written = number};
    session_step(s, &event);
}

static void synced(struct session *s, struct test_host *h)
{
    struct session_event event = {.type = SESSION_SYNCED, .synced = {h->sync, true}};
    session_step(s, &event);
}

static int set_up(void **state)
{
    (void)state;
    config.routes = routes;
    config.n_routes = 2;
    config.limits.headers = 64;
    config.limits.header_name_bytes = 128;
    config.limits.header_value_bytes = 8192;
    config.limits.header_block_bytes = 32768;
    config.limits.body_bytes = 1048576;
    config.limits.frame_before_connect_bytes = 16384;
    config.limits.subscriptions = 256;
    config.limits.unconfirmed = 1000;
    config.limits.unconfirmed_bytes = 4194304;
    config.limits.parked_bytes = 1048576;
    config.limits.receipt_timeout_ms = 30000;
    config.limits.prefetch = 1000;
    config.limits.unacked = 262144;
    config.stomp.error_close = true;
    config.stomp.nack_requeue = true;
    session_settings_init(&settings, &config, false);
    log_set_level(LOG_ERROR);
    return 0;
}

#define NAME "chat-1/0/1234567890"

/* An idle connection holds no buffers. */
static void test_memory_of_an_idle_session(void **state)
{
    (void)state;
    struct test_host h = {.verdict = SESSION_DONE};
    live_bytes = 0;
    fail_at = 0;
    struct session *s = session_new(&settings, &host_functions, &h, NAME, 0);
    FRAME(s, "CONNECT\naccept-version:1.2\nlogin:somebody\npasscode:x\n\n");
    FRAME(s, "SUBSCRIBE\nid:sub-0\ndestination:/topic/rooms/lobby\n\n");
    size_t idle = live_bytes;
    print_message("a session with one subscription: %zu bytes\n", idle);
    assert_true(idle <= 700);
    uint64_t token = 0;
    for (int i = 0; i < 10; i++) {
        FRAME(s, "SEND\ndestination:/topic/rooms/lobby\nreceipt:r\n\nhello");
        confirm(s, ++token);
        FRAME(s, "BEGIN\ntransaction:t\n\n");
        FRAME(s, "SEND\ndestination:/topic/rooms/lobby\ntransaction:t\n\nhello");
        FRAME(s, "COMMIT\ntransaction:t\nreceipt:r\n\n");
        confirm(s, ++token);
        h.verdict = SESSION_WAIT;
        FRAME(s, "SEND\ndestination:/topic/rooms/lobby\nreceipt:r\n\nhello");
        h.verdict = SESSION_DONE;
        plain(s, SESSION_ROOM);
        token += 2; /* one token was offered in vain */
        confirm(s, token);
    }
    assert_int_equal(h.n_published, 30);
    assert_int_equal(live_bytes, idle);
    assert_null(s->parser.partial);
    session_free(s);
    assert_int_equal(live_bytes, 0);
}

/* 10^4 subscriptions come and go: nothing stays behind (A12). */
static void test_memory_of_subscribing_again_and_again(void **state)
{
    (void)state;
    struct test_host h = {.verdict = SESSION_DONE};
    live_bytes = 0;
    fail_at = 0;
    struct session *s = session_new(&settings, &host_functions, &h, NAME, 0);
    FRAME(s, "CONNECT\naccept-version:1.2\n\n");
    FRAME(s, "SUBSCRIBE\nid:0\ndestination:/topic/a\n\n");
    size_t one = live_bytes;
    for (int i = 0; i < 10000; i++) {
        FRAME(s, "UNSUBSCRIBE\nid:0\n\n");
        FRAME(s, "SUBSCRIBE\nid:0\ndestination:/topic/a\n\n");
    }
    assert_int_equal(live_bytes, one);
    assert_int_equal(h.n_subscribed, 1);
    session_free(s);
    assert_int_equal(h.n_subscribed, 0);
    assert_int_equal(live_bytes, 0);
}

#define MANY 100000

static void ack(struct session *s, const char *subscription, int number)
{
    char text[100];
    int len = snprintf(text, sizeof(text), "ACK\nid:T_%s@@" NAME "@@%d\n\n", subscription, number);
    bytes(s, text, (size_t)len + 1);
}

/* Bad input: 10^5 unacknowledged messages. Each costs little, and no ack looks at those of others:
 * were one linear, this would take hours. */
static void test_memory_of_many_unacked(void **state)
{
    (void)state;
    struct test_host h = {.verdict = SESSION_DONE};
    live_bytes = 0;
    fail_at = 0;
    struct session *s = session_new(&settings, &host_functions, &h, NAME, 0);
    FRAME(s, "CONNECT\naccept-version:1.2\n\n");
    FRAME(s, "SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\nprefetch-count:50000\n\n");
    FRAME(s, "SUBSCRIBE\nid:1\ndestination:/queue/a\nack:client-individual\n\n");
    size_t before = live_bytes;
    for (int i = 1; i <= MANY; i++) {
        give(s, 1 + (uint32_t)(i & 1), (uint64_t)i);
    }
    size_t each = (live_bytes - before) / MANY;
    print_message("an unacknowledged message: %zu bytes\n", each);
    assert_true(each <= 200);
    for (int i = 2; i <= MANY; i += 2) {
        ack(s, "0", i);
    }
    assert_int_equal(h.n_settled, MANY / 2);
    FRAME(s, "UNSUBSCRIBE\nid:1\n\n");
    for (int i = MANY - 1; i > 0; i -= 2) {
        ack(s, "1", i);
    }
    assert_int_equal(h.n_settled, MANY);
    assert_int_equal(h.n_closed, 0);
    FRAME(s, "UNSUBSCRIBE\nid:0\n\n");
    assert_true(live_bytes <= before);
    session_free(s);
    assert_int_equal(live_bytes, 0);
}

static void private_conversation(struct session *s, struct test_host *h)
{
    FRAME(s, "SUBSCRIBE\nid:q\ndestination:/queue/a\nack:client-individual\n\n");
    FRAME(s, "SUBSCRIBE\nid:auto\ndestination:/queue/a\n\n");
    give(s, 4, 1);
    give(s, 5, 2);
    give(s, 4, 3);
    written(s, 3);
    FRAME(s, "ACK\nid:T_q@@" NAME "@@1\nreceipt:r4\n\n");
    synced(s, h);
    FRAME(s, "BEGIN\ntransaction:a\n\n");
    FRAME(s, "ACK\nid:T_q@@" NAME "@@3\ntransaction:a\nreceipt:r5\n\n");
    FRAME(s, "COMMIT\ntransaction:a\nreceipt:r6\n\n");
    synced(s, h);
    synced(s, h);
    h->verdict = SESSION_WAIT;
    FRAME(s, "SEND\ndestination:/queue/a\nreply-to:/temp-queue/x\n\nquestion");
    h->verdict = SESSION_DONE;
    answer(s, SESSION_SUBSCRIBED, 6);
    give(s, 6, 4);
    FRAME(s, "UNSUBSCRIBE\nid:q\nreceipt:r7\n\n");
    synced(s, h);
    give(s, 5, 5);
}

/* One of everything that allocates. False when the session could not even begin. */
static bool conversation(struct test_host *h)
{
    *h = (struct test_host){.verdict = SESSION_WAIT};
    struct session *s = session_new(&settings, &host_functions, h, NAME, 0);
    if (!s) {
        return false;
    }
    FRAME(s, "CONNECT\naccept-version:1.2\nlogin:somebody\n\n");
    FRAME(s, "SUBSCRIBE\nid:0\ndestination:/topic/a\nreceipt:r0\n\n");
    answer(s, SESSION_LOGIN, 0);
    FRAME(s, "SEND\ndestination:/topic/a\nreceipt:r1\n\nbehind");
    answer(s, SESSION_SUBSCRIBED, 1);
    h->verdict = SESSION_DONE;
    plain(s, SESSION_ROOM);
    FRAME(s, "SUBSCRIBE\nid:1\ndestination:/topic/b\n\n");
    FRAME(s, "SUBSCRIBE\nid:2\ndestination:/topic/c\n\n");
    FRAME(s, "BEGIN\ntransaction:t\n\n");
    FRAME(s, "SEND\ndestination:/topic/a\ntransaction:t\n\n1");
    FRAME(s, "SEND\ndestination:/topic/a\ntransaction:t\n\n2");
    FRAME(s, "COMMIT\ntransaction:t\nreceipt:r2\n\n");
    FRAME(s, "BEGIN\ntransaction:open\n\n");
    FRAME(s, "SEND\ndestination:/topic/a\ntransaction:open\n\n1");
    FRAME(s, "SEND\ndestination:/topic/a\n\nunsettled");
    private_conversation(s, h);
    FRAME(s, "DISCONNECT\nreceipt:r3\n\n");
    for (uint64_t token = 1; token < 10; token++) {
        confirm(s, token);
    }
    session_free(s);
    return true;
}

/* The nth allocation fails, for every n: that session ends, with 1011, and nothing leaks. */
static void test_memory_runs_out_anywhere(void **state)
{
    (void)state;
    struct test_host h;
    live_bytes = 0;
    fail_at = 0;
    n_calls = 0;
    assert_true(conversation(&h));
    assert_int_equal(h.n_closed, 0);
    assert_int_equal(h.n_published, 5);
    assert_int_equal(h.n_delivered, 5);
    assert_int_equal(h.n_settled, 3);
    long n = n_calls;
    assert_true(n > 50);
    log_set_level((enum log_level) - 1);
    for (long i = 1; i <= n; i++) {
        n_calls = 0;
        fail_at = i;
        bool has_begun = conversation(&h);
        assert_int_equal(has_begun, i > 1);
        if (has_begun) {
            assert_int_equal(h.n_closed, 1);
            assert_int_equal(h.reason, CLOSE_INTERNAL);
        }
        assert_int_equal(h.n_subscribed, 0);
        assert_int_equal(live_bytes, 0);
    }
    fail_at = 0;
}

/* An ERROR too large for the stack, and no memory for it: the client gets no ERROR, but the close.
 */
static void test_memory_runs_out_in_error(void **state)
{
    (void)state;
    static const char begin[] = "SEND\nreceipt:r\ndestination:/nowhere/";
    struct test_host h = {.verdict = SESSION_DONE};
    char frame[3000];
    memset(frame, 'x', sizeof(frame));
    memcpy(frame, begin, sizeof(begin) - 1);
    memcpy(frame + sizeof(frame) - 3, "\n\n", 3);
    for (int is_failing = 0; is_failing < 2; is_failing++) {
        live_bytes = 0;
        fail_at = 0;
        h = (struct test_host){.verdict = SESSION_DONE};
        struct session *s = session_new(&settings, &host_functions, &h, NAME, 0);
        FRAME(s, "CONNECT\naccept-version:1.2\n\n");
        fail_at = is_failing ? n_calls + 1 : 0;
        bytes(s, frame, sizeof(frame));
        assert_int_equal(h.n_closed, 1);
        assert_int_equal(h.reason, is_failing ? CLOSE_INTERNAL : CLOSE_REFUSED_FRAME);
        session_free(s);
        assert_int_equal(live_bytes, 0);
    }
    fail_at = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_memory_of_an_idle_session),
        cmocka_unit_test(test_memory_of_subscribing_again_and_again),
        cmocka_unit_test(test_memory_of_many_unacked),
        cmocka_unit_test(test_memory_runs_out_anywhere),
        cmocka_unit_test(test_memory_runs_out_in_error),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
