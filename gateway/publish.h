/* The publishing side of a reactor: its AMQP connection "publish", the exchanges that SENDs go to,
 * and the storage queue that they are bound to. DESIGN sections 4, 6 and 9.
 *
 * Belongs to one loop thread. Callbacks run from the loop, never from inside a call to publish_*.
 */
#pragma once

#include "amqp/broker.h"
#include "common/config.h"
#include "common/wheel.h"
#include "gateway/session/session.h"

#include <stddef.h>
#include <stdint.h>

struct publish;
struct uv_loop_s;

struct publish_host {
    /* A publish_send() that said SESSION_DONE came to its end. */
    void (*settled)(void *reactor, const struct broker_settled *settled);

    /* Who was told SESSION_WAIT may try again. */
    void (*room)(void *reactor);

    /* Of the AMQP connection. */
    void (*state)(void *reactor, enum broker_state state);

    /* Something of ours had been deleted by somebody else and was put back: "queue", "exchange" or
     * "binding". */
    void (*restored)(void *reactor, const char *kind, const char *name);

    /* Where the broker tells of it: anybody deleted an exchange, or (queue.ptr not NULL) a binding
     * of a queue to it. */
    void (*deleted)(void *reactor, struct slice exchange, struct slice queue, struct slice key);
};

struct publish_options {
    struct uv_loop_s *loop;
    const struct config *config;
    struct wheel *wheel;
    const uint64_t *now_ms;
    const char *name; /* of the reactor: "chat-1.0" */
    const struct publish_host *host;
    void *reactor;
};

/* NULL when out of memory. Everything in the options is borrowed. */
struct publish *publish_new(const struct publish_options *options);
void publish_start(struct publish *p);
void publish_stop(struct publish *p, void (*stopped)(void *reactor));
void publish_free(struct publish *p);

/* Gives the message its id and hands it to the broker. `session` comes back in settled.
 * SESSION_WAIT: no room, or the exchange or queue is being declared or looked for; host.room says
 * when to try again. SESSION_REFUSED: *problem. */
enum session_verdict publish_send(struct publish *p, const struct session_send *send,
                                  uint64_t session, struct session_problem *problem);

/* Makes sure that the exchange stands, as a SEND does, for somebody who binds to it. SESSION_WAIT:
 * ask again after host.room. One of the configuration is only looked for: it is kept anyway. */
enum session_verdict publish_exchange(struct publish *p, const struct destination *d,
                                      struct session_problem *problem);

/* Somebody found an exchange gone that a client had named. */
void publish_exchange_gone(struct publish *p, struct slice exchange);

/* The broker's refusal in the words of a session. */
void publish_problem(struct session_problem *problem, uint16_t code, const char *text);

const struct broker *publish_broker(const struct publish *p);

/* How often a storage binding or another thing of ours was found deleted and put back. */
uint64_t publish_restored(const struct publish *p);
