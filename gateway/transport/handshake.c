/* From accept to the WebSocket: who may have one, and by when. */
#include "gateway/transport/transport_internal.h"

#include "common/log.h"
#include "common/slice.h"
#include "common/wheel.h"
#include "gateway/access/origin.h"
#include "gateway/reactor.h"

#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

const char *const handshake_versions[HANDSHAKE_VERSIONS] = {"v12.stomp", "v11.stomp", "v10.stomp"};

/* A blank cannot stand in a name of Sec-WebSocket-Protocol, so nobody can ask for it. */
#define UNNAMEABLE "not offered"

/* A socket that was accepted, for as long as it lives: libwebsockets' opaque pointer. */
struct guest {
    struct reactor *reactor;
    struct lws *wsi;
    struct wheel_timer deadline;
    char address[];
};

/* ---- By when ---- */

/* An end of our own: libwebsockets' are in seconds, and not all of them are absolute. It notices
 * the end of the socket at once. */
static void on_deadline(struct wheel_timer *timer, uint64_t now_ms)
{
    struct guest *g = LIST_OWNER(timer, struct guest, deadline);
    (void)now_ms;
    metrics_add(&g->reactor->metrics, METRIC_HANDSHAKE_REFUSED, 1);
    log_info(g->reactor->name, "handshake.timeout", "ip=%s", g->address);
    shutdown(lws_get_socket_fd(g->wsi), SHUT_RDWR);
}

int handshake_begin(struct transport *t, struct lws *wsi, const char *address)
{
    size_t len = strlen(address) + 1;
    struct reactor *r = t->reactor;
    struct guest *g = calloc(1, sizeof *g + len);
    if (!g) {
        shutdown(lws_get_socket_fd(wsi), SHUT_RDWR);
        return -1;
    }
    g->reactor = r;
    g->wsi = wsi;
    memcpy(g->address, address, len);
    wheel_timer_init(&g->deadline, on_deadline);
    wheel_set(&r->wheel, &g->deadline, r->now_ms + (uint64_t)r->config->limits.handshake_ms);
    lws_set_opaque_user_data(wsi, g);
    return 0;
}

const char *handshake_done(struct lws *wsi)
{
    struct guest *g = lws_get_opaque_user_data(wsi);
    if (!g) {
        return "?";
    }
    wheel_cancel(&g->reactor->wheel, &g->deadline);
    return g->address;
}

void handshake_gone(struct lws *wsi)
{
    struct guest *g = lws_get_opaque_user_data(wsi);
    if (g) {
        lws_set_opaque_user_data(wsi, NULL);
        wheel_cancel(&g->reactor->wheel, &g->deadline);
        listener_gone(g->reactor->listener, g->address);
        free(g);
    }
}

/* ---- Who ---- */

static int refuse_upgrade(struct lws *wsi, unsigned status, const char *why)
{
    struct reactor *r = lws_context_user(lws_get_context(wsi));
    metrics_add(&r->metrics, METRIC_HANDSHAKE_REFUSED, 1);
    log_info(r->name, "handshake.refused", "status=%u why=%s", status, why);
    if (lws_return_http_status(wsi, status, why) < 0) {
        return -1;
    }
    return 1;
}

/* RFC 6455 section 4.4: with the version that we speak. */
static int refuse_version(struct lws *wsi)
{
    struct reactor *r = lws_context_user(lws_get_context(wsi));
    unsigned char mem[LWS_PRE + 512];
    unsigned char *p = mem + LWS_PRE;
    unsigned char *end = mem + sizeof mem - 1;
    bool is_told = lws_add_http_common_headers(wsi, HTTP_STATUS_UPGRADE_REQUIRED, "text/plain", 0,
                                               &p, end) == 0 &&
                   lws_add_http_header_by_name(wsi, (const unsigned char *)"sec-websocket-version:",
                                               (const unsigned char *)"13", 2, &p, end) == 0 &&
                   lws_finalize_write_http_header(wsi, mem + LWS_PRE, &p, end) == 0;
    metrics_add(&r->metrics, METRIC_HANDSHAKE_REFUSED, 1);
    log_info(r->name, "handshake.refused", "status=%d why=Sec-WebSocket-Version is not 13",
             is_told ? HTTP_STATUS_UPGRADE_REQUIRED : 0);
    return -1;
}

static struct slice header(struct lws *wsi, enum lws_token_indexes token, char *mem, int len)
{
    if (lws_hdr_total_length(wsi, token) == 0) {
        return (struct slice){0};
    }
    int n = lws_hdr_copy(wsi, mem, len, token);
    return n < 0 ? (struct slice){"?", 1} : (struct slice){mem, (size_t)n};
}

bool handshake_is_our_path(const struct reactor *r, struct slice uri)
{
    struct slice path = slice_of(r->config->gateway.path);
    return slice_equals(uri, path) ||
           (uri.len == path.len + 1 && slice_starts_with(uri, path) && uri.ptr[path.len] == '/');
}

/* Which of ours are in the list that the client offers: a bit per version. */
static unsigned offered_versions(struct slice list)
{
    unsigned bits = 0;
    for (size_t at = 0; at < list.len;) {
        const char *comma = memchr(list.ptr + at, ',', list.len - at);
        size_t end = comma ? (size_t)(comma - list.ptr) : list.len;
        struct slice name = {list.ptr + at, end - at};
        while (name.len > 0 && (*name.ptr == ' ' || *name.ptr == '\t')) {
            name.ptr++;
            name.len--;
        }
        while (name.len > 0 && (name.ptr[name.len - 1] == ' ' || name.ptr[name.len - 1] == '\t')) {
            name.len--;
        }
        for (unsigned i = 0; i < HANDSHAKE_VERSIONS; i++) {
            bits |= slice_is(name, handshake_versions[i]) ? 1U << i : 0;
        }
        at = end + 1;
    }
    return bits;
}

/* libwebsockets takes the first name of the client's list that the vhost knows, and webstomp-client
 * lists v10 first. So for this one handshake, which it finishes before it looks at another socket,
 * the vhost knows only the highest that was offered. */
static void prefer(struct lws *wsi, unsigned offered)
{
    struct lws_protocols *p = (struct lws_protocols *)(uintptr_t)lws_get_protocol(wsi);
    p -= p->id; /* the vhost's table; ours or a copy of ours, in both cases not constant */
    for (unsigned i = 0; i < HANDSHAKE_VERSIONS; i++) {
        bool is_highest = (offered & (1U << i)) && !(offered & ((1U << i) - 1));
        p[i].name = is_highest || !offered ? handshake_versions[i] : UNNAMEABLE;
    }
}

int handshake_confirm(struct lws *wsi)
{
    struct reactor *r = lws_context_user(lws_get_context(wsi));
    char upgrade[32];
    char version[8];
    char uri[256];
    char origin[256];
    char host[256];
    char list[128];
    /* No HTTP/2 by "Upgrade: h2c", whatever was built in. */
    struct slice to = header(wsi, WSI_TOKEN_UPGRADE, upgrade, sizeof upgrade);
    if (to.len != 9 || strncasecmp(to.ptr, "websocket", 9) != 0) {
        return -1;
    }
    if (!slice_is(header(wsi, WSI_TOKEN_VERSION, version, sizeof version), "13")) {
        return refuse_version(wsi);
    }
    if (!handshake_is_our_path(r, header(wsi, WSI_TOKEN_GET_URI, uri, sizeof uri))) {
        return refuse_upgrade(wsi, HTTP_STATUS_NOT_FOUND, "No WebSocket here");
    }
    if (!origin_is_allowed(r->config, header(wsi, WSI_TOKEN_ORIGIN, origin, sizeof origin),
                           header(wsi, WSI_TOKEN_HOST, host, sizeof host), lws_is_ssl(wsi))) {
        return refuse_upgrade(wsi, HTTP_STATUS_FORBIDDEN, "This Origin is not allowed");
    }
    struct slice offer = header(wsi, WSI_TOKEN_PROTOCOL, list, sizeof list);
    unsigned offered = offered_versions(offer);
    if (offer.ptr && !offered) {
        return refuse_upgrade(wsi, HTTP_STATUS_BAD_REQUEST,
                              "None of v10.stomp, v11.stomp, v12.stomp was offered");
    }
    if (r->is_draining) {
        return refuse_upgrade(wsi, HTTP_STATUS_SERVICE_UNAVAILABLE, "Going down");
    }
    prefer(wsi, offered);
    return 0;
}
