#include "gateway/fanout/patterns.h"

#include "common/map.h"
#include "gateway/fanout/words.h"

#include <stdlib.h>

enum kind { WORD, STAR, HASH };

struct patterns_node {
    struct patterns_node *parent;
    struct patterns_node *star;
    struct patterns_node *hash;
    struct map words; /* the other children */
    void *value;      /* of the pattern that ends here */
    uint64_t step;
    enum kind kind;
    size_t word_len;
    char word[];
};

/* ---- The tree ---- */

static enum kind kind_of(struct slice word)
{
    return slice_is(word, "*") ? STAR : slice_is(word, "#") ? HASH : WORD;
}

static struct patterns_node *child_of(const struct patterns_node *node, struct slice word)
{
    switch (kind_of(word)) {
    case STAR:
        return node->star;
    case HASH:
        return node->hash;
    case WORD:
        break;
    }
    return map_get(&node->words, word.ptr, word.len);
}

static void set_child(struct patterns_node *parent, enum kind kind, struct patterns_node *child)
{
    if (kind == STAR) {
        parent->star = child;
    } else {
        parent->hash = child;
    }
}

/* Room for one node more in both sets. */
static int reserve(struct patterns *p)
{
    if (p->n_nodes < p->cap) {
        return 0;
    }
    size_t cap = p->cap ? p->cap * 2 : 16;
    struct patterns_node **active = realloc(p->active, 2 * cap * sizeof(struct patterns_node *));
    if (!active) {
        return -1;
    }
    p->active = active;
    p->cap = cap;
    return 0;
}

static struct patterns_node *node_new(struct patterns *p, struct patterns_node *parent,
                                      struct slice word)
{
    struct patterns_node *node = reserve(p) == 0 ? calloc(1, sizeof *node + word.len) : NULL;
    if (!node) {
        return NULL;
    }
    node->parent = parent;
    node->kind = parent ? kind_of(word) : WORD;
    node->word_len = word.len;
    memcpy(node->word, word.ptr ? word.ptr : "", word.len);
    if (parent && node->kind != WORD) {
        set_child(parent, node->kind, node);
    } else if (parent && map_put(&parent->words, node->word, node->word_len, node) != 0) {
        free(node);
        return NULL;
    }
    p->n_nodes++;
    return node;
}

static bool is_needless(const struct patterns_node *node)
{
    return !node->value && !node->star && !node->hash && node->words.n == 0;
}

/* Frees the node and its parents as far as nothing hangs on them. */
static void prune(struct patterns *p, struct patterns_node *node)
{
    while (node && is_needless(node)) {
        struct patterns_node *parent = node->parent;
        if (!parent) {
            p->root = NULL;
        } else if (node->kind == WORD) {
            map_take(&parent->words, node->word, node->word_len);
        } else {
            set_child(parent, node->kind, NULL);
        }
        map_fini(&node->words);
        free(node);
        p->n_nodes--;
        node = parent;
    }
}

static struct patterns_node *find(const struct patterns *p, struct slice pattern)
{
    struct patterns_node *node = p->root;
    struct slice rest = words_of(pattern);
    struct slice word;
    while (node && words_next(&rest, &word)) {
        node = child_of(node, word);
    }
    return node;
}

int patterns_put(struct patterns *p, struct slice pattern, void *value)
{
    struct slice rest = words_of(pattern);
    struct slice word;
    if (!p->root) {
        p->root = node_new(p, NULL, (struct slice){NULL, 0});
    }
    struct patterns_node *node = p->root;
    while (node && words_next(&rest, &word)) {
        struct patterns_node *child = child_of(node, word);
        child = child ? child : node_new(p, node, word);
        if (!child) {
            prune(p, node);
        }
        node = child;
    }
    if (!node) {
        return -1;
    }
    p->n += !node->value;
    node->value = value;
    return 0;
}

void *patterns_get(const struct patterns *p, struct slice pattern)
{
    const struct patterns_node *node = find(p, pattern);
    return node ? node->value : NULL;
}

void *patterns_take(struct patterns *p, struct slice pattern)
{
    struct patterns_node *node = find(p, pattern);
    void *value = node ? node->value : NULL;
    if (value) {
        node->value = NULL;
        p->n--;
        prune(p, node);
    }
    return value;
}

static struct patterns_node *first_child(const struct patterns_node *node)
{
    struct map_entry entry;
    size_t cursor = 0;
    if (node->star || node->hash) {
        return node->star ? node->star : node->hash;
    }
    return map_next(&node->words, &cursor, &entry) ? entry.value : NULL;
}

/* Leaf by leaf, without recursion: a pattern may have 128 words. */
void patterns_fini(struct patterns *p)
{
    while (p->root) {
        struct patterns_node *leaf = p->root;
        for (struct patterns_node *below = leaf; below; below = first_child(below)) {
            leaf = below;
        }
        leaf->value = NULL;
        prune(p, leaf);
    }
    free(p->active);
    *p = (struct patterns){0};
}

/* ---- The walk ---- */

struct set {
    struct patterns_node **nodes;
    size_t n;
};

/* `#` may stand for no word, so whoever is here is behind the `#` that follows as well. */
static void add(struct patterns *p, struct set *set, struct patterns_node *node)
{
    while (node && node->step != p->step) {
        node->step = p->step;
        set->nodes[set->n++] = node;
        node = node->hash;
    }
}

static void advance(struct patterns *p, const struct set *from, struct set *to, struct slice word)
{
    p->step++;
    to->n = 0;
    for (size_t i = 0; i < from->n; i++) {
        struct patterns_node *node = from->nodes[i];
        if (node->kind == HASH) {
            add(p, to, node);
        }
        add(p, to, node->star);
        if (node->words.n > 0) {
            add(p, to, map_get(&node->words, word.ptr, word.len));
        }
    }
}

void patterns_match(struct patterns *p, struct slice key, void (*fn)(void *value, void *arg),
                    void *arg)
{
    struct slice rest = words_of(key);
    struct slice word;
    if (!p->root) {
        return;
    }
    struct set here = {p->active, 0};
    struct set next = {p->active + p->cap, 0};
    p->step++;
    add(p, &here, p->root);
    while (here.n > 0 && words_next(&rest, &word)) {
        advance(p, &here, &next, word);
        struct set swap = here;
        here = next;
        next = swap;
    }
    for (size_t i = 0; i < here.n; i++) {
        if (here.nodes[i]->value) {
            fn(here.nodes[i]->value, arg);
        }
    }
}
