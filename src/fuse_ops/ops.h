/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files of this folder. */
#ifndef S3RDMAFS_FUSE_OPS_OPS_H
#define S3RDMAFS_FUSE_OPS_OPS_H

#define FUSE_USE_VERSION 314
#include <fuse_lowlevel.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/workq.h"
#include "fuse_ops/ahead.h"
#include "fuse_ops/fuse_ops.h"
#include "fuse_ops/inode.h"
#include "fuse_ops/prime.h"

struct read_op;

struct fs {
	/* Constant after fs_mount. */
	struct fs_config cfg;
	struct namespace *ns;        /* borrowed */
	struct cache *cache;         /* borrowed */
	struct gpubuf *gpubuf;       /* borrowed */
	struct residents *residents; /* owned; NULL: not wanted */
	struct inode_table *inodes;  /* owned */
	struct workq *work;          /* owned: calls that ask the server */
	struct fuse_session *se;     /* owned */
	bool mounted;
	/* Names under trusted prefixes are taken for directories.  The kernel
	 * must not ask for their attributes on its way through them, so that
	 * it does not check modes: not where others may come in. */
	bool assumes;
	time_t mounted_at;
	void (*ready)(void *ctx);
	void *ready_ctx;

	pthread_mutex_t lock;
	/* Under lock. */
	struct read_op *idle_reads; /* owned list */
	struct list handles;        /* every open file and directory */

	struct prime prime; /* has its lock */
	struct ahead ahead; /* likewise */

	atomic_ullong open_files, lookups;

	/* The INIT exchange, see init_patch.c. */
	uint64_t init_unique;
	bool offers_direct_mmap, offers_parallel_dirs, offers_pass;
	atomic_bool direct_mmap;
	/* Was passthrough agreed on; does it work: found out by the first who
	 * asks, whoever that is. */
	atomic_bool pass_agreed;
	atomic_int pass; /* 0: not known, 1: yes, -1: no */
};

/* readahead.c: has the kernel fetch so many bytes at once for maps.  Between
 * mounting and the answer to INIT.  What it is then, or 0: as it was. */
unsigned int readahead_raise(const char *mountpoint, unsigned int bytes);

static inline struct fs *fs_of(fuse_req_t req)
{
	return fuse_req_userdata(req);
}

/*
 * The head of what an open file or directory is.  The kernel drops the RELEASE
 * of those that were closed just before an unmount, so all are listed.
 */
struct handle {
	struct list link;                              /* under fs->lock */
	void (*free)(struct fs *fs, struct handle *h); /* not under it */
};
void handle_add(struct fs *fs, struct handle *h);
/* Takes it off the list and frees it. */
void handle_end(struct fs *fs, struct handle *h);

/* Answers with an errno; err is 0 or negative. */
static inline void reply_err(fuse_req_t req, int err)
{
	fuse_reply_err(req, -err);
}

/* session.c: does the kernel read resident files by itself? */
bool fs_passes(struct fs *fs);

/* init_patch.c: has the INIT answer allow shared maps of direct files. */
int init_patch_install(struct fs *fs);

void fill_stat(const struct fs *fs, const struct inode_info *i,
	       struct stat *st);

/* Seconds that the kernel may keep what is believed for so long, "for ever"
 * included. */
double timeout_of(const struct fs *fs, uint64_t ms);

/*
 * A request that must ask the server: run(job) is called on a work thread and
 * answers it.  Answers EBUSY itself when too many wait.
 */
struct job {
	fuse_req_t req;
	struct fs *fs;
	fuse_ino_t ino;
	uint64_t dir;    /* of the name */
	char name[256];  /* of a file or directory */
	char xattr[260]; /* of an attribute */
	struct fuse_file_info fi;
	size_t size;
	off_t off;
	bool plus;
	void (*run)(struct job *job);
};
/* Copies from, on the heap, and queues it. */
void job_post(fuse_req_t req, const struct job *from,
	      void (*run)(struct job *job));

/* op_lookup.c */
void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name);
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n);
void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets);
void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_statfs(fuse_req_t req, fuse_ino_t ino);

/* op_dir.c */
void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi);
void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi);
void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);

/* An open file. */
struct file {
	struct handle handle;  /* first */
	struct object *object; /* a reference */
	uint64_t ino;          /* pinned */
	struct window window;  /* under the cache's lock */
	int backing;           /* by which file the kernel reads; 0: none */
	bool counted;          /* by resident_open */
	atomic_ullong read;    /* bytes, through the cache */
	struct gpubuf_owner buffers;
};

/* op_file.c */
void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi);
void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi);
void op_file_free_idle(struct fs *fs);

/* op_ioctl.c */
void op_ioctl(fuse_req_t req, fuse_ino_t ino, unsigned int cmd, void *arg,
	      struct fuse_file_info *fi, unsigned int flags, const void *in,
	      size_t in_size, size_t out_size);

/* op_xattr.c */
void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size);
void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size);

#endif
