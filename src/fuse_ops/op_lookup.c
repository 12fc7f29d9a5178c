/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and attributes.  What is known is answered on the kernel's thread;
 * what must be asked goes to the work threads, so that a server that does not
 * answer holds up nobody who does not need it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>

#include "fuse_ops/ops.h"

#define BLOCK (1 << 20) /* st_blksize: what tools read at a time */

void fill_stat(const struct fs *fs, const struct inode_info *i, struct stat *st)
{
	*st = (struct stat){.st_ino = i->ino,
			    .st_uid = fs->cfg.uid,
			    .st_gid = fs->cfg.gid,
			    .st_blksize = BLOCK};
	st->st_mtim.tv_sec = i->attr.mtime < 0 ? 0 : i->attr.mtime;
	st->st_atim = st->st_ctim = st->st_mtim;
	if (i->attr.is_dir) {
		/* S3 keeps no time for what is a directory here only. */
		if (i->attr.mtime <= 0)
			st->st_mtim.tv_sec = fs->mounted_at;
		st->st_atim = st->st_ctim = st->st_mtim;
		st->st_mode = S_IFDIR | fs->cfg.dir_mode;
		st->st_nlink = 2;
		return;
	}
	st->st_mode = S_IFREG | fs->cfg.file_mode;
	st->st_nlink = 1;
	st->st_size = (off_t)i->attr.size;
	st->st_blocks = (blkcnt_t)((i->attr.size + 511) / 512);
}

static void run_job(void *arg)
{
	struct job *job = arg;

	job->run(job);
	free(job);
}

void job_post(fuse_req_t req, const struct job *from,
	      void (*run)(struct job *job))
{
	struct fs *fs = fs_of(req);
	struct job *job = malloc(sizeof(*job));
	int err = job ? 0 : -ENOMEM;

	if (!err) {
		*job = *from;
		job->req = req;
		job->fs = fs;
		job->run = run;
		err = workq_post(fs->work, run_job, job);
	}
	if (err) {
		free(job);
		reply_err(req, err);
	}
}

double timeout_of(const struct fs *fs, uint64_t ms)
{
	if (ms > fs->cfg.kernel_ttl_ms)
		ms = fs->cfg.kernel_ttl_ms;
	return ms == FRESH_FOREVER ? 1e9 : (double)ms / 1000;
}

static void reply_entry(fuse_req_t req, uint64_t dir, const char *name,
			const struct ns_attr *attr, uint64_t left_ms)
{
	struct fs *fs = fs_of(req);
	struct inode_info i = {.attr = *attr};
	struct fuse_entry_param e = {0};

	if (!attr->is_dir)
		prime_look(&fs->prime, fuse_req_ctx(req)->pid);
	i.ino = inode_note(fs->inodes, dir, name, attr);
	if (!i.ino) {
		reply_err(req, -ENOMEM);
		return;
	}
	e.ino = i.ino;
	e.entry_timeout = timeout_of(fs, left_ms);
	/* A file's inode is one version: its attributes never change. */
	e.attr_timeout = attr->is_dir ? e.entry_timeout
				      : timeout_of(fs, FRESH_FOREVER);
	fill_stat(fs, &i, &e.attr);
	fuse_reply_entry(req, &e);
}

static void reply_look(fuse_req_t req, uint64_t dir, const char *name, int err,
		       const struct ns_attr *attr, uint64_t left_ms)
{
	const struct fuse_entry_param none = {
		.entry_timeout = timeout_of(fs_of(req), left_ms)};

	if (!err)
		reply_entry(req, dir, name, attr, left_ms);
	else if (err == -ENOENT && left_ms)
		fuse_reply_entry(req, &none);
	else
		reply_err(req, err);
}

/* What is missing is kept for no longer than what is missing may be. */
static uint64_t negative_left(const struct fs *fs, uint64_t left_ms)
{
	return left_ms < fs->cfg.negative_ttl_ms ? left_ms
						 : fs->cfg.negative_ttl_ms;
}

static void run_lookup(struct job *job)
{
	struct ns_attr attr;
	uint64_t left = 0;
	int err;

	/* Nothing may be kept of it: what it is comes out when it is used. */
	if (job->fs->assumes &&
	    !namespace_assume(job->fs->ns, job->dir, job->name, &attr)) {
		reply_entry(job->req, job->dir, job->name, &attr, 0);
		return;
	}
	err = namespace_look(job->fs->ns, job->dir, job->name, &attr, &left);

	reply_look(job->req, job->dir, job->name, err, &attr,
		   err ? negative_left(job->fs, left) : left);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct ns_attr attr;
	uint64_t left = 0;
	int err;

	atomic_fetch_add_explicit(&fs->lookups, 1, memory_order_relaxed);
	if (strlen(name) > 255) {
		reply_err(req, -ENAMETOOLONG);
		return;
	}
	err = namespace_peek(fs->ns, parent, name, &attr, &left);
	if (err == -EAGAIN) {
		struct job job = {.ino = parent, .dir = parent};

		snprintf(job.name, sizeof(job.name), "%s", name);
		job_post(req, &job, run_lookup);
	} else {
		reply_look(req, parent, name, err, &attr,
			   err ? negative_left(fs, left) : left);
	}
}

/* Inodes are not counted, see inode.h. */
void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	(void)ino;
	(void)n;
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets)
{
	(void)count;
	(void)forgets;
	fuse_reply_none(req);
}

static void reply_attr(fuse_req_t req, const struct inode_info *i)
{
	struct fs *fs = fs_of(req);
	struct stat st;

	fill_stat(fs, i, &st);
	fuse_reply_attr(req, &st,
			timeout_of(fs, i->attr.is_dir ? fs->cfg.ttl_ms
						      : FRESH_FOREVER));
}

static void run_getattr(struct job *job)
{
	const struct inode_info i = {.ino = job->ino, .attr = {.is_dir = true}};
	const int err = namespace_settle(job->fs->ns, job->ino);

	if (err)
		reply_err(job->req, err);
	else
		reply_attr(job->req, &i);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	const struct job job = {.ino = ino};
	struct fs *fs = fs_of(req);
	struct inode_info i;
	const int err = inode_get(fs->inodes, ino, &i);

	(void)fi;
	if (err)
		reply_err(req, err);
	else if (fs->assumes && i.attr.is_dir &&
		 namespace_is_assumed(fs->ns, ino))
		job_post(req, &job, run_getattr);
	else
		reply_attr(req, &i);
}

void op_statfs(fuse_req_t req, fuse_ino_t ino)
{
	/* A bucket has no size: large enough for every tool that asks. */
	const struct statvfs v = {.f_bsize = BLOCK,
				  .f_frsize = 4096,
				  .f_blocks = 1ULL << 40,
				  .f_bfree = 0,
				  .f_files = 1ULL << 40,
				  .f_namemax = 255};

	(void)ino;
	fuse_reply_statfs(req, &v);
}
