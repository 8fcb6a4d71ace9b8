/* What is told about destinations: the ERROR's texts, and names for what comes from AMQP. */
#include "gateway/fanout/destination.h"

#include <assert.h>
#include <stdio.h>

#include "gateway/fanout/destination_internal.h"

const char *destination_error_message(enum destination_error error)
{
    switch (error) {
    case DESTINATION_OK:
        return "";
    case DESTINATION_UNKNOWN:
        return "Unknown destination";
    case DESTINATION_MISSING:
    case DESTINATION_INVALID:
    case DESTINATION_CONTROL:
    case DESTINATION_TOO_LONG:
    case DESTINATION_WILDCARD:
    case DESTINATION_RESERVED:
    case DESTINATION_TEMP_SEND:
    case DESTINATION_TEMP_SUBSCRIBE:
        return "Invalid destination";
    case DESTINATION_OURS:
        return "access_refused";
    }
    return "";
}

/* A copy of `name` that fits a message to a person: control bytes become '?', and it is cut at a
 * character's border. */
static void printable(struct slice name, char *text, size_t size)
{
    size_t len = name.len < size - 1 ? name.len : size - 1;
    while (len > 0 && len < name.len && ((unsigned char)name.ptr[len] & 0xc0) == 0x80) {
        len--;
    }
    for (size_t i = 0; i < len; i++) {
        text[i] = name.ptr[i];
        if (destination_is_control(text[i])) {
            text[i] = '?';
        }
    }
    text[len] = '\0';
}

/* RabbitMQ's words: "'/bah/baz' is not a valid queue destination" for /queue/bah/baz. It writes its
 * types as one word: amqqueue, temp_queue, reply_queue. */
static void body_invalid(const char *name, char *body, size_t len)
{
    static const char amq[] = "/amq/queue";
    bool is_amq = strncmp(name, amq, strlen(amq)) == 0;
    const char *type = name[0] == '/' ? name + 1 : name;
    const char *rest = is_amq ? name + strlen(amq) : type + strcspn(type, "/");
    char word[64];
    snprintf(word, sizeof(word), "%.*s", is_amq ? 8 : (int)(rest - type),
             is_amq ? "amqqueue" : type);
    for (char *c = word; *c; c++) {
        *c = *c == '-' ? '_' : *c;
    }
    snprintf(body, len, "'%s' is not a valid %s destination\n", rest, word);
}

void destination_error_body(enum destination_error error, struct slice name, char *body, size_t len)
{
    assert(len > 0);
    char text[320];
    printable(name, text, sizeof(text));
    switch (error) {
    case DESTINATION_OK:
        body[0] = '\0';
        return;
    case DESTINATION_MISSING:
        snprintf(body, len, "Destination cannot be blank");
        return;
    case DESTINATION_UNKNOWN:
        snprintf(body, len,
                 "'%s' is not a valid destination.\nValid destination types are: /temp-queue, "
                 "/exchange, /topic, /queue, /amq/queue, /reply-queue/.\n",
                 text);
        return;
    case DESTINATION_INVALID:
        body_invalid(text, body, len);
        return;
    case DESTINATION_CONTROL:
        snprintf(body, len, "'%s' is not a valid destination: it has a control character.\n", text);
        return;
    case DESTINATION_TOO_LONG:
        snprintf(body, len, "'%s' is too long: exchange and routing key may have %d bytes each.\n",
                 text, DESTINATION_PART_MAX);
        return;
    case DESTINATION_WILDCARD:
        snprintf(body, len, "'%s' has a wildcard: it can be subscribed, not sent to.\n", text);
        return;
    case DESTINATION_RESERVED:
        snprintf(body, len,
                 "'%s' is not a valid destination: the broker keeps that exchange for itself.\n",
                 text);
        return;
    case DESTINATION_OURS:
        snprintf(body, len, "ACCESS_REFUSED - '%s' is a queue that the server keeps for itself\n",
                 text);
        return;
    case DESTINATION_TEMP_SEND:
        snprintf(body, len, "'%s' is not a valid destination for 'SEND'\n", text);
        return;
    case DESTINATION_TEMP_SUBSCRIBE:
        snprintf(body, len, "'%s' is not a valid destination for 'SUBSCRIBE'\n", text);
        return;
    }
}

/* The text of a name that is being written; `len` goes on counting beyond `cap`. */
struct speller {
    char *mem;
    size_t cap;
    size_t len;
};

static void spell_byte(struct speller *s, char c)
{
    if (s->len < s->cap) {
        s->mem[s->len] = c;
    }
    s->len++;
}

static void spell_raw(struct speller *s, const char *text)
{
    for (; *text; text++) {
        spell_byte(s, *text);
    }
}

static void spell_escaped(struct speller *s, struct slice text)
{
    static const char hex[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        char c = text.ptr[i];
        if (c != '/' && c != '%' && !destination_is_control(c)) {
            spell_byte(s, c);
            continue;
        }
        spell_byte(s, '%');
        spell_byte(s, hex[(unsigned char)c >> 4]);
        spell_byte(s, hex[(unsigned char)c & 15]);
    }
}

/* Ends the text. Its length, or 0 when it did not fit. */
static size_t spell_end(struct speller *s)
{
    if (s->cap == 0) {
        return 0;
    }
    bool fits = s->len < s->cap;
    s->mem[fits ? s->len : 0] = '\0';
    return fits ? s->len : 0;
}

static size_t spell_by_prefix(const char *prefix, struct slice exchange, struct slice key,
                              char *name, size_t len)
{
    struct speller s = {name, len, 0};
    spell_raw(&s, prefix);
    spell_escaped(&s, exchange);
    if (exchange.len && key.len) {
        spell_byte(&s, '/');
    }
    spell_escaped(&s, key);
    return spell_end(&s);
}

static size_t spell_by_route(const struct config_route *route, struct slice exchange,
                             struct slice key, char *name, size_t len)
{
    if (route->type == CONFIG_QUEUE) {
        return 0;
    }
    if (!destination_is_fixed(route)) {
        return spell_by_prefix(route->prefix, exchange, key, name, len);
    }
    if (!slice_is(exchange, route->exchange)) {
        return 0;
    }
    /* A fixed fanout exchange has no key, but a destination needs something behind its prefix. */
    struct slice rest = route->type == CONFIG_FANOUT ? exchange : key;
    return spell_by_prefix(route->prefix, (struct slice){"", 0}, rest, name, len);
}

/* The first route of that kind which leads back to the pair. 0 when none does. */
static size_t spell_by_routes(const struct config *config, bool is_fixed, struct slice exchange,
                              struct slice key, char *name, size_t len)
{
    for (size_t i = 0; i < config->n_routes; i++) {
        if (destination_is_fixed(&config->routes[i]) != is_fixed) {
            continue;
        }
        struct destination d;
        size_t n = spell_by_route(&config->routes[i], exchange, key, name, len);
        if (n > 0 && destination_resolve(config, (struct slice){name, n}, &d) == DESTINATION_OK &&
            slice_equals((struct slice){d.exchange, d.exchange_len}, exchange) &&
            slice_equals((struct slice){d.key, d.key_len}, key)) {
            return n;
        }
    }
    return 0;
}

/* The first door that leads back to the queue. */
static size_t spell_queue(const struct config *config, struct slice queue, char *name, size_t len)
{
    for (size_t i = 0; i < config->n_routes; i++) {
        struct destination d;
        size_t n = 0;
        if (config->routes[i].type == CONFIG_QUEUE) {
            n = spell_by_prefix(config->routes[i].prefix, (struct slice){"", 0}, queue, name, len);
        }
        if (n > 0 && destination_resolve(config, (struct slice){name, n}, &d) == DESTINATION_OK &&
            d.exchange_len == 0 && slice_equals((struct slice){d.key, d.key_len}, queue)) {
            return n;
        }
    }
    return spell_by_prefix("/queue/", (struct slice){"", 0}, queue, name, len);
}

size_t destination_spell(const struct config *config, struct slice exchange, struct slice key,
                         char *name, size_t len)
{
    if (exchange.len == 0) {
        return spell_queue(config, key, name, len);
    }
    size_t n = spell_by_routes(config, true, exchange, key, name, len);
    if (n == 0) {
        n = spell_by_routes(config, false, exchange, key, name, len);
    }
    return n ? n : spell_by_prefix("/exchange/", exchange, key, name, len);
}
