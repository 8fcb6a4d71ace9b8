#include "gateway/metrics.h"

#include "common/buf.h"
#include "common/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name;
    const char *type;
    const char *help;
} table[METRIC_COUNT] = {
    [METRIC_CONNECTIONS] = {"connections", "gauge", "Sockets that are open."},
    [METRIC_SESSIONS] = {"sessions", "gauge", "Sessions that are open."},
    [METRIC_TCP_SESSIONS] = {"tcp_sessions", "gauge", "Sessions over plain TCP that are open."},
    [METRIC_SUBSCRIPTIONS] = {"subscriptions", "gauge", "Subscriptions that are open."},
    [METRIC_ACCEPTED] = {"accepted_total", "counter", "Sockets accepted."},
    [METRIC_ACCEPT_PAUSED] = {"accept_paused_total", "counter",
                              "Times that accepting paused: no file descriptor left."},
    [METRIC_ACCEPT_REFUSED] = {"accept_refused_total", "counter",
                               "Sockets closed at once over a limit on connections."},
    [METRIC_HANDSHAKE_REFUSED] = {"handshake_refused_total", "counter",
                                  "WebSocket handshakes refused."},
    [METRIC_BYTES_IN] = {"received_bytes_total", "counter", "Payload bytes received from clients."},
    [METRIC_BYTES_OUT] = {"sent_bytes_total", "counter", "Bytes sent to clients."},
    [METRIC_FLUSHES] = {"flushes_total", "counter", "Writes to client sockets."},
    [METRIC_SENDS] = {"sends_total", "counter", "SEND frames handed to the broker."},
    [METRIC_MESSAGES] = {"messages_total", "counter", "MESSAGE frames queued to clients."},
    [METRIC_MESSAGES_DROPPED] = {"messages_dropped_total", "counter",
                                 "MESSAGE frames dropped for slow clients."},
    [METRIC_CLIENTS_BEHIND] = {"clients_behind", "gauge",
                               "Clients for which something waits to be sent."},
    [METRIC_OUT_QUEUE_BYTES] = {"out_queue_bytes", "gauge", "What waits, in bytes."},
    [METRIC_DELIVERIES] = {"deliveries_total", "counter", "Messages delivered by the broker."},
    [METRIC_DELIVERIES_UNHEARD] = {"deliveries_unheard_total", "counter",
                                   "Deliveries that nobody here listens to."},
    [METRIC_ROOMS] = {"rooms", "gauge", "Destinations with a binding."},
    [METRIC_BINDINGS_WAITING] = {"bindings_waiting", "gauge",
                                 "Bindings of rooms that are still to be put at the broker."},
    [METRIC_PREFIXES] = {"binding_prefixes", "gauge",
                         "Live queues that hear their rooms by the prefix."},
    [METRIC_BINDS] = {"binds_total", "counter", "queue.bind sent for rooms."},
    [METRIC_UNBINDS] = {"unbinds_total", "counter", "queue.unbind sent for rooms."},
    [METRIC_LIVE_QUEUES] = {"live_queues", "gauge", "Live queues at the broker."},
    [METRIC_GAPS] = {"gaps_total", "counter", "Times that a live queue may have missed messages."},
    [METRIC_FILLED] = {"gap_filled_messages_total", "counter",
                       "Messages given from the database after a gap."},
    [METRIC_RESTORED] = {"topology_restored_total", "counter",
                         "Things of ours found deleted and put back."},
    [METRIC_BROKER_UP] = {"broker_up", "gauge",
                          "1 when the broker is connected and everything stands."},
    [METRIC_BROKER_BLOCKED] = {"broker_blocked", "gauge", "1 while the broker blocks publishers."},
    [METRIC_BROKER_CONNECTS] = {"broker_connects_total", "counter",
                                "Connections made to the broker."},
    [METRIC_BROKER_CHANNEL_ERRORS] = {"broker_channel_errors_total", "counter",
                                      "Channels closed by the broker."},
    [METRIC_PUBLISH_CONFIRMED] = {"publish_confirmed_total", "counter", "Publishes confirmed."},
    [METRIC_PUBLISH_NACKED] = {"publish_nacked_total", "counter", "Publishes refused by a queue."},
    [METRIC_PUBLISH_RETURNED] = {"publish_returned_total", "counter",
                                 "Mandatory publishes that no queue took."},
    [METRIC_PUBLISH_REFUSED] = {"publish_refused_total", "counter",
                                "Publishes that the broker closed a channel over."},
    [METRIC_PUBLISH_REPUBLISHED] = {"publish_republished_total", "counter",
                                    "Publishes sent again after a loss."},
    [METRIC_PUBLISH_UNCONFIRMED] = {"publish_unconfirmed", "gauge",
                                    "Publishes waiting for their confirm."},
    [METRIC_PRIVATE_CONNECTIONS] = {"private_connections", "gauge",
                                    "AMQP connections for private subscriptions that stand."},
    [METRIC_PRIVATE_CHANNELS] = {"private_channels", "gauge",
                                 "Sessions with a channel of their own."},
    [METRIC_PRIVATE_CONSUMERS] = {"private_consumers", "gauge", "Consumers of sessions."},
    [METRIC_PRIVATE_DELIVERIES] = {"private_deliveries_total", "counter",
                                   "Messages delivered to private subscriptions."},
    [METRIC_PRIVATE_MESSAGES] = {"private_messages_total", "counter",
                                 "MESSAGE frames of private subscriptions queued to clients."},
    [METRIC_PRIVATE_ACKED] = {"private_acks_total", "counter",
                              "Acks sent to the broker, one for many counted once."},
    [METRIC_PRIVATE_REQUEUED] = {"private_requeues_total", "counter",
                                 "Nacks with requeue, of clients."},
    [METRIC_PRIVATE_HELD] = {"private_held_total", "counter",
                             "Deliveries put back because their client had no room."},
    [METRIC_PRIVATE_RESTORED] = {"private_restored_total", "counter",
                                 "Private subscriptions put back after a loss."},
    [METRIC_PRIVATE_CHANNEL_ERRORS] = {"private_channel_errors_total", "counter",
                                       "Channels of sessions closed by the broker."},
    [METRIC_HISTORY_QUERIES] =
        {"history_queries_total", "counter",
         "Reads of history sent to PostgreSQL: who asks the same at once shares one."},
    [METRIC_HISTORY_READS] = {"history_reads_total", "counter", "Reads of history."},
    [METRIC_HISTORY_FAILED] = {"history_failed_total", "counter", "Reads of history that failed."},
};

__attribute__((format(printf, 2, 3))) static int add(struct buf *b, const char *format, ...)
{
    char line[512];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(line, sizeof line, format, args);
    va_end(args);
    return n < 0 || (size_t)n >= sizeof line ? -1 : buf_append(b, line, (size_t)n);
}

static int add_metric(struct buf *b, struct metrics *const *all, size_t n, enum metric which)
{
    int failed = add(b, "# HELP stompgate_%s %s\n# TYPE stompgate_%s %s\n", table[which].name,
                     table[which].help, table[which].name, table[which].type);
    for (size_t i = 0; i < n; i++) {
        failed |= add(
            b, "stompgate_%s{reactor=\"%s\"} %llu\n", table[which].name, all[i]->reactor,
            (unsigned long long)atomic_load_explicit(&all[i]->values[which], memory_order_relaxed));
    }
    return failed;
}

static int add_closed(struct buf *b, struct metrics *const *all, size_t n)
{
    int failed = add(b, "# HELP stompgate_closed_total Sessions ended, by reason.\n"
                        "# TYPE stompgate_closed_total counter\n");
    for (size_t i = 0; i < n; i++) {
        for (int reason = CLOSE_NONE + 1; reason < CLOSE_REASON_COUNT; reason++) {
            failed |= add(b, "stompgate_closed_total{reactor=\"%s\",reason=\"%s\"} %llu\n",
                          all[i]->reactor, close_reason_str((enum close_reason)reason),
                          (unsigned long long)atomic_load_explicit(&all[i]->closed[reason],
                                                                   memory_order_relaxed));
        }
    }
    return failed;
}

char *metrics_text(struct metrics *const *all, size_t n)
{
    struct buf b;
    buf_init(&b);
    int failed = 0;
    for (int which = 0; which < METRIC_COUNT; which++) {
        failed |= add_metric(&b, all, n, (enum metric)which);
    }
    failed |= add_closed(&b, all, n);
    failed |= add(&b,
                  "# HELP stompgate_log_dropped_total Log lines dropped.\n"
                  "# TYPE stompgate_log_dropped_total counter\nstompgate_log_dropped_total %llu\n",
                  (unsigned long long)log_dropped());
    failed |= buf_append(&b, "", 1);
    char *text = failed ? NULL : strdup((const char *)buf_data(&b));
    buf_fini(&b);
    return text;
}
