#include "gateway/session/session_internal.h"

#include <stdlib.h>

/* Copies `text` to *at and moves *at behind it; an absent slice stays absent. */
static struct slice put(char **at, struct slice text)
{
    if (!text.ptr) {
        return text;
    }
    struct slice copy = {*at, text.len};
    if (text.len) {
        memcpy(*at, text.ptr, text.len);
    }
    *at += text.len;
    return copy;
}

struct parked_frame *parked_copy(const struct stomp_frame *frame, uint64_t arrived_ms)
{
    size_t size = sizeof(struct parked_frame) + frame->n_headers * sizeof(struct stomp_header);
    size += frame->command_text.len + frame->body.len;
    for (unsigned i = 0; i < frame->n_headers; i++) {
        size += frame->headers[i].name.len + frame->headers[i].value.len;
    }
    struct parked_frame *parked = malloc(size);
    if (!parked) {
        return NULL;
    }
    *parked = (struct parked_frame){
        .arrived_ms = arrived_ms,
        .size = size,
        .command = frame->command,
        .n_headers = frame->n_headers,
    };
    char *at = (char *)&parked->headers[frame->n_headers];
    for (unsigned i = 0; i < frame->n_headers; i++) {
        parked->headers[i].name = put(&at, frame->headers[i].name);
        parked->headers[i].value = put(&at, frame->headers[i].value);
    }
    parked->command_text = put(&at, frame->command_text);
    parked->body = put(&at, frame->body);
    return parked;
}

void parked_append(struct session *s, struct parked_queue *queue, struct parked_frame *parked)
{
    parked->next = NULL;
    if (queue->tail) {
        queue->tail->next = parked;
    } else {
        queue->head = parked;
    }
    queue->tail = parked;
    s->parked_bytes += parked->size;
}

int parked_push(struct session *s, struct parked_queue *queue, const struct stomp_frame *frame,
                uint64_t arrived_ms)
{
    struct parked_frame *parked = parked_copy(frame, arrived_ms);
    if (!parked) {
        return -1;
    }
    parked_append(s, queue, parked);
    if (frame->command == STOMP_SEND && stomp_frame_get(frame, "receipt").ptr) {
        receipts_note(s, arrived_ms);
    }
    return 0;
}

int parked_push_front(struct session *s, struct parked_queue *queue,
                      const struct stomp_frame *frame, uint64_t arrived_ms)
{
    struct parked_queue behind = *queue;
    *queue = (struct parked_queue){NULL, NULL};
    int result = parked_push(s, queue, frame, arrived_ms);
    if (result == 0 && behind.head) {
        queue->tail->next = behind.head;
        queue->tail = behind.tail;
    } else if (result != 0) {
        *queue = behind;
    }
    return result;
}

struct parked_frame *parked_pop(struct session *s, struct parked_queue *queue)
{
    struct parked_frame *parked = queue->head;
    if (!parked) {
        return NULL;
    }
    queue->head = parked->next;
    if (!queue->head) {
        queue->tail = NULL;
    }
    assert(s->parked_bytes >= parked->size);
    s->parked_bytes -= parked->size;
    return parked;
}

void parked_free(struct parked_frame *parked)
{
    free(parked);
}

void parked_clear(struct session *s, struct parked_queue *queue)
{
    struct parked_frame *parked;
    while ((parked = parked_pop(s, queue)) != NULL) {
        if (parked->commit) {
            commit_drop(s, parked->commit);
        }
        parked_free(parked);
    }
}

void parked_frame(const struct parked_frame *parked, struct stomp_frame *frame)
{
    frame->command = parked->command;
    frame->command_text = parked->command_text;
    frame->n_headers = parked->n_headers;
    frame->body = parked->body;
    memcpy(frame->headers, parked->headers, parked->n_headers * sizeof(parked->headers[0]));
}

/* Who has not logged in may make us keep no more than one frame may have before CONNECTED. */
static size_t bound(const struct session *s)
{
    size_t all = (size_t)s->settings->config->limits.parked_bytes;
    size_t before = s->settings->limits_before.frame_bytes;
    return s->state == SESSION_STATE_LOGIN && before && before < all ? before : all;
}

void parked_check_reading(struct session *s)
{
    if (s->state == SESSION_STATE_CLOSED) {
        return;
    }
    if (!s->is_reading_off && s->parked_bytes && s->parked_bytes >= bound(s)) {
        s->is_reading_off = true;
        s->host->read(s->host_data, false);
    } else if (s->is_reading_off && s->parked_bytes <= bound(s) / 2) {
        s->is_reading_off = false;
        /* While we did not listen the client could not be late. */
        beats_heard(s);
        if (s->half_frame_ms != SESSION_NEVER) {
            s->half_frame_ms = s->now_ms;
        }
        s->host->read(s->host_data, true);
    }
}
