#include "stomp/stomp.h"

const char *stomp_error_str(enum stomp_error error)
{
    switch (error) {
    case STOMP_OK:
        return "No error";
    case STOMP_ERR_COMMAND:
        return "The command is too long or has a byte that no command can have";
    case STOMP_ERR_LINE_END:
        return "A carriage return is not followed by a line feed";
    case STOMP_ERR_CONTROL:
        return "A NUL stands in the header block, or a control byte in a header name";
    case STOMP_ERR_NO_COLON:
        return "A header line has no colon";
    case STOMP_ERR_EMPTY_NAME:
        return "A header has an empty name";
    case STOMP_ERR_ESCAPE:
        return "A header has an undefined escape sequence";
    case STOMP_ERR_UTF8:
        return "A header is not valid UTF-8";
    case STOMP_ERR_CONTENT_LENGTH:
        return "The content-length is not a number, or two of them differ";
    case STOMP_ERR_NO_NUL:
        return "The body is longer than content-length says: no NUL follows it";
    case STOMP_ERR_BODY:
        return "Only SEND, MESSAGE and ERROR frames can have a body";
    case STOMP_ERR_BETWEEN:
        return "A frame begins with a byte that begins no command";
    case STOMP_ERR_TOO_MANY_HEADERS:
        return "The frame has too many headers";
    case STOMP_ERR_NAME_TOO_LONG:
        return "A header name is too long";
    case STOMP_ERR_VALUE_TOO_LONG:
        return "A header value is too long";
    case STOMP_ERR_BLOCK_TOO_LONG:
        return "The headers are too long in sum";
    case STOMP_ERR_BODY_TOO_LONG:
        return "The body is too long";
    case STOMP_ERR_FRAME_TOO_LONG:
        return "The frame is too long";
    case STOMP_ERR_MEMORY:
        return "Out of memory";
    }
    return "Unknown error";
}

bool stomp_error_is_limit(enum stomp_error error)
{
    return error >= STOMP_ERR_TOO_MANY_HEADERS && error <= STOMP_ERR_FRAME_TOO_LONG;
}
