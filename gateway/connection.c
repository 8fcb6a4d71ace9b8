#include "gateway/connection.h"

struct broker_options connection_options(const struct config *config, const char *name)
{
    return (struct broker_options){
        .hosts = (const char *const *)config->broker.hosts.items,
        .n_hosts = config->broker.hosts.n,
        .vhost = config->broker.vhost,
        .user = config->broker.user,
        .password = config->broker.password,
        .name = name,
        .heartbeat_s = config->broker.heartbeat_s,
        .reconnect_min_ms = config->broker.reconnect_min_ms,
        .reconnect_max_ms = config->broker.reconnect_max_ms,
    };
}
