/* GET on our own paths: /healthz, /readyz, /metrics, and /history (http_history.c makes its
 * answer). */
#include "gateway/transport/http_internal.h"

#include "gateway/reactor.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

#define ANSWER_TIMEOUT_S 20

struct http_answer *http_answer_new(struct connection *c)
{
    struct http_answer *a = calloc(1, sizeof *a);
    if (a) {
        a->id = ++c->transport->last_answer;
        a->transport = c->transport;
        a->connection = c;
        list_push(&c->transport->answers, &a->node);
        c->answer = a;
    }
    return a;
}

void http_answer_free(struct http_answer *a)
{
    list_remove(&a->node);
    if (a->connection) {
        a->connection->answer = NULL;
    }
    free(a->body);
    free(a);
}

struct http_answer *http_answer_find(struct transport *t, uint64_t id)
{
    for (struct list *n = t->answers.next; n != &t->answers; n = n->next) {
        struct http_answer *a = LIST_OWNER(n, struct http_answer, node);
        if (a->id == id) {
            return a;
        }
    }
    return NULL;
}

static int add_header(struct lws *wsi, enum lws_token_indexes token, const char *value,
                      unsigned char **p, unsigned char *end)
{
    return lws_add_http_header_by_token(wsi, token, (const unsigned char *)value,
                                        (int)strlen(value), p, end);
}

/* The header block; the body follows when the socket takes it. */
static int write_head(struct http_answer *a)
{
    struct lws *wsi = a->connection->wsi;
    unsigned char mem[LWS_PRE + 1024];
    unsigned char *start = mem + LWS_PRE;
    unsigned char *p = start;
    unsigned char *end = mem + sizeof mem - 1;
    if (lws_add_http_common_headers(wsi, a->status, a->type, a->len, &p, end) != 0 ||
        add_header(wsi, WSI_TOKEN_HTTP_CACHE_CONTROL, "no-store", &p, end) != 0 ||
        (a->status == HTTP_STATUS_UNAUTHORIZED &&
         add_header(wsi, WSI_TOKEN_HTTP_WWW_AUTHENTICATE, "Basic realm=\"stompgate\"", &p, end) !=
             0) ||
        (a->status == HTTP_STATUS_UPGRADE_REQUIRED &&
         add_header(wsi, WSI_TOKEN_UPGRADE, "websocket", &p, end) != 0)) {
        return -1;
    }
    return lws_finalize_write_http_header(wsi, start, &p, end);
}

int http_answer_give(struct http_answer *a, unsigned status, const char *type, char *body)
{
    a->status = status;
    a->type = type;
    a->body = body;
    a->len = body ? strlen(body) : 0;
    a->is_ready = true;
    if (!a->connection) {
        http_answer_free(a); /* the client left meanwhile */
        return -1;
    }
    if (!body || write_head(a) != 0) {
        return -1;
    }
    lws_callback_on_writable(a->connection->wsi);
    return 0;
}

int http_writeable(struct connection *c)
{
    struct http_answer *a = c->answer;
    if (!a || !a->is_ready) {
        return 0;
    }
    size_t n = a->len - a->sent < HTTP_CHUNK_BYTES ? a->len - a->sent : HTTP_CHUNK_BYTES;
    unsigned char mem[LWS_PRE + HTTP_CHUNK_BYTES];
    memcpy(mem + LWS_PRE, a->body + a->sent, n);
    a->sent += n;
    bool is_last = a->sent == a->len;
    if (lws_write(c->wsi, mem + LWS_PRE, n, is_last ? LWS_WRITE_HTTP_FINAL : LWS_WRITE_HTTP) < 0) {
        return -1;
    }
    if (!is_last) {
        lws_callback_on_writable(c->wsi);
        return 0;
    }
    http_answer_free(a);
    return lws_http_transaction_completed(c->wsi) ? -1 : 0;
}

void http_closed(struct connection *c)
{
    struct http_answer *a = c->answer;
    if (!a) {
        return;
    }
    a->connection = NULL;
    c->answer = NULL;
    if (a->is_ready) {
        http_answer_free(a); /* else whoever is making it finds nobody to give it to */
    }
}

static int give_text(struct connection *c, unsigned status, const char *type, const char *text)
{
    struct http_answer *a = http_answer_new(c);
    return a ? http_answer_give(a, status, type, text ? strdup(text) : NULL) : -1;
}

static int give_metrics(struct connection *c)
{
    struct http_answer *a = http_answer_new(c);
    return a ? http_answer_give(
                   a, HTTP_STATUS_OK, "text/plain; version=0.0.4; charset=utf-8",
                   metrics_text(c->transport->siblings, (size_t)c->transport->n_siblings))
             : -1;
}

int http_request(struct connection *c, const char *uri)
{
    (void)uri; /* lws gives it without the mount point */
    char path[64];
    struct reactor *r = c->transport->reactor;
    c->answer = NULL;
    if (lws_hdr_total_length(c->wsi, WSI_TOKEN_GET_URI) == 0) {
        return give_text(c, HTTP_STATUS_METHOD_NOT_ALLOWED, "text/plain",
                         "Only GET is answered here.\n");
    }
    if (lws_hdr_copy(c->wsi, path, sizeof path, WSI_TOKEN_GET_URI) < 0) {
        return give_text(c, HTTP_STATUS_NOT_FOUND, "text/plain", "Not found.\n");
    }
    if (strcmp(path, "/healthz") == 0) {
        return give_text(c, HTTP_STATUS_OK, "text/plain", "ok\n");
    }
    if (strcmp(path, "/readyz") == 0) {
        return reactor_is_ready(r)
                   ? give_text(c, HTTP_STATUS_OK, "text/plain", "ready\n")
                   : give_text(c, HTTP_STATUS_SERVICE_UNAVAILABLE, "text/plain",
                               r->is_draining ? "going down\n" : "broker not available\n");
    }
    if (strcmp(path, "/metrics") == 0) {
        return give_metrics(c);
    }
    if (strcmp(path, "/history") == 0) {
        lws_set_timeout(c->wsi, PENDING_TIMEOUT_HTTP_CONTENT, ANSWER_TIMEOUT_S);
        return http_history(c);
    }
    if (handshake_is_our_path(r, slice_of(path))) {
        return give_text(c, HTTP_STATUS_UPGRADE_REQUIRED, "text/plain",
                         "This is a WebSocket endpoint.\n");
    }
    return give_text(c, HTTP_STATUS_NOT_FOUND, "text/plain", "Not found.\n");
}
