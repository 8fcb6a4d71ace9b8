/* Blocks of one size that are asked for by many and written to by few. They lie side by side with
 * nothing of ours in between, so a page of them that nobody has written to costs no memory: the
 * kernel gives it at the first touch. In the heap the same blocks would stand among others, and
 * every page of theirs would be touched.
 *
 * Any thread may call; a lock is held for a few instructions.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

struct sparse;

/* Address space for n blocks; no memory yet. NULL when there is not even that. */
struct sparse *sparse_new(size_t block_bytes, size_t n_blocks);

/* A block, with whatever its last owner left in it; the one that was given back last is given
 * first. NULL when all are taken. */
void *sparse_take(struct sparse *s);

/* True for what sparse_take() gave. */
bool sparse_owns(const struct sparse *s, const void *block);
void sparse_give(struct sparse *s, void *block);

/* NULL does nothing. */
void sparse_free(struct sparse *s);
