#include "storm.h"

#include <stdio.h>
#include <stdlib.h>

int storm_init(struct storm *s, struct client_run *run)
{
    unsigned n = run->options->connecting;
    struct client *clients = calloc(n, sizeof(*clients));
    *s = (struct storm){0};
    if (!clients) {
        perror("loadgen: a storm");
        return -1;
    }
    int result = client_set_init(&s->set, run, clients, n);
    s->set.is_storm = true;
    return result;
}

static void begin(struct storm *s, struct client *c)
{
    const struct options *o = s->set.run->options;
    unsigned first = (unsigned)(s->begun * o->subscriptions % UINT32_MAX);
    *c = (struct client){.fd = -1, .first = first, .room = deal_room(o, first), .next = c->next};
    s->begun++;
    client_open(&s->set, c);
}

bool storm_turn(struct storm *s)
{
    const uint64_t wanted = s->set.run->options->storm;
    client_set_turn(&s->set, s->gone == s->begun ? 0 : 5);
    for (unsigned i = 0; i < s->set.n; i++) {
        struct client *c = &s->set.clients[i];
        if (c->state == CLIENT_CLOSED) {
            s->gone++;
            s->failed += c->has_left ? 0 : 1;
            c->state = CLIENT_NEW;
        }
        if (c->state == CLIENT_NEW && s->begun < wanted) {
            begin(s, c);
        }
    }
    return s->gone < wanted;
}

void storm_fini(struct storm *s)
{
    client_set_fini(&s->set);
}
