#include "gateway/transport/http_internal.h"

#include "common/id.h"
#include "gateway/access/acl.h"
#include "gateway/access/auth.h"
#include "gateway/fanout/destination.h"
#include "gateway/reactor.h"
#include "persist/history.h"
#include "stomp/stomp.h"

#include <jansson.h>
#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <uv.h>

#define DEFAULT_LIMIT 50
#define NAME_MAX_BYTES 1024
#define JSON_TYPE "application/json; charset=utf-8"

/* What was asked, while credentials are checked and rows are read. */
struct ask {
    uv_work_t work;
    struct transport *transport;
    uint64_t answer;
    char name[NAME_MAX_BYTES];
    unsigned limit;
    struct id before;
    char login[256]; /* "login", NUL, "passcode" */
    struct slice user;
    struct slice passcode;
    enum auth_verdict verdict;
};

static int give_error(struct http_answer *a, unsigned status, const char *error)
{
    json_t *object = json_pack("{s:s}", "error", error);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    metrics_add(&a->transport->reactor->metrics, METRIC_HISTORY_FAILED, 1);
    return http_answer_give(a, status, JSON_TYPE, text);
}

/* What is given outside a libwebsockets callback cannot be returned to it. */
static void end_if_failed(struct lws *wsi, int result)
{
    if (result != 0 && wsi) {
        lws_set_timeout(wsi, PENDING_TIMEOUT_HTTP_CONTENT, LWS_TO_KILL_ASYNC);
        shutdown(lws_get_socket_fd(wsi),
                 SHUT_RDWR); /* or it would not be noticed before something happens on it */
    }
}

/* ---- Rows to JSON ---- */

static json_t *text_or_null(struct slice s)
{
    json_t *text = s.ptr ? json_stringn(s.ptr, s.len) : NULL;
    return text ? text : json_null();
}

static void set_body(json_t *object, struct slice body)
{
    json_t *text =
        stomp_is_utf8(body.ptr, body.len) ? json_stringn(body.ptr ? body.ptr : "", body.len) : NULL;
    if (text) {
        json_object_set_new(object, "body", text);
        return;
    }
    int cap = (int)(body.len * 4 / 3 + 8);
    char *base64 = malloc((size_t)cap);
    if (base64 && lws_b64_encode_string(body.ptr, (int)body.len, base64, cap) >= 0) {
        json_object_set_new(object, "body_base64", json_string(base64));
    }
    free(base64);
}

static json_t *row_json(const struct config *config, const struct history_row *row)
{
    char id[ID_TEXT_LEN + 1];
    char sent[40];
    char spelling[DESTINATION_SPELLING_MAX];
    id_text(row->id, id);
    time_t seconds = (time_t)(row->sent_unix_ms / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    size_t n = strftime(sent, sizeof sent, "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(sent + n, sizeof sent - n, ".%03uZ", (unsigned)(row->sent_unix_ms % 1000));
    struct slice destination = row->destination;
    if (!destination.ptr) {
        size_t len =
            destination_spell(config, row->exchange, row->routing_key, spelling, sizeof spelling);
        destination = (struct slice){spelling, len};
    }
    json_t *object = json_object();
    json_object_set_new(object, "id", json_string(id));
    json_object_set_new(object, "destination", text_or_null(destination));
    json_object_set_new(object, "sender", text_or_null(row->sender));
    json_object_set_new(object, "content_type", text_or_null(row->content_type));
    json_t *headers = json_loadb(row->headers.ptr, row->headers.len, 0, NULL);
    json_object_set_new(object, "headers", headers ? headers : json_object());
    set_body(object, row->body);
    json_object_set_new(object, "sent_at", json_string(sent));
    return object;
}

static char *rows_text(const struct config *config, const struct history_row *rows, size_t n)
{
    json_t *messages = json_array();
    for (size_t i = 0; i < n; i++) {
        json_array_append_new(messages, row_json(config, &rows[i]));
    }
    json_t *object = json_object();
    json_object_set_new(object, "messages", messages);
    char *text = json_dumps(object, JSON_COMPACT);
    json_decref(object);
    return text;
}

/* Written once for all who wait for this answer; kept in the transport until the last has it. */
static char *shared_text(struct transport *t, const struct history_row *rows, size_t n)
{
    uint64_t answer = history_answer(t->reactor->history);
    if (!t->history_text || t->history_answer != answer) {
        free(t->history_text);
        t->history_text = rows_text(t->reactor->config, rows, n);
        t->history_answer = answer;
    }
    return t->history_text;
}

static void drop_shared_text(struct transport *t)
{
    if (history_is_last(t->reactor->history)) {
        free(t->history_text);
        t->history_text = NULL;
    }
}

static void on_rows(void *owner, uint64_t cookie, const struct history_row *rows, size_t n,
                    const char *error)
{
    struct transport *t = owner;
    struct http_answer *a = http_answer_find(t, cookie);
    if (!a) {
        drop_shared_text(t);
        return;
    }
    struct lws *wsi = a->connection ? a->connection->wsi : NULL;
    if (error) {
        end_if_failed(wsi, give_error(a, HTTP_STATUS_SERVICE_UNAVAILABLE, error));
        return;
    }
    char *text = shared_text(t, rows, n);
    if (history_is_last(t->reactor->history)) {
        t->history_text = NULL;
    } else if (text) {
        text = strdup(text);
    }
    end_if_failed(wsi, http_answer_give(a, HTTP_STATUS_OK, JSON_TYPE, text));
}

/* ---- Questions ---- */

static int read_rows(struct ask *ask, struct http_answer *a)
{
    struct reactor *r = a->transport->reactor;
    struct destination d;
    enum destination_error error = destination_resolve(r->config, slice_of(ask->name), &d);
    if (error == DESTINATION_OK) {
        error = destination_check_send(&d); /* one destination, no wildcards */
    }
    if (error != DESTINATION_OK) {
        char body[256];
        destination_error_body(error, slice_of(ask->name), body, sizeof body);
        return give_error(a, HTTP_STATUS_BAD_REQUEST, body);
    }
    struct slice user = ask->verdict == AUTH_ANONYMOUS ? SLICE_LITERAL("anonymous") : ask->user;
    if (ask->verdict != AUTH_OK && ask->verdict != AUTH_ANONYMOUS) {
        return give_error(a, HTTP_STATUS_UNAUTHORIZED, "login and password are needed, or wrong");
    }
    if (!acl_may_subscribe(&d, user)) {
        return give_error(a, HTTP_STATUS_FORBIDDEN, "you may not read this destination");
    }
    if (!d.route->store) {
        return give_error(a, HTTP_STATUS_NOT_FOUND, "this destination is not stored");
    }
    struct history_query query = {
        .exchange = d.exchange,
        .routing_key = {d.key, d.key_len},
        .is_any_key = d.route->type == CONFIG_FANOUT,
        .before = ask->before,
        .limit = ask->limit,
    };
    metrics_add(&r->metrics, METRIC_HISTORY_READS, 1);
    if (!r->history || history_read(r->history, &query, on_rows, a->transport, a->id) != 0) {
        return give_error(a, HTTP_STATUS_SERVICE_UNAVAILABLE, "history is not available now");
    }
    return 0;
}

static void check_login(uv_work_t *work)
{
    struct ask *ask = work->data;
    ask->verdict = auth_check(ask->transport->reactor->config, ask->user, ask->passcode);
}

static void login_checked(uv_work_t *work, int status)
{
    struct ask *ask = work->data;
    (void)status;
    struct http_answer *a = http_answer_find(ask->transport, ask->answer);
    if (a) {
        struct lws *wsi = a->connection ? a->connection->wsi : NULL;
        end_if_failed(wsi, read_rows(ask, a));
    }
    free(ask);
}

/* "Authorization: Basic base64(login:passcode)"; 0 also when there is none. */
static int read_credentials(struct lws *wsi, struct ask *ask)
{
    char header[400];
    if (lws_hdr_total_length(wsi, WSI_TOKEN_HTTP_AUTHORIZATION) == 0) {
        return 0;
    }
    int n = lws_hdr_copy(wsi, header, sizeof header, WSI_TOKEN_HTTP_AUTHORIZATION);
    if (n < 6 || strncmp(header, "Basic ", 6) != 0) {
        return -1;
    }
    int len = lws_b64_decode_string(header + 6, ask->login, (int)sizeof ask->login - 1);
    char *colon = len > 0 ? memchr(ask->login, ':', (size_t)len) : NULL;
    if (!colon) {
        return -1;
    }
    ask->user = (struct slice){ask->login, (size_t)(colon - ask->login)};
    ask->passcode = (struct slice){colon + 1, (size_t)(ask->login + len - colon - 1)};
    return 0;
}

static int read_question(struct lws *wsi, struct ask *ask, unsigned max_rows)
{
    char value[64];
    const char *name = lws_get_urlarg_by_name(wsi, "destination=", ask->name, sizeof ask->name);
    if (!name) {
        return -1;
    }
    memmove(ask->name, name, strlen(name) + 1);
    ask->limit = DEFAULT_LIMIT < max_rows ? DEFAULT_LIMIT : max_rows;
    const char *limit = lws_get_urlarg_by_name(wsi, "limit=", value, sizeof value);
    if (limit) {
        char *end;
        unsigned long n = strtoul(limit, &end, 10);
        if (*limit < '0' || *limit > '9' || *end || n == 0) {
            return -1;
        }
        ask->limit = n < max_rows ? (unsigned)n : max_rows;
    }
    const char *before = lws_get_urlarg_by_name(wsi, "before=", value, sizeof value);
    return before ? id_parse(slice_of(before), &ask->before) : 0;
}

int http_history(struct connection *c)
{
    struct transport *t = c->transport;
    struct http_answer *a = http_answer_new(c);
    struct ask *ask = calloc(1, sizeof *ask);
    if (!a || !ask) {
        free(ask);
        return -1;
    }
    ask->transport = t;
    ask->answer = a->id;
    ask->work.data = ask;
    const struct config *config = t->reactor->config;
    int result;
    if (read_question(c->wsi, ask, (unsigned)config->history.max_rows) != 0) {
        result =
            give_error(a, HTTP_STATUS_BAD_REQUEST,
                       "needed: destination=/topic/…; allowed: limit=1…, before=<id of a message>");
    } else if (read_credentials(c->wsi, ask) != 0) {
        result = give_error(a, HTTP_STATUS_BAD_REQUEST,
                            "Authorization is not of the form Basic base64(login:password)");
    } else if (ask->user.ptr && auth_is_slow(config, ask->user) &&
               uv_queue_work(t->reactor->loop, &ask->work, check_login, login_checked) == 0) {
        return 0;
    } else {
        ask->verdict = auth_check(config, ask->user, ask->passcode);
        result = read_rows(ask, a);
    }
    free(ask);
    return result;
}
