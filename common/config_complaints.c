#include "common/config_internal.h"

#include "common/toml.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *config_alloc(void *old, size_t bytes)
{
    void *mem = realloc(old, bytes > 0 ? bytes : 1);
    if (!mem) {
        fputs("configuration: out of memory\n", stderr);
        exit(EXIT_FAILURE);
    }
    return mem;
}

char *config_copy(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(config_alloc(NULL, bytes), text, bytes);
}

static int find_place(const struct toml_doc *doc, enum config_at at, const char *where,
                      struct config_complaint *c)
{
    if (at == CONFIG_AT_KEY) {
        return toml_where_key(doc, where, &c->line, &c->column);
    }
    if (toml_where(doc, where, &c->line, &c->column) == 0) {
        return 0;
    }
    /* A key that is not in the file is complained about where its table begins. */
    char table[256];
    snprintf(table, sizeof table, "%s", where);
    char *dot = strrchr(table, '.');
    if (!dot) {
        return -1;
    }
    *dot = '\0';
    return toml_where(doc, table, &c->line, &c->column);
}

void config_complain(struct config_reader *r, enum config_at at, const char *where,
                     const char *format, ...)
{
    char reason[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(reason, sizeof reason, format, args);
    va_end(args);

    struct config_complaint c = {0};
    int found = find_place(r->doc, at, where, &c);
    char place[32] = "";
    if (found == 0) {
        snprintf(place, sizeof place, "%u:%u: ", c.line, c.column);
    }
    size_t bytes = strlen(r->path) + strlen(place) + strlen(where) + strlen(reason) + 8;
    c.text = config_alloc(NULL, bytes);
    snprintf(c.text, bytes, "%s:%s%s%s: %s\n", r->path, found == 0 ? "" : " ", place, where,
             reason);
    r->complaints = config_alloc(r->complaints, (r->n_complaints + 1) * sizeof c);
    r->complaints[r->n_complaints++] = c;
}

static int by_place(const void *left, const void *right)
{
    const struct config_complaint *a = left;
    const struct config_complaint *b = right;
    if (a->line != b->line) {
        return a->line < b->line ? -1 : 1;
    }
    if (a->column != b->column) {
        return a->column < b->column ? -1 : 1;
    }
    return strcmp(a->text, b->text);
}

char *config_complaints_text(const struct config_reader *r)
{
    qsort(r->complaints, r->n_complaints, sizeof *r->complaints, by_place);
    size_t len = 0;
    for (size_t i = 0; i < r->n_complaints; i++) {
        len += strlen(r->complaints[i].text);
    }
    char *text = config_alloc(NULL, len + 1);
    char *end = text;
    for (size_t i = 0; i < r->n_complaints; i++) {
        size_t n = strlen(r->complaints[i].text);
        memcpy(end, r->complaints[i].text, n);
        end += n;
    }
    *end = '\0';
    return text;
}

void config_complaints_fini(struct config_reader *r)
{
    for (size_t i = 0; i < r->n_complaints; i++) {
        free(r->complaints[i].text);
    }
    free(r->complaints);
    r->complaints = NULL;
    r->n_complaints = 0;
}
