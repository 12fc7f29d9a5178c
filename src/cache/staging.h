/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The staging pool: all memory that object data ever stands in.  One memfd,
 * mapped and pinned once, cut into slots of two sizes; it never grows.
 *
 * A slot is one region (memory key) of the arena.  The pool does no locking:
 * its owner calls it under the lock that guards the chunk table.
 */
#ifndef S3RDMAFS_CACHE_STAGING_H
#define S3RDMAFS_CACHE_STAGING_H

#include "base/list.h"
#include "xfer/xfer.h"

#define STAGING_SMALL (128U << 10) /* bytes of a small slot */

/* staging.c has the invariants. */
enum slot_state {
	SLOT_FREE,
	SLOT_ARMED,       /* leased: a server may be writing into it */
	SLOT_READY,       /* holds data that was checked */
	SLOT_QUARANTINED, /* its old key may still be alive */
	SLOT_LENT,        /* with its extent */
	SLOT_STATES,
};

enum slot_class { SLOT_BIG, SLOT_SMALL, SLOT_CLASSES };

/*
 * Some big slots in a file of their own: what can be lent whole, to be handed
 * to applications.
 */
struct extent {
	char *addr;
	size_t len, region_len;
	int fd; /* the pool's */
	unsigned int region, nregions;
	bool lent;
	bool dirty; /* has held data since it was last wiped */
};

struct slot {
	struct list link;      /* on the pool's free list of its class */
	struct extent *extent; /* NULL for a small one */
	struct chunk *chunk;   /* who has it; the cache's */
	enum slot_state state;
	enum slot_class class;
	struct xfer_span span;
	struct xfer_fence fence;
	struct staging *pool;
};

enum staging_pages {
	STAGING_TRANSPARENT, /* huge where the kernel makes them so */
	STAGING_RESERVED,    /* from vm.nr_hugepages */
	STAGING_SMALL_PAGES,
};

struct staging_config {
	size_t size; /* of the pool, bytes */
	size_t slot; /* of a big slot, bytes; a power of two */
	enum staging_pages pages;
	/* The NUMA nodes of the NICs: big slots lie on them in turn. */
	int nodes[RDMA_NODES];
	unsigned int nnodes;
	struct peermem *peers; /* of the arena; borrowed, NULL: none */
};

struct staging_stats {
	unsigned int slots, states[SLOT_STATES];
	unsigned int extents, lent;
	size_t size;
	bool pinned;
};

struct staging;

/* Maps and pins everything.  Where RLIMIT_MEMLOCK forbids that, goes on
 * unpinned after one warning.  0 or -errno. */
int staging_new(const struct staging_config *cfg, struct staging **out);
void staging_free(struct staging *p);

const struct rdma_arena *staging_arena(const struct staging *p);
size_t staging_slot_size(const struct staging *p, enum slot_class class);
/* Slots of a class in all but the lent ones, and free ones. */
unsigned int staging_slots(const struct staging *p, enum slot_class class);
unsigned int staging_free_slots(const struct staging *p, enum slot_class class);

/* FREE -> ARMED; NULL when none is free. */
struct slot *staging_take(struct staging *p, enum slot_class class);
void staging_ready(struct slot *s);      /* ARMED -> READY */
void staging_put(struct slot *s);        /* ARMED, READY -> FREE */
void staging_quarantine(struct slot *s); /* ARMED -> QUARANTINED */
void staging_fenced(struct slot *s);     /* QUARANTINED -> FREE */

/* Extents by number; NULL behind the last. */
struct extent *staging_extent(struct staging *p, unsigned int i);
struct slot *staging_slot(struct staging *p, unsigned int region);
/* All slots of the extent FREE -> LENT, and back. */
void staging_lend(struct staging *p, struct extent *e);
void staging_unlend(struct staging *p, struct extent *e);

/* Are so many slots in quarantine that no more tokens should go out? */
bool staging_is_strained(const struct staging *p);

void staging_get_stats(const struct staging *p, struct staging_stats *out);

#endif
