/* From the name of a destination to the pair it stands for: (exchange, routing key). Pure; DESIGN
 * sections 3 and 13.
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

/* Room for destination_spell(): a prefix, and two parts of which each byte may take three. */
#define DESTINATION_SPELLING_MAX 1700

enum destination_kind {
    DESTINATION_EXCHANGE, /* shared by default; everything with an exchange that has a name */
    /* /queue/N, N without any slash, or a route of type queue with declare: it is declared. */
    DESTINATION_QUEUE,
    /* /amq/queue/N, a route of type queue without declare, or a name that a server made: it
     * exists. */
    DESTINATION_AMQ_QUEUE,
    /* /reply-queue/REST: exists; REST as it stands, slashes and escapes included. */
    DESTINATION_REPLY_QUEUE,
    DESTINATION_TEMP_QUEUE /* /temp-queue/N: only in reply-to; N is no queue's name */
};

/* A queue is reached by the default exchange: exchange "" and its name as the key. */
struct destination {
    enum destination_kind kind;
    /* Of the pair: /exchange/amq.topic/a gets the route of /topic/. Of a queue it is the door that
     * was used: a bare name's is /queue/, /reply-queue/'s is /amq/queue/. Never NULL. */
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
    DESTINATION_MISSING, /* empty */
    DESTINATION_UNKNOWN, /* no route has that prefix */
    /* No rest, no exchange name, a key behind a fanout exchange or behind a queue's name. */
    DESTINATION_INVALID,
    DESTINATION_CONTROL,  /* a byte below 0x20 or 0x7f */
    DESTINATION_TOO_LONG, /* exchange or key over 255 bytes */
    DESTINATION_WILDCARD, /* destination_check_send() only */
    /* amq.* where we would have to declare it; amq.rabbitmq.* (trace, events, log) always. */
    DESTINATION_RESERVED,
    DESTINATION_OURS,          /* a queue for which destination_is_own_queue() */
    DESTINATION_TEMP_SEND,     /* destination_check_send() only */
    DESTINATION_TEMP_SUBSCRIBE /* destination_check_subscribe() only */
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
 * with a fixed one the rest is spelling only. A queue's name is one part without a slash. */
enum destination_error destination_resolve(const struct config *config, struct slice name,
                                           struct destination *out)
    __attribute__((warn_unused_result));

/* What may be subscribed may not always be sent to: wildcards. /temp-queue/ is for neither. */
enum destination_error destination_check_send(const struct destination *d)
    __attribute__((warn_unused_result));
enum destination_error destination_check_subscribe(const struct destination *d)
    __attribute__((warn_unused_result));

/* The queues that no client reaches by any spelling, whatever the routes say: the storage queue,
 * the dead queue, "stompgate.…" (a gateway's live queues), and "amq.…" but for "amq.gen-…". */
bool destination_is_own_queue(const struct config *config, struct slice queue);

/* "amq.gen-…", made by the broker, and "stomp.gen-…", made by a gateway for a /temp-queue/: who
 * knows such a name was told it. */
bool destination_is_server_named(struct slice queue);

/* The spelling of a destination that comes from AMQP alone: from exchange and key, by the first
 * route that gives this pair back (those with a fixed exchange before those that take any name);
 * "/exchange/<exchange>/<key>" otherwise, "/queue/<key>" for the default exchange (or the first
 * route of type queue that gives it back, where /queue/ was made another type). Slashes, percent
 * signs and control bytes are escaped as RabbitMQ does (%2F, %25, %0A). Writes at most `len` bytes,
 * terminated; returns the length, or 0 when it does not fit. */
size_t destination_spell(const struct config *config, struct slice exchange, struct slice key,
                         char *name, size_t len);

/* AMQP topic matching: words are separated by dots, * is one word, # is zero or more. */
bool destination_matches(struct slice pattern, struct slice key);
