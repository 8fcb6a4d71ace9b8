/* A hash map from bytes to a pointer; open addressing, keyed with a random seed per process.
 *
 * Keys are borrowed: a key's bytes must stay valid and unchanged while the entry is in the map, so
 * they usually live in the value itself. Belongs to one thread.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_entry {
    const void *key;
    void *value;
    uint32_t key_len;
    uint32_t hash;
};

/* A zeroed struct is a valid empty map. */
struct map {
    struct map_entry *entries;
    size_t n;
    size_t cap;
};

void map_init(struct map *m);

/* Frees the table, not the values. */
void map_fini(struct map *m);

/* The value (borrowed), or NULL. */
void *map_get(const struct map *m, const void *key, size_t key_len);

/* Adds or replaces. 0, or -1 when out of memory (the map unchanged). `value` is not NULL. The
 * entry's key pointer becomes `key` also when it replaces. */
int map_put(struct map *m, const void *key, size_t key_len, void *value)
    __attribute__((warn_unused_result));

/* Takes the entry out and returns its value, or NULL when there was none. Shrinks the table when it
 * is mostly empty. */
void *map_take(struct map *m, const void *key, size_t key_len);

/* Walks all entries in no order: start with *cursor = 0; false when done. The map must not change
 * during the walk. */
bool map_next(const struct map *m, size_t *cursor, struct map_entry *entry);
