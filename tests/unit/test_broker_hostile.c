/* amqp/ against a broker that is broken on purpose: a small server on the same loop that answers as
 * RabbitMQ does, and now and then says something else: errors that blame anybody, answers to
 * nothing, deliveries to nobody, garbage, silence. Whatever it says, every accepted publish is
 * settled once, every request is answered once, and the object stops. */
#include <stdint.h>

#define N_SERVED 6

struct served {
    uint64_t n_published;
    uint64_t n_acked;
};

#include "tests/unit/hostile_broker.h"

#define N_TOKENS 4000

/* ---- The server ---- */

struct world {
    struct server server; /* first: hostile_broker.h */
    unsigned next_token;
    unsigned n_accepted;
    unsigned n_settled;
    uint8_t settled[N_TOKENS];
    uint8_t was_accepted[N_TOKENS];
    unsigned n_asked;
    unsigned n_done;
    unsigned n_delivered;
    unsigned n_missing_queues;
    uint8_t done[N_TOKENS];
};

static const char *random_words(void)
{
    static const char *const words[] = {
        "NOT_FOUND - no exchange 'x.missing' in vhost '/'",
        "NOT_FOUND - no exchange 'x' in vhost '/'",
        "NOT_FOUND - no queue 'q' in vhost '/'",
        "NOT_FOUND - no exchange '",
        "PRECONDITION_FAILED - unknown delivery tag 7",
        "'",
        "",
    };
    return words[dice(7)];
}

static void close_channel(struct peer *p, uint16_t channel)
{
    static const uint16_t methods[][2] = {{60, 40}, {60, 20}, {50, 10}, {50, 20}, {50, 50},
                                          {40, 10}, {0, 0},   {60, 80}, {20, 10}};
    static const uint16_t codes[] = {404, 404, 403, 405, 406, 311, 0};
    unsigned m = dice(9);
    amqp_channel_close_t close = {.reply_code = codes[dice(7)],
                                  .reply_text = text(random_words()),
                                  .class_id = methods[m][0],
                                  .method_id = methods[m][1]};
    say(p, channel, AMQP_CHANNEL_CLOSE_METHOD, &close);
}

static void close_connection(struct peer *p)
{
    static const uint16_t methods[][2] = {{60, 40}, {40, 10}, {0, 0}};
    unsigned m = dice(3);
    amqp_connection_close_t close = {.reply_code = 503,
                                     .reply_text = text(random_words()),
                                     .class_id = methods[m][0],
                                     .method_id = methods[m][1]};
    say(p, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
}

static void say_garbage(struct peer *p)
{
    uint8_t bytes[64];
    size_t n = dice(sizeof(bytes)) + 1;
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)dice(dice(2) ? 256 : 4);
    }
    say_bytes(p, bytes, n);
}

static void deliver(struct peer *p, const char *tag, bool is_whole)
{
    static const uint8_t header[] = {2, 0, 3, 0, 0, 0, 14, 0, 60, 0, 0,
                                     0, 0, 0, 0, 0, 0, 0,  5, 0,  0, 0xce};
    static const uint8_t body[] = {3, 0, 3, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 0xce};
    amqp_basic_deliver_t m = {.consumer_tag = text(tag),
                              .delivery_tag = dice(100),
                              .exchange = text("x"),
                              .routing_key = text("k")};
    say(p, 3, AMQP_BASIC_DELIVER_METHOD, &m);
    say_bytes(p, header, sizeof(header));
    if (is_whole) {
        say_bytes(p, body, sizeof(body));
    }
}

static void give_back(struct peer *p, uint16_t channel)
{
    uint8_t header[] = {
        2,   0,   (uint8_t)channel, 0, 0, 0, 16, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 128, 1,
        'm', 0xce};
    amqp_basic_return_t back = {.reply_code = 312,
                                .reply_text = text("NO_ROUTE"),
                                .exchange = text(""),
                                .routing_key = text("gone")};
    say(p, channel, AMQP_BASIC_RETURN_METHOD, &back);
    say_bytes(p, header, sizeof(header));
}

static void misbehave(struct peer *p, uint16_t channel)
{
    amqp_basic_cancel_t cancel = {.consumer_tag = text(dice(2) ? "c" : "nobody"), .nowait = 1};
    amqp_basic_ack_t ack = {.delivery_tag = dice(3) ? dice(200) : UINT64_MAX,
                            .multiple = (amqp_boolean_t)dice(2)};
    amqp_basic_consume_ok_t consume_ok = {.consumer_tag = text("c")};
    amqp_connection_blocked_t blocked = {.reason = text("why not")};
    switch (dice(15)) {
    case 0:
    case 1:
    case 2:
        close_channel(p, channel ? channel : (uint16_t)(1 + dice(5)));
        break;
    case 3:
        close_connection(p);
        break;
    case 4:
        say_garbage(p);
        break;
    case 5:
    case 6:
        say_odd_frame(p, (uint16_t)dice(7));
        break;
    case 7:
        deliver(p, dice(2) ? "c" : "nobody", dice(4) != 0);
        break;
    case 8:
        say(p, 3, AMQP_BASIC_CANCEL_METHOD, &cancel);
        break;
    case 9:
        say(p, (uint16_t)(4 + dice(2)), AMQP_BASIC_ACK_METHOD, &ack);
        break;
    case 10:
        say(p, 3, AMQP_BASIC_CONSUME_OK_METHOD, &consume_ok);
        break;
    case 11:
        say(p, 0, AMQP_CONNECTION_BLOCKED_METHOD, &blocked);
        break;
    case 12:
        if (dice(8)) {
            say_odd_frame(p, channel);
        } /* else says nothing where something is expected */
        break;
    case 14:
        give_back(p, (uint16_t)(4 + dice(2)));
        break;
    case 13:
        send_out(p);
        hang_up(p);
        break;
    }
}

static void acknowledge(struct peer *p, uint16_t channel)
{
    if (dice(10) < 3 || p->served[channel].n_acked == p->served[channel].n_published) {
        return; /* in a later turn, together with others */
    }
    amqp_basic_ack_t ack = {.delivery_tag = p->served[channel].n_published, .multiple = 1};
    amqp_basic_nack_t nack = {.delivery_tag = p->served[channel].n_published, .multiple = 1};
    if (dice(20)) {
        say(p, channel, AMQP_BASIC_ACK_METHOD, &ack);
    } else {
        say(p, channel, AMQP_BASIC_NACK_METHOD, &nack);
    }
    p->served[channel].n_acked = p->served[channel].n_published;
}

/* The names of a basic.publish are behind the ticket: no exchange, and the queue "gone". */
static bool names_gone_queue(const struct codec_frame *f)
{
    return f->len > 11 && memcmp(f->payload + 6, "\0\4gone", 6) == 0;
}

/* The consumer tag of a basic.consume (behind ticket and queue) or of a basic.cancel. */
static amqp_bytes_t tag_of(const struct codec_frame *f, amqp_method_number_t id)
{
    size_t at = id == AMQP_BASIC_CONSUME_METHOD ? 7 + (size_t)f->payload[6] : 4;
    return (amqp_bytes_t){f->payload[at], (void *)(uintptr_t)(f->payload + at + 1)};
}

static void answer(const struct world *w, struct peer *p, uint16_t channel, amqp_method_number_t id,
                   const struct codec_frame *f)
{
    union {
        amqp_channel_open_ok_t open;
        amqp_queue_declare_ok_t declare;
        amqp_basic_consume_ok_t consume;
        amqp_basic_cancel_ok_t cancel;
    } ok;
    memset(&ok, 0, sizeof(ok));
    switch (id) {
    case AMQP_CHANNEL_OPEN_METHOD:
        p->served[channel].n_published = 0;
        p->served[channel].n_acked = 0;
        say(p, channel, id + 1, &ok);
        break;
    case AMQP_BASIC_CONSUME_METHOD:
        ok.consume.consumer_tag = tag_of(f, id);
        say(p, channel, id + 1, &ok);
        break;
    case AMQP_BASIC_CANCEL_METHOD:
        ok.cancel.consumer_tag = tag_of(f, id);
        say(p, channel, id + 1, &ok);
        break;
    case AMQP_EXCHANGE_DECLARE_METHOD:
    case AMQP_EXCHANGE_DELETE_METHOD:
    case AMQP_QUEUE_DECLARE_METHOD:
    case AMQP_QUEUE_BIND_METHOD:
    case AMQP_QUEUE_UNBIND_METHOD:
    case AMQP_QUEUE_DELETE_METHOD:
    case AMQP_BASIC_QOS_METHOD:
    case AMQP_CONFIRM_SELECT_METHOD:
        say(p, channel, id + 1, &ok);
        if (id == AMQP_BASIC_QOS_METHOD && channel > 3 && w->server.chaos) {
            give_back(p, channel); /* too late: the answer said that no more would come */
        }
        break;
    case AMQP_BASIC_PUBLISH_METHOD:
        p->served[channel].n_published++;
        if (names_gone_queue(f) && dice(3)) {
            give_back(p, channel);
        }
        acknowledge(p, channel);
        break;
    default:
        break;
    }
}

static void on_client_frame(struct world *w, struct peer *p, const struct codec_frame *f)
{
    if (f->type != CODEC_METHOD) {
        return;
    }
    amqp_method_number_t id = (amqp_method_number_t)f->payload[1] << 16 | f->payload[3];
    assert_true(f->channel < 6);
    if (w->server.chaos && dice(w->server.chaos) == 0) {
        misbehave(p, f->channel);
    } else if (f->channel == 0) {
        answer_connection(p, 2047, id);
    } else {
        answer(w, p, f->channel, id, f);
    }
}

/* ---- The owner ---- */

static void on_room(void *owner)
{
    (void)owner;
}

static void on_settled(void *owner, const struct broker_settled *s)
{
    struct world *w = owner;
    assert_true(s->token < N_TOKENS);
    assert_true(w->was_accepted[s->token]);
    assert_false(w->settled[s->token]);
    w->settled[s->token] = 1;
    w->n_settled++;
}

static void on_gap(void *owner, const char *queue, uint64_t from)
{
    (void)owner;
    assert_string_equal(queue, "live");
    assert_true(from > 0);
}

static void on_restored(void *owner, const char *kind, const char *name)
{
    (void)owner;
    (void)kind;
    (void)name;
}

static void on_done(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct world *w = owner;
    assert_true(cookie < N_TOKENS);
    assert_false(w->done[cookie]);
    assert_true(reply->is_ok || reply->text);
    w->done[cookie] = 1;
    w->n_done++;
}

static void on_delivery(void *owner, uint64_t cookie, const struct broker_delivery *d)
{
    struct world *w = owner;
    (void)cookie;
    assert_true(slice_is(d->body, "hello"));
    w->n_delivered++;
    if (dice(2)) {
        broker_ack(w->server.b, d->epoch, d->tag, false);
    }
    if (dice(10) == 0) {
        broker_cancel(w->server.b, "c");
    }
}

static bool on_missing(void *owner, struct slice exchange)
{
    struct world *w = owner;
    struct broker_exchange spec = {.name = "x.missing", .type = "topic"};
    return dice(2) && slice_is(exchange, "x.missing") &&
           broker_keep_exchange(w->server.b, &spec, NULL, 0) == 0;
}

static bool on_missing_queue(void *owner, struct slice queue)
{
    struct world *w = owner;
    struct broker_declare spec = {.name = queue, .is_durable = true};
    w->n_missing_queues++;
    assert_true(slice_is(queue, "gone"));
    return dice(3) && broker_declare_queue(w->server.b, &spec, NULL, 0) == 0;
}

static void on_broken(void *owner, const char *queue, struct slice key,
                      const struct broker_reply *reply)
{
    (void)owner;
    assert_true(queue[0] != '\0' && key.len <= 255);
    assert_false(reply->is_ok);
    assert_non_null(reply->text);
}

static const struct broker_events events = {.state = on_state,
                                            .room = on_room,
                                            .settled = on_settled,
                                            .gap = on_gap,
                                            .restored = on_restored,
                                            .broken = on_broken};

static void publish_some(struct world *w)
{
    char body[6000];
    memset(body, 'b', sizeof(body));
    for (unsigned n = dice(5); n > 0 && w->next_token < N_TOKENS; n--) {
        struct broker_publish p = {
            .exchange = slice_of(dice(4) ? "x" : "x.missing"),
            .routing_key = SLICE_LITERAL("k"),
            .is_mandatory = dice(2),
            .is_client_named = dice(2),
            .properties = {.message_id = SLICE_LITERAL("m")},
            .body = {body, dice(3) ? dice(20) : dice(sizeof(body))},
            .token = w->next_token,
        };
        if (dice(4) == 0) {
            p.exchange = SLICE_LITERAL("");
            p.routing_key = SLICE_LITERAL("gone");
            p.is_mandatory = true;
        }
        w->was_accepted[w->next_token] = 1;
        if (broker_publish(w->server.b, &p) == BROKER_ACCEPTED) {
            w->n_accepted++;
            w->next_token++;
        } else {
            w->was_accepted[w->next_token] = 0;
        }
    }
}

static void ask_something(struct world *w)
{
    char key[16];
    uint64_t cookie = w->n_asked;
    struct broker_exchange x = {.name = dice(2) ? "x" : "x2", .type = "topic"};
    struct broker_queue q = {.name = "live",
                             .is_exclusive = true,
                             .prefix_key = "#",
                             .bind_max = 20,
                             .reports_overflow = true};
    struct broker_consume c = {
        .queue = "live", .tag = "c", .prefetch = 10, .delivery = on_delivery, .owner = w};
    snprintf(key, sizeof(key), "k%u", dice(60));
    struct broker_declare d = {.name = SLICE_LITERAL("q"), .is_passive = dice(2)};
    int asked = -1;
    if (cookie + 1 >= N_TOKENS) {
        return;
    }
    switch (dice(13)) {
    case 12:
        asked = broker_declare_queue(w->server.b, &d, on_done, cookie);
        break;
    case 0:
        asked = broker_keep_exchange(w->server.b, &x, on_done, cookie);
        break;
    case 1:
        asked = broker_keep_queue(w->server.b, &q, on_done, cookie);
        break;
    case 2:
        if (broker_consume(w->server.b, &c) == 0) {
            return;
        }
        break;
    case 3:
        broker_cancel(w->server.b, "c");
        break;
    case 4:
        broker_drop_exchange(w->server.b, dice(2) ? "x" : "x2");
        break;
    case 5:
        if (dice(8) == 0) {
            broker_drop_queue(w->server.b, "live");
        }
        break;
    case 6:
        asked = broker_probe_exchange(w->server.b, dice(2) ? "x" : "x3", on_done, cookie);
        break;
    case 7:
        asked = broker_probe_queue(w->server.b, "q", on_done, cookie);
        break;
    case 8:
        broker_unbind(w->server.b, "live", "x", slice_of(key));
        break;
    default:
        asked = broker_bind(w->server.b, dice(6) ? "live" : "q", "x",
                            slice_of(dice(20) ? key : "#"), on_done, cookie);
        break;
    }
    w->n_asked += asked == 0;
}

static void on_turn(uv_timer_t *timer)
{
    struct world *w = timer->data;
    if (w->server.turns > 0) {
        w->server.turns--;
        for (uint16_t channel = 4; w->server.last && channel < 6; channel++) {
            acknowledge(w->server.last, channel);
            send_out(w->server.last);
        }
        publish_some(w);
        for (unsigned n = dice(6); n > 0; n--) {
            ask_something(w);
        }
        return;
    }
    server_stop(&w->server);
}

static void play(unsigned first_seed, unsigned chaos, struct world *w)
{
    memset(w, 0, sizeof(*w));
    chance = first_seed;
    w->server.chaos = chaos;
    w->server.turns = 120;
    struct broker_options options = server_listen(&w->server);
    options.is_publisher = true;
    options.unconfirmed_bytes = 100000;
    options.watches = true;
    options.sweep_ms = 50;
    w->server.b = broker_new(&w->server.loop, &options, &events, w);
    broker_on_missing_exchange(w->server.b, on_missing);
    broker_on_missing_queue(w->server.b, on_missing_queue);
    server_run(&w->server, on_turn);
    assert_int_equal(w->n_settled, w->n_accepted);
    assert_int_equal(w->n_done, w->n_asked);
}

static struct world world;

static void test_well_behaved_broker_confirms_all(void **state)
{
    (void)state;
    play(1, 0, &world);
    assert_int_equal(world.server.n_up, 1);
    assert_true(world.n_accepted > 100);
    assert_true(world.n_asked > 100);
    assert_true(world.n_missing_queues > 5);
}

static void test_hostile_broker_neither_crashes_nor_confuses(void **state)
{
    (void)state;
    unsigned n_up = 0;
    unsigned n_accepted = 0;
    const char *from = getenv("STOMPGATE_SEED"); /* for longer runs by hand */
    for (unsigned i = 1; i <= 60; i++) {
        play((from ? (unsigned)atoi(from) : 0) + i * 7919, 10 + i * 5, &world);
        n_up += world.server.n_up;
        n_accepted += world.n_accepted;
    }
    print_message("came up %u times, accepted %u publishes\n", n_up, n_accepted);
    assert_true(n_up > 60);
    assert_true(n_accepted > 1000);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well_behaved_broker_confirms_all),
        cmocka_unit_test(test_hostile_broker_neither_crashes_nor_confuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
