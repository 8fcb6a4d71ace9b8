#include "stomp/stomp_internal.h"

void stomp_scan_init(struct stomp_scan *s, enum stomp_version version)
{
    s->place = STOMP_BETWEEN;
    s->version = version;
    s->command = STOMP_UNKNOWN;
    s->error = STOMP_OK;
    s->nul_error = STOMP_ERR_NO_NUL;
    s->is_after_cr = false;
    s->is_after_backslash = false;
    s->is_raw = true;
    s->has_length = false;
    s->seen = 0;
    s->start = s->write = s->block = 0;
    s->pos = s->body = s->body_len = 0;
    s->command_text = (struct stomp_span){0, 0};
    s->n_headers = 0;
}

void stomp_scan_trim(struct stomp_span *value, const uint8_t *bytes)
{
    while (value->len > 0 && bytes[value->at] == ' ') {
        value->at++;
        value->len--;
    }
}

static enum stomp_result scan_between(struct stomp_scan *s, const uint8_t *bytes, size_t len)
{
    if (s->pos < len && !s->is_after_cr && bytes[s->pos] == '\r') {
        s->is_after_cr = true;
        s->pos++;
    }
    if (s->pos == len) {
        return STOMP_MORE;
    }
    if (bytes[s->pos] == '\n') {
        s->pos++;
        return STOMP_HEARTBEAT;
    }
    if (s->is_after_cr) {
        return stomp_scan_fail(s, STOMP_ERR_LINE_END);
    }
    if (bytes[s->pos] <= ' ' || bytes[s->pos] >= 0x7f) {
        return stomp_scan_fail(s, STOMP_ERR_BETWEEN);
    }
    stomp_scan_begin_field(s, STOMP_IN_COMMAND);
    return STOMP_MORE;
}

/* How many bytes of the frame may be looked at as header block. */
static size_t block_end(const struct stomp_scan *s, const struct stomp_limits *limits, size_t len)
{
    size_t end = limits->frame_bytes > 0 ? stomp_smaller(len, limits->frame_bytes) : len;
    if (s->place == STOMP_IN_COMMAND) {
        return end;
    }
    size_t most = stomp_smaller(limits->header_block_bytes, STOMP_MAX_BLOCK_BYTES);
    return stomp_smaller(end, s->block + most);
}

/* Which of the two limits of block_end() it was. */
static enum stomp_error over_limit(const struct stomp_scan *s, const struct stomp_limits *limits)
{
    bool is_frame_over = limits->frame_bytes > 0 && s->pos >= limits->frame_bytes;
    return is_frame_over ? STOMP_ERR_FRAME_TOO_LONG : STOMP_ERR_BLOCK_TOO_LONG;
}

enum stomp_result stomp_scan_run(struct stomp_scan *s, const struct stomp_limits *limits,
                                 uint8_t *bytes, size_t len)
{
    if (s->place == STOMP_BETWEEN) {
        enum stomp_result result = scan_between(s, bytes, len);
        if (s->place == STOMP_BETWEEN) {
            return result;
        }
    }
    while (s->place != STOMP_IN_BODY) {
        size_t end = block_end(s, limits, len);
        if (s->pos >= end) {
            return s->pos >= len ? STOMP_MORE : stomp_scan_fail(s, over_limit(s, limits));
        }
        enum stomp_error error = stomp_scan_line(s, limits, bytes, end);
        if (error != STOMP_OK) {
            return stomp_scan_fail(s, error);
        }
    }
    return stomp_scan_body(s, limits, bytes, len);
}

void stomp_scan_get_frame(const struct stomp_scan *s, const uint8_t *bytes,
                          struct stomp_frame *frame)
{
    frame->command = s->command;
    frame->command_text = (struct slice){NULL, 0};
    if (s->command_text.len > 0) {
        frame->command_text = stomp_scan_slice(bytes, s->command_text);
    }
    frame->n_headers = s->n_headers;
    for (unsigned i = 0; i < s->n_headers; i++) {
        frame->headers[i].name = stomp_scan_slice(bytes, s->headers[i].name);
        frame->headers[i].value = stomp_scan_slice(bytes, s->headers[i].value);
    }
    frame->body = (struct slice){NULL, 0};
    if (s->error == STOMP_OK) {
        frame->body = (struct slice){(const char *)bytes + s->body, s->body_len};
    }
}
