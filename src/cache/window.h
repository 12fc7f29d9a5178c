/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a read tells about the next one: pure policy over small state.
 *
 * A handle may carry several streams (threads that read different parts of
 * one file in order), so a few are followed at a time.
 */
#ifndef S3RDMAFS_CACHE_WINDOW_H
#define S3RDMAFS_CACHE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#define WINDOW_STREAMS 4

struct window_stream {
	uint64_t first; /* the lowest byte of it */
	uint64_t next;  /* where the next read of it would begin */
	uint64_t run;   /* bytes read in order so far; 0: unused */
	uint64_t count; /* in so many reads */
	uint64_t used;  /* when, in reads of the handle */
};

struct window {
	struct window_stream streams[WINDOW_STREAMS];
	uint64_t reads;
	uint64_t share;   /* of what may be fetched ahead: pace.h's */
	bool jumped;      /* there was more than one stream */
	uint64_t typical; /* bytes that streams ran; 0: none has ended yet */

	/* Of reads that do not continue where the one before ended. */
	uint64_t from;      /* where the newest began */
	uint64_t since;     /* bytes read in order from there */
	uint64_t piece;     /* the same of the one before it */
	int64_t stride;     /* how far it began from the one before */
	unsigned int equal; /* so many distances before it were the same */
	/* Each of so many ended where the one before began, from top down. */
	unsigned int downs;
	uint64_t top;
	uint64_t behind; /* bytes that the run downwards before had; 0: none */
	unsigned int habit; /* of long runs, see window.c */
	/* The read before stood alone, there; runs downwards ended where such a
	 * one was: who copies looks at the first byte, then begins above. */
	uint64_t look;
	bool looked, looks;
};

#define WINDOW_STEPS 16

struct window_advice {
	bool sequential; /* fetch whole chunks */
	uint64_t ahead;  /* bytes after the read to have fetched too */
	uint64_t back;   /* bytes before it: the file is read backwards */
	/* At off + step, off + 2 * step ... so many pieces of piece bytes. */
	int64_t step;
	unsigned int steps;
	uint64_t piece;
};

/*
 * A read of len bytes at off of a file of size bytes; max bounds what is to be
 * fetched beside it.
 *
 * Sequential is what continues a stream, or starts at 0 with a large read; but
 * a handle that jumps is believed: a large random read comes as several reads
 * in order, and only what runs on as far as streams of this handle use to run
 * (or farther than they ever did) is fetched ahead.  Reads with gaps between
 * them are no stream, however near.
 *
 * Pieces at equal distances (a column, a tensor's rows) are expected to go on
 * so, and pieces that end where the one before began are a file read
 * backwards.
 */
struct window_advice window_read(struct window *w, uint64_t off, uint64_t len,
				 uint64_t size, uint64_t max);

#endif
