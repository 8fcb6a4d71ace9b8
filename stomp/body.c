#include "stomp/stomp_internal.h"

/* Which version a CONNECT means is known only when all of its headers are. */
static void trim_connect_1_0(struct stomp_scan *s, const uint8_t *bytes)
{
    enum stomp_version version;
    struct slice accept = {NULL, 0};
    for (unsigned i = 0; i < s->n_headers && accept.ptr == NULL; i++) {
        if (slice_is(stomp_scan_slice(bytes, s->headers[i].name), "accept-version")) {
            accept = stomp_scan_slice(bytes, s->headers[i].value);
        }
    }
    if (stomp_version_negotiate(accept, &version) < 0 || version != STOMP_1_0) {
        return;
    }
    for (unsigned i = 0; i < s->n_headers; i++) {
        stomp_scan_trim(&s->headers[i].value, bytes);
    }
}

/* Digits only. What is too large for any limit stays too large, whatever digits follow.
 * 0, or -1 when malformed. */
static int parse_length(struct slice text, uint64_t *length)
{
    uint64_t n = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] < '0' || text.ptr[i] > '9') {
            return -1;
        }
        if (n <= UINT32_MAX) {
            n = n * 10 + (uint64_t)(text.ptr[i] - '0');
        }
    }
    *length = n;
    return text.len > 0 ? 0 : -1;
}

static enum stomp_error find_length(struct stomp_scan *s, const uint8_t *bytes)
{
    static const struct slice content_length = {"content-length", sizeof("content-length") - 1};
    for (unsigned i = 0; i < s->n_headers; i++) {
        if (!slice_equals(stomp_scan_slice(bytes, s->headers[i].name), content_length)) {
            continue;
        }
        uint64_t length;
        if (parse_length(stomp_scan_slice(bytes, s->headers[i].value), &length) < 0 ||
            (s->has_length && length != s->body_len)) {
            return STOMP_ERR_CONTENT_LENGTH;
        }
        s->has_length = true;
        s->body_len = length;
    }
    return STOMP_OK;
}

static bool can_have_body(enum stomp_command command)
{
    return command == STOMP_SEND || command == STOMP_MESSAGE || command == STOMP_ERROR;
}

enum stomp_error stomp_scan_begin_body(struct stomp_scan *s, const struct stomp_limits *limits,
                                       const uint8_t *bytes)
{
    if (s->command == STOMP_CONNECT) {
        trim_connect_1_0(s, bytes);
    }
    enum stomp_error error = find_length(s, bytes);
    if (error != STOMP_OK) {
        return error;
    }
    if (!can_have_body(s->command)) {
        if (s->body_len > 0) {
            return STOMP_ERR_BODY;
        }
        s->nul_error = s->has_length ? STOMP_ERR_NO_NUL : STOMP_ERR_BODY;
        s->has_length = true;
    }
    if (s->body_len > limits->body_bytes) {
        return STOMP_ERR_BODY_TOO_LONG;
    }
    if (limits->frame_bytes > 0 && s->pos + s->body_len >= limits->frame_bytes) {
        return STOMP_ERR_FRAME_TOO_LONG; /* ">=": the NUL counts */
    }
    s->body = s->pos;
    s->place = STOMP_IN_BODY;
    return STOMP_OK;
}

static enum stomp_result scan_known_body(struct stomp_scan *s, const uint8_t *bytes, size_t len)
{
    if (len - s->body <= s->body_len) {
        s->pos = len;
        return STOMP_MORE;
    }
    s->pos = s->body + s->body_len;
    if (bytes[s->pos] != '\0') {
        return stomp_scan_fail(s, s->nul_error);
    }
    s->pos++;
    return STOMP_FRAME;
}

/* Without a content-length the first NUL ends the body ("Header content-length"). */
static enum stomp_result scan_open_body(struct stomp_scan *s, const struct stomp_limits *limits,
                                        const uint8_t *bytes, size_t len)
{
    size_t body_end = s->body + limits->body_bytes + 1; /* + 1: the NUL */
    size_t frame_end = limits->frame_bytes > 0 ? limits->frame_bytes : SIZE_MAX;
    size_t end = stomp_smaller(len, stomp_smaller(body_end, frame_end));

    if (s->pos < end) {
        const uint8_t *nul = memchr(bytes + s->pos, '\0', end - s->pos);
        if (nul) {
            s->body_len = (size_t)(nul - bytes) - s->body;
            s->pos = s->body + s->body_len + 1;
            return STOMP_FRAME;
        }
        s->pos = end;
    }
    if (end < stomp_smaller(body_end, frame_end)) {
        return STOMP_MORE;
    }
    return stomp_scan_fail(s, end == body_end ? STOMP_ERR_BODY_TOO_LONG : STOMP_ERR_FRAME_TOO_LONG);
}

enum stomp_result stomp_scan_body(struct stomp_scan *s, const struct stomp_limits *limits,
                                  const uint8_t *bytes, size_t len)
{
    return s->has_length ? scan_known_body(s, bytes, len) : scan_open_body(s, limits, bytes, len);
}
