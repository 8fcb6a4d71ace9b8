/* Every statement that is sent to PostgreSQL stands in sql.c, next to the tables it is about.
 * Inside of persist/ only.
 */
#pragma once

#include "persist/pg.h"

#include <stddef.h>

/* ---- The worker. Statements by name; all values binary. ---- */

/* $1–$3 keys with the ids and body digests that claim them (ascending by key), $4–$13 messages
 * (ascending by id), see columns.h. Gives the ids of the rows that were inserted: one transaction,
 * one round trip. */
#define SQL_INSERT "insert"

/* $1 numbers, $2 ids, $3 keys (NULL: none). Gives for each number: exchange, routing key and
 * SHA-256 of the body of the row that has this id (NULL: none); id and body digest that the key
 * stands for (NULL: none). */
#define SQL_LOOKUP "lookup"

/* $1 key, $2 id, $3 body digest. Takes back a key whose row was not inserted. */
#define SQL_RELEASE "release"

/* $1 hours (int4), $2 rows at the most (int4). Removes keys past their window. Gives their number
 * (int8). */
#define SQL_PRUNE "prune"

extern const struct pg_statement sql_store[];
extern const size_t sql_n_store;

/* Writes a statement that creates the partition for ids of [from_ms, until_ms), unless it is there.
 * `text` is large enough. */
#define SQL_PARTITION_LEN 1024
void sql_partition(char text[SQL_PARTITION_LEN], uint64_t from_ms, uint64_t until_ms);

/* ---- History ---- */

/* $1 exchange, $2 after, $3 before, $4 limit (int4), $5 routing key (not of the _ANY statements).
 * Rows ascend by id; columns as in struct history_row. */
#define SQL_NEWEST "newest"
#define SQL_OLDEST "oldest"
#define SQL_NEWEST_ANY "newest_any"
#define SQL_OLDEST_ANY "oldest_any"

extern const struct pg_statement sql_history[];
extern const size_t sql_n_history;

/* ---- Schema ---- */

/* Opens a transaction, waits for its turn among others that do the same, makes sure that the
 * version table exists. */
extern const char *const sql_migrate_begin;
extern const char *const sql_migrate_version; /* gives the version (int4 as text) */
extern const char *const sql_migrate_end;

/* migrations[i] leads from version i to i + 1, and notes it. */
extern const char *const sql_migrations[];
extern const size_t sql_n_migrations;
