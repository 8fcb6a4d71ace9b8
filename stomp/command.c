#include "stomp/stomp_internal.h"

struct command_name {
    enum stomp_command command;
    struct slice text;
};

#define COMMAND(name)                                                                              \
    {                                                                                              \
        STOMP_##name,                                                                              \
        {                                                                                          \
#name, sizeof(#name) - 1                                                               \
        }                                                                                          \
    }

/* The frequent ones first. */
static const struct command_name command_names[] = {
    COMMAND(SEND),
    COMMAND(MESSAGE),
    COMMAND(ACK),
    COMMAND(SUBSCRIBE),
    COMMAND(UNSUBSCRIBE),
    COMMAND(CONNECT),
    {STOMP_CONNECT, {"STOMP", 5}},
    COMMAND(DISCONNECT),
    COMMAND(NACK),
    COMMAND(BEGIN),
    COMMAND(COMMIT),
    COMMAND(ABORT),
    COMMAND(CONNECTED),
    COMMAND(RECEIPT),
    COMMAND(ERROR),
};

#define N_COMMAND_NAMES (sizeof(command_names) / sizeof(command_names[0]))

enum stomp_command stomp_command_of(const char *text, size_t len)
{
    struct slice wanted = {text, len};
    for (size_t i = 0; i < N_COMMAND_NAMES; i++) {
        if (slice_equals(command_names[i].text, wanted)) {
            return command_names[i].command;
        }
    }
    return STOMP_UNKNOWN;
}

struct slice stomp_command_text(enum stomp_command command)
{
    for (size_t i = 0; i < N_COMMAND_NAMES; i++) {
        if (command_names[i].command == command) {
            return command_names[i].text;
        }
    }
    return (struct slice){NULL, 0};
}
