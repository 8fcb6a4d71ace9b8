#include "persist/upkeep.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <uv.h>

#include "common/config.h"
#include "common/log.h"
#include "persist/sql.h"

#define PARTITIONS_AHEAD 3 /* the current one and the next two */
#define PARTITIONS_EVERY_MS 3600000
#define PRUNE_EVERY_MS 60000
#define PRUNE_MORE_MS 500 /* when there was more than one round takes */
#define PRUNE_ROWS 5000
#define DAY_MS 86400000ULL

struct upkeep {
    uv_timer_t timer;
    struct pg *pg;
    const struct config *config;
    const char *name;
    uint64_t partitions_due_ms; /* of the loop's clock */
    int n_open;
    struct pg_query partition[PARTITIONS_AHEAD];
    char partition_sql[PARTITIONS_AHEAD][SQL_PARTITION_LEN];
    struct pg_query prune;
    char prune_hours[4];
    char prune_rows[4];
    struct upkeep_stats stats;
};

static void put32(char bytes[4], uint32_t v)
{
    for (int i = 0; i < 4; i++) {
        bytes[i] = (char)(v >> (24 - 8 * i));
    }
}

static void on_timer(uv_timer_t *timer);

static void on_partition(void *owner, const struct pg_answer *answer)
{
    struct upkeep *u = owner;
    u->n_open--;
    if (answer->outcome == PG_LOST) {
        u->partitions_due_ms = 0;
    } else if (answer->outcome != PG_DONE) {
        u->stats.partition_failures++;
        log_warn(u->name, "store.partition", "sqlstate=%s error=\"%s\" rows_go_to=message_default",
                 answer->sqlstate, answer->message);
    }
}

static void upkeep_partitions(struct upkeep *u)
{
    uint64_t width_ms = (uint64_t)u->config->store.partition_days * DAY_MS;
    uint64_t now_ms = (uint64_t)time(NULL) * 1000;
    uint64_t from_ms = now_ms - now_ms % width_ms;
    for (int i = 0; i < PARTITIONS_AHEAD; i++) {
        struct pg_query *q = &u->partition[i];
        sql_partition(u->partition_sql[i], from_ms, from_ms + width_ms);
        *q = (struct pg_query){.sql = u->partition_sql[i], .done = on_partition, .owner = u};
        u->n_open += pg_submit(u->pg, q) == 0;
        from_ms += width_ms;
    }
    u->partitions_due_ms = uv_now(u->timer.loop) + PARTITIONS_EVERY_MS;
}

static void on_pruned(void *owner, const struct pg_answer *answer)
{
    struct upkeep *u = owner;
    int64_t n = answer->outcome == PG_DONE && answer->n_rows == 1 ? pg_int(answer, 0, 0) : 0;
    u->n_open--;
    u->stats.pruned += (uint64_t)n;
    if (answer->outcome != PG_DONE && answer->outcome != PG_LOST) {
        log_warn(u->name, "store.prune", "sqlstate=%s error=\"%s\"", answer->sqlstate,
                 answer->message);
    }
    uv_timer_start(&u->timer, on_timer, n == PRUNE_ROWS ? PRUNE_MORE_MS : PRUNE_EVERY_MS, 0);
}

static void upkeep_prune(struct upkeep *u)
{
    put32(u->prune_hours, (uint32_t)u->config->store.dedup_hours);
    put32(u->prune_rows, PRUNE_ROWS);
    u->prune = (struct pg_query){
        .statement = SQL_PRUNE,
        .params = {{u->prune_hours, 4}, {u->prune_rows, 4}},
        .n_params = 2,
        .done = on_pruned,
        .owner = u,
    };
    u->n_open += pg_submit(u->pg, &u->prune) == 0;
}

static void upkeep_go(struct upkeep *u)
{
    if (u->n_open > 0 || !pg_is_ready(u->pg)) {
        return;
    }
    if (uv_now(u->timer.loop) >= u->partitions_due_ms) {
        upkeep_partitions(u);
    }
    upkeep_prune(u);
}

static void on_timer(uv_timer_t *timer)
{
    upkeep_go(timer->data);
}

struct upkeep *upkeep_new(struct uv_loop_s *loop, struct pg *pg, const struct config *config,
                          const char *name)
{
    struct upkeep *u = calloc(1, sizeof(*u));
    if (u != NULL) {
        uv_timer_init(loop, &u->timer);
        u->timer.data = u;
        u->pg = pg;
        u->config = config;
        u->name = name;
    }
    return u;
}

void upkeep_wake(struct upkeep *u)
{
    upkeep_go(u);
}

const struct upkeep_stats *upkeep_stats(const struct upkeep *u)
{
    return &u->stats;
}

static void on_closed(uv_handle_t *handle)
{
    free(handle->data);
}

void upkeep_free(struct upkeep *u)
{
    if (u != NULL) {
        uv_close((uv_handle_t *)&u->timer, on_closed);
    }
}
