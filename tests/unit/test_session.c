/* Runs the transcripts of tests/transcripts; README.md there describes their lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "gateway/session/session.h"
#include "tests/unit/transcript_host.h"

/* ---- Events ---- */

static void step(struct run *r, struct session_event event)
{
    event.now_ms = r->now_ms;
    session_step(r->session, &event);
    if (r->has_error) {
        fail_msg("%s:%d: ERROR without close", r->path, r->line);
    }
    assert_int_equal(session_is_closing(r->session), r->is_closed);
}

static void step_plain(struct run *r, enum session_event_type type)
{
    step(r, (struct session_event){.type = type});
}

/* Each piece in memory of its own, so that a read past its end is seen. */
static void feed_piece(struct run *r, const char *bytes, size_t len)
{
    uint8_t *piece = malloc(len ? len : 1);
    memcpy(piece, bytes, len);
    step(r, (struct session_event){.type = SESSION_BYTES, .bytes = {piece, len}});
    free(piece);
}

static void feed(struct run *r)
{
    for (size_t at = 0; at < r->input_len;) {
        size_t n = r->input_len - at;
        if (r->cut == CUT_BYTES) {
            n = 1;
        } else if (r->cut == CUT_RANDOM) {
            n = 1 + (size_t)rand() % (n < 40 ? n : 40);
        }
        feed_piece(r, r->input + at, n);
        at += n;
    }
    r->input_len = 0;
}

static void input(struct run *r, const char *bytes, size_t len)
{
    r->input = realloc(r->input, r->input_len + len);
    memcpy(r->input + r->input_len, bytes, len);
    r->input_len += len;
}

static void client_frame(struct run *r, const char *text)
{
    static char bytes[TEXT_MAX];
    size_t len = decode(text, bytes);
    bytes[len] = '\0';
    if (!strstr(bytes, "\n\n")) {
        memcpy(bytes + len, "\n\n", 2);
        len += 2;
    }
    bytes[len++] = '\0';
    input(r, bytes, len);
}

static void pass_time(struct run *r, uint64_t ms)
{
    uint64_t target = r->now_ms + ms;
    for (int ticks = 0; session_deadline(r->session) <= target; ticks++) {
        uint64_t due = session_deadline(r->session);
        r->now_ms = due > r->now_ms ? due : r->now_ms;
        step_plain(r, SESSION_TICK);
        if (ticks > 1000 || session_deadline(r->session) <= r->now_ms) {
            fail_msg("%s:%d: a deadline that a tick does not move", r->path, r->line);
        }
    }
    r->now_ms = target;
}

/* "message|text" */
static void set_problem(struct session_problem *problem, const char *text)
{
    char bytes[TEXT_MAX];
    size_t len = decode(text, bytes);
    bytes[len] = '\0';
    char *body = strchr(bytes, '\n');
    *problem = (struct session_problem){0};
    if (body) {
        *body++ = '\0';
        snprintf(problem->text, sizeof(problem->text), "%.511s", body);
    }
    snprintf(problem->message, sizeof(problem->message), "%.63s", bytes);
}

static void answered(struct run *r, enum session_event_type type, uint32_t handle, bool is_ok,
                     const char *text)
{
    struct session_problem problem;
    struct session_event event = {.type = type};
    set_problem(&problem, text);
    event.answer.handle = handle;
    event.answer.is_ok = is_ok;
    event.answer.problem = *text ? &problem : NULL;
    step(r, event);
}

static void settled(struct run *r, const char *text)
{
    static const char *const outcomes[] = {"confirmed", "nacked", "returned", "refused", "unknown"};
    unsigned n;
    unsigned code = 0;
    char outcome[20];
    int used = 0;
    assert_true(sscanf(text, "%u %19s %n", &n, outcome, &used) >= 2);
    const char *words = text + used;
    if (sscanf(words, "%u %n", &code, &used) == 1) {
        words += used;
    }
    struct session_event event = {.type = SESSION_SETTLED};
    event.settled.token = n <= r->n_tokens ? r->tokens[n] : 1000000 + n;
    event.settled.code = (uint16_t)code;
    event.settled.text = words;
    event.settled.outcome = (enum broker_outcome)99;
    for (int i = 0; i < 5; i++) {
        if (strcmp(outcome, outcomes[i]) == 0) {
            event.settled.outcome = (enum broker_outcome)i;
        }
    }
    assert_true(event.settled.outcome <= BROKER_UNKNOWN);
    step(r, event);
}

/* ---- Lines ---- */

static const char *after(const char *line, const char *word)
{
    size_t len = strlen(word);
    if (strncmp(line, word, len) != 0 || (line[len] != '\0' && line[len] != ' ')) {
        return NULL;
    }
    return line[len] ? line + len + 1 : line + len;
}

static bool set_choice(struct run *r, const char *text)
{
    struct config *c = &r->config;
    const char *value = strchr(text, ' ') + 1;
    if (after(text, "stomp.error_close")) {
        c->stomp.error_close = atoi(value) != 0;
    } else if (after(text, "stomp.nack_requeue")) {
        c->stomp.nack_requeue = atoi(value) != 0;
    } else if (after(text, "stomp.client_ack")) {
        c->stomp.client_ack =
            strcmp(value, "connection") == 0 ? CONFIG_ACK_CONNECTION : CONFIG_ACK_SUBSCRIPTION;
    } else if (after(text, "stomp.unknown_ack")) {
        c->stomp.unknown_ack =
            strcmp(value, "ignore") == 0 ? CONFIG_UNKNOWN_IGNORE : CONFIG_UNKNOWN_ERROR;
    } else if (after(text, "stomp.unknown_destination")) {
        c->stomp.unknown_destination =
            strcmp(value, "ignore") == 0 ? CONFIG_UNKNOWN_IGNORE : CONFIG_UNKNOWN_ERROR;
    } else if (after(text, "stomp.spring_user")) {
        snprintf(r->spring_user, sizeof(r->spring_user), "%s", value);
        c->stomp.spring_user = r->spring_user;
    } else {
        return false;
    }
    return true;
}

static void set_number(struct run *r, const char *text)
{
#define KEY(group, name)                                                                           \
    {                                                                                              \
#group "." #name, &r->config.group.name                                                    \
    }
    const struct {
        const char *name;
        int *value;
    } keys[] = {
        KEY(limits, connect_ms),
        KEY(limits, half_frame_ms),
        KEY(limits, headers),
        KEY(limits, frame_before_connect_bytes),
        KEY(limits, header_name_bytes),
        KEY(limits, header_value_bytes),
        KEY(limits, header_block_bytes),
        KEY(limits, body_bytes),
        KEY(limits, subscriptions),
        KEY(limits, unconfirmed),
        KEY(limits, unconfirmed_bytes),
        KEY(limits, parked_bytes),
        KEY(limits, receipt_timeout_ms),
        KEY(limits, close_linger_ms),
        KEY(limits, prefetch),
        KEY(limits, unacked),
        KEY(heartbeat, send_ms),
        KEY(heartbeat, receive_ms),
    };
#undef KEY
    assert_null(r->session);
    if (set_choice(r, text)) {
        return;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *value = after(text, keys[i].name);
        if (value) {
            *keys[i].value = atoi(value);
            return;
        }
    }
    fail_msg("%s:%d: no such key: %s", r->path, r->line, text);
}

static void set_host(struct run *r, const char *text)
{
    static const char *const verdicts[] = {"done", "wait", "refuse"};
    const char *rest;
    struct answer *a = NULL;
    if ((rest = after(text, "sync"))) {
        r->has_no_channel = after(rest, "none") != NULL;
        return;
    }
    if ((rest = after(text, "reason"))) {
        enum close_reason reason = (enum close_reason)atoi(rest);
        r->login.problem.reason = r->subscribe.problem.reason = r->publish.problem.reason = reason;
        return;
    }
    if ((rest = after(text, "login"))) {
        a = &r->login;
    } else if ((rest = after(text, "subscribe"))) {
        a = &r->subscribe;
    } else if ((rest = after(text, "publish"))) {
        a = &r->publish;
    }
    assert_non_null(a);
    for (int i = 0; i < 3; i++) {
        const char *words = after(rest, verdicts[i]);
        if (words) {
            a->verdict = (enum session_verdict)i;
            set_problem(&a->problem, words);
            return;
        }
    }
    fail_msg("%s:%d: no such verdict: %s", r->path, r->line, text);
}

/* The word at *at, decoded; *at moves to the next one. False at the end, and before the body. */
static bool next_word(const char **at, char word[TEXT_MAX])
{
    char text[TEXT_MAX];
    size_t len = strcspn(*at, " ");
    if (len == 0 || **at == '|') {
        return false;
    }
    snprintf(text, sizeof(text), "%.*s", (int)len, *at);
    word[decode(text, word)] = '\0';
    *at += len;
    *at += strspn(*at, " ");
    return true;
}

/* A delivery while it is read. Strings are its own. */
struct delivered {
    struct broker_delivery delivery;
    struct broker_header headers[20];
    char *strings[40];
    size_t n_strings;
    bool gap;
};

static struct slice own(struct delivered *d, const char *text)
{
    assert_true(d->n_strings < 40);
    d->strings[d->n_strings] = strdup(text);
    return slice_of(d->strings[d->n_strings++]);
}

static void set_field(struct delivered *d, const char *name, const char *value)
{
    struct broker_properties *p = &d->delivery.properties;
    const struct {
        const char *name;
        struct slice *field;
    } fields[] = {
        {"exchange", &d->delivery.exchange},
        {"key", &d->delivery.routing_key},
        {"content-type", &p->content_type},
        {"content-encoding", &p->content_encoding},
        {"correlation-id", &p->correlation_id},
        {"reply-to", &p->reply_to},
        {"expiration", &p->expiration},
        {"message-id", &p->message_id},
        {"type", &p->type},
        {"user-id", &p->user_id},
        {"app-id", &p->app_id},
    };
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        if (strcmp(name, fields[i].name) == 0) {
            *fields[i].field = own(d, value);
            return;
        }
    }
    if (strcmp(name, "epoch") == 0) {
        d->delivery.epoch = (uint32_t)atoi(value);
        return;
    }
    assert_true(p->n_headers < 20);
    struct slice header = own(d, name);
    d->headers[p->n_headers++] = (struct broker_header){header, own(d, value)};
}

/* <handle> <tag> [epoch=<n>] [redelivered] [gap] [<field>=<value>…] | <body> */
static void deliver(struct run *r, const char *text)
{
    static char word[TEXT_MAX];
    static char body[TEXT_MAX];
    struct delivered d = {0};
    char *end;
    uint32_t handle = (uint32_t)strtoul(text, &end, 10);
    d.delivery.tag = strtoul(end, &end, 10);
    d.delivery.epoch = r->epoch;
    d.delivery.properties.headers = d.headers;
    assert_true(handle < MAX_HANDLES);
    d.delivery.exchange = own(&d, r->destinations[handle].exchange);
    d.delivery.routing_key = own(&d, r->destinations[handle].key);
    const char *at = end + strspn(end, " ");
    while (next_word(&at, word)) {
        char *value = strchr(word, '=');
        if (value) {
            *value++ = '\0';
            set_field(&d, word, value);
        } else if (strcmp(word, "redelivered") == 0) {
            d.delivery.is_redelivered = true;
        } else {
            assert_string_equal(word, "gap");
            d.gap = true;
        }
    }
    size_t len = strncmp(at, "| ", 2) == 0 ? decode(at + 2, body) : 0;
    d.delivery.body = (struct slice){body, len};
    if (d.delivery.epoch != r->epoch) {
        r->epoch = d.delivery.epoch;
        r->n_unsettled = 0;
    }
    assert_true(r->n_unsettled < MAX_TAGS);
    r->unsettled[r->n_unsettled++] = d.delivery.tag;
    struct session_event event = {.type = SESSION_DELIVERY};
    event.delivery.handle = handle;
    event.delivery.delivery = &d.delivery;
    event.delivery.gap = d.gap;
    step(r, event);
    while (d.n_strings > 0) {
        free(d.strings[--d.n_strings]);
    }
}

static void synced(struct run *r, const char *text)
{
    char *end;
    struct session_event event = {.type = SESSION_SYNCED};
    event.synced.token = strtoul(text, &end, 10);
    event.synced.is_ok = !after(end + strspn(end, " "), "lost");
    step(r, event);
}

static void restored(struct run *r, const char *text)
{
    struct session_event event = {.type = SESSION_RESTORED, .epoch = (uint32_t)atoi(text)};
    r->epoch = event.epoch;
    r->n_unsettled = 0;
    step(r, event);
}

static bool private_event(struct run *r, const char *line)
{
    const char *rest;
    if ((rest = after(line, "delivery"))) {
        deliver(r, rest);
    } else if ((rest = after(line, "written"))) {
        step(r,
             (struct session_event){.type = SESSION_WRITTEN, .written = strtoul(rest, NULL, 10)});
    } else if ((rest = after(line, "synced"))) {
        synced(r, rest);
    } else if ((rest = after(line, "restored"))) {
        restored(r, rest);
    } else if ((rest = after(line, "failed"))) {
        answered(r, SESSION_FAILED, 0, false, rest);
    } else {
        return false;
    }
    return true;
}

static bool set_up(struct run *r, const char *line)
{
    const char *rest;
    if ((rest = after(line, "set"))) {
        set_number(r, rest);
    } else if ((rest = after(line, "host"))) {
        set_host(r, rest);
    } else if (strcmp(line, "show properties") == 0) {
        r->is_shown = true;
    } else {
        return false;
    }
    return true;
}

static bool plain_event(struct run *r, const char *line)
{
    static const struct {
        const char *word;
        enum session_event_type type;
    } plain[] = {
        {"room", SESSION_ROOM}, {"alive", SESSION_ALIVE}, {"broker-gone", SESSION_BROKER_GONE},
        {"gap", SESSION_GAP},   {"slow", SESSION_SLOW},   {"drain", SESSION_DRAIN},
        {"tick", SESSION_TICK},
    };
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
        if (strcmp(line, plain[i].word) == 0) {
            step_plain(r, plain[i].type);
            return true;
        }
    }
    return false;
}

static void host_event(struct run *r, const char *line)
{
    const char *rest;
    char *end;
    if ((rest = after(line, "wait"))) {
        pass_time(r, strtoul(rest, NULL, 10));
    } else if ((rest = after(line, "login"))) {
        const char *words = after(rest, "refused");
        answered(r, SESSION_LOGIN, 0, !words, words ? words : "");
    } else if ((rest = after(line, "subscribed"))) {
        answered(r, SESSION_SUBSCRIBED, (uint32_t)atoi(rest), true, "");
    } else if ((rest = after(line, "refused"))) {
        uint32_t handle = (uint32_t)strtoul(rest, &end, 10);
        answered(r, SESSION_SUBSCRIBED, handle, false, *end ? end + 1 : end);
    } else if ((rest = after(line, "lost"))) {
        uint32_t handle = (uint32_t)strtoul(rest, &end, 10);
        answered(r, SESSION_LOST, handle, false, *end ? end + 1 : end);
    } else if ((rest = after(line, "settled"))) {
        settled(r, rest);
    } else if (strcmp(line, "wrote") == 0) {
        session_wrote(r->session, r->now_ms);
    } else if (!private_event(r, line) && !plain_event(r, line)) {
        fail_msg("%s:%d: what is '%s'?", r->path, r->line, line);
    }
}

static void nothing_else_happened(struct run *r)
{
    if (r->next_action < r->n_actions) {
        fail_msg("%s:%d (cut %d): happened before this line, unexpected:\n  %s", r->path, r->line,
                 r->cut, r->actions[r->next_action]);
    }
}

static void expect(struct run *r, const char *line)
{
    static char want[TEXT_MAX];
    expand(line, want);
    if (r->next_action == r->n_actions) {
        fail_msg("%s:%d (cut %d): did not happen:\n  %s", r->path, r->line, r->cut, want);
    }
    const char *got = r->actions[r->next_action++];
    if (strcmp(got, want) != 0) {
        fail_msg("%s:%d (cut %d): expected\n  %s\nbut\n  %s", r->path, r->line, r->cut, want, got);
    }
}

static void start(struct run *r)
{
    if (!r->session) {
        session_settings_init(&r->settings, &r->config, false);
        r->settings.server = "stompgate/test";
        r->session = session_new(&r->settings, &host_functions, r, "s1", r->now_ms);
        assert_non_null(r->session);
    }
}

static void run_line(struct run *r, const char *line)
{
    if (line[0] == '#' || line[0] == '\0') {
        return;
    }
    if (line[0] == '<' || line[0] == '!') {
        start(r);
        feed(r);
        expect(r, line);
        return;
    }
    bool is_input = line[0] == '>';
    if (!is_input) {
        if (r->session) {
            feed(r);
        }
        nothing_else_happened(r);
        if (set_up(r, line)) {
            return;
        }
    }
    start(r);
    nothing_else_happened(r);
    if (strncmp(line, "> ", 2) == 0) {
        client_frame(r, line + 2);
    } else if (strcmp(line, ">beat") == 0) {
        input(r, "\n", 1);
    } else if (strncmp(line, ">raw ", 5) == 0) {
        static char bytes[TEXT_MAX];
        input(r, bytes, decode(line + 5, bytes));
    } else {
        host_event(r, line);
    }
}

/* ---- Runs ---- */

static char *everybody[] = {(char *)"*"};
static char *ann[] = {(char *)"ann"};
static char *ann_and_bob[] = {(char *)"ann", (char *)"bob"};
#define ROUTE(p, e, t) .prefix = (char *)p, .exchange = (char *)e, .type = t
#define OPEN .send = {everybody, 1}, .subscribe = {everybody, 1}, .queues = {everybody, 1}

static struct config_route routes[] = {
    {ROUTE("/topic/", "amq.topic", CONFIG_TOPIC), OPEN},
    {ROUTE("/fanout/", "", CONFIG_FANOUT), .declare = true, OPEN},
    {ROUTE("/exchange/", "", CONFIG_ANY), OPEN},
    {ROUTE("/closed/", "closed", CONFIG_TOPIC), .send = {ann, 1}, .subscribe = {ann_and_bob, 2}},
    {ROUTE("/stored/", "stored", CONFIG_TOPIC), .store = true, OPEN},
    {ROUTE("/queue/", "", CONFIG_QUEUE), .declare = true, .durable = true, OPEN},
    {ROUTE("/amq/queue/", "", CONFIG_QUEUE), .send = {ann, 1}, .subscribe = {ann_and_bob, 2}},
    {ROUTE("/unshaped/", "unshaped", CONFIG_TOPIC), .send = {everybody, 1},
     .subscribe = {everybody, 1}},
    {ROUTE("/alarm/", "alarm", CONFIG_FANOUT), OPEN},
};

static void run_init(struct run *r, const char *path, enum cut cut)
{
    *r = (struct run){.path = path, .cut = cut, .now_ms = 1000000};
    r->config.routes = routes;
    r->config.n_routes = sizeof(routes) / sizeof(routes[0]);
    r->config.heartbeat.send_ms = 10000;
    r->config.heartbeat.receive_ms = 10000;
    r->config.limits.connect_ms = 10000;
    r->config.limits.half_frame_ms = 10000;
    r->config.limits.frame_before_connect_bytes = 16384;
    r->config.limits.headers = 64;
    r->config.limits.header_name_bytes = 128;
    r->config.limits.header_value_bytes = 8192;
    r->config.limits.header_block_bytes = 32768;
    r->config.limits.body_bytes = 1048576;
    r->config.limits.subscriptions = 256;
    r->config.limits.unconfirmed = 1000;
    r->config.limits.unconfirmed_bytes = 4194304;
    r->config.limits.parked_bytes = 1048576;
    r->config.limits.receipt_timeout_ms = 30000;
    r->config.limits.close_linger_ms = 2000;
    r->config.limits.prefetch = 1000;
    r->config.limits.unacked = 262144;
    r->config.stomp.error_close = true;
    r->config.stomp.nack_requeue = true;
    r->config.stomp.spring_user = (char *)"/user/";
    r->config.store.queue = (char *)"stompgate.store";
    r->config.store.dead_queue = (char *)"stompgate.dead";
    r->epoch = 1;
}

static void run_fini(struct run *r)
{
    r->is_closed = false; /* unsubscribing is all that may come now, and is checked below */
    size_t before = r->n_actions;
    session_free(r->session);
    for (size_t i = before; i < r->n_actions; i++) {
        assert_int_equal(strncmp(r->actions[i], "! unsubscribe", 13), 0);
    }
    for (size_t i = 0; i < MAX_HANDLES; i++) {
        assert_false(r->is_subscribed[i]);
    }
    for (size_t i = 0; i < r->n_actions; i++) {
        free(r->actions[i]);
    }
    free(r->actions);
    free(r->input);
}

static void run_file(const char *path, enum cut cut)
{
    static struct run run;
    static char line[TEXT_MAX];
    run_init(&run, path, cut);
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        run.line++;
        if (run.line == 1 && (strncmp(line, "# ", 2) != 0 || strlen(line) < 20)) {
            fail_msg("%s: the first line must say why", path);
        }
        run_line(&run, line);
    }
    fclose(file);
    start(&run);
    feed(&run);
    run.line++;
    nothing_else_happened(&run);
    run_fini(&run);
}

static void test_transcript(void **state)
{
    const char *path = *state;
    run_file(path, CUT_WHOLE);
    run_file(path, CUT_BYTES);
    for (unsigned seed = 1; seed <= 5; seed++) {
        srand(seed);
        run_file(path, CUT_RANDOM);
    }
}

int main(void)
{
    glob_t found;
    log_set_level(LOG_ERROR);
    if (glob(TESTS_DIR "/transcripts/*.stomp", 0, NULL, &found) != 0) {
        fprintf(stderr, "no transcripts in " TESTS_DIR "/transcripts\n");
        return 1;
    }
    struct CMUnitTest *tests = calloc(found.gl_pathc, sizeof(*tests));
    for (size_t i = 0; i < found.gl_pathc; i++) {
        tests[i].name = strrchr(found.gl_pathv[i], '/') + 1;
        tests[i].test_func = test_transcript;
        tests[i].initial_state = found.gl_pathv[i];
    }
    int failed = _cmocka_run_group_tests("transcripts", tests, found.gl_pathc, NULL, NULL);
    free(tests);
    globfree(&found);
    return failed;
}
