/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All names of a listing begin with what its first and its last one share;
 * the bytes behind that are what a key is made of, the first one highest.  A
 * directory's name goes on with '/', as its keys do.
 */
#include "cache/snap_index.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct snap_index {
	size_t skip; /* bytes that all names share; constant */
	char shared[REC_NAME_MAX + 1];
	_Atomic uint64_t keys[]; /* 0: not known */
};

struct snap_index *snap_index_new(const struct rec *first,
				  const struct rec *last, uint64_t leaves)
{
	struct snap_index *x = calloc(1,
				      sizeof(*x) + leaves * sizeof(x->keys[0]));

	if (!x)
		return NULL;
	while (x->skip < first->len && x->skip < last->len &&
	       first->name[x->skip] == last->name[x->skip])
		x->skip++;
	memcpy(x->shared, first->name, x->skip);
	return x;
}

static uint64_t key_of(const struct snap_index *x, const char *name, size_t len,
		       bool is_dir)
{
	uint64_t key = 0;

	for (size_t i = x->skip; i < x->skip + 8; i++) {
		const unsigned int c = i < len ? (unsigned char)name[i]
				       : i == len && is_dir ? '/'
							    : 0;

		key = key << 8 | c;
	}
	return key;
}

void snap_index_note(struct snap_index *x, uint64_t leaf,
		     const struct rec *first)
{
	if (first->len >= x->skip)
		atomic_store_explicit(
			&x->keys[leaf],
			key_of(x, first->name, first->len, first->is_dir),
			memory_order_relaxed);
}

int snap_index_compare(const struct snap_index *x, uint64_t leaf,
		       const char *name, size_t len, bool is_dir)
{
	const uint64_t key = atomic_load_explicit(&x->keys[leaf],
						  memory_order_relaxed);
	uint64_t mine;
	int c;

	if (!key || len < x->skip)
		return 0;
	c = memcmp(x->shared, name, x->skip);
	if (c)
		return c;
	mine = key_of(x, name, len, is_dir);
	return (key > mine) - (key < mine);
}
