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

/* The headers that mean something to us. */
enum known {
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CORRELATION_ID,
    TYPE,
    APP_ID,
    REPLY_TO,
    EXPIRATION,
    PRIORITY,
    TIMESTAMP,
    PERSISTENT,
    USER_ID,
    DESTINATION,
    MESSAGE_ID,
    IDEMPOTENCY_KEY,
    N_KNOWN,
    DROPPED = N_KNOWN, /* never becomes a custom header */
    CUSTOM
};

/* A frame's headers, looked at once: the first of each known name, and the custom ones in their
 * order, repeated ones included. */
struct sorted {
    struct slice known[N_KNOWN];
    unsigned n_custom;
    uint8_t custom[STOMP_MAX_HEADERS];
};

static int set_text(struct slice value, const char *name, struct slice *property,
                    struct session_problem *problem)
{
    if (value.len > TEXT_MAX) {
        return refuse(problem, name, "have at most 255 bytes");
    }
    *property = value;
    return 0;
}

static int set_texts(const struct sorted *in, struct broker_properties *p,
                     struct session_problem *problem)
{
    return set_text(in->known[CONTENT_TYPE], "content-type", &p->content_type, problem) != 0 ||
                   set_text(in->known[CONTENT_ENCODING], "content-encoding", &p->content_encoding,
                            problem) != 0 ||
                   set_text(in->known[CORRELATION_ID], "correlation-id", &p->correlation_id,
                            problem) != 0 ||
                   set_text(in->known[TYPE], "type", &p->type, problem) != 0 ||
                   set_text(in->known[APP_ID], "app-id", &p->app_id, problem) != 0
               ? -1
               : 0;
}

/* Whoever answers a message sends to what it says here, with rights of his own: it must not lead
 * him to what is ours, and it must lead somewhere. */
static int set_reply_to(const struct config *config, struct slice value,
                        struct broker_properties *p, struct session_problem *problem)
{
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

static int set_expiration(struct slice value, struct broker_properties *p,
                          struct session_problem *problem)
{
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

static int set_numbers(const struct sorted *in, struct broker_properties *p,
                       struct session_problem *problem)
{
    struct slice priority = in->known[PRIORITY];
    struct slice timestamp = in->known[TIMESTAMP];
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

static int check_user_id(struct slice value, struct slice user, struct session_problem *problem)
{
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

static const struct {
    uint8_t len;
    uint8_t kind;
    char text[18];
} known[] = {
#define NAME(text, kind)                                                                           \
    {                                                                                              \
        sizeof(text) - 1, kind, text                                                               \
    }
    /* properties */
    NAME("content-type", CONTENT_TYPE),
    NAME("content-encoding", CONTENT_ENCODING),
    NAME("correlation-id", CORRELATION_ID),
    NAME("expiration", EXPIRATION),
    NAME("priority", PRIORITY),
    NAME("type", TYPE),
    NAME("app-id", APP_ID),
    NAME("timestamp", TIMESTAMP),
    NAME("persistent", PERSISTENT),
    NAME("reply-to", REPLY_TO),
    NAME("user-id", USER_ID),
    /* the frame's own */
    NAME("destination", DESTINATION),
    NAME("message-id", MESSAGE_ID),
    NAME("idempotency-key", IDEMPOTENCY_KEY),
    NAME("content-length", DROPPED),
    NAME("receipt", DROPPED),
    NAME("transaction", DROPPED),
    NAME("login", DROPPED),
    NAME("passcode", DROPPED),
    /* the server's own in MESSAGE: nobody may forge them (A32) */
    NAME("subscription", DROPPED),
    NAME("ack", DROPPED),
    NAME("redelivered", DROPPED),
    NAME("amqp-message-id", DROPPED),
    NAME("gap", DROPPED),
#undef NAME
};

static unsigned kind_of(struct slice name)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].len == name.len && memcmp(known[i].text, name.ptr, name.len) == 0) {
            return known[i].kind;
        }
    }
    bool may_be_ours = name.len > 1 && (name.ptr[0] == 'x' || name.ptr[0] == 'X');
    return may_be_ours && (is_of_broker(name) || starts_with_nocase(name, PROPERTIES_OWN_PREFIX))
               ? DROPPED
               : CUSTOM;
}

static void sort(const struct stomp_frame *frame, struct sorted *out)
{
    memset(out->known, 0, sizeof(out->known));
    out->n_custom = 0;
    for (unsigned i = 0; i < frame->n_headers; i++) {
        unsigned kind = kind_of(frame->headers[i].name);
        if (kind == CUSTOM) {
            out->custom[out->n_custom++] = (uint8_t)i;
        } else if (kind < N_KNOWN && !out->known[kind].ptr) {
            out->known[kind] = frame->headers[i].value;
        }
    }
}

static void add(struct properties *out, struct slice name, struct slice value)
{
    assert(out->amqp.n_headers < PROPERTIES_MAX_HEADERS);
    out->headers[out->amqp.n_headers++] = (struct broker_header){name, value};
}

/* "Repeated Header Entries": the first counts. */
static bool is_first(const struct stomp_frame *frame, const struct sorted *in, unsigned at)
{
    for (unsigned i = 0; i < at; i++) {
        if (slice_equals(frame->headers[in->custom[i]].name, frame->headers[in->custom[at]].name)) {
            return false;
        }
    }
    return true;
}

static int add_custom(const struct stomp_frame *frame, const struct sorted *in,
                      struct properties *out, struct session_problem *problem)
{
    for (unsigned i = 0; i < in->n_custom; i++) {
        const struct stomp_header *h = &frame->headers[in->custom[i]];
        if (!is_first(frame, in, i)) {
            continue;
        }
        /* M2; RabbitMQ would even close the channel, because they are no lists. */
        if (slice_is(h->name, "CC") || slice_is(h->name, "BCC")) {
            return refuse(problem, h->name.len == 2 ? "CC" : "BCC",
                          "not be sent: RabbitMQ would route the message by it");
        }
        /* Longer ones would be cut into further fields of the table (M1). */
        if (h->name.len == 0 || h->name.len > TEXT_MAX) {
            return refuse(problem, "header names", "have 1 to 255 bytes");
        }
        add(out, h->name, h->value);
    }
    return 0;
}

static int add_own(const struct sorted *in, struct slice user, struct properties *out,
                   struct session_problem *problem)
{
    struct slice key = in->known[IDEMPOTENCY_KEY];
    bool is_message_id = key.len == 0;
    if (is_message_id) {
        key = in->known[MESSAGE_ID];
    }
    if (key.len > TEXT_MAX) {
        return refuse(problem, is_message_id ? "message-id" : "idempotency-key",
                      "have at most 255 bytes");
    }
    add(out, SLICE_LITERAL(PROPERTIES_DESTINATION), in->known[DESTINATION]);
    add(out, SLICE_LITERAL(PROPERTIES_USER), user);
    if (key.len) {
        add(out, SLICE_LITERAL(PROPERTIES_KEY), key);
    }
    return 0;
}

static void set_delivery_mode(struct slice persistent, bool is_stored, struct broker_properties *p)
{
    if (is_stored || slice_is(persistent, "true") || slice_is(persistent, "True")) {
        p->has_delivery_mode = true;
        p->delivery_mode = 2;
    }
}

int properties_from_send(const struct config *config, const struct stomp_frame *frame,
                         struct slice user, bool is_stored, struct properties *out,
                         struct session_problem *problem)
{
    struct sorted in;
    sort(frame, &in);
    out->amqp = (struct broker_properties){.headers = out->headers};
    set_delivery_mode(in.known[PERSISTENT], is_stored, &out->amqp);
    return set_texts(&in, &out->amqp, problem) != 0 ||
                   set_reply_to(config, in.known[REPLY_TO], &out->amqp, problem) != 0 ||
                   set_expiration(in.known[EXPIRATION], &out->amqp, problem) != 0 ||
                   set_numbers(&in, &out->amqp, problem) != 0 ||
                   check_user_id(in.known[USER_ID], user, problem) != 0 ||
                   add_own(&in, user, out, problem) != 0 ||
                   add_custom(frame, &in, out, problem) != 0
               ? -1
               : 0;
}
