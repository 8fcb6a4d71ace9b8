#include "gateway/session/session_internal.h"

#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>

struct error {
    const struct error_about *about;
    const char *message;
    struct slice body;
};

/* RabbitMQ's headers in RabbitMQ's order, with what it leaves out: receipt-id, and what the ERROR
 * is about. */
static void write_error(struct stomp_writer *w, const struct session *s, const void *what)
{
    (void)s;
    const struct error *error = what;
    stomp_writer_command(w, STOMP_ERROR);
    stomp_writer_header(w, SLICE_LITERAL("message"), slice_of(error->message));
    stomp_writer_header(w, SLICE_LITERAL("content-type"), SLICE_LITERAL("text/plain"));
    stomp_writer_header(w, SLICE_LITERAL("version"), SLICE_LITERAL("1.0,1.1,1.2"));
    if (error->about->receipt.ptr) {
        stomp_writer_header(w, SLICE_LITERAL("receipt-id"), error->about->receipt);
    }
    if (error->about->subscription.ptr) {
        stomp_writer_header(w, SLICE_LITERAL("subscription"), error->about->subscription);
    }
    if (error->about->destination.ptr) {
        stomp_writer_header(w, SLICE_LITERAL("destination"), error->about->destination);
    }
    stomp_writer_body(w, error->body);
}

/* What a client sent may stand in a body: control bytes become '?', and a character that was cut
 * goes. */
static size_t tidy(char *body, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (((unsigned char)body[i] < 0x20 && body[i] != '\n') || body[i] == 0x7f) {
            body[i] = '?';
        }
    }
    for (size_t cut = 0; cut < 4 && cut <= len; cut++) {
        if (stomp_is_utf8(body, len - cut)) {
            return len - cut;
        }
    }
    return len;
}

void error_end(struct session *s, enum close_reason reason, const struct error_about *about,
               const char *message, const char *format, ...)
{
    static const struct error_about nothing;
    char body[1024];
    va_list args;
    va_start(args, format);
    /* A false alarm of clang-tidy 14 when it is given several files at once. */
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    int len = vsnprintf(body, sizeof(body), format, args);
    va_end(args);
    size_t body_len = len < 0 ? 0 : (size_t)len < sizeof(body) ? (size_t)len : sizeof(body) - 1;
    body_len = tidy(body, body_len);
    log_info(s->name, "session.error", "reason=%s message=\"%s\"", close_reason_str(reason),
             message);
    const struct error error = {about ? about : &nothing, message, {body, body_len}};
    if (reply_send(s, write_error, &error) != 0) {
        reason = CLOSE_INTERNAL;
        message = "out of memory";
    }
    session_end(s, reason, message);
}

struct error_about error_about_frame(const struct stomp_frame *frame)
{
    struct error_about about = {.receipt = stomp_frame_get(frame, "receipt")};
    if (frame->command == STOMP_SUBSCRIBE || frame->command == STOMP_UNSUBSCRIBE) {
        about.subscription = stomp_frame_get(frame, "id");
    }
    if (frame->command == STOMP_SUBSCRIBE || frame->command == STOMP_SEND) {
        about.destination = stomp_frame_get(frame, "destination");
    }
    return about;
}

/* The session's words for a reason that is not about the frame; NULL when there are none. */
static const char *words_of(enum close_reason reason)
{
    if (reason == CLOSE_BROKER) {
        return ERROR_BROKER_GONE;
    }
    return reason == CLOSE_INTERNAL ? "Internal error" : NULL;
}

void error_problem(struct session *s, enum close_reason reason, const struct error_about *about,
                   const char *message, const struct session_problem *problem)
{
    static const struct session_problem none;
    problem = problem ? problem : &none;
    if (problem->reason != CLOSE_NONE) {
        reason = problem->reason;
        message = words_of(reason) ? words_of(reason) : message;
    }
    if (problem->message[0]) {
        message = problem->message;
    }
    error_end(s, reason, about, message, "%s", problem->text);
}

/* Both forms are RabbitMQ's. */
void error_missing_header(struct session *s, const struct stomp_frame *frame, const char *header)
{
    struct error_about about = error_about_frame(frame);
    char message[64];
    bool is_id = strcmp(header, "id") == 0;
    snprintf(message, sizeof(message), "Missing %s", is_id ? "header" : header);
    error_end(s, CLOSE_REFUSED_FRAME, &about, message,
              is_id ? "\"%.*s\" must include the \"%s\" header\n"
                    : "\"%.*s\" must include a '%s' header\n",
              (int)frame->command_text.len, frame->command_text.ptr, header);
}

/* Nothing can be promised any more, not even an ERROR. */
void error_out_of_memory(struct session *s)
{
    log_error(s->name, "session.memory", "state=%d", s->state);
    session_end(s, CLOSE_INTERNAL, "out of memory");
}
