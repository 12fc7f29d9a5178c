/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared by the files of this folder.  All of it is under gpubuf->lock unless
 * it says otherwise; no system call that may block is made under it.
 */
#ifndef S3RDMAFS_GPUBUF_GPUBUF_INT_H
#define S3RDMAFS_GPUBUF_GPUBUF_INT_H

#include <pthread.h>
#include <stdatomic.h>

#include "gpubuf/device.h"
#include "gpubuf/gpubuf.h"

#define PAGE 4096ULL
#define UNIT (64ULL << 10) /* in which memory of a block is given out */
#define SPAN (4ULL << 20)  /* step of the run table */
#define RUN_BUCKETS 4096
#define HANDLES_MAX 65536
#define BUFFERS_MAX 1024
#define TICKETS 4096
#define OFFERS 64
#define TICKET_MS 10000
#define FILLS 128
/* Blocks of a GPU: large ones, for a handle cannot go beyond one. */
#define GPU_BLOCK (256UL << 20)
#define GPU_BLOCKS_MIN 8
#define GPU_ALIGN (2UL << 20)

struct copier;

/* Where blocks come from: the pool (kind HOST), or a GPU. */
struct dev {
	enum gpubuf_kind kind;
	unsigned int ordinal;
	struct gpu *gpu;       /* owned; NULL for HOST */
	struct copier *copier; /* owned */
	struct block *blocks;  /* owned */
	unsigned int nblocks;
	size_t block_len; /* of the largest */
	uint64_t pool;
};

/* An allocation: memory that is exported as a whole.  lease.c has its states. */
enum block_state { BLOCK_HOME, BLOCK_MOVING, BLOCK_LEASED };
struct block {
	struct list link; /* LEASED: lease->blocks */
	enum block_state state;
	struct dev *dev;
	struct lease *lease;
	uint64_t id;           /* of the allocation */
	struct extent *extent; /* HOST: the pool's, while not HOME */
	struct gpu_mem mem;    /* CUDA */
	bool used;             /* CUDA: has been exported since allocated */
	unsigned int peer;     /* CUDA: first region of the peer memory */
	bool is_shown;         /* CUDA: to NICs */
	int dmabuf;            /* CUDA: owned, or -1 */
	int fd;                /* HOST: read-only, for applications */
	size_t len;
	uint64_t *map; /* owned: a bit a unit, set when taken */
	unsigned int units, nfree;
	unsigned int nruns, nbusy; /* runs in it; those that cannot go */
	uint64_t round;            /* when it was last tried to be taken away */
};

struct ticket {
	unsigned char text[GPUBUF_TICKET];
	uint64_t until_ms;
	pid_t pid; /* 0: not known */
	struct block *block;
	uint64_t allocation;
};

/* What one user has of one device. */
struct lease {
	struct list link; /* gpubuf->leases */
	uid_t uid;
	struct dev *dev;
	struct list blocks;
	unsigned int nblocks, growing; /* that it has, is getting */
	struct list idle; /* runs that nobody has mapped, the oldest first */
	unsigned int handles;
	uint64_t used_ms;
	struct ticket tickets[TICKETS];
	unsigned int next_ticket;
};

/*
 * A resident range of an object, in one block.  run.c has its states.
 */
enum run_state { RUN_FILLING, RUN_READY, RUN_FAILED };
struct run {
	struct list
		link; /* in its bucket while listed, else on the free list */
	struct list idle; /* lease->idle while READY and not pinned */
	enum run_state state;
	bool listed;
	struct lease *lease;
	struct block *block;
	unsigned int unit, nunits;
	unsigned int pins; /* handles and maps that wait */
	struct list waiters;
	struct gpubuf_job job; /* lo..hi is what it covers */
};

struct handle_slot {
	struct list link;           /* owner->handles, or the free list */
	uint64_t id;                /* 0: free */
	struct gpubuf_owner *owner; /* once it was told */
	struct run *run;
	uint64_t bytes;
};

struct buffer {
	struct list link; /* owner->buffers, or the free list */
	uint64_t id;      /* 0: free */
	struct gpubuf_owner *owner;
	uid_t uid;
	struct dev *dev;
	int fd; /* HOST */
	struct gpu_mem mem;
	uint64_t len;
	unsigned int reads; /* under way */
};

/* An application's descriptor that waits for REGISTER. */
struct sent {
	unsigned char text[GPUBUF_TICKET];
	int fd; /* owned; -1: none */
	uid_t uid;
	pid_t pid;
	uint64_t until_ms;
};

struct fill;
struct exports;

struct gpubuf {
	/* Constant after gpubuf_new. */
	struct gpubuf_config cfg;
	struct cache *cache; /* these two are borrowed */
	struct xfer *xfer;
	struct dev devs[1 + GPUBUF_DEVICES]; /* HOST first */
	unsigned int ndevs;
	unsigned int npeers; /* regions of peer memory */
	char no_gpu[160];
	struct exports *exports; /* owned */
	pthread_t keeper;
	bool keeping;

	pthread_mutex_t lock;
	pthread_cond_t wake, idle;
	atomic_bool stopped;

	/* Under lock. */
	struct list leases;
	struct list buckets[RUN_BUCKETS];
	struct list free_runs, free_handles, free_buffers, free_fills;
	struct run *runs; /* owned, nruns; those from fresh_runs on are new */
	unsigned int nruns, fresh_runs;
	struct handle_slot *handles; /* owned, HANDLES_MAX; likewise */
	unsigned int fresh_handles;
	struct buffer *buffers; /* owned */
	struct fill *fills;     /* owned */
	struct list queue;      /* jobs with parts that have not begun */
	struct list waiting;    /* maps that wait for room */
	struct sent sent[OFFERS];
	uint64_t next_id, round;
	unsigned int busy;      /* parts */
	unsigned int fencing;   /* of them those that only wait for a fence */
	unsigned int answering; /* threads that tell what has finished */
	struct gpubuf_stats stats;
};

/* lease.c */
struct dev *dev_find(struct gpubuf *g, enum gpubuf_kind kind,
		     unsigned int ordinal);
struct lease *lease_get(struct gpubuf *g, struct dev *d, uid_t uid);
/* Takes n adjoining units of a block of the lease; NULL. */
struct block *lease_place(struct lease *l, unsigned int n, unsigned int *unit);
void block_release(struct block *b, unsigned int unit, unsigned int n);
/*
 * Not under the lock: gets another block for the lease.  easily: only what
 * nobody uses.  0 or -EAGAIN.
 */
int lease_grow(struct gpubuf *g, struct lease *l, bool easily);
/* Not under the lock: gives back what nobody has used since. */
void lease_shrink(struct gpubuf *g, uint64_t before_ms);
void leases_free(struct gpubuf *g);

/* run.c */
struct run *run_find(struct gpubuf *g, const struct lease *l,
		     const struct object *o, uint64_t off);
/* FILLING, its job queued, pinned once; NULL when there is no room. */
struct run *run_new(struct gpubuf *g, struct lease *l, struct object *o,
		    uint64_t off, uint64_t len);
void run_pin(struct run *r);
void run_unpin(struct gpubuf *g, struct run *r);
/* An idle run goes. */
void run_evict(struct gpubuf *g, struct run *r);

/* job.c */
int fills_new(struct gpubuf *g);
void job_queue(struct gpubuf *g, struct gpubuf_job *j);
/* Not under the lock: begins parts as long as there are any. */
void jobs_pump(struct gpubuf *g);
/* Ends what cannot begin: all, or only when every part waits for a fence. */
void jobs_fail(struct gpubuf *g, bool all);

/* Not under the lock: answers what has finished. */
void waits_answer(struct gpubuf *g, struct list *finished);

/* handle.c */
/* Not under the lock: tries those that wait for room, and ends those that have
 * waited too long. */
void maps_retry(struct gpubuf *g);
int handles_new(struct gpubuf *g);

/* buffer.c */
/* A file of a tmpfs, a memfd: to write or close it does not wait for anybody. */
bool is_memory(int fd);
int buffers_new(struct gpubuf *g);
void buffers_drop(struct gpubuf *g, struct gpubuf_owner *o);

/* exports.c */
int exports_new(struct gpubuf *g, struct exports **out, char *why, size_t cap);
void exports_free(struct exports *e);
/* Under the lock. */
void ticket_new(struct lease *l, struct block *b, pid_t pid,
		unsigned char out[GPUBUF_EXPORT]);
/* Not under the lock: the process of a thread, 0 when it is not visible. */
pid_t process_of(pid_t tid);
/* The descriptor sent for a ticket, owned; or -EPERM. */
int sent_take(struct gpubuf *g, const unsigned char *text,
	      const struct gpubuf_caller *caller);

/* peer.c: not under the lock */
size_t gpu_block_len(uint64_t size); /* of a pool */
unsigned int gpu_blocks(uint64_t size);
/* Its regions; once. */
void peer_number(struct gpubuf *g, struct block *b);
/* The block's memory is new.  Before it is wiped: a NIC's first key for it may
 * be one that a server still has. */
void peer_show(struct gpubuf *g, struct block *b);
/* Before it is freed: waits until no NIC has it.  False: one still has. */
bool peer_hide(struct gpubuf *g, struct block *b);
void peer_close(struct block *b);

/* copier.c */
struct copy {
	struct list link;
	uint64_t to; /* address on the GPU, or offset in fd */
	int fd;      /* or -1 */
	const struct iovec *iov;
	int niov;
	void (*done)(struct copy *c, int err); /* on the copier's thread */
};
int copier_new(struct gpu *gpu, struct copier **out);
void copier_free(struct copier *c); /* what is queued is done first */
void copier_add(struct copier *c, struct copy *copy);

#endif
