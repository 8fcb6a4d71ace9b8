/* May this user SEND to, or SUBSCRIBE to, this destination? Pure; from the lists of the
 * destination's route.
 *
 * A list names users; "*" is everybody, "anonymous" who gave no login. An empty list is nobody.
 */
#pragma once

#include "common/slice.h"
#include "gateway/fanout/destination.h"

#include <stdbool.h>

/* `user` as session_user() has it: "anonymous" when no login was given. Everybody may answer on
 * /reply-queue/ to a queue whose name a server made: who knows the name was asked. A /temp-queue/
 * is for reply-to, and neither sent nor subscribed to by anybody. */
bool acl_may_send(const struct destination *d, struct slice user);

/* Also for reading a destination's history. The queue behind somebody's /temp-queue/
 * ("stomp.gen-…") is nobody else's: those who were asked know its name, and may not take each
 * other's answers. */
bool acl_may_subscribe(const struct destination *d, struct slice user);

/* May this user name queues (x-queue-name), keep them (durable) and shape them (auto-delete,
 * exclusive, x-… arguments) at this destination? What such a queue passes on as a dead letter goes
 * past the lists of other routes. */
bool acl_may_shape(const struct destination *d, struct slice user);
