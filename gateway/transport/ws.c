/* The WebSocket side: a table of translations between libwebsockets' callbacks and the client. */
#include "gateway/transport/transport_internal.h"

#include "common/log.h"
#include "gateway/client.h"
#include "gateway/reactor.h"

#include <libwebsockets.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define RX_BUFFER_BYTES 2048
#define KEEP_ALIVE_S 5

/* ---- Out ---- */

/* Ends the socket. libwebsockets notices when it next looks at it: its own time-outs are not armed
 * anew from outside its callbacks. */
static void failed(struct connection *c)
{
    c->has_failed = true;
    lws_set_timeout(c->wsi, PENDING_TIMEOUT_USER_REASON_BASE, LWS_TO_KILL_ASYNC);
    shutdown(lws_get_socket_fd(c->wsi), SHUT_RDWR);
}

/* Nothing goes out any more, and nothing is taken: the socket has failed, or libwebsockets sends a
 * close frame of its own (1002, 1007). Then it waits up to five seconds for the answer, and as long
 * the client lives and stays in its rooms. */
static bool is_over(const struct connection *c)
{
    return c->has_failed || lws_get_close_length(c->wsi) > 0;
}

/* What goes out in one write: as many messages as fit, whole but for the first, which may have been
 * begun, and may be longer than a write. `n` is how many of them it ends. A single one goes from
 * where it stands. */
static const uint8_t *gather(const struct outq *q, uint8_t *scratch, uint32_t *n, size_t *len)
{
    const struct message *first = outq_at(q, 0);
    size_t rest = first->len - q->first_off;
    if (rest >= REACTOR_SCRATCH_BYTES || q->n == 1) {
        *len = rest < REACTOR_SCRATCH_BYTES ? rest : REACTOR_SCRATCH_BYTES;
        *n = *len == rest;
        return first->bytes + q->first_off;
    }
    memcpy(scratch, first->bytes + q->first_off, rest);
    *len = rest;
    for (*n = 1; *n < q->n && *len + outq_at(q, *n)->len <= REACTOR_SCRATCH_BYTES; (*n)++) {
        const struct message *m = outq_at(q, *n);
        memcpy(scratch + *len, m->bytes, m->len);
        *len += m->len;
    }
    return scratch;
}

/* Pre-framed messages as LWS_WRITE_RAW, several in one write, and never while libwebsockets still
 * holds a part of the last. While it does, it waits for the socket by itself and then calls back:
 * lws_callback_on_writable() would only cost two epoll_ctl, for each message that a client does not
 * read. */
static void connection_flush(void *connection)
{
    struct connection *c = connection;
    struct outq *q = client_outq(c->client);
    if (is_over(c)) {
        return;
    }
    c->is_buffering = lws_partial_buffered(c->wsi);
    while (q->n > 0 && !c->is_buffering) {
        uint32_t n;
        size_t len;
        const uint8_t *bytes = gather(q, c->transport->reactor->scratch, &n, &len);
        /* RAW is sent as it stands: libwebsockets neither masks it nor writes in front of it. */
        if (lws_write(c->wsi, (unsigned char *)(uintptr_t)bytes, len, LWS_WRITE_RAW) < 0) {
            failed(c);
            return;
        }
        c->is_buffering = lws_partial_buffered(c->wsi);
        client_wrote(c->client, n, len);
    }
}

static bool connection_is_buffering(void *connection)
{
    return ((struct connection *)connection)->is_buffering;
}

static void heard(struct connection *c)
{
    struct reactor *r = c->transport->reactor;
    quiet_heard(&c->quiet, &r->wheel, r->now_ms);
}

static void connection_read(void *connection, bool wanted)
{
    struct connection *c = connection;
    c->is_wanted = wanted;
    list_remove(&c->reading);
    list_push(&c->transport->reading, &c->reading);
    heard(c);
}

/* The close frame is one more message behind all others. libwebsockets' own (lws_close_reason and
 * -1 from the writeable callback) kills the socket without sending it. The peer answers with its
 * close frame, or is cut after the linger. */
static void connection_close(void *connection, int code, const char *reason)
{
    struct connection *c = connection;
    struct message *m = message_new_close(code, reason);
    c->is_closing = true;
    if (!m || outq_push_own(client_outq(c->client), m) != OUTQ_OK) {
        failed(c);
    }
}

static void connection_cut(void *connection)
{
    failed(connection);
}

static const struct transport_functions functions = {
    .flush = connection_flush,
    .read = connection_read,
    .close = connection_close,
    .cut = connection_cut,
    .is_buffering = connection_is_buffering,
};

void transport_turn(struct transport *t)
{
    while (!list_is_empty(&t->reading)) {
        struct connection *c = LIST_OWNER(t->reading.next, struct connection, reading);
        list_remove(&c->reading);
        if (!c->has_failed) {
            lws_rx_flow_control(c->wsi, c->is_wanted);
        }
    }
}

/* ---- Quiet ---- */

/* Past the out queue where nothing waits in it: what goes out from there puts off the next
 * heart-beat, of which a PING is none. */
static void ping(struct connection *c)
{
    static const unsigned char frame[] = {0x89, 0}; /* RFC 6455 section 5.5.2 */
    struct outq *q = client_outq(c->client);
    if (q->n == 0 && !lws_partial_buffered(c->wsi)) {
        if (lws_write(c->wsi, (unsigned char *)(uintptr_t)frame, sizeof frame, LWS_WRITE_RAW) < 0) {
            failed(c);
        }
        return;
    }
    struct message *m = message_new_ping();
    if (!m || outq_push_own(q, m) == OUTQ_MEMORY) {
        failed(c); /* a queue that is full of answers is judged by its stall */
    }
}

static void on_quiet(struct wheel_timer *timer, uint64_t now_ms)
{
    struct connection *c = LIST_OWNER(timer, struct connection, quiet.timer);
    if (is_over(c) || c->is_closing) {
        return; /* it ends by its linger, or libwebsockets' */
    }
    switch (quiet_look(&c->quiet, &c->transport->reactor->wheel, now_ms, !c->is_wanted)) {
    case QUIET_WAIT:
        return;
    case QUIET_PING:
        ping(c);
        return;
    case QUIET_HANG_UP:
        failed(c);
        return;
    }
}

/* ---- Open ---- */

static int established(struct connection *c, struct lws *wsi)
{
    struct reactor *r = lws_context_user(lws_get_context(wsi));
    memset(c, 0, sizeof *c);
    c->transport = r->transport;
    c->wsi = wsi;
    c->is_wanted = true;
    list_init(&c->reading);
    c->client = client_new(r, &r->settings, &functions, c, handshake_done(wsi));
    if (!c->client) {
        return -1;
    }
    quiet_begin(&c->quiet, &r->wheel, on_quiet, r->now_ms);
    return 0;
}

/* ---- In ---- */

static int refuse_text(struct connection *c)
{
    static unsigned char why[] = "text that is not UTF-8";
    lws_close_reason(c->wsi, LWS_CLOSE_STATUS_INVALID_PAYLOAD, why, sizeof why - 1);
    return -1;
}

static int receive(struct connection *c, void *bytes, size_t len)
{
    heard(c);
    if (c->is_closing || is_over(c)) {
        return 0; /* the session has ended; what still comes is not read */
    }
    if (lws_is_first_fragment(c->wsi)) {
        c->n_fragments = 0;
        c->text = (struct stomp_utf8){0};
    }
    /* Frames, not callbacks: a long frame comes in many pieces, an empty continuation frame in one.
     */
    c->n_fragments += lws_remaining_packet_payload(c->wsi) == 0;
    if (c->n_fragments > (uint32_t)c->transport->reactor->config->limits.fragments) {
        client_refuse(c->client, CLOSE_LIMIT, "Too many fragments in one WebSocket message");
        return 0;
    }
    if (!lws_frame_is_binary(c->wsi) &&
        !stomp_utf8_feed(&c->text, bytes, len, lws_is_final_fragment(c->wsi))) {
        return refuse_text(c);
    }
    client_received(c->client, bytes, len);
    return 0;
}

static void writeable(struct connection *c)
{
    if (!lws_partial_buffered(c->wsi)) {
        client_flushed(c->client);
    }
    connection_flush(c);
}

/* The answer to our close frame needs no answer. But a peer that says DISCONNECT and closes in one
 * breath has not had ours yet: it goes out first. A reason is text (RFC 6455 section 5.5.1), and
 * libwebsockets would send it back. */
static int peer_closes(struct connection *c, const char *payload, size_t len)
{
    if (!c->is_closing) {
        return len > 2 && !stomp_is_utf8(payload + 2, len - 2) ? refuse_text(c) : 0;
    }
    connection_flush(c);
    return -1;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
                    size_t len)
{
    struct connection *c = user;
    switch (reason) {
    case LWS_CALLBACK_OPENSSL_LOAD_EXTRA_SERVER_VERIFY_CERTS: /* makes the vhost of TLS */
        return tls_set_up(lws_vhost_user(in), user);
    case LWS_CALLBACK_HTTP_CONFIRM_UPGRADE:
        return handshake_confirm(wsi);
    case LWS_CALLBACK_RAW_ADOPT:
        return -1; /* "CONNECT x HTTP/1.1" and the like: no raw sockets */
    case LWS_CALLBACK_ESTABLISHED:
        return established(c, wsi);
    case LWS_CALLBACK_RECEIVE:
        return c->client ? receive(c, in, len) : -1;
    case LWS_CALLBACK_RECEIVE_PONG:
        if (c->client) {
            heard(c);
            client_alive(c->client);
        }
        return 0;
    case LWS_CALLBACK_SERVER_WRITEABLE:
        if (c->client) {
            writeable(c);
        }
        return 0;
    case LWS_CALLBACK_WS_PEER_INITIATED_CLOSE:
        return peer_closes(c, in, len);
    case LWS_CALLBACK_CLOSED:
        if (c->client) {
            list_remove(&c->reading);
            quiet_end(&c->quiet, &c->transport->reactor->wheel);
            client_gone(c->client);
            c->client = NULL;
        }
        return 0;
    case LWS_CALLBACK_HTTP:
        c->transport = ((struct reactor *)lws_context_user(lws_get_context(wsi)))->transport;
        c->wsi = wsi;
        handshake_done(wsi); /* what follows on this socket has libwebsockets' time-outs */
        return http_request(c, in);
    case LWS_CALLBACK_HTTP_WRITEABLE:
        return http_writeable(c);
    case LWS_CALLBACK_CLOSED_HTTP:
    case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
        if (c) {
            http_closed(c);
        }
        return 0;
    case LWS_CALLBACK_HTTP_FILE_COMPLETION:
        return lws_http_transaction_completed(wsi) ? -1 : 0;
    case LWS_CALLBACK_WSI_DESTROY:
        handshake_gone(wsi);
        return 0;
    default: /* a hundred other reasons, all with the meaning "go on" */
        return 0;
    }
}

/* ---- The context ---- */

/* A blank cannot stand in a name of Sec-WebSocket-Protocol, so nobody can ask for it. */
#define HTTP_PROTOCOL "http, not a subprotocol"

static const char *const our_paths[] = {"/healthz", "/readyz", "/metrics", "/history"};
#define N_PATHS (sizeof our_paths / sizeof our_paths[0])

static void emit_log(int level, const char *line)
{
    size_t len = strcspn(line, "\n");
    if (level == LLL_ERR) {
        log_error("-", "websockets", "%.*s", (int)len, line);
    } else {
        log_warn("-", "websockets", "%.*s", (int)len, line);
    }
}

static struct lws_protocols *make_protocols(void)
{
    struct lws_protocols *p = calloc(HANDSHAKE_VERSIONS + 2, sizeof *p);
    for (unsigned i = 0; p && i <= HANDSHAKE_VERSIONS; i++) {
        p[i].name = i < HANDSHAKE_VERSIONS ? handshake_versions[i] : HTTP_PROTOCOL;
        p[i].callback = callback;
        p[i].per_session_data_size = sizeof(struct connection);
        p[i].rx_buffer_size = RX_BUFFER_BYTES;
        p[i].id = i;
        p[i].tx_packet_size = 1 << 20; /* else one write is cut at rx_buffer_size */
    }
    return p;
}

/* Our own paths, the WebSocket's (GET without Upgrade), and the files under everything else. */
static struct lws_http_mount *make_mounts(const struct config *config)
{
    struct lws_http_mount *m = calloc(N_PATHS + 2, sizeof *m);
    if (!m) {
        return NULL;
    }
    size_t n = N_PATHS + 1 + (config->gateway.files[0] != 0);
    for (size_t i = 0; i < n; i++) {
        const char *at = i < N_PATHS ? our_paths[i] : i == N_PATHS ? config->gateway.path : "/";
        bool is_files = i > N_PATHS;
        m[i].mount_next = i + 1 < n ? &m[i + 1] : NULL;
        m[i].mountpoint = at;
        m[i].mountpoint_len = (unsigned char)strlen(at);
        m[i].origin = is_files ? config->gateway.files : HTTP_PROTOCOL;
        m[i].def = is_files ? "index.html" : NULL;
        m[i].protocol = HTTP_PROTOCOL;
        m[i].origin_protocol = is_files ? LWSMPRO_FILE : LWSMPRO_CALLBACK;
    }
    return m;
}

/* In the same context: a reactor has one. OpenSSL's part of it is set up by tls.c, from the
 * callback that libwebsockets has for that. */
static int make_tls_vhost(struct transport *t, struct lws_context_creation_info *info)
{
    t->tls = tls_new();
    if (!t->tls) {
        return -1;
    }
    info->vhost_name = "tls";
    info->user = t->tls;
    info->provided_client_ssl_ctx = tls_client_context(t->tls);
    info->options |= LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_CREATE_VHOST_SSL_CTX;
    t->tls_vhost = lws_create_vhost(t->context, info);
    return t->tls_vhost ? 0 : -1;
}

static int make_context(struct transport *t)
{
    static const lws_retry_bo_t none = {.secs_since_valid_hangup = 0}; /* quiet.h has it */
    const struct config *config = t->reactor->config;
    struct lws_context_creation_info info = {
        .port = CONTEXT_PORT_NO_LISTEN_SERVER,
        .protocols = t->protocols,
        .mounts = t->mounts,
        .uid = (uid_t)-1,
        .gid = (gid_t)-1,
        .user = t->reactor,
        .foreign_loops = (void *[]){t->reactor->loop},
        .options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS |
                   LWS_SERVER_OPTION_HTTP_HEADERS_SECURITY_BEST_PRACTICES_ENFORCE,
        .max_http_header_data2 = (unsigned)config->limits.header_block_http_bytes,
        .timeout_secs = (unsigned)(config->limits.handshake_ms + 999) / 1000,
        .keepalive_timeout = KEEP_ALIVE_S,
        .retry_and_idle_policy = &none,
        .alpn = "http/1.1",
        .server_string = "stompgate",
        .extensions =
            NULL, /* no permessage-deflate: broken with libuv here, and no compression bombs */
    };
    uint64_t without_tls = info.options;
    info.options |= config->tls.enabled ? LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT : 0;
    t->context = lws_create_context(&info);
    info.options = without_tls; /* else the vhost would get a client side of TLS */
    t->vhost = t->context ? lws_create_vhost(t->context, &info) : NULL;
    if (!t->vhost) {
        return -1;
    }
    return config->tls.enabled ? make_tls_vhost(t, &info) : 0;
}

struct transport *transport_new(struct reactor *r, struct metrics *const *siblings, int n_siblings)
{
    lws_set_log_level(LLL_ERR | LLL_WARN, emit_log);
    memory_init(RX_BUFFER_BYTES);
    struct transport *t = calloc(1, sizeof *t);
    if (!t) {
        return NULL;
    }
    t->reactor = r;
    t->siblings = siblings;
    t->n_siblings = n_siblings;
    list_init(&t->reading);
    list_init(&t->answers);
    t->protocols = make_protocols();
    t->mounts = make_mounts(r->config);
    if (!t->protocols || !t->mounts || make_context(t) != 0) {
        log_error(r->name, "transport.failed", "libwebsockets gave no context");
        transport_free(t);
        return NULL;
    }
    return t;
}

static int adopt(struct transport *t, struct lws_vhost *vhost, int fd, const char *address)
{
    struct lws *wsi = lws_adopt_socket_vhost(vhost, fd);
    return wsi ? handshake_begin(t, wsi, address) : -1;
}

int transport_adopt(struct reactor *r, int fd, const char *address)
{
    return adopt(r->transport, r->transport->vhost, fd, address);
}

int transport_adopt_tls(struct reactor *r, int fd, const char *address)
{
    return adopt(r->transport, r->transport->tls_vhost, fd, address);
}

void transport_certify(struct transport *t, struct tls_pair *pair)
{
    tls_use(t->tls, pair);
}

void transport_stop(struct transport *t)
{
    lws_context_destroy(t->context);
    t->is_stopped = true;
}

void transport_free(struct transport *t)
{
    if (!t) {
        return;
    }
    /* On a loop of ours libwebsockets ends in two steps: the first closes its handles, the second,
     * when the loop has closed them, frees. */
    if (t->is_stopped) {
        lws_context_destroy(t->context);
    }
    tls_free(t->tls);
    free(t->protocols);
    free(t->mounts);
    free(t->history_text);
    free(t);
}
