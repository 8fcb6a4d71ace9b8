#include "gateway/session/session_internal.h"

#include "common/log.h"

#include <stdlib.h>

static const char *state_str(enum session_state state)
{
    switch (state) {
    case SESSION_STATE_FRESH:
        return "fresh";
    case SESSION_STATE_LOGIN:
        return "login";
    case SESSION_STATE_RUNNING:
        return "running";
    case SESSION_STATE_LEAVING:
        return "leaving";
    case SESSION_STATE_LINGERING:
        return "lingering";
    case SESSION_STATE_DRAINING:
        return "draining";
    case SESSION_STATE_CLOSED:
        return "closed";
    }
    return "unknown";
}

static bool is_legal(enum session_state from, enum session_state to)
{
    switch (to) {
    case SESSION_STATE_FRESH: /* a login was refused, and another may be tried */
        return from == SESSION_STATE_LOGIN;
    case SESSION_STATE_LOGIN:
        return from == SESSION_STATE_FRESH;
    case SESSION_STATE_RUNNING:
        return from == SESSION_STATE_LOGIN;
    case SESSION_STATE_LEAVING:
    case SESSION_STATE_DRAINING:
        return from == SESSION_STATE_RUNNING;
    case SESSION_STATE_LINGERING:
        return from == SESSION_STATE_LEAVING;
    case SESSION_STATE_CLOSED:
        return from != SESSION_STATE_CLOSED;
    }
    return false;
}

void session_set_state(struct session *s, enum session_state state)
{
    assert(is_legal(s->state, state));
    log_debug(s->name, "session.state", "%s -> %s", state_str(s->state), state_str(state));
    s->state = state;
}

uint64_t session_due(const struct session *s, int ms)
{
    return ms > 0 ? s->now_ms + (uint64_t)ms : SESSION_NEVER;
}

struct slice session_copy(struct slice text, bool *is_ok)
{
    *is_ok = true;
    if (!text.ptr) {
        return text;
    }
    char *copy = malloc(text.len + 1);
    if (!copy) {
        *is_ok = false;
        return (struct slice){NULL, 0};
    }
    if (text.len) {
        memcpy(copy, text.ptr, text.len);
    }
    copy[text.len] = '\0';
    return (struct slice){copy, text.len};
}

static struct stomp_limits limits_of(const struct config *config, uint32_t frame_bytes)
{
    return (struct stomp_limits){
        .frame_bytes = frame_bytes,
        .headers = (uint32_t)config->limits.headers,
        .header_name_bytes = (uint32_t)config->limits.header_name_bytes,
        .header_value_bytes = (uint32_t)config->limits.header_value_bytes,
        .header_block_bytes = (uint32_t)config->limits.header_block_bytes,
        .body_bytes = (uint32_t)config->limits.body_bytes,
    };
}

void session_settings_init(struct session_settings *settings, const struct config *config,
                           bool is_tcp)
{
    *settings = (struct session_settings){
        .config = config,
        .limits_before = limits_of(config, (uint32_t)config->limits.frame_before_connect_bytes),
        .limits = limits_of(config, 0),
        .server = "stompgate/" STOMPGATE_VERSION,
        .error_close = is_tcp ? config->tcp.error_close : config->stomp.error_close,
    };
}

struct session *session_new(const struct session_settings *settings,
                            const struct session_host *host, void *host_data, const char *name,
                            uint64_t now_ms)
{
    size_t name_size = strlen(name) + 1;
    struct session *s = calloc(1, sizeof(*s) + name_size);
    if (!s) {
        return NULL;
    }
    s->magic = SESSION_MAGIC;
    s->settings = settings;
    s->host = host;
    s->host_data = host_data;
    s->now_ms = now_ms;
    s->wrote_ms = now_ms;
    s->heard_ms = now_ms;
    s->half_frame_ms = SESSION_NEVER;
    s->receipt_due_ms = SESSION_NEVER;
    s->login_due_ms = session_due(s, settings->config->limits.connect_ms);
    s->state_due_ms = s->login_due_ms;
    memcpy(s->name, name, name_size);
    stomp_parser_init(&s->parser, &settings->limits_before);
    return s;
}

void session_release(struct session *s)
{
    subs_drop_all(s);
    parked_clear(s, &s->waiting);
    parked_clear(s, &s->parked_sends);
    sends_clear(s);
    tx_clear(s);
    syncs_clear(s);
    unacked_clear(s);
    stomp_parser_fini(&s->parser);
    free((void *)(uintptr_t)s->receipt.ptr);
    s->receipt = (struct slice){NULL, 0};
}

void session_free(struct session *s)
{
    if (!s) {
        return;
    }
    assert(s->magic == SESSION_MAGIC);
    session_release(s);
    free(s->user);
    s->magic = 0;
    free(s);
}

void session_end(struct session *s, enum close_reason reason, const char *text)
{
    subs_drop_all(s);
    session_set_state(s, SESSION_STATE_CLOSED);
    s->host->close(s->host_data, reason, text);
}

const char *session_user(const struct session *s)
{
    return session_is_connected(s) ? s->user : "";
}

enum stomp_version session_version(const struct session *s)
{
    return s->version;
}

bool session_is_connected(const struct session *s)
{
    switch (s->state) {
    case SESSION_STATE_FRESH:
    case SESSION_STATE_LOGIN:
        return false;
    case SESSION_STATE_RUNNING:
    case SESSION_STATE_LEAVING:
    case SESSION_STATE_LINGERING:
    case SESSION_STATE_DRAINING:
        return true;
    case SESSION_STATE_CLOSED:
        return s->was_connected;
    }
    return false;
}

bool session_is_closing(const struct session *s)
{
    return s->state == SESSION_STATE_CLOSED;
}

bool session_has_waiting(const struct session *s)
{
    return s->state != SESSION_STATE_CLOSED &&
           (s->waiting.head || s->parked_sends.head || s->n_ack_commits);
}

bool session_has_left(const struct session *s)
{
    return s->state == SESSION_STATE_LEAVING || s->state == SESSION_STATE_LINGERING;
}

bool session_is_leaving(const struct session *s)
{
    return s->state == SESSION_STATE_LEAVING;
}

size_t session_subscription_count(const struct session *s)
{
    return s->n_subs;
}

struct session_subscription *session_subscription_next(struct session *s, size_t *cursor)
{
    return *cursor < s->n_subs ? s->subs[(*cursor)++] : NULL;
}

void session_wrote(struct session *s, uint64_t now_ms)
{
    s->wrote_ms = now_ms > s->wrote_ms ? now_ms : s->wrote_ms;
}
