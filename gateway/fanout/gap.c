/* What happens to the rooms of a live queue after messages may have been missed (DESIGN section 3):
 * mark, close or fill.
 *
 * A fill holds new deliveries of the queue (bounded), waits until the storage queue is drained or
 * history.fill_wait_ms is over, reads from PostgreSQL what was sent since a little before the gap,
 * gives what was not given before, then the held ones. Where that cannot be complete, the next
 * MESSAGE of every room is marked as well. The rows of all rooms of the exchange come in one read.
 */
#include "gateway/fanout/live_internal.h"

#include "common/log.h"
#include "persist/history.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#define RECENT_MAX 2048        /* ids remembered per queue, to tell what was given before the gap */
#define HELD_MAX_BYTES 8388608 /* of deliveries kept while a fill is under way */
#define CLOCK_SKEW_MS 2000     /* between the machines that make message ids */
#define PROBE_MS 100
#define PAGES_MAX 20

struct held {
    struct held *next;
    struct broker_delivery delivery; /* all slices point into bytes */
    struct broker_header *headers;
    char bytes[];
};

struct gap_fill {
    struct live_queue *queue;
    struct wheel_timer timer;
    uint64_t deadline_ms;
    struct id after;
    unsigned pages;
    unsigned empty_probes;
    bool is_reading;
    bool is_incomplete;
    struct held *first;
    struct held **last;
    size_t held_bytes;
};

struct live_recent {
    struct id ids[RECENT_MAX];
    uint32_t n;
};

/* ---- What was given already ---- */

static void remember(struct live_queue *q, struct id id)
{
    if (!q->recent) {
        q->recent = calloc(1, sizeof *q->recent);
    }
    if (q->recent) {
        q->recent->ids[q->recent->n++ % RECENT_MAX] = id;
    }
}

static bool was_given(const struct live_queue *q, struct id id)
{
    uint32_t n = q->recent ? q->recent->n < RECENT_MAX ? q->recent->n : RECENT_MAX : 0;
    for (uint32_t i = 0; i < n; i++) {
        if (memcmp(&q->recent->ids[i], &id, sizeof id) == 0) {
            return true;
        }
    }
    return false;
}

/* ---- Holding deliveries ---- */

static struct slice keep(char **p, struct slice s)
{
    if (!s.ptr) {
        return s;
    }
    memcpy(*p, s.ptr, s.len);
    struct slice copy = {*p, s.len};
    *p += s.len;
    return copy;
}

static size_t delivery_bytes(const struct broker_delivery *d)
{
    const struct broker_properties *p = &d->properties;
    size_t n = d->exchange.len + d->routing_key.len + d->body.len + p->content_type.len +
               p->content_encoding.len + p->correlation_id.len + p->reply_to.len +
               p->expiration.len + p->message_id.len + p->type.len + p->user_id.len + p->app_id.len;
    for (size_t i = 0; i < p->n_headers; i++) {
        n += p->headers[i].name.len + p->headers[i].value.len;
    }
    return n;
}

static struct held *hold(const struct broker_delivery *d)
{
    size_t n = delivery_bytes(d);
    size_t n_headers = d->properties.n_headers;
    struct held *h = malloc(sizeof *h + n);
    struct broker_header *headers = calloc(n_headers + 1, sizeof *headers);
    if (!h || !headers) {
        free(h);
        free(headers);
        return NULL;
    }
    char *p = h->bytes;
    h->next = NULL;
    h->headers = headers;
    h->delivery = *d;
    struct broker_delivery *c = &h->delivery;
    struct slice *const slices[] = {
        &c->exchange,
        &c->routing_key,
        &c->body,
        &c->properties.content_type,
        &c->properties.content_encoding,
        &c->properties.correlation_id,
        &c->properties.reply_to,
        &c->properties.expiration,
        &c->properties.message_id,
        &c->properties.type,
        &c->properties.user_id,
        &c->properties.app_id,
    };
    for (size_t i = 0; i < sizeof slices / sizeof slices[0]; i++) {
        *slices[i] = keep(&p, *slices[i]);
    }
    for (size_t i = 0; i < n_headers; i++) {
        headers[i].name = keep(&p, d->properties.headers[i].name);
        headers[i].value = keep(&p, d->properties.headers[i].value);
    }
    c->properties.headers = headers;
    return h;
}

static void held_free(struct held *h)
{
    free(h->headers);
    free(h);
}

bool live_gap_hold(struct live_queue *q, const struct broker_delivery *delivery)
{
    if (q->route->on_gap != CONFIG_GAP_FILL) {
        return false;
    }
    struct gap_fill *f = q->fill;
    if (f) {
        size_t n = delivery_bytes(delivery);
        struct held *h = f->held_bytes + n <= HELD_MAX_BYTES ? hold(delivery) : NULL;
        if (h) {
            f->held_bytes += n;
            *f->last = h;
            f->last = &h->next;
        } else {
            f->is_incomplete = true;
        }
        return true;
    }
    struct id id;
    if (delivery->properties.message_id.ptr &&
        id_parse(delivery->properties.message_id, &id) == 0) {
        remember(q, id);
    }
    return false;
}

/* ---- Marking and closing ---- */

static void mark_room(struct room *room, void *arg)
{
    (void)arg;
    room->has_gap = true;
}

static void close_member(struct subscriber *s, void *arg)
{
    const struct live *live = arg;
    live->options.host->gap(s->owner);
}

static void close_room(struct room *room, void *arg)
{
    room_each(room, close_member, arg);
}

/* ---- Filling ---- */

static void fill_end(struct gap_fill *f)
{
    struct live_queue *q = f->queue;
    q->fill = NULL;
    wheel_cancel(q->live->options.wheel, &f->timer);
    if (f->is_incomplete) {
        live_each_room(q, mark_room, NULL);
    }
    for (struct held *h = f->first, *next; h; h = next) {
        next = h->next;
        struct id id;
        bool has_id = h->delivery.properties.message_id.ptr &&
                      id_parse(h->delivery.properties.message_id, &id) == 0;
        if (!has_id || !was_given(q, id)) {
            if (has_id) {
                remember(q, id);
            }
            live_give(q, &h->delivery);
        }
        held_free(h);
    }
    log_info(q->live->options.name, "gap.filled", "queue=%s complete=%s", q->queue,
             f->is_incomplete ? "no" : "yes");
    free(f);
}

/* The headers of a row as the delivery had them. */
static size_t row_headers(json_t *object, struct broker_header *headers)
{
    size_t n = 0;
    const char *name;
    json_t *value;
    json_object_foreach(object, name, value)
    {
        if (n < BROKER_MAX_HEADERS && json_is_string(value)) {
            headers[n++] = (struct broker_header){
                slice_of(name), {json_string_value(value), json_string_length(value)}};
        }
    }
    return n;
}

static void give_row(struct live_queue *q, const struct history_row *row)
{
    char id[ID_TEXT_LEN + 1];
    id_text(row->id, id);
    struct broker_header headers[BROKER_MAX_HEADERS + 1];
    json_t *object = json_loadb(row->headers.ptr, row->headers.len, 0, NULL);
    size_t n = object ? row_headers(object, headers) : 0;
    if (row->destination.ptr) {
        headers[n++] = (struct broker_header){SLICE_LITERAL(ENCODE_DESTINATION), row->destination};
    }
    struct broker_delivery d = {
        .exchange = row->exchange,
        .routing_key = row->routing_key,
        .body = row->body,
        .is_redelivered = true,
        .properties = {.message_id = slice_of(id),
                       .content_type = row->content_type,
                       .headers = headers,
                       .n_headers = n},
    };
    live_give(q, &d);
    q->live->stats.filled++;
    json_decref(object);
}

static void read_page(struct gap_fill *f);

static void on_rows(void *owner, uint64_t cookie, const struct history_row *rows, size_t n,
                    const char *error)
{
    struct live *live = owner;
    struct live_queue *q = map_get(&live->by_id, &cookie, sizeof cookie);
    struct gap_fill *f = q ? q->fill : NULL;
    if (!f) {
        return;
    }
    for (size_t i = 0; i < n; i++) {
        if (!was_given(q, rows[i].id)) {
            remember(q, rows[i].id);
            give_row(q, &rows[i]);
        }
        f->after = rows[i].id;
    }
    bool has_more = n > 0;
    if (!error && has_more && ++f->pages < PAGES_MAX) {
        read_page(f);
        return;
    }
    f->is_incomplete = f->is_incomplete || error || has_more;
    fill_end(f);
}

static void read_page(struct gap_fill *f)
{
    struct live_queue *q = f->queue;
    f->is_reading = true;
    struct history_query query = {
        .exchange = q->exchange,
        .is_any_key = true,
        .is_ascending = true,
        .after = f->after,
        .limit = (unsigned)q->live->options.config->history.fill_rows,
    };
    if (history_read(q->live->options.history, &query, on_rows, q->live, q->id) != 0) {
        f->is_incomplete = true;
        fill_end(f);
    }
}

/* Two empty looks in a row: what a worker has taken is written by then. */
static void on_probe(void *owner, uint64_t cookie, const struct broker_reply *reply)
{
    struct live *live = owner;
    struct live_queue *q = map_get(&live->by_id, &cookie, sizeof cookie);
    struct gap_fill *f = q ? q->fill : NULL;
    if (!f) {
        return;
    }
    f->empty_probes = reply->is_ok && reply->messages == 0 ? f->empty_probes + 1 : 0;
    bool is_late = *live->options.now_ms >= f->deadline_ms;
    if (f->empty_probes >= 2 || is_late) {
        f->is_incomplete = f->is_incomplete || f->empty_probes < 2;
        read_page(f);
        return;
    }
    wheel_set(live->options.wheel, &f->timer, *live->options.now_ms + PROBE_MS);
}

static void on_timer(struct wheel_timer *timer, uint64_t now_ms)
{
    (void)now_ms;
    struct gap_fill *f = LIST_OWNER(timer, struct gap_fill, timer);
    struct live *live = f->queue->live;
    if (broker_probe_queue(live->broker, live->options.config->store.queue, on_probe,
                           f->queue->id) != 0) {
        f->is_incomplete = true;
        read_page(f);
    }
}

/* Smaller than every version 7 id made at that time or later. */
static struct id id_floor(uint64_t unix_ms)
{
    struct id id = {{0}};
    for (int i = 0; i < 6; i++) {
        id.bytes[i] = (uint8_t)(unix_ms >> (8 * (5 - i)));
    }
    return id;
}

static int fill_begin(struct live_queue *q, uint64_t from_unix_ms)
{
    struct live *live = q->live;
    if (!live->options.history || !history_is_up(live->options.history)) {
        return -1;
    }
    struct gap_fill *f = q->fill;
    if (f) {
        /* Another gap while the first is being filled. It is covered only if nothing was read yet.
         */
        f->is_incomplete = f->is_incomplete || f->is_reading;
        return 0;
    }
    f = calloc(1, sizeof *f);
    if (!f) {
        return -1;
    }
    f->queue = q;
    f->last = &f->first;
    f->after = id_floor(from_unix_ms > CLOCK_SKEW_MS ? from_unix_ms - CLOCK_SKEW_MS : 0);
    wheel_timer_init(&f->timer, on_timer);
    q->fill = f;
    f->deadline_ms = *live->options.now_ms + (uint64_t)live->options.config->history.fill_wait_ms;
    wheel_set(live->options.wheel, &f->timer, *live->options.now_ms + PROBE_MS);
    return 0;
}

void live_gap(struct live_queue *q, uint64_t from_unix_ms)
{
    static const char *const names[] = {"mark", "fill", "close"};
    log_warn(q->live->options.name, "gap", "queue=%s since_ms=%llu on_gap=%s", q->queue,
             (unsigned long long)(live_unix_ms() - from_unix_ms), names[q->route->on_gap]);
    switch (q->route->on_gap) {
    case CONFIG_GAP_FILL:
        if (fill_begin(q, from_unix_ms) == 0) {
            break;
        }
        live_each_room(q, mark_room, NULL);
        break;
    case CONFIG_GAP_MARK:
        live_each_room(q, mark_room, NULL);
        break;
    case CONFIG_GAP_CLOSE:
        live_each_room(q, close_room, q->live);
        break;
    }
}

void live_gap_cancel(struct live_queue *q)
{
    struct gap_fill *f = q->fill;
    if (f) {
        wheel_cancel(q->live->options.wheel, &f->timer);
        for (struct held *h = f->first, *next; h; h = next) {
            next = h->next;
            held_free(h);
        }
        free(f);
        q->fill = NULL;
    }
    free(q->recent);
    q->recent = NULL;
}
