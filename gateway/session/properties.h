/* From a SEND's headers to AMQP properties. Pure; contracts: rabbitmq-stomp 2.3; threats M1, M2,
 * A8, A31, A32.
 *
 * | header | becomes |
 * |---|---|
 * | content-type, content-encoding, correlation-id, type, app-id | the property of that name |
 * | reply-to | the same, if it is a destination or the bare name of a queue that is not ours |
 * | expiration, timestamp, priority | the same: digits only, in the range that the broker takes |
 * | persistent:true | delivery_mode 2; messages of stored routes always have it |
 * | user-id | nothing when it names the session's user, else an ERROR (1) |
 * | idempotency-key, else message-id | x-stompgate-key; the message's own id is the gateway's |
 * | destination | x-stompgate-destination |
 * | CC, BCC | an ERROR (2) |
 * | receipt, transaction, login, passcode, content-length | nothing |
 * | amqp-message-id, x-stompgate-…, what MESSAGE has from the server | nothing |
 * | x-death and what else only a broker writes, x-death.… | nothing |
 * | any other, those that shape a queue (queue.h) included | a custom header; the first counts |
 *
 * (1) The broker would compare it with the gateway's own.
 * (2) The broker would route by them, past all rights. It knows them in capitals alone: cc is a
 * header like any other.
 *
 * Texts have at most 255 bytes. What the broker would refuse is refused here, with the header's
 * name: one bad property would close a channel that others use.
 */
#pragma once

#include "amqp/broker.h"
#include "common/config.h"
#include "gateway/session/session.h"
#include "stomp/stomp.h"

#define PROPERTIES_DESTINATION "x-stompgate-destination" /* the spelling that the sender used */
#define PROPERTIES_USER "x-stompgate-user"               /* the sender's session_user() */
#define PROPERTIES_KEY "x-stompgate-key"                 /* the sender's idempotency key */
#define PROPERTIES_OWN_PREFIX "x-stompgate-"

#define PROPERTIES_MAX_HEADERS (STOMP_MAX_HEADERS + 3)

/* Borrows from the frame and from `user`. */
struct properties {
    struct broker_properties amqp; /* its headers point at `headers` */
    struct broker_header headers[PROPERTIES_MAX_HEADERS];
};

/* `is_stored`: the route's messages go to the storage queue. 0, or -1 with *problem filled. */
int properties_from_send(const struct config *config, const struct stomp_frame *frame,
                         struct slice user, bool is_stored, struct properties *out,
                         struct session_problem *problem) __attribute__((warn_unused_result));
