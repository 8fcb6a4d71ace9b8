#include "gateway/fanout/audience.h"

#include "gateway/fanout/cohort.h"

#include <assert.h>
#include <stdlib.h>

void audience_sink_init(struct audience_sink *sink, void (*over)(void *owner),
                        void (*flush)(struct outq *q))
{
    *sink = (struct audience_sink){.over = over, .flush = flush};
    list_init(&sink->dirty);
}

void audience_settle(struct audience_sink *sink)
{
    while (!list_is_empty(&sink->dirty)) {
        cohort_settle(LIST_OWNER(sink->dirty.next, struct cohort, dirty));
    }
}

void audience_init(struct audience *a, const struct config *config, const char *exchange,
                   enum outq_policy policy, struct audience_sink *sink)
{
    *a = (struct audience){.config = config, .exchange = exchange, .policy = policy, .sink = sink};
    a->opcode = config->gateway.ws_frame == CONFIG_FRAME_TEXT     ? ENCODE_TEXT
                : config->gateway.ws_frame == CONFIG_FRAME_BINARY ? ENCODE_BINARY
                                                                  : ENCODE_AUTO;
    map_init(&a->exact);
    list_init(&a->patterns);
}

void audience_fini(struct audience *a)
{
    assert(a->n_rooms == 0);
    map_fini(&a->exact);
    patterns_fini(&a->by_pattern);
}

struct room *audience_find(const struct audience *a, struct slice key, bool is_pattern)
{
    return is_pattern ? patterns_get(&a->by_pattern, key) : map_get(&a->exact, key.ptr, key.len);
}

static int index_room(struct audience *a, struct room *room)
{
    if (!room->is_pattern) {
        return map_put(&a->exact, room->key, room->key_len, room);
    }
    return patterns_put(&a->by_pattern, (struct slice){room->key, room->key_len}, room);
}

struct room *audience_add(struct audience *a, struct slice key, bool is_pattern)
{
    struct room *room = calloc(1, sizeof *room + key.len + 1);
    if (!room) {
        return NULL;
    }
    room->audience = a;
    room->is_pattern = is_pattern;
    room->key_len = (uint16_t)key.len;
    memcpy(room->key, key.ptr ? key.ptr : "", key.len);
    list_init(&room->node);
    list_init(&room->cohorts);
    list_init(&room->waiting);
    map_init(&room->by_bytes);
    if (index_room(a, room) != 0) {
        free(room);
        return NULL;
    }
    if (is_pattern) {
        list_push(&a->patterns, &room->node);
    }
    a->n_rooms++;
    return room;
}

void audience_remove(struct room *room)
{
    assert(room_is_empty(room));
    struct audience *a = room->audience;
    if (room->is_pattern) {
        list_remove(&room->node);
        patterns_take(&a->by_pattern, (struct slice){room->key, room->key_len});
    } else {
        map_take(&a->exact, room->key, room->key_len);
    }
    map_fini(&room->by_bytes);
    free(room);
    a->n_rooms--;
}

void room_wait(struct room *room, struct subscriber *s)
{
    s->room = room;
    s->cohort = NULL;
    list_push(&room->waiting, &s->waiting);
}

int room_join(struct room *room, struct subscriber *s)
{
    list_remove(&s->waiting);
    s->room = room;
    struct cohort *c = cohort_for(room, s->version, s->id, s->spelling);
    if (!c || cohort_add(c, s) != 0) {
        if (c && c->n == 0) {
            cohort_free(c);
        }
        s->room = NULL;
        return -1;
    }
    room->n_members++;
    return 0;
}

void room_leave(struct subscriber *s)
{
    struct cohort *c = s->cohort;
    list_remove(&s->waiting);
    s->cohort = NULL;
    if (!c) {
        return;
    }
    c->room->n_members--;
    cohort_remove(c, s);
}

void room_deliver(struct room *room, struct encoder *e)
{
    if (room->n_members == 0) {
        return;
    }
    for (struct list *n = room->cohorts.next; n != &room->cohorts; n = n->next) {
        cohort_deliver(LIST_OWNER(n, struct cohort, node), e);
    }
    room->has_gap = false;
}

struct pattern_delivery {
    struct encoder *encoder;
    size_t n_rooms;
};

static void deliver_pattern(void *room, void *arg)
{
    struct pattern_delivery *d = arg;
    room_deliver(room, d->encoder);
    d->n_rooms++;
}

size_t audience_deliver(struct audience *a, struct encoder *e, struct slice key)
{
    struct pattern_delivery d = {.encoder = e};
    struct room *exact = map_get(&a->exact, key.ptr, key.len);
    if (exact) {
        room_deliver(exact, e);
        d.n_rooms++;
    }
    patterns_match(&a->by_pattern, key, deliver_pattern, &d);
    return d.n_rooms;
}

struct subscriber *room_any(const struct room *room)
{
    if (list_is_empty(&room->cohorts)) {
        return NULL;
    }
    return LIST_OWNER(room->cohorts.next, struct cohort, node)->members[0].who;
}

void room_each(struct room *room, void (*fn)(struct subscriber *s, void *arg), void *arg)
{
    struct list *next;
    for (struct list *node = room->cohorts.next; node != &room->cohorts; node = next) {
        struct cohort *c = LIST_OWNER(node, struct cohort, node);
        next = node->next;
        /* From the end: a member that leaves is replaced by the last, which was visited already. */
        for (uint32_t i = c->n; i-- > 0;) {
            bool is_last = c->n == 1;
            fn(c->members[i].who, arg);
            if (is_last) {
                break; /* the cohort may be gone */
            }
        }
    }
}
