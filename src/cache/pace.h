/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much is asked for ahead of need.  Pure; the caller's lock.
 *
 * All that is under way shares the line.  Where that takes long, asking for
 * more makes what somebody waits for come later still, and names too: so never
 * more than what came of late in PACE_NS is under way because of what is
 * fetched ahead.  On a fast line that bounds nothing.
 *
 * And each handle that is read in order gets its share of the pool, so that
 * the first ones do not fill it and leave the others with none.
 */
#ifndef S3RDMAFS_CACHE_PACE_H
#define S3RDMAFS_CACHE_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define PACE_NS 4000000000ULL

struct pace {
	uint64_t going; /* bytes under way */
	uint64_t bound; /* of them, for what is fetched ahead */
};

void pace_init(struct pace *p);

/* So many bytes are asked for; returns what is under way with them. */
uint64_t pace_begin(struct pace *p, uint64_t bytes);
/* They have come after took_ns (good), or will not; with is what pace_begin
 * returned. */
void pace_end(struct pace *p, uint64_t bytes, uint64_t with, uint64_t took_ns,
	      bool good);
/* May something be fetched ahead? */
bool pace_allows(const struct pace *p);

#define SHARES_NS 1000000000ULL

/* For whom is fetched ahead: counted by spans of SHARES_NS. */
struct shares {
	uint64_t span;
	unsigned int now, before; /* handles in this span, in the last */
};

/* Something was fetched ahead for a handle; span is its own, 0 at first. */
void shares_note(struct shares *s, uint64_t *span, uint64_t now_ns);
/* It was closed. */
void shares_leave(struct shares *s, uint64_t span);
/* How many do, that one included; at least 1. */
unsigned int shares_count(const struct shares *s, uint64_t span,
			  uint64_t now_ns);

#endif
