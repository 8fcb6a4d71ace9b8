#include "gateway/session/outgoing.h"

#include "gateway/access/acl.h"
#include "gateway/session/session_internal.h"

static enum outgoing_readiness resolve(const struct session *s, const struct stomp_frame *frame,
                                       struct destination *d, struct session_problem *problem)
{
    const struct config *config = s->settings->config;
    struct slice spelling = stomp_frame_get(frame, "destination");
    if (!spelling.ptr) {
        error_write(problem, CLOSE_REFUSED_FRAME, "Missing destination", "%s",
                    "\"SEND\" must include a 'destination' header\n");
        return OUTGOING_REFUSED;
    }
    enum destination_error error = destination_resolve(config, spelling, d);
    if (error == DESTINATION_UNKNOWN &&
        config->stomp.unknown_destination == CONFIG_UNKNOWN_IGNORE) {
        return OUTGOING_IGNORED;
    }
    if (error == DESTINATION_OK) {
        error = destination_check_send(d);
    }
    if (error != DESTINATION_OK) {
        error_write(problem, CLOSE_REFUSED_FRAME, destination_error_message(error), "%s", "");
        destination_error_body(error, spelling, problem->text, sizeof(problem->text));
        return OUTGOING_REFUSED;
    }
    if (!acl_may_send(d, slice_of(s->user))) {
        error_write(problem, CLOSE_REFUSED_FRAME, "access_refused",
                    "ACCESS_REFUSED - user '%s' may not send to '%.*s'\n", s->user,
                    (int)spelling.len, spelling.ptr);
        return OUTGOING_REFUSED;
    }
    return OUTGOING_READY;
}

/* A message that nobody gets is an error where a queue was meant; but Spring's relay sends to
 * queues whether their user is there or not (contracts: spring 3). An answer comes too late when
 * who asked has gone: that is one only for a sender who wants to know. */
static bool is_mandatory(const struct config *config, const struct stomp_frame *frame,
                         const struct destination *d)
{
    switch (d->kind) {
    case DESTINATION_EXCHANGE:
        return d->route->store;
    case DESTINATION_QUEUE:
    case DESTINATION_AMQ_QUEUE:
        return !queue_is_spring_user(config, frame, d);
    case DESTINATION_REPLY_QUEUE:
        return stomp_frame_get(frame, "receipt").ptr != NULL;
    case DESTINATION_TEMP_QUEUE:
        return false;
    }
    return false;
}

/* What most refusals begin with, said here without printing: most SENDs are not refused. */
static void expect_invalid_header(struct session_problem *problem)
{
    static const char message[] = "Invalid header";
    problem->reason = CLOSE_REFUSED_FRAME;
    memcpy(problem->message, message, sizeof(message));
    problem->text[0] = '\0';
}

enum outgoing_readiness outgoing_prepare(const struct session *s, const struct stomp_frame *frame,
                                         struct outgoing *out, struct session_problem *problem)
{
    const struct config *config = s->settings->config;
    const struct destination *d = &out->destination;
    expect_invalid_header(problem);
    enum outgoing_readiness readiness = resolve(s, frame, &out->destination, problem);
    if (readiness != OUTGOING_READY) {
        return readiness;
    }
    if (properties_from_send(config, frame, slice_of(s->user), d->route->store, &out->properties,
                             problem) != 0) {
        return OUTGOING_REFUSED;
    }
    out->is_mandatory = is_mandatory(config, frame, d);
    out->declares = d->kind == DESTINATION_QUEUE;
    if (out->declares) {
        bool may_shape = acl_may_shape(d, slice_of(s->user));
        if (queue_from_send(config, frame, d, may_shape, &out->queue, problem) != 0) {
            return OUTGOING_REFUSED;
        }
        out->declares = !out->queue.must_exist;
    }
    return OUTGOING_READY;
}

bool outgoing_check(struct session *s, const struct stomp_frame *frame, bool *is_ignored)
{
    struct outgoing out;
    struct session_problem problem = {0};
    enum outgoing_readiness readiness = outgoing_prepare(s, frame, &out, &problem);
    *is_ignored = readiness == OUTGOING_IGNORED;
    if (readiness == OUTGOING_REFUSED) {
        struct error_about about = error_about_frame(frame);
        error_problem(s, CLOSE_REFUSED_FRAME, &about, "", &problem);
        return false;
    }
    return true;
}
