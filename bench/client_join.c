#include "client_internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

/* Says goodbye: what is still to come is the end. */
static void leave(struct client_set *set, struct client *c)
{
    static const char NORMAL[] = {1000 >> 8, (char)(1000 & 255)};
    const struct protocol *protocol = set->run->options->protocol;
    struct client_message goodbye = {
        .opcode = WEBSOCKET_TEXT, .head = protocol->goodbye, .head_len = protocol->goodbye_len};
    struct client_message close = {
        .opcode = WEBSOCKET_CLOSE, .head = NORMAL, .head_len = sizeof(NORMAL)};
    c->state = CLIENT_LEAVING;
    if ((protocol->goodbye && client_put(c, &goodbye) < 0) || client_put(c, &close) < 0) {
        client_close(set, c, "out of memory");
        return;
    }
    client_flush(set, c);
}

static void ready(struct client_set *set, struct client *c)
{
    c->state = c->is_stalled ? CLIENT_STALLED : CLIENT_READY;
    set->n_opening--;
    client_watch(set, c, c->out.len > 0);
    client_count(&set->counters.ready, 1);
    if (set->is_storm) {
        leave(set, c);
    }
}

static void subscribed(struct client_set *set, struct client *c)
{
    c->n_answered++;
    client_count(&set->counters.subscribed, 1);
    if (c->n_answered == set->run->options->subscriptions) {
        ready(set, c);
    }
}

/* Not all at once: the server's answers would have to wait for our reading them. */
static void subscribe(struct client_set *set, struct client *c)
{
    const struct options *o = set->run->options;
    char text[PROTOCOL_TEXT_MAX];
    char destination[256];
    c->state = CLIENT_SUBSCRIBING;
    while (c->n_asked < o->subscriptions && c->n_asked - c->n_answered < CLIENT_SUBSCRIBES_MAX) {
        deal_destination(o, c->first + c->n_asked, destination, sizeof(destination));
        size_t n = o->protocol->subscribe(text, c->n_asked, destination);
        c->n_asked++;
        if (n == 0) {
            subscribed(set, c);
            continue;
        }
        struct client_message message = {.opcode = WEBSOCKET_TEXT, .head = text, .head_len = n};
        if (client_put(c, &message) < 0) {
            client_close(set, c, "out of memory");
            return;
        }
    }
    if (set->is_storm && o->is_hasty && c->state == CLIENT_SUBSCRIBING) {
        ready(set, c);
        return;
    }
    client_flush(set, c);
}

void client_join_subscribed(struct client_set *set, struct client *c)
{
    if (c->state == CLIENT_SUBSCRIBING) {
        subscribed(set, c);
    }
    if (c->state == CLIENT_SUBSCRIBING && c->n_asked - c->n_answered <= CLIENT_SUBSCRIBES_MAX / 2) {
        subscribe(set, c);
    }
}

static void connected(struct client_set *set, struct client *c)
{
    if (c->is_publisher) {
        ready(set, c);
        return;
    }
    subscribe(set, c);
}

void client_join_connected(struct client_set *set, struct client *c)
{
    if (c->state == CLIENT_GREETING) {
        connected(set, c);
    }
}

static void greet(struct client_set *set, struct client *c)
{
    char text[PROTOCOL_TEXT_MAX];
    size_t n = set->run->options->protocol->hello(text, &set->run->options->login);
    if (n == 0) {
        connected(set, c);
        return;
    }
    c->state = CLIENT_GREETING;
    client_say(set, c, text, n);
}

void client_join_opened(struct client_set *set, struct client *c)
{
    if (c->state == CLIENT_OPENING) {
        greet(set, c);
    }
}

void client_join_upgraded(struct client_set *set, struct client *c)
{
    if (set->run->options->protocol->server_greets) {
        c->state = CLIENT_OPENING;
        return;
    }
    greet(set, c);
}

static size_t request(const struct options *o, const struct client *c, char *text, size_t len)
{
    const struct options_url *url = c->is_publisher ? &o->publish_url : &o->url;
    char host[160];
    char path[256];
    snprintf(host, sizeof(host), "%s:%u", url->host, url->port);
    if (o->protocol->path_is_room) {
        options_room(url->path, c->room, path, sizeof(path));
    } else {
        snprintf(path, sizeof(path), "%s", url->path);
    }
    return websocket_request(text, len, host, path, o->protocol->subprotocol);
}

void client_join(struct client_set *set, struct client *c)
{
    const struct options *o = set->run->options;
    const struct options_url *url = c->is_publisher ? &o->publish_url : &o->url;
    char text[1024];
    int error = 0;
    socklen_t len = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 || error != 0) {
        client_close(set, c, error ? strerror(error) : "no socket");
        return;
    }
    if (url->is_tls && !(c->tls = tls_new(set->run->tls, c->fd))) {
        client_close(set, c, "no TLS");
        return;
    }
    size_t n = request(o, c, text, sizeof(text));
    c->state = CLIENT_UPGRADING;
    if (n == 0 || bytes_append(&c->out, text, n) < 0) {
        client_close(set, c, "no request");
        return;
    }
    client_flush(set, c);
}
