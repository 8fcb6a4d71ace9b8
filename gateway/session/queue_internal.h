/* What queue.c, queue_shape.c (a declared queue) and queue_args.c (arguments) share. */
#pragma once

#include "gateway/session/queue.h"

/* What a frame is asked: where it came from, and what its sender may. */
struct queue_asked {
    const struct config *config;
    const struct stomp_frame *frame;
    const struct destination *d;
    bool may_shape;
    bool is_send;
};

enum queue_role {
    QUEUE_NO_ARGUMENT,
    QUEUE_OF_QUEUE,
    QUEUE_OF_CONSUMER,
    QUEUE_OF_BINDING,
    QUEUE_OF_QUEUE_MAYBE /* an x-… header that RabbitMQ does not know */
};

enum queue_role queue_role_of(struct slice header);

/* Adds the frame's arguments of that role behind those that *queue has. QUEUE_OF_QUEUE_MAYBE: those
 * of QUEUE_OF_QUEUE and these. Once for each role. */
int queue_add_args(const struct stomp_frame *frame, enum queue_role role,
                   struct session_queue *queue, struct session_problem *problem)
    __attribute__((warn_unused_result));

/* "Invalid header": "'<header>' must <must>". */
int queue_refuse(struct session_problem *problem, struct slice header, const char *must);

/* true, True, false, False. -1 when it is none of these. */
int queue_read_boolean(struct slice text, bool *value) __attribute__((warn_unused_result));

/* The queue's argument of that name, ptr NULL when it has none. */
struct slice queue_text_arg(const struct session_queue *queue, const char *name);

/* `durable`, on SUBSCRIBE else `persistent`: *name is the one that is there, or would be. */
struct slice queue_durable_header(const struct stomp_frame *frame, bool is_send, const char **name);

void queue_set_name(struct session_queue *queue, struct slice name);

/* Fills name, flags and arguments of a queue that is declared. */
int queue_shape(const struct queue_asked *a, const char *random, struct session_queue *queue,
                struct session_problem *problem) __attribute__((warn_unused_result));
