/* SPDX-License-Identifier: Apache-2.0 */
/* The mount: kernel requests to calls on the namespace and the cache. */
#ifndef S3RDMAFS_FUSE_OPS_FUSE_OPS_H
#define S3RDMAFS_FUSE_OPS_FUSE_OPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "cache/cache.h"
#include "cache/namespace.h"
#include "cache/resident.h"
#include "gpubuf/gpubuf.h"

struct fs;

struct fs_config {
	const char *mountpoint;
	const char *source;        /* shown in /proc/mounts */
	const char *extra_options; /* generic ones for the kernel, or NULL */
	uid_t uid;
	gid_t gid;
	mode_t file_mode, dir_mode;
	bool allow_other;
	bool has_trusted;  /* some rule is for a trusted prefix */
	bool kernel_cache; /* page cache instead of direct I/O */
	bool passthrough;  /* for files that are read again, if it can be */
	unsigned int
		files_ahead; /* small files to fetch before they are opened */
	bool debug;
	uint64_t ttl_ms, negative_ttl_ms;
	uint64_t kernel_ttl_ms; /* the kernel keeps nothing longer */
	const char *control;    /* path of the control socket */
	/* For INFO. */
	uint64_t slot_size, host_pool;
	const char *(*transport)(void *ctx); /* in use now */
	void *transport_ctx;
};

/* Mounts.  ns, cache and gpubuf are borrowed and must outlive it.  0 or -errno; the
 * reason has been said on stderr by libfuse or logged. */
int fs_mount(const struct fs_config *cfg, struct namespace *ns,
	     struct cache *cache, struct gpubuf *gpubuf, struct fs **out);

/* Serves until unmounted or fs_exit; ready() is called once requests will be
 * answered.  0 or -errno. */
int fs_run(struct fs *fs, void (*ready)(void *ctx), void *ctx);

/* Async-signal-safe: has fs_run return. */
void fs_exit(struct fs *fs);

/* Unmounts.  Requests that wait must have been answered. */
void fs_free(struct fs *fs);

/* Ends the threads that ask the server for names; after s3_stop. */
void fs_stop_work(struct fs *fs);

/* Gives the memory of whole files back that are not open. */
void fs_drop(struct fs *fs);

struct fs_stats {
	uint64_t inodes, open_files, lookups;
	bool direct_mmap; /* the kernel lets direct files be mapped */
	bool passthrough; /* and reads what is resident by itself */
	struct residents_stats resident;
};
void fs_get_stats(struct fs *fs, struct fs_stats *out);

#endif
