#include "persist/sql.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

/* Locks of ours among the database's advisory locks: "stmp" and a number. */
#define LOCK_MIGRATE "1937009008, 1"
#define LOCK_PARTITION "1937009008, 2"

/* ---- Schema ---- */

const char *const sql_migrate_begin = "BEGIN;"
                                      "SELECT pg_advisory_xact_lock(" LOCK_MIGRATE ");"
                                      "CREATE TABLE IF NOT EXISTS stompgate_version ("
                                      " version int PRIMARY KEY,"
                                      " applied_at timestamptz NOT NULL DEFAULT now());";

const char *const sql_migrate_version = "SELECT coalesce(max(version), 0) FROM stompgate_version";

const char *const sql_migrate_end = "COMMIT";

/* message: an id of version 7 begins with its time, so ranges of ids are ranges of time, and the
 * primary key over all partitions costs no index of its own. What is outside of all ranges (clocks
 * that are far off, periods nobody made a partition for) goes to message_default.
 *
 * dedup: what makes a message the same message again, for a while: a client's idempotency key
 * within user and destination, an application's message id within its destination. digest is the
 * first half of a SHA-256 of these, body a SHA-256 of the body. */
const char *const sql_migrations[] = {
    "CREATE TABLE message ("
    " id uuid PRIMARY KEY,"
    " exchange text NOT NULL,"
    " routing_key text NOT NULL,"
    " destination text,"
    " sender text,"
    " content_type text,"
    " headers jsonb NOT NULL,"
    " body bytea NOT NULL,"
    " sent_at timestamptz NOT NULL,"
    " stored_at timestamptz NOT NULL DEFAULT now()"
    ") PARTITION BY RANGE (id);"
    "CREATE INDEX message_by_destination ON message (exchange, routing_key, id);"
    "CREATE INDEX message_by_exchange ON message (exchange, id);"
    "CREATE TABLE message_default PARTITION OF message DEFAULT;"
    "CREATE TABLE dedup ("
    " digest uuid PRIMARY KEY,"
    " id uuid NOT NULL,"
    " body bytea NOT NULL,"
    " created timestamptz NOT NULL DEFAULT now());"
    "CREATE INDEX dedup_by_age ON dedup (created);"
    "COMMENT ON TABLE message IS 'Stored messages; id is a UUIDv7 and grows with time';"
    "COMMENT ON COLUMN message.destination IS 'as the sender spelled it; NULL: published by an "
    "AMQP application';"
    "COMMENT ON TABLE dedup IS 'Idempotency keys and message ids of applications, kept for "
    "store.dedup_hours';"
    "INSERT INTO stompgate_version (version) VALUES (1)",
};
const size_t sql_n_migrations = sizeof(sql_migrations) / sizeof(sql_migrations[0]);

/* ---- Partitions ---- */

static void bound_text(char text[40], uint64_t unix_ms)
{
    snprintf(text, 40, "%08" PRIx32 "-%04" PRIx32 "-0000-0000-000000000000",
             (uint32_t)(unix_ms >> 16), (uint32_t)(unix_ms & 0xffff));
}

/* Made apart and attached, not as CREATE … PARTITION OF: that would lock out every reader and
 * writer of the whole table. */
void sql_partition(char text[SQL_PARTITION_LEN], uint64_t from_ms, uint64_t until_ms)
{
    char from[40];
    char until[40];
    char day[16] = "0";
    time_t seconds = (time_t)(from_ms / 1000);
    struct tm utc;
    bound_text(from, from_ms);
    bound_text(until, until_ms);
    if (gmtime_r(&seconds, &utc) != NULL) {
        strftime(day, sizeof(day), "%Y%m%d", &utc);
    }
    snprintf(text, SQL_PARTITION_LEN,
             "DO $$ BEGIN"
             " PERFORM pg_advisory_xact_lock(" LOCK_PARTITION ");"
             " IF to_regclass('message_%s') IS NULL THEN"
             "  CREATE TABLE message_%s (LIKE message INCLUDING DEFAULTS INCLUDING COMMENTS);"
             "  ALTER TABLE message ATTACH PARTITION message_%s FOR VALUES FROM ('%s') TO ('%s');"
             " END IF; END $$",
             day, day, day, from, until);
}

/* ---- The worker ---- */

/* A row whose key somebody else has is not inserted; one whose id exists is not inserted either,
 * and then its key may have been claimed for nothing, which SQL_RELEASE mends. DO NOTHING waits for
 * a transaction that is inserting the same. */
const struct pg_statement sql_store[] = {
    {SQL_INSERT,
     "WITH won AS ("
     " INSERT INTO dedup (digest, id, body)"
     " SELECT * FROM unnest($1::uuid[], $2::uuid[], $3::bytea[])"
     " ON CONFLICT DO NOTHING RETURNING digest)"
     " INSERT INTO message"
     " (id, exchange, routing_key, destination, sender, content_type, headers, body, sent_at)"
     " SELECT r.id, r.exchange, r.routing_key, r.destination, r.sender, r.content_type, r.headers,"
     "  r.body, r.sent_at"
     " FROM unnest($4::uuid[], $5::uuid[], $6::text[], $7::text[], $8::text[], $9::text[],"
     "  $10::text[], $11::jsonb[], $12::bytea[], $13::timestamptz[])"
     "  AS r (id, key, exchange, routing_key, destination, sender, content_type, headers, body,"
     "  sent_at)"
     " WHERE r.key IS NULL OR r.key IN (SELECT digest FROM won)"
     " ON CONFLICT DO NOTHING RETURNING id"},
    {SQL_LOOKUP, "SELECT r.number, m.exchange, m.routing_key, sha256(m.body), d.id, d.body"
                 " FROM unnest($1::int4[], $2::uuid[], $3::uuid[]) AS r (number, id, key)"
                 " LEFT JOIN message m ON m.id = r.id"
                 " LEFT JOIN dedup d ON d.digest = r.key"},
    {SQL_RELEASE,
     "DELETE FROM dedup WHERE digest = $1::uuid AND id = $2::uuid AND body = $3::bytea"},
    {SQL_PRUNE, "WITH old AS (SELECT digest FROM dedup"
                "  WHERE created < now() - make_interval(hours => $1::int4)"
                "  ORDER BY created LIMIT $2::int4 FOR UPDATE SKIP LOCKED),"
                " gone AS (DELETE FROM dedup USING old WHERE dedup.digest = old.digest RETURNING 1)"
                " SELECT count(*) FROM gone"},
};
const size_t sql_n_store = sizeof(sql_store) / sizeof(sql_store[0]);

/* ---- History ---- */

/* An answer is cut at 16 MiB of bodies (HISTORY_MAX_BYTES), but has at least one row: `ahead` is
 * what the rows before it weigh. The bounds on id let the planner leave out partitions. */
#define HISTORY(condition, order, direction)                                                       \
    "SELECT id, exchange, routing_key, destination, sender, content_type, headers::text, body,"    \
    " sent_at FROM ("                                                                              \
    "SELECT *, sum(octet_length(body)) OVER (ORDER BY id " direction ")"                           \
    "  - octet_length(body) AS ahead FROM ("                                                       \
    "SELECT * FROM message WHERE " condition " AND id > $2::uuid AND id < $3::uuid"                \
    " ORDER BY " order " " direction " LIMIT $4::int4) s) t"                                       \
    " WHERE ahead < 16777216 ORDER BY id"

#define ONE_KEY "exchange = $1::text AND routing_key = $5::text"

/* Written as ranges of pairs, which only message_by_exchange can serve in order. As "exchange = $1"
 * the primary key serves it too, and the planner takes that one, which reads everything where the
 * exchange has few rows. */
#define ANY_KEY "(exchange, id) > ($1::text, $2::uuid) AND (exchange, id) < ($1::text, $3::uuid)"

const struct pg_statement sql_history[] = {
    {SQL_NEWEST, HISTORY(ONE_KEY, "id", "DESC")},
    {SQL_OLDEST, HISTORY(ONE_KEY, "id", "ASC")},
    {SQL_NEWEST_ANY, HISTORY(ANY_KEY, "exchange DESC, id", "DESC")},
    {SQL_OLDEST_ANY, HISTORY(ANY_KEY, "exchange, id", "ASC")},
};
const size_t sql_n_history = sizeof(sql_history) / sizeof(sql_history[0]);
