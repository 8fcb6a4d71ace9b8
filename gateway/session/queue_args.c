/* From headers to arguments of queue.declare, queue.bind and basic.consume: the table of what
 * RabbitMQ 3.10 to 4.x knows. */
#include "gateway/session/queue_internal.h"

#include <assert.h>
#include <stdio.h>

/* What a table of AMQP writes around a name and its value, at the most. */
#define ARGUMENT_FIXED 10
#define BIND_PREFIX "x-bind-"
#define BIND_INTEGER "x-bind-integer-"
#define BIND_BOOLEAN "x-bind-boolean-"
#define OWN_PREFIX "x-stompgate-"

enum kind { INTEGER, BOOLEAN, TEXT, TEXTS, LOCATOR, INTERVAL, OFFSET, MATCH, BY_LOOK };

static const struct known {
    const char *name;
    enum queue_role role;
    enum kind kind;
} known[] = {
    {"x-expires", QUEUE_OF_QUEUE, INTEGER},
    {"x-message-ttl", QUEUE_OF_QUEUE, INTEGER},
    {"x-max-length", QUEUE_OF_QUEUE, INTEGER},
    {"x-max-length-bytes", QUEUE_OF_QUEUE, INTEGER},
    {"x-max-in-memory-length", QUEUE_OF_QUEUE, INTEGER},
    {"x-max-in-memory-bytes", QUEUE_OF_QUEUE, INTEGER},
    {"x-max-priority", QUEUE_OF_QUEUE, INTEGER},
    {"x-delivery-limit", QUEUE_OF_QUEUE, INTEGER},
    {"x-consumer-timeout", QUEUE_OF_QUEUE, INTEGER},
    {"x-consumer-disconnected-timeout", QUEUE_OF_QUEUE, INTEGER},
    {"x-quorum-initial-group-size", QUEUE_OF_QUEUE, INTEGER},
    {"x-quorum-target-group-size", QUEUE_OF_QUEUE, INTEGER},
    {"x-initial-cluster-size", QUEUE_OF_QUEUE, INTEGER},
    {"x-stream-max-segment-size-bytes", QUEUE_OF_QUEUE, INTEGER},
    {"x-stream-filter-size-bytes", QUEUE_OF_QUEUE, INTEGER},
    {"x-queue-version", QUEUE_OF_QUEUE, INTEGER},
    {"x-single-active-consumer", QUEUE_OF_QUEUE, BOOLEAN},
    {"x-queue-type", QUEUE_OF_QUEUE, TEXT},
    {"x-queue-mode", QUEUE_OF_QUEUE, TEXT},
    {"x-queue-leader-locator", QUEUE_OF_QUEUE, TEXT},
    {"x-queue-master-locator", QUEUE_OF_QUEUE, LOCATOR},
    {"x-overflow", QUEUE_OF_QUEUE, TEXT},
    {"x-max-age", QUEUE_OF_QUEUE, INTERVAL},
    {"x-dead-letter-exchange", QUEUE_OF_QUEUE, TEXT},
    {"x-dead-letter-routing-key", QUEUE_OF_QUEUE, TEXT},
    {"x-dead-letter-strategy", QUEUE_OF_QUEUE, TEXT},
    {"x-priority", QUEUE_OF_CONSUMER, INTEGER},
    {"x-stream-offset", QUEUE_OF_CONSUMER, OFFSET},
    {"x-stream-filter", QUEUE_OF_CONSUMER, TEXTS},
    {"x-stream-match-unfiltered", QUEUE_OF_CONSUMER, BOOLEAN},
    {"x-cancel-on-ha-failover", QUEUE_OF_CONSUMER, BOOLEAN},
    {"x-match", QUEUE_OF_BINDING, MATCH},
};

static const struct known *find(struct slice header)
{
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (slice_is(header, known[i].name)) {
            return &known[i];
        }
    }
    return NULL;
}

enum queue_role queue_role_of(struct slice header)
{
    const struct known *k = find(header);
    if (k) {
        return k->role;
    }
    if (slice_starts_with(header, SLICE_LITERAL(BIND_PREFIX))) {
        return QUEUE_OF_BINDING;
    }
    bool is_other = slice_starts_with(header, SLICE_LITERAL("x-")) &&
                    !slice_starts_with(header, SLICE_LITERAL(OWN_PREFIX)) &&
                    !slice_is(header, "x-queue-name");
    return is_other ? QUEUE_OF_QUEUE_MAYBE : QUEUE_NO_ARGUMENT;
}

int queue_refuse(struct session_problem *problem, struct slice header, const char *must)
{
    snprintf(problem->message, sizeof(problem->message), "Invalid header");
    snprintf(problem->text, sizeof(problem->text), "'%.*s' must %s\n", (int)header.len, header.ptr,
             must);
    return -1;
}

/* Digits, a minus in front of them where `is_signed`. -1 when it is none, or has over 64 bits. */
static int read_integer(struct slice text, bool is_signed, int64_t *value)
{
    bool is_negative = is_signed && text.len && text.ptr[0] == '-';
    uint64_t most = is_negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
    size_t i = is_negative ? 1 : 0;
    uint64_t n = 0;
    if (i == text.len) {
        return -1;
    }
    for (; i < text.len; i++) {
        unsigned digit = (unsigned)(unsigned char)text.ptr[i] - '0';
        if (digit > 9 || n > (most - digit) / 10) {
            return -1;
        }
        n = n * 10 + digit;
    }
    /* Of the smallest number the opposite is none. */
    *value = !is_negative ? (int64_t)n : n == most ? INT64_MIN : -(int64_t)n;
    return 0;
}

int queue_read_boolean(struct slice text, bool *value)
{
    *value = slice_is(text, "true") || slice_is(text, "True");
    return *value || slice_is(text, "false") || slice_is(text, "False") ? 0 : -1;
}

/* A number and one of RabbitMQ's units: 7D, 90m. */
static bool is_interval(struct slice text)
{
    int64_t count;
    struct slice digits = {text.ptr, text.len ? text.len - 1 : 0};
    return digits.len && memchr("YMDhms", text.ptr[digits.len], 6) &&
           read_integer(digits, false, &count) == 0;
}

static bool read_behind(struct slice text, const char *prefix, int64_t *value)
{
    size_t len = strlen(prefix);
    return slice_starts_with(text, slice_of(prefix)) &&
           read_integer((struct slice){text.ptr + len, text.len - len}, false, value) == 0;
}

static int read_offset(struct slice text, struct broker_argument *arg)
{
    if (read_behind(text, "offset=", &arg->number)) {
        arg->type = BROKER_INTEGER;
    } else if (read_behind(text, "timestamp=", &arg->number)) {
        arg->type = BROKER_TIMESTAMP;
    } else if (slice_is(text, "first") || slice_is(text, "last") || slice_is(text, "next") ||
               is_interval(text)) {
        arg->type = BROKER_TEXT;
        arg->text = text;
    } else {
        return -1;
    }
    return 0;
}

static void read_look(struct slice text, struct broker_argument *arg)
{
    bool value;
    if (read_integer(text, true, &arg->number) == 0) {
        arg->type = BROKER_INTEGER;
    } else if (queue_read_boolean(text, &value) == 0) {
        arg->type = BROKER_BOOLEAN;
        arg->number = value;
    } else {
        arg->type = BROKER_TEXT;
        arg->text = text;
    }
}

static size_t count_items(struct slice text)
{
    size_t n = 1;
    for (size_t i = 0; i < text.len; i++) {
        n += text.ptr[i] == ',';
    }
    return n;
}

static bool is_locator(struct slice text)
{
    return slice_is(text, "client-local") || slice_is(text, "random") ||
           slice_is(text, "min-masters");
}

/* Fills type, text and number. -1 with *must when the value is not of that kind. */
static int read_value(enum kind kind, struct slice text, struct broker_argument *arg,
                      const char **must)
{
    bool value;
    switch (kind) {
    case INTEGER:
        arg->type = BROKER_INTEGER;
        *must = "be an integer";
        return read_integer(slice_trim(text), true, &arg->number);
    case BOOLEAN:
        arg->type = BROKER_BOOLEAN;
        *must = "be true or false";
        if (queue_read_boolean(slice_trim(text), &value) != 0) {
            return -1;
        }
        arg->number = value;
        return 0;
    case TEXT:
        arg->type = BROKER_TEXT;
        arg->text = text;
        return 0;
    case TEXTS:
        arg->type = BROKER_TEXTS;
        arg->text = text;
        *must = "have at most 64 texts between its commas";
        return count_items(text) <= QUEUE_MAX_ITEMS ? 0 : -1;
    case LOCATOR: /* over another one RabbitMQ loses the connection */
        *must = "be client-local, random or min-masters";
        arg->type = BROKER_TEXT;
        arg->text = text;
        return is_locator(text) ? 0 : -1;
    case INTERVAL: /* over one without digits as well, for a stream */
        *must = "be an interval like 7D (Y, M, D, h, m or s)";
        arg->type = BROKER_TEXT;
        arg->text = text;
        return is_interval(text) ? 0 : -1;
    case OFFSET:
        *must = "be first, last, next, offset=N, timestamp=SECONDS or an interval like 7D";
        return read_offset(slice_trim(text), arg);
    case MATCH:
        *must = "be all, any, all-with-x or any-with-x";
        arg->type = BROKER_TEXT;
        arg->text = text;
        return slice_is(text, "all") || slice_is(text, "any") || slice_is(text, "all-with-x") ||
                       slice_is(text, "any-with-x")
                   ? 0
                   : -1;
    case BY_LOOK:
        read_look(text, arg);
        return 0;
    }
    return -1;
}

/* The kind of a header that is an argument, and its name at the broker. */
static enum kind kind_of(struct slice header, struct slice *name)
{
    const struct {
        struct slice prefix;
        enum kind kind;
    } binds[] = {
        {SLICE_LITERAL(BIND_INTEGER), INTEGER},
        {SLICE_LITERAL(BIND_BOOLEAN), BOOLEAN},
        {SLICE_LITERAL(BIND_PREFIX), TEXT},
    };
    const struct known *k = find(header);
    *name = header;
    if (k) {
        return k->kind;
    }
    for (size_t i = 0; i < sizeof(binds) / sizeof(binds[0]); i++) {
        if (slice_starts_with(header, binds[i].prefix)) {
            *name =
                (struct slice){header.ptr + binds[i].prefix.len, header.len - binds[i].prefix.len};
            return binds[i].kind;
        }
    }
    return BY_LOOK;
}

static bool has(const struct broker_argument *args, size_t n, struct slice name)
{
    for (size_t i = 0; i < n; i++) {
        if (slice_equals(args[i].name, name)) {
            return true;
        }
    }
    return false;
}

/* What it takes in a table; so does each text of a list. */
static size_t bytes_of(const struct broker_argument *arg)
{
    return ARGUMENT_FIXED + arg->name.len + arg->text.len +
           (arg->type == BROKER_TEXTS ? count_items(arg->text) * ARGUMENT_FIXED : 0);
}

/* One header, into args[*n]. "Repeated Header Entries": the first counts. */
static int add(const struct stomp_header *h, struct broker_argument *args, size_t *n, size_t *bytes,
               struct session_problem *problem)
{
    struct broker_argument arg = {0};
    const char *must = "";
    enum kind kind = kind_of(h->name, &arg.name);
    if (has(args, *n, arg.name)) {
        return 0;
    }
    if (arg.name.len == 0) {
        return queue_refuse(problem, h->name, "be followed by the name of a header");
    }
    if (read_value(kind, h->value, &arg, &must) != 0) {
        return queue_refuse(problem, h->name, must);
    }
    *bytes += bytes_of(&arg);
    if (*n == QUEUE_MAX_ARGUMENTS || *bytes > QUEUE_MAX_ARGUMENT_BYTES) {
        return queue_refuse(problem, h->name,
                            "be left out: there may be 32 arguments, and 3000 bytes of them");
    }
    args[(*n)++] = arg;
    return 0;
}

int queue_add_args(const struct stomp_frame *frame, enum queue_role role,
                   struct session_queue *queue, struct session_problem *problem)
{
    size_t n_used = queue->n_args + queue->n_binding_args + queue->n_consume_args;
    struct broker_argument *args = queue->room + n_used;
    size_t n = 0;
    size_t bytes = 0;
    for (unsigned i = 0; i < frame->n_headers; i++) {
        enum queue_role its = queue_role_of(frame->headers[i].name);
        bool is_it = its == role || (role == QUEUE_OF_QUEUE_MAYBE && its == QUEUE_OF_QUEUE);
        if (is_it && add(&frame->headers[i], args, &n, &bytes, problem) != 0) {
            return -1;
        }
    }
    assert(n_used + n <= STOMP_MAX_HEADERS);
    if (role == QUEUE_OF_CONSUMER) {
        queue->consume_args = args;
        queue->n_consume_args = n;
    } else if (role == QUEUE_OF_BINDING) {
        queue->binding_args = args;
        queue->n_binding_args = n;
    } else {
        queue->args = args;
        queue->n_args = n;
    }
    return 0;
}

struct slice queue_text_arg(const struct session_queue *queue, const char *name)
{
    for (size_t i = 0; i < queue->n_args; i++) {
        if (slice_is(queue->args[i].name, name)) {
            return queue->args[i].text;
        }
    }
    return (struct slice){NULL, 0};
}
