/* SPDX-License-Identifier: Apache-2.0 */
/* Rows in the order of their keys' bytes, on disk: more than memory holds.
 * For one thread; the file goes with it. */
#ifndef S3RDMAFS_CACHE_STORE_SORT_H
#define S3RDMAFS_CACHE_STORE_SORT_H

#include <stddef.h>

struct store_sort;

int store_sort_new(struct store_sort **out);
void store_sort_free(struct store_sort *s);

/* A key that came before is replaced.  0 or -errno. */
int store_sort_put(struct store_sort *s, const void *key, size_t len,
		   const void *row, size_t n);

/* Calls each for all rows in order; a non-zero return ends it. */
int store_sort_each(struct store_sort *s,
		    int (*each)(void *ctx, const void *row, size_t n),
		    void *ctx);

#endif
