/* One connection to PostgreSQL on a libuv loop, kept alive. Inside of persist/ only; pg.c is the
 * one file that knows libpq.
 *
 * It connects without blocking (names are resolved by pg_hosts.h, because libpq's own look-up would
 * block the loop), prepares its statements, runs queries one after the other in the order they were
 * submitted, and when the connection goes it connects again with back-off and jitter. It never
 * repeats a query by itself: whether that is right, only the caller knows.
 *
 * Belongs to one loop thread; all callbacks run from the loop. Parameters and results are in binary
 * format.
 */
#pragma once

#include "common/list.h"
#include "common/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct uv_loop_s;
struct pg;

/* Prepared after every connect. Literals: borrowed for the life of the connection. */
struct pg_statement {
    const char *name;
    const char *sql;
};

struct pg_options {
    const char *url;  /* libpq connection string */
    const char *name; /* application_name */
    const struct pg_statement *statements;
    size_t n_statements;
    int statement_timeout_ms; /* 0: none */
    int retry_min_ms;
    int retry_max_ms;
};

struct pg_events {
    /* Connected, all statements prepared: pg_submit() works from here on. */
    void (*ready)(void *owner);

    /* The connection is gone, or a try to get one failed; everything submitted was answered with
     * PG_LOST before. */
    void (*lost)(void *owner, const char *why);
};

enum pg_outcome {
    PG_DONE,
    PG_REFUSED, /* SQLSTATE class 22, 23 or 54: these very data will never be taken */
    PG_CLASH,   /* 40001, 40P01, 55P03: somebody else was in the way, try again soon */
    PG_TIMEOUT, /* 57014: took longer than statement_timeout */
    PG_FAILED,  /* any other error of the server: try again later */
    PG_LOST     /* the connection went; whether the query took effect is not known */
};

struct pg_answer {
    enum pg_outcome outcome;
    const char *sqlstate; /* "" where there is none */
    const char *message;  /* "" when done */
    int n_rows;
    const void *result;
};

/* A value; ptr NULL for SQL NULL. Borrowed until the callback that got the answer returns. */
struct slice pg_value(const struct pg_answer *answer, int row, int column);

/* The same for int8 and int4 columns; 0 for SQL NULL or another width. */
int64_t pg_int(const struct pg_answer *answer, int row, int column);

#define PG_MAX_PARAMS 16

/* A query belongs to its submitter, and so do its parameters; all must stay as they are until
 * `done` runs. */
struct pg_query {
    struct list node;
    const char *statement; /* name of a prepared statement, or NULL */
    const char *sql; /* one or several statements without parameters; used when statement is NULL */
    struct slice params[PG_MAX_PARAMS]; /* ptr NULL: SQL NULL */
    int n_params;
    void (*done)(void *owner, const struct pg_answer *answer);
    void *owner;
};

/* Borrows loop, events and owner; copies url and name. NULL when out of memory. */
struct pg *pg_new(struct uv_loop_s *loop, const struct pg_options *options,
                  const struct pg_events *events, void *owner);

/* Begins to connect. */
void pg_start(struct pg *pg);

bool pg_is_ready(const struct pg *pg);

/* 0: queued, `done` runs once. -1: not ready; `done` does not run. */
int pg_submit(struct pg *pg, struct pg_query *query) __attribute__((warn_unused_result));

/* False while it waits behind others: the server has not seen it yet. */
bool pg_has_begun(const struct pg *pg, const struct pg_query *query);

/* Drops the connection at the next turn of the loop and connects anew: after an error that another
 * session may not have. */
void pg_reset(struct pg *pg);

/* Answers what is queued with PG_LOST, closes, then calls stopped(owner) from the loop. The second
 * call does nothing. */
void pg_stop(struct pg *pg, void (*stopped)(void *owner));

/* Only when stopped was called, or when pg_start() never was. NULL does nothing. */
void pg_free(struct pg *pg);
