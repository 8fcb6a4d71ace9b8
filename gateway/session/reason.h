/* Why a session ends: one list for the log line, the metric and the WebSocket close code (PROTOCOL
 * section 15). */
#pragma once

enum close_reason {
    CLOSE_NONE,
    CLOSE_DISCONNECT,      /* 1000: DISCONNECT was answered */
    CLOSE_PEER,            /* the client closed or vanished */
    CLOSE_DRAIN,           /* 1001: the server is going down */
    CLOSE_MALFORMED,       /* 1002: not STOMP */
    CLOSE_REFUSED_FRAME,   /* 1008: a frame that cannot be granted (destination, rights, unknown
                              command) */
    CLOSE_LOGIN,           /* 1008: wrong credentials */
    CLOSE_LOGIN_TIMEOUT,   /* 1008: no CONNECT in time */
    CLOSE_HALF_FRAME,      /* 1008: a frame was begun and not completed in time */
    CLOSE_HEARTBEAT,       /* 1008: the client missed its heart-beats */
    CLOSE_LIMIT,           /* 1008: a limit that is not a size */
    CLOSE_TOO_BIG,         /* 1009: frame, header or message too big */
    CLOSE_INTERNAL,        /* 1011: our fault */
    CLOSE_RECEIPT_TIMEOUT, /* 1011: a SEND was not settled in time */
    CLOSE_BROKER,          /* 1013: the broker is not available, or refused a SEND */
    CLOSE_GAP,             /* 1013: messages were lost and the route says close */
    CLOSE_SLOW,            /* 4500: the client does not read */
    CLOSE_REASON_COUNT
};

/* "disconnect", "slow_consumer", …: in log lines and metric labels. */
const char *close_reason_str(enum close_reason reason);

/* The WebSocket close code. */
int close_reason_code(enum close_reason reason);
