/* One run of a transcript, and the host of its session: it writes down what it is asked and answers
 * as the transcript says. For test_session.c alone. */
#pragma once

#include "gateway/fanout/message.h"
#include "gateway/session/queue.h"
#include "gateway/session/session.h"
#include "tests/unit/transcript_text.h"

#define MAX_HANDLES 2000
#define MAX_TAGS 200

enum cut { CUT_WHOLE, CUT_BYTES, CUT_RANDOM };

struct answer {
    enum session_verdict verdict;
    struct session_problem problem;
};

struct run {
    const char *path;
    int line;
    enum cut cut;
    struct config config;
    char spring_user[64];
    struct session_settings settings;
    struct session *session;
    uint64_t now_ms;
    struct answer login;
    struct answer subscribe;
    struct answer publish;
    uint64_t tokens[MAX_HANDLES]; /* of the nth publish */
    unsigned n_tokens;
    bool is_subscribed[MAX_HANDLES];
    struct destination destinations[MAX_HANDLES]; /* of the subscriptions */
    uint64_t unsettled[MAX_TAGS];                 /* tags that were delivered, in order */
    unsigned n_unsettled;
    uint32_t epoch;
    uint64_t n_delivered; /* MESSAGEs of private subscriptions */
    unsigned n_random;
    bool has_no_channel; /* host.sync has nothing to wait for */
    bool is_shown;       /* properties */
    bool is_closed;
    bool has_error; /* ERROR was sent: close must come before the step ends */
    char *input;    /* what the client sends with the next event */
    size_t input_len;
    char **actions;
    size_t n_actions;
    size_t next_action;
};

static void happened(struct run *r, const char *text)
{
    if (r->is_closed) {
        fail_msg("%s:%d: after close: %s", r->path, r->line, text);
    }
    r->actions = realloc(r->actions, (r->n_actions + 1) * sizeof(char *));
    r->actions[r->n_actions++] = strdup(text);
}

/* A frame without its NUL, its empty body, and a content-length that is right. */
static void show_frame(const char *bytes, size_t len, char *text)
{
    static const char name[] = "\ncontent-length:";
    assert_true(len > 0 && bytes[len - 1] == '\0');
    char *copy = malloc(len);
    memcpy(copy, bytes, len);
    char *end = strstr(copy, "\n\n");
    assert_non_null(end);
    size_t body_len = len - 1 - (size_t)(end + 2 - copy);
    end[1] = '\0';
    char *length = strstr(copy, name);
    if (length) {
        assert_int_equal(strtoul(length + sizeof(name) - 1, NULL, 10), body_len);
        char *rest = strchr(length + 1, '\n');
        memmove(length, rest, strlen(rest) + 1);
    } else {
        assert_int_equal(body_len, 0);
    }
    add_bytes(text, copy, strlen(copy) - 1, true);
    if (body_len) {
        add(text, "||");
        add_bytes(text, bytes + len - 1 - body_len, body_len, false);
    }
    free(copy);
}

static void show_message(struct run *r, const char *bytes, size_t len)
{
    char text[TEXT_MAX] = "< ";
    show_frame(bytes, len, text);
    happened(r, text);
}

static void host_send(void *host, const char *bytes, size_t len)
{
    struct run *r = host;
    char text[TEXT_MAX] = "<";
    if (len == 1 && bytes[0] == '\n') {
        add(text, "beat");
    } else {
        add(text, " ");
        show_frame(bytes, len, text);
        r->has_error =
            r->has_error || (r->settings.error_close && strncmp(bytes, "ERROR\n", 6) == 0);
    }
    happened(r, text);
}

static enum session_verdict answer(const struct answer *a, struct session_problem *problem)
{
    static const struct session_problem zero;
    assert_memory_equal(problem, &zero, sizeof(zero));
    if (a->verdict == SESSION_REFUSED) {
        *problem = a->problem;
    }
    return a->verdict;
}

static enum session_verdict host_login(void *host, struct slice login, struct slice passcode,
                                       struct session_problem *problem)
{
    struct run *r = host;
    char text[TEXT_MAX] = "! login";
    add(text, login.ptr ? " '" : " -");
    add_slice(text, login);
    add(text, login.ptr ? "'" : "");
    add(text, passcode.ptr ? " '" : " -");
    add_slice(text, passcode);
    add(text, passcode.ptr ? "'" : "");
    happened(r, text);
    return answer(&r->login, problem);
}

static void show_text(char *text, const char *name, struct slice value)
{
    if (value.ptr) {
        add(text, " %s=", name);
        add_slice(text, value);
    }
}

static void show_properties(const struct broker_properties *p, char *text)
{
    show_text(text, "content-type", p->content_type);
    show_text(text, "content-encoding", p->content_encoding);
    show_text(text, "correlation-id", p->correlation_id);
    show_text(text, "reply-to", p->reply_to);
    show_text(text, "expiration", p->expiration);
    show_text(text, "message-id", p->message_id);
    show_text(text, "type", p->type);
    show_text(text, "user-id", p->user_id);
    show_text(text, "app-id", p->app_id);
    if (p->has_priority) {
        add(text, " priority=%d", p->priority);
    }
    if (p->has_delivery_mode) {
        add(text, " delivery-mode=%d", p->delivery_mode);
    }
    if (p->has_timestamp) {
        add(text, " timestamp=%llu", (unsigned long long)p->timestamp);
    }
    for (size_t i = 0; i < p->n_headers; i++) {
        add(text, " [");
        add_slice(text, p->headers[i].name);
        add(text, ":");
        add_slice(text, p->headers[i].value);
        add(text, "]");
    }
}

static void show_arguments(const char *name, const struct broker_argument *args, size_t n,
                           char *text)
{
    for (size_t i = 0; i < n; i++) {
        add(text, " %s:", name);
        add_slice(text, args[i].name);
        if (args[i].type == BROKER_TEXT) {
            add(text, "='");
            add_slice(text, args[i].text);
            add(text, "'");
        } else {
            add(text, "=%lld", (long long)args[i].number);
        }
    }
}

static void show_queue(const struct session_queue *queue, char *text)
{
    assert_int_equal(strlen(queue->name), queue->name_len);
    add(text, " queue=");
    add_slice(text, (struct slice){queue->name, queue->name_len});
    add(text, "%s%s%s%s%s", queue->must_exist ? " exists" : "", queue->is_durable ? " durable" : "",
        queue->is_exclusive ? " exclusive" : "", queue->is_auto_delete ? " auto-delete" : "",
        queue->is_bound ? " bound" : "");
    show_arguments("arg", queue->args, queue->n_args, text);
    show_arguments("bind", queue->binding_args, queue->n_binding_args, text);
    show_arguments("consume", queue->consume_args, queue->n_consume_args, text);
}

static void show_private(const struct session_subscription *sub, char *text)
{
    static const char *const acks[] = {"auto", "client", "individual"};
    show_queue(sub->queue, text);
    add(text, " ack=%s", acks[sub->ack]);
    if (sub->is_reply) {
        add(text, " reply");
    } else {
        add(text, " prefetch=%u", (unsigned)sub->prefetch);
    }
}

static enum session_verdict host_publish(void *host, const struct session_send *send,
                                         struct session_problem *problem)
{
    struct run *r = host;
    char text[TEXT_MAX] = "! publish";
    assert_null(send->properties.message_id.ptr);
    assert_false(send->destination->is_pattern);
    if (r->publish.verdict == SESSION_DONE) {
        assert_true(r->n_tokens + 1 < MAX_HANDLES);
        r->tokens[++r->n_tokens] = send->token;
        add(text, " %u", r->n_tokens);
    }
    add(text, " %s/%s '", send->destination->exchange, send->destination->key);
    add_slice(text, send->body);
    add(text, "'");
    if (send->queue) {
        show_queue(send->queue, text);
    }
    if (send->destination->kind != DESTINATION_EXCHANGE && send->is_mandatory) {
        add(text, " mandatory");
    }
    if (r->is_shown) {
        show_properties(&send->properties, text);
    }
    happened(r, text);
    return answer(&r->publish, problem);
}

static enum session_verdict host_subscribe(void *host, struct session_subscription *sub,
                                           const struct destination *d,
                                           struct session_problem *problem)
{
    struct run *r = host;
    char text[TEXT_MAX] = "! subscribe";
    assert_true(sub->handle < MAX_HANDLES && !r->is_subscribed[sub->handle]);
    assert_null(sub->host_data);
    assert_int_equal(sub->is_pattern, d->is_pattern);
    add(text, " %u ", sub->handle);
    add(text, sub->id.ptr ? "'" : "-");
    add_slice(text, sub->id);
    add(text, sub->id.ptr ? "' " : " ");
    add(text, "%s/%s ", d->exchange, d->key);
    add_slice(text, sub->spelling);
    if (sub->queue) {
        show_private(sub, text);
    }
    happened(r, text);
    r->destinations[sub->handle] = *d;
    if (r->subscribe.verdict != SESSION_REFUSED) {
        r->is_subscribed[sub->handle] = true;
        sub->host_data = r;
    }
    return answer(&r->subscribe, problem);
}

static void host_unsubscribe(void *host, struct session_subscription *sub, bool deletes_queue)
{
    struct run *r = host;
    char text[TEXT_MAX] = "! unsubscribe";
    assert_true(r->is_subscribed[sub->handle]);
    assert_ptr_equal(sub->host_data, r);
    r->is_subscribed[sub->handle] = false;
    add(text, " %u%s", sub->handle, deletes_queue ? " delete" : "");
    happened(r, text);
}

static void host_deliver(void *host, struct message *message, uint64_t number)
{
    struct run *r = host;
    assert_int_equal(number, r->n_delivered + 1);
    r->n_delivered = number;
    show_message(r, (const char *)message_payload(message), message->len - message->payload_off);
    message_unref(message);
}

/* Each once, and only what was delivered in this epoch. */
static void host_settle(void *host, const struct session_settle *settle)
{
    struct run *r = host;
    char text[TEXT_MAX] = "! settle";
    unsigned n_left = 0;
    bool is_known = false;
    for (unsigned i = 0; i < r->n_unsettled; i++) {
        bool is_meant = r->unsettled[i] == settle->tag ||
                        (settle->is_multiple && r->unsettled[i] < settle->tag);
        is_known = is_known || r->unsettled[i] == settle->tag;
        if (!is_meant) {
            r->unsettled[n_left++] = r->unsettled[i];
        }
    }
    if (!is_known || settle->epoch != r->epoch) {
        fail_msg("%s:%d: settles %llu of epoch %u", r->path, r->line,
                 (unsigned long long)settle->tag, (unsigned)settle->epoch);
    }
    r->n_unsettled = n_left;
    add(text, " %llu %s%s%s", (unsigned long long)settle->tag, settle->is_nack ? "nack" : "ack",
        settle->is_multiple ? " multiple" : "", settle->requeue ? " requeue" : "");
    happened(r, text);
}

static bool host_sync(void *host, uint64_t token)
{
    struct run *r = host;
    char text[TEXT_MAX] = "! sync";
    if (!r->has_no_channel) {
        add(text, " %llu", (unsigned long long)token);
        happened(r, text);
    }
    return !r->has_no_channel;
}

static void host_random(void *host, char *text)
{
    struct run *r = host;
    snprintf(text, QUEUE_RANDOM_LEN + 1, "random%016u", ++r->n_random);
}

static void host_read(void *host, bool wanted)
{
    happened(host, wanted ? "! read on" : "! read off");
}

static void host_close(void *host, enum close_reason reason, const char *text)
{
    struct run *r = host;
    char line[TEXT_MAX] = "! close";
    assert_true(strlen(text) <= 123);
    add(line, " %d %s: %s", close_reason_code(reason), close_reason_str(reason), text);
    happened(r, line);
    r->is_closed = true;
    r->has_error = false;
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
