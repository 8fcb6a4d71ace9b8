/* The TLS side: certificate and key, read and replaced as one, and how handshakes are made. What
 * comes after a handshake is libwebsockets' own, and looks the same as without TLS. */
#include "gateway/transport/transport_internal.h"

#include "common/config.h"
#include "common/log.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TICKET_KEYS_BYTES 80 /* what OpenSSL takes: a name and two keys */

/* Forward secret and authenticated ones alone. AES-128 first: 8 % less work than AES-256, and 20 %
 * less than ChaCha20, which is for those who name it first: they have no AES in hardware. */
#define CIPHERS_1_2 "ECDHE+AESGCM+AES128:ECDHE+AESGCM:ECDHE+CHACHA20"
#define CIPHERS_1_3 "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256"
#define GROUPS "X25519:P-256:P-384"

struct tls_pair {
    atomic_uint n_refs;
    SSL_CTX *holder; /* makes no connections: owns the three below */
    X509 *certificate;
    EVP_PKEY *key;
    STACK_OF(X509) * chain;
    unsigned char ticket_keys[TICKET_KEYS_BYTES]; /* any reactor knows the tickets of all */
};

struct tls {
    struct tls_pair *pair;
    SSL_CTX *context; /* libwebsockets' own */
    SSL_CTX *client;  /* never used: one that libwebsockets made for itself it would not free */
};

/* ---- Certificate and key ---- */

/* The first thing that OpenSSL complained about is the cause, the last is where it was noticed. */
static const char *why(char *text, size_t len)
{
    unsigned long error = ERR_get_error();
    const char *reason = ERR_SYSTEM_ERROR(error) ? strerror((int)ERR_GET_REASON(error))
                                                 : ERR_reason_error_string(error);
    snprintf(text, len, "%s", reason ? reason : "unknown");
    ERR_clear_error();
    return text;
}

/* Nobody is there to be asked for one. */
static int no_passphrase(char *buf, int size, int is_writing, void *user)
{
    (void)buf;
    (void)size;
    (void)is_writing;
    (void)user;
    return -1;
}

static int refuse(const char *file, const char *reason)
{
    log_error("-", "tls.refused", "file=%s error=%s", file, reason);
    return -1;
}

/* OpenSSL's own words for a file that cannot be read name a library, not the cause. */
static int check_readable(const char *file)
{
    FILE *f = fopen(file, "re");
    if (!f) {
        return refuse(file, strerror(errno));
    }
    fclose(f);
    return 0;
}

static int read_files(SSL_CTX *holder, const struct config *c)
{
    char text[256];
    ERR_clear_error();
    SSL_CTX_set_default_passwd_cb(holder, no_passphrase);
    if (check_readable(c->tls.certificate) != 0 || check_readable(c->tls.key) != 0) {
        return -1;
    }
    if (SSL_CTX_use_certificate_chain_file(holder, c->tls.certificate) != 1) {
        return refuse(c->tls.certificate, why(text, sizeof text));
    }
    if (SSL_CTX_use_PrivateKey_file(holder, c->tls.key, SSL_FILETYPE_PEM) != 1) {
        return refuse(c->tls.key, why(text, sizeof text));
    }
    /* A key of another kind than the certificate's is noticed here alone. */
    if (SSL_CTX_check_private_key(holder) != 1) {
        ERR_clear_error();
        return refuse(c->tls.key, "not the key of the certificate");
    }
    return 0;
}

static void log_validity(const X509 *certificate, const char *file)
{
    char day[32] = "?";
    struct tm end;
    const ASN1_TIME *not_after = X509_get0_notAfter(certificate);
    if (ASN1_TIME_to_tm(not_after, &end) == 1) {
        strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%SZ", &end);
    }
    log_info("-", "tls.certificate", "file=%s not_after=%s", file, day);
    if (X509_cmp_current_time(not_after) < 0) {
        log_warn("-", "tls.expired", "file=%s not_after=%s", file, day);
    }
}

struct tls_pair *tls_pair_read(const struct config *c)
{
    struct tls_pair *p = calloc(1, sizeof *p);
    if (!p) {
        return NULL;
    }
    atomic_init(&p->n_refs, 1);
    p->holder = SSL_CTX_new(TLS_server_method());
    if (!p->holder || RAND_priv_bytes(p->ticket_keys, sizeof p->ticket_keys) != 1 ||
        read_files(p->holder, c) != 0) {
        tls_pair_unref(p);
        return NULL;
    }
    p->certificate = SSL_CTX_get0_certificate(p->holder);
    p->key = SSL_CTX_get0_privatekey(p->holder);
    SSL_CTX_get0_chain_certs(p->holder, &p->chain);
    log_validity(p->certificate, c->tls.certificate);
    return p;
}

struct tls_pair *tls_pair_ref(struct tls_pair *p)
{
    atomic_fetch_add(&p->n_refs, 1);
    return p;
}

void tls_pair_unref(struct tls_pair *p)
{
    if (p && atomic_fetch_sub(&p->n_refs, 1) == 1) {
        SSL_CTX_free(p->holder);
        OPENSSL_cleanse(p->ticket_keys, sizeof p->ticket_keys);
        free(p);
    }
}

/* ---- Handshakes ---- */

/* In the middle of each full handshake: the pair that stands now. libwebsockets' context holds
 * none, so that nothing of an old one is left in it (OpenSSL keeps one pair for each kind of key).
 */
static int choose_pair(SSL *ssl, void *tls)
{
    const struct tls_pair *p = ((struct tls *)tls)->pair;
    return p ? SSL_use_cert_and_key(ssl, p->certificate, p->key, p->chain, 1) : 0;
}

int tls_set_up(struct tls *t, void *ssl_ctx)
{
    SSL_CTX *ctx = ssl_ctx;
    t->context = ctx;
    if (SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1 ||
        SSL_CTX_set_cipher_list(ctx, CIPHERS_1_2) != 1 ||
        SSL_CTX_set_ciphersuites(ctx, CIPHERS_1_3) != 1 ||
        SSL_CTX_set1_groups_list(ctx, GROUPS) != 1) {
        return -1;
    }
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets are kept by clients */
    SSL_CTX_set_cert_cb(ctx, choose_pair, t);
    /* One certificate for all names: libwebsockets would look for a vhost of that name. */
    SSL_CTX_set_tlsext_servername_callback(ctx, NULL);
    return 0;
}

struct tls *tls_new(void)
{
    struct tls *t = calloc(1, sizeof *t);
    if (t && !(t->client = SSL_CTX_new(TLS_client_method()))) {
        tls_free(t);
        return NULL;
    }
    return t;
}

void *tls_client_context(struct tls *t)
{
    return t->client;
}

void tls_use(struct tls *t, struct tls_pair *pair)
{
    tls_pair_unref(t->pair);
    t->pair = pair;
    SSL_CTX_set_tlsext_ticket_keys(t->context, pair->ticket_keys, sizeof pair->ticket_keys);
}

void tls_free(struct tls *t)
{
    if (t) {
        tls_pair_unref(t->pair);
        SSL_CTX_free(t->client);
        free(t);
    }
}
