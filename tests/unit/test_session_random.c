/* Random conversations: frames of all kinds in any order, cut anywhere, with a host that answers at
 * random. What must hold whatever happens: where the bytes are cut changes nothing; RECEIPT comes
 * once, and for a SEND only after its confirm; ERROR is followed by close; after close nothing
 * happens; what was subscribed is unsubscribed once; time never stands still. */
#define LOG_MAX 200000
#include "tests/unit/session_random.h"

#define STEPS 60
#define MAX_SENDS 400

struct world {
    struct talk talk; /* first: session_random.h */
    struct session *session;
    uint64_t now_ms;
    uint64_t tokens[MAX_SENDS]; /* published and not settled */
    unsigned n_tokens;
    int receipts[MAX_SENDS];   /* of "s<n>": 0 not yet sent, 1 sent, 2 published, 3 confirmed, 4
                                  answered */
    unsigned owner[MAX_SENDS]; /* of the token: which n */
    unsigned n_sends;
    unsigned next_publish;
    unsigned n_subscribed;
    uint32_t waiting[MAX_SENDS]; /* handles that wait for an answer */
    unsigned n_waiting;
    bool is_login_waiting;
    bool has_error;
};

static void host_send(void *host, const char *bytes, size_t len)
{
    static const char receipt[] = "RECEIPT\nreceipt-id:s";
    struct world *w = host;
    assert_false(w->has_error);
    if (len == 1) {
        note(&w->talk, "beat\n");
        return;
    }
    assert_int_equal(bytes[len - 1], '\0');
    note(&w->talk, "%.*s\n", (int)len, bytes);
    if (strncmp(bytes, receipt, sizeof(receipt) - 1) == 0) {
        unsigned n = (unsigned)atoi(bytes + sizeof(receipt) - 1);
        assert_true(n < MAX_SENDS);
        assert_int_equal(w->receipts[n], 3);
        w->receipts[n] = 4;
    }
    w->has_error = strncmp(bytes, "ERROR\n", 6) == 0;
}

static enum session_verdict host_login(void *host, struct slice login, struct slice passcode,
                                       struct session_problem *problem)
{
    struct world *w = host;
    (void)login;
    (void)passcode;
    (void)problem;
    note(&w->talk, "login\n");
    enum session_verdict answer = verdict(&w->talk, 30);
    w->is_login_waiting = answer == SESSION_WAIT;
    return answer;
}

static enum session_verdict host_publish(void *host, const struct session_send *send,
                                         struct session_problem *problem)
{
    struct world *w = host;
    (void)problem;
    enum session_verdict answer = verdict(&w->talk, 20);
    note(&w->talk, "publish %s %.*s -> %d\n", send->destination->key, (int)send->body.len,
         send->body.ptr, answer);
    if (answer == SESSION_DONE) {
        char text[16];
        snprintf(text, sizeof text, "%.*s", (int)send->body.len, send->body.ptr);
        unsigned n = (unsigned)atoi(text);
        assert_int_equal(w->receipts[n], 1);
        assert_true(n >= w->next_publish); /* order: none passes an earlier one */
        w->next_publish = n + 1;
        w->receipts[n] = 2;
        w->owner[w->n_tokens] = n;
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
    note(&w->talk, "subscribe %u %s -> %d\n", sub->handle, d->key, answer);
    if (answer != SESSION_REFUSED) {
        w->n_subscribed++;
        sub->host_data = w;
    }
    if (answer == SESSION_WAIT) {
        w->waiting[w->n_waiting++] = sub->handle;
    }
    return answer;
}

static void host_unsubscribe(void *host, struct session_subscription *sub, bool deletes_queue)
{
    (void)deletes_queue;
    struct world *w = host;
    note(&w->talk, "unsubscribe %u\n", sub->handle);
    assert_ptr_equal(sub->host_data, w);
    sub->host_data = NULL;
    assert_true(w->n_subscribed-- > 0);
}

static void host_close(void *host, enum close_reason reason, const char *text)
{
    struct world *w = host;
    note(&w->talk, "close %d %s\n", close_reason_code(reason), text);
    assert_int_equal(w->n_subscribed, 0);
    w->talk.is_closed = true;
    w->has_error = false;
}

static const struct session_host host_functions = {
    .send = host_send,
    .login = host_login,
    .publish = host_publish,
    .subscribe = host_subscribe,
    .unsubscribe = host_unsubscribe,
    .read = host_read,
    .close = host_close,
};

static void step(struct world *w, struct session_event event)
{
    event.now_ms = w->now_ms;
    session_step(w->session, &event);
    assert_false(w->has_error);
    assert_int_equal(session_is_closing(w->session), w->talk.is_closed);
    assert_true(w->talk.is_closed || session_subscription_count(w->session) == w->n_subscribed);
}

static size_t send_frame(struct world *w, char *text, size_t size, const char *more)
{
    unsigned n = w->n_sends++;
    w->receipts[n] = 1;
    return (size_t)snprintf(text, size, "SEND\ndestination:/topic/%u\nreceipt:s%u\n%s\n%u %0*d",
                            roll(&w->talk.dice, 3), n, more, n, (int)roll(&w->talk.dice, 300), 0) +
           1;
}

/* Bad frames are rare, so that conversations last. */
static size_t frame(struct world *w, char *text, size_t size)
{
    static const char *const rare[] = {
        "FOO\n\n",
        "CONNECT\naccept-version:1.2\n\n",
        "SEND\ndestination:/nowhere\n\nx",
        "ACK\nid:1\n\n",
        "bad header\n\n",
        "SUBSCRIBE\nid:1\n\n",
        "DISCONNECT\nreceipt:bye\n\n",
        "COMMIT\ntransaction:none\n\n",
    };
    unsigned id = roll(&w->talk.dice, 4);
    switch (roll(&w->talk.dice, 12)) {
    case 0:
    case 1:
    case 2:
    case 3:
        return send_frame(w, text, size, "");
    case 4:
        return send_frame(w, text, size, id ? "" : "transaction:t\n");
    case 5:
    case 6:
        return (size_t)snprintf(text, size,
                                "SUBSCRIBE\nid:%u\ndestination:/topic/%u\nreceipt:r\n\n",
                                w->n_sends + 100 * id, id) +
               1;
    case 7:
        return (size_t)snprintf(text, size, "UNSUBSCRIBE\nid:%u\nreceipt:r\n\n", id) + 1;
    case 8:
        return (size_t)snprintf(text, size, "BEGIN\ntransaction:%u\n\n", w->n_sends * 4 + id) + 1;
    case 9:
        return (size_t)snprintf(text, size, "\n");
    default:
        if (roll(&w->talk.dice, 10)) {
            return send_frame(w, text, size, "");
        }
        return (size_t)snprintf(text, size, "%s", rare[roll(&w->talk.dice, 8)]) + 1;
    }
}

static void some_frames(struct world *w)
{
    char text[4000];
    size_t len = 0;
    unsigned n = 1 + roll(&w->talk.dice, 5);
    for (unsigned i = 0; i < n; i++) {
        len += frame(w, text + len, sizeof(text) - len);
    }
    feed(w, &w->talk, text, len);
}

static void answer_login(struct world *w)
{
    if (w->is_login_waiting) {
        w->is_login_waiting = false;
        step(w, (struct session_event){.type = SESSION_LOGIN,
                                       .answer = {0, roll(&w->talk.dice, 20) > 0, NULL}});
    }
}

static void answer_subscribe(struct world *w)
{
    if (w->n_waiting) {
        uint32_t handle = w->waiting[--w->n_waiting];
        step(w, (struct session_event){.type = SESSION_SUBSCRIBED,
                                       .answer = {handle, roll(&w->talk.dice, 30) > 0, NULL}});
    }
}

static void settle(struct world *w)
{
    if (w->n_tokens) {
        unsigned at = roll(&w->talk.dice, w->n_tokens);
        struct session_event event = {.type = SESSION_SETTLED};
        event.settled.token = w->tokens[at];
        event.settled.text = "";
        event.settled.outcome = roll(&w->talk.dice, 100) ? BROKER_CONFIRMED : BROKER_NACKED;
        if (event.settled.outcome == BROKER_CONFIRMED) {
            w->receipts[w->owner[at]] = 3;
        }
        w->n_tokens--;
        w->tokens[at] = w->tokens[w->n_tokens];
        w->owner[at] = w->owner[w->n_tokens];
        step(w, event);
    }
}

static void pass_time(struct world *w)
{
    uint64_t target = w->now_ms + roll(&w->talk.dice, 4000);
    while (session_deadline(w->session) <= target) {
        uint64_t due = session_deadline(w->session);
        w->now_ms = due > w->now_ms ? due : w->now_ms;
        step(w, (struct session_event){.type = SESSION_TICK});
        assert_true(session_deadline(w->session) > w->now_ms);
    }
    w->now_ms = target;
}

static void something(struct world *w)
{
    static const enum session_event_type rare[] = {SESSION_BROKER_GONE, SESSION_GAP, SESSION_SLOW,
                                                   SESSION_DRAIN};
    switch (roll(&w->talk.dice, 10)) {
    case 0:
    case 1:
    case 2:
        some_frames(w);
        return;
    case 3:
        answer_login(w);
        return;
    case 4:
        answer_subscribe(w);
        return;
    case 5:
    case 6:
        settle(w);
        return;
    case 7:
        step(w, (struct session_event){.type = SESSION_ROOM});
        return;
    case 8:
        pass_time(w);
        return;
    default:
        if (roll(&w->talk.dice, 20) == 0) {
            step(w, (struct session_event){.type = rare[roll(&w->talk.dice, 4)]});
        }
        return;
    }
}

static char *everybody[] = {(char *)"*"};
static struct config_route route = {
    .prefix = (char *)"/topic/",
    .exchange = (char *)"amq.topic",
    .type = CONFIG_TOPIC,
    .send = {everybody, 1},
    .subscribe = {everybody, 1},
};
static struct config config;
static struct session_settings settings;

static void converse(struct world *w, uint64_t seed, bool is_cut)
{
    memset(w, 0, sizeof(*w));
    start_talk(&w->talk, seed, is_cut);
    w->now_ms = 1000;
    w->session = session_new(&settings, &host_functions, w, "s", w->now_ms);
    assert_non_null(w->session);
    static const char connect[] = "CONNECT\naccept-version:1.2\nheart-beat:10000,10000\n\n";
    feed(w, &w->talk, connect, sizeof(connect));
    for (int i = 0; i < STEPS && w->n_sends < MAX_SENDS - 10; i++) {
        something(w);
    }
    w->talk.is_closed = false; /* unsubscribes may come now */
    session_free(w->session);
    assert_int_equal(w->n_subscribed, 0);
}

static void test_session_random(void **state)
{
    (void)state;
    static struct world whole;
    static struct world cut;
    unsigned n_open = 0;
    unsigned n_answered = 0;
    for (uint64_t seed = 1; seed <= 4000; seed++) {
        converse(&whole, seed, false);
        converse(&cut, seed, true);
        if (strcmp(whole.talk.log, cut.talk.log) != 0) {
            fail_msg("seed %u: whole:\n%s\ncut:\n%s", (unsigned)seed, whole.talk.log, cut.talk.log);
        }
        n_open += strstr(whole.talk.log, "close ") == NULL;
        for (unsigned i = 0; i < whole.n_sends; i++) {
            n_answered += whole.receipts[i] == 4;
        }
    }
    print_message("%u conversations lasted, %u receipts\n", n_open, n_answered);
    assert_true(n_open > 200);
    assert_true(n_answered > 5000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_session_random)};
    log_set_level(LOG_ERROR);
    config.routes = &route;
    config.n_routes = 1;
    config.heartbeat.send_ms = 10000;
    config.heartbeat.receive_ms = 10000;
    config.limits.connect_ms = 10000;
    config.limits.half_frame_ms = 10000;
    config.limits.frame_before_connect_bytes = 16384;
    config.limits.headers = 64;
    config.limits.header_name_bytes = 128;
    config.limits.header_value_bytes = 8192;
    config.limits.header_block_bytes = 32768;
    config.limits.body_bytes = 1048576;
    config.limits.subscriptions = 50;
    config.limits.unconfirmed = 5;
    config.limits.unconfirmed_bytes = 600;
    config.limits.parked_bytes = 3000;
    config.limits.receipt_timeout_ms = 30000;
    config.limits.close_linger_ms = 2000;
    config.limits.prefetch = 1000;
    config.limits.unacked = 10000;
    config.stomp.error_close = true;
    config.stomp.nack_requeue = true;
    session_settings_init(&settings, &config, false);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
