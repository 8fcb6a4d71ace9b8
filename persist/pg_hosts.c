#include "persist/pg_hosts.h"

#include <netdb.h>
#include <stdbool.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <uv.h>

#include "common/buf.h"

#define PG_HOSTS_ADDRESSES_MAX 8 /* of one name */

struct pg_hosts {
    uv_getaddrinfo_t request;
    uv_loop_t *loop;
    char *hosts;
    char *ports;
    char *next_host; /* what is still to be resolved; NULL at the end */
    char *next_port;
    const char *host; /* being resolved */
    const char *port;
    struct buf out_hosts;
    struct buf out_addresses;
    struct buf out_ports;
    char error[256];
    pg_hosts_fn done;
    void *owner;
};

static void hosts_step(struct pg_hosts *h);

static void hosts_free(struct pg_hosts *h)
{
    buf_fini(&h->out_hosts);
    buf_fini(&h->out_addresses);
    buf_fini(&h->out_ports);
    free(h->hosts);
    free(h->ports);
    free(h);
}

static int list_add(struct buf *list, bool is_first, const char *text)
{
    if (!is_first && buf_append(list, ",", 1) < 0) {
        return -1;
    }
    return buf_append(list, text, strlen(text));
}

static void hosts_add(struct pg_hosts *h, const char *address)
{
    bool is_first = h->out_ports.len == 0;
    if (list_add(&h->out_hosts, is_first, h->host) < 0 ||
        list_add(&h->out_addresses, is_first, address) < 0 ||
        list_add(&h->out_ports, is_first, h->port) < 0) {
        snprintf(h->error, sizeof(h->error), "out of memory");
    }
}

static void hosts_finish(struct pg_hosts *h)
{
    bool has_all = buf_append(&h->out_hosts, "", 1) == 0 &&
                   buf_append(&h->out_addresses, "", 1) == 0 &&
                   buf_append(&h->out_ports, "", 1) == 0;
    /* One name that is unknown is no failure while another one has an address. */
    if (has_all && h->out_ports.len > 1) {
        h->done(h->owner, (char *)buf_data(&h->out_hosts), (char *)buf_data(&h->out_addresses),
                (char *)buf_data(&h->out_ports), NULL);
    } else {
        h->done(h->owner, NULL, NULL, NULL, h->error[0] != '\0' ? h->error : "no host");
    }
    hosts_free(h);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *list)
{
    struct pg_hosts *h = request->data;
    int n = 0;
    if (status < 0) {
        snprintf(h->error, sizeof(h->error), "cannot resolve %s: %s", h->host, uv_strerror(status));
    }
    for (struct addrinfo *a = list; a != NULL && n < PG_HOSTS_ADDRESSES_MAX; a = a->ai_next) {
        char text[NI_MAXHOST];
        if (getnameinfo(a->ai_addr, a->ai_addrlen, text, sizeof(text), NULL, 0, NI_NUMERICHOST) ==
            0) {
            hosts_add(h, text);
            n++;
        }
    }
    uv_freeaddrinfo(list);
    hosts_step(h);
}

/* Cuts the next item off a comma-separated list. */
static char *list_cut(char **list)
{
    char *item = *list;
    char *comma = item != NULL ? strchr(item, ',') : NULL;
    if (comma != NULL) {
        *comma = '\0';
    }
    *list = comma != NULL ? comma + 1 : NULL;
    return item;
}

static void hosts_step(struct pg_hosts *h)
{
    while (h->next_host != NULL) {
        h->host = list_cut(&h->next_host);
        const char *port = list_cut(&h->next_port);
        if (port != NULL) {
            h->port = port[0] != '\0' ? port : "5432";
        }
        if (h->host[0] == '/' || h->host[0] == '@' || h->host[0] == '\0') {
            hosts_add(h, "");
            continue;
        }
        struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        int status = uv_getaddrinfo(h->loop, &h->request, on_resolved, h->host, NULL, &hints);
        if (status == 0) {
            return;
        }
        snprintf(h->error, sizeof(h->error), "cannot resolve %s: %s", h->host, uv_strerror(status));
    }
    hosts_finish(h);
}

/* With only Unix sockets nothing is asynchronous, but `done` must still not run inside
 * pg_hosts_resolve(). */
static void on_turn(uv_work_t *work)
{
    (void)work;
}

static void on_turned(uv_work_t *work, int status)
{
    struct pg_hosts *h = work->data;
    (void)status;
    free(work);
    hosts_step(h);
}

struct pg_hosts *pg_hosts_resolve(struct uv_loop_s *loop, const char *hosts, const char *ports,
                                  pg_hosts_fn done, void *owner)
{
    struct pg_hosts *h = calloc(1, sizeof(*h));
    uv_work_t *work = calloc(1, sizeof(*work));
    if (h == NULL || work == NULL) {
        goto fail;
    }
    h->loop = loop;
    h->hosts = strdup(hosts);
    h->ports = strdup(ports);
    h->done = done;
    h->owner = owner;
    if (h->hosts == NULL || h->ports == NULL) {
        goto fail;
    }
    h->next_host = h->hosts;
    h->next_port = h->ports;
    h->port = "5432";
    h->request.data = h;
    work->data = h;
    if (uv_queue_work(loop, work, on_turn, on_turned) < 0) {
        goto fail;
    }
    return h;
fail:
    free(work);
    if (h != NULL) {
        hosts_free(h);
    }
    return NULL;
}
