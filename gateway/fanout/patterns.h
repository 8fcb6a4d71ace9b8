/* Topic patterns by word, so that a routing key finds all that match it in one walk: AMQP
 * 0-9-1, 3.1.3.3 "Topic Exchange Type". `*` is one word, `#` zero or more, dots part words.
 *
 *     a.*.c   a.#   a.b        root ── a ─┬─ *  ── c ●
 *                                         ├─ #  ●
 *                                         └─ b  ●
 *
 * The walk keeps the set of nodes that the words so far can have led to. A node is in it once, so
 * what a client writes ("#.#.a.#.a") costs at most its nodes times the words of the key; ten
 * thousand patterns that begin with other words cost nothing. A pure data structure; belongs to one
 * loop thread.
 */
#pragma once

#include "common/slice.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct patterns_node;

struct patterns {
    struct patterns_node *root;    /* NULL while there is none */
    struct patterns_node **active; /* room for two sets of all nodes */
    size_t n_nodes;
    size_t cap;
    size_t n;
    uint64_t step; /* marks the nodes of the set that is being made */
};

/* A zeroed struct is empty. */
void patterns_fini(struct patterns *p);

/* Adds a pattern that is not there yet. `value` is not NULL. -1 when out of memory; nothing
 * changed. */
int patterns_put(struct patterns *p, struct slice pattern, void *value)
    __attribute__((warn_unused_result));

/* The value (borrowed), or NULL: of exactly this pattern. */
void *patterns_get(const struct patterns *p, struct slice pattern);

/* Takes it out and returns its value, or NULL when there was none. */
void *patterns_take(struct patterns *p, struct slice pattern);

/* Calls fn once for the value of each pattern that matches the key, in no order. fn must not change
 * the patterns. Allocates nothing. */
void patterns_match(struct patterns *p, struct slice key, void (*fn)(void *value, void *arg),
                    void *arg);
