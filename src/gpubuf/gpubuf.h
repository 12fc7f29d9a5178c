/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Object ranges in memory that applications hold: handles on allocations of
 * ours (pages of the pool, memory of a GPU), and reads into buffers of theirs.
 *
 * What an application can map belongs to one user as long as anybody may hold
 * it, and is wiped before it changes hands (lease.c).
 */
#ifndef S3RDMAFS_GPUBUF_GPUBUF_H
#define S3RDMAFS_GPUBUF_GPUBUF_H

#include <sys/types.h>

#include "cache/cache.h"

#define GPUBUF_DEVICES 8
#define GPUBUF_EXPORT 64
#define GPUBUF_TICKET 16

struct gpubuf;

enum gpubuf_kind { GPUBUF_HOST = 1, GPUBUF_CUDA = 2 };

struct gpubuf_config {
	struct {
		bool fake; /* a memfd in place of a GPU: for tests */
		unsigned int ordinal;
		uint64_t size;
	} gpus[GPUBUF_DEVICES];
	unsigned int ngpus;
	const char *socket; /* path of the socket for tickets; borrowed */
	uint64_t deadline_ms;
	uint64_t ahead_max; /* bytes fetched ahead of maps in order */
	bool allow_other;   /* other users may come to the socket */
	/* A NIC may have the pool registered: its pages cannot be exchanged. */
	bool frames_are_known;
};

/* How many regions of peer memory these GPUs take, and how long they are at
 * most: the arena must have them. */
#define GPUBUF_REGION (4UL << 20)
unsigned int gpubuf_regions(const struct gpubuf_config *cfg);

/* cache and xfer are borrowed and must outlive it.  0, or -errno and why. */
int gpubuf_new(const struct gpubuf_config *cfg, struct cache *c, struct xfer *x,
	       struct gpubuf **out, char *why, size_t cap);

/* What waits ends with -EIO; returns when no transfer goes on.  After
 * s3_stop. */
void gpubuf_stop(struct gpubuf *g);

/* After xfer_free: no key is alive.  NULL is fine. */
void gpubuf_free(struct gpubuf *g);

/* What is answered later; the head of those structs, gpubuf's own. */
struct gpubuf_wait {
	struct list link;
	int err;
	void (*answer)(struct gpubuf *g, struct gpubuf_wait *w);
};

/* ---- an open file ---- */

/* Part of it; zeroed by the caller before the first use. */
struct gpubuf_owner {
	struct list handles, buffers; /* under gpubuf's lock */
	uint64_t next;                /* where the last map ended */
	unsigned int in_order;        /* maps that went on so */
};
void gpubuf_owner_init(struct gpubuf_owner *o);
/* Everything it has ends.  No call of it may be under way. */
void gpubuf_owner_drop(struct gpubuf *g, struct gpubuf_owner *o);

/* Who asks: a thread of the host's, or 0 where it is not visible from here. */
struct gpubuf_caller {
	uid_t uid;
	pid_t tid;
	pid_t pid; /* gpubuf's own: of that thread */
};

/* ---- handles ---- */

struct gpubuf_map {
	/* Set by the caller. */
	struct gpubuf_owner *owner;
	struct object *object; /* stays referenced until done */
	struct gpubuf_caller caller;
	uint64_t off, len; /* off inside the object, len > 0 */
	enum gpubuf_kind kind;
	unsigned int device;
	bool nowait;
	/* Called once, in gpubuf_map_start or on another thread. */
	void (*done)(struct gpubuf_map *m, int err);

	/* The outcome. */
	uint64_t handle, valid, alloc_off, alloc_size, allocation, generation;
	unsigned char export[GPUBUF_EXPORT];

	/* gpubuf's own. */
	struct gpubuf_wait wait;
	struct lease *lease;
	struct run *run;
	struct handle_slot *slot;
	uint64_t until_ms;
};
/* Never blocks for longer than memory takes to be wiped. */
void gpubuf_map_start(struct gpubuf *g, struct gpubuf_map *m);

/* 0 or -ENOENT. */
int gpubuf_unmap(struct gpubuf *g, struct gpubuf_owner *o, uint64_t handle);

/* ---- buffers of applications ---- */

struct gpubuf_register {
	struct gpubuf_owner *owner;
	struct gpubuf_caller caller;
	enum gpubuf_kind kind;
	unsigned int device;
	uint64_t len;
	const unsigned char *export; /* GPUBUF_EXPORT bytes */
	uint64_t buffer;             /* the outcome */
};
int gpubuf_register(struct gpubuf *g, struct gpubuf_register *r);
int gpubuf_unregister(struct gpubuf *g, struct gpubuf_owner *o, uint64_t id);

struct buffer;

/* Bytes lo..hi of an object on their way into memory; gpubuf's own. */
struct gpubuf_job {
	struct list link; /* on the queue while parts are to begin */
	struct object *object;
	uint64_t lo, next, hi; /* of the object: lo..next have begun */
	unsigned int pending;
	bool queued;
	int err;
	struct place {
		struct dev *dev;
		char *addr;   /* HOST of ours */
		uint64_t gpu; /* address there */
		/* Of addr, or of gpu where it is ours; region_len 0: none */
		unsigned int region;
		size_t region_at, region_len;
		int fd; /* HOST of theirs, or -1 */
	} to;
	uint64_t at; /* in fd or gpu: where lo goes */
	/* Both under the lock: the first part has failed; the last part has
	 * ended, and nothing is written there any more.  They add what is to be
	 * answered to finished. */
	void (*failed)(struct gpubuf *g, struct gpubuf_job *j,
		       struct list *finished);
	void (*ended)(struct gpubuf *g, struct gpubuf_job *j,
		      struct list *finished);
};

struct gpubuf_read {
	/* Set by the caller. */
	struct gpubuf_owner *owner;
	struct object *object;
	uint64_t buffer, buffer_off;
	uint64_t off, len;
	void (*done)(struct gpubuf_read *r, int err);

	uint64_t placed; /* the outcome */

	/* gpubuf's own. */
	struct gpubuf_wait wait;
	struct gpubuf_job job;
	struct buffer *into;
};
void gpubuf_read_start(struct gpubuf *g, struct gpubuf_read *r);

/* ---- for people and programs ---- */

struct gpubuf_info {
	uint64_t map_max;
	struct {
		unsigned int ordinal;
		uint64_t pool;
	} devices[GPUBUF_DEVICES];
	unsigned int ndevices;
	char socket[108];
	char no_gpu[160]; /* why there is none; "" when there is */
};
void gpubuf_get_info(struct gpubuf *g, struct gpubuf_info *out);

struct gpubuf_stats {
	uint64_t handles, buffers; /* alive */
	uint64_t mapped_bytes;     /* under handles */
	uint64_t resident_bytes;   /* of ranges, mapped or not */
	uint64_t leased_bytes;     /* of allocations */
	unsigned int users;        /* with a lease */
	unsigned int waiting;      /* maps that wait for room */
	unsigned int busy;         /* parts on their way */
	uint64_t maps, hits, reads;
	uint64_t direct_bytes;  /* went straight to their place */
	uint64_t copied_bytes;  /* out of the file cache */
	uint64_t bounced_bytes; /* through slots to a GPU or an application */
	uint64_t ahead_bytes;   /* fetched ahead of maps in order */
	uint64_t wiped_bytes;
};
void gpubuf_get_stats(struct gpubuf *g, struct gpubuf_stats *out);

/* Lets go of all that nobody has mapped. */
void gpubuf_drop(struct gpubuf *g);

#endif
