/* TLS under a non-blocking socket, with OpenSSL, for both sides: tls_read() and tls_write() are
 * recv() and send() with the same answers, and the handshake happens within them. Nothing is
 * verified.
 *
 * A context may be shared by threads; a struct tls belongs to the thread of its socket.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct tls_context;
struct tls;

/* NULL with a message on stderr. The server's are PEM files. */
struct tls_context *tls_context_client(void);
struct tls_context *tls_context_server(const char *certificate, const char *key);
void tls_context_free(struct tls_context *context);

/* Borrows the socket, which outlives it. NULL when out of memory. */
struct tls *tls_new(struct tls_context *context, int fd);

/* Says goodbye, if it can be said at once. NULL is nothing. */
void tls_free(struct tls *tls);

/* More than 0: so many bytes; 0: the end of the stream; -1: errno, EAGAIN when the socket has to
 * become ready. tls_read() leaves nothing behind that epoll does not know of, unless
 * tls_has_more(). */
ssize_t tls_read(struct tls *tls, void *bytes, size_t len);
ssize_t tls_write(struct tls *tls, const void *bytes, size_t len);

/* There is more to read that epoll does not know of: the last tls_read() filled its buffer. */
bool tls_has_more(const struct tls *tls);

/* The last tls_write() waits for the other side to say something: write again after a tls_read(),
 * and not when the socket takes bytes. */
bool tls_waits_for_read(const struct tls *tls);
