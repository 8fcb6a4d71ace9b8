#include "persist/row.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Later than the year 9999 a timestamp is noise. */
#define TIMESTAMP_MAX_S 253402300799ULL

/* ---- The copy ---- */

struct arena {
    char *next;
};

static struct slice arena_copy(struct arena *a, struct slice s)
{
    if (s.ptr == NULL) {
        return s;
    }
    struct slice copy = {a->next, s.len};
    memcpy(a->next, s.ptr, s.len);
    a->next += s.len;
    return copy;
}

static void property_slots(struct broker_properties *p, struct slice *slots[9])
{
    slots[0] = &p->content_type;
    slots[1] = &p->content_encoding;
    slots[2] = &p->correlation_id;
    slots[3] = &p->reply_to;
    slots[4] = &p->expiration;
    slots[5] = &p->message_id;
    slots[6] = &p->type;
    slots[7] = &p->user_id;
    slots[8] = &p->app_id;
}

static size_t text_len(const struct broker_delivery *d)
{
    struct broker_properties p = d->properties;
    struct slice *slots[9];
    size_t len = d->exchange.len + d->routing_key.len + d->body.len;
    property_slots(&p, slots);
    for (size_t i = 0; i < 9; i++) {
        len += slots[i]->len;
    }
    for (size_t i = 0; i < p.n_headers; i++) {
        len += p.headers[i].name.len + p.headers[i].value.len;
    }
    return len;
}

static struct slice present(struct slice s)
{
    return s.ptr != NULL ? s : SLICE_LITERAL("");
}

/* One block: the row, its array of headers, all bytes. */
static struct row *row_copy(const struct broker_delivery *d)
{
    size_t headers_len = d->properties.n_headers * sizeof(struct broker_header);
    size_t total = sizeof(struct row) + headers_len + text_len(d) + 1;
    struct row *row = malloc(total);
    if (row == NULL) {
        return NULL;
    }
    memset(row, 0, sizeof(*row));
    struct broker_header *headers = (struct broker_header *)(void *)(row + 1);
    struct arena a = {(char *)headers + headers_len};
    row->tag = d->tag;
    row->is_redelivered = d->is_redelivered;
    row->exchange = arena_copy(&a, present(d->exchange));
    row->routing_key = arena_copy(&a, present(d->routing_key));
    row->properties = d->properties;
    struct slice *slots[9];
    property_slots(&row->properties, slots);
    for (size_t i = 0; i < 9; i++) {
        *slots[i] = arena_copy(&a, *slots[i]);
    }
    for (size_t i = 0; i < d->properties.n_headers; i++) {
        headers[i].name = arena_copy(&a, d->properties.headers[i].name);
        headers[i].value = arena_copy(&a, d->properties.headers[i].value);
    }
    row->properties.headers = headers;
    row->body = arena_copy(&a, present(d->body));
    row->bytes = total;
    return row;
}

/* ---- Headers as JSON ---- */

/* Bytes above 0x7f pass as they are: whether they are UTF-8 is for the database to say, and its
 * word goes into the dead letter. */
static int json_text(struct buf *out, struct slice text)
{
    static const char hex[] = "0123456789abcdef";
    static const char escape[4] = {'\\', 'u', '0', '0'};
    uint8_t *p = buf_reserve(out, text.len * 6 + 2);
    if (p == NULL) {
        return -1;
    }
    size_t n = 0;
    p[n++] = '"';
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = (uint8_t)text.ptr[i];
        if (c == '"' || c == '\\') {
            p[n++] = '\\';
            p[n++] = c;
        } else if (c < 0x20 || c == 0x7f) {
            memcpy(p + n, escape, sizeof(escape));
            p[n + 4] = (uint8_t)hex[c >> 4];
            p[n + 5] = (uint8_t)hex[c & 15];
            n += 6;
        } else {
            p[n++] = c;
        }
    }
    p[n++] = '"';
    buf_commit(out, n);
    return 0;
}

static int json_member(struct buf *out, struct slice name, struct slice value)
{
    if (value.ptr == NULL) {
        return 0;
    }
    if (out->len > 1 && buf_append(out, ",", 1) < 0) {
        return -1;
    }
    return json_text(out, name) < 0 || buf_append(out, ":", 1) < 0 || json_text(out, value) < 0 ? -1
                                                                                                : 0;
}

/* The headers, and those properties that a STOMP client set as headers and would see again on a
 * MESSAGE. */
static int row_json(struct row *row)
{
    const struct broker_properties *p = &row->properties;
    struct buf *out = &row->headers;
    char priority[4];
    snprintf(priority, sizeof(priority), "%u", (unsigned)p->priority);
    int status = buf_append(out, "{", 1);
    for (size_t i = 0; i < p->n_headers && status == 0; i++) {
        if (!slice_starts_with(p->headers[i].name, SLICE_LITERAL(ROW_HEADER_PREFIX))) {
            status = json_member(out, p->headers[i].name, p->headers[i].value);
        }
    }
    if (status < 0 ||
        json_member(out, SLICE_LITERAL("content-encoding"), p->content_encoding) < 0 ||
        json_member(out, SLICE_LITERAL("correlation-id"), p->correlation_id) < 0 ||
        json_member(out, SLICE_LITERAL("reply-to"), p->reply_to) < 0 ||
        json_member(out, SLICE_LITERAL("expiration"), p->expiration) < 0 ||
        json_member(out, SLICE_LITERAL("type"), p->type) < 0 ||
        json_member(out, SLICE_LITERAL("user-id"), p->user_id) < 0 ||
        json_member(out, SLICE_LITERAL("app-id"), p->app_id) < 0 ||
        (p->has_priority && json_member(out, SLICE_LITERAL("priority"), slice_of(priority)) < 0)) {
        return -1;
    }
    return buf_append(out, "}", 1);
}

/* ---- Identity ---- */

static struct slice row_header(const struct row *row, const char *name)
{
    for (size_t i = 0; i < row->properties.n_headers; i++) {
        if (slice_is(row->properties.headers[i].name, name)) {
            return row->properties.headers[i].value;
        }
    }
    return (struct slice){NULL, 0};
}

/* Two kinds of keys, which never meet: what a client of the gateway gave, and what an application
 * uses as message id. */
static int row_set_key(struct row *row, struct slice client_key)
{
    bool is_client = client_key.ptr != NULL;
    struct slice fields[] = {
        is_client ? SLICE_LITERAL("client") : SLICE_LITERAL("application"),
        is_client ? present(row->sender) : SLICE_LITERAL(""),
        row->exchange,
        row->routing_key,
        is_client ? client_key : row->properties.message_id,
    };
    uint8_t digest[DIGEST_LEN];
    if (digest_fields(digest, fields, sizeof(fields) / sizeof(fields[0])) < 0) {
        return -1;
    }
    memcpy(row->key, digest, sizeof(row->key));
    row->has_key = true;
    return 0;
}

static int row_identify(struct row *row, struct id_generator *ids, uint64_t now_unix_ms)
{
    struct slice message_id = row->properties.message_id;
    struct slice client_key = row_header(row, ROW_HEADER_KEY);
    bool has_id =
        message_id.ptr != NULL && id_parse(message_id, &row->id) == 0 && id_is_v7(row->id);
    if (!has_id) {
        row->id = id_v7(ids, now_unix_ms);
        row->is_id_ours = true;
    }
    if (client_key.ptr != NULL || (!has_id && message_id.ptr != NULL && message_id.len > 0)) {
        if (row_set_key(row, client_key) < 0) {
            return -1;
        }
    }
    row->sent_unix_us = (int64_t)(has_id ? id_unix_ms(row->id) : now_unix_ms) * 1000;
    const struct broker_properties *p = &row->properties;
    if (!has_id && p->has_timestamp && p->timestamp > 0 && p->timestamp <= TIMESTAMP_MAX_S) {
        row->sent_unix_us = (int64_t)p->timestamp * 1000000;
    }
    return digest_bytes(row->body_digest, row->body);
}

/* ---- The face ---- */

struct row *row_new(const struct broker_delivery *delivery, struct id_generator *ids,
                    uint64_t now_unix_ms)
{
    struct row *row = row_copy(delivery);
    if (row == NULL) {
        return NULL;
    }
    row->destination = row_header(row, ROW_HEADER_DESTINATION);
    row->sender = row_header(row, ROW_HEADER_USER);
    if (row_json(row) < 0 || row_identify(row, ids, now_unix_ms) < 0) {
        row_free(row);
        return NULL;
    }
    row->bytes += row->headers.cap;
    return row;
}

void row_free(struct row *row)
{
    if (row != NULL) {
        buf_fini(&row->headers);
        free(row);
    }
}

bool row_is_same_message(const struct row *row, struct slice exchange, struct slice routing_key,
                         struct slice body_digest)
{
    return slice_equals(row->exchange, exchange) && slice_equals(row->routing_key, routing_key) &&
           slice_equals((struct slice){(const char *)row->body_digest, DIGEST_LEN}, body_digest);
}

void row_condemn(struct row *row, enum row_fate fate, const char *sqlstate, const char *error)
{
    row->fate = fate;
    snprintf(row->sqlstate, sizeof(row->sqlstate), "%s", sqlstate);
    snprintf(row->error, sizeof(row->error), "%s", error);
}

const char *row_reason(const struct row *row)
{
    return row->fate == ROW_CONFLICT ? "id-conflict" : "refused";
}
