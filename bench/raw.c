/* A WebSocket message is a message and nothing else; the URL names the room. Nchan speaks this. */
#include "protocol.h"

static size_t raw_hello(char *text, const struct protocol_login *login)
{
    (void)text;
    (void)login;
    return 0;
}

static size_t raw_subscribe(char *text, unsigned number, const char *destination)
{
    (void)number;
    (void)text;
    (void)destination;
    return 0;
}

static size_t raw_publish_head(char *text, const char *destination, const char *type,
                               size_t body_len)
{
    (void)type;
    (void)text;
    (void)destination;
    (void)body_len;
    return 0;
}

static size_t raw_publish_tail(char *text)
{
    (void)text;
    return 0;
}

static enum protocol_event raw_receive(const uint8_t *payload, size_t len, const uint8_t **body,
                                       size_t *body_len)
{
    *body = payload;
    *body_len = len;
    return PROTOCOL_MESSAGE;
}

const struct protocol protocol_raw = {
    .name = "raw",
    .path = "/",
    .path_is_room = true,
    .hello = raw_hello,
    .subscribe = raw_subscribe,
    .publish_head = raw_publish_head,
    .publish_tail = raw_publish_tail,
    .receive = raw_receive,
};
