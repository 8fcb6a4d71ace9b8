/* Turns the host names of a connection string into addresses, off the loop. Inside of persist/
 * only. Knows no libpq.
 */
#pragma once

struct uv_loop_s;
struct pg_hosts;

/* On success `error` is NULL and the lists are comma-separated and of equal length, as libpq wants
 * them for host, hostaddr and port; a name with several addresses stands there several times.
 * Borrowed until the callback returns. */
typedef void (*pg_hosts_fn)(void *owner, const char *hosts, const char *addresses,
                            const char *ports, const char *error);

/* `hosts` and `ports` are comma-separated; one port serves all hosts, "" is 5432. A host that
 * begins with "/" or "@" is a Unix socket and gets an empty address. `done` runs once, from the
 * loop. NULL when out of memory; frees itself after `done`. */
struct pg_hosts *pg_hosts_resolve(struct uv_loop_s *loop, const char *hosts, const char *ports,
                                  pg_hosts_fn done, void *owner);
