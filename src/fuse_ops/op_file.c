/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Open files and their reads.
 *
 * An inode is one version of an object.  open asks the server which version
 * there is now; if it is another, the answer is ESTALE, upon which the kernel
 * looks the name up again and opens the new inode: the caller sees the new
 * object and never a mixture.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "fuse_ops/ops.h"

/* A read on its way; kept for the next when it is done. */
struct read_op {
	struct cache_read read;
	struct read_op *next; /* on fs->idle_reads, under fs->lock */
	fuse_req_t req;
	struct fs *fs;
};

static void free_file(struct fs *fs, struct handle *h)
{
	struct file *f = (struct file *)h;

	atomic_fetch_sub(&fs->open_files, 1);
	gpubuf_owner_drop(fs->gpubuf, &f->buffers);
	cache_object_put(fs->cache, f->object);
	free(f);
}

static void reply_open(struct job *job, const struct meta_attr *attr)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	struct file *f = calloc(1, sizeof(*f));
	struct fs *fs = job->fs;

	if (f && !namespace_resolve(fs->ns, job->path, bucket, key))
		f->object = cache_object_get(fs->cache, bucket, key, attr->etag,
					     attr->size);
	if (!f || !f->object) {
		free(f);
		reply_err(job->req, -ENOMEM);
		return;
	}
	job->fi.fh = (uintptr_t)f;
	job->fi.direct_io = !fs->cfg.kernel_cache;
	job->fi.keep_cache = 1; /* of this version only */
	f->handle.free = free_file;
	gpubuf_owner_init(&f->buffers);
	atomic_fetch_add(&fs->open_files, 1);
	handle_add(fs, &f->handle);
	/* When the caller was killed meanwhile, nobody will release it. */
	if (fuse_reply_open(job->req, &job->fi))
		handle_end(fs, &f->handle);
}

static void run_open(struct job *job)
{
	struct inode_info i;
	struct meta_attr now;
	bool changed;
	int err = namespace_revalidate(job->fs->ns, job->path, &now, &changed);

	if (!err)
		err = inode_get(job->fs->inodes, job->ino, &i);
	if (!err &&
	    (i.attr.size != now.size || strcmp(i.attr.etag, now.etag) != 0))
		err = -ESTALE;
	if (err)
		reply_err(job->req, err);
	else
		reply_open(job, &now);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct inode_info i;
	const int err = inode_get(fs_of(req)->inodes, ino, &i);

	if (err)
		reply_err(req, err);
	else if ((fi->flags & O_ACCMODE) != O_RDONLY)
		reply_err(req, -EROFS);
	else
		job_post(req, ino, i.path, NULL, fi, 0, run_open);
}

static struct read_op *take_read(struct fs *fs)
{
	struct read_op *op;

	LOCK_SCOPE(&fs->lock);
	op = fs->idle_reads;
	if (op)
		fs->idle_reads = op->next;
	return op;
}

static void put_read(struct fs *fs, struct read_op *op)
{
	LOCK_SCOPE(&fs->lock);
	op->next = fs->idle_reads;
	fs->idle_reads = op;
}

void op_file_free_idle(struct fs *fs)
{
	struct read_op *op;

	while ((op = take_read(fs)))
		free(op);
}

/* On the kernel's thread or an event loop: one copy, into the kernel. */
static void on_read(struct cache_read *r, int err)
{
	struct read_op *op = container_of(r, struct read_op, read);
	struct fs *fs = op->fs;

	if (err)
		reply_err(op->req, err);
	else if (r->niov == 0)
		fuse_reply_buf(op->req, NULL, 0);
	else
		fuse_reply_iov(op->req, r->iov, r->niov);
	cache_read_end(fs->cache, r);
	put_read(fs, op);
}

void op_read(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
	     struct fuse_file_info *fi)
{
	struct file *f = (void *)(uintptr_t)fi->fh;
	struct fs *fs = fs_of(req);
	struct read_op *op = take_read(fs);

	(void)ino;
	if (!op)
		op = malloc(sizeof(*op));
	if (!op) {
		reply_err(req, -ENOMEM);
		return;
	}
	op->req = req;
	op->fs = fs;
	op->read.object = f->object;
	op->read.window = &f->window;
	op->read.off = (uint64_t)off;
	op->read.len = size;
	op->read.done = on_read;
	cache_read_start(fs->cache, &op->read);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *f = (void *)(uintptr_t)fi->fh;

	(void)ino;
	handle_end(fs_of(req), &f->handle);
	reply_err(req, 0);
}
