/* TOML read by toml++ behind a C face. Positions survive, so that a complaint can name file, line
 * and column.
 */
#pragma once

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

struct json_t;
struct toml_doc;

/* Reads and parses the file. NULL on failure, with "path:line:column: reason" (or "path: reason")
 * in `error`. The caller owns the document: toml_free(). */
struct toml_doc *toml_load(const char *path, char *error, size_t error_len)
    __attribute__((warn_unused_result));

void toml_free(struct toml_doc *doc);

/* The whole document as a jansson object; borrowed, lives as long as the document. Dates, times,
 * and the numbers that JSON does not know (inf, nan) become strings. */
struct json_t *toml_json(const struct toml_doc *doc);

/* Where a value stands; `path` is like "broker.hosts" or "route[2].prefix" (counted from 0). 0, or
 * -1 when there is no such value. */
int toml_where(const struct toml_doc *doc, const char *path, unsigned *line, unsigned *column)
    __attribute__((warn_unused_result));

/* The same for the last key of the path: where its name stands, not its value. */
int toml_where_key(const struct toml_doc *doc, const char *path, unsigned *line, unsigned *column)
    __attribute__((warn_unused_result));

#ifdef __cplusplus
}
#endif
