#include "persist/store_internal.h"

#include <inttypes.h>
#include <stdio.h>

static int metric(struct buf *out, const char *name, const char *type, const char *help,
                  uint64_t value)
{
    char text[512];
    int len = snprintf(text, sizeof(text),
                       "# HELP stompgate_store_%s %s\n# TYPE stompgate_store_%s %s\n"
                       "stompgate_store_%s %" PRIu64 "\n",
                       name, help, name, type, name, value);
    return buf_append(out, text, (size_t)len);
}

static int counter(struct buf *out, const char *name, const char *help, uint64_t value)
{
    return metric(out, name, "counter", help, value);
}

static int gauge(struct buf *out, const char *name, const char *help, uint64_t value)
{
    return metric(out, name, "gauge", help, value);
}

static int put_gauges(const struct store *s, struct buf *out)
{
    return gauge(out, "database_up", "1 while connected to PostgreSQL.", pg_is_ready(s->pg)) < 0 ||
                   gauge(out, "broker_up", "1 while connected to RabbitMQ.",
                         broker_state(s->broker) == BROKER_UP) < 0 ||
                   gauge(out, "parked", "1 while the consumer is cancelled for a while.",
                         s->state == STORE_PARKED) < 0 ||
                   gauge(out, "held_rows", "Messages taken and not acknowledged yet.",
                         s->batches[0].n + s->batches[1].n) < 0 ||
                   gauge(out, "held_bytes", "The memory of these.",
                         s->batches[0].bytes + s->batches[1].bytes) < 0 ||
                   gauge(out, "prefetch", "Messages the broker sends ahead.", s->prefetch) < 0
               ? -1
               : 0;
}

static int put_rows(const struct store *s, struct buf *out)
{
    const struct store_counts *c = &s->counts;
    const struct dead_stats *dead = dead_stats(s->dead);
    return counter(out, "rows_total", "Messages inserted.", c->stored) < 0 ||
                   counter(out, "bytes_total", "Bodies of all messages that were settled.",
                           c->bytes) < 0 ||
                   counter(out, "duplicates_total", "Messages the database had already.",
                           c->duplicates) < 0 ||
                   counter(out, "conflicts_total", "Messages whose id or key stands for another.",
                           c->conflicts) < 0 ||
                   counter(out, "refused_total", "Messages the database will never take.",
                           c->refused) < 0 ||
                   counter(out, "dead_letters_total", "Dead letters the broker confirmed.",
                           dead->buried) < 0 ||
                   counter(out, "dead_letter_retries_total", "Dead letters tried again.",
                           dead->retries) < 0 ||
                   counter(out, "unidentified_total",
                           "Messages without an id, stored at least once.", c->unidentified) < 0 ||
                   counter(out, "redelivered_total", "Deliveries that were not the first.",
                           c->redelivered) < 0
               ? -1
               : 0;
}

static int put_work(const struct store *s, struct buf *out)
{
    static const struct writer_stats no_writer;
    static const struct upkeep_stats no_upkeep;
    const struct writer_stats *w = s->writer != NULL ? writer_stats(s->writer) : &no_writer;
    const struct upkeep_stats *u = s->upkeep != NULL ? upkeep_stats(s->upkeep) : &no_upkeep;
    struct broker_stats b;
    broker_stats(s->broker, &b);
    return counter(out, "batches_total", "Batches acknowledged.", s->counts.batches) < 0 ||
                   counter(out, "statements_total", "Statements sent.", w->statements) < 0 ||
                   counter(out, "clashes_total", "Deadlocks and the like, tried again.",
                           w->clashes) < 0 ||
                   counter(out, "timeouts_total", "Statements over statement_timeout.",
                           w->timeouts) < 0 ||
                   counter(out, "failures_total", "Other failed statements, tried again.",
                           w->failures) < 0 ||
                   counter(out, "refusals_total", "Statements that were refused and halved.",
                           w->refusals) < 0 ||
                   counter(out, "parks_total", "Times the consumer was cancelled for a while.",
                           s->counts.parks) < 0 ||
                   counter(out, "undecodable_total", "Deliveries dropped as malformed.",
                           b.undecodable) < 0 ||
                   counter(out, "broker_connects_total", "Connections made to RabbitMQ.",
                           b.connects) < 0 ||
                   counter(out, "pruned_keys_total", "Keys removed past their window.", u->pruned) <
                       0 ||
                   counter(out, "partition_failures_total", "Partitions that could not be made.",
                           u->partition_failures) < 0
               ? -1
               : 0;
}

int store_metrics(const struct store *s, struct buf *out)
{
    return put_gauges(s, out) < 0 || put_rows(s, out) < 0 || put_work(s, out) < 0 ? -1 : 0;
}

int store_http(void *store, struct slice path, struct buf *body)
{
    const struct store *s = store;
    if (slice_is(path, "/healthz")) {
        return buf_append(body, "ok\n", 3) < 0 ? 503 : 200;
    }
    if (slice_is(path, "/readyz")) {
        char text[128];
        int len =
            snprintf(text, sizeof(text), "database=%s broker=%s parked=%s\n",
                     pg_is_ready(s->pg) ? "up" : "down", broker_state_str(broker_state(s->broker)),
                     s->state == STORE_PARKED ? "yes" : "no");
        return buf_append(body, text, (size_t)len) < 0 || !store_is_ready(s) ? 503 : 200;
    }
    if (slice_is(path, "/metrics")) {
        return store_metrics(s, body) < 0 ? 503 : 200;
    }
    return 404;
}
