/* Is this the password of that user? Pure but for the CPU time it takes; knows no session and no
 * loop. Safe to call from any thread, because the configuration is immutable.
 *
 * An unknown login costs what a known one costs: it is compared with a stand-in of the same kind.
 * Where any user of the configuration has a password_hash, every login is hashed once, whoever it
 * names. (Users whose hashes have different methods or costs can still be told from each other by
 * time.)
 */
#pragma once

#include "common/config.h"
#include "common/slice.h"

#include <stdbool.h>

enum auth_verdict {
    AUTH_OK,
    AUTH_ANONYMOUS, /* no login was given, and that is allowed */
    AUTH_REFUSED,   /* unknown login, wrong passcode, or no login where one is needed: the client is
                       not told which */
    AUTH_FAILED     /* out of memory */
};

/* login.ptr NULL: none was given. A passcode with ptr NULL is never right. Wipes its copies. */
enum auth_verdict auth_check(const struct config *config, struct slice login, struct slice passcode)
    __attribute__((warn_unused_result));

/* True when auth_check() would take milliseconds: call it off the loop then, with copies of login
 * and passcode. */
bool auth_is_slow(const struct config *config, struct slice login);
