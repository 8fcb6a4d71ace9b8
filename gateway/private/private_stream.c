/* Streams are read from an offset and keep no account of their readers. What was delivered and not
 * settled is remembered here with its offset, so that after a loss a consumer starts where its
 * session stands, not where it once began. */
#include "gateway/private/private_internal.h"

#include <stdlib.h>
#include <string.h>

#define OFFSET "x-stream-offset"

struct entry {
    uint64_t tag;
    int64_t offset;
    bool is_settled;
};

/* Invariant: the first of the entries is not settled. */
struct private_stream {
    struct entry *entries; /* oldest first, by tag; those from `head` on */
    size_t head;
    size_t n;
    size_t cap;
    int64_t next; /* behind the last that was taken */
};

static bool offset_of(const struct broker_delivery *delivery, int64_t *offset)
{
    for (size_t i = 0; i < delivery->properties.n_headers; i++) {
        const struct broker_header *h = &delivery->properties.headers[i];
        char text[24];
        if (slice_is(h->name, OFFSET) && h->value.len > 0 && h->value.len < sizeof text) {
            memcpy(text, h->value.ptr, h->value.len);
            text[h->value.len] = 0;
            *offset = strtoll(text, NULL, 10);
            return true;
        }
    }
    return false;
}

/* Moves what is not settled to the front. */
static void compact(struct private_stream *stream)
{
    size_t kept = 0;
    for (size_t i = 0; i < stream->n; i++) {
        struct entry entry = stream->entries[stream->head + i];
        if (!entry.is_settled) {
            stream->entries[kept++] = entry;
        }
    }
    stream->head = 0;
    stream->n = kept;
}

/* At least half of it is free then, so that not every push moves them all. */
static int make_room(struct private_stream *stream)
{
    compact(stream);
    if (stream->n < stream->cap / 2) {
        return 0;
    }
    size_t cap = stream->cap ? stream->cap * 2 : 64;
    struct entry *entries = realloc(stream->entries, cap * sizeof *entries);
    if (!entries) {
        return -1;
    }
    stream->entries = entries;
    stream->cap = cap;
    return 0;
}

static int push(struct private_stream *stream, struct entry entry)
{
    if (stream->head + stream->n == stream->cap && make_room(stream) != 0) {
        return -1;
    }
    stream->entries[stream->head + stream->n++] = entry;
    return 0;
}

bool private_stream_is_unsure(const struct private_subscription *sub,
                              const struct broker_delivery *delivery)
{
    int64_t offset;
    return sub->queue->kind == PRIVATE_EITHER && offset_of(delivery, &offset);
}

/* False: it does not come from a stream. In a queue that we declared as another kind, a header of
 * that name is the publisher's. */
static bool recognize(struct private_subscription *sub, const struct broker_delivery *delivery,
                      int64_t *offset)
{
    if (sub->queue->kind == PRIVATE_QUEUE || !offset_of(delivery, offset)) {
        return false;
    }
    if (!sub->stream && (sub->stream = calloc(1, sizeof *sub->stream)) != NULL) {
        sub->stream->next = *offset;
    }
    return true;
}

void private_stream_take(struct private_subscription *sub, const struct broker_delivery *delivery)
{
    struct entry entry = {.tag = delivery->tag};
    if (recognize(sub, delivery, &entry.offset) && sub->stream && push(sub->stream, entry) == 0) {
        sub->stream->next = entry.offset + 1;
    }
}

bool private_stream_refuse(struct private_subscription *sub, const struct broker_delivery *delivery)
{
    int64_t offset;
    if (sub->queue->kind != PRIVATE_STREAM || !recognize(sub, delivery, &offset)) {
        return false;
    }
    struct private_stream *stream = sub->stream;
    if (stream && stream->n > 0 &&
        stream->entries[stream->head + stream->n - 1].tag == delivery->tag) {
        stream->n--; /* it was to be taken */
        stream->next = offset;
    }
    return true;
}

/* The first entry that is not older than this tag. */
static size_t find(const struct private_stream *stream, uint64_t tag)
{
    size_t low = 0;
    size_t high = stream->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (stream->entries[stream->head + middle].tag < tag) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* A session may have tens of thousands unsettled, and settle them in any order: so nothing is moved
 * here. */
static bool forget(struct private_stream *stream, uint64_t tag, bool is_multiple)
{
    size_t at = find(stream, tag);
    struct entry *first = stream->entries + stream->head;
    bool is_there = at < stream->n && first[at].tag == tag;
    if (is_there) {
        first[at].is_settled = true;
    }
    size_t n = is_multiple ? at : 0;
    while (n < stream->n && first[n].is_settled) {
        n++;
    }
    stream->head += n;
    stream->n -= n;
    return is_there;
}

const struct private_subscription *private_stream_settled(struct private_session *s,
                                                          const struct session_settle *settle)
{
    const struct private_subscription *found = NULL;
    for (struct list *node = s->subscriptions.next; node != &s->subscriptions; node = node->next) {
        struct private_subscription *sub = LIST_OWNER(node, struct private_subscription, node);
        if (sub->stream && forget(sub->stream, settle->tag, settle->is_multiple)) {
            found = sub;
        }
    }
    return found;
}

/* Where the offset stands among the arguments, or would stand. */
static size_t place_of_offset(const struct private_queue *q)
{
    size_t i = 0;
    while (i < q->n_consume_args && !slice_is(q->consume_args[i].name, OFFSET)) {
        i++;
    }
    return i;
}

static void seek(struct private_queue *q, int64_t offset)
{
    size_t i = place_of_offset(q);
    q->n_consume_args += i == q->n_consume_args; /* there is room for one more */
    q->consume_args[i] = (struct broker_argument){
        .type = BROKER_INTEGER,
        .name = SLICE_LITERAL(OFFSET),
        .number = offset,
    };
}

void private_stream_rewind(struct private_subscription *sub)
{
    struct private_stream *stream = sub->stream;
    if (!stream) {
        return;
    }
    if (stream->n > 0) {
        stream->next = stream->entries[stream->head].offset; /* also when this is lost in turn */
    }
    seek(sub->queue, stream->next);
    stream->n = stream->head = 0;
}

void private_stream_resume(struct private_subscription *sub)
{
    if (sub->stream && sub->queue->kind == PRIVATE_STREAM) {
        seek(sub->queue, sub->stream->next);
    }
}

void private_stream_stands(struct private_subscription *sub)
{
    struct private_queue *q = sub->queue;
    if (q->kind == PRIVATE_EITHER && place_of_offset(q) < q->n_consume_args) {
        q->kind = PRIVATE_STREAM;
    }
}

bool private_stream_is_none(struct private_subscription *sub)
{
    struct private_queue *q = sub->queue;
    size_t i = place_of_offset(q);
    if (q->kind != PRIVATE_EITHER || i == q->n_consume_args) {
        return false;
    }
    q->kind = PRIVATE_QUEUE;
    q->consume_args[i] = q->consume_args[--q->n_consume_args];
    private_stream_free(sub->stream);
    sub->stream = NULL;
    return true;
}

void private_stream_free(struct private_stream *stream)
{
    if (stream) {
        free(stream->entries);
        free(stream);
    }
}
