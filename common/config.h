/* The configuration of both programs, as data. Read once at start, immutable afterwards, shared by
 * all threads.
 *
 * config_table.c holds one table (key, type, default, range, unit) from which this struct is
 * filled, the file is checked and `--help-config` is printed. Every key is described in
 * config.example.toml. Knows what a route is, not what it does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* CONFIG_QUEUE: the rest of the destination names a queue, not an exchange. */
enum config_exchange_type { CONFIG_TOPIC, CONFIG_FANOUT, CONFIG_ANY, CONFIG_QUEUE };
enum config_on_gap { CONFIG_GAP_MARK, CONFIG_GAP_FILL, CONFIG_GAP_CLOSE };
enum config_slow { CONFIG_SLOW_CLOSE, CONFIG_SLOW_DROP };
enum config_ack_scope { CONFIG_ACK_SUBSCRIPTION, CONFIG_ACK_CONNECTION };
enum config_unknown { CONFIG_UNKNOWN_ERROR, CONFIG_UNKNOWN_IGNORE };
enum config_ws_frame { CONFIG_FRAME_AUTO, CONFIG_FRAME_TEXT, CONFIG_FRAME_BINARY };

struct config_strings {
    char **items;
    size_t n;
};

/* [[route]]: what a destination prefix means. The built-in routes /topic/, /fanout/, /exchange/,
 * /queue/ and /amq/queue/ come first; a route of the file with the same prefix changes the built-in
 * one key by key; others are added. The longest prefix wins. */
struct config_route {
    char *prefix;   /* "/topic/": begins and ends with a slash */
    char *exchange; /* a fixed name; "": the first word after the prefix names the exchange or queue
                     */
    enum config_exchange_type type;
    bool declare; /* may be declared by us on first use; a queue: it is, else it must exist */
    bool durable; /* how it is declared */
    bool store;   /* every message is bound to the storage queue */
    enum config_on_gap on_gap;
    enum config_slow on_slow;
    /* User names; "*" is everybody, "anonymous" who gave no login. */
    struct config_strings send;      /* who may SEND */
    struct config_strings subscribe; /* who may SUBSCRIBE and read history */
    struct config_strings
        queues; /* who may name, keep and shape queues: x-queue-name, durable, x-… */
};

/* [[user]]: exactly one of password and password_hash is given. */
struct config_user {
    char *login;
    char *password;
    char *password_hash; /* crypt(5) text, checked off the loop */
};

struct config {
    struct {
        char *name;     /* in queue and connection names: 1 to 64 of [A-Za-z0-9_-]; "": host name */
        int threads;    /* reactors */
        char *bind;     /* address to listen on */
        int port;       /* 0: any free one, logged as listener.open */
        char *path;     /* of the WebSocket */
        char *files;    /* directory served over HTTP at /, "" for none */
        bool anonymous; /* CONNECT without login is let in as "anonymous" */
        struct config_strings origins;
        bool require_origin;
        enum config_ws_frame ws_frame;
        int gather_ms; /* the longest pause between two passes over the out queues; 0: none */
        char *log_level;
        int drain_ms; /* SIGTERM: closes are spread over this time */
        int max_fds;  /* RLIMIT_NOFILE to set, 0 leaves it; never above the hard limit */
    } gateway;
    struct {
        int header_block_http_bytes;
        int handshake_ms;
        int connect_ms;
        int half_frame_ms;
        int frame_before_connect_bytes;
        int headers;
        int header_name_bytes;
        int header_value_bytes;
        int header_block_bytes;
        int body_bytes;
        int fragments;
        int subscriptions;
        int unconfirmed;
        int unconfirmed_bytes;
        int parked_bytes;
        int out_queue_bytes;
        int write_stall_ms;
        int receipt_timeout_ms;
        int close_linger_ms; /* after ERROR or DISCONNECT's receipt, before we close or cut */
        int connections_per_address;
        int connections;
        int prefetch;            /* of a private subscription that does not say */
        int unacked;             /* prefetch of all private subscriptions of a session together */
        int private_queue_bytes; /* what waits for one client from queues; over it the broker is
                                    told to wait */
    } limits;
    struct {
        bool enabled;
        char *bind;
        int port; /* 0: any free one, logged as tcp.open */
        bool error_close;
    } tcp;
    struct {
        bool enabled;
        char *bind;
        int port;          /* 0: any free one, logged as tls.open */
        char *certificate; /* PEM files */
        char *key;
    } tls;
    struct {
        bool error_close;
        enum config_ack_scope client_ack; /* what ack:client is cumulative over */
        enum config_unknown unknown_ack;  /* an ACK for what is not waiting for one */
        enum config_unknown unknown_destination;
        bool nack_requeue; /* a NACK without `requeue` */
        char *spring_user; /* simpOrigDestination with this prefix marks Spring's user queues; ""
                              none */
    } stomp;
    struct {
        int send_ms;    /* the most often we offer to send (sx) */
        int receive_ms; /* the most often we want to hear (sy) */
    } heartbeat;
    struct {
        struct config_strings hosts; /* "host:port", tried in turn */
        char *vhost;
        char *user;
        char *password; /* or from password_file */
        int heartbeat_s;
        int reconnect_min_ms;
        int reconnect_max_ms;
        int grace_ms;          /* sessions outlive the broker for this long */
        int unconfirmed_bytes; /* of all sessions of one reactor */
        int sweep_ms;  /* our exchanges, queues and bindings are asserted again at this interval */
        int linger_ms; /* a binding outlives its last subscriber for this long */
        int bind_max;  /* exact bindings per live queue before its prefix is bound instead */
        int live_queue_bytes;    /* a live queue drops its oldest over this */
        int private_channels;    /* sessions per connection "private" */
        int private_connections; /* at the most, of one reactor */
    } broker;
    struct {
        char *queue;
        char *dead_queue;
        int64_t queue_max_bytes;
        int batch_rows;
        int batch_bytes;
        int batch_ms;
        int dedup_hours;
        int partition_days;
        char *name;       /* of this worker, in its connection name; default: the host name */
        int retry_max_ms; /* longest pause between tries while the database is away */
        char *metrics_bind;
        int metrics_port; /* of the worker's /healthz, /readyz and /metrics; -1: none, 0: any */
    } store;
    struct {
        char *url; /* libpq connection string, "" when there is no database */
        int statement_timeout_ms;
    } database;
    struct {
        bool enabled;
        int max_rows;     /* of one answer */
        int fill_wait_ms; /* on_gap = fill: live messages are held so long for storage to catch up
                           */
        int fill_rows;    /* and so many rows are read at a time */
    } history;
    struct config_route *routes;
    size_t n_routes;
    struct config_user *users;
    size_t n_users;
};

/* Reads the file (NULL: all defaults). NULL on failure, with every complaint, one per line as
 * "path:line:column: key: reason", in *errors (caller frees with free()). An unknown key is a
 * complaint that suggests the nearest known one. Relative paths in the file are relative to the
 * file's folder. */
struct config *config_load(const char *path, char **errors);

void config_free(struct config *c);

/* Prints the table: every key, type, default, range, unit, one line each. */
void config_print_keys(void);
