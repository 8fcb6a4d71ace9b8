#include "gateway/session/queue.h"

#include "common/base64.h"
#include "gateway/session/queue_internal.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

_Static_assert(QUEUE_RANDOM_LEN == BASE64_16_LEN, "a random name looks like a durable one");

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

bool queue_is_wanted(const struct stomp_frame *frame, const struct destination *d)
{
    const char *name;
    struct slice ack = stomp_frame_get(frame, "ack");
    struct slice durable = queue_durable_header(frame, false, &name);
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

/* An exchange of another type would take them and not look at them. */
static int check_binding(const struct queue_asked *a, struct session_problem *problem)
{
    for (unsigned i = 0; i < a->frame->n_headers; i++) {
        struct slice header = a->frame->headers[i].name;
        if (a->d->route->type != CONFIG_ANY && queue_role_of(header) == QUEUE_OF_BINDING) {
            return queue_refuse(problem, header,
                                "be for an exchange of type headers: /exchange/<name>");
        }
    }
    return 0;
}

/* RabbitMQ reads a stream only for who acknowledges and says how much it can take. */
static int check_stream(const struct queue_asked *a, const struct session_queue *queue,
                        struct session_problem *problem)
{
    struct slice ack = stomp_frame_get(a->frame, "ack");
    bool is_stream = slice_is(queue_text_arg(queue, "x-queue-type"), "stream");
    for (size_t i = 0; i < queue->n_consume_args; i++) {
        is_stream =
            is_stream || slice_starts_with(queue->consume_args[i].name, SLICE_LITERAL("x-stream-"));
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
    const struct queue_asked a = {config, frame, d, may_shape, false};
    begin(queue);
    queue->is_bound = d->kind == DESTINATION_EXCHANGE;
    if (is_declared(d)) {
        if (queue_shape(&a, random, queue, problem) != 0) {
            return -1;
        }
    } else {
        queue_set_name(queue, (struct slice){d->key, d->key_len});
        queue->must_exist = true;
        queue->is_named = true;
    }
    return queue_add_args(frame, QUEUE_OF_BINDING, queue, problem) != 0 ||
                   check_binding(&a, problem) != 0 ||
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
    const struct queue_asked a = {config, frame, d, may_shape, true};
    begin(queue);
    if (queue_is_spring_user(config, frame, d)) {
        queue_set_name(queue, (struct slice){d->key, d->key_len});
        queue->must_exist = true;
        queue->is_named = true;
        return 0;
    }
    return queue_shape(&a, "", queue, problem);
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
