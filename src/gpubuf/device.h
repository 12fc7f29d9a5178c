/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GPU, or what stands for one.  Memory on it is an address that only its own
 * calls can touch.
 *
 * Threads: open and close by one; alloc, free, import, release, reach and
 * settle by any;
 * copy, wait and wipe by one thread at a time (the device's copier), but for
 * wipe of memory that nobody else has yet.  Each returns 0 or -errno unless it
 * says otherwise.
 */
#ifndef S3RDMAFS_GPUBUF_DEVICE_H
#define S3RDMAFS_GPUBUF_DEVICE_H

#include <stddef.h>
#include <stdint.h>

#define DEVICE_STREAMS 4
#define DEVICE_EXPORT 64

struct gpu;

struct gpu_mem {
	uint64_t addr;
	size_t len;
	unsigned char export[DEVICE_EXPORT]; /* of memory of ours */
	void *priv;
};

/* How a NIC may be told of memory. */
struct gpu_reach {
	int dmabuf;      /* owned by who asked; -1: none */
	uint64_t offset; /* in it */
	uint64_t addr;   /* what drivers for peer memory know it by */
};

struct gpu_ops {
	const char *name;
	void (*close)(struct gpu *u);
	/* The pool's memory, so that copies out of it need no staging. */
	int (*pin)(struct gpu *u, void *addr, size_t len);
	int (*alloc)(struct gpu *u, size_t len, struct gpu_mem *out);
	void (*free)(struct gpu *u, struct gpu_mem *m);
	/* Memory of another process, at least len bytes of it. */
	int (*import)(struct gpu *u, const unsigned char export[DEVICE_EXPORT],
		      size_t len, struct gpu_mem *out);
	void (*release)(struct gpu *u, struct gpu_mem *m);
	/* Begins to copy on a stream; the source stays until wait. */
	int (*copy)(struct gpu *u, unsigned int stream, uint64_t to,
		    const void *from, size_t len);
	int (*wait)(struct gpu *u, unsigned int stream);
	/* Zeroes, and waits for it. */
	int (*wipe)(struct gpu *u, uint64_t addr, size_t len);
	/* May NICs write to the memory?  -EOPNOTSUPP: no. */
	int (*reach)(struct gpu *u, const struct gpu_mem *m,
		     struct gpu_reach *out);
	/* Has what NICs have written seen by whatever begins now. */
	int (*settle)(struct gpu *u);
};

/* The head of every kind. */
struct gpu {
	const struct gpu_ops *ops;
};

/* The device of that ordinal by libcuda, which is loaded when it is first
 * needed.  0, or -errno and a line for people in why. */
int cuda_open(unsigned int ordinal, struct gpu **out, char *why, size_t cap);
/* Why this host has no GPU; "" when it has. */
void cuda_absent(char *why, size_t cap);

/*
 * A memfd in place of a GPU.  Its exported handle is the text
 * "/proc/PID/fd/N" of this process.
 */
int fakegpu_open(struct gpu **out);

#endif
