#include "gateway/session/reason.h"

const char *close_reason_str(enum close_reason reason)
{
    switch (reason) {
    case CLOSE_NONE:
        return "none";
    case CLOSE_DISCONNECT:
        return "disconnect";
    case CLOSE_PEER:
        return "peer";
    case CLOSE_DRAIN:
        return "drain";
    case CLOSE_MALFORMED:
        return "malformed";
    case CLOSE_REFUSED_FRAME:
        return "refused_frame";
    case CLOSE_LOGIN:
        return "login";
    case CLOSE_LOGIN_TIMEOUT:
        return "login_timeout";
    case CLOSE_HALF_FRAME:
        return "half_frame";
    case CLOSE_HEARTBEAT:
        return "heartbeat";
    case CLOSE_LIMIT:
        return "limit";
    case CLOSE_TOO_BIG:
        return "too_big";
    case CLOSE_INTERNAL:
        return "internal";
    case CLOSE_RECEIPT_TIMEOUT:
        return "receipt_timeout";
    case CLOSE_BROKER:
        return "broker";
    case CLOSE_GAP:
        return "gap";
    case CLOSE_SLOW:
        return "slow_consumer";
    case CLOSE_REASON_COUNT:
        break;
    }
    return "unknown";
}

int close_reason_code(enum close_reason reason)
{
    switch (reason) {
    case CLOSE_NONE:
    case CLOSE_DISCONNECT:
    case CLOSE_PEER:
        return 1000;
    case CLOSE_DRAIN:
        return 1001;
    case CLOSE_MALFORMED:
        return 1002;
    case CLOSE_REFUSED_FRAME:
    case CLOSE_LOGIN:
    case CLOSE_LOGIN_TIMEOUT:
    case CLOSE_HALF_FRAME:
    case CLOSE_HEARTBEAT:
    case CLOSE_LIMIT:
        return 1008;
    case CLOSE_TOO_BIG:
        return 1009;
    case CLOSE_INTERNAL:
    case CLOSE_RECEIPT_TIMEOUT:
        return 1011;
    case CLOSE_BROKER:
    case CLOSE_GAP:
        return 1013;
    case CLOSE_SLOW:
        return 4500;
    case CLOSE_REASON_COUNT:
        break;
    }
    return 1011;
}
