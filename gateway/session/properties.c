#include "gateway/session/properties.h"

#include <assert.h>
#include <stdio.h>
#include <strings.h>

#define TEXT_MAX 255               /* AMQP shortstr */
#define EXPIRATION_MAX 4294967295u /* RabbitMQ closes the channel over more */

static bool starts_with_nocase(struct slice text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && strncasecmp(text.ptr, prefix, len) == 0;
}

static int refuse(struct session_problem *problem, const char *header, const char *must)
{
    snprintf(problem->message, sizeof(problem->message), "Invalid header");
    snprintf(problem->text, sizeof(problem->text), "'%s' must %s\n", header, must);
    return -1;
}

/* Digits only; -1 when it is none or more than `max`. */
static int read_number(struct slice text, uint64_t max, uint64_t *value)
{
    uint64_t n = 0;
    if (text.len == 0 || text.len > 20) {
        return -1;
    }
    for (size_t i = 0; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';
        if (digit > 9 || n > (UINT64_MAX - digit) / 10) {
            return -1;
        }
        n = n * 10 + digit;
    }
    *value = n;
    return n <= max ? 0 : -1;
}

static int set_text(struct slice value, const char *name, struct slice *property,
                    struct session_problem *problem)
{
    if (value.len > TEXT_MAX) {
        return refuse(problem, name, "have at most 255 bytes");
    }
    *property = value;
    return 0;
}

static int set_texts(const struct stomp_frame *frame, struct broker_properties *p,
                     struct session_problem *problem)
{
    const struct {
        const char *name;
        struct slice *property;
    } texts[] = {
        {"content-type", &p->content_type},
        {"content-encoding", &p->content_encoding},
        {"correlation-id", &p->correlation_id},
        {"type", &p->type},
        {"app-id", &p->app_id},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (set_text(stomp_frame_get(frame, texts[i].name), texts[i].name, texts[i].property,
                     problem) != 0) {
            return -1;
        }
    }
    return 0;
}

/* Whoever answers a message sends to what it says here, with rights of his own: it must not lead
 * him to what is ours, and it must lead somewhere. */
static int set_reply_to(const struct config *config, const struct stomp_frame *frame,
                        struct broker_properties *p, struct session_problem *problem)
{
    struct slice value = stomp_frame_get(frame, "reply-to");
    struct destination d;
    if (value.len == 0) {
        p->reply_to = value;
        return 0;
    }
    /* The broker's direct reply-to needs a consumer on the same channel, which is never the
     * sender's (M2). */
    if (starts_with_nocase(value, "amq.rabbitmq.reply-to")) {
        return refuse(problem, "reply-to", "not be amq.rabbitmq.reply-to");
    }
    bool is_bare = !memchr(value.ptr, '/', value.len);
    bool is_ours = destination_is_own_queue(config, value);
    bool is_known = destination_resolve(config, value, &d) == DESTINATION_OK;
    if (is_bare ? is_ours : !is_known) {
        return refuse(problem, "reply-to", "be a destination that somebody can answer to");
    }
    return set_text(value, "reply-to", &p->reply_to, problem);
}

static int set_expiration(const struct stomp_frame *frame, struct broker_properties *p,
                          struct session_problem *problem)
{
    struct slice value = stomp_frame_get(frame, "expiration");
    uint64_t ms;
    if (!value.ptr) {
        return 0;
    }
    value = slice_trim(value);
    if (read_number(value, EXPIRATION_MAX, &ms) != 0) {
        return refuse(problem, "expiration",
                      "be a number of milliseconds, digits only, at most 4294967295");
    }
    p->expiration = value;
    return 0;
}

static int set_numbers(const struct stomp_frame *frame, struct broker_properties *p,
                       struct session_problem *problem)
{
    struct slice priority = stomp_frame_get(frame, "priority");
    struct slice timestamp = stomp_frame_get(frame, "timestamp");
    uint64_t value;
    if (priority.ptr) {
        if (read_number(slice_trim(priority), UINT8_MAX, &value) != 0) {
            return refuse(problem, "priority", "be a number from 0 to 255");
        }
        p->has_priority = true;
        p->priority = (uint8_t)value;
    }
    if (timestamp.ptr) {
        /* Many a client reads it into a signed number. */
        if (read_number(slice_trim(timestamp), INT64_MAX, &value) != 0) {
            return refuse(problem, "timestamp", "be a number of seconds since 1970, digits only");
        }
        p->has_timestamp = true;
        p->timestamp = value;
    }
    return 0;
}

static int check_user_id(const struct stomp_frame *frame, struct slice user,
                         struct session_problem *problem)
{
    struct slice value = stomp_frame_get(frame, "user-id");
    return value.ptr && !slice_equals(value, user)
               ? refuse(problem, "user-id", "be the user of this session")
               : 0;
}

/* RabbitMQ writes these into a message that it dead-lettered or passed to another broker, and our
 * own report of a queue that dropped messages is told by them: nobody may forge them. It writes
 * tables into some, and would stumble over text; what is in those a MESSAGE shows by dotted names
 * ("x-death.0.queue"), which are no better forged. */
static bool is_of_broker(struct slice name)
{
    static const char *const names[] = {
        "x-death",
        "x-first-death-queue",
        "x-first-death-reason",
        "x-first-death-exchange",
        "x-last-death-queue",
        "x-last-death-reason",
        "x-last-death-exchange",
        "x-received-from",
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        size_t len = strlen(names[i]);
        if (starts_with_nocase(name, names[i]) && (name.len == len || name.ptr[len] == '.')) {
            return true;
        }
    }
    return false;
}

/* Names that never become custom headers. */
static bool is_consumed(struct slice name)
{
    static const char *const consumed[] = {
        /* properties */
        "content-type",
        "content-encoding",
        "correlation-id",
        "expiration",
        "priority",
        "type",
        "app-id",
        "timestamp",
        "persistent",
        "reply-to",
        "user-id",
        /* the frame's own */
        "receipt",
        "transaction",
        "login",
        "passcode",
        "destination",
        "content-length",
        "message-id",
        "idempotency-key",
        /* the server's own in MESSAGE: nobody may forge them (A32) */
        "subscription",
        "ack",
        "redelivered",
        "amqp-message-id",
        "gap",
    };
    for (size_t i = 0; i < sizeof(consumed) / sizeof(consumed[0]); i++) {
        if (slice_is(name, consumed[i])) {
            return true;
        }
    }
    return is_of_broker(name) || starts_with_nocase(name, PROPERTIES_OWN_PREFIX);
}

static void add(struct properties *out, struct slice name, struct slice value)
{
    assert(out->amqp.n_headers < PROPERTIES_MAX_HEADERS);
    out->headers[out->amqp.n_headers++] = (struct broker_header){name, value};
}

/* "Repeated Header Entries": the first counts. */
static bool is_first(const struct stomp_frame *frame, unsigned at)
{
    for (unsigned i = 0; i < at; i++) {
        if (slice_equals(frame->headers[i].name, frame->headers[at].name)) {
            return false;
        }
    }
    return true;
}

static int add_custom(const struct stomp_frame *frame, struct properties *out,
                      struct session_problem *problem)
{
    for (unsigned i = 0; i < frame->n_headers; i++) {
        struct slice name = frame->headers[i].name;
        if (is_consumed(name) || !is_first(frame, i)) {
            continue;
        }
        /* M2; RabbitMQ would even close the channel, because they are no lists. */
        if (slice_is(name, "CC") || slice_is(name, "BCC")) {
            return refuse(problem, name.len == 2 ? "CC" : "BCC",
                          "not be sent: RabbitMQ would route the message by it");
        }
        /* Longer ones would be cut into further fields of the table (M1). */
        if (name.len == 0 || name.len > TEXT_MAX) {
            return refuse(problem, "header names", "have 1 to 255 bytes");
        }
        add(out, name, frame->headers[i].value);
    }
    return 0;
}

static int add_own(const struct stomp_frame *frame, struct slice user, struct properties *out,
                   struct session_problem *problem)
{
    struct slice key = stomp_frame_get(frame, "idempotency-key");
    bool is_message_id = key.len == 0;
    if (is_message_id) {
        key = stomp_frame_get(frame, "message-id");
    }
    if (key.len > TEXT_MAX) {
        return refuse(problem, is_message_id ? "message-id" : "idempotency-key",
                      "have at most 255 bytes");
    }
    add(out, SLICE_LITERAL(PROPERTIES_DESTINATION), stomp_frame_get(frame, "destination"));
    add(out, SLICE_LITERAL(PROPERTIES_USER), user);
    if (key.len) {
        add(out, SLICE_LITERAL(PROPERTIES_KEY), key);
    }
    return 0;
}

static void set_delivery_mode(const struct stomp_frame *frame, bool is_stored,
                              struct broker_properties *p)
{
    struct slice persistent = stomp_frame_get(frame, "persistent");
    if (is_stored || slice_is(persistent, "true") || slice_is(persistent, "True")) {
        p->has_delivery_mode = true;
        p->delivery_mode = 2;
    }
}

int properties_from_send(const struct config *config, const struct stomp_frame *frame,
                         struct slice user, bool is_stored, struct properties *out,
                         struct session_problem *problem)
{
    out->amqp = (struct broker_properties){.headers = out->headers};
    set_delivery_mode(frame, is_stored, &out->amqp);
    return set_texts(frame, &out->amqp, problem) != 0 ||
                   set_reply_to(config, frame, &out->amqp, problem) != 0 ||
                   set_expiration(frame, &out->amqp, problem) != 0 ||
                   set_numbers(frame, &out->amqp, problem) != 0 ||
                   check_user_id(frame, user, problem) != 0 ||
                   add_own(frame, user, out, problem) != 0 || add_custom(frame, out, problem) != 0
               ? -1
               : 0;
}
