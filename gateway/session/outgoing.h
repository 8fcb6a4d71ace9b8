/* A SEND before the host is asked: where it goes, with which properties, and what is declared for
 * it. For the files of gateway/session/. */
#pragma once

#include "gateway/session/properties.h"
#include "gateway/session/queue.h"

struct session;

/* Borrows from the frame and from the session's user. */
struct outgoing {
    struct destination destination;
    struct properties properties;
    bool is_mandatory;
    bool declares; /* `queue` */
    struct session_queue queue;
};

enum outgoing_readiness {
    OUTGOING_READY,
    OUTGOING_IGNORED, /* its destination is one that nobody knows, and such are to be ignored */
    OUTGOING_REFUSED
};

/* Fills *out, or says in *problem why it can never be sent. */
enum outgoing_readiness outgoing_prepare(const struct session *s, const struct stomp_frame *frame,
                                         struct outgoing *out, struct session_problem *problem);

/* The same for a SEND that is not sent now; ERROR, and false, where it never can be. */
bool outgoing_check(struct session *s, const struct stomp_frame *frame, bool *is_ignored);
