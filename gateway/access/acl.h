/* May this user SEND to, or SUBSCRIBE to, this destination? Pure; from the lists of the
 * destination's route.
 *
 * A list names users; "*" is everybody, "anonymous" who gave no login. An empty list is nobody.
 */
#pragma once

#include "common/slice.h"
#include "gateway/fanout/destination.h"

#include <stdbool.h>

/* `user` as session_user() has it: "anonymous" when no login was given. */
bool acl_may_send(const struct destination *d, struct slice user);

/* Also for reading a destination's history. */
bool acl_may_subscribe(const struct destination *d, struct slice user);
