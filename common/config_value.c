#include "common/config_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SECRET_FILE_MAX 4096

static void *field(void *base, const struct config_key *k)
{
    return (char *)base + k->offset;
}

static void set_text(void *base, const struct config_key *k, const char *text)
{
    char **s = field(base, k);
    char *copy = config_copy(text);
    free(*s);
    *s = copy;
}

static void free_strings(struct config_strings *list)
{
    for (size_t i = 0; i < list->n; i++) {
        free(list->items[i]);
    }
    free(list->items);
    *list = (struct config_strings){0};
}

static void push_string(struct config_strings *list, const char *text)
{
    list->items = config_alloc(list->items, (list->n + 1) * sizeof *list->items);
    list->items[list->n++] = config_copy(text);
}

void config_value_default(void *base, const struct config_key *k)
{
    switch (k->type) {
    case CONFIG_TYPE_BOOL:
        *(bool *)field(base, k) = k->number != 0;
        break;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_ENUM:
        *(int *)field(base, k) = (int)k->number;
        break;
    case CONFIG_TYPE_INT64:
        *(int64_t *)field(base, k) = k->number;
        break;
    case CONFIG_TYPE_WORD:
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_PATH:
    case CONFIG_TYPE_SECRET:
        set_text(base, k, k->text);
        break;
    case CONFIG_TYPE_FILE:
        break; /* shares its member with the key that it stands in for */
    case CONFIG_TYPE_STRINGS:
        free_strings(field(base, k));
        if (*k->text) {
            push_string(field(base, k), k->text);
        }
        break;
    }
}

void config_value_free(void *base, const struct config_key *k)
{
    switch (k->type) {
    case CONFIG_TYPE_BOOL:
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
    case CONFIG_TYPE_ENUM:
    case CONFIG_TYPE_FILE:
        break;
    case CONFIG_TYPE_WORD:
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_PATH:
    case CONFIG_TYPE_SECRET:
        free(*(char **)field(base, k));
        *(char **)field(base, k) = NULL;
        break;
    case CONFIG_TYPE_STRINGS:
        free_strings(field(base, k));
        break;
    }
}

static const char *type_name(const json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return "a table";
    case JSON_ARRAY:
        return "an array";
    case JSON_STRING:
        return "a string";
    case JSON_INTEGER:
        return "an integer";
    case JSON_REAL:
        return "a number with a fraction";
    case JSON_TRUE:
    case JSON_FALSE:
        return "a boolean";
    case JSON_NULL:
        break;
    }
    return "nothing";
}

static void complain_type(struct config_reader *r, const char *where, const char *wanted,
                          const json_t *value)
{
    config_complain(r, CONFIG_AT_VALUE, where, "must be %s, is %s", wanted, type_name(value));
}

static void read_number(struct config_reader *r, void *base, const struct config_key *k,
                        const char *where, const json_t *value)
{
    if (!json_is_integer(value)) {
        complain_type(r, where, "an integer", value);
        return;
    }
    int64_t number = json_integer_value(value);
    if (number < k->min || number > k->max) {
        config_complain(r, CONFIG_AT_VALUE, where,
                        "must be %" PRId64 " to %" PRId64 "%s%s, is %" PRId64, k->min, k->max,
                        *k->unit ? " " : "", k->unit, number);
    } else if (k->type == CONFIG_TYPE_INT) {
        *(int *)field(base, k) = (int)number;
    } else {
        *(int64_t *)field(base, k) = number;
    }
}

/* The text of a string without control characters, NULL (and a complaint) when it is none. */
static const char *read_text(struct config_reader *r, const char *where, const json_t *value)
{
    if (!json_is_string(value)) {
        complain_type(r, where, "a string", value);
        return NULL;
    }
    const char *text = json_string_value(value);
    for (size_t i = 0; i < json_string_length(value); i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            config_complain(r, CONFIG_AT_VALUE, where, "has a control character");
            return NULL;
        }
    }
    return text;
}

static void read_word(struct config_reader *r, void *base, const struct config_key *k,
                      const char *where, const json_t *value)
{
    const char *text = read_text(r, where, value);
    if (!text) {
        return;
    }
    char known[256] = "";
    for (int i = 0; k->words[i]; i++) {
        if (strcmp(text, k->words[i]) == 0) {
            if (k->type == CONFIG_TYPE_WORD) {
                set_text(base, k, text);
            } else {
                *(int *)field(base, k) = i;
            }
            return;
        }
        size_t n = strlen(known);
        snprintf(known + n, sizeof known - n, "%s\"%s\"", i > 0 ? ", " : "", k->words[i]);
    }
    config_complain(r, CONFIG_AT_VALUE, where, "must be one of %s, is \"%s\"", known, text);
}

/* `name` relative to the folder of the configuration file. Gives. */
static char *resolve_path(const struct config_reader *r, const char *name)
{
    const char *slash = strrchr(r->path, '/');
    if (*name == '/' || *name == '\0' || !slash) {
        return config_copy(name);
    }
    size_t folder_len = (size_t)(slash - r->path) + 1;
    char *path = config_alloc(NULL, folder_len + strlen(name) + 1);
    memcpy(path, r->path, folder_len);
    memcpy(path + folder_len, name, strlen(name) + 1);
    return path;
}

/* Reads a secret; a newline at its end, which editors leave, is not a part of it. */
static void read_secret_file(struct config_reader *r, void *base, const struct config_key *k,
                             const char *where, const char *path)
{
    char secret[SECRET_FILE_MAX + 1];
    FILE *file = fopen(path, "re");
    if (!file) {
        config_complain(r, CONFIG_AT_VALUE, where, "%s: %s", path, strerror(errno));
        return;
    }
    size_t n = fread(secret, 1, sizeof secret, file);
    bool has_failed = ferror(file);
    fclose(file);
    if (n > 0 && n < sizeof secret && secret[n - 1] == '\n') {
        n--;
        n -= n > 0 && secret[n - 1] == '\r';
    }
    if (has_failed) {
        config_complain(r, CONFIG_AT_VALUE, where, "%s: cannot be read", path);
    } else if (n == 0) {
        config_complain(r, CONFIG_AT_VALUE, where, "%s: is empty", path);
    } else if (n == sizeof secret) {
        config_complain(r, CONFIG_AT_VALUE, where, "%s: is longer than %d bytes", path,
                        SECRET_FILE_MAX);
    } else if (memchr(secret, '\0', n) || memchr(secret, '\n', n)) {
        config_complain(r, CONFIG_AT_VALUE, where, "%s: is not one line of text", path);
    } else {
        secret[n] = '\0';
        set_text(base, k, secret);
    }
}

static void read_string(struct config_reader *r, void *base, const struct config_key *k,
                        const char *where, const json_t *value)
{
    const char *text = read_text(r, where, value);
    if (!text) {
        return;
    }
    int64_t len = (int64_t)strlen(text);
    if (len == 0 && k->min > 0) {
        config_complain(r, CONFIG_AT_VALUE, where, "must not be empty");
    } else if (len > k->max) {
        config_complain(r, CONFIG_AT_VALUE, where, "must be at most %" PRId64 " bytes, is %" PRId64,
                        k->max, len);
    } else if (k->type == CONFIG_TYPE_PATH || k->type == CONFIG_TYPE_FILE) {
        char *path = resolve_path(r, text);
        if (k->type == CONFIG_TYPE_PATH) {
            set_text(base, k, path);
        } else if (*path) {
            read_secret_file(r, base, k, where, path);
        }
        free(path);
    } else {
        set_text(base, k, text);
    }
}

static void read_strings(struct config_reader *r, void *base, const struct config_key *k,
                         const char *where, const json_t *value)
{
    if (!json_is_array(value)) {
        complain_type(r, where, "an array of strings", value);
        return;
    }
    int64_t n = (int64_t)json_array_size(value);
    if (n < k->min || n > k->max) {
        config_complain(r, CONFIG_AT_VALUE, where,
                        "must have %" PRId64 " to %" PRId64 " items, has %" PRId64, k->min, k->max,
                        n);
        return;
    }
    struct config_strings *list = field(base, k);
    free_strings(list);
    for (size_t i = 0; i < json_array_size(value); i++) {
        char item[256];
        snprintf(item, sizeof item, "%s[%zu]", where, i);
        const char *text = read_text(r, item, json_array_get(value, i));
        if (text && !*text) {
            config_complain(r, CONFIG_AT_VALUE, item, "must not be empty");
        }
        push_string(list, text ? text : "");
    }
}

void config_value_read(struct config_reader *r, void *base, const struct config_key *k,
                       const char *where, const json_t *value)
{
    switch (k->type) {
    case CONFIG_TYPE_BOOL:
        if (json_is_boolean(value)) {
            *(bool *)field(base, k) = json_is_true(value);
        } else {
            complain_type(r, where, "true or false", value);
        }
        break;
    case CONFIG_TYPE_INT:
    case CONFIG_TYPE_INT64:
        read_number(r, base, k, where, value);
        break;
    case CONFIG_TYPE_ENUM:
    case CONFIG_TYPE_WORD:
        read_word(r, base, k, where, value);
        break;
    case CONFIG_TYPE_STRING:
    case CONFIG_TYPE_PATH:
    case CONFIG_TYPE_SECRET:
    case CONFIG_TYPE_FILE:
        read_string(r, base, k, where, value);
        break;
    case CONFIG_TYPE_STRINGS:
        read_strings(r, base, k, where, value);
        break;
    }
}
