/* May a page of this origin open a WebSocket here (RFC 6454, RFC 6455 section 10.2)? Pure.
 *
 * Entries of gateway.origins are [scheme://]host[:port], compared without regard to case:
 *
 *     a scheme        only that one; else http and https
 *     a port          only that one; else the scheme's own
 *     host            exactly that one; "*.example.com" is any host below it, not itself
 *     a single star   every origin that is well formed
 *
 * Other schemes (capacitor://localhost of an app) must be listed with their scheme.
 *
 * Always allowed: the same origin, that is, the Origin's host and port are those of the Host header
 * (the scheme's own port where none is written). Over TLS that is https alone; without, TLS may end
 * before us, so http and https both count. Always refused: "null", an empty one, and whatever is
 * not exactly scheme://host[:port].
 */
#pragma once

#include "common/config.h"
#include "common/slice.h"

#include <stdbool.h>

/* `origin` and `host` are the values of the request's headers, ptr NULL when absent. Clients that
 * are no browser send no Origin: they are allowed unless gateway.require_origin. More than one
 * Origin header: pass them joined, they are refused. `is_tls`: the request came over TLS. */
bool origin_is_allowed(const struct config *config, struct slice origin, struct slice host,
                       bool is_tls);
