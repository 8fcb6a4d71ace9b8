#include "persist/batch.h"

#include <stdlib.h>
#include <string.h>

#define BATCH_FIRST_CAP 64

static int batch_grow(struct batch *b)
{
    size_t cap = b->cap > 0 ? b->cap * 2 : BATCH_FIRST_CAP;
    struct row **rows = realloc(b->rows, cap * sizeof(struct row *));
    if (rows == NULL) {
        return -1;
    }
    b->rows = rows;
    struct row **picked = realloc(b->picked, cap * sizeof(struct row *));
    if (picked == NULL) {
        return -1;
    }
    b->picked = picked;
    b->cap = cap;
    return 0;
}

int batch_push(struct batch *b, struct row *row, uint64_t now_ms)
{
    if (b->n == b->cap && batch_grow(b) < 0) {
        row_free(row);
        return -1;
    }
    if (b->n == 0) {
        b->opened_ms = now_ms;
    }
    row->serial = b->n;
    b->rows[b->n++] = row;
    b->bytes += row->bytes;
    return 0;
}

bool batch_is_due(const struct batch *b, const struct batch_limits *limits, uint64_t now_ms)
{
    return b->n > 0 && (b->n >= limits->rows || b->bytes >= limits->bytes ||
                        now_ms >= b->opened_ms + limits->ms);
}

/* ---- Rounds ---- */

static int by_serial(const struct row *a, const struct row *b)
{
    return a->serial < b->serial ? -1 : a->serial > b->serial;
}

static int compare_ids(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a;
    const struct row *y = *(struct row *const *)b;
    int order = memcmp(x->id.bytes, y->id.bytes, sizeof(x->id.bytes));
    return order != 0 ? order : by_serial(x, y);
}

int batch_compare_keys(const void *a, const void *b)
{
    const struct row *x = *(struct row *const *)a;
    const struct row *y = *(struct row *const *)b;
    int order = memcmp(x->key, y->key, sizeof(x->key));
    return order != 0 ? order : by_serial(x, y);
}

static bool is_same_id(const struct row *a, const struct row *b)
{
    return memcmp(a->id.bytes, b->id.bytes, sizeof(a->id.bytes)) == 0;
}

static bool is_same_key(const struct row *a, const struct row *b)
{
    return a->has_key && b->has_key && memcmp(a->key, b->key, sizeof(a->key)) == 0;
}

static bool is_same_body(const struct row *a, const struct row *b)
{
    return memcmp(a->body_digest, b->body_digest, sizeof(a->body_digest)) == 0;
}

/* Rows that are equal in what they are sorted by: the first leads, the others follow. */
static void mark_followers(struct row **sorted, size_t n,
                           bool (*is_same)(const struct row *a, const struct row *b))
{
    const struct row *leader = NULL;
    for (size_t i = 0; i < n; i++) {
        if (leader != NULL && is_same(leader, sorted[i])) {
            sorted[i]->leader = leader;
        } else {
            leader = sorted[i];
        }
    }
}

size_t batch_pick(struct batch *b)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        b->rows[i]->leader = NULL;
        if (b->rows[i]->fate == ROW_PENDING && b->rows[i]->has_key) {
            b->picked[n++] = b->rows[i];
        }
    }
    qsort(b->picked, n, sizeof(struct row *), batch_compare_keys);
    mark_followers(b->picked, n, is_same_key);

    n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->rows[i]->fate == ROW_PENDING) {
            b->picked[n++] = b->rows[i];
        }
    }
    qsort(b->picked, n, sizeof(struct row *), compare_ids);
    mark_followers(b->picked, n, is_same_id);

    /* The earliest pending row follows nobody, so every round makes progress. */
    b->n_picked = 0;
    for (size_t i = 0; i < n; i++) {
        if (b->picked[i]->leader == NULL) {
            b->picked[b->n_picked++] = b->picked[i];
        }
    }
    return b->n_picked;
}

size_t batch_span(const struct batch *b, size_t at, size_t rows_max, size_t bytes_max)
{
    size_t n = 0;
    size_t bytes = 0;
    while (at + n < b->n_picked && (n == 0 || n < rows_max)) {
        bytes += b->picked[at + n]->bytes;
        if (n > 0 && bytes > bytes_max) {
            break;
        }
        n++;
    }
    return n;
}

static bool is_in_database(const struct row *row)
{
    return row->fate == ROW_STORED || row->fate == ROW_DUPLICATE;
}

void batch_settle_followers(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        struct row *row = b->rows[i];
        const struct row *leader = row->leader;
        if (row->fate != ROW_PENDING || leader == NULL || !is_in_database(leader)) {
            continue;
        }
        /* A key already stands for user and destination; an id does not. */
        bool is_same =
            is_same_body(leader, row) &&
            (is_same_key(leader, row) || (slice_equals(leader->exchange, row->exchange) &&
                                          slice_equals(leader->routing_key, row->routing_key)));
        if (is_same) {
            row->fate = ROW_DUPLICATE;
        } else {
            row_condemn(row, ROW_CONFLICT, "",
                        is_same_key(leader, row) ? "its idempotency key stands for another body"
                                                 : "its id stands for another message");
        }
    }
}

/* ---- The rest ---- */

size_t batch_count(const struct batch *b, enum row_fate fate)
{
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        n += b->rows[i]->fate == fate;
    }
    return n;
}

void batch_clear(struct batch *b)
{
    for (size_t i = 0; i < b->n; i++) {
        row_free(b->rows[i]);
    }
    b->n = 0;
    b->n_picked = 0;
    b->bytes = 0;
}

void batch_fini(struct batch *b)
{
    batch_clear(b);
    free(b->rows);
    free(b->picked);
    *b = (struct batch){.rows = NULL};
}
