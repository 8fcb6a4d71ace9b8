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

/* After these nothing can go on, whatever the configuration says. */
static bool is_final(enum close_reason reason)
{
    switch (reason) {
    case CLOSE_REFUSED_FRAME:
    case CLOSE_LOGIN:
    case CLOSE_LIMIT:
    case CLOSE_BROKER:
        return false;
    case CLOSE_NONE:
    case CLOSE_DISCONNECT:
    case CLOSE_PEER:
    case CLOSE_DRAIN:
    case CLOSE_MALFORMED:
    case CLOSE_LOGIN_TIMEOUT:
    case CLOSE_HALF_FRAME:
    case CLOSE_HEARTBEAT:
    case CLOSE_TOO_BIG:
    case CLOSE_INTERNAL:
    case CLOSE_RECEIPT_TIMEOUT:
    case CLOSE_GAP:
    case CLOSE_SLOW:
    case CLOSE_REASON_COUNT:
        return true;
    }
    return true;
}

static void say(struct session *s, bool ends, enum close_reason reason,
                const struct error_about *about, const char *message, struct slice body)
{
    static const struct error_about nothing;
    const struct error error = {about ? about : &nothing, message, body};
    log_info(s->name, "session.error", "reason=%s message=\"%s\"", close_reason_str(reason),
             message);
    if (reply_send(s, write_error, &error) != 0) {
        session_end(s, CLOSE_INTERNAL, "out of memory");
    } else if (ends) {
        session_end(s, reason, message);
    }
}

struct body {
    char text[1024];
    size_t len;
};

static void write_body(struct body *body, const char *format, va_list args)
{
    int len = vsnprintf(body->text, sizeof(body->text), format, args);
    body->len = len < 0                            ? 0
                : (size_t)len < sizeof(body->text) ? (size_t)len
                                                   : sizeof(body->text) - 1;
    body->len = tidy(body->text, body->len);
}

void error_end(struct session *s, enum close_reason reason, const struct error_about *about,
               const char *message, const char *format, ...)
{
    struct body body;
    va_list args;
    va_start(args, format);
    /* A false alarm of clang-tidy 14 when it is given several files at once. */
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    write_body(&body, format, args);
    va_end(args);
    say(s, true, reason, about, message, (struct slice){body.text, body.len});
}

void error_refuse(struct session *s, enum close_reason reason, const struct error_about *about,
                  const char *message, const char *format, ...)
{
    struct body body;
    va_list args;
    va_start(args, format);
    // NOLINTNEXTLINE(clang-analyzer-valist.Uninitialized)
    write_body(&body, format, args);
    va_end(args);
    bool ends = s->settings->error_close || is_final(reason);
    say(s, ends, reason, about, message, (struct slice){body.text, body.len});
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

void error_write(struct session_problem *problem, enum close_reason reason, const char *message,
                 const char *format, ...)
{
    va_list args;
    problem->reason = reason;
    snprintf(problem->message, sizeof(problem->message), "%s", message);
    va_start(args, format);
    vsnprintf(problem->text, sizeof(problem->text), format, args);
    va_end(args);
}

void error_complete(struct session_problem *problem, enum close_reason reason, const char *message)
{
    if (problem->reason != CLOSE_NONE) {
        message = words_of(problem->reason) ? words_of(problem->reason) : message;
    } else {
        problem->reason = reason;
    }
    if (!problem->message[0]) {
        snprintf(problem->message, sizeof(problem->message), "%s", message);
    }
}

void error_problem(struct session *s, enum close_reason reason, const struct error_about *about,
                   const char *message, const struct session_problem *problem)
{
    struct session_problem all = problem ? *problem : (struct session_problem){0};
    error_complete(&all, reason, message);
    error_refuse(s, all.reason, about, all.message, "%s", all.text);
}

void error_end_problem(struct session *s, enum close_reason reason, const struct error_about *about,
                       const char *message, const struct session_problem *problem)
{
    struct session_problem all = problem ? *problem : (struct session_problem){0};
    error_complete(&all, reason, message);
    error_end(s, all.reason, about, all.message, "%s", all.text);
}

/* Both forms are RabbitMQ's. */
void error_missing_header(struct session *s, const struct stomp_frame *frame, const char *header)
{
    struct error_about about = error_about_frame(frame);
    char message[64];
    bool is_id = strcmp(header, "id") == 0 || strcmp(header, "message-id") == 0;
    snprintf(message, sizeof(message), "Missing %s", is_id ? "header" : header);
    error_refuse(s, CLOSE_REFUSED_FRAME, &about, message,
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
