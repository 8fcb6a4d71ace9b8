#include "persist/columns.h"

#include <stdlib.h>
#include <string.h>

#include "persist/batch.h"

/* pg_type.dat; these never change. */
enum {
    OID_BYTEA = 17,
    OID_INT4 = 23,
    OID_TEXT = 25,
    OID_TIMESTAMPTZ = 1184,
    OID_UUID = 2950,
    OID_JSONB = 3802
};

/* Microseconds from 1970 to 2000, where PostgreSQL counts from. */
#define EPOCH_2000_US 946684800000000LL

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        p[i] = (uint8_t)(v >> (24 - 8 * i));
    }
}

static void put64(uint8_t *p, uint64_t v)
{
    put32(p, (uint32_t)(v >> 32));
    put32(p + 4, (uint32_t)v);
}

/* Dimensions, has-null flag, element type, then length and lower bound of the one dimension. */
static int array_begin(struct buf *b, uint32_t oid, size_t n)
{
    uint8_t header[20];
    put32(header, n > 0 ? 1 : 0);
    put32(header + 4, 1);
    put32(header + 8, oid);
    put32(header + 12, (uint32_t)n);
    put32(header + 16, 1);
    buf_fini(b);
    return buf_append(b, header, n > 0 ? 20 : 12);
}

/* `prefix` is NULL or one byte in front of the value. */
static int array_put(struct buf *b, const char *prefix, struct slice value)
{
    uint8_t len[4];
    size_t prefix_len = prefix != NULL ? 1 : 0;
    if (value.ptr == NULL) {
        put32(len, UINT32_MAX);
        return buf_append(b, len, sizeof(len));
    }
    put32(len, (uint32_t)(value.len + prefix_len));
    if (buf_append(b, len, sizeof(len)) < 0 || buf_append(b, prefix, prefix_len) < 0) {
        return -1;
    }
    return buf_append(b, value.ptr, value.len);
}

static struct slice bytes_of(const void *p, size_t len)
{
    return (struct slice){p, len};
}

static struct slice id_of(const struct row *row)
{
    return bytes_of(row->id.bytes, sizeof(row->id.bytes));
}

static struct slice key_of(const struct row *row)
{
    return bytes_of(row->has_key ? row->key : NULL, sizeof(row->key));
}

static int put_message(struct buf *b, const struct row *row)
{
    uint8_t sent[8];
    put64(sent, (uint64_t)(row->sent_unix_us - EPOCH_2000_US));
    struct slice headers = bytes_of(buf_data(&row->headers), row->headers.len);
    return array_put(&b[3], NULL, id_of(row)) < 0 || array_put(&b[4], NULL, key_of(row)) < 0 ||
                   array_put(&b[5], NULL, row->exchange) < 0 ||
                   array_put(&b[6], NULL, row->routing_key) < 0 ||
                   array_put(&b[7], NULL, row->destination) < 0 ||
                   array_put(&b[8], NULL, row->sender) < 0 ||
                   array_put(&b[9], NULL, row->properties.content_type) < 0 ||
                   array_put(&b[10], "\1", headers) < 0 || /* version of jsonb's wire format */
                   array_put(&b[11], NULL, row->body) < 0 ||
                   array_put(&b[12], NULL, bytes_of(sent, sizeof(sent))) < 0
               ? -1
               : 0;
}

static int put_keys(struct buf *b, struct row **keyed, size_t n)
{
    if (array_begin(&b[0], OID_UUID, n) < 0 || array_begin(&b[1], OID_UUID, n) < 0 ||
        array_begin(&b[2], OID_BYTEA, n) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        if (array_put(&b[0], NULL, key_of(keyed[i])) < 0 ||
            array_put(&b[1], NULL, id_of(keyed[i])) < 0 ||
            array_put(&b[2], NULL, bytes_of(keyed[i]->body_digest, DIGEST_LEN)) < 0) {
            return -1;
        }
    }
    return 0;
}

int columns_insert(struct columns *c, struct row *const *rows, size_t n)
{
    static const uint32_t oids[COLUMNS_INSERT] = {OID_UUID,  OID_UUID,  OID_BYTEA, /* dedup */
                                                  OID_UUID,  OID_UUID,  OID_TEXT,       OID_TEXT,
                                                  OID_TEXT,  OID_TEXT,  OID_TEXT, /* message */
                                                  OID_JSONB, OID_BYTEA, OID_TIMESTAMPTZ};
    struct row **keyed = malloc((n + 1) * sizeof(struct row *));
    if (keyed == NULL) {
        return -1;
    }
    size_t n_keyed = 0;
    int status = 0;
    for (size_t i = 3; i < COLUMNS_INSERT && status == 0; i++) {
        status = array_begin(&c->bufs[i], oids[i], n);
    }
    for (size_t i = 0; i < n && status == 0; i++) {
        status = put_message(c->bufs, rows[i]);
        if (rows[i]->has_key) {
            keyed[n_keyed++] = rows[i];
        }
    }
    if (status == 0) {
        qsort(keyed, n_keyed, sizeof(struct row *), batch_compare_keys);
        status = put_keys(c->bufs, keyed, n_keyed);
    }
    free(keyed);
    return status;
}

int columns_lookup(struct columns *c, struct row *const *rows, size_t n)
{
    if (array_begin(&c->bufs[0], OID_INT4, n) < 0 || array_begin(&c->bufs[1], OID_UUID, n) < 0 ||
        array_begin(&c->bufs[2], OID_UUID, n) < 0) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t number[4];
        put32(number, (uint32_t)i);
        if (array_put(&c->bufs[0], NULL, bytes_of(number, sizeof(number))) < 0 ||
            array_put(&c->bufs[1], NULL, id_of(rows[i])) < 0 ||
            array_put(&c->bufs[2], NULL, key_of(rows[i])) < 0) {
            return -1;
        }
    }
    return 0;
}

struct slice columns_param(const struct columns *c, size_t i)
{
    return bytes_of(buf_data(&c->bufs[i]), c->bufs[i].len);
}

void columns_fini(struct columns *c)
{
    for (size_t i = 0; i < COLUMNS_INSERT; i++) {
        buf_fini(&c->bufs[i]);
    }
}
