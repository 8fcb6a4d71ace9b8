/* What is spoken inside WebSocket messages, as a table of functions, so that peers with another
 * protocol are measured by the same client: stomp.c, raw.c (a WebSocket message is a message) and
 * socketio.c (engine.io 4 over WebSocket).
 *
 * Sans-IO: functions write into a buffer of the caller or read from one. No state of their own.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROTOCOL_TEXT_MAX 1024 /* a frame without its body */

struct protocol_login {
    const char *login; /* NULL: none */
    const char *passcode;
    const char *vhost;
    unsigned heartbeat_ms; /* that is offered and asked for; 0: none */
};

enum protocol_event {
    PROTOCOL_NOTHING,    /* a heart-beat, an answer that nobody waits for */
    PROTOCOL_OPENED,     /* the server spoke first; hello() is the answer */
    PROTOCOL_CONNECTED,  /* the answer to hello() */
    PROTOCOL_SUBSCRIBED, /* the answer to subscribe() */
    PROTOCOL_MESSAGE,    /* *body and *body_len are set, borrowed from the payload */
    PROTOCOL_PING,       /* wants `pong` at once */
    PROTOCOL_REFUSED     /* the server said no; *body is what it said */
};

struct protocol {
    const char *name;
    const char *subprotocol; /* offered in the handshake, NULL for none */
    const char *path;        /* where the URL has none */
    const char *pong;        /* the answer to PROTOCOL_PING */
    const char *goodbye;     /* before the close frame; NULL: nothing */
    size_t goodbye_len;
    bool is_text_only;  /* bodies that are no UTF-8 do not fit in */
    const char *beat;   /* a heart-beat; NULL: there are none */
    bool path_is_room;  /* the handshake is the subscription; a connection knows one room */
    bool server_greets; /* nothing is said before PROTOCOL_OPENED */

    /* Each writes one WebSocket payload and returns its length; 0 means that there is nothing to
     * send, and that the event which would answer it is taken as come. */
    size_t (*hello)(char *text, const struct protocol_login *login);
    size_t (*subscribe)(char *text, unsigned number, const char *destination);

    /* What stands before and behind the body of a message to `destination`. `type` is its MIME
     * type. */
    size_t (*publish_head)(char *text, const char *destination, const char *type, size_t body_len);
    size_t (*publish_tail)(char *text);

    enum protocol_event (*receive)(const uint8_t *payload, size_t len, const uint8_t **body,
                                   size_t *body_len);

    /* Of a message: the number that the subscription was given, UINT_MAX when it has none. NULL:
     * messages of this protocol do not say. */
    unsigned (*subscription)(const uint8_t *payload, size_t len);
};

extern const struct protocol protocol_stomp;
extern const struct protocol protocol_raw;
extern const struct protocol protocol_socketio;

/* NULL: there is none of that name. */
const struct protocol *protocol_find(const char *name);
