#include "tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

struct tls_context {
    SSL_CTX *ssl;
    bool is_server;
};

struct tls {
    SSL *ssl;
    bool has_more;
    bool waits_for_read;
};

static struct tls_context *context_new(const SSL_METHOD *method, bool is_server)
{
    struct tls_context *context = calloc(1, sizeof(*context));
    SSL_CTX *ssl = SSL_CTX_new(method);
    if (!context || !ssl) {
        ERR_print_errors_fp(stderr);
        SSL_CTX_free(ssl);
        free(context);
        return NULL;
    }
    SSL_CTX_set_mode(ssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                              SSL_MODE_RELEASE_BUFFERS);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    /* a record's head and body come with one recv() */
    SSL_CTX_set_read_ahead(ssl, 1);
    *context = (struct tls_context){.ssl = ssl, .is_server = is_server};
    return context;
}

struct tls_context *tls_context_client(void)
{
    struct tls_context *context = context_new(TLS_client_method(), false);
    if (context) {
        SSL_CTX_set_verify(context->ssl, SSL_VERIFY_NONE, NULL);
    }
    return context;
}

struct tls_context *tls_context_server(const char *certificate, const char *key)
{
    struct tls_context *context = context_new(TLS_server_method(), true);
    if (context && (SSL_CTX_use_certificate_chain_file(context->ssl, certificate) != 1 ||
                    SSL_CTX_use_PrivateKey_file(context->ssl, key, SSL_FILETYPE_PEM) != 1)) {
        ERR_print_errors_fp(stderr);
        tls_context_free(context);
        return NULL;
    }
    return context;
}

void tls_context_free(struct tls_context *context)
{
    if (context) {
        SSL_CTX_free(context->ssl);
        free(context);
    }
}

struct tls *tls_new(struct tls_context *context, int fd)
{
    struct tls *tls = calloc(1, sizeof(*tls));
    if (!tls) {
        return NULL;
    }
    tls->ssl = SSL_new(context->ssl);
    if (!tls->ssl || SSL_set_fd(tls->ssl, fd) != 1) {
        tls_free(tls);
        return NULL;
    }
    if (context->is_server) {
        SSL_set_accept_state(tls->ssl);
    } else {
        SSL_set_connect_state(tls->ssl);
    }
    return tls;
}

void tls_free(struct tls *tls)
{
    if (!tls) {
        return;
    }
    ERR_clear_error();
    if (tls->ssl && SSL_is_init_finished(tls->ssl)) {
        (void)SSL_shutdown(tls->ssl);
    }
    SSL_free(tls->ssl);
    free(tls);
}

/* What a call that gave nothing means, in the words of recv() and send(). */
static ssize_t give_up(int error)
{
    int saved = errno;
    switch (error) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        errno = EAGAIN;
        return -1;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    case SSL_ERROR_SYSCALL:
        errno = saved ? saved : ECONNRESET;
        return -1;
    default: /* the protocol was broken, or the end came without a goodbye */
        errno = EPROTO;
        return -1;
    }
}

static int bounded(size_t len)
{
    return len < INT_MAX ? (int)len : INT_MAX;
}

/* Goes on while OpenSSL holds bytes, and not until the socket is empty: epoll will tell, and asking
 * would be a system call for each message. */
ssize_t tls_read(struct tls *tls, void *bytes, size_t len)
{
    size_t taken = 0;
    int n = 0;
    bool is_pending = true;
    ERR_clear_error();
    errno = 0;
    while (taken < len && is_pending &&
           (n = SSL_read(tls->ssl, (char *)bytes + taken, bounded(len - taken))) > 0) {
        taken += (size_t)n;
        is_pending = SSL_has_pending(tls->ssl);
    }
    tls->has_more = taken == len && is_pending;
    return taken > 0 ? (ssize_t)taken : give_up(SSL_get_error(tls->ssl, n));
}

ssize_t tls_write(struct tls *tls, const void *bytes, size_t len)
{
    size_t given = 0;
    int n = 0;
    ERR_clear_error();
    errno = 0;
    while (given < len &&
           (n = SSL_write(tls->ssl, (const char *)bytes + given, bounded(len - given))) > 0) {
        given += (size_t)n;
    }
    int error = given < len ? SSL_get_error(tls->ssl, n) : SSL_ERROR_NONE;
    tls->waits_for_read = error == SSL_ERROR_WANT_READ;
    return given > 0 ? (ssize_t)given : give_up(error);
}

bool tls_has_more(const struct tls *tls)
{
    return tls->has_more;
}

bool tls_waits_for_read(const struct tls *tls)
{
    return tls->waits_for_read;
}
