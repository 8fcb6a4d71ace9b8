#include "stomp/stomp_internal.h"

/* What a byte may be part of without a second look. */
enum {
    IN_COMMAND = 1,
    IN_NAME = 2,
    IN_VALUE = 4,
    IF_RAW = 8 /* the backslash: an ordinary byte of names and values where nothing is unescaped */
};

#define X16(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
#define ALL (IN_COMMAND | IN_NAME | IN_VALUE)
#define HIGH (IN_NAME | IN_VALUE)
#define CTRL IN_VALUE
static const uint8_t byte_classes[256] = {
    /* clang-format off */
    /* 00 */ 0,    CTRL, CTRL, CTRL, CTRL, CTRL, CTRL, CTRL, CTRL, CTRL, 0,    CTRL, CTRL, 0,    CTRL, CTRL,
    /* 10 */ X16(CTRL),
    /* 20 */ HIGH, ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,
    /* 30 */ ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  IN_COMMAND | IN_VALUE, ALL, ALL, ALL, ALL, ALL,
    /* 40 */ X16(ALL),
    /* 50 */ ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  IN_COMMAND | IF_RAW, ALL, ALL, ALL,
    /* 60 */ X16(ALL),
    /* 70 */ ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  ALL,  CTRL,
    /* 80 */ X16(HIGH), X16(HIGH), X16(HIGH), X16(HIGH), X16(HIGH), X16(HIGH), X16(HIGH), X16(HIGH),
    /* clang-format on */
};

/* "Value Encoding": no escapes in 1.0, nor in these two frames. */
static bool is_unescaped(enum stomp_version version, enum stomp_command command)
{
    return version == STOMP_1_0 || command == STOMP_CONNECT || command == STOMP_CONNECTED;
}

static void end_command(struct stomp_scan *s, const uint8_t *bytes)
{
    s->command_text = (struct stomp_span){s->start, s->write - s->start};
    s->command = stomp_command_of((const char *)bytes + s->start, s->command_text.len);
    s->is_raw = is_unescaped(s->version, s->command);
    s->block = (uint32_t)s->pos;
    stomp_scan_begin_field(s, STOMP_IN_NAME);
}

/* Of the field that was read. Most are ASCII, and that is known already. */
static bool is_utf8(const struct stomp_scan *s, const uint8_t *bytes)
{
    return s->seen < 0x80 || stomp_is_utf8(bytes + s->start, s->write - s->start);
}

static enum stomp_error end_name(struct stomp_scan *s, const struct stomp_limits *limits,
                                 const uint8_t *bytes)
{
    uint32_t len = s->write - s->start;
    if (len == 0) {
        return STOMP_ERR_EMPTY_NAME;
    }
    if (s->n_headers == stomp_smaller(limits->headers, STOMP_MAX_HEADERS)) {
        return STOMP_ERR_TOO_MANY_HEADERS;
    }
    if (!is_utf8(s, bytes)) {
        return STOMP_ERR_UTF8;
    }
    s->headers[s->n_headers].name = (struct stomp_span){s->start, len};
    s->pos++;
    stomp_scan_begin_field(s, STOMP_IN_VALUE);
    return STOMP_OK;
}

static enum stomp_error end_value(struct stomp_scan *s, const uint8_t *bytes)
{
    struct stomp_span value = {s->start, s->write - s->start};
    if (!is_utf8(s, bytes)) {
        return STOMP_ERR_UTF8;
    }
    if (s->version == STOMP_1_0 && s->command != STOMP_CONNECT && s->command != STOMP_CONNECTED) {
        stomp_scan_trim(&value, bytes);
    }
    s->headers[s->n_headers].value = value;
    s->n_headers++;
    stomp_scan_begin_field(s, STOMP_IN_NAME);
    return STOMP_OK;
}

static enum stomp_error end_line(struct stomp_scan *s, const struct stomp_limits *limits,
                                 const uint8_t *bytes)
{
    s->is_after_cr = false;
    s->pos++;
    switch (s->place) {
    case STOMP_IN_COMMAND:
        end_command(s, bytes);
        return STOMP_OK;
    case STOMP_IN_NAME:
        return s->write == s->start ? stomp_scan_begin_body(s, limits, bytes) : STOMP_ERR_NO_COLON;
    case STOMP_IN_VALUE:
        return end_value(s, bytes);
    case STOMP_BETWEEN:
    case STOMP_IN_BODY:
        break;
    }
    return STOMP_OK;
}

/* "\r" too in 1.1, which does not define it: Spring's Java client sends it there. A control byte is
 * no more welcome in a name for being escaped: names become AMQP header keys. */
static enum stomp_error decode_escape(struct stomp_scan *s, uint8_t *bytes)
{
    uint8_t plain = bytes[s->pos];
    switch (plain) {
    case 'n':
        plain = '\n';
        break;
    case 'r':
        plain = '\r';
        break;
    case 'c':
        plain = ':';
        break;
    case '\\':
        break;
    default:
        return STOMP_ERR_ESCAPE;
    }
    if (s->place == STOMP_IN_NAME && (plain == '\n' || plain == '\r')) {
        return STOMP_ERR_CONTROL;
    }
    bytes[s->write++] = plain;
    s->is_after_backslash = false;
    s->pos++;
    return STOMP_OK;
}

/* How the field being read may go on. */
struct field_rule {
    uint8_t plain; /* classes of its ordinary bytes */
    uint32_t most; /* bytes, as sent */
    enum stomp_error too_long;
    enum stomp_error bad_byte;
};

static struct field_rule rule_of(const struct stomp_scan *s, const struct stomp_limits *limits)
{
    uint8_t raw = s->is_raw ? IF_RAW : 0;
    if (s->place == STOMP_IN_NAME) {
        uint32_t most = (uint32_t)stomp_smaller(limits->header_name_bytes, STOMP_MAX_NAME_BYTES);
        return (struct field_rule){IN_NAME | raw, most, STOMP_ERR_NAME_TOO_LONG, STOMP_ERR_CONTROL};
    }
    if (s->place == STOMP_IN_VALUE) {
        return (struct field_rule){IN_VALUE | raw, limits->header_value_bytes,
                                   STOMP_ERR_VALUE_TOO_LONG, STOMP_ERR_CONTROL};
    }
    return (struct field_rule){IN_COMMAND, STOMP_MAX_COMMAND_BYTES, STOMP_ERR_COMMAND,
                               STOMP_ERR_COMMAND};
}

/* Passes over ordinary bytes, closing the gap that decoded escapes left. */
static void pass_plain(struct stomp_scan *s, uint8_t *bytes, size_t end, uint8_t plain)
{
    size_t from = s->pos;
    size_t to = from;
    uint8_t seen = s->seen;
    while (to < end && (byte_classes[bytes[to]] & plain)) {
        seen |= bytes[to];
        to++;
    }
    s->seen = seen;
    if (s->write != from) {
        memmove(bytes + s->write, bytes + from, to - from);
    }
    s->write += (uint32_t)(to - from);
    s->pos = to;
}

enum stomp_error stomp_scan_line(struct stomp_scan *s, const struct stomp_limits *limits,
                                 uint8_t *bytes, size_t end)
{
    struct field_rule rule = rule_of(s, limits);
    if (!s->is_after_cr && !s->is_after_backslash) {
        pass_plain(s, bytes, stomp_smaller(end, (size_t)s->start + rule.most), rule.plain);
        if (s->pos == end) {
            return STOMP_OK;
        }
    }
    uint8_t byte = bytes[s->pos];
    if (s->is_after_cr && byte != '\n') {
        return STOMP_ERR_LINE_END;
    }
    if (byte == '\n' && !s->is_after_backslash) {
        return end_line(s, limits, bytes);
    }
    if (byte == ':' && s->place == STOMP_IN_NAME && !s->is_after_backslash) {
        return end_name(s, limits, bytes);
    }
    if (byte == '\r' && !s->is_after_backslash) {
        s->is_after_cr = true;
        s->pos++;
        return STOMP_OK;
    }
    if (s->pos - s->start >= rule.most) {
        return rule.too_long;
    }
    if (s->is_after_backslash) {
        return decode_escape(s, bytes);
    }
    if (byte == '\\' && s->place != STOMP_IN_COMMAND) {
        s->is_after_backslash = true;
        s->pos++;
        return STOMP_OK;
    }
    return rule.bad_byte;
}
