#include "gateway/session/session_internal.h"

#include <stdlib.h>

#define ANONYMOUS SLICE_LITERAL("anonymous")

static void refuse_version(struct session *s, const struct error_about *about)
{
    error_refuse(s, CLOSE_REFUSED_FRAME, about, "Version mismatch",
                 "Supported versions are 1.0,1.1,1.2\n");
}

static void refuse_heartbeat(struct session *s, const struct error_about *about)
{
    error_refuse(s, CLOSE_REFUSED_FRAME, about, "Processing error",
                 "heart-beat must be two numbers of milliseconds, like 10000,10000\n");
}

static char *name_of_user(struct slice login)
{
    struct slice user = login.ptr ? login : ANONYMOUS;
    char *name = malloc(user.len + 1);
    if (name) {
        memcpy(name, user.ptr, user.len);
        name[user.len] = '\0';
    }
    return name;
}

static void connected(struct session *s)
{
    stomp_parser_set_limits(&s->parser, &s->settings->limits);
    session_set_state(s, SESSION_STATE_RUNNING);
    s->was_connected = true;
    s->state_due_ms = SESSION_NEVER;
    beats_heard(s);
    reply_connected(s);
}

/* Where the ERROR did not end the session: it may try again for as long as a CONNECT may take. */
static void begin_again(struct session *s)
{
    if (s->state == SESSION_STATE_CLOSED) {
        return;
    }
    free(s->user);
    s->user = NULL;
    s->version = STOMP_1_0;
    stomp_parser_set_version(&s->parser, STOMP_1_0);
    session_set_state(s, SESSION_STATE_FRESH);
    s->state_due_ms = s->login_due_ms;
}

/* A host that gives no words leaves us RabbitMQ's. */
static void refused(struct session *s, const struct session_problem *problem)
{
    bool is_login = !problem || problem->reason == CLOSE_NONE || problem->reason == CLOSE_LOGIN;
    if (is_login && (!problem || !problem->message[0])) {
        error_refuse(s, CLOSE_LOGIN, NULL, "Bad CONNECT", "Access refused for user '%s'\n",
                     s->user);
    } else {
        error_problem(s, CLOSE_LOGIN, NULL, "Bad CONNECT", problem);
    }
    begin_again(s);
}

void connect_answer(struct session *s, bool is_ok, const struct session_problem *problem)
{
    if (s->state != SESSION_STATE_LOGIN) {
        return;
    }
    if (is_ok) {
        connected(s);
    } else {
        refused(s, problem);
    }
}

static void login(struct session *s, const struct stomp_frame *frame)
{
    struct session_problem problem = {0};
    enum session_verdict verdict = s->host->login(s->host_data, stomp_frame_get(frame, "login"),
                                                  stomp_frame_get(frame, "passcode"), &problem);
    /* The next frame may stand in the same bytes: it is read by the new rules already. */
    stomp_parser_set_version(&s->parser, s->version);
    switch (verdict) {
    case SESSION_DONE:
        connected(s);
        return;
    case SESSION_WAIT:
        return;
    case SESSION_REFUSED:
        refused(s, &problem);
        return;
    }
}

/* host, and whatever else a client may add, is ignored: Spring's relay passes a browser's headers
 * through. */
void connect_begin(struct session *s, const struct stomp_frame *frame)
{
    const struct error_about about = error_about_frame(frame);
    uint32_t cx_ms;
    uint32_t cy_ms;
    if (frame->command != STOMP_CONNECT) {
        error_refuse(s, CLOSE_REFUSED_FRAME, &about, "Illegal command",
                     "You must log in using CONNECT first");
        return;
    }
    enum stomp_version version;
    if (stomp_version_negotiate(stomp_frame_get(frame, "accept-version"), &version) != 0) {
        refuse_version(s, &about);
        return;
    }
    if (stomp_heartbeat_parse(stomp_frame_get(frame, "heart-beat"), &cx_ms, &cy_ms) != 0) {
        refuse_heartbeat(s, &about);
        return;
    }
    s->user = name_of_user(stomp_frame_get(frame, "login"));
    if (!s->user) {
        error_out_of_memory(s);
        return;
    }
    s->version = version;
    beats_agree(s, cx_ms, cy_ms);
    session_set_state(s, SESSION_STATE_LOGIN);
    s->state_due_ms = SESSION_NEVER; /* how long a login may take is the host's to say */
    login(s, frame);
}
