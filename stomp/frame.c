#include "stomp/stomp.h"

struct slice stomp_frame_find(const struct stomp_frame *frame, struct slice name)
{
    for (unsigned i = 0; i < frame->n_headers; i++) {
        if (slice_equals(frame->headers[i].name, name)) {
            return frame->headers[i].value;
        }
    }
    return (struct slice){NULL, 0};
}
