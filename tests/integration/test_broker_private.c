/* Private channels (amqp/private.h) against a real RabbitMQ. */
#include "amqp/private.h"
#include "broker_world.h"

#define MAX_SEEN 512
#define SYNC 999 /* cookie of sync_with_broker() */

/* The owner of one private channel. */
struct user {
    struct world *w;
    struct private_channel *ch; /* NULL: closed */
    bool acks;
    bool closes; /* inside the next callback */
    bool closes_on_delivery;
    unsigned n_synced;
    unsigned n_answered;
    uint64_t answered[MAX_SEEN];
    uint32_t messages;
    uint32_t consumers;
    unsigned n_delivered;
    uint64_t tags[MAX_SEEN];
    uint64_t consumer[MAX_SEEN];
    int number[MAX_SEEN]; /* the body's */
    bool is_redelivered[MAX_SEEN];
    char headers[2048]; /* of the last delivery: "name=value;" */
    unsigned n_cancelled;
    uint64_t cancelled;
    unsigned n_closed;
    uint64_t culprit;
    uint16_t code;
    char text[300];
};

static void perhaps_close(struct user *u)
{
    if (u->closes) {
        private_close(u->ch);
        u->ch = NULL;
    }
}

static void on_answered(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct user *u = owner;
    assert_true(reply->is_ok);
    assert_non_null(u->ch);
    if (u->n_answered < MAX_SEEN) {
        u->answered[u->n_answered] = cookie;
    }
    u->n_answered++;
    u->n_synced += cookie == SYNC;
    u->messages = reply->messages;
    u->consumers = reply->consumers;
    perhaps_close(u);
}

static void note_headers(struct user *u, const struct broker_properties *p)
{
    size_t len = 0;
    u->headers[0] = '\0';
    for (size_t i = 0; i < p->n_headers && len < sizeof(u->headers); i++) {
        const struct broker_header *h = &p->headers[i];
        len += (size_t)snprintf(u->headers + len, sizeof(u->headers) - len, "%.*s=%.*s;",
                                (int)h->name.len, h->name.ptr, (int)h->value.len, h->value.ptr);
    }
}

static void on_private_delivery(void *owner, uint64_t consumer, const struct broker_delivery *d)
{
    struct user *u = owner;
    char body[32];
    assert_non_null(u->ch);
    assert_true(u->n_delivered < MAX_SEEN);
    assert_int_equal(d->epoch, private_epoch(u->ch));
    snprintf(body, sizeof(body), "%.*s", (int)d->body.len, d->body.ptr);
    note_headers(u, &d->properties);
    u->tags[u->n_delivered] = d->tag;
    u->consumer[u->n_delivered] = consumer;
    u->number[u->n_delivered] = atoi(body);
    u->is_redelivered[u->n_delivered++] = d->is_redelivered;
    if (u->acks) {
        private_ack(u->ch, d->tag, false);
    }
    u->closes = u->closes || u->closes_on_delivery;
    perhaps_close(u);
}

static void on_cancelled(void *owner, uint64_t consumer)
{
    struct user *u = owner;
    u->n_cancelled++;
    u->cancelled = consumer;
    perhaps_close(u);
}

static void on_closed(void *owner, uint64_t cookie, uint16_t code, const char *text)
{
    struct user *u = owner;
    private_close(u->ch); /* too late, and harmless */
    u->ch = NULL;
    u->n_closed++;
    u->culprit = cookie;
    u->code = code;
    snprintf(u->text, sizeof(u->text), "%s", text);
}

static const struct private_events PRIVATE_EVENTS = {on_answered, on_private_delivery, on_cancelled,
                                                     on_closed};

/* ---- Shorthands ---- */

static struct world *open_private_world(const char *name)
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
        .is_private = true,
    };
    w->b = broker_new(&w->loop, &options, &EVENTS, w);
    assert_non_null(w->b);
    assert_int_equal(private_room(w->b), 0);
    broker_start(w->b);
    WAIT(w, n_up, 1);
    return w;
}

static struct user join(struct world *w)
{
    return (struct user){.w = w};
}

static void open_user(struct user *u)
{
    u->ch = private_open(u->w->b, &PRIVATE_EVENTS, u);
    assert_non_null(u->ch);
}

#define WAIT_USER(u, field, n) assert_true(run_for((u)->w, &(u)->field, (n), DEADLINE_MS))

static void declare(struct user *u, const char *name, uint64_t cookie)
{
    struct broker_declare queue = {.name = slice_of(name), .is_durable = true};
    assert_int_equal(private_declare(u->ch, &queue, cookie), 0);
}

static void ask_for(struct user *u, const char *name, uint64_t cookie)
{
    struct broker_declare queue = {.name = slice_of(name), .is_passive = true};
    assert_int_equal(private_declare(u->ch, &queue, cookie), 0);
}

static void declare_exclusive(struct user *u, const char *name, uint64_t cookie)
{
    struct broker_declare queue = {.name = slice_of(name), .is_exclusive = true};
    assert_int_equal(private_declare(u->ch, &queue, cookie), 0);
}

static void consume_from(struct user *u, const char *queue, const char *tag, uint16_t prefetch,
                         uint64_t cookie)
{
    struct private_consume spec = {.queue = slice_of(queue), .tag = tag, .prefetch = prefetch};
    assert_int_equal(private_consume(u->ch, &spec, cookie), 0);
}

static void sync_with_broker(struct user *u)
{
    unsigned n = u->n_synced;
    assert_int_equal(private_sync(u->ch, SYNC), 0);
    assert_int_equal(u->n_synced, n);
    WAIT_USER(u, n_synced, n + 1);
}

static void delete_queue(const char *name)
{
    char path[300];
    snprintf(path, sizeof(path), "/api/queues/%%2F/%s", name);
    admin("DELETE", path, "");
}

/* Bodies "1" to "n", from another connection. */
static void fill(const char *queue, unsigned n)
{
    struct world *w = open_world("private filler");
    for (unsigned i = 1; i <= n; i++) {
        publish(w, "", queue, i);
    }
    WAIT(w, n_settled, n);
    assert_int_equal(w->outcomes[BROKER_CONFIRMED], n);
    close_world(w);
}

/* ---- Messages ---- */

static void test_declare_bind_consume_ack(void **state)
{
    (void)state;
    struct world *w = open_private_world("private whole");
    struct user u = join(w);
    u.acks = true;
    delete_queue("t.private.whole");
    open_user(&u);
    declare(&u, "t.private.whole", 1);
    assert_int_equal(private_bind(u.ch, slice_of("t.private.whole"), slice_of("amq.topic"),
                                  slice_of("t.private.#"), NULL, 0, 2),
                     0);
    consume_from(&u, "t.private.whole", "c", 10, 3);
    sync_with_broker(&u);
    WAIT_USER(&u, n_answered, 4);
    struct world *other = open_world("private whole publisher");
    for (unsigned i = 1; i <= 50; i++) {
        publish(other, "amq.topic", "t.private.key", i);
    }
    WAIT(other, n_settled, 50);
    close_world(other);
    WAIT_USER(&u, n_delivered, 50);
    for (unsigned i = 0; i < 50; i++) {
        assert_int_equal(u.number[i], i + 1);
        assert_int_equal(u.consumer[i], 3);
    }
    sync_with_broker(&u);
    ask_for(&u, "t.private.whole", 5);
    WAIT_USER(&u, n_answered, 6);
    assert_int_equal(u.messages, 0);
    assert_int_equal(u.consumers, 1);
    assert_int_equal(private_delete_queue(u.ch, slice_of("t.private.whole"), 6), 0);
    WAIT_USER(&u, n_answered, 7);
    assert_int_equal(u.n_closed, 0);
    private_close(u.ch);
    close_world(w);
}

static void test_nack_puts_back_in_order(void **state)
{
    (void)state;
    struct world *w = open_private_world("private requeue");
    struct user u = join(w);
    delete_queue("t.private.requeue");
    open_user(&u);
    declare(&u, "t.private.requeue", 1);
    WAIT_USER(&u, n_answered, 1);
    fill("t.private.requeue", 5);
    consume_from(&u, "t.private.requeue", "c", 5, 2);
    WAIT_USER(&u, n_delivered, 5);
    private_nack(u.ch, u.tags[4], true, true);
    WAIT_USER(&u, n_delivered, 10);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(u.number[5 + i], i + 1);
        assert_true(u.is_redelivered[5 + i]);
    }
    private_nack(u.ch, u.tags[5], false, false); /* gone for good */
    private_ack(u.ch, u.tags[7], true);          /* the next two */
    private_close(u.ch);                         /* the last two are put back */
    struct user next = join(w);
    open_user(&next);
    consume_from(&next, "t.private.requeue", "c", 0, 1);
    WAIT_USER(&next, n_delivered, 2);
    assert_int_equal(next.number[0], 4);
    assert_int_equal(next.number[1], 5);
    sync_with_broker(&next);
    assert_int_equal(next.n_delivered, 2);
    private_close(next.ch);
    delete_queue("t.private.requeue");
    close_world(w);
}

/* Who reads the count when the sync is answered finds what was acknowledged gone, also when the
 * channel goes right after. */
static void test_sync_says_that_acks_were_handled(void **state)
{
    (void)state;
    struct world *w = open_private_world("private sync");
    struct user u = join(w);
    struct user reader = join(w);
    delete_queue("t.private.sync");
    open_user(&u);
    open_user(&reader);
    declare(&u, "t.private.sync", 1);
    WAIT_USER(&u, n_answered, 1);
    for (unsigned round = 0; round < 5; round++) {
        fill("t.private.sync", 20);
        u.n_delivered = 0;
        consume_from(&u, "t.private.sync", "c", 0, 2);
        WAIT_USER(&u, n_delivered, 20);
        private_ack(u.ch, u.tags[19], true);
        sync_with_broker(&u);
        private_close(u.ch);
        open_user(&u);
        sync_with_broker(&u); /* on the new channel: the old one has gone */
        unsigned n = reader.n_answered;
        ask_for(&reader, "t.private.sync", 1);
        WAIT_USER(&reader, n_answered, n + 1);
        assert_int_equal(reader.messages, 0);
    }
    private_close(u.ch);
    private_close(reader.ch);
    delete_queue("t.private.sync");
    close_world(w);
}

static void test_prefetch_is_of_each_consumer(void **state)
{
    (void)state;
    struct world *w = open_private_world("private prefetch");
    struct user u = join(w);
    delete_queue("t.private.p1");
    delete_queue("t.private.p2");
    open_user(&u);
    declare(&u, "t.private.p1", 1);
    declare(&u, "t.private.p2", 2);
    WAIT_USER(&u, n_answered, 2);
    fill("t.private.p1", 10);
    fill("t.private.p2", 10);
    consume_from(&u, "t.private.p1", "a", 2, 3);
    assert_int_equal(private_sync(u.ch, 4), 0); /* must not change what comes behind it */
    consume_from(&u, "t.private.p2", "b", 3, 5);
    WAIT_USER(&u, n_delivered, 5);
    for (unsigned i = 0; i < 3; i++) {
        sync_with_broker(&u);
    }
    assert_int_equal(u.n_delivered, 5);
    unsigned n_first = 0;
    for (unsigned i = 0; i < 5; i++) {
        n_first += u.consumer[i] == 3;
    }
    assert_int_equal(n_first, 2);
    private_close(u.ch);
    delete_queue("t.private.p1");
    delete_queue("t.private.p2");
    close_world(w);
}

static void test_dead_letters_tell_their_story(void **state)
{
    (void)state;
    struct world *w = open_private_world("private dead");
    struct user u = join(w);
    const struct broker_argument args[] = {
        {BROKER_TEXT, SLICE_LITERAL("x-dead-letter-exchange"), SLICE_LITERAL(""), 0},
        {BROKER_TEXT, SLICE_LITERAL("x-dead-letter-routing-key"), SLICE_LITERAL("t.private.tomb"),
         0},
    };
    struct broker_declare queue = {
        .name = SLICE_LITERAL("t.private.live"), .is_auto_delete = true, .args = args, .n_args = 2};
    delete_queue("t.private.live");
    open_user(&u);
    declare_exclusive(&u, "t.private.tomb", 1);
    assert_int_equal(private_declare(u.ch, &queue, 2), 0);
    WAIT_USER(&u, n_answered, 2);
    fill("t.private.live", 1);
    consume_from(&u, "t.private.live", "c", 0, 3);
    WAIT_USER(&u, n_delivered, 1);
    assert_string_equal(u.headers, "");
    private_nack(u.ch, u.tags[0], false, false);
    consume_from(&u, "t.private.tomb", "d", 0, 4);
    WAIT_USER(&u, n_delivered, 2);
    assert_int_equal(u.consumer[1], 4);
    assert_non_null(strstr(u.headers, "x-death.0.count=1;"));
    assert_non_null(strstr(u.headers, "x-death.0.reason=rejected;"));
    assert_non_null(strstr(u.headers, "x-death.0.queue=t.private.live;"));
    assert_non_null(strstr(u.headers, "x-death.0.routing-keys.0=t.private.live;"));
    assert_non_null(strstr(u.headers, "x-first-death-queue=t.private.live;"));
    private_close(u.ch);
    close_world(w);
}

/* ---- Arguments ---- */

static void test_arguments_have_their_types(void **state)
{
    (void)state;
    struct world *w = open_private_world("private types");
    struct user u = join(w);
    char answer[8192];
    const struct broker_argument args[] = {
        {BROKER_INTEGER, SLICE_LITERAL("x-message-ttl"), SLICE_LITERAL(""), 3600000},
        {BROKER_TEXT, SLICE_LITERAL("x-dead-letter-exchange"), SLICE_LITERAL("amq.fanout"), 0},
        {BROKER_BOOLEAN, SLICE_LITERAL("x-single-active-consumer"), SLICE_LITERAL(""), 1},
    };
    struct broker_declare queue = {.name = SLICE_LITERAL("t.private.types"),
                                   .is_auto_delete = true,
                                   .args = args,
                                   .n_args = 3};
    const struct broker_argument match[] = {
        {BROKER_TEXT, SLICE_LITERAL("x-match"), SLICE_LITERAL("all"), 0},
        {BROKER_INTEGER, SLICE_LITERAL("size"), SLICE_LITERAL(""), 7},
    };
    delete_queue("t.private.types");
    open_user(&u);
    assert_int_equal(private_declare(u.ch, &queue, 1), 0);
    assert_int_equal(
        private_bind(u.ch, queue.name, slice_of("amq.headers"), slice_of(""), match, 2, 2), 0);
    WAIT_USER(&u, n_answered, 2);
    assert_int_equal(api("GET", "/api/queues/%2F/t.private.types", "", answer, sizeof(answer)),
                     200);
    assert_non_null(strstr(answer, "\"x-message-ttl\":3600000"));
    assert_non_null(strstr(answer, "\"x-dead-letter-exchange\":\"amq.fanout\""));
    assert_non_null(strstr(answer, "\"x-single-active-consumer\":true"));
    assert_non_null(strstr(answer, "\"auto_delete\":true"));
    api("GET", "/api/queues/%2F/t.private.types/bindings", "", answer, sizeof(answer));
    assert_non_null(strstr(answer, "\"size\":7"));
    assert_non_null(strstr(answer, "\"x-match\":\"all\""));
    queue.n_args = 2;
    assert_int_equal(private_declare(u.ch, &queue, 3), 0);
    WAIT_USER(&u, n_closed, 1);
    assert_int_equal(u.code, 406);
    assert_int_equal(u.culprit, 3);
    delete_queue("t.private.types");
    close_world(w);
}

static void test_what_cannot_be_encoded_is_refused(void **state)
{
    (void)state;
    struct world *w = open_private_world("private refuses");
    struct user u = join(w);
    static char name[256];
    memset(name, 'n', sizeof(name));
    struct slice too_long = {name, 256};
    struct slice q = SLICE_LITERAL("q");
    struct slice none = SLICE_LITERAL("");
    struct broker_argument bad = {BROKER_TEXT, too_long, none, 0};
    struct broker_declare queue = {.name = too_long};
    struct private_consume spec = {.queue = too_long, .tag = "c"};
    open_user(&u);
    assert_int_equal(private_declare(u.ch, &queue, 1), -1);
    assert_int_equal(private_bind(u.ch, too_long, q, q, NULL, 0, 1), -1);
    assert_int_equal(private_bind(u.ch, q, too_long, q, NULL, 0, 1), -1);
    assert_int_equal(private_bind(u.ch, q, q, too_long, NULL, 0, 1), -1);
    assert_int_equal(private_bind(u.ch, q, q, q, &bad, 1, 1), -1);
    assert_int_equal(private_delete_queue(u.ch, too_long, 1), -1);
    assert_int_equal(private_delete_queue(u.ch, none, 1), -1);
    assert_int_equal(private_consume(u.ch, &spec, 1), -1);
    spec = (struct private_consume){.queue = q, .tag = ""};
    assert_int_equal(private_consume(u.ch, &spec, 1), -1);
    spec = (struct private_consume){.queue = q, .tag = "c", .args = &bad, .n_args = 1};
    assert_int_equal(private_consume(u.ch, &spec, 1), -1);
    declare_exclusive(&u, "t.private.taken", 1);
    consume_from(&u, "t.private.taken", "c", 0, 2); /* the tag was not spent on the failures */
    spec = (struct private_consume){.queue = slice_of("t.private.taken"), .tag = "c"};
    assert_int_equal(private_consume(u.ch, &spec, 3), -1); /* now it is */
    sync_with_broker(&u);
    assert_int_equal(u.n_answered, 3);
    assert_int_equal(u.n_closed, 0);
    private_close(u.ch);
    close_world(w);
}

/* ---- Errors ---- */

static void fail_with(struct world *w, struct user *neighbour, void (*act)(struct user *),
                      uint16_t code, uint64_t culprit, const char *words)
{
    struct user u = join(w);
    open_user(&u);
    unsigned n = neighbour->n_answered;
    assert_int_equal(private_sync(neighbour->ch, 1), 0);
    act(&u);
    assert_int_equal(private_sync(neighbour->ch, 2), 0);
    WAIT_USER(&u, n_closed, 1);
    assert_null(u.ch);
    assert_int_equal(u.code, code);
    assert_int_equal(u.culprit, culprit);
    assert_non_null(strstr(u.text, words));
    WAIT_USER(neighbour, n_answered, n + 2);
    assert_int_equal(neighbour->n_closed, 0);
    assert_int_equal(w->n_down, 0);
}

static void ask_for_nothing(struct user *u)
{
    declare_exclusive(u, "t.private.x1", 1);
    ask_for(u, "t.private.nowhere", 2);
    declare_exclusive(u, "t.private.x2", 3); /* never handled */
}

static void bind_to_nothing(struct user *u)
{
    declare_exclusive(u, "t.private.x3", 1);
    assert_int_equal(private_bind(u->ch, slice_of("t.private.x3"), slice_of("t.private.nowhere"),
                                  slice_of("k"), NULL, 0, 2),
                     0);
    consume_from(u, "t.private.x3", "c", 1, 3);
}

static void consume_from_nothing(struct user *u)
{
    declare_exclusive(u, "t.private.x4", 1);
    for (uint64_t i = 10; i < 20; i++) {
        char tag[8];
        snprintf(tag, sizeof(tag), "%u", (unsigned)i);
        consume_from(u, i == 17 ? "t.private.nowhere" : "t.private.x4", tag, 1, i);
    }
}

static void touch_the_locked(struct user *u)
{
    ask_for(u, "t.private.locked", 7);
}

static void declare_reserved(struct user *u)
{
    declare(u, "amq.reserved", 8);
}

static void declare_otherwise(struct user *u)
{
    struct broker_declare queue = {.name = SLICE_LITERAL("t.private.made")};
    declare(u, "t.private.made", 5);
    assert_int_equal(private_declare(u->ch, &queue, 9), 0);
}

static void settle_the_unknown(struct user *u)
{
    assert_int_equal(private_sync(u->ch, 1), 0);
    private_ack(u->ch, 77, false);
    assert_int_equal(private_sync(u->ch, 2), 0);
}

static void test_an_error_costs_its_channel_alone(void **state)
{
    (void)state;
    struct world *w = open_private_world("private errors");
    struct world *other = open_private_world("private errors other");
    struct user neighbour = join(w);
    struct user locker = join(other);
    delete_queue("t.private.made");
    open_user(&neighbour);
    open_user(&locker);
    declare_exclusive(&locker, "t.private.locked", 1);
    WAIT_USER(&locker, n_answered, 1);
    size_t room = private_room(w->b);
    fail_with(w, &neighbour, ask_for_nothing, 404, 2, "NOT_FOUND - no queue 't.private.nowhere'");
    fail_with(w, &neighbour, bind_to_nothing, 404, 2,
              "NOT_FOUND - no exchange 't.private.nowhere'");
    fail_with(w, &neighbour, consume_from_nothing, 404, 17, "'t.private.nowhere'");
    fail_with(w, &neighbour, touch_the_locked, 405, 7, "RESOURCE_LOCKED");
    fail_with(w, &neighbour, declare_reserved, 403, 8, "ACCESS_REFUSED");
    fail_with(w, &neighbour, declare_otherwise, 406, 9, "PRECONDITION_FAILED");
    fail_with(w, &neighbour, settle_the_unknown, 406, 0, "unknown delivery tag 77");
    assert_int_equal(private_room(w->b), room);
    private_close(neighbour.ch);
    private_close(locker.ch);
    delete_queue("t.private.made");
    close_world(w);
    close_world(other);
}

/* ---- Order ---- */

static void test_answers_come_in_the_order_of_requests(void **state)
{
    (void)state;
    struct world *w = open_private_world("private order");
    struct user u = join(w);
    open_user(&u);
    uint64_t cookie = 1; /* a cancel right behind its consume among them: see private_internal.h */
    declare_exclusive(&u, "t.private.order", cookie++);
    for (unsigned i = 0; i < 40; i++) {
        char tag[16];
        snprintf(tag, sizeof(tag), "c%u", i);
        uint64_t consumer = cookie++;
        consume_from(&u, "t.private.order", tag, (uint16_t)(1 + i % 3), consumer);
        assert_int_equal(private_sync(u.ch, cookie++), 0);
        ask_for(&u, "t.private.order", cookie++);
        if (i % 2) {
            assert_int_equal(private_cancel(u.ch, consumer, cookie++), 0);
        }
    }
    WAIT_USER(&u, n_answered, (unsigned)cookie - 1);
    for (unsigned i = 0; i < cookie - 1; i++) {
        assert_int_equal(u.answered[i], i + 1);
    }
    private_close(u.ch);
    close_world(w);
}

static void test_cancel_ends_deliveries(void **state)
{
    (void)state;
    struct world *w = open_private_world("private cancel");
    struct user u = join(w);
    open_user(&u);
    declare(&u, "t.private.cancel", 1);
    WAIT_USER(&u, n_answered, 1);
    fill("t.private.cancel", 6);
    consume_from(&u, "t.private.cancel", "c", 4, 2);
    WAIT_USER(&u, n_delivered, 4);
    assert_int_equal(private_cancel(u.ch, 2, 3), 0);
    assert_int_equal(private_cancel(u.ch, 2, 4), 0); /* twice, and of nobody: answered, no more */
    assert_int_equal(private_cancel(u.ch, 55, 5), 0);
    WAIT_USER(&u, n_answered, 5);
    private_ack(u.ch, u.tags[3], true); /* what it delivered can be settled after that as well */
    sync_with_broker(&u);
    assert_int_equal(u.n_delivered, 4);
    consume_from(&u, "t.private.cancel", "c", 4, 6); /* the tag is free again */
    WAIT_USER(&u, n_delivered, 6);
    assert_int_equal(u.consumer[5], 6);
    assert_int_equal(u.number[4], 5);
    assert_int_equal(u.n_cancelled, 0);
    private_close(u.ch);
    delete_queue("t.private.cancel");
    close_world(w);
}

static void test_deleted_queue_cancels_its_consumer(void **state)
{
    (void)state;
    struct world *w = open_private_world("private deleted");
    struct user u = join(w);
    open_user(&u);
    declare(&u, "t.private.deleted", 1);
    declare_exclusive(&u, "t.private.stays", 2);
    consume_from(&u, "t.private.stays", "a", 1, 3);
    consume_from(&u, "t.private.deleted", "b", 1, 4);
    WAIT_USER(&u, n_answered, 4);
    delete_queue("t.private.deleted");
    WAIT_USER(&u, n_cancelled, 1);
    assert_int_equal(u.cancelled, 4);
    declare(&u, "t.private.deleted", 5); /* the channel stands, the tag is free */
    consume_from(&u, "t.private.deleted", "b", 1, 6);
    WAIT_USER(&u, n_answered, 6);
    fill("t.private.deleted", 1);
    WAIT_USER(&u, n_delivered, 1);
    assert_int_equal(u.consumer[0], 6);
    assert_int_equal(u.n_closed, 0);
    u.closes = true;
    delete_queue("t.private.deleted");
    WAIT_USER(&u, n_cancelled, 2);
    assert_null(u.ch);
    close_world(w);
}

/* ---- Many ---- */

static void test_channel_numbers_come_back(void **state)
{
    (void)state;
    struct world *w = open_private_world("private numbers");
    static struct user users[250];
    size_t room = private_room(w->b);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 250; i++) {
            users[i] = join(w);
            open_user(&users[i]);
            /* A third goes by an error, and of those half while we close it as well. */
            if (i % 3 == 0) {
                ask_for(&users[i], "t.private.nowhere", 1);
            } else {
                assert_int_equal(private_sync(users[i].ch, 1), 0);
            }
            if (i % 6 == 0) {
                private_close(users[i].ch);
                users[i].ch = NULL;
            }
        }
        assert_int_equal(private_room(w->b), room - 250);
        for (unsigned i = 0; i < 250; i++) {
            if (i % 3) {
                WAIT_USER(&users[i], n_answered, 1);
                private_close(users[i].ch);
            } else if (i % 6) {
                WAIT_USER(&users[i], n_closed, 1);
            }
        }
        for (unsigned ms = 0; private_room(w->b) < room && ms < DEADLINE_MS; ms++) {
            REST(w, 1); /* until all closes are answered */
        }
        assert_int_equal(private_room(w->b), room);
    }
    for (unsigned i = 0; i < 250; i++) {
        assert_int_equal(users[i].n_closed, i % 3 == 0 && i % 6);
    }
    assert_int_equal(w->n_down, 0);
    close_world(w);
}

static void test_opens_as_many_as_there_is_room(void **state)
{
    (void)state;
    struct world *w = open_private_world("private room");
    static struct user users[4096];
    size_t room = private_room(w->b);
    assert_in_range(room, 1000, 4095);
    for (size_t i = 0; i < room; i++) {
        users[i] = join(w);
        open_user(&users[i]);
    }
    assert_int_equal(private_room(w->b), 0);
    assert_null(private_open(w->b, &PRIVATE_EVENTS, &users[room]));
    for (size_t i = 0; i < room; i++) {
        assert_int_equal(private_sync(users[i].ch, 1), 0);
    }
    for (size_t i = 0; i < room; i++) {
        WAIT_USER(&users[i], n_answered, 1);
    }
    assert_int_equal(w->n_down, 0);
    close_world(w); /* with all of them open */
    for (size_t i = 0; i < room; i++) {
        assert_int_equal(users[i].n_closed, 1);
        assert_int_equal(users[i].code, 0);
    }
}

/* ---- Ends ---- */

static void test_lost_connection_closes_all(void **state)
{
    (void)state;
    struct world *w = open_private_world("private lost");
    static struct user users[20];
    for (unsigned i = 0; i < 20; i++) {
        users[i] = join(w);
        open_user(&users[i]);
        assert_int_equal(private_sync(users[i].ch, 1), 0);
    }
    WAIT_USER(&users[19], n_answered, 1);
    kill_connection(w, "private lost");
    WAIT(w, n_down, 1);
    for (unsigned i = 0; i < 20; i++) {
        assert_int_equal(users[i].n_closed, 1);
        assert_int_equal(users[i].code, 0);
        assert_null(users[i].ch);
    }
    assert_null(private_open(w->b, &PRIVATE_EVENTS, &users[0]));
    WAIT(w, n_up, 2);
    open_user(&users[0]);
    sync_with_broker(&users[0]);
    assert_int_equal(users[0].n_closed, 1);
    private_close(users[0].ch);
    close_world(w);
}

static void test_owner_may_close_inside_its_callbacks(void **state)
{
    (void)state;
    struct world *w = open_private_world("private inside");
    struct user u = join(w);
    delete_queue("t.private.inside");
    open_user(&u);
    u.closes = true;
    declare(&u, "t.private.inside", 1);
    assert_int_equal(private_sync(u.ch, 2), 0);
    WAIT_USER(&u, n_answered, 1);
    assert_null(u.ch);
    fill("t.private.inside", 10);
    struct user v = join(w);
    open_user(&v);
    consume_from(&v, "t.private.inside", "c", 10, 1);
    WAIT_USER(&v, n_answered, 1);
    struct user x = join(w);
    open_user(&x);
    x.closes_on_delivery = true;
    private_close(v.ch); /* puts all ten back, for the other */
    consume_from(&x, "t.private.inside", "c", 10, 1);
    WAIT_USER(&x, n_delivered, 1);
    assert_null(x.ch);
    struct user last = join(w);
    open_user(&last);
    sync_with_broker(&last);
    assert_int_equal(u.n_answered, 1); /* no callback after the close */
    assert_int_equal(x.n_delivered, 1);
    private_close(last.ch);
    delete_queue("t.private.inside");
    close_world(w);
}

int main(int argc, char **argv)
{
    PREPARE_BROKER_TESTS(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_declare_bind_consume_ack),
        cmocka_unit_test(test_nack_puts_back_in_order),
        cmocka_unit_test(test_sync_says_that_acks_were_handled),
        cmocka_unit_test(test_prefetch_is_of_each_consumer),
        cmocka_unit_test(test_dead_letters_tell_their_story),
        cmocka_unit_test(test_arguments_have_their_types),
        cmocka_unit_test(test_what_cannot_be_encoded_is_refused),
        cmocka_unit_test(test_an_error_costs_its_channel_alone),
        cmocka_unit_test(test_answers_come_in_the_order_of_requests),
        cmocka_unit_test(test_cancel_ends_deliveries),
        cmocka_unit_test(test_deleted_queue_cancels_its_consumer),
        cmocka_unit_test(test_channel_numbers_come_back),
        cmocka_unit_test(test_opens_as_many_as_there_is_room),
        cmocka_unit_test(test_lost_connection_closes_all),
        cmocka_unit_test(test_owner_may_close_inside_its_callbacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
