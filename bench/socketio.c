/* socket.io 4 over WebSocket alone, as far as one namespace and three events of our own need it:
 *
 *     server  0{"sid":…}      the packet that opens an engine.io connection
 *     client  40              connect to the namespace /
 *     server  40{"sid":…}
 *     client  420["sub","room"]          server  430[…]     an event, and its acknowledgement
 *     client  42["pub","room","body"]    server  42["m","body"] to each who has subscribed
 *     server  2                          client  3          ping, pong
 *
 * Bodies hold nothing that JSON would escape. Acknowledgements are counted, so all have number 0.
 */
#include "protocol.h"

#include <stdio.h>
#include <string.h>

static const char MESSAGE[] = "42[\"m\",\"";
static const char MESSAGE_TAIL[] = "\"]";

static size_t put(char *text, const char *what)
{
    return (size_t)snprintf(text, PROTOCOL_TEXT_MAX, "%s", what);
}

static size_t socketio_hello(char *text, const struct protocol_login *login)
{
    (void)login;
    return put(text, "40");
}

static size_t socketio_subscribe(char *text, unsigned number, const char *destination)
{
    (void)number;
    return (size_t)snprintf(text, PROTOCOL_TEXT_MAX, "420[\"sub\",\"%s\"]", destination);
}

static size_t socketio_publish_head(char *text, const char *destination, const char *type,
                                    size_t body_len)
{
    (void)type;
    (void)body_len;
    return (size_t)snprintf(text, PROTOCOL_TEXT_MAX, "42[\"pub\",\"%s\",\"", destination);
}

static size_t socketio_publish_tail(char *text)
{
    return put(text, MESSAGE_TAIL);
}

static int begins(const uint8_t *payload, size_t len, const char *text)
{
    size_t n = strlen(text);
    return len >= n && memcmp(payload, text, n) == 0;
}

static enum protocol_event socketio_receive(const uint8_t *payload, size_t len,
                                            const uint8_t **body, size_t *body_len)
{
    const size_t around = sizeof(MESSAGE) - 1 + sizeof(MESSAGE_TAIL) - 1;
    if (len >= around && begins(payload, len, MESSAGE)) {
        *body = payload + sizeof(MESSAGE) - 1;
        *body_len = len - around;
        return PROTOCOL_MESSAGE;
    }
    if (begins(payload, len, "40")) {
        return PROTOCOL_CONNECTED;
    }
    if (begins(payload, len, "43")) {
        return PROTOCOL_SUBSCRIBED;
    }
    if (begins(payload, len, "0")) {
        return PROTOCOL_OPENED;
    }
    if (begins(payload, len, "2")) {
        return PROTOCOL_PING;
    }
    *body = payload;
    *body_len = len;
    return begins(payload, len, "41") || begins(payload, len, "44") || begins(payload, len, "1")
               ? PROTOCOL_REFUSED
               : PROTOCOL_NOTHING;
}

const struct protocol protocol_socketio = {
    .name = "socketio",
    .path = "/socket.io/?EIO=4&transport=websocket",
    .pong = "3",
    .goodbye = "41",
    .goodbye_len = 2,
    .server_greets = true,
    .is_text_only = true,
    .hello = socketio_hello,
    .subscribe = socketio_subscribe,
    .publish_head = socketio_publish_head,
    .publish_tail = socketio_publish_tail,
    .receive = socketio_receive,
};
