/* From a connection string to a session that has everything prepared. */
#include "persist/pg_internal.h"

#include <stdio.h>
#include <string.h>

#include "common/log.h"

#define PG_MAX_KEYWORDS 64

/* libpq quotes what it could not read, and that may be (a part of) the password: its words about
 * the connection string never leave this file. */
#define PG_URL_ERROR "database.url is not a valid connection string"

struct keywords {
    const char *names[PG_MAX_KEYWORDS];
    const char *values[PG_MAX_KEYWORDS];
    int n;
};

static void keyword_set(struct keywords *k, const char *name, const char *value, bool is_default)
{
    int i = 0;
    while (i < k->n && strcmp(k->names[i], name) != 0) {
        i++;
    }
    if (i < k->n && is_default) {
        return;
    }
    if (i < PG_MAX_KEYWORDS - 1) {
        k->names[i] = name;
        k->values[i] = value;
        k->n = i == k->n ? k->n + 1 : k->n;
    }
}

/* Notices ("already exists, skipping") would go to standard error as they are. */
static void on_notice(void *arg, const PGresult *result)
{
    const struct pg *pg = arg;
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    log_debug(pg->name, "pg.notice", "text=\"%s\"", message != NULL ? message : "");
}

/* Why no connection began: what libpq says of a server that it tried, but none of its words about
 * the values of the connection string. */
static const char *begin_error(const PGconn *conn)
{
    static const char tried[] = "connection to server ";
    const char *why = PQerrorMessage(conn);
    return strncmp(why, tried, sizeof(tried) - 1) == 0 ? why : PG_URL_ERROR;
}

static void begin(struct pg *pg, const PQconninfoOption *given, const char *hosts,
                  const char *addresses, const char *ports)
{
    struct keywords k = {.n = 0};
    for (const PQconninfoOption *o = given; o->keyword != NULL; o++) {
        if (o->val != NULL) {
            keyword_set(&k, o->keyword, o->val, false);
        }
    }
    if (hosts != NULL) {
        keyword_set(&k, "host", hosts, false);
        keyword_set(&k, "hostaddr", addresses, false);
        keyword_set(&k, "port", ports, false);
    }
    keyword_set(&k, "application_name", pg->name, false);
    keyword_set(&k, "client_encoding", "UTF8", false);
    /* A server that vanished without a word is noticed in seconds, not in hours. */
    keyword_set(&k, "keepalives_idle", "10", true);
    keyword_set(&k, "keepalives_interval", "5", true);
    keyword_set(&k, "tcp_user_timeout", "20000", true);

    pg_set_state(pg, PG_CONNECTING);
    pg_set_timer(pg, PG_CONNECT_MS);
    pg->conn = PQconnectStartParams(k.names, k.values, 0);
    if (pg->conn != NULL) {
        PQsetNoticeReceiver(pg->conn, on_notice, pg);
    }
    if (pg->conn == NULL || PQstatus(pg->conn) == CONNECTION_BAD) {
        pg_drop(pg, pg->conn != NULL ? begin_error(pg->conn) : "out of memory");
    } else if (pg_watch(pg, UV_WRITABLE) < 0) {
        pg_drop(pg, "cannot watch the socket");
    }
}

static void on_hosts(void *owner, const char *hosts, const char *addresses, const char *ports,
                     const char *error)
{
    struct pg *pg = owner;
    pg->hosts = NULL;
    if (pg->state == PG_STOPPED) {
        pg_finish_stop(pg);
        return;
    }
    PQconninfoOption *given = PQconninfoParse(pg->url, NULL);
    if (given == NULL) {
        pg_drop(pg, PG_URL_ERROR);
    } else if (error != NULL) {
        pg_drop(pg, error);
    } else {
        begin(pg, given, hosts, addresses, ports);
    }
    PQconninfoFree(given);
}

static const char *option_value(const PQconninfoOption *given, const char *keyword)
{
    for (const PQconninfoOption *o = given; o->keyword != NULL; o++) {
        if (strcmp(o->keyword, keyword) == 0 && o->val != NULL) {
            return o->val;
        }
    }
    return "";
}

/* An @ in a password that was not escaped makes the rest of it a host's name, which errors tell.
 * At the beginning of a name it stands for an abstract socket. */
static bool has_odd_host(const char *hosts)
{
    for (const char *at = hosts; (at = strchr(at, '@')) != NULL; at++) {
        if (at > hosts && at[-1] != ',') {
            return true;
        }
    }
    return false;
}

void pg_connect(struct pg *pg)
{
    PQconninfoOption *given = PQconninfoParse(pg->url, NULL);
    pg_set_state(pg, PG_RESOLVING);
    if (given == NULL || has_odd_host(option_value(given, "host"))) {
        pg_drop(pg, PG_URL_ERROR);
    } else if (option_value(given, "host")[0] == '\0' ||
               option_value(given, "hostaddr")[0] != '\0') {
        /* Nothing to look up. (A host that only stands in PGHOST or in a service file is looked up
         * by libpq itself, which blocks: the documentation asks for it in the connection string.)
         */
        begin(pg, given, NULL, NULL, NULL);
    } else {
        pg->hosts = pg_hosts_resolve(pg->loop, option_value(given, "host"),
                                     option_value(given, "port"), on_hosts, pg);
        if (pg->hosts == NULL) {
            pg_drop(pg, "out of memory");
        }
    }
    PQconninfoFree(given);
}

static void prepare_next(struct pg *pg)
{
    int is_sent;
    if (pg->step == 0) {
        /* What is acknowledged after COMMIT must be on disk; stricter settings than "on" are the
         * administrator's. */
        char sql[320];
        snprintf(sql, sizeof(sql),
                 "SET statement_timeout = %d; SET lock_timeout = %d;"
                 "SELECT set_config('synchronous_commit', 'on', false)"
                 " WHERE current_setting('synchronous_commit') = 'off'",
                 pg->statement_timeout_ms, pg->statement_timeout_ms / 2);
        is_sent = PQsendQuery(pg->conn, sql);
    } else {
        const struct pg_statement *s = &pg->statements[pg->step - 1];
        is_sent = PQsendPrepare(pg->conn, s->name, s->sql, 0, NULL);
    }
    if (!is_sent || pg_flush(pg) < 0) {
        pg_drop(pg, PQerrorMessage(pg->conn));
    }
}

void pg_connect_prepared(struct pg *pg)
{
    if (PQresultStatus(pg->result) == PGRES_FATAL_ERROR) {
        const char *state = PQresultErrorField(pg->result, PG_DIAG_SQLSTATE);
        log_error(pg->name, "pg.prepare",
                  "sqlstate=%s error=\"%s\" hint=\"stompgate-store --migrate\"",
                  state != NULL ? state : "", PQresultErrorMessage(pg->result));
        pg_drop(pg, "cannot prepare the statements");
        return;
    }
    PQclear(pg->result);
    pg->result = NULL;
    if (pg->step++ < pg->n_statements) {
        prepare_next(pg);
        return;
    }
    uv_timer_stop(&pg->timer);
    pg->retry_ms = pg->retry_min_ms;
    pg->told[0] = '\0';
    pg_set_state(pg, PG_READY);
    log_info(pg->name, "pg.ready", "host=%s port=%s db=%s server=%d", PQhost(pg->conn),
             PQport(pg->conn), PQdb(pg->conn), PQserverVersion(pg->conn));
    if (pg->events->ready != NULL) {
        pg->events->ready(pg->owner);
    }
}

void pg_connect_poll(struct pg *pg)
{
    pg_unwatch(pg);
    PostgresPollingStatusType status = PQconnectPoll(pg->conn);
    if (status == PGRES_POLLING_READING || status == PGRES_POLLING_WRITING) {
        if (pg_watch(pg, status == PGRES_POLLING_READING ? UV_READABLE : UV_WRITABLE) < 0) {
            pg_drop(pg, "cannot watch the socket");
        }
    } else if (status == PGRES_POLLING_FAILED || PQsetnonblocking(pg->conn, 1) < 0) {
        pg_drop(pg, PQerrorMessage(pg->conn));
    } else {
        pg_set_state(pg, PG_PREPARING);
        pg->step = 0;
        prepare_next(pg);
    }
}
