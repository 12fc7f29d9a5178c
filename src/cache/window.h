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
	uint64_t next;  /* where the next read of it would begin */
	uint64_t run;   /* bytes read in order so far; 0: unused */
	uint64_t count; /* in so many reads */
	uint64_t used;  /* when, in reads of the handle */
};

struct window {
	struct window_stream streams[WINDOW_STREAMS];
	uint64_t reads;
	bool jumped;      /* there was more than one stream */
	uint64_t typical; /* bytes that streams ran; 0: none has ended yet */
};

struct window_advice {
	bool sequential; /* fetch whole chunks */
	uint64_t ahead;  /* bytes behind the read to have fetched too */
};

/*
 * A read of len bytes at off of a file of size bytes; max bounds ahead.
 *
 * Sequential is what continues a stream, or starts at 0 with a large read; but
 * a handle that jumps is believed: a large random read comes as several reads
 * in order, and only what runs on as far as streams of this handle use to run
 * (or farther than they ever did) is fetched ahead.
 */
struct window_advice window_read(struct window *w, uint64_t off, uint64_t len,
				 uint64_t size, uint64_t max);

#endif
