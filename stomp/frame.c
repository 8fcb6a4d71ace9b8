#include "stomp/stomp.h"

struct slice stomp_frame_get(const struct stomp_frame *frame, const char *name)
{
    struct slice wanted = slice_of(name);
    for (unsigned i = 0; i < frame->n_headers; i++) {
        if (slice_equals(frame->headers[i].name, wanted)) {
            return frame->headers[i].value;
        }
    }
    return (struct slice){NULL, 0};
}
