#include "protocol.h"

#include <string.h>

const struct protocol *protocol_find(const char *name)
{
    static const struct protocol *const ALL[] = {&protocol_stomp, &protocol_raw,
                                                 &protocol_socketio};
    for (size_t i = 0; i < sizeof(ALL) / sizeof(ALL[0]); i++) {
        if (strcmp(ALL[i]->name, name) == 0) {
            return ALL[i];
        }
    }
    return NULL;
}
