/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where to cut what is left of a directory's names, so that the pieces can be
 * listed at the same time.  A cut is only a guess: a piece may turn out to be
 * empty.  Pure.
 */
#ifndef S3RDMAFS_CACHE_RANGES_H
#define S3RDMAFS_CACHE_RANGES_H

#include <stdbool.h>
#include <stddef.h>

#define RANGES_NAME 264

/* A name between cur and end, both left out; false when none suggests itself.
 * end is not "". */
bool ranges_middle(const char *cur, const char *end, char out[RANGES_NAME]);

/* The first name behind all that begin with the n bytes of cur, or "" when
 * the last of them is no ASCII. */
void ranges_behind(const char *cur, size_t n, char out[RANGES_NAME]);

/*
 * cur is a name that was listed, next the first one behind all that share its
 * first n + 1 bytes, and behind those that share n there is none: names differ
 * at byte n.  Gives up to max cuts, in order; how many.
 */
unsigned int ranges_cuts(const char *cur, const char *next, size_t n,
			 char (*out)[RANGES_NAME], unsigned int max);

#endif
