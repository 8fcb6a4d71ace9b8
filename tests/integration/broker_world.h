/* A broker object with an owner that counts what it hears, on a loop that the test turns, against a
 * real RabbitMQ: STOMPGATE_AMQP=host:port and STOMPGATE_MANAGEMENT=http://host:port, guest/guest.
 * For the programs test_broker_*.c. */
#pragma once

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
    unsigned n_broken;
    char broken[600]; /* queue, key and the broker's words */
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

static inline void on_state(void *owner, enum broker_state state)
{
    struct world *w = owner;
    w->state = state;
    w->n_up += state == BROKER_UP;
    w->n_down += state == BROKER_DOWN;
}

static inline void on_room(void *owner)
{
    struct world *w = owner;
    w->n_room++;
}

static inline void on_settled(void *owner, const struct broker_settled *s)
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

static inline void on_gap(void *owner, const char *queue, uint64_t from)
{
    struct world *w = owner;
    w->n_gaps++;
    w->gap_from = from;
    snprintf(w->gap_queue, sizeof(w->gap_queue), "%s", queue);
}

static inline void on_restored(void *owner, const char *kind, const char *name)
{
    struct world *w = owner;
    (void)name;
    w->n_restored++;
    snprintf(w->restored_kind, sizeof(w->restored_kind), "%s", kind);
}

static inline void on_broken(void *owner, const char *queue, struct slice key,
                             const struct broker_reply *reply)
{
    struct world *w = owner;
    w->n_broken++;
    snprintf(w->broken, sizeof(w->broken), "%s %.*s %u %s", queue, (int)key.len,
             key.ptr ? key.ptr : "", reply->code, reply->text);
}

static inline void on_done(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct world *w = owner;
    w->n_done++;
    w->done_cookie = cookie;
    w->reply = *reply;
    snprintf(w->reply_text, sizeof(w->reply_text), "%s", reply->text);
}

static inline void on_delivery(void *owner, uint64_t cookie, const struct broker_delivery *d)
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

static inline bool on_missing(void *owner, struct slice exchange)
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

static inline void on_stopped(void *owner)
{
    ((struct world *)owner)->n_stopped++;
}

static const struct broker_events EVENTS = {.state = on_state,
                                            .room = on_room,
                                            .settled = on_settled,
                                            .gap = on_gap,
                                            .restored = on_restored,
                                            .broken = on_broken};

/* ---- The loop ---- */

static inline void on_timeout(uv_timer_t *timer)
{
    *(bool *)timer->data = true;
}

/* Turns the loop until *value is at least `at_least`, or the time is over. */
static inline bool run_for(struct world *w, const unsigned *value, unsigned at_least, unsigned ms)
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

static inline struct world *open_world_as(const char *name, bool watches, int sweep_ms,
                                          size_t bound)
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
    w->b = broker_new(&w->loop, &options, &EVENTS, w);
    assert_non_null(w->b);
    broker_on_missing_exchange(w->b, on_missing);
    broker_start(w->b);
    return w;
}

static inline struct world *open_world(const char *name)
{
    struct world *w = open_world_as(name, false, 0, 64 << 20);
    WAIT(w, n_up, 1);
    return w;
}

static inline void close_world(struct world *w)
{
    broker_stop(w->b, on_stopped);
    WAIT(w, n_stopped, 1);
    broker_free(w->b);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    free(w);
}

/* ---- The administrator: RabbitMQ's management API ---- */

static inline int api(const char *method, const char *path, const char *body, char *answer,
                      size_t cap)
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

static inline int admin(const char *method, const char *path, const char *body)
{
    char answer[4096];
    return api(method, path, body, answer, sizeof(answer));
}

/* The statistics that list connections lag by seconds, so this asks until one of that name is
 * there. */
static inline void kill_connection(struct world *w, const char *name)
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

static inline struct broker_reply keep_exchange(struct world *w, const char *name, const char *type)
{
    struct broker_exchange spec = {.name = name, .type = type, .is_durable = true};
    unsigned n = w->n_done;
    assert_int_equal(broker_keep_exchange(w->b, &spec, on_done, 1), 0);
    assert_int_equal(w->n_done, n);
    WAIT(w, n_done, n + 1);
    return w->reply;
}

static inline struct broker_reply keep_queue(struct world *w, const struct broker_queue *spec)
{
    unsigned n = w->n_done;
    assert_int_equal(broker_keep_queue(w->b, spec, on_done, 2), 0);
    assert_int_equal(w->n_done, n);
    WAIT(w, n_done, n + 1);
    return w->reply;
}

static inline struct broker_reply live_queue(struct world *w, const char *name)
{
    struct broker_queue spec = {
        .name = name, .is_exclusive = true, .prefix_key = "#", .bind_max = 5000};
    return keep_queue(w, &spec);
}

static inline struct broker_reply bind_key(struct world *w, const char *queue, const char *exchange,
                                           const char *key)
{
    unsigned n = w->n_done;
    assert_int_equal(broker_bind(w->b, queue, exchange, slice_of(key), on_done, 3), 0);
    assert_int_equal(w->n_done, n);
    WAIT(w, n_done, n + 1);
    return w->reply;
}

static inline void consume(struct world *w, const char *queue, const char *tag, bool no_ack)
{
    struct broker_consume spec = {.queue = queue,
                                  .tag = tag,
                                  .no_ack = no_ack,
                                  .prefetch = 100,
                                  .delivery = on_delivery,
                                  .owner = w};
    assert_int_equal(broker_consume(w->b, &spec), 0);
}

static inline enum broker_publish_status publish_with(struct world *w, const char *exchange,
                                                      const char *key, const char *body,
                                                      uint64_t token, bool is_mandatory,
                                                      bool is_client_named)
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

static inline void publish(struct world *w, const char *exchange, const char *key, uint64_t token)
{
    char body[32];
    snprintf(body, sizeof(body), "%llu", (unsigned long long)token);
    assert_int_equal(publish_with(w, exchange, key, body, token, false, true), BROKER_ACCEPTED);
}

/* What the program is asked to run, after it knows where RabbitMQ is. */
#define PREPARE_BROKER_TESTS(argc, argv)                                                           \
    do {                                                                                           \
        if (!getenv("STOMPGATE_AMQP") || !getenv("STOMPGATE_MANAGEMENT")) {                        \
            fprintf(stderr, "STOMPGATE_AMQP and STOMPGATE_MANAGEMENT say where RabbitMQ is\n");    \
            return 1;                                                                              \
        }                                                                                          \
        signal(SIGPIPE, SIG_IGN);                                                                  \
        if ((argc) > 1) {                                                                          \
            cmocka_set_test_filter((argv)[1]);                                                     \
        }                                                                                          \
    } while (0)
