#include "gateway/fanout/cohort.h"

#include <assert.h>
#include <stdlib.h>

/* As much as one write takes (reactor.h). */
#define PENDING_BYTES_MAX (64u * 1024u)

/* ---- Members ---- */

static struct cohort *cohort_new(struct room *room, const char *key, size_t key_len, bool has_id,
                                 size_t id_len)
{
    struct cohort *c = calloc(1, sizeof *c + key_len);
    if (!c) {
        return NULL;
    }
    memcpy(c->key, key, key_len);
    c->key_len = key_len;
    c->room = room;
    c->version = (enum stomp_version)c->key[0];
    c->id = (struct slice){has_id ? c->key + 2 : NULL, id_len};
    c->spelling = (struct slice){c->key + 2 + id_len + 1, key_len - 2 - id_len - 1};
    list_init(&c->dirty);
    if (map_put(&room->by_bytes, c->key, key_len, c) != 0) {
        free(c);
        return NULL;
    }
    list_push(&room->cohorts, &c->node);
    return c;
}

struct cohort *cohort_for(struct room *room, enum stomp_version version, struct slice id,
                          struct slice spelling)
{
    if (room->is_pattern) {
        spelling = (struct slice){"", 0}; /* it depends on the message, not on the subscriber */
    }
    size_t key_len = 2 + id.len + 1 + spelling.len;
    char on_stack[512];
    char *key = key_len <= sizeof on_stack ? on_stack : malloc(key_len);
    if (!key) {
        return NULL;
    }
    key[0] = (char)version;
    key[1] = id.ptr ? 1 : 0;
    memcpy(key + 2, id.ptr ? id.ptr : "", id.len);
    key[2 + id.len] = 0;
    memcpy(key + 3 + id.len, spelling.ptr, spelling.len);
    struct cohort *c = map_get(&room->by_bytes, key, key_len);
    if (!c) {
        c = cohort_new(room, key, key_len, id.ptr != NULL, id.len);
    }
    if (key != on_stack) {
        free(key);
    }
    return c;
}

void cohort_free(struct cohort *c)
{
    assert(c->n == 0 && !c->pending);
    map_take(&c->room->by_bytes, c->key, c->key_len);
    list_remove(&c->node);
    free(c->members);
    free(c);
}

int cohort_add(struct cohort *c, struct subscriber *s)
{
    cohort_settle(c); /* what came before is not for this one */
    if (c->n == c->cap) {
        uint32_t cap = c->cap ? c->cap * 2 : 2;
        struct member *members = realloc(c->members, cap * sizeof *members);
        if (!members) {
            return -1;
        }
        c->members = members;
        c->cap = cap;
    }
    s->cohort = c;
    s->index = c->n;
    c->members[c->n++] = (struct member){s->outq, s};
    return 0;
}

void cohort_remove(struct cohort *c, struct subscriber *s)
{
    assert(c->members[s->index].who == s);
    cohort_settle(c);
    c->members[s->index] = c->members[--c->n];
    c->members[s->index].who->index = s->index;
    if (c->n == 0) {
        cohort_free(c);
    }
}

/* ---- What came for them ---- */

static void push(const struct cohort *c, const struct member *to, struct message *m)
{
    const struct audience *a = c->room->audience;
    struct audience_sink *sink = a->sink;
    struct outq *q = to->outq;
    if (outq_is_full(q) && sink->flush) {
        sink->flush(q);
    }
    uint64_t dropped = q->dropped;
    switch (m ? outq_push(q, m, a->policy) : OUTQ_MEMORY) {
    case OUTQ_DROPPED:
        sink->dropped += q->dropped - dropped;
        sink->queued += m->n_frames;
        break;
    case OUTQ_OK:
        sink->queued += m->n_frames;
        break;
    case OUTQ_OVER:
    case OUTQ_MEMORY:
        sink->over(to->who->owner);
        break;
    }
}

/* The same message with gap:true, made once for all members of whom it is true. */
struct told {
    const struct message *of;
    struct message *message; /* NULL: none, or out of memory */
};

static struct message *with_gap(struct told *told, struct message *m)
{
    if (told->of != m) {
        message_unref(told->message);
        *told = (struct told){m, message_with_gap(m)};
    }
    return told->message;
}

/* The first message behind a gap says so. */
static void push_each(const struct cohort *c, const struct member *to, struct told *told)
{
    for (struct message *m = c->pending; m; m = m->next) {
        bool has_gap = to->outq->has_gap;
        to->outq->has_gap = false;
        push(c, to, has_gap ? with_gap(told, m) : m);
    }
}

static void drop_pending(struct cohort *c)
{
    struct message *next;
    for (struct message *m = c->pending; m; m = next) {
        next = m->next;
        m->next = NULL;
        message_unref(m);
    }
    c->pending = c->last = NULL;
    c->n_pending = c->pending_bytes = 0;
}

/* A full queue takes them one by one: what it drops for the first of them is told with the next. */
static bool takes_pack(const struct outq *q, const struct message *pack)
{
    return pack && !q->has_gap && !outq_is_full(q) && !(q->is_plain && pack->n_frames > 1);
}

void cohort_settle(struct cohort *c)
{
    if (!c->pending) {
        return;
    }
    list_remove(&c->dirty);
    struct told told = {0};
    struct message *pack = NULL;
    if (c->n_pending == 1) {
        pack = message_ref(c->pending);
    } else if (c->n > 1) {
        pack = message_new_pack(c->pending, c->pending_bytes);
    }
    for (uint32_t i = 0; i < c->n; i++) {
        const struct member *to = &c->members[i];
        if (takes_pack(to->outq, pack)) {
            push(c, to, pack);
        } else {
            push_each(c, to, &told);
        }
    }
    message_unref(told.message);
    message_unref(pack);
    drop_pending(c);
}

void cohort_deliver(struct cohort *c, struct encoder *e)
{
    const struct room *room = c->room;
    const struct audience *a = room->audience;
    struct slice spelling =
        room->is_pattern ? encoder_spelling(e, a->config, a->exchange) : c->spelling;
    struct message *m = encode_message(e, c->version, c->id, spelling, room->has_gap, a->opcode);
    if (!m) {
        for (uint32_t i = 0; i < c->n; i++) {
            a->sink->over(c->members[i].who->owner);
        }
        return;
    }
    if (c->pending && c->pending_bytes + m->len > PENDING_BYTES_MAX) {
        cohort_settle(c);
    }
    if (!c->pending) {
        c->pending = m;
        list_push(&a->sink->dirty, &c->dirty);
    } else {
        c->last->next = m;
    }
    c->last = m;
    c->n_pending++;
    c->pending_bytes += m->len;
}
