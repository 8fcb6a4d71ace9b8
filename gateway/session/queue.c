#include "gateway/session/queue.h"

#include "common/base64.h"
#include "gateway/session/queue_internal.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert(QUEUE_RANDOM_LEN == BASE64_16_LEN, "a random name looks like a durable one");

/* The flags of a queue, and which header asked for what is not the default. */
struct flags {
    bool is_durable;
    bool is_exclusive;
    bool is_auto_delete;
};

/* What a frame is asked: where it came from, and what its sender may. */
struct asked {
    const struct config *config;
    const struct stomp_frame *frame;
    const struct destination *d;
    bool may_shape;
    bool is_send;
};

static bool is_declared(const struct destination *d)
{
    return d->kind == DESTINATION_QUEUE || d->kind == DESTINATION_EXCHANGE;
}

bool queue_is_reserved(const struct config *config, struct slice name)
{
    return destination_is_own_queue(config, name) || destination_is_server_named(name);
}

/* Spring makes such a name of the user's destination, "-user" and the session's id. Nobody else
 * makes a queue his own by the header alone. */
bool queue_is_spring_user(const struct config *config, const struct stomp_frame *frame,
                          const struct destination *d)
{
    const char *prefix = config->stomp.spring_user;
    struct slice origin = stomp_frame_get(frame, "simpOrigDestination");
    return d->kind == DESTINATION_QUEUE && prefix && prefix[0] && origin.ptr &&
           slice_starts_with(origin, slice_of(prefix)) && strstr(d->key, "-user");
}

/* `durable`, on SUBSCRIBE also by its other name. */
static struct slice durable_header(const struct stomp_frame *frame, bool is_send,
                                   const char **name)
{
    struct slice value = stomp_frame_get(frame, *name = "durable");
    if (!value.ptr && !is_send) {
        value = stomp_frame_get(frame, *name = "persistent");
    }
    return value;
}

bool queue_is_wanted(const struct stomp_frame *frame, const struct destination *d)
{
    const char *name;
    struct slice ack = stomp_frame_get(frame, "ack");
    struct slice durable = durable_header(frame, false, &name);
    struct slice auto_delete = stomp_frame_get(frame, "auto-delete");
    bool value;
    if (d->kind != DESTINATION_EXCHANGE || (ack.ptr && !slice_is(ack, "auto")) ||
        stomp_frame_get(frame, "x-queue-name").ptr) {
        return true;
    }
    /* What is neither true nor false gets its ERROR where the queue is made. */
    if ((durable.ptr && (queue_read_boolean(durable, &value) != 0 || value)) ||
        (auto_delete.ptr && (queue_read_boolean(auto_delete, &value) != 0 || !value))) {
        return true;
    }
    for (unsigned i = 0; i < frame->n_headers; i++) {
        struct slice header = frame->headers[i].name;
        enum queue_role role = queue_role_of(header);
        bool is_stream = slice_starts_with(header, SLICE_LITERAL("x-stream-"));
        if (role == QUEUE_OF_QUEUE || role == QUEUE_OF_BINDING ||
            (role == QUEUE_OF_CONSUMER && is_stream)) {
            return true;
        }
    }
    return false;
}

int queue_durable_name(struct slice key, struct slice id, char name[QUEUE_NAME_MAX + 1])
{
    /* Erlang's external term format of the tuple {Key, Id}, both lists of bytes: 131, 104 and the
     * arity; of each 106 when empty, else 107, two bytes of length, and the bytes. */
    uint8_t term[3 + 2 * (3 + UINT8_MAX)] = {131, 104, 2};
    size_t len = 3;
    const struct slice parts[] = {key, id};
    for (size_t i = 0; i < 2; i++) {
        assert(parts[i].len <= UINT8_MAX);
        term[len++] = parts[i].len ? 107 : 106;
        if (parts[i].len) {
            term[len++] = 0;
            term[len++] = (uint8_t)parts[i].len;
            memcpy(term + len, parts[i].ptr, parts[i].len);
            len += parts[i].len;
        }
    }
    char text[BASE64_16_LEN + 1];
    if (base64_md5((struct slice){(const char *)term, len}, text) != 0) {
        return -1;
    }
    snprintf(name, QUEUE_NAME_MAX + 1, "%s%s", QUEUE_SUBSCRIPTION_PREFIX, text);
    return 0;
}

static void set_name(struct session_queue *queue, struct slice name)
{
    assert(name.len <= QUEUE_NAME_MAX);
    if (name.len) {
        memcpy(queue->name, name.ptr, name.len);
    }
    queue->name[name.len] = '\0';
    queue->name_len = name.len;
}

/* All but `room`, which is large and filled as needed. */
static void begin(struct session_queue *queue)
{
    memset(queue, 0, offsetof(struct session_queue, room));
    queue->args = queue->room;
    queue->binding_args = queue->room;
    queue->consume_args = queue->room;
}

void queue_for_reply(const char *random, struct session_queue *queue)
{
    begin(queue);
    int len = snprintf(queue->name, sizeof(queue->name), "%s%.*s", QUEUE_REPLY_PREFIX,
                       QUEUE_RANDOM_LEN, random);
    queue->name_len = (size_t)len;
    queue->is_exclusive = true;
    queue->is_auto_delete = true;
}

static struct flags default_flags(const struct asked *a)
{
    bool is_named = stomp_frame_get(a->frame, "x-queue-name").ptr != NULL;
    if (a->d->kind == DESTINATION_EXCHANGE) {
        /* Durable, because RabbitMQ 4.3 makes no transient queue any more that is not exclusive. */
        return (struct flags){is_named, !is_named, true};
    }
    if (queue_is_spring_user(a->config, a->frame, a->d)) {
        return (struct flags){false, true, true};
    }
    return (struct flags){a->d->route->durable, false, false};
}

static int read_flag(const struct stomp_frame *frame, const char *name, bool *flag,
                     struct session_problem *problem)
{
    struct slice value = stomp_frame_get(frame, name);
    return value.ptr && queue_read_boolean(value, flag) != 0
               ? queue_refuse(problem, slice_of(name), "be true or false")
               : 0;
}

static int read_flags(const struct asked *a, struct flags *f, struct session_problem *problem)
{
    const char *name;
    if (durable_header(a->frame, a->is_send, &name).ptr) {
        bool is_queue = a->d->kind == DESTINATION_QUEUE;
        if (read_flag(a->frame, name, &f->is_durable, problem) != 0) {
            return -1;
        }
        f->is_exclusive = !f->is_durable && !a->is_send;
        f->is_auto_delete = !f->is_durable || !is_queue;
    }
    if (read_flag(a->frame, "exclusive", &f->is_exclusive, problem) != 0 ||
        read_flag(a->frame, "auto-delete", &f->is_auto_delete, problem) != 0) {
        return -1;
    }
    if (f->is_exclusive && a->is_send) {
        return queue_refuse(problem, SLICE_LITERAL("exclusive"),
                            "be false on SEND: such a queue belongs to its subscriber");
    }
    return 0;
}

/* quorum and stream can be neither exclusive nor auto-delete, so RabbitMQ's plugin does not ask
 * them to; who asks all the same hears of it. */
static int check_replicated(const struct asked *a, struct flags *f, struct session_queue *queue,
                            struct session_problem *problem)
{
    static const char *const never[] = {"exclusive", "auto-delete"};
    struct slice type = queue_text_arg(queue, "x-queue-type");
    bool is_set = false;
    if (!slice_is(type, "quorum") && !slice_is(type, "stream")) {
        return 0;
    }
    for (size_t i = 0; i < 2; i++) {
        if (read_flag(a->frame, never[i], &is_set, problem) != 0) {
            return -1;
        }
        if (is_set) {
            return queue_refuse(problem, slice_of(never[i]),
                                "be false for x-queue-type quorum and stream");
        }
    }
    *f = (struct flags){.is_durable = true};
    if (!queue->is_named) {
        return queue_refuse(problem, SLICE_LITERAL("x-queue-type"),
                            "come with durable:true or x-queue-name when it is quorum or stream: "
                            "nobody could find the queue again");
    }
    return 0;
}

/* A queue's dead letters go past all rights, but not to what is ours: by the default exchange they
 * go to the queue that the key names, else to the queue that the message's own key names. */
static int check_dead_letters(const struct config *config, const struct session_queue *queue,
                              struct session_problem *problem)
{
    struct slice exchange = queue_text_arg(queue, "x-dead-letter-exchange");
    struct slice key = queue_text_arg(queue, "x-dead-letter-routing-key");
    if (slice_starts_with(exchange, SLICE_LITERAL("amq.rabbitmq."))) {
        return queue_refuse(problem, SLICE_LITERAL("x-dead-letter-exchange"),
                            "not be an exchange that the broker keeps for itself");
    }
    if (!exchange.ptr || exchange.len) {
        return 0;
    }
    if (!key.ptr) {
        return queue_refuse(problem, SLICE_LITERAL("x-dead-letter-routing-key"),
                            "name a queue when x-dead-letter-exchange is the default exchange");
    }
    return queue_is_reserved(config, key)
               ? queue_refuse(problem, SLICE_LITERAL("x-dead-letter-routing-key"),
                              "not be a queue that the server keeps for itself")
               : 0;
}

/* The header by which the frame asks for more than its destination gives to everybody. ptr NULL:
 * it does not. */
static struct slice shaping_header(const struct asked *a, const struct flags *f,
                                   const struct session_queue *queue)
{
    const struct flags usual = default_flags(a);
    const char *durable;
    bool is_exchange = a->d->kind == DESTINATION_EXCHANGE;
    bool has_durable = durable_header(a->frame, a->is_send, &durable).ptr != NULL;
    if (is_exchange && stomp_frame_get(a->frame, "x-queue-name").ptr) {
        return SLICE_LITERAL("x-queue-name");
    }
    if (queue->n_args) {
        return queue->args[0].name;
    }
    if (has_durable && (f->is_durable != usual.is_durable)) {
        return slice_of(durable);
    }
    if (f->is_exclusive != usual.is_exclusive) {
        return SLICE_LITERAL("exclusive");
    }
    return f->is_auto_delete != usual.is_auto_delete ? SLICE_LITERAL("auto-delete")
                                                     : (struct slice){NULL, 0};
}

static int check_rights(const struct asked *a, const struct flags *f,
                        const struct session_queue *queue, struct session_problem *problem)
{
    struct slice header = shaping_header(a, f, queue);
    if (!header.ptr || a->may_shape) {
        return 0;
    }
    snprintf(problem->message, sizeof(problem->message), "access_refused");
    snprintf(problem->text, sizeof(problem->text),
             "ACCESS_REFUSED - '%.*s' is for users who may name, keep and shape queues\n",
             (int)header.len, header.ptr);
    return -1;
}

static bool has_control(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

static int name_by_client(const struct asked *a, struct slice name, struct session_queue *queue,
                          struct session_problem *problem)
{
    static const struct slice header = SLICE_LITERAL("x-queue-name");
    if (name.len == 0 || name.len > QUEUE_NAME_MAX || has_control(name)) {
        return queue_refuse(problem, header, "have 1 to 255 bytes, and no control characters");
    }
    if (queue_is_reserved(a->config, name)) {
        return queue_refuse(problem, header, "not be a queue that the server keeps for itself");
    }
    set_name(queue, name);
    queue->is_named = true;
    return 0;
}

static int name_durable(const struct asked *a, struct session_queue *queue,
                        struct session_problem *problem)
{
    struct slice id = stomp_frame_get(a->frame, "id");
    if (!id.ptr) {
        snprintf(problem->message, sizeof(problem->message), "Missing Header");
        snprintf(problem->text, sizeof(problem->text),
                 "Header 'id' is required for durable subscriptions");
        return -1;
    }
    if (id.len > UINT8_MAX) {
        return queue_refuse(problem, SLICE_LITERAL("id"), "have at most 255 bytes");
    }
    if (queue_durable_name((struct slice){a->d->key, a->d->key_len}, id, queue->name) != 0) {
        problem->reason = CLOSE_INTERNAL;
        snprintf(problem->text, sizeof(problem->text), "The queue's name cannot be made: no MD5\n");
        return -1;
    }
    queue->name_len = strlen(queue->name);
    queue->is_named = true;
    return 0;
}

static int give_name(const struct asked *a, const struct flags *f, const char *random,
                     struct session_queue *queue, struct session_problem *problem)
{
    struct slice name = stomp_frame_get(a->frame, "x-queue-name");
    if (a->d->kind != DESTINATION_EXCHANGE) {
        set_name(queue, (struct slice){a->d->key, a->d->key_len});
        queue->is_named = true;
        return 0;
    }
    if (name.ptr) {
        return name_by_client(a, name, queue, problem);
    }
    if (f->is_durable) {
        return name_durable(a, queue, problem);
    }
    int len = snprintf(queue->name, sizeof(queue->name), "%s%.*s", QUEUE_SUBSCRIPTION_PREFIX,
                       QUEUE_RANDOM_LEN, random);
    queue->name_len = (size_t)len;
    return 0;
}

/* Name, flags and arguments of a queue that is declared. */
static int shape(const struct asked *a, const char *random, struct session_queue *queue,
                 struct session_problem *problem)
{
    struct flags f = default_flags(a);
    bool has_unknown = a->may_shape && !a->is_send;
    if (read_flags(a, &f, problem) != 0 ||
        queue_add_args(a->frame, has_unknown ? QUEUE_OF_QUEUE_MAYBE : QUEUE_OF_QUEUE, queue,
                       problem) != 0 ||
        give_name(a, &f, random, queue, problem) != 0 ||
        check_replicated(a, &f, queue, problem) != 0 || check_rights(a, &f, queue, problem) != 0 ||
        check_dead_letters(a->config, queue, problem) != 0) {
        return -1;
    }
    queue->is_durable = f.is_durable;
    queue->is_exclusive = f.is_exclusive;
    queue->is_auto_delete = f.is_auto_delete;
    return 0;
}

static int check_binding(const struct asked *a, const struct session_queue *queue,
                         struct session_problem *problem)
{
    if (queue->n_binding_args && a->d->route->type != CONFIG_ANY) {
        bool is_match = slice_is(queue->binding_args[0].name, "x-match");
        return queue_refuse(problem, slice_of(is_match ? "x-match" : "x-bind-"),
                            "be for an exchange of type headers: /exchange/<name>");
    }
    return 0;
}

/* RabbitMQ reads a stream only for who acknowledges and says how much it can take. */
static int check_stream(const struct asked *a, const struct session_queue *queue,
                        struct session_problem *problem)
{
    struct slice ack = stomp_frame_get(a->frame, "ack");
    bool is_stream = slice_is(queue_text_arg(queue, "x-queue-type"), "stream");
    for (size_t i = 0; i < queue->n_consume_args; i++) {
        is_stream = is_stream ||
                    slice_starts_with(queue->consume_args[i].name, SLICE_LITERAL("x-stream-"));
    }
    if (!is_stream) {
        return 0;
    }
    if (!ack.ptr || slice_is(ack, "auto")) {
        return queue_refuse(problem, SLICE_LITERAL("ack"),
                            "be client or client-individual for a stream");
    }
    if (!stomp_frame_get(a->frame, "prefetch-count").ptr) {
        snprintf(problem->message, sizeof(problem->message), "Missing Header");
        snprintf(problem->text, sizeof(problem->text),
                 "Header 'prefetch-count' is required for streams\n");
        return -1;
    }
    return 0;
}

int queue_from_subscribe(const struct config *config, const struct stomp_frame *frame,
                         const struct destination *d, const char *random, bool may_shape,
                         struct session_queue *queue, struct session_problem *problem)
{
    const struct asked a = {config, frame, d, may_shape, false};
    begin(queue);
    queue->is_bound = d->kind == DESTINATION_EXCHANGE;
    if (is_declared(d)) {
        if (shape(&a, random, queue, problem) != 0) {
            return -1;
        }
    } else {
        set_name(queue, (struct slice){d->key, d->key_len});
        queue->must_exist = true;
        queue->is_named = true;
    }
    return queue_add_args(frame, QUEUE_OF_BINDING, queue, problem) != 0 ||
                   check_binding(&a, queue, problem) != 0 ||
                   queue_add_args(frame, QUEUE_OF_CONSUMER, queue, problem) != 0 ||
                   check_stream(&a, queue, problem) != 0
               ? -1
               : 0;
}

int queue_from_send(const struct config *config, const struct stomp_frame *frame,
                    const struct destination *d, bool may_shape, struct session_queue *queue,
                    struct session_problem *problem)
{
    assert(d->kind == DESTINATION_QUEUE);
    const struct asked a = {config, frame, d, may_shape, true};
    begin(queue);
    if (queue_is_spring_user(config, frame, d)) {
        set_name(queue, (struct slice){d->key, d->key_len});
        queue->must_exist = true;
        queue->is_named = true;
        return 0;
    }
    return shape(&a, "", queue, problem);
}

static struct slice copy(struct slice text, char **end)
{
    struct slice kept = {text.ptr ? *end : NULL, text.len};
    if (text.len) {
        memcpy(*end, text.ptr, text.len);
        *end += text.len;
    }
    return kept;
}

/* One block: the queue, its arguments in `room`, their texts behind them. */
struct session_queue *session_queue_keep(const struct session_queue *queue)
{
    const struct broker_argument *lists[] = {queue->args, queue->binding_args, queue->consume_args};
    const size_t counts[] = {queue->n_args, queue->n_binding_args, queue->n_consume_args};
    size_t n = 0;
    size_t text_len = 0;
    for (size_t k = 0; k < 3; k++) {
        n += counts[k];
        for (size_t i = 0; i < counts[k]; i++) {
            text_len += lists[k][i].name.len + lists[k][i].text.len;
        }
    }
    size_t head = offsetof(struct session_queue, room);
    struct session_queue *kept = malloc(head + n * sizeof(struct broker_argument) + text_len);
    if (!kept) {
        return NULL;
    }
    memcpy(kept, queue, head);
    /* By the block, not by the member: of that there is less than it says. */
    struct broker_argument *room = (struct broker_argument *)((char *)kept + head);
    char *end = (char *)(room + n);
    const struct broker_argument **kept_lists[] = {&kept->args, &kept->binding_args,
                                                   &kept->consume_args};
    for (size_t k = 0; k < 3; k++) {
        *kept_lists[k] = room;
        for (size_t i = 0; i < counts[k]; i++) {
            *room = lists[k][i];
            room->name = copy(lists[k][i].name, &end);
            room->text = copy(lists[k][i].text, &end);
            room++;
        }
    }
    return kept;
}
