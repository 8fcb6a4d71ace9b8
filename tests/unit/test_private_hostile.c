/* Private channels against a broker on the same loop. When it behaves, it looks at what it is told:
 * nothing on a channel that is not open, no cancel before the consume-ok went out, no tag twice;
 * and it lets answers overtake one another. When it does not: frames on channels that nobody
 * opened, answers to nothing, garbage, silence, and memory that runs out. Whatever happens, answers
 * come in the order of the requests, a channel is closed once, and nothing is called after that. */
#include <stdbool.h>
#include <stdint.h>

#define CHANNEL_MAX 12u
#define N_SERVED (CHANNEL_MAX + 1)
#define N_USERS 10
#define N_TAGS 6

struct served {
    bool is_open;
    bool is_closing; /* channel.close was sent */
    bool consumes[N_TAGS];
    bool owes_consume_ok[N_TAGS];
    bool owes_cancel_ok[N_TAGS];
    uint64_t last_tag;
};

#include "tests/unit/hostile_broker.h"

static void *poor_malloc(size_t size)
{
    return poverty && dice(poverty) == 0 ? NULL : malloc(size);
}

static void *poor_calloc(size_t n, size_t size)
{
    return poverty && dice(poverty) == 0 ? NULL : calloc(n, size);
}

static void *poor_realloc(void *old, size_t size)
{
    return poverty && dice(poverty) == 0 ? NULL : realloc(old, size);
}

#include "amqp/private_internal.h"

#define malloc poor_malloc
#define calloc poor_calloc
#define realloc poor_realloc
#include "common/buf.c"
#define grow map_grow
#define find map_find
#include "common/map.c"
#undef find
#undef grow
#include "amqp/private.c"
#include "amqp/private_ask.c"
#define on_close private_channel_closes
#include "amqp/private_answer.c"
#undef on_close
#undef malloc
#undef calloc
#undef realloc

/* ---- The server ---- */

struct user {
    struct world *w;
    struct private_channel *ch;
    uint64_t asked;    /* cookies are counted from 1 on each channel */
    uint64_t answered; /* the last one */
    uint64_t consumers[N_TAGS];
    uint64_t to_ack;
};

struct world {
    struct server server; /* first: hostile_broker.h */
    unsigned poverty;
    unsigned n_opened;
    unsigned n_ended; /* by either side */
    unsigned n_answered;
    unsigned n_delivered;
    unsigned n_blamed; /* closes that named a request */
    struct user users[N_USERS];
};

static void tag_text(char out[8], unsigned tag)
{
    snprintf(out, 8, "t%u", tag);
}

static void deliver(struct peer *p, uint16_t channel, const char *consumer, uint64_t tag,
                    bool is_whole)
{
    uint8_t header[] = {
        2, 0, (uint8_t)channel, 0, 0, 0, 14, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0xce};
    uint8_t body[] = {3, 0, (uint8_t)channel, 0, 0, 0, 5, 'h', 'e', 'l', 'l', 'o', 0xce};
    amqp_basic_deliver_t m = {.consumer_tag = text(consumer),
                              .delivery_tag = tag,
                              .exchange = text("x"),
                              .routing_key = text("k")};
    say(p, channel, AMQP_BASIC_DELIVER_METHOD, &m);
    say_bytes(p, header, sizeof(header));
    if (is_whole) {
        say_bytes(p, body, sizeof(body));
    }
}

/* What it owes to consumers, in no order, some of it later; and deliveries. */
static void pay(struct peer *p, uint16_t channel)
{
    struct served *s = &p->served[channel];
    for (unsigned i = 0; i < N_TAGS && s->is_open && !s->is_closing; i++) {
        char tag[8];
        tag_text(tag, i);
        amqp_basic_consume_ok_t consume_ok = {.consumer_tag = text(tag)};
        amqp_basic_cancel_ok_t cancel_ok = {.consumer_tag = text(tag)};
        amqp_basic_cancel_t cancel = {.consumer_tag = text(tag), .nowait = 1};
        if (s->owes_consume_ok[i] && dice(2)) {
            s->owes_consume_ok[i] = false;
            say(p, channel, AMQP_BASIC_CONSUME_OK_METHOD, &consume_ok);
        } else if (s->owes_cancel_ok[i] && dice(2)) {
            s->owes_cancel_ok[i] = false;
            s->consumes[i] = false;
            say(p, channel, AMQP_BASIC_CANCEL_OK_METHOD, &cancel_ok);
        } else if (s->consumes[i] && !s->owes_consume_ok[i] && !s->owes_cancel_ok[i]) {
            deliver(p, channel, tag, ++s->last_tag, true);
            if (dice(20) == 0) {
                s->consumes[i] = false;
                say(p, channel, AMQP_BASIC_CANCEL_METHOD, &cancel);
            }
        }
    }
}

static void close_channel(struct peer *p, uint16_t channel, amqp_method_number_t method)
{
    amqp_channel_close_t close = {.reply_code = 404,
                                  .reply_text = text("NOT_FOUND - no queue 'q2' in vhost '/'"),
                                  .class_id = (uint16_t)(method >> 16),
                                  .method_id = (uint16_t)method};
    p->served[channel].is_closing = true;
    say(p, channel, AMQP_CHANNEL_CLOSE_METHOD, &close);
}

static void misbehave(struct peer *p, uint16_t channel)
{
    static const amqp_method_number_t blamed[] = {AMQP_QUEUE_DECLARE_METHOD, AMQP_QUEUE_BIND_METHOD,
                                                  AMQP_BASIC_CONSUME_METHOD, AMQP_BASIC_ACK_METHOD,
                                                  AMQP_BASIC_QOS_METHOD,     0};
    amqp_method_number_t method = blamed[dice(6)];
    amqp_basic_consume_ok_t consume_ok = {.consumer_tag = text(dice(2) ? "t1" : "nobody")};
    amqp_basic_cancel_ok_t cancel_ok = {.consumer_tag = text(dice(2) ? "t1" : "nobody")};
    amqp_basic_cancel_t cancel = {.consumer_tag = text(dice(2) ? "t1" : "nobody")};
    amqp_channel_close_ok_t close_ok = {0};
    amqp_connection_close_t close = {.reply_code = 541,
                                     .reply_text = text("INTERNAL_ERROR"),
                                     .class_id = (uint16_t)(method >> 16),
                                     .method_id = (uint16_t)method};
    uint16_t any = (uint16_t)(6 + dice(20)); /* also beyond channel_max */
    switch (dice(12)) {
    case 0:
    case 1:
        if (channel) {
            close_channel(p, channel, method);
        }
        break;
    case 2:
        say(p, 0, AMQP_CONNECTION_CLOSE_METHOD, &close);
        break;
    case 3:
        say_odd_frame(p, any);
        break;
    case 4:
        say_odd_frame(p, channel);
        break;
    case 5:
        deliver(p, any, dice(2) ? "t1" : "nobody", dice(50), dice(4) != 0);
        break;
    case 6:
        deliver(p, channel, dice(2) ? "t1" : "nobody", dice(50), dice(4) != 0);
        break;
    case 7:
        say(p, dice(2) ? any : channel, AMQP_BASIC_CONSUME_OK_METHOD, &consume_ok);
        break;
    case 8:
        say(p, dice(2) ? any : channel, AMQP_BASIC_CANCEL_OK_METHOD, &cancel_ok);
        break;
    case 9:
        say(p, dice(2) ? any : channel, AMQP_BASIC_CANCEL_METHOD, &cancel);
        break;
    case 10:
        say(p, dice(2) ? any : channel, AMQP_CHANNEL_CLOSE_OK_METHOD, &close_ok);
        break;
    case 11:
        send_out(p);
        hang_up(p);
        break;
    }
}

/* The number in the consumer tag of a basic.consume (behind ticket and queue) or basic.cancel. */
static unsigned tag_of(const struct codec_frame *f, amqp_method_number_t id)
{
    size_t at = id == AMQP_BASIC_CONSUME_METHOD ? 7 + (size_t)f->payload[6] : 4;
    assert_int_equal(f->payload[at], 2);
    unsigned tag = f->payload[at + 2] - (unsigned)'0';
    assert_in_range(tag, 0, N_TAGS - 1);
    return tag;
}

/* The queue "q2" is not there. The name is the first behind the ticket. */
static bool names_missing_queue(const struct codec_frame *f)
{
    return f->len > 8 && memcmp(f->payload + 6, "\2q2", 3) == 0;
}

/* What is said to a channel that is open. `is_strict`: nothing strange was said by us before. */
static void answer(struct peer *p, uint16_t channel, amqp_method_number_t id,
                   const struct codec_frame *f, bool is_strict)
{
    struct served *s = &p->served[channel];
    union {
        amqp_queue_declare_ok_t declare;
        amqp_basic_qos_ok_t qos;
    } ok;
    memset(&ok, 0, sizeof(ok));
    unsigned tag;
    switch (id) {
    case AMQP_BASIC_CONSUME_METHOD:
        tag = tag_of(f, id);
        assert_true(!is_strict || !s->consumes[tag]);
        if (names_missing_queue(f)) {
            close_channel(p, channel, id);
            break;
        }
        s->consumes[tag] = true;
        s->owes_consume_ok[tag] = true;
        break;
    case AMQP_BASIC_CANCEL_METHOD:
        tag = tag_of(f, id);
        assert_true(!is_strict || !s->owes_consume_ok[tag]); /* RabbitMQ 3.10 would crash */
        assert_true(!is_strict || !s->owes_cancel_ok[tag]);
        s->owes_cancel_ok[tag] = true;
        break;
    case AMQP_QUEUE_DECLARE_METHOD:
    case AMQP_QUEUE_BIND_METHOD:
    case AMQP_QUEUE_DELETE_METHOD:
        if (names_missing_queue(f)) {
            close_channel(p, channel, id);
            break;
        }
        say(p, channel, id + 1, &ok);
        break;
    case AMQP_BASIC_QOS_METHOD:
        say(p, channel, id + 1, &ok);
        break;
    default:
        assert_true(!is_strict || id == AMQP_BASIC_ACK_METHOD || id == AMQP_BASIC_NACK_METHOD);
        break;
    }
}

static void on_channel_frame(struct peer *p, uint16_t channel, amqp_method_number_t id,
                             const struct codec_frame *f, bool is_strict)
{
    struct served *s = &p->served[channel];
    amqp_channel_open_ok_t open_ok = {.channel_id = amqp_empty_bytes};
    amqp_channel_close_ok_t close_ok = {0};
    switch (id) {
    case AMQP_CHANNEL_OPEN_METHOD:
        assert_true(!is_strict || !s->is_open);
        *s = (struct served){.is_open = true};
        say(p, channel, id + 1, &open_ok);
        return;
    case AMQP_CHANNEL_CLOSE_METHOD: /* also when it has crossed a close of ours */
        assert_true(!is_strict || s->is_open);
        s->is_open = s->is_closing;
        say(p, channel, id + 1, &close_ok);
        return;
    case AMQP_CHANNEL_CLOSE_OK_METHOD:
        assert_true(!is_strict || s->is_closing);
        *s = (struct served){0};
        return;
    default:
        assert_true(!is_strict || s->is_open);
        if (!s->is_closing) {
            answer(p, channel, id, f, is_strict);
            pay(p, channel);
        }
        return;
    }
}

static void on_client_frame(struct world *w, struct peer *p, const struct codec_frame *f)
{
    amqp_method_number_t id;
    if (f->type != CODEC_METHOD) {
        return;
    }
    id = (amqp_method_number_t)f->payload[1] << 16 | f->payload[3];
    assert_true(f->channel == 0 || f->channel >= 6); /* it has no channels of its own */
    assert_true(f->channel <= CHANNEL_MAX);
    if (w->server.chaos && dice(w->server.chaos) == 0) {
        misbehave(p, f->channel);
    } else if (f->channel == 0) {
        answer_connection(p, CHANNEL_MAX, id);
    } else {
        on_channel_frame(p, f->channel, id, f, w->server.chaos == 0);
    }
}

/* ---- The owner ---- */

static void end(struct user *u)
{
    u->ch = NULL;
    u->w->n_ended++;
}

static void act(struct user *u);

static void on_answered(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct user *u = owner;
    assert_non_null(u->ch);
    assert_true(reply->is_ok);
    assert_int_equal(cookie, u->answered + 1);
    assert_true(cookie <= u->asked);
    u->answered = cookie;
    u->w->n_answered++;
    act(u);
}

static void on_delivery(void *owner, uint64_t consumer, const struct broker_delivery *d)
{
    struct user *u = owner;
    bool is_known = false;
    assert_non_null(u->ch);
    assert_true(slice_is(d->body, "hello"));
    assert_int_equal(d->epoch, private_epoch(u->ch));
    for (unsigned i = 0; i < N_TAGS; i++) {
        is_known = is_known || u->consumers[i] == consumer;
    }
    assert_true(is_known);
    u->w->n_delivered++;
    u->to_ack = d->tag;
    if (dice(4) == 0) {
        act(u);
    }
}

static void on_cancelled(void *owner, uint64_t consumer)
{
    struct user *u = owner;
    assert_non_null(u->ch);
    assert_in_range(consumer, 1, u->asked);
    act(u);
}

static void on_closed(void *owner, uint64_t cookie, uint16_t code, const char *words)
{
    struct user *u = owner;
    assert_non_null(u->ch);
    assert_non_null(words);
    assert_true(cookie == 0 || (cookie > u->answered && cookie <= u->asked));
    assert_true(cookie == 0 || code != 0);
    u->w->n_blamed += cookie != 0;
    private_close(u->ch); /* nothing happens */
    end(u);
    if (dice(3) == 0) { /* what an owner does that cannot wait */
        act(u);
    }
}

static const struct private_events private_events = {on_answered, on_delivery, on_cancelled,
                                                     on_closed};
static const struct broker_events events = {.state = on_state};

static void begin(struct user *u)
{
    size_t room = private_room(u->w->server.b);
    u->ch = private_open(u->w->server.b, &private_events, u);
    assert_true(!u->ch || room > 0);
    if (u->ch) {
        u->w->n_opened++;
        u->asked = 0;
        u->answered = 0;
        u->to_ack = 0;
        memset(u->consumers, 0, sizeof(u->consumers));
    }
}

static int consume(struct user *u, struct slice queue, uint64_t cookie)
{
    char tag[8];
    unsigned i = dice(N_TAGS);
    tag_text(tag, i);
    struct private_consume spec = {.queue = queue, .tag = tag, .prefetch = (uint16_t)dice(3)};
    int asked = private_consume(u->ch, &spec, cookie);
    u->consumers[i] = asked == 0 ? cookie : u->consumers[i];
    return asked;
}

static int ask_something(struct user *u, uint64_t cookie)
{
    struct slice queue = slice_of(dice(60) ? "q1" : "q2");
    struct broker_argument arg = {BROKER_INTEGER, SLICE_LITERAL("x-a"), SLICE_LITERAL(""), 1};
    struct broker_declare declare = {.name = queue, .args = &arg, .n_args = dice(2)};
    switch (dice(8)) {
    case 0:
        return private_declare(u->ch, &declare, cookie);
    case 1:
        return private_bind(u->ch, queue, SLICE_LITERAL("x"), SLICE_LITERAL("k"), &arg, dice(2),
                            cookie);
    case 2:
        return private_delete_queue(u->ch, queue, cookie);
    case 3:
    case 4:
        return private_sync(u->ch, cookie);
    case 5:
        return private_cancel(u->ch, u->consumers[dice(N_TAGS)], cookie);
    default:
        return consume(u, queue, cookie);
    }
}

static void act(struct user *u)
{
    if (!u->ch) {
        begin(u);
        return;
    }
    switch (dice(16)) {
    case 0:
        if (dice(4) == 0) {
            private_close(u->ch);
            end(u);
        }
        break;
    case 1:
    case 2:
        if (u->to_ack) {
            private_ack(u->ch, u->to_ack, true);
        }
        u->to_ack = 0;
        break;
    case 3:
        if (u->to_ack) {
            private_nack(u->ch, u->to_ack, false, dice(2));
        }
        u->to_ack = 0;
        break;
    default:
        u->asked += ask_something(u, u->asked + 1) == 0;
        break;
    }
}

static void on_turn(uv_timer_t *timer)
{
    struct world *w = timer->data;
    poverty = w->poverty;
    if (w->server.turns > 0) {
        w->server.turns--;
        for (uint16_t channel = 6; w->server.last && channel <= CHANNEL_MAX; channel++) {
            pay(w->server.last, channel);
            send_out(w->server.last);
        }
        for (unsigned i = 0; i < N_USERS; i++) {
            for (unsigned n = dice(4); n > 0; n--) {
                act(&w->users[i]);
            }
        }
        return;
    }
    server_stop(&w->server);
}

static void play(unsigned first_seed, unsigned chaos, unsigned poverty_then, struct world *w)
{
    memset(w, 0, sizeof(*w));
    chance = first_seed;
    w->server.chaos = chaos;
    w->poverty = poverty_then;
    w->server.turns = 150;
    for (unsigned i = 0; i < N_USERS; i++) {
        w->users[i].w = w;
    }
    struct broker_options options = server_listen(&w->server);
    options.is_private = true;
    w->server.b = broker_new(&w->server.loop, &options, &events, w);
    server_run(&w->server, on_turn);
    assert_int_equal(w->n_ended, w->n_opened);
    for (unsigned i = 0; i < N_USERS; i++) {
        assert_null(w->users[i].ch);
    }
}

static struct world world;

static void test_well_behaved_broker_is_well_treated(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 8; i++) {
        play(i, 0, 0, &world);
        assert_int_equal(world.server.n_up, 1); /* it had no reason to give the connection up */
        assert_true(world.n_opened > 10);
        assert_true(world.n_answered > 200);
        assert_true(world.n_delivered > 100);
        assert_true(world.n_blamed > 0);
    }
}

static void test_hostile_broker_neither_crashes_nor_confuses(void **state)
{
    (void)state;
    unsigned n_up = 0;
    unsigned n_answered = 0;
    const char *from = getenv("STOMPGATE_SEED"); /* for longer runs by hand */
    for (unsigned i = 1; i <= 30; i++) {
        play((from ? (unsigned)atoi(from) : 0) + i * 7919, 20 + i * 16, 0, &world);
        n_up += world.server.n_up;
        n_answered += world.n_answered;
    }
    print_message("came up %u times, answered %u requests\n", n_up, n_answered);
    assert_true(n_up > 30);
    assert_true(n_answered > 1000);
}

static void test_memory_that_runs_out_costs_no_more_than_it_must(void **state)
{
    (void)state;
    unsigned n_answered = 0;
    for (unsigned i = 1; i <= 16; i++) {
        play(i * 104729, i % 2 ? 0 : 200, 20 + i * 25, &world);
        n_answered += world.n_answered;
    }
    assert_true(n_answered > 1000);
}

int main(void)
{
    log_set_level(LOG_ERROR);
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_well_behaved_broker_is_well_treated),
        cmocka_unit_test(test_hostile_broker_neither_crashes_nor_confuses),
        cmocka_unit_test(test_memory_that_runs_out_costs_no_more_than_it_must),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
