/* Flags, name and arguments of a queue that is declared, and who may ask for them. */
#include "gateway/session/queue_internal.h"

#include <assert.h>
#include <stdio.h>

struct flags {
    bool is_durable;
    bool is_exclusive;
    bool is_auto_delete;
};

void queue_set_name(struct session_queue *queue, struct slice name)
{
    assert(name.len <= QUEUE_NAME_MAX);
    if (name.len) {
        memcpy(queue->name, name.ptr, name.len);
    }
    queue->name[name.len] = '\0';
    queue->name_len = name.len;
}

struct slice queue_durable_header(const struct stomp_frame *frame, bool is_send, const char **name)
{
    struct slice value = stomp_frame_get(frame, *name = "durable");
    if (!value.ptr && !is_send) {
        value = stomp_frame_get(frame, *name = "persistent");
    }
    return value;
}

static struct flags default_flags(const struct queue_asked *a)
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

static int read_flags(const struct queue_asked *a, struct flags *f, struct session_problem *problem)
{
    const char *name;
    if (queue_durable_header(a->frame, a->is_send, &name).ptr) {
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
static int check_replicated(const struct queue_asked *a, struct flags *f,
                            struct session_queue *queue, struct session_problem *problem)
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
static struct slice shaping_header(const struct queue_asked *a, const struct flags *f,
                                   const struct session_queue *queue)
{
    const struct flags usual = default_flags(a);
    const char *durable;
    bool is_exchange = a->d->kind == DESTINATION_EXCHANGE;
    bool has_durable = queue_durable_header(a->frame, a->is_send, &durable).ptr != NULL;
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

static int check_rights(const struct queue_asked *a, const struct flags *f,
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

static int name_by_client(const struct queue_asked *a, struct slice name,
                          struct session_queue *queue, struct session_problem *problem)
{
    const struct slice header = SLICE_LITERAL("x-queue-name");
    if (name.len == 0 || name.len > QUEUE_NAME_MAX || slice_has_control(name)) {
        return queue_refuse(problem, header, "have 1 to 255 bytes, and no control characters");
    }
    if (queue_is_reserved(a->config, name)) {
        return queue_refuse(problem, header, "not be a queue that the server keeps for itself");
    }
    queue_set_name(queue, name);
    queue->is_named = true;
    return 0;
}

static int name_durable(const struct queue_asked *a, struct session_queue *queue,
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

static int give_name(const struct queue_asked *a, const struct flags *f, const char *random,
                     struct session_queue *queue, struct session_problem *problem)
{
    struct slice name = stomp_frame_get(a->frame, "x-queue-name");
    if (a->d->kind != DESTINATION_EXCHANGE) {
        queue_set_name(queue, (struct slice){a->d->key, a->d->key_len});
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

int queue_shape(const struct queue_asked *a, const char *random, struct session_queue *queue,
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
