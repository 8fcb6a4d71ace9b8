/* Random conversations about private subscriptions: deliveries, acks, transactions, replies, lost
 * channels. What must hold whatever happens: a delivery is settled at most once, in its own epoch,
 * and only when its client asked for it, or it was written (ack:auto), or nobody is there for it
 * any more; every receipt is answered exactly once; where the bytes are cut changes nothing; what
 * was subscribed is unsubscribed once; what is unsettled at the end is left to the broker. */
#include "gateway/fanout/message.h"
#include "gateway/session/queue.h"
#define LOG_MAX 400000
#include "tests/unit/session_random.h"

#define STEPS 120
#define MAX_FRAMES 1000
#define MAX_MESSAGES 400
#define MAX_SUBS 200
#define MAX_TXS 200

/* A frame of the client: its receipt is "f<n>". */
struct frame {
    bool is_answered;
    bool has_receipt;
    unsigned ack; /* of an ACK or NACK outside of transactions: the number of its message */
    bool is_send; /* outside of transactions: RECEIPT only after its confirm */
    bool is_confirmed;
    unsigned tx; /* 0: none */
};

struct delivered {
    uint64_t tag;
    uint32_t epoch;
    uint32_t handle;
    bool is_auto;
    bool is_asked; /* the client has sent what settles it */
    bool is_settled;
    char id[100];
};

struct sub {
    enum session_ack ack;
    bool is_private;
    bool is_reply;
    bool is_held; /* by the host */
    char id[24];
};

struct world {
    struct talk talk; /* first: session_random.h */
    struct session *session;
    struct session_settings settings;
    struct config config;
    uint64_t now_ms;
    struct frame frames[MAX_FRAMES];
    unsigned n_frames;
    struct delivered delivered[MAX_MESSAGES]; /* by number */
    unsigned n_delivered;
    struct sub subs[MAX_SUBS]; /* by handle */
    uint32_t last_handle;
    uint32_t outstanding;
    unsigned next_id;
    bool is_tx_open[MAX_TXS];
    unsigned last_tx;
    uint64_t tokens[MAX_FRAMES]; /* published and not settled */
    unsigned owners[MAX_FRAMES];
    unsigned n_tokens;
    uint64_t sync; /* 0: none on its way */
    uint32_t epoch;
    uint64_t last_tag;
    uint64_t late_tag; /* delivered to a subscription that has gone: must be given back at once */
    uint64_t written;
    unsigned n_settled;
    unsigned n_random;
    const struct broker_delivery *delivery; /* on its way into the session */
    uint32_t delivery_handle;
    bool has_error;
};

/* cmocka cuts long messages. */
static void show(const struct world *w)
{
    fputs(w->talk.log, stderr);
}

/* ---- The host ---- */

static void answered(struct world *w, const char *text, bool is_receipt)
{
    const char *id = strstr(text, "\nreceipt-id:f");
    if (!id) {
        return;
    }
    unsigned n = (unsigned)atoi(id + 13);
    assert_true(n < w->n_frames);
    struct frame *frame = &w->frames[n];
    if (frame->is_answered) {
        show(w);
        fail_msg("f%u is answered twice", n);
    }
    if (is_receipt && frame->is_send && !frame->is_confirmed) {
        show(w);
        fail_msg("f%u has a RECEIPT before its confirm", n);
    }
    frame->is_answered = true;
    frame->has_receipt = is_receipt;
}

static void host_send(void *host, const char *bytes, size_t len)
{
    struct world *w = host;
    assert_false(w->has_error && w->settings.error_close);
    if (len == 1) {
        note(&w->talk, "beat\n");
        return;
    }
    assert_int_equal(bytes[len - 1], '\0');
    note(&w->talk, "%s\n", bytes);
    w->has_error = strncmp(bytes, "ERROR\n", 6) == 0;
    answered(w, bytes, !w->has_error);
}

static enum session_verdict host_login(void *host, struct slice login, struct slice passcode,
                                       struct session_problem *problem)
{
    (void)host;
    (void)login;
    (void)passcode;
    (void)problem;
    return SESSION_DONE;
}

static enum session_verdict host_publish(void *host, const struct session_send *send,
                                         struct session_problem *problem)
{
    struct world *w = host;
    (void)problem;
    enum session_verdict answer = verdict(&w->talk, 15);
    note(&w->talk, "publish %s %.*s reply-to %.*s -> %d\n", send->destination->key,
         (int)send->body.len, send->body.ptr, (int)send->properties.reply_to.len,
         send->properties.reply_to.ptr, answer);
    if (answer == SESSION_DONE) {
        char text[16];
        snprintf(text, sizeof(text), "%.*s", (int)send->body.len, send->body.ptr);
        w->owners[w->n_tokens] = (unsigned)atoi(text);
        w->tokens[w->n_tokens++] = send->token;
    }
    return answer;
}

static enum session_verdict host_subscribe(void *host, struct session_subscription *sub,
                                           const struct destination *d,
                                           struct session_problem *problem)
{
    struct world *w = host;
    (void)problem;
    enum session_verdict answer = verdict(&w->talk, 40);
    note(&w->talk, "subscribe %u %s %.*s -> %d\n", sub->handle, d->key, (int)sub->id.len,
         sub->id.ptr, answer);
    assert_true(sub->handle < MAX_SUBS && sub->handle > w->last_handle);
    assert_int_equal(w->outstanding, 0);
    w->last_handle = sub->handle;
    if (answer != SESSION_REFUSED) {
        struct sub *model = &w->subs[sub->handle];
        *model = (struct sub){sub->ack, sub->queue != NULL, sub->is_reply, true, ""};
        snprintf(model->id, sizeof(model->id), "%.*s", (int)sub->id.len, sub->id.ptr);
    }
    w->outstanding = answer == SESSION_WAIT ? sub->handle : 0;
    return answer;
}

static void host_unsubscribe(void *host, struct session_subscription *sub, bool deletes_queue)
{
    struct world *w = host;
    assert_false(deletes_queue);
    assert_true(w->subs[sub->handle].is_held);
    w->subs[sub->handle].is_held = false;
    if (w->outstanding == sub->handle) {
        w->outstanding = 0;
    }
    note(&w->talk, "unsubscribe %u\n", sub->handle);
}

static void host_deliver(void *host, struct message *message, uint64_t number)
{
    static const char id[] = "\nmessage-id:";
    struct world *w = host;
    const char *text = (const char *)message_payload(message);
    assert_int_equal(number, w->n_delivered + 1);
    note(&w->talk, "%s\n", text);
    struct delivered *d = &w->delivered[++w->n_delivered];
    *d = (struct delivered){.tag = w->delivery->tag,
                            .epoch = w->delivery->epoch,
                            .handle = w->delivery_handle,
                            .is_auto = w->subs[w->delivery_handle].ack == SESSION_ACK_AUTO};
    const char *found = strstr(text, id) + sizeof(id) - 1;
    snprintf(d->id, sizeof(d->id), "%.*s", (int)strcspn(found, "\n"), found);
    message_unref(message);
}

static void host_settle(void *host, const struct session_settle *settle)
{
    struct world *w = host;
    bool is_known = settle->tag == w->late_tag;
    note(&w->talk, "settle %d %d %d of %u\n", (int)settle->tag, settle->is_multiple,
         settle->is_nack, settle->epoch);
    assert_int_equal(settle->epoch, w->epoch);
    if (is_known) {
        assert_true(settle->is_nack && settle->requeue && !settle->is_multiple);
        w->late_tag = 0;
        return;
    }
    for (unsigned i = 1; i <= w->n_delivered; i++) {
        struct delivered *d = &w->delivered[i];
        bool is_meant = d->tag == settle->tag || (settle->is_multiple && d->tag < settle->tag);
        if (d->epoch != settle->epoch || d->is_settled || !is_meant) {
            continue;
        }
        if (d->is_auto ? i > w->written : !d->is_asked) {
            show(w);
            fail_msg("%u was settled for nothing", i);
        }
        is_known = is_known || d->tag == settle->tag;
        d->is_settled = true;
        w->n_settled++;
    }
    if (!is_known) {
        show(w);
        fail_msg("%u was settled twice", (unsigned)settle->tag);
    }
}

static bool host_sync(void *host, uint64_t token)
{
    struct world *w = host;
    assert_int_equal(w->sync, 0);
    bool is_there = roll(&w->talk.dice, 10) > 0;
    note(&w->talk, "sync %u -> %d\n", (unsigned)token, is_there);
    w->sync = is_there ? token : 0;
    return is_there;
}

static void host_random(void *host, char *text)
{
    struct world *w = host;
    snprintf(text, QUEUE_RANDOM_LEN + 1, "random%016u", ++w->n_random);
}

static void host_close(void *host, enum close_reason reason, const char *text)
{
    struct world *w = host;
    note(&w->talk, "close %d %s\n", close_reason_code(reason), text);
    w->talk.is_closed = true;
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

static void step(struct world *w, struct session_event event)
{
    event.now_ms = w->now_ms;
    w->has_error = false;
    session_step(w->session, &event);
    assert_int_equal(session_is_closing(w->session), w->talk.is_closed);
    assert_true(w->talk.is_closed || !w->has_error || !w->settings.error_close);
}

/* ---- The client ---- */

/* One of those that are there, or 0. */
static uint32_t any_sub(struct world *w, bool is_private)
{
    for (unsigned tries = 0; tries < 10 && w->last_handle; tries++) {
        uint32_t handle = 1 + roll(&w->talk.dice, w->last_handle);
        const struct sub *sub = &w->subs[handle];
        if (sub->is_held && handle != w->outstanding && (sub->is_private || !is_private)) {
            return handle;
        }
    }
    return 0;
}

/* What an ACK of it settles. */
static void ask(struct world *w, unsigned number)
{
    const struct delivered *named = &w->delivered[number];
    bool is_connection = w->config.stomp.client_ack == CONFIG_ACK_CONNECTION;
    bool is_cumulative = w->subs[named->handle].ack == SESSION_ACK_CLIENT;
    for (unsigned i = 1; i <= number; i++) {
        struct delivered *d = &w->delivered[i];
        bool is_near = d->handle == named->handle || is_connection;
        if (i == number || (is_cumulative && is_near && !d->is_auto)) {
            d->is_asked = true;
        }
    }
}

static unsigned any_message(struct world *w)
{
    unsigned n = 0;
    for (unsigned tries = 0; tries < 8 && w->n_delivered; tries++) {
        n = 1 + roll(&w->talk.dice, w->n_delivered);
        if (!w->delivered[n].is_settled && !w->delivered[n].is_auto) {
            break;
        }
    }
    return n;
}

/* A new one, now and then one that is open; the name of none at all is rare. */
static unsigned any_tx(struct world *w)
{
    for (unsigned tries = 0; tries < 6 && w->last_tx; tries++) {
        unsigned tx = 1 + roll(&w->talk.dice, w->last_tx);
        if (w->is_tx_open[tx]) {
            return tx;
        }
    }
    return 0;
}

static size_t put_ack(struct world *w, char *text, size_t size, unsigned n, unsigned tx)
{
    unsigned number = any_message(w);
    if (number) {
        ask(w, number);
    }
    bool is_right = number && roll(&w->talk.dice, 60);
    w->frames[n].tx = tx;
    w->frames[n].ack = is_right && !tx && !w->delivered[number].is_auto ? number : 0;
    int len =
        snprintf(text, size, "%s\nid:%s\nreceipt:f%u\n", roll(&w->talk.dice, 4) ? "ACK" : "NACK",
                 is_right ? w->delivered[number].id : "T_0@@s@@9999", n);
    if (tx) {
        len += snprintf(text + len, size - (size_t)len, "transaction:%u\n", tx);
    }
    return (size_t)len + (size_t)snprintf(text + len, size - (size_t)len, "\n") + 1;
}

static size_t put_send(struct world *w, char *text, size_t size, unsigned n, unsigned tx)
{
    static const char *const destinations[] = {"/queue/a", "/queue/b", "/topic/a"};
    w->frames[n].tx = tx;
    w->frames[n].is_send = tx == 0;
    int len =
        snprintf(text, size, "SEND\ndestination:%s\nreceipt:f%u\n",
                 roll(&w->talk.dice, 100) ? destinations[roll(&w->talk.dice, 3)] : "/nowhere/a", n);
    if (tx) {
        len += snprintf(text + len, size - (size_t)len, "transaction:%u\n", tx);
    }
    if (roll(&w->talk.dice, 6) == 0) {
        len += snprintf(text + len, size - (size_t)len, "reply-to:/temp-queue/%u\n",
                        roll(&w->talk.dice, 3));
    }
    return (size_t)len + (size_t)snprintf(text + len, size - (size_t)len, "\n%u", n) + 1;
}

static size_t put_subscribe(struct world *w, char *text, size_t size, unsigned n)
{
    static const char *const kinds[] = {
        "/queue/a\nack:client", "/queue/b\nack:client-individual", "/queue/c",
        "/topic/a\nack:client", "/topic/b\nack:client-individual", "/topic/c"};
    unsigned id = w->next_id && roll(&w->talk.dice, 60) == 0 ? w->next_id - 1 : w->next_id++;
    return (size_t)snprintf(text, size, "SUBSCRIBE\nid:%u\ndestination:%s\nreceipt:f%u\n\n", id,
                            kinds[roll(&w->talk.dice, 6)], n) +
           1;
}

static size_t put_transaction(struct world *w, char *text, size_t size, unsigned n)
{
    unsigned tx = any_tx(w);
    const char *command = roll(&w->talk.dice, 3) ? "COMMIT" : "ABORT";
    if (!tx || roll(&w->talk.dice, 3) == 0) {
        tx = ++w->last_tx;
        command = "BEGIN";
    }
    assert_true(tx < MAX_TXS);
    w->is_tx_open[tx] = command[0] == 'B';
    return (size_t)snprintf(text, size, "%s\ntransaction:%u\nreceipt:f%u\n\n", command, tx, n) + 1;
}

static size_t put_frame(struct world *w, char *text, size_t size)
{
    unsigned n = w->n_frames++;
    uint32_t handle;
    w->frames[n] = (struct frame){0};
    switch (roll(&w->talk.dice, 16)) {
    case 0:
    case 1:
        return put_subscribe(w, text, size, n);
    case 2:
        handle = any_sub(w, false);
        return (size_t)snprintf(text, size, "UNSUBSCRIBE\nid:%s\nreceipt:f%u\n\n",
                                handle && !w->subs[handle].is_reply ? w->subs[handle].id : "none",
                                n) +
               1;
    case 3:
    case 4:
    case 5:
    case 6:
        return put_ack(w, text, size, n, 0);
    case 7:
    case 8:
        return put_ack(w, text, size, n, any_tx(w));
    case 9:
    case 10:
        return put_send(w, text, size, n, any_tx(w));
    case 11:
    case 12:
        return put_send(w, text, size, n, 0);
    case 13:
        if (roll(&w->talk.dice, 40) == 0) {
            return (size_t)snprintf(text, size, "DISCONNECT\nreceipt:f%u\n\n", n) + 1;
        }
        return put_transaction(w, text, size, n);
    default:
        return put_transaction(w, text, size, n);
    }
}

static void some_frames(struct world *w)
{
    char text[4000];
    size_t len = 0;
    unsigned n = 1 + roll(&w->talk.dice, 4);
    for (unsigned i = 0; i < n; i++) {
        size_t begin = len;
        len += put_frame(w, text + len, sizeof(text) - len);
        note(&w->talk, "> %s\n", text + begin);
    }
    feed(w, &w->talk, text, len);
}

/* ---- The broker ---- */

static void answer_subscribe(struct world *w, bool is_ok)
{
    uint32_t handle = w->outstanding;
    if (handle) {
        w->outstanding = 0;
        step(w,
             (struct session_event){.type = SESSION_SUBSCRIBED, .answer = {handle, is_ok, NULL}});
    }
}

static void give(struct world *w, uint32_t handle)
{
    const struct broker_delivery delivery = {.tag = ++w->last_tag,
                                             .epoch = w->epoch,
                                             .is_redelivered = roll(&w->talk.dice, 5) == 0,
                                             .exchange = {"", 0},
                                             .routing_key = {"a", 1},
                                             .body = {"body", 4}};
    w->delivery = &delivery;
    w->delivery_handle = handle;
    struct session_event event = {.type = SESSION_DELIVERY};
    event.delivery.handle = handle;
    event.delivery.delivery = &delivery;
    step(w, event);
}

static void deliver(struct world *w)
{
    uint32_t handle = any_sub(w, true);
    if (handle && w->n_delivered + 1 < MAX_MESSAGES) {
        give(w, handle);
    }
}

/* To one that has gone: what the client must not see, and nobody else may lose. */
static void deliver_late(struct world *w)
{
    uint32_t handle = w->last_handle ? 1 + roll(&w->talk.dice, w->last_handle) : 0;
    const struct sub *sub = &w->subs[handle];
    if (!handle || sub->is_held || !sub->is_private || session_has_left(w->session)) {
        return;
    }
    w->late_tag = w->last_tag + 1;
    give(w, handle);
    assert_int_equal(w->late_tag, 0);
}

static void write_out(struct world *w)
{
    if (w->written < w->n_delivered) {
        w->written += 1 + roll(&w->talk.dice, (unsigned)(w->n_delivered - w->written));
        step(w, (struct session_event){.type = SESSION_WRITTEN, .written = w->written});
    }
}

static void confirm(struct world *w)
{
    if (w->n_tokens == 0) {
        return;
    }
    unsigned at = roll(&w->talk.dice, w->n_tokens);
    struct session_event event = {.type = SESSION_SETTLED};
    event.settled.token = w->tokens[at];
    event.settled.text = "";
    event.settled.outcome = roll(&w->talk.dice, 60) ? BROKER_CONFIRMED : BROKER_RETURNED;
    w->frames[w->owners[at]].is_confirmed = event.settled.outcome == BROKER_CONFIRMED;
    w->n_tokens--;
    w->tokens[at] = w->tokens[w->n_tokens];
    w->owners[at] = w->owners[w->n_tokens];
    step(w, event);
}

static void answer_sync(struct world *w, bool is_ok)
{
    if (w->sync) {
        struct session_event event = {.type = SESSION_SYNCED};
        event.synced.token = w->sync;
        event.synced.is_ok = is_ok;
        w->sync = 0;
        step(w, event);
    }
}

/* The channel goes, and with it the answer to a sync; everything comes again on another. */
static void lose_channel(struct world *w)
{
    answer_sync(w, false);
    w->epoch++;
    w->last_tag = 0;
    step(w, (struct session_event){.type = SESSION_RESTORED, .epoch = w->epoch});
}

static void rarely(struct world *w)
{
    uint32_t handle;
    switch (roll(&w->talk.dice, 40)) {
    case 0:
    case 1:
    case 2:
    case 3:
        lose_channel(w);
        return;
    case 4:
        handle = any_sub(w, true);
        if (handle) {
            step(w, (struct session_event){.type = SESSION_LOST, .answer = {handle, false, NULL}});
        }
        return;
    case 5:
        step(w, (struct session_event){.type = SESSION_FAILED});
        return;
    case 6:
        step(w, (struct session_event){.type = SESSION_DRAIN});
        return;
    default:
        deliver_late(w);
        return;
    }
}

static void something(struct world *w)
{
    switch (roll(&w->talk.dice, 12)) {
    case 0:
    case 1:
    case 2:
        some_frames(w);
        return;
    case 3:
        answer_subscribe(w, roll(&w->talk.dice, 40) > 0);
        return;
    case 4:
    case 5:
    case 6:
        deliver(w);
        return;
    case 7:
        write_out(w);
        return;
    case 8:
        answer_sync(w, roll(&w->talk.dice, 40) > 0);
        return;
    case 9:
        confirm(w);
        return;
    case 10:
        step(w, (struct session_event){.type = SESSION_ROOM});
        return;
    default:
        rarely(w);
        return;
    }
}

/* ---- Conversations ---- */

static char *everybody[] = {(char *)"*"};
#define ROUTE(p, e, t)                                                                             \
    .prefix = (char *)p, .exchange = (char *)e, .type = t, .send = {everybody, 1},                 \
    .subscribe = {everybody, 1}, .queues = {everybody, 1}
static struct config_route routes[] = {
    {ROUTE("/topic/", "amq.topic", CONFIG_TOPIC)},
    {ROUTE("/queue/", "", CONFIG_QUEUE), .declare = true, .durable = true},
};

static void configure(struct world *w)
{
    struct config *c = &w->config;
    c->routes = routes;
    c->n_routes = 2;
    c->limits.headers = 64;
    c->limits.header_name_bytes = 128;
    c->limits.header_value_bytes = 8192;
    c->limits.header_block_bytes = 32768;
    c->limits.body_bytes = 1048576;
    c->limits.subscriptions = 20;
    c->limits.unconfirmed = 6;
    c->limits.unconfirmed_bytes = 2000;
    c->limits.parked_bytes = 3000;
    c->limits.prefetch = 1000;
    c->limits.unacked = 100000;
    c->stomp.spring_user = (char *)"/user/";
    c->stomp.error_close = roll(&w->talk.dice, 3) == 0;
    c->stomp.client_ack = roll(&w->talk.dice, 4) ? CONFIG_ACK_SUBSCRIPTION : CONFIG_ACK_CONNECTION;
    c->stomp.unknown_ack = roll(&w->talk.dice, 3) ? CONFIG_UNKNOWN_ERROR : CONFIG_UNKNOWN_IGNORE;
    session_settings_init(&w->settings, c, false);
}

/* Everything that is on its way arrives. */
static void settle_down(struct world *w)
{
    for (unsigned i = 0; i < 2000; i++) {
        answer_subscribe(w, true);
        step(w, (struct session_event){.type = SESSION_ROOM});
        answer_sync(w, true);
        confirm(w);
    }
}

static void converse(struct world *w, uint64_t seed, bool is_cut)
{
    memset(w, 0, sizeof(*w));
    start_talk(&w->talk, seed, is_cut);
    w->now_ms = 1000;
    w->epoch = 1;
    configure(w);
    w->session = session_new(&w->settings, &host_functions, w, "s", w->now_ms);
    assert_non_null(w->session);
    static const char connect[] = "CONNECT\naccept-version:1.2\n\n";
    feed(w, &w->talk, connect, sizeof(connect));
    for (int i = 0; i < STEPS && !w->talk.is_closed; i++) {
        something(w);
    }
}

/* A RECEIPT of an ACK is true: all that it is for has been settled, or comes again. */
static void check_ack(const struct world *w, unsigned number)
{
    const struct delivered *named = &w->delivered[number];
    bool is_cumulative = w->subs[named->handle].ack == SESSION_ACK_CLIENT;
    for (unsigned i = 1; i <= number; i++) {
        const struct delivered *d = &w->delivered[i];
        bool is_meant = i == number || (is_cumulative && d->handle == named->handle);
        if (is_meant && d->epoch == w->epoch && !d->is_settled) {
            show(w);
            fail_msg("%u was acknowledged by %u and not settled", i, number);
        }
    }
}

/* While it lasts, nobody waits for ever: but what an open transaction holds. */
static void check_answers(struct world *w)
{
    settle_down(w);
    for (unsigned i = 0; i < w->n_frames && !w->talk.is_closed && !session_has_left(w->session);
         i++) {
        const struct frame *frame = &w->frames[i];
        if (!frame->is_answered && !(frame->tx && w->is_tx_open[frame->tx])) {
            show(w);
            fail_msg("f%u is never answered", i);
        }
        bool is_ignored = w->config.stomp.unknown_ack == CONFIG_UNKNOWN_IGNORE;
        if (frame->ack && frame->has_receipt && !is_ignored) {
            check_ack(w, frame->ack);
        }
    }
}

static void leave(struct world *w)
{
    w->talk.is_closed = false; /* unsubscribes may come now */
    session_free(w->session);
    for (uint32_t i = 0; i < MAX_SUBS; i++) {
        assert_false(w->subs[i].is_held);
    }
}

static void test_session_private_random(void **state)
{
    (void)state;
    static struct world whole;
    static struct world cut;
    unsigned n_open = 0;
    unsigned n_settled = 0;
    unsigned n_answered = 0;
    for (uint64_t seed = 1; seed <= 1500; seed++) {
        converse(&whole, seed, false);
        converse(&cut, seed, true);
        if (strcmp(whole.talk.log, cut.talk.log) != 0) {
            show(&whole);
            show(&cut);
            fail_msg("seed %u: the cuts changed something", (unsigned)seed);
        }
        n_open += !whole.talk.is_closed;
        check_answers(&whole);
        for (unsigned i = 0; i < whole.n_frames; i++) {
            n_answered += whole.frames[i].is_answered;
        }
        n_settled += whole.n_settled;
        leave(&whole);
        leave(&cut);
    }
    print_message("%u conversations lasted, %u frames answered, %u deliveries settled\n", n_open,
                  n_answered, n_settled);
    assert_true(n_open > 300);
    assert_true(n_answered > 20000);
    assert_true(n_settled > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_session_private_random)};
    log_set_level(LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
