/* Publishes: kept until confirmed, sent again when their channel or connection is lost, and what is
 * done when one of them is the reason for that. */
#include "amqp/publisher_internal.h"

#include <stdlib.h>
#include <string.h>

/* An exchange that vanishes more often than that under one message is given up. */
#define MISSING_TRIES 5

static struct pub_channel *pub_of(struct broker *b, unsigned number)
{
    return &b->publisher.channels[number == CH_DYNAMIC];
}

void publisher_init(struct broker *b)
{
    list_init(&b->publisher.asked);
    for (unsigned i = 0; i < 2; i++) {
        struct pub_channel *pc = &b->publisher.channels[i];
        pc->number = i == 0 ? CH_FIXED : CH_DYNAMIC;
        list_init(&pc->unsent);
        list_init(&pc->ready);
        confirm_init(&pc->sent);
    }
}

/* ---- In ---- */

static bool is_ready(const struct broker *b)
{
    return b->options.is_publisher && b->state == BROKER_UP && !b->is_blocked &&
           !b->conn.has_failed;
}

/* A single message that is larger than the whole bound must be able to pass. */
static bool has_room(const struct broker *b, size_t bytes)
{
    const struct publisher *p = &b->publisher;
    return p->bytes == 0 || p->bytes + bytes <= b->options.unconfirmed_bytes;
}

bool broker_is_full(const struct broker *b)
{
    return b->publisher.wants_room || !is_ready(b) || !has_room(b, 1);
}

static struct publication *publication_new(const struct broker_publish *from, size_t bound,
                                           unsigned number)
{
    size_t id_len = from->properties.message_id.len;
    size_t bytes = sizeof(struct publication) + bound + from->body.len + id_len;
    struct publication *p = malloc(bytes);
    if (!p) {
        return NULL;
    }
    memset(p, 0, sizeof(*p));
    ssize_t head = codec_publish_head(p->mem, bound, (uint16_t)number, from, &p->method_len);
    if (head < 0) {
        free(p);
        return NULL;
    }
    list_init(&p->node);
    p->session = from->session;
    p->token = from->token;
    p->bytes = bytes;
    p->head_len = (size_t)head;
    p->body_len = from->body.len;
    p->is_mandatory = from->is_mandatory;
    if (from->body.len > 0) {
        memcpy(p->mem + head, from->body.ptr, from->body.len);
    }
    uint8_t *id = p->mem + head + from->body.len;
    if (id_len > 0) {
        memcpy(id, from->properties.message_id.ptr, id_len);
    }
    p->message_id = (struct slice){(const char *)id, id_len};
    /* frame header (7), method id (4), ticket (2), then the two names with their lengths */
    const char *names = (const char *)p->mem + 13;
    p->exchange = (struct slice){names + 1, from->exchange.len};
    p->routing_key = (struct slice){names + 2 + from->exchange.len, from->routing_key.len};
    return p;
}

enum broker_publish_status broker_publish(struct broker *b, const struct broker_publish *publish)
{
    size_t bound =
        codec_publish_bound(publish, b->conn.frame_max ? b->conn.frame_max : CODEC_FRAME_MAX);
    if (bound == 0) {
        return BROKER_INVALID;
    }
    if (b->publisher.wants_room || !is_ready(b) ||
        !has_room(b, sizeof(struct publication) + bound + publish->body.len)) {
        b->publisher.wants_room = true;
        return BROKER_FULL;
    }
    unsigned number = publish->is_client_named ? CH_DYNAMIC : CH_FIXED;
    struct publication *p = publication_new(publish, bound, number);
    if (!p) {
        b->publisher.wants_room = true;
        return BROKER_FULL;
    }
    list_push(&pub_of(b, number)->unsent, &p->node);
    b->publisher.n++;
    b->publisher.bytes += p->bytes;
    broker_wake(b);
    return BROKER_ACCEPTED;
}

/* ---- Settled ---- */

void publisher_settle(struct broker *b, struct publication *p, enum broker_outcome outcome,
                      uint16_t code, const char *text)
{
    struct broker_settled settled = {
        .session = p->session,
        .token = p->token,
        .outcome = outcome,
        .code = code,
        .text = text,
        .bytes = p->body_len,
    };
    switch (outcome) {
    case BROKER_CONFIRMED:
        b->stats.confirmed++;
        break;
    case BROKER_NACKED:
        b->stats.nacked++;
        break;
    case BROKER_RETURNED:
        b->stats.returned++;
        break;
    case BROKER_REFUSED:
        b->stats.refused++;
        break;
    case BROKER_UNKNOWN:
        break;
    }
    b->publisher.n--;
    b->publisher.bytes -= p->bytes;
    if (b->events->settled) {
        b->events->settled(b->owner, &settled);
    }
    free(p->note);
    free(p);
}

static void forget_suspect(struct pub_channel *pc)
{
    if (pc->suspects > 0) {
        pc->suspects--;
    }
}

static void confirm_one(struct broker *b, struct pub_channel *pc, struct publication *p,
                        bool is_nack)
{
    forget_suspect(pc);
    if (p->absent && !is_nack) {
        absent_take(b, p);
        return;
    }
    absent_forget(b, p);
    if (is_nack) {
        publisher_settle(b, p, BROKER_NACKED, 0, "basic.nack");
    } else if (p->is_returned) {
        publisher_settle(b, p, BROKER_RETURNED, p->code, p->note ? p->note : "");
    } else {
        publisher_settle(b, p, BROKER_CONFIRMED, 0, "");
    }
}

void publisher_on_ack(struct broker *b, unsigned number, uint64_t tag, bool is_multiple,
                      bool is_nack)
{
    struct pub_channel *pc = pub_of(b, number);
    struct publication *p;
    if (!is_multiple) {
        p = confirm_take(&pc->sent, tag);
        if (p) {
            confirm_one(b, pc, p, is_nack);
        }
    } else {
        uint64_t up_to = tag ? tag : UINT64_MAX; /* 0: all that are outstanding */
        while ((p = confirm_shift(&pc->sent, up_to))) {
            confirm_one(b, pc, p, is_nack);
        }
    }
    broker_wake(b);
}

static bool is_returned_one(const struct publication *p, const struct content *c,
                            struct slice message_id)
{
    if (!p || !p->is_mandatory || p->is_returned) {
        return false;
    }
    return slice_equals(p->message_id, message_id) &&
           slice_equals(p->exchange, (struct slice){c->exchange, c->exchange_len}) &&
           slice_equals(p->routing_key, (struct slice){c->routing_key, c->routing_key_len});
}

/* Returns come in the order of the publishes, so the search goes on where the last one was found.
 */
void publisher_on_return(struct broker *b, unsigned number, const struct content *c)
{
    struct pub_channel *pc = pub_of(b, number);
    struct broker_properties properties;
    struct slice header = {(const char *)buf_data(&c->header), c->header.len};
    if (codec_properties(header, &properties, &b->room) < 0) {
        return;
    }
    uint64_t first = pc->sent.first;
    uint64_t n = pc->sent.next - first;
    uint64_t start =
        pc->return_hint > first && pc->return_hint < pc->sent.next ? pc->return_hint - first : 0;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t tag = first + (start + i) % n;
        struct publication *p = confirm_get(&pc->sent, tag);
        if (is_returned_one(p, c, properties.message_id)) {
            p->is_returned = true;
            p->code = c->code;
            p->note = strdup(c->consumer);
            pc->return_hint = tag + 1;
            absent_note_return(b, pc, p);
            return;
        }
    }
    log_warn(b->name, "broker.stray_return", "exchange=%s code=%u", c->exchange, c->code);
}

/* ---- Out ---- */

static struct publication *shift(struct pub_channel *pc)
{
    struct list *first = pc->unsent.next;
    if (first == &pc->unsent) {
        return NULL;
    }
    /* The analyzer does not see that what was freed had been unlinked before. */
    list_remove(first); // NOLINT(clang-analyzer-unix.Malloc)
    return LIST_OWNER(first, struct publication, node);
}

static void send_one(struct broker *b, struct pub_channel *pc, struct publication *p)
{
    struct conn *c = &b->conn;
    if (p->head_len - p->method_len > c->frame_max) {
        /* It was accepted under a larger frame_max, and this is another broker node. */
        forget_suspect(pc);
        publisher_settle(b, p, BROKER_REFUSED, 501,
                         "FRAME_ERROR - headers do not fit into a frame");
        return;
    }
    uint64_t tag = confirm_push(&pc->sent, p);
    if (tag == 0) {
        list_push(pc->unsent.next, &p->node);
        conn_fail(b, "out of memory");
        return;
    }
    struct slice body = {(const char *)p->mem + p->head_len, p->body_len};
    if (buf_append(&c->out, p->mem, p->head_len) < 0 ||
        codec_put_body(&c->out, (uint16_t)pc->number, body, c->frame_max) < 0) {
        conn_fail(b, "out of memory"); /* half a message may be in the output: the stream is lost */
        return;
    }
    b->stats.published++;
    b->stats.republished += p->was_sent;
    p->was_sent = true;
}

static void pump(struct broker *b, struct pub_channel *pc)
{
    while (!list_is_empty(&pc->unsent) && is_ready(b) && !pc->waits_for[0] &&
           b->conn.out.len < CONN_OUT_HIGH) {
        if (pc->suspects > 0 && pc->sent.n > 0) {
            return;
        }
        struct publication *p = shift(pc);
        if (absent_holds(pc, p)) {
            forget_suspect(pc);
        } else {
            send_one(b, pc, p);
        }
    }
}

void publisher_pump(struct broker *b)
{
    struct publisher *p = &b->publisher;
    struct pub_channel *fixed = &p->channels[0];
    struct pub_channel *dynamic = &p->channels[1];
    absent_pump(b, fixed);
    absent_pump(b, dynamic);
    if (p->closed_connection && fixed->suspects > 0) {
        pump(b, fixed);
        return;
    }
    if (p->closed_connection && dynamic->suspects > 0) {
        pump(b, dynamic);
        return;
    }
    p->closed_connection = false;
    pump(b, fixed);
    pump(b, dynamic);
}

void publisher_check_room(struct broker *b)
{
    struct publisher *p = &b->publisher;
    if (!p->wants_room || !is_ready(b) ||
        p->bytes > b->options.unconfirmed_bytes - b->options.unconfirmed_bytes / 4) {
        return;
    }
    p->wants_room = false;
    if (b->events->room) {
        b->events->room(b->owner);
    }
}

/* ---- Again ---- */

void publisher_put_first(struct pub_channel *pc, struct list *from)
{
    while (!list_is_empty(from)) {
        struct list *last = from->prev;
        list_remove(last);
        list_push(pc->unsent.next, last);
        pc->suspects += pc->suspects > 0; /* they are counted from the front */
    }
}

/* What was sent and not confirmed comes in front of what was not sent, in the old order. Returns
 * how many. The channel is gone: absent_put_back_returned() has to follow. */
static size_t take_back(struct pub_channel *pc)
{
    size_t n = 0;
    absent_put_back_held(pc);
    for (uint64_t tag = pc->sent.next; tag-- > pc->sent.first;) {
        struct publication *p = confirm_get(&pc->sent, tag);
        if (p) {
            free(p->note);
            p->note = NULL;
            p->is_returned = false;
            p->absent = NULL;
            list_push(pc->unsent.next, &p->node);
            n++;
        }
    }
    confirm_fini(&pc->sent);
    pc->return_hint = 0;
    return n;
}

void publisher_reset(struct broker *b)
{
    for (unsigned i = 0; i < 2; i++) {
        take_back(&b->publisher.channels[i]);
        absent_put_back_returned(b, &b->publisher.channels[i]);
        b->publisher.channels[i].waits_for[0] = '\0';
    }
}

/* Settles those that name the exchange. */
static void refuse_exchange(struct broker *b, struct pub_channel *pc, struct slice exchange,
                            unsigned tries_min, uint16_t code, const char *text)
{
    struct list *n = pc->unsent.next;
    size_t at = 0;
    size_t suspects = pc->suspects;
    while (n != &pc->unsent) {
        struct publication *p = LIST_OWNER(n, struct publication, node);
        n = n->next;
        bool is_suspect = at++ < suspects;
        if (!slice_equals(p->exchange, exchange) || p->tries < tries_min) {
            continue;
        }
        if (is_suspect) {
            forget_suspect(pc);
        }
        list_remove(&p->node);
        publisher_settle(b, p, BROKER_REFUSED, code, text);
    }
}

/* The name of the exchange that the broker misses, of those that are named by what is unconfirmed.
 */
static bool find_missing(const struct pub_channel *pc, const char *text, char name[256],
                         struct slice *exchange)
{
    for (const struct list *n = pc->unsent.next; n != &pc->unsent; n = n->next) {
        const struct publication *p = LIST_OWNER(n, struct publication, node);
        if (channel_says_missing(text, "exchange", p->exchange)) {
            memcpy(name, p->exchange.ptr, p->exchange.len);
            name[p->exchange.len] = '\0';
            *exchange = (struct slice){name, p->exchange.len};
            return true;
        }
    }
    return false;
}

/* The publishes go on when the exchange stands, or was refused: publisher_check_waiting(). */
static bool is_being_declared(struct broker *b, struct slice exchange)
{
    const struct exchange *e = topology_exchange(b, exchange);
    if (e && e->kept.is_wanted && !e->kept.is_broken) {
        exchange_vanished(b, exchange, b->last_in_unix_ms);
        return true;
    }
    if (!b->publisher.missing || !b->publisher.missing(b->owner, exchange)) {
        return false;
    }
    e = topology_exchange(b, exchange);
    return e && e->kept.is_wanted && !e->kept.is_broken;
}

static void on_missing_exchange(struct broker *b, struct pub_channel *pc, struct slice exchange,
                                uint16_t code, const char *text)
{
    probe_forget_exchange(b, exchange);
    for (struct list *n = pc->unsent.next; n != &pc->unsent; n = n->next) {
        struct publication *p = LIST_OWNER(n, struct publication, node);
        p->tries += p->was_sent && slice_equals(p->exchange, exchange);
    }
    refuse_exchange(b, pc, exchange, MISSING_TRIES + 1, code, text);
    if (is_being_declared(b, exchange)) {
        memcpy(pc->waits_for, exchange.ptr, exchange.len + 1); /* find_missing() terminated it */
        publisher_check_waiting(b);
    } else {
        refuse_exchange(b, pc, exchange, 0, code, text);
    }
}

/* Behind the exchange come the bindings of our queues to it: a message that is published before
 * those is nobody's. */
static bool is_settled(const struct broker *b, const char *exchange)
{
    const struct exchange *e = topology_exchange(b, slice_of(exchange));
    if (!e || !e->kept.is_wanted || e->kept.is_broken) {
        return true; /* if it is still missing the broker will say so */
    }
    for (const struct list *n = b->groups.next; n != &b->groups; n = n->next) {
        const struct group *g = LIST_OWNER(n, struct group, node);
        if (g->queue && g->queue->kept.is_present && g->queue->n_first > 0 &&
            strcmp(g->exchange, exchange) == 0) {
            return false;
        }
    }
    return e->kept.is_present;
}

void publisher_check_waiting(struct broker *b)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pub_channel *pc = &b->publisher.channels[i];
        if (pc->waits_for[0] && is_settled(b, pc->waits_for)) {
            pc->waits_for[0] = '\0';
            broker_wake(b);
        }
    }
}

static void refuse_first(struct broker *b, struct pub_channel *pc, uint16_t code, const char *text)
{
    struct publication *p = shift(pc);
    forget_suspect(pc);
    publisher_settle(b, p, BROKER_REFUSED, code, text);
}

/* `n` were on their way, the first in line now. */
static void find_culprit(struct broker *b, struct pub_channel *pc, size_t n, uint16_t code,
                         const char *text)
{
    char name[256];
    struct slice exchange;
    if (code == 404 && find_missing(pc, text, name, &exchange)) {
        on_missing_exchange(b, pc, exchange, code, text);
    } else if (n == 1) {
        refuse_first(b, pc, code, text);
    } else if (pc->suspects < n) {
        pc->suspects = n;
    }
}

void publisher_on_close(struct broker *b, unsigned number, uint16_t code, const char *text,
                        bool is_publish)
{
    struct pub_channel *pc = pub_of(b, number);
    size_t n = take_back(pc);
    if (is_publish && n > 0) {
        find_culprit(b, pc, n, code, text);
    }
    absent_put_back_returned(b, pc);
    broker_wake(b);
}

/* A publish closed the whole connection; nobody says on which channel. Called before the connection
 * is taken down. */
void publisher_blame(struct broker *b, uint16_t code, const char *text)
{
    struct publisher *p = &b->publisher;
    size_t n[2];
    for (unsigned i = 0; i < 2; i++) {
        n[i] = take_back(&p->channels[i]);
        if (p->channels[i].suspects < n[i]) {
            p->channels[i].suspects = n[i];
        }
    }
    p->closed_connection = true;
    if (n[0] + n[1] == 1) {
        refuse_first(b, &p->channels[n[1]], code, text);
    }
}

void broker_on_missing_exchange(struct broker *b, bool (*missing)(void *owner, struct slice))
{
    b->publisher.missing = missing;
}

/* ---- The end ---- */

void publisher_stop(struct broker *b)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pub_channel *pc = &b->publisher.channels[i];
        take_back(pc);
        absent_put_back_returned(b, pc);
        for (struct list *n = pc->unsent.next; n != &pc->unsent;) {
            struct publication *p = LIST_OWNER(n, struct publication, node);
            n = n->next;
            list_remove(&p->node);
            publisher_settle(b, p, BROKER_UNKNOWN, 320, "the gateway stops");
        }
    }
}

void publisher_free(struct broker *b)
{
    for (unsigned i = 0; i < 2; i++) {
        struct pub_channel *pc = &b->publisher.channels[i];
        take_back(pc);
        absent_put_back_returned(b, pc);
        for (struct list *n = pc->unsent.next; n != &pc->unsent;) {
            struct publication *p = LIST_OWNER(n, struct publication, node);
            n = n->next;
            free(p);
        }
        confirm_fini(&pc->sent);
        map_fini(&pc->absents);
    }
}
