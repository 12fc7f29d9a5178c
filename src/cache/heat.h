/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which chunks are worth keeping: those that were read again.  A file that is
 * read through once, however large and however it is cut into reads, must not
 * drive them out.
 *
 * A chunk is hot when more bytes were read of it than it has; a small one also
 * when a read began elsewhere in it than where the one before ended, for that
 * is how an index is read.  One that comes back soon after it went (the ghosts)
 * is worth keeping where there is room: of a file that is read over and over
 * and does not fit, a part then stays, instead of all of it going in turn.
 * Pure.
 */
#ifndef S3RDMAFS_CACHE_HEAT_H
#define S3RDMAFS_CACHE_HEAT_H

#include <stdbool.h>
#include <stdint.h>

/* Of a chunk since it was filled. */
struct heat {
	uint64_t touched; /* bytes read of it */
	uint64_t next;    /* where the last read ended */
	bool hot;
	bool came_back;
};

/* Bytes from lo to hi were read of a chunk of size bytes. */
void heat_read(struct heat *h, uint64_t lo, uint64_t hi, uint64_t size,
	       bool small);

#define GHOSTS 4096 /* a power of two */

/* What went last: prints of keys, each with its turn. */
struct ghosts {
	struct {
		uint32_t print, turn;
	} all[GHOSTS];
	uint32_t turn;
};

void ghosts_note(struct ghosts *g, uint64_t object, uint64_t index,
		 uint64_t class);
/* Did it go within the last so many? */
bool ghosts_has(const struct ghosts *g, uint64_t object, uint64_t index,
		uint64_t class, uint32_t within);

#endif
