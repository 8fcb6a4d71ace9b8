/* STOMP 1.2 as a load generator speaks it: protocol.h tells what is wanted. */
#include "protocol.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

static const char GOODBYE[] = "DISCONNECT\n\n"; /* and the NUL */

static size_t stomp_hello(char *text, const struct protocol_login *login)
{
    int n = snprintf(text, PROTOCOL_TEXT_MAX,
                     "CONNECT\naccept-version:1.2\nhost:%s\nheart-beat:%u,%u\n",
                     login->vhost ? login->vhost : "/", login->heartbeat_ms, login->heartbeat_ms);
    if (login->login) {
        n += snprintf(text + n, PROTOCOL_TEXT_MAX - (size_t)n, "login:%s\npasscode:%s\n",
                      login->login, login->passcode ? login->passcode : "");
    }
    n += snprintf(text + n, PROTOCOL_TEXT_MAX - (size_t)n, "\n");
    return (size_t)n + 1; /* with the NUL that ends a frame */
}

/* Receipts are counted, so all have the same name. */
static size_t stomp_subscribe(char *text, unsigned number, const char *destination)
{
    return (size_t)snprintf(text, PROTOCOL_TEXT_MAX,
                            "SUBSCRIBE\nid:sub-%u\nreceipt:sub\ndestination:%s\n\n", number,
                            destination) +
           1;
}

static size_t stomp_publish_head(char *text, const char *destination, const char *type,
                                 size_t body_len)
{
    return (size_t)snprintf(text, PROTOCOL_TEXT_MAX,
                            "SEND\ndestination:%s\ncontent-type:%s\ncontent-length:%zu\n\n",
                            destination, type, body_len);
}

static size_t stomp_publish_tail(char *text)
{
    text[0] = '\0';
    return 1;
}

static int begins(const uint8_t *payload, size_t len, const char *text)
{
    size_t n = strlen(text);
    return len >= n && memcmp(payload, text, n) == 0;
}

static unsigned read_number(const uint8_t *text, const uint8_t *end)
{
    unsigned number = 0;
    if (text == end || *text < '0' || *text > '9') {
        return UINT_MAX;
    }
    for (; text < end && *text >= '0' && *text <= '9'; text++) {
        number = number * 10 + (*text - (unsigned)'0');
    }
    return number;
}

/* The body is found by the empty line alone: its length is checked by the number that it carries.
 */
static void find_body(const uint8_t *payload, size_t len, const uint8_t **body, size_t *body_len)
{
    const uint8_t *end = payload + len;
    const uint8_t *line = payload;
    *body = end;
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL) {
        line++;
        if (line < end && *line == '\n') {
            *body = line + 1;
            break;
        }
    }
    *body_len = (size_t)(end - *body);
}

static unsigned stomp_subscription(const uint8_t *payload, size_t len)
{
    static const char HEADER[] = "subscription:sub-";
    const uint8_t *end = payload + len;
    const uint8_t *line = payload;
    while ((line = memchr(line, '\n', (size_t)(end - line))) != NULL && ++line < end &&
           *line != '\n') {
        if (begins(line, (size_t)(end - line), HEADER)) {
            return read_number(line + sizeof(HEADER) - 1, end);
        }
    }
    return UINT_MAX;
}

static enum protocol_event stomp_receive(const uint8_t *payload, size_t len, const uint8_t **body,
                                         size_t *body_len)
{
    if (begins(payload, len, "MESSAGE\n")) {
        find_body(payload, len, body, body_len);
        return PROTOCOL_MESSAGE;
    }
    if (begins(payload, len, "CONNECTED\n")) {
        return PROTOCOL_CONNECTED;
    }
    if (begins(payload, len, "RECEIPT\n")) {
        return PROTOCOL_SUBSCRIBED;
    }
    if (begins(payload, len, "ERROR\n")) {
        *body = payload;
        *body_len = len;
        return PROTOCOL_REFUSED;
    }
    return PROTOCOL_NOTHING;
}

const struct protocol protocol_stomp = {
    .name = "stomp",
    .subprotocol = "v12.stomp",
    .path = "/",
    .goodbye = GOODBYE,
    .goodbye_len = sizeof(GOODBYE),
    .beat = "\n",
    .hello = stomp_hello,
    .subscribe = stomp_subscribe,
    .publish_head = stomp_publish_head,
    .publish_tail = stomp_publish_tail,
    .receive = stomp_receive,
    .subscription = stomp_subscription,
};
