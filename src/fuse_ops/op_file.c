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
#include "fuse_ops/pass.h"

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
	cache_window_end(fs->cache, &f->window);
	if (f->counted)
		resident_close(fs->residents, f->object, f->backing,
			       atomic_load(&f->read));
	cache_object_put(fs->cache, f->object);
	inode_unpin(fs->inodes, f->ino);
	free(f);
}

/* The object that is to be read, or NULL. */
static struct object *find_object(struct fs *fs, uint64_t dir, const char *name,
				  const struct ns_attr *a)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	char path[NAMESPACE_PATH_MAX + 1];

	if (namespace_path(fs->ns, dir, name, path) ||
	    namespace_resolve(fs->ns, path, bucket, key))
		return NULL;
	return cache_object_get(fs->cache, bucket, key, a->etag, a->size);
}

static int answer_open(struct job *job, struct file *f)
{
	const struct fuse_open_out passing = pass_answer((uintptr_t)f,
							 f->backing);

	if (f->backing)
		return fuse_reply_buf(job->req, (const char *)&passing,
				      sizeof(passing));
	job->fi.fh = (uintptr_t)f;
	job->fi.direct_io = !job->fs->cfg.kernel_cache;
	job->fi.keep_cache = 1; /* of this version only */
	return fuse_reply_open(job->req, &job->fi);
}

static void free_unopened(struct fs *fs, struct file *f)
{
	if (f->object)
		cache_object_put(fs->cache, f->object);
	inode_unpin(fs->inodes, f->ino);
	free(f);
}

static int make_file(struct fs *fs, const struct inode_info *i,
		     struct file **out)
{
	struct file *f = calloc(1, sizeof(*f));
	const int err = f ? inode_pin(fs->inodes, i) : -ENOMEM;

	if (err) {
		free(f);
		return err;
	}
	f->ino = i->ino;
	f->object = find_object(fs, i->dir, i->name, &i->attr);
	if (!f->object) {
		free_unopened(fs, f);
		return -ENOMEM;
	}
	*out = f;
	return 0;
}

/* An open that waits for a copy; no thread does. */
struct parked {
	struct resident_waiter waiter;
	struct job job;
};

static void run_open(struct job *job);

static void unpark(struct resident_waiter *w)
{
	struct parked *p = container_of(w, struct parked, waiter);

	job_post(p->job.req, &p->job, run_open);
	free(p);
}

/* By which way it is read.  0, -EINPROGRESS: job will be run again. */
static int choose_way(struct job *job, struct file *f)
{
	struct fs *fs = job->fs;
	struct parked *p;
	int err;

	if (!fs_passes(fs))
		return 0;
	err = resident_open(fs->residents, f->object, NULL, &f->backing);
	f->counted = !err;
	if (err != -EAGAIN)
		return err;
	p = malloc(sizeof(*p));
	if (!p)
		return -ENOMEM;
	p->waiter.ready = unpark;
	p->job = *job;
	err = resident_open(fs->residents, f->object, &p->waiter, &f->backing);
	f->counted = !err;
	if (err != -EINPROGRESS)
		free(p);
	return err;
}

static void reply_open(struct job *job, const struct inode_info *i)
{
	struct fs *fs = job->fs;
	struct file *f;
	int err = make_file(fs, i, &f);

	if (!err) {
		err = choose_way(job, f);
		if (err)
			free_unopened(fs, f);
	}
	if (err == -EINPROGRESS)
		return;
	if (err) {
		reply_err(job->req, err);
		return;
	}
	f->handle.free = free_file;
	gpubuf_owner_init(&f->buffers);
	atomic_fetch_add(&fs->open_files, 1);
	handle_add(fs, &f->handle);
	/* When the caller was killed meanwhile, nobody will release it. */
	if (answer_open(job, f))
		handle_end(fs, &f->handle);
}

/* ---- small files that are opened one after the other ---- */

struct fetch {
	struct fs *fs;
	const struct ahead_task *task;
	unsigned int n;
	bool full; /* the pool: the next open goes on from there */
};

/* False when there is no room for it just now. */
static bool fetch_file(const struct fetch *f, const char *name,
		       const struct ns_attr *a)
{
	struct object *o = find_object(f->fs, f->task->dir, name, a);
	bool fits;

	if (!o)
		return true;
	fits = cache_prefetch(f->fs->cache, o, 0, a->size);
	cache_object_put(f->fs->cache, o);
	return fits;
}

static int fetch_next(void *ctx, const char *name, const struct ns_attr *a)
{
	struct fetch *f = ctx;

	if (f->n == f->task->count)
		return 1;
	if (f->task->fetch && !a->is_dir && a->size &&
	    a->size <= STAGING_SMALL && a->etag[0] && !fetch_file(f, name, a)) {
		f->full = true;
		return 1;
	}
	f->n++;
	ahead_add(&f->fs->ahead, f->task->dir, name, a->is_dir);
	return 0;
}

/* After the answer: nobody waits for this. */
static void look_ahead(struct fs *fs, uint64_t dir, const char *name)
{
	struct ahead_task task;
	struct fetch f = {.fs = fs, .task = &task};
	bool ended;

	if (!ahead_open(&fs->ahead, dir, name, &task))
		return;
	ended = namespace_next(fs->ns, dir, task.after, task.after_dir,
			       fetch_next, &f) ||
		(f.n < task.count && !f.full);
	ahead_done(&fs->ahead, dir, ended);
}

/* What the inode is, and what its name is now. */
static void open_now(struct job *job, const struct inode_info *i,
		     const struct ns_attr *now)
{
	if (i->attr.size != now->size || strcmp(i->attr.etag, now->etag) != 0) {
		reply_err(job->req, -ESTALE);
		return;
	}
	reply_open(job, i);
	if (i->attr.size <= STAGING_SMALL)
		look_ahead(job->fs, i->dir, i->name);
}

static void run_open(struct job *job)
{
	struct inode_info i;
	struct ns_attr now;
	int err = inode_get(job->fs->inodes, job->ino, &i);

	if (!err)
		err = namespace_revalidate(job->fs->ns, i.dir, i.name, &now);
	if (err)
		reply_err(job->req, err);
	else
		open_now(job, &i, &now);
}

void op_open(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct job job = {.req = req, .fs = fs, .ino = ino, .fi = *fi};
	struct inode_info i;
	struct ns_attr now;
	const int err = inode_get(fs->inodes, ino, &i);

	if (err)
		reply_err(req, err);
	else if ((fi->flags & O_ACCMODE) != O_RDONLY)
		reply_err(req, -EROFS);
	else if (!namespace_settled(fs->ns, i.dir, i.name, &now))
		open_now(&job, &i, &now); /* another thread would cost more */
	else
		job_post(req, &job, run_open);
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
	atomic_fetch_add_explicit(&f->read, size, memory_order_relaxed);
	cache_read_start(fs->cache, &op->read);
}

void op_release(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct file *f = (void *)(uintptr_t)fi->fh;

	(void)ino;
	handle_end(fs_of(req), &f->handle);
	reply_err(req, 0);
}
