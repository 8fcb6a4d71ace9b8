#include "common/config_internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define KIB ((int64_t)1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define HOUR_MS ((int64_t)3600 * 1000)
#define SHORTSTR_MAX 255 /* AMQP: names of queues, exchanges, virtual hosts */
#define PATH_LEN_MAX 4096

static const char *const level_words[] = {"error", "warn", "info", "debug", NULL};
static const char *const frame_words[] = {"auto", "text", "binary", NULL};
static const char *const type_words[] = {"topic", "fanout", "any", "queue", NULL};
static const char *const scope_words[] = {"subscription", "connection", NULL};
static const char *const unknown_words[] = {"error", "ignore", NULL};
static const char *const gap_words[] = {"mark", "fill", "close", NULL};
static const char *const slow_words[] = {"close", "drop", NULL};

/* A key has the name of its member. */
/* NOLINTBEGIN(bugprone-macro-parentheses): two parts of one designator */
#define KEY(table, member)                                                                         \
    .section = #table, .name = #member, .offset = offsetof(struct config, table.member)
/* NOLINTEND(bugprone-macro-parentheses) */
#define ROUTE(member)                                                                              \
    .section = "route", .name = #member, .offset = offsetof(struct config_route, member)
#define USER(member)                                                                               \
    .section = "user", .name = #member, .offset = offsetof(struct config_user, member)

#define BOOL(value) .type = CONFIG_TYPE_BOOL, .number = (value), .max = 1, .unit = ""
#define INT(value, least, most, of)                                                                \
    .type = CONFIG_TYPE_INT, .number = (value), .min = (least), .max = (most), .unit = (of)
#define INT64(value, least, most, of)                                                              \
    .type = CONFIG_TYPE_INT64, .number = (value), .min = (least), .max = (most), .unit = (of)
#define ENUM(value, list) .type = CONFIG_TYPE_ENUM, .number = (value), .words = (list), .unit = ""
#define WORD(value, list) .type = CONFIG_TYPE_WORD, .text = (value), .words = (list), .unit = ""
#define TEXT(kind, value, least, most)                                                             \
    .type = CONFIG_TYPE_##kind, .text = (value), .min = (least), .max = (most), .unit = "bytes"
#define LIST(value, least, most)                                                                   \
    .type = CONFIG_TYPE_STRINGS, .text = (value), .min = (least), .max = (most), .unit = "items"

/* clang-format off: one line per key */
const struct config_key config_keys[] = {
    {KEY(gateway, name), TEXT(STRING, "", 0, 64)},
    {KEY(gateway, threads), INT(1, 1, 64, "threads")},
    {KEY(gateway, bind), TEXT(STRING, "127.0.0.1", 1, 64)},
    {KEY(gateway, port), INT(8080, 0, 65535, "")},
    {KEY(gateway, path), TEXT(STRING, "/ws", 1, 255)},
    {KEY(gateway, files), TEXT(PATH, "", 0, PATH_LEN_MAX)},
    {KEY(gateway, anonymous), BOOL(false)},
    {KEY(gateway, origins), LIST("", 0, 1024)},
    {KEY(gateway, require_origin), BOOL(false)},
    {KEY(gateway, ws_frame), ENUM(CONFIG_FRAME_AUTO, frame_words)},
    {KEY(gateway, gather_ms), INT(4, 0, 100, "ms")},
    {KEY(gateway, log_level), WORD("info", level_words)},
    {KEY(gateway, drain_ms), INT(5000, 0, HOUR_MS, "ms")},
    {KEY(gateway, max_fds), INT(0, 0, 10000000, "files")},

    {KEY(limits, header_block_http_bytes), INT(16 * KIB, KIB, MIB, "bytes")},
    {KEY(limits, handshake_ms), INT(5000, 100, HOUR_MS, "ms")},
    {KEY(limits, connect_ms), INT(10000, 100, HOUR_MS, "ms")},
    {KEY(limits, half_frame_ms), INT(10000, 100, HOUR_MS, "ms")},
    {KEY(limits, frame_before_connect_bytes), INT(16 * KIB, 512, MIB, "bytes")},
    {KEY(limits, headers), INT(64, 8, 64, "headers")}, /* STOMP_MAX_HEADERS */
    {KEY(limits, header_name_bytes),
     INT(128, 16, 255, "bytes")}, /* the longest key of an AMQP table */
    {KEY(limits, header_value_bytes), INT(8 * KIB, 64, 64 * KIB, "bytes")},
    /* The headers of a message go into one AMQP frame, which RabbitMQ limits to 128 KiB. */
    {KEY(limits, header_block_bytes), INT(32 * KIB, KIB, 96 * KIB, "bytes")},
    {KEY(limits, body_bytes), INT(MIB, KIB, 64 * MIB, "bytes")},
    {KEY(limits, fragments), INT(1024, 1, 1000000, "fragments")},
    {KEY(limits, subscriptions), INT(256, 1, 100000, "subscriptions")},
    {KEY(limits, unconfirmed), INT(1000, 1, 100000, "messages")},
    {KEY(limits, unconfirmed_bytes), INT(4 * MIB, KIB, GIB, "bytes")},
    {KEY(limits, parked_bytes), INT(MIB, KIB, GIB, "bytes")},
    {KEY(limits, out_queue_bytes), INT(MIB, KIB, GIB, "bytes")},
    {KEY(limits, write_stall_ms), INT(10000, 100, HOUR_MS, "ms")},
    {KEY(limits, receipt_timeout_ms), INT(30000, 100, HOUR_MS, "ms")},
    {KEY(limits, close_linger_ms), INT(3000, 0, 60000, "ms")},
    {KEY(limits, connections_per_address), INT(0, 0, 10000000, "connections")},
    {KEY(limits, connections), INT(0, 0, 10000000, "connections")},
    {KEY(limits, prefetch), INT(1000, 1, 65535, "messages")},
    {KEY(limits, unacked), INT(262144, 1, 100000000, "messages")},
    {KEY(limits, private_queue_bytes), INT(16 * MIB, KIB, GIB, "bytes")},

    {KEY(tcp, enabled), BOOL(false)},
    {KEY(tcp, bind), TEXT(STRING, "127.0.0.1", 1, 64)},
    {KEY(tcp, port), INT(61613, 0, 65535, "")},
    {KEY(tcp, error_close), BOOL(false)},

    {KEY(tls, enabled), BOOL(false)},
    {KEY(tls, bind), TEXT(STRING, "127.0.0.1", 1, 64)},
    {KEY(tls, port), INT(8443, 0, 65535, "")},
    {KEY(tls, certificate), TEXT(PATH, "", 0, PATH_LEN_MAX)},
    {KEY(tls, key), TEXT(PATH, "", 0, PATH_LEN_MAX)},

    {KEY(stomp, error_close), BOOL(true)},
    {KEY(stomp, client_ack), ENUM(CONFIG_ACK_SUBSCRIPTION, scope_words)},
    {KEY(stomp, unknown_ack), ENUM(CONFIG_UNKNOWN_ERROR, unknown_words)},
    {KEY(stomp, unknown_destination), ENUM(CONFIG_UNKNOWN_ERROR, unknown_words)},
    {KEY(stomp, nack_requeue), BOOL(true)},
    {KEY(stomp, spring_user), TEXT(STRING, "/user/", 0, 255)},

    {KEY(heartbeat, send_ms), INT(10000, 0, HOUR_MS, "ms")},
    {KEY(heartbeat, receive_ms), INT(10000, 0, HOUR_MS, "ms")},

    {KEY(broker, hosts), LIST("127.0.0.1:5672", 1, 64)},
    {KEY(broker, vhost), TEXT(STRING, "/", 1, SHORTSTR_MAX)},
    {KEY(broker, user), TEXT(STRING, "guest", 1, SHORTSTR_MAX)},
    {KEY(broker, password), TEXT(SECRET, "guest", 0, 1024)},
    {.section = "broker",
     .name = "password_file",
     .offset = offsetof(struct config, broker.password),
     TEXT(FILE, "", 0, PATH_LEN_MAX)},
    {KEY(broker, heartbeat_s), INT(10, 0, 3600, "s")},
    {KEY(broker, reconnect_min_ms), INT(200, 10, 60000, "ms")},
    {KEY(broker, reconnect_max_ms), INT(5000, 10, HOUR_MS, "ms")},
    {KEY(broker, grace_ms), INT(30000, 0, 24 * HOUR_MS, "ms")},
    {KEY(broker, unconfirmed_bytes), INT(64 * MIB, 64 * KIB, GIB, "bytes")},
    {KEY(broker, sweep_ms), INT(10000, 100, HOUR_MS, "ms")},
    {KEY(broker, linger_ms), INT(5000, 0, HOUR_MS, "ms")},
    {KEY(broker, bind_max), INT(5000, 1, 1000000, "bindings")},
    {KEY(broker, live_queue_bytes), INT(64 * MIB, 64 * KIB, GIB, "bytes")},
    {KEY(broker, private_channels), INT(500, 1, 2000, "channels")},
    {KEY(broker, private_connections), INT(16, 1, 1000, "connections")},

    {KEY(store, queue), TEXT(STRING, "stompgate.store", 1, SHORTSTR_MAX)},
    {KEY(store, dead_queue), TEXT(STRING, "stompgate.dead", 1, SHORTSTR_MAX)},
    {KEY(store, queue_max_bytes), INT64(GIB, MIB, 1024 * GIB, "bytes")},
    {KEY(store, batch_rows), INT(1000, 1, 10000, "rows")},
    {KEY(store, batch_bytes), INT(4 * MIB, KIB, 256 * MIB, "bytes")},
    {KEY(store, batch_ms), INT(10, 0, 10000, "ms")},
    {KEY(store, dedup_hours), INT(24, 1, 8760, "hours")},
    {KEY(store, partition_days), INT(7, 1, 366, "days")},
    {KEY(store, name), TEXT(STRING, "", 0, 64)},
    {KEY(store, retry_max_ms), INT(10000, 100, HOUR_MS, "ms")},
    {KEY(store, metrics_bind), TEXT(STRING, "127.0.0.1", 1, 64)},
    {KEY(store, metrics_port), INT(-1, -1, 65535, "")},

    {KEY(database, url), TEXT(SECRET, "", 0, PATH_LEN_MAX)},
    {KEY(database, statement_timeout_ms), INT(10000, 0, HOUR_MS, "ms")},

    {KEY(history, enabled), BOOL(false)},
    {KEY(history, max_rows), INT(200, 1, 10000, "rows")},
    {KEY(history, fill_wait_ms), INT(3000, 0, 60000, "ms")},
    {KEY(history, fill_rows), INT(500, 1, 100000, "rows")},

    {ROUTE(prefix), TEXT(STRING, "", 1, SHORTSTR_MAX)},
    {ROUTE(exchange), TEXT(STRING, "", 0, SHORTSTR_MAX)},
    {ROUTE(type), ENUM(CONFIG_TOPIC, type_words)},
    {ROUTE(declare), BOOL(false)},
    {ROUTE(durable), BOOL(true)},
    {ROUTE(store), BOOL(false)},
    {ROUTE(on_gap), ENUM(CONFIG_GAP_MARK, gap_words)},
    {ROUTE(on_slow), ENUM(CONFIG_SLOW_CLOSE, slow_words)},
    {ROUTE(send), LIST("*", 0, 10000)},
    {ROUTE(subscribe), LIST("*", 0, 10000)},
    {ROUTE(queues), LIST("", 0, 10000)},

    {USER(login), TEXT(STRING, "", 1, SHORTSTR_MAX)},
    {USER(password), TEXT(SECRET, "", 1, 1024)},
    {USER(password_hash), TEXT(SECRET, "", 1, 1024)},
};
/* clang-format on */

const size_t config_n_keys = sizeof config_keys / sizeof *config_keys;

const struct config_key *config_key_find(const char *section, const char *name)
{
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        if (strcmp(k->section, section) == 0 && strcmp(k->name, name) == 0) {
            return k;
        }
    }
    return NULL;
}

bool config_section_exists(const char *name)
{
    for (size_t i = 0; i < config_n_keys; i++) {
        if (strcmp(config_keys[i].section, name) == 0) {
            return true;
        }
    }
    return false;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Levenshtein's distance; longer names count by their beginning. */
static size_t distance(const char *a, const char *b)
{
    enum { MOST = 64 };
    size_t row[MOST + 1];
    size_t a_len = smaller(strlen(a), MOST);
    size_t b_len = smaller(strlen(b), MOST);
    for (size_t j = 0; j <= b_len; j++) {
        row[j] = j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= b_len; j++) {
            size_t changed = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            row[j] = smaller(changed, smaller(row[j], row[j - 1]) + 1);
        }
    }
    return row[b_len];
}

const struct config_key *config_key_nearest(const char *section, const char *name)
{
    const struct config_key *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        size_t d = 2 * distance(name, k->name);
        /* A key of another section is meant only when it is clearly the better match. */
        if (section && strcmp(section, k->section) != 0) {
            d += 5;
        }
        if (d < least) {
            least = d;
            best = k;
        }
    }
    return best;
}

const char *config_section_nearest(const char *name)
{
    const char *best = NULL;
    size_t least = SIZE_MAX;
    for (size_t i = 0; i < config_n_keys; i++) {
        size_t d = distance(name, config_keys[i].section);
        if (d < least) {
            least = d;
            best = config_keys[i].section;
        }
    }
    return best;
}

void config_key_default(const struct config_key *k, char *text, size_t len)
{
    switch (k->type) {
    case CONFIG_TYPE_BOOL:
        snprintf(text, len, "%s", k->number ? "true" : "false");
        break;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        snprintf(text, len, "%" PRId64, k->number);
        break;
    case CONFIG_TYPE_ENUM:
        snprintf(text, len, "\"%s\"", k->words[k->number]);
        break;
    case CONFIG_TYPE_WORD:
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_PATH:
    case CONFIG_TYPE_SECRET:
    case CONFIG_TYPE_FILE:
        snprintf(text, len, "\"%s\"", k->text);
        break;
    case CONFIG_TYPE_STRINGS:
        snprintf(text, len, *k->text ? "[\"%s\"]" : "[%s]", k->text);
        break;
    }
}

static void print_words(const struct config_key *k)
{
    for (size_t i = 0; k->words[i]; i++) {
        printf("%s%s", i > 0 ? "|" : "", k->words[i]);
    }
    putchar('\n');
}

void config_print_keys(void)
{
    static const char *const types[] = {"boolean", "integer", "integer", "word", "word",
                                        "string",  "path",    "string",  "path", "list of strings"};
    printf("%-36s %-16s %-20s %s\n", "key", "type", "default", "range, unit");
    for (size_t i = 0; i < config_n_keys; i++) {
        const struct config_key *k = &config_keys[i];
        char path[64];
        char value[128];
        snprintf(path, sizeof path, "%s.%s", k->section, k->name);
        config_key_default(k, value, sizeof value);
        printf("%-36s %-16s %-20s ", path, types[k->type], value);
        if (k->type == CONFIG_TYPE_BOOL) {
            puts("true|false");
        } else if (k->words) {
            print_words(k);
        } else {
            printf("%" PRId64 "..%" PRId64 "%s%s\n", k->min, k->max, *k->unit ? " " : "", k->unit);
        }
    }
}
