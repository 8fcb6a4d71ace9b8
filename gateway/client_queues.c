/* What the first frame of a session says of a queue counts for the rest of the session, as it does
 * with RabbitMQ: a SUBSCRIBE or SEND without x-… headers does not contradict a SEND that had some.
 * (What a SUBSCRIBE said is known to the private side: private_side_has_queue().) */
#include "gateway/client_internal.h"

#include "gateway/session/queue.h"

#include <stdlib.h>

#define SHAPES_MAX 64 /* of one session; later ones have to say the same each time */

struct shape {
    struct list node;
    struct session_queue *queue;
};

static struct slice name_of(const struct session_queue *queue)
{
    return (struct slice){queue->name, queue->name_len};
}

/* What every frame without headers says. */
static bool is_plain(const struct session_queue *queue)
{
    return queue->n_args == 0 && queue->is_durable && !queue->is_exclusive &&
           !queue->is_auto_delete;
}

const struct session_queue *client_queue_shape(const struct client *c,
                                               const struct session_queue *queue)
{
    for (const struct list *node = c->shapes.next; node != &c->shapes; node = node->next) {
        const struct shape *shape = LIST_OWNER(node, struct shape, node);
        if (slice_equals(name_of(shape->queue), name_of(queue))) {
            return shape->queue;
        }
    }
    return queue;
}

void client_queue_sent(struct client *c, const struct session_queue *queue)
{
    if (is_plain(queue) || c->n_shapes == SHAPES_MAX || client_queue_shape(c, queue) != queue) {
        return;
    }
    struct shape *shape = calloc(1, sizeof *shape);
    struct session_queue *kept = session_queue_keep(queue);
    if (!shape || !kept) { /* the broker will say what differs */
        free(shape);
        free(kept);
        return;
    }
    shape->queue = kept;
    list_push(&c->shapes, &shape->node);
    c->n_shapes++;
}

void client_queues_free(struct client *c)
{
    while (!list_is_empty(&c->shapes)) {
        struct shape *shape = LIST_OWNER(c->shapes.next, struct shape, node);
        list_remove(&shape->node);
        free(shape->queue);
        free(shape);
    }
}
