/* What the .c files of the configuration share: the table of all keys, and the reader that collects
 * complaints. Nobody else includes this (its unit test does).
 */
#pragma once

#include "common/config.h"

#include <jansson.h>

struct toml_doc;

/* What a gateway or a worker may be called: the name becomes a part of the names of queues. */
#define CONFIG_NAME_CHARS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-"

enum config_type {
    CONFIG_TYPE_BOOL,
    CONFIG_TYPE_INT,     /* int */
    CONFIG_TYPE_INT64,   /* int64_t */
    CONFIG_TYPE_ENUM,    /* an enum, as an index into `words` */
    CONFIG_TYPE_WORD,    /* char *, one of `words` */
    CONFIG_TYPE_STRING,  /* char * */
    CONFIG_TYPE_PATH,    /* char *, made relative to the file's folder */
    CONFIG_TYPE_SECRET,  /* char *, never shown */
    CONFIG_TYPE_FILE,    /* the same, read from the file that is named */
    CONFIG_TYPE_STRINGS, /* struct config_strings */
};

struct config_key {
    const char *section; /* "gateway"; "route" and "user" are arrays of tables */
    const char *name;
    enum config_type type;
    size_t offset;            /* into struct config, config_route or config_user */
    int64_t number;           /* the default of a boolean, a number, an enum */
    const char *text;         /* the default of a string; of a list the only item, "" for none */
    int64_t min;              /* of a number; of the length of a string; of the count of a list */
    int64_t max;              /* the same */
    const char *unit;         /* "" where there is none */
    const char *const *words; /* of an enum or a word, ended by NULL */
};

extern const struct config_key config_keys[];
extern const size_t config_n_keys;

/* NULL when there is none. */
const struct config_key *config_key_find(const char *section, const char *name);

/* The known key that is spelled most alike, best in the same section (`section` NULL: any). */
const struct config_key *config_key_nearest(const char *section, const char *name);

/* The known section that is spelled most alike. */
const char *config_section_nearest(const char *name);
bool config_section_exists(const char *name);

/* The default as it would stand in the file. Always terminated. */
void config_key_default(const struct config_key *k, char *text, size_t len);

struct config_complaint {
    unsigned line; /* 0 when there is no place */
    unsigned column;
    char *text;
};

struct config_reader {
    const char *path;
    struct toml_doc *doc;
    struct config_complaint *complaints;
    size_t n_complaints;
};

/* Where a complaint points to: the value, or the name of the key. */
enum config_at { CONFIG_AT_VALUE, CONFIG_AT_KEY };

/* `where` is the key's path as in toml_where(). A key that is not in the file (a default that does
 * not go with another value) is complained about at its table, or without a place. */
void config_complain(struct config_reader *r, enum config_at at, const char *where,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* All complaints, ordered by line; gives. */
char *config_complaints_text(const struct config_reader *r);
void config_complaints_fini(struct config_reader *r);

/* Like malloc() and friends, but end the program with a message when out of memory: this is
 * start-up. */
void *config_alloc(void *old, size_t bytes);
char *config_copy(const char *text);

/* `base` is the struct that the key's offset counts from; zeroed, or holding an earlier value. */
void config_value_default(void *base, const struct config_key *k);
void config_value_read(struct config_reader *r, void *base, const struct config_key *k,
                       const char *where, const json_t *value);
void config_value_free(void *base, const struct config_key *k);

/* Every key of a section to its default, or freed. */
void config_section_default(void *base, const char *section);
void config_section_free(void *base, const char *section);

/* Reads a table of the file; `where` is its path ("route[2]"). */
void config_section_read(struct config_reader *r, void *base, const char *section,
                         const char *where, json_t *table);

void config_routes_default(struct config *c);
void config_routes_read(struct config_reader *r, struct config *c, const json_t *list);
void config_routes_free(struct config *c);

void config_users_read(struct config_reader *r, struct config *c, const json_t *list);
void config_users_free(struct config *c);

/* What one key alone does not show. */
void config_check(struct config_reader *r, const struct config *c);
