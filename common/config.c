#include "common/config_internal.h"

#include "common/toml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void config_section_default(void *base, const char *section)
{
    for (size_t i = 0; i < config_n_keys; i++) {
        if (strcmp(config_keys[i].section, section) == 0) {
            config_value_default(base, &config_keys[i]);
        }
    }
}

void config_section_free(void *base, const char *section)
{
    for (size_t i = 0; i < config_n_keys; i++) {
        if (strcmp(config_keys[i].section, section) == 0) {
            config_value_free(base, &config_keys[i]);
        }
    }
}

void config_section_read(struct config_reader *r, void *base, const char *section,
                         const char *where, json_t *table)
{
    const char *name;
    json_t *value;
    json_object_foreach(table, name, value)
    {
        char path[256];
        snprintf(path, sizeof path, "%s.%s", where, name);
        const struct config_key *k = config_key_find(section, name);
        if (k) {
            config_value_read(r, base, k, path, value);
        } else {
            k = config_key_nearest(section, name);
            config_complain(r, CONFIG_AT_KEY, path, "unknown key; did you mean %s.%s?", k->section,
                            k->name);
        }
    }
}

/* The sections that are one table, and live in struct config itself. */
static bool is_single(const char *section)
{
    return strcmp(section, "route") != 0 && strcmp(section, "user") != 0;
}

static void read_list(struct config_reader *r, struct config *c, const char *section,
                      const json_t *value)
{
    bool is_fine = json_is_array(value);
    for (size_t i = 0; is_fine && i < json_array_size(value); i++) {
        is_fine = json_is_object(json_array_get(value, i));
    }
    if (!is_fine) {
        config_complain(r, CONFIG_AT_KEY, section, "is a list of tables: write [[%s]]", section);
    } else if (strcmp(section, "route") == 0) {
        config_routes_read(r, c, value);
    } else {
        config_users_read(r, c, value);
    }
}

static void complain_unknown(struct config_reader *r, const char *name, const json_t *value)
{
    if (json_is_object(value) ||
        (json_is_array(value) && json_is_object(json_array_get(value, 0)))) {
        const char *section = config_section_nearest(name);
        config_complain(r, CONFIG_AT_KEY, name,
                        is_single(section) ? "unknown section; did you mean [%s]?"
                                           : "unknown section; did you mean [[%s]]?",
                        section);
    } else {
        const struct config_key *k = config_key_nearest(NULL, name);
        config_complain(r, CONFIG_AT_KEY, name, "unknown key; did you mean %s.%s?", k->section,
                        k->name);
    }
}

static void read_file(struct config_reader *r, struct config *c)
{
    const char *name;
    json_t *value;
    json_object_foreach(toml_json(r->doc), name, value)
    {
        if (!config_section_exists(name)) {
            complain_unknown(r, name, value);
        } else if (!is_single(name)) {
            read_list(r, c, name, value);
        } else if (json_is_object(value)) {
            config_section_read(r, c, name, name, value);
        } else {
            config_complain(r, CONFIG_AT_KEY, name, "is a table: write [%s]", name);
        }
    }
}

/* The host's name, in what is allowed in a name. */
static void name_by_host(char **name)
{
    if (**name) {
        return;
    }
    char host[65];
    if (gethostname(host, sizeof host) != 0) {
        host[0] = '\0';
    }
    host[sizeof host - 1] = '\0';
    for (char *p = host; *p; p++) {
        if (!strchr(CONFIG_NAME_CHARS, *p)) {
            *p = '-';
        }
    }
    free(*name);
    *name = config_copy(*host ? host : "stompgate");
}

static struct config *defaults(void)
{
    struct config *c = config_alloc(NULL, sizeof *c);
    *c = (struct config){0};
    for (size_t i = 0; i < config_n_keys; i++) {
        if (is_single(config_keys[i].section)) {
            config_value_default(c, &config_keys[i]);
        }
    }
    config_routes_default(c);
    return c;
}

struct config *config_load(const char *path, char **errors)
{
    struct config *c = defaults();
    *errors = NULL;
    if (path) {
        char error[1024];
        struct config_reader r = {.path = path, .doc = toml_load(path, error, sizeof error)};
        if (!r.doc) {
            strncat(error, "\n", sizeof error - strlen(error) - 1);
            *errors = config_copy(error);
            config_free(c);
            return NULL;
        }
        read_file(&r, c);
        config_check(&r, c);
        if (r.n_complaints > 0) {
            *errors = config_complaints_text(&r);
        }
        config_complaints_fini(&r);
        toml_free(r.doc);
    }
    if (*errors) {
        config_free(c);
        return NULL;
    }
    name_by_host(&c->gateway.name);
    name_by_host(&c->store.name);
    return c;
}

void config_free(struct config *c)
{
    if (!c) {
        return;
    }
    for (size_t i = 0; i < config_n_keys; i++) {
        if (is_single(config_keys[i].section)) {
            config_value_free(c, &config_keys[i]);
        }
    }
    config_routes_free(c);
    config_users_free(c);
    free(c);
}
