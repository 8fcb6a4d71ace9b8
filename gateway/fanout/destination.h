/* From the name of a destination to the pair it stands for: (exchange, routing key). Pure; design
 * section 6.
 *
 * The pair is the identity: access rules, audience, storage, history and order go by it, and a name
 * is only its spelling: /topic/a/b, /topic/a.b and /exchange/amq.topic/a.b are one destination.
 */
#pragma once

#include "common/config.h"
#include "common/slice.h"

#include <stdbool.h>
#include <stddef.h>

#define DESTINATION_PART_MAX 255 /* AMQP shortstr: exchange name, routing key */

enum destination_kind {
    DESTINATION_EXCHANGE,  /* shared by default; everything with an exchange that has a name */
    DESTINATION_QUEUE,     /* /queue/N, N without any slash, or a route of type queue with declare:
                              declared */
    DESTINATION_AMQ_QUEUE, /* /amq/queue/N: exists */
    DESTINATION_REPLY_QUEUE, /* /reply-queue/REST: REST as it stands, slashes and escapes included
                              */
    DESTINATION_TEMP_QUEUE   /* /temp-queue/N: only in reply-to */
};

/* A queue is reached by the default exchange: exchange "" and its name as the key. */
struct destination {
    enum destination_kind kind;
    /* Of the pair: /exchange/amq.topic/a gets the route of /topic/. */
    const struct config_route *route;
    char exchange[DESTINATION_PART_MAX + 1];
    char key[DESTINATION_PART_MAX + 1]; /* "" for fanout */
    size_t exchange_len;
    size_t key_len;
    /* The key has a word that is * or #, and the exchange may understand it. */
    bool is_pattern;
    /* The exchange's name comes from the client, not from the configuration. */
    bool is_client_named;
};

enum destination_error {
    DESTINATION_OK,
    DESTINATION_MISSING,  /* empty */
    DESTINATION_UNKNOWN,  /* no route has that prefix */
    DESTINATION_INVALID,  /* no rest, no exchange name, or a key behind a fanout exchange */
    DESTINATION_CONTROL,  /* a byte below 0x20 or 0x7f */
    DESTINATION_TOO_LONG, /* exchange or key over 255 bytes */
    DESTINATION_WILDCARD, /* destination_check_send() only */
    /* amq.* where we would have to declare it; amq.rabbitmq.* (trace, events, log) always. */
    DESTINATION_RESERVED
};

/* Both lines of the ERROR: the `message` header, and the body for this destination (RabbitMQ's
 * words where it has any). Writes at most `len` bytes of body, always terminated. */
const char *destination_error_message(enum destination_error error);
void destination_error_body(enum destination_error error, struct slice name, char *body,
                            size_t len);

/* The longest prefix of config.routes wins; then, if some route has just that exchange as its fixed
 * one, the destination belongs to that route. Fills *out only when DESTINATION_OK. Inside the rest
 * a slash becomes a dot, %2F (upper case, as RabbitMQ has it) a literal slash, %25 a percent sign
 * (RabbitMQ writes it but does not read it back; we do, so that every name that we write finds its
 * way home); any other percent sign stands for itself. A fanout exchange knows no key: of a route
 * with a fixed one the rest is spelling only. */
enum destination_error destination_resolve(const struct config *config, struct slice name,
                                           struct destination *out)
    __attribute__((warn_unused_result));

/* What may be subscribed may not always be sent to: wildcards. */
enum destination_error destination_check_send(const struct destination *d)
    __attribute__((warn_unused_result));

/* The spelling of a destination that comes from AMQP alone: from exchange and key, by the first
 * route that gives this pair back (those with a fixed exchange before those that take any name);
 * "/exchange/<exchange>/<key>" otherwise, "/queue/<key>" for the default exchange. Slashes, percent
 * signs and control bytes are escaped as RabbitMQ does (%2F, %25, %0A). Writes at most `len` bytes,
 * terminated; returns the length, or 0 when it does not fit. */
size_t destination_spell(const struct config *config, struct slice exchange, struct slice key,
                         char *name, size_t len);

/* AMQP topic matching: words are separated by dots, * is one word, # is zero or more. */
bool destination_matches(struct slice pattern, struct slice key);
