/* The inside of a connection, for pg.c (life, commands) and pg_connect.c (the way up) alone. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libpq-fe.h>
#include <uv.h>

#include "persist/pg.h"
#include "persist/pg_hosts.h"

#define PG_CONNECT_MS 10000 /* resolving, connecting, preparing */

enum pg_state {
    PG_IDLE,       /* pg_start() was not called */
    PG_DOWN,       /* the next try is timed */
    PG_RESOLVING,  /* names to addresses */
    PG_CONNECTING, /* PQconnectPoll */
    PG_PREPARING,  /* settings and prepared statements */
    PG_READY,
    PG_STOPPED
};

const char *pg_state_str(enum pg_state state);

/* libuv closes handles later than we drop them, so each lives on its own. */
struct pg_poll {
    uv_poll_t handle;
    struct pg *pg;
};

/* Invariants: conn and poll are set in CONNECTING, PREPARING and READY only; active is set only in
 * READY. */
struct pg {
    uv_loop_t *loop;
    uv_timer_t timer; /* DOWN: next try. READY without a query: idle. Else: the deadline of what is
                         going on */
    bool has_timer;   /* from pg_start() until libuv has closed it */
    enum pg_state state;
    const struct pg_events *events;
    void *owner;
    char *url;
    char *name;
    const struct pg_statement *statements;
    size_t n_statements;
    int statement_timeout_ms;
    int retry_min_ms;
    int retry_max_ms;
    int retry_ms;
    PGconn *conn;
    PGresult *result; /* of the command that is running: its first error, else its last result */
    struct pg_poll *poll;
    struct pg_hosts *hosts;
    size_t step; /* PREPARING: 0 settings, then one per statement */
    struct list queue;
    struct pg_query *active;
    bool is_resetting;
    bool is_calling; /* inside a done callback */
    char told[128];  /* the reason of the last pg.lost in the log, and when */
    uint64_t told_ms;
    void (*stopped)(void *owner);
};

/* pg.c */
void pg_set_state(struct pg *pg, enum pg_state state);
void pg_set_timer(struct pg *pg, int ms);
int pg_watch(struct pg *pg, int events) __attribute__((warn_unused_result));
void pg_unwatch(struct pg *pg);
int pg_flush(struct pg *pg) __attribute__((warn_unused_result));
void pg_drop(struct pg *pg, const char *why);
void pg_finish_stop(struct pg *pg);

/* pg_connect.c: begins; goes on when the socket is ready; goes on when a command of the preparation
 * is answered (its result is pg->result). */
void pg_connect(struct pg *pg);
void pg_connect_poll(struct pg *pg);
void pg_connect_prepared(struct pg *pg);
