/* amqp/ against a real RabbitMQ: STOMPGATE_AMQP=host:port and
 * STOMPGATE_MANAGEMENT=http://host:port, guest/guest. */
#include "amqp/broker.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>
#include <uv.h>

#define DEADLINE_MS 15000
#define MAX_NOTES 4096

struct world {
    uv_loop_t loop;
    struct broker *b;
    enum broker_state state;
    unsigned n_up;
    unsigned n_down;
    unsigned n_gaps;
    char gap_queue[256];
    uint64_t gap_from;
    unsigned n_restored;
    char restored_kind[32];
    unsigned n_done;
    struct broker_reply reply;
    char reply_text[300];
    uint64_t done_cookie;
    unsigned n_settled;
    unsigned outcomes[5];
    uint8_t settled_by_token[MAX_NOTES]; /* how often */
    enum broker_outcome outcome_by_token[MAX_NOTES];
    char refused_text[300];
    unsigned n_delivered;
    char last_body[256];
    char last_key[256];
    uint64_t last_tag;
    uint32_t last_epoch;
    uint8_t delivered_by_number[MAX_NOTES];
    unsigned n_stopped;
    bool redeclares;
    bool acks;
    unsigned n_room;
    unsigned n_missing;
    int last_number;
    bool is_in_order;
};

/* ---- The owner ---- */

static void on_state(void *owner, enum broker_state state)
{
    struct world *w = owner;
    w->state = state;
    w->n_up += state == BROKER_UP;
    w->n_down += state == BROKER_DOWN;
}

static void on_room(void *owner)
{
    struct world *w = owner;
    w->n_room++;
}

static void on_settled(void *owner, const struct broker_settled *s)
{
    struct world *w = owner;
    w->n_settled++;
    w->outcomes[s->outcome]++;
    if (s->token < MAX_NOTES) {
        w->settled_by_token[s->token]++;
        w->outcome_by_token[s->token] = s->outcome;
    }
    if (s->outcome == BROKER_REFUSED) {
        snprintf(w->refused_text, sizeof(w->refused_text), "%u %s", s->code, s->text);
    }
}

static void on_gap(void *owner, const char *queue, uint64_t from)
{
    struct world *w = owner;
    w->n_gaps++;
    w->gap_from = from;
    snprintf(w->gap_queue, sizeof(w->gap_queue), "%s", queue);
}

static void on_restored(void *owner, const char *kind, const char *name)
{
    struct world *w = owner;
    (void)name;
    w->n_restored++;
    snprintf(w->restored_kind, sizeof(w->restored_kind), "%s", kind);
}

static void on_done(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct world *w = owner;
    w->n_done++;
    w->done_cookie = cookie;
    w->reply = *reply;
    snprintf(w->reply_text, sizeof(w->reply_text), "%s", reply->text);
}

static void on_delivery(void *owner, uint64_t cookie, const struct broker_delivery *d)
{
    struct world *w = owner;
    (void)cookie;
    w->n_delivered++;
    snprintf(w->last_body, sizeof(w->last_body), "%.*s", (int)d->body.len, d->body.ptr);
    snprintf(w->last_key, sizeof(w->last_key), "%.*s", (int)d->routing_key.len, d->routing_key.ptr);
    w->last_tag = d->tag;
    w->last_epoch = d->epoch;
    int number = atoi(w->last_body);
    if (number > 0 && number < MAX_NOTES) {
        w->delivered_by_number[number]++;
        if (number < w->last_number) {
            w->is_in_order = false;
        }
        w->last_number = number;
    }
    if (w->acks) {
        broker_ack(w->b, d->epoch, d->tag, false);
    }
}

static bool on_missing(void *owner, struct slice exchange)
{
    struct world *w = owner;
    char name[256];
    w->n_missing++;
    if (!w->redeclares) {
        return false;
    }
    snprintf(name, sizeof(name), "%.*s", (int)exchange.len, exchange.ptr);
    struct broker_exchange spec = {.name = name, .type = "fanout", .is_durable = true};
    return broker_keep_exchange(w->b, &spec, NULL, 0) == 0;
}

static void on_stopped(void *owner)
{
    ((struct world *)owner)->n_stopped++;
}

static const struct broker_events events = {on_state, on_room, on_settled, on_gap, on_restored};

/* ---- The loop ---- */

static void on_timeout(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Turns the loop until *value is at least `at_least`, or the time is over. */
static bool run_for(struct world *w, const unsigned *value, unsigned at_least, unsigned ms)
{
    bool is_over = false;
    uv_timer_t timer;
    uv_timer_init(&w->loop, &timer);
    timer.data = &is_over;
    uv_timer_start(&timer, on_timeout, ms, 0);
    while (!is_over && !(value && *value >= at_least)) {
        uv_run(&w->loop, UV_RUN_ONCE);
    }
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&w->loop, UV_RUN_NOWAIT);
    return value && *value >= at_least;
}

#define WAIT(w, field, n) assert_true(run_for((w), &(w)->field, (n), DEADLINE_MS))
#define REST(w, ms) run_for((w), NULL, 0, (ms))

static struct world *open_world_as(const char *name, bool watches, int sweep_ms, size_t bound)
{
    const char *host = getenv("STOMPGATE_AMQP");
    struct world *w = calloc(1, sizeof(*w));
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
        .unconfirmed_bytes = bound,
        .watches = watches,
        .sweep_ms = sweep_ms,
    };
    w->is_in_order = true;
    w->b = broker_new(&w->loop, &options, &events, w);
    assert_non_null(w->b);
    broker_on_missing_exchange(w->b, on_missing);
    broker_start(w->b);
    return w;
}

static struct world *open_world(const char *name)
{
    struct world *w = open_world_as(name, false, 0, 64 << 20);
    WAIT(w, n_up, 1);
    return w;
}

static void close_world(struct world *w)
{
    broker_stop(w->b, on_stopped);
    WAIT(w, n_stopped, 1);
    broker_free(w->b);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    free(w);
}

/* ---- The administrator: RabbitMQ's management API ---- */

static int api(const char *method, const char *path, const char *body, char *answer, size_t cap)
{
    char host[128];
    char request[4096];
    const char *url = getenv("STOMPGATE_MANAGEMENT") + strlen("http://");
    snprintf(host, sizeof(host), "%s", url);
    char *port = strchr(host, ':');
    assert_non_null(port);
    *port++ = '\0';
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *address = NULL;
    assert_int_equal(getaddrinfo(host, port, &hints, &address), 0);
    int fd = socket(address->ai_family, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, address->ai_addr, address->ai_addrlen), 0);
    freeaddrinfo(address);
    int n = snprintf(request, sizeof(request),
                     "%s %s HTTP/1.0\r\nHost: x\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     method, path, strlen(body), body);
    assert_int_equal(write(fd, request, (size_t)n), n);
    size_t len = 0;
    ssize_t got;
    while (len + 1 < cap && (got = read(fd, answer + len, cap - 1 - len)) > 0) {
        len += (size_t)got;
    }
    answer[len] = '\0';
    close(fd);
    return len > 12 ? atoi(answer + 9) : -1;
}

static int admin(const char *method, const char *path, const char *body)
{
    char answer[4096];
    return api(method, path, body, answer, sizeof(answer));
}

/* The statistics that list connections lag by seconds, so this asks until one of that name is
 * there. */
static void kill_connection(struct world *w, const char *name)
{
    static char answer[1 << 20];
    char path[1024] = "";
    char mark[300];
    snprintf(mark, sizeof(mark), "\"user_provided_name\":\"%s\"", name);
    for (int i = 0; i < 100 && !path[0]; i++) {
        api("GET", "/api/connections?columns=name,user_provided_name", "", answer, sizeof(answer));
        char *end = strstr(answer, mark);
        if (!end) {
            REST(w, 100);
            continue;
        }
        *end = '\0';
        char *at = answer;
        for (char *next = strstr(at, "\"name\":\""); next; next = strstr(next + 8, "\"name\":\"")) {
            at = next + 8;
        }
        *strchr(at, '"') = '\0';
        size_t n = (size_t)snprintf(path, sizeof(path), "/api/connections/");
        for (; *at && n + 4 < sizeof(path); at++) {
            n += (size_t)snprintf(path + n, 4, *at == ' ' || *at == '>' ? "%%%02X" : "%c",
                                  (unsigned char)*at);
        }
    }
    assert_true(path[0]);
    assert_int_equal(admin("DELETE", path, ""), 204);
}

/* ---- Shorthands ---- */

static struct broker_reply keep_exchange(struct world *w, const char *name, const char *type)
{
    struct broker_exchange spec = {.name = name, .type = type, .is_durable = true};
    unsigned n = w->n_done;
    assert_int_equal(broker_keep_exchange(w->b, &spec, on_done, 1), 0);
    assert_int_equal(w->n_done, n);
    WAIT(w, n_done, n + 1);
    return w->reply;
}

static struct broker_reply keep_queue(struct world *w, const struct broker_queue *spec)
{
    unsigned n = w->n_done;
    assert_int_equal(broker_keep_queue(w->b, spec, on_done, 2), 0);
    assert_int_equal(w->n_done, n);
    WAIT(w, n_done, n + 1);
    return w->reply;
}

static struct broker_reply live_queue(struct world *w, const char *name)
{
    struct broker_queue spec = {
        .name = name, .is_exclusive = true, .prefix_key = "#", .bind_max = 5000};
    return keep_queue(w, &spec);
}

static struct broker_reply bind_key(struct world *w, const char *queue, const char *exchange,
                                    const char *key)
{
    unsigned n = w->n_done;
    assert_int_equal(broker_bind(w->b, queue, exchange, slice_of(key), on_done, 3), 0);
    assert_int_equal(w->n_done, n);
    WAIT(w, n_done, n + 1);
    return w->reply;
}

static void consume(struct world *w, const char *queue, const char *tag, bool no_ack)
{
    struct broker_consume spec = {.queue = queue,
                                  .tag = tag,
                                  .no_ack = no_ack,
                                  .prefetch = 100,
                                  .delivery = on_delivery,
                                  .owner = w};
    assert_int_equal(broker_consume(w->b, &spec), 0);
}

static enum broker_publish_status publish_with(struct world *w, const char *exchange,
                                               const char *key, const char *body, uint64_t token,
                                               bool is_mandatory, bool is_client_named)
{
    char id[64];
    snprintf(id, sizeof(id), "id-%llu", (unsigned long long)token);
    struct broker_publish p = {
        .exchange = slice_of(exchange),
        .routing_key = slice_of(key),
        .body = slice_of(body),
        .token = token,
        .is_mandatory = is_mandatory,
        .is_client_named = is_client_named,
        .properties = {.message_id = slice_of(id)},
    };
    return broker_publish(w->b, &p);
}

static void publish(struct world *w, const char *exchange, const char *key, uint64_t token)
{
    char body[32];
    snprintf(body, sizeof(body), "%llu", (unsigned long long)token);
    assert_int_equal(publish_with(w, exchange, key, body, token, false, true), BROKER_ACCEPTED);
}

/* ---- Tests ---- */

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
    wait_for_bindings(w, "sgt.live.max.", 41, true);
    consume(w, "sgt.live.max", "max", true);
    REST(w, 100);
    publish(w, "amq.topic", "sgt.many.59", 1);
    WAIT(w, n_delivered, 1);
    for (unsigned i = 0; i < 45; i++) {
        char key[64];
        snprintf(key, sizeof(key), "sgt.many.%u", i);
        broker_unbind(w->b, "sgt.live.max", "amq.topic", slice_of(key));
    }
    wait_for_bindings(w, "sgt.live.max.", 15, false);
    publish(w, "amq.topic", "sgt.many.59", 2);
    WAIT(w, n_delivered, 2);
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
    REST(w, 2500);
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
    w->b = broker_new(&w->loop, &options, &events, w);
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
    if (argc > 1) {
        cmocka_set_test_filter(argv[1]);
    }
    if (!getenv("STOMPGATE_AMQP") || !getenv("STOMPGATE_MANAGEMENT")) {
        fprintf(stderr, "STOMPGATE_AMQP and STOMPGATE_MANAGEMENT say where RabbitMQ is\n");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_message_goes_round),
        cmocka_unit_test(test_connection_closed_by_administrator_is_restored),
        cmocka_unit_test(test_missing_exchange_is_refused_alone),
        cmocka_unit_test(test_bad_property_is_refused_alone),
        cmocka_unit_test(test_missing_rights_are_refused_alone),
        cmocka_unit_test(test_two_culprits_in_one_batch_are_both_refused),
        cmocka_unit_test(test_missing_exchange_is_declared_again_when_the_owner_wants),
        cmocka_unit_test(test_mandatory_without_queue_is_returned),
        cmocka_unit_test(test_full_queue_nacks),
        cmocka_unit_test(test_queue_deleted_under_its_consumer_comes_back),
        cmocka_unit_test(test_exchange_deleted_under_load_comes_back),
        cmocka_unit_test(test_connections_killed_under_load_lose_nothing),
        cmocka_unit_test(test_2000_bindings_are_heard_again_at_once),
        cmocka_unit_test(test_over_bind_max_the_prefix_is_bound),
        cmocka_unit_test(test_bind_and_unbind_in_one_breath),
        cmocka_unit_test(test_events_tell_of_what_an_administrator_deletes),
        cmocka_unit_test(test_sweep_puts_back_without_events),
        cmocka_unit_test(test_binding_to_anothers_exchange_waits_for_its_return),
        cmocka_unit_test(test_refusals_are_told_and_not_kept),
        cmocka_unit_test(test_refused_queue_refuses_its_bindings),
        cmocka_unit_test(test_probes_are_answered_and_remembered),
        cmocka_unit_test(test_unacked_come_again_and_old_acks_are_ignored),
        cmocka_unit_test(test_consumer_of_anothers_queue_waits_for_it),
        cmocka_unit_test(test_overflow_is_a_gap),
        cmocka_unit_test(test_bodies_of_every_size_arrive_whole),
        cmocka_unit_test(test_full_is_said_and_room_is_told),
        cmocka_unit_test(test_stop_settles_everything_once),
        cmocka_unit_test(test_unreachable_broker_is_tried_again_and_stopped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
