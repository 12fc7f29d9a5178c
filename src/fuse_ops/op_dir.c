/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open directory is one listing, so that names neither repeat nor vanish
 * while others write; it may still be arriving.  Offsets: 0 is ".", 1 "..",
 * and from 2 on the listing's positions.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cache/rec.h"
#include "fuse_ops/ops.h"

#define FIRST 2
#define FIRST_ANSWER (32U << 10) /* bytes: some 150 names with attributes */

struct dir {
	struct handle handle; /* first */
	struct ns_dir *list;  /* owned */
};

static void free_dir(struct fs *fs, struct handle *h)
{
	struct dir *d = (struct dir *)h;

	namespace_close_dir(fs->ns, d->list);
	free(d);
}

/* Takes over the listing. */
static void reply_opendir(fuse_req_t req, const struct fuse_file_info *fi,
			  struct ns_dir *list)
{
	struct fs *fs = fs_of(req);
	struct dir *d = calloc(1, sizeof(*d));
	struct fuse_file_info out = *fi;

	if (!d) {
		namespace_close_dir(fs->ns, list);
		reply_err(req, -ENOMEM);
		return;
	}
	d->handle.free = free_dir;
	d->list = list;
	handle_add(fs, &d->handle);
	out.fh = (uintptr_t)d;
	/* When the caller was killed meanwhile, nobody will release it. */
	if (fuse_reply_open(req, &out))
		handle_end(fs, &d->handle);
}

static void run_opendir(struct job *job)
{
	struct namespace *ns = job->fs->ns;
	struct ns_dir *d;
	/* An open of a file that was taken for a directory comes here too. */
	int err = job->fs->assumes ? namespace_settle(ns, job->dir) : 0;
	const bool unknown = err == -ENOENT;

	/* Who means a directory says so; for anybody else no file is no name. */
	if (!err || (unknown && job->fi.flags & O_DIRECTORY))
		err = namespace_open_dir(ns, job->dir, &d);
	if (!err && unknown && namespace_dir_is_empty(ns, d)) {
		namespace_close_dir(ns, d);
		err = -ENOENT;
	}
	if (err)
		reply_err(job->req, err);
	else
		reply_opendir(job->req, &job->fi, d);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct job job = {.ino = ino, .dir = ino, .fi = *fi};
	struct ns_dir *d;
	const int err = namespace_open_known(fs_of(req)->ns, ino, &d);

	if (!err)
		reply_opendir(req, fi, d);
	else if (err == -EAGAIN)
		job_post(req, &job, run_opendir);
	else
		reply_err(req, err);
}

/* An answer that is being filled. */
struct filling {
	fuse_req_t req;
	struct fs *fs;
	fuse_ino_t ino;
	bool plus;
	enum prime_how how;
	unsigned int files; /* of this answer */
	double timeout;
	char *buf;
	size_t size, used;
};

/* false when it does not fit. */
static bool add_name(struct filling *f, const char *name,
		     const struct inode_info *i, bool primed, off_t next)
{
	const size_t room = f->size - f->used;
	struct fuse_entry_param e = {0};
	size_t n;

	fill_stat(f->fs, i, &e.attr);
	if (f->plus) {
		/* 0: the kernel takes the name and makes no inode. */
		e.ino = primed ? i->ino : 0;
		e.entry_timeout = f->timeout;
		e.attr_timeout = i->attr.is_dir
					 ? f->timeout
					 : timeout_of(f->fs, FRESH_FOREVER);
		n = fuse_add_direntry_plus(f->req, f->buf + f->used, room, name,
					   &e, next);
	} else {
		n = fuse_add_direntry(f->req, f->buf + f->used, room, name,
				      &e.attr, next);
	}
	if (n > room)
		return false;
	f->used += n;
	return true;
}

static bool add_dot(struct filling *f, const char *name, off_t next)
{
	const struct inode_info i = {.ino = f->ino, .attr = {.is_dir = true}};

	return add_name(f, name, &i, false, next);
}

/* Does a file come with its attributes? */
static bool is_primed(struct filling *f)
{
	return f->how == PRIME_ALL ||
	       (f->how == PRIME_PROBE && f->files++ >= PRIME_PROBES);
}

static int add_entry(void *ctx, const struct rec *r, uint64_t next)
{
	struct filling *f = ctx;
	struct inode_info i;
	bool plus = f->plus && (r->is_dir || is_primed(f));

	i.attr.is_dir = r->is_dir;
	i.attr.dir = r->dir;
	i.attr.size = r->size;
	i.attr.mtime = r->is_dir ? 0 : r->mtime;
	memcpy(i.attr.etag, r->etag, strlen(r->etag) + 1);
	memcpy(i.attr.storage_class, r->storage_class,
	       sizeof(i.attr.storage_class));
	i.ino = plus ? inode_note(f->fs->inodes, f->ino, r->name, &i.attr)
		     : inode_number(f->fs->inodes, f->ino, r->name, &i.attr);
	return !add_name(f, r->name, &i, plus, (off_t)(next + FIRST));
}

static void fill_and_reply(struct filling *f, struct ns_dir *list, off_t off,
			   bool wait, const struct job *later,
			   void (*run)(struct job *job))
{
	uint64_t pos = off > FIRST ? (uint64_t)off - FIRST : 0;
	int err = 0;

	/* The kernel takes milliseconds over a large answer; who waits for a
	 * first name has it sooner. */
	if (off == 0 && f->size > FIRST_ANSWER)
		f->size = FIRST_ANSWER;
	f->buf = malloc(f->size);
	if (!f->buf) {
		reply_err(f->req, -ENOMEM);
		return;
	}
	if (f->plus)
		f->how = prime_read(&f->fs->prime, fuse_req_ctx(f->req)->pid,
				    f->ino);
	f->timeout = timeout_of(f->fs, namespace_dir_left(f->fs->ns, list));
	if ((off > 0 || add_dot(f, ".", 1)) &&
	    (off > 1 || add_dot(f, "..", FIRST)))
		err = namespace_read_dir(f->fs->ns, list, &pos,
					 wait && !f->used, add_entry, f);
	if (f->used || !err)
		fuse_reply_buf(f->req, f->buf, f->used);
	else if (err == -EAGAIN && !wait)
		job_post(f->req, later, run);
	else
		reply_err(f->req, err);
	free(f->buf);
}

static void run_readdir(struct job *job)
{
	struct filling f = {.req = job->req,
			    .fs = job->fs,
			    .ino = job->ino,
			    .plus = job->plus,
			    .size = job->size};

	fill_and_reply(&f, ((struct dir *)(uintptr_t)job->fi.fh)->list,
		       job->off, true, job, run_readdir);
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		     struct fuse_file_info *fi, bool plus)
{
	const struct job later = {
		.ino = ino, .fi = *fi, .size = size, .off = off, .plus = plus};
	struct filling f = {.req = req,
			    .fs = fs_of(req),
			    .ino = ino,
			    .plus = plus,
			    .size = size};

	fill_and_reply(&f, ((struct dir *)(uintptr_t)fi->fh)->list, off, false,
		       &later, run_readdir);
}

void op_readdir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, false);
}

void op_readdirplus(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		    struct fuse_file_info *fi)
{
	read_dir(req, ino, size, off, fi, true);
}

void op_releasedir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct dir *d = (void *)(uintptr_t)fi->fh;

	(void)ino;
	handle_end(fs_of(req), &d->handle);
	reply_err(req, 0);
}
