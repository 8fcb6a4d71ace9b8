/* TOML read by toml++ behind a C face. Positions survive, so that a complaint can name file, line
 * and column.
 */
#pragma once

#include <stddef.h>

struct json_t;
struct toml_doc;

/* Reads and parses the file. NULL on failure, with "path:line:column: reason" (or "path: reason")
 * in `error`. The caller owns the document: toml_free(). */
struct toml_doc *toml_load(const char *path, char *error, size_t error_len);

void toml_free(struct toml_doc *doc);

/* The whole document as a jansson object; borrowed, lives as long as the document. Dates become
 * strings. */
struct json_t *toml_json(const struct toml_doc *doc);

/* Where a value stands; `path` is like "broker.hosts" or "route[2].prefix". 0, or -1 when there is
 * no such value. */
int toml_where(const struct toml_doc *doc, const char *path, unsigned *line, unsigned *column)
    __attribute__((warn_unused_result));
