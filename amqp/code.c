#include "amqp/code.h"

#include <stddef.h>

const char *broker_code_str(uint16_t code)
{
    static const struct {
        uint16_t code;
        const char *name;
    } names[] = {
        {311, "content_too_large"}, {312, "no_route"},         {313, "no_consumers"},
        {320, "connection_forced"}, {402, "invalid_path"},     {403, "access_refused"},
        {404, "not_found"},         {405, "resource_locked"},  {406, "precondition_failed"},
        {501, "frame_error"},       {502, "syntax_error"},     {503, "command_invalid"},
        {504, "channel_error"},     {505, "unexpected_frame"}, {506, "resource_error"},
        {530, "not_allowed"},       {540, "not_implemented"},  {541, "internal_error"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (names[i].code == code) {
            return names[i].name;
        }
    }
    return "refused";
}
