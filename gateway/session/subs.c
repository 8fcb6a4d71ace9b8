#include "gateway/access/acl.h"
#include "gateway/session/session_internal.h"

#include <stdlib.h>

static bool has_control(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.ptr[i] < 0x20 || text.ptr[i] == 0x7f) {
            return true;
        }
    }
    return false;
}

/* By its id; in 1.0 a subscription without one goes by its destination. Linear:
 * limits.subscriptions is small. */
static struct session_subscription *find(const struct session *s, struct slice id,
                                         struct slice spelling)
{
    for (uint32_t i = 0; i < s->n_subs; i++) {
        struct session_subscription *sub = s->subs[i];
        bool is_it = id.ptr ? sub->id.ptr && slice_equals(sub->id, id)
                            : !sub->id.ptr && slice_equals(sub->spelling, spelling);
        if (is_it) {
            return sub;
        }
    }
    return NULL;
}

static struct session_subscription *find_handle(const struct session *s, uint32_t handle)
{
    for (uint32_t i = 0; i < s->n_subs; i++) {
        if (s->subs[i]->handle == handle) {
            return s->subs[i];
        }
    }
    return NULL;
}

/* Adds it to the session. -1 when out of memory. */
static int keep(struct session *s, struct session_subscription *sub)
{
    if (s->n_subs == s->cap_subs) {
        uint32_t cap = s->cap_subs ? s->cap_subs * 2 : 1;
        struct session_subscription **subs =
            realloc(s->subs, cap * sizeof(struct session_subscription *));
        if (!subs) {
            return -1;
        }
        s->subs = subs;
        s->cap_subs = cap;
    }
    s->subs[s->n_subs++] = sub;
    return 0;
}

static void drop(struct session *s, struct session_subscription *sub)
{
    uint32_t i = 0;
    while (i < s->n_subs && s->subs[i] != sub) {
        i++;
    }
    assert(i < s->n_subs);
    s->n_subs--;
    memmove(&s->subs[i], &s->subs[i + 1], (s->n_subs - i) * sizeof(struct session_subscription *));
    if (s->outstanding == sub) {
        s->outstanding = NULL;
    }
    free(sub);
}

static struct session_subscription *new_subscription(struct session *s, struct slice id,
                                                     struct slice spelling)
{
    struct session_subscription *sub = calloc(1, sizeof(*sub) + id.len + spelling.len);
    if (!sub) {
        return NULL;
    }
    char *text = (char *)(sub + 1);
    memcpy(text, spelling.ptr, spelling.len);
    sub->spelling = (struct slice){text, spelling.len};
    if (id.ptr) {
        memcpy(text + spelling.len, id.ptr, id.len);
        sub->id = (struct slice){text + spelling.len, id.len};
    }
    sub->handle = ++s->last_handle;
    if (keep(s, sub) != 0) {
        free(sub);
        return NULL;
    }
    return sub;
}

/* ERROR and false when the client may not have this id. */
static bool check_id(struct session *s, const struct stomp_frame *frame, struct slice id,
                     struct slice spelling)
{
    struct error_about about = error_about_frame(frame);
    if (!id.ptr && s->version != STOMP_1_0) {
        error_missing_header(s, frame, "id");
        return false;
    }
    if (id.ptr && (id.len > SESSION_ID_MAX || has_control(id))) {
        error_end(s, CLOSE_REFUSED_FRAME, &about, "Invalid header",
                  "'id' may have %d bytes and no control characters\n", SESSION_ID_MAX);
        return false;
    }
    if (find(s, id, spelling)) {
        struct slice key = id.ptr ? id : spelling;
        error_end(s, CLOSE_REFUSED_FRAME, &about, "Duplicated subscription identifier",
                  "A subscription identified by '%c_%.*s' already exists.\n", id.ptr ? 'T' : 'Q',
                  (int)key.len, key.ptr);
        return false;
    }
    return true;
}

/* The shared queues are never acknowledged (design section 6), so a client's acks would be for
 * nothing. */
static bool check_ack(struct session *s, const struct stomp_frame *frame)
{
    struct slice ack = stomp_frame_get(frame, "ack");
    struct error_about about = error_about_frame(frame);
    if (!ack.ptr || slice_is(ack, "auto")) {
        return true;
    }
    if (slice_is(ack, "client") || slice_is(ack, "client-individual")) {
        error_end(s, CLOSE_REFUSED_FRAME, &about, "Not supported",
                  "ack:%.*s is not supported by this server yet: use ack:auto\n", (int)ack.len,
                  ack.ptr);
    } else {
        error_end(s, CLOSE_REFUSED_FRAME, &about, "Processing error",
                  "ack must be auto, client or client-individual\n");
    }
    return false;
}

/* ERROR and false when the client may not subscribe this. */
static bool check_destination(struct session *s, const struct stomp_frame *frame,
                              struct slice spelling, struct destination *d)
{
    struct error_about about = error_about_frame(frame);
    enum destination_error error = destination_resolve(s->settings->config, spelling, d);
    if (error != DESTINATION_OK) {
        char body[512];
        destination_error_body(error, spelling, body, sizeof(body));
        error_end(s, CLOSE_REFUSED_FRAME, &about, destination_error_message(error), "%s", body);
        return false;
    }
    if (!acl_may_subscribe(d, slice_of(s->user))) {
        error_end(s, CLOSE_REFUSED_FRAME, &about, "access_refused",
                  "ACCESS_REFUSED - user '%s' may not subscribe to '%.*s'\n", s->user,
                  (int)spelling.len, spelling.ptr);
        return false;
    }
    if (s->n_subs >= (uint32_t)s->settings->config->limits.subscriptions) {
        error_end(s, CLOSE_LIMIT, &about, "Too many subscriptions",
                  "A session may have %d subscriptions\n",
                  s->settings->config->limits.subscriptions);
        return false;
    }
    return true;
}

static void stands(struct session *s, struct session_subscription *sub,
                   const struct stomp_frame *frame)
{
    sub->is_live = true;
    reply_receipt_of(s, frame);
}

static void start(struct session *s, const struct stomp_frame *frame,
                  struct session_subscription *sub, const struct destination *d)
{
    struct session_problem problem = {0};
    struct error_about about = error_about_frame(frame);
    bool is_ok = true;
    switch (s->host->subscribe(s->host_data, sub, d, &problem)) {
    case SESSION_DONE:
        stands(s, sub, frame);
        return;
    case SESSION_WAIT:
        s->outstanding = sub;
        s->receipt = session_copy(stomp_frame_get(frame, "receipt"), &is_ok);
        if (!is_ok) {
            error_out_of_memory(s);
        }
        return;
    case SESSION_REFUSED:
        drop(s, sub);
        error_problem(s, CLOSE_REFUSED_FRAME, &about, "Subscription refused", &problem);
        return;
    }
}

void subs_subscribe(struct session *s, const struct stomp_frame *frame)
{
    struct slice spelling = stomp_frame_get(frame, "destination");
    struct slice id = stomp_frame_get(frame, "id");
    struct destination d;
    if (!spelling.ptr) {
        error_missing_header(s, frame, "destination");
        return;
    }
    if (!check_id(s, frame, id, spelling) || !check_ack(s, frame) ||
        !check_destination(s, frame, spelling, &d)) {
        return;
    }
    struct session_subscription *sub = new_subscription(s, id, spelling);
    if (!sub) {
        error_out_of_memory(s);
        return;
    }
    sub->is_pattern = d.is_pattern;
    start(s, frame, sub, &d);
}

/* An unknown id is no error: Spring's relay passes on what was never subscribed here (contracts:
 * spring 2.1, 3). */
void subs_unsubscribe(struct session *s, const struct stomp_frame *frame)
{
    struct slice id = stomp_frame_get(frame, "id");
    struct slice spelling = stomp_frame_get(frame, "destination");
    struct error_about about = error_about_frame(frame);
    if (!id.ptr && (s->version != STOMP_1_0 || !spelling.ptr)) {
        error_end(s, CLOSE_REFUSED_FRAME, &about, "Missing destination or id", "%s",
                  s->version == STOMP_1_0
                      ? "UNSUBSCRIBE must include a 'destination' or 'id' header\n"
                      : "UNSUBSCRIBE must include an 'id' header\n");
        return;
    }
    struct session_subscription *sub = find(s, id, spelling);
    if (sub) {
        s->host->unsubscribe(s->host_data, sub, false);
        drop(s, sub);
    }
    reply_receipt_of(s, frame);
}

/* Takes the receipt of the outstanding SUBSCRIBE out; the caller frees it. */
static struct slice take_receipt(struct session *s)
{
    struct slice receipt = s->receipt;
    s->receipt = (struct slice){NULL, 0};
    s->outstanding = NULL;
    return receipt;
}

void subs_answer(struct session *s, uint32_t handle, bool is_ok,
                 const struct session_problem *problem)
{
    struct session_subscription *sub = s->outstanding;
    if (!sub || sub->handle != handle) {
        return;
    }
    struct slice receipt = take_receipt(s);
    if (is_ok) {
        sub->is_live = true;
        if (receipt.ptr) {
            reply_receipt(s, receipt);
        }
    } else {
        const struct error_about about = {receipt, sub->id, sub->spelling};
        error_problem(s, CLOSE_REFUSED_FRAME, &about, "Subscription refused", problem);
    }
    free((void *)(uintptr_t)receipt.ptr);
}

/* RabbitMQ's words for a consumer that the broker cancelled. */
void subs_lost(struct session *s, uint32_t handle, const struct session_problem *problem)
{
    struct session_subscription *sub = find_handle(s, handle);
    if (!sub) {
        return;
    }
    const struct error_about about = {.subscription = sub->id, .destination = sub->spelling};
    if (problem && problem->message[0]) {
        error_problem(s, CLOSE_BROKER, &about, "", problem);
        return;
    }
    struct slice key = sub->id.ptr ? sub->id : sub->spelling;
    error_end(s, CLOSE_BROKER, &about, "Server cancelled subscription",
              "The server has canceled a subscription.\nNo more messages will be delivered for "
              "\"%s='%.*s'\".\n",
              sub->id.ptr ? "id" : "destination", (int)key.len, key.ptr);
}

void subs_drop_all(struct session *s)
{
    for (uint32_t i = 0; i < s->n_subs; i++) {
        s->host->unsubscribe(s->host_data, s->subs[i], false);
        free(s->subs[i]);
    }
    free(s->subs);
    s->subs = NULL;
    s->n_subs = 0;
    s->cap_subs = 0;
    s->outstanding = NULL;
}
