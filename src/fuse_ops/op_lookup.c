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

void job_post(fuse_req_t req, fuse_ino_t ino, const char *path,
	      const char *name, const struct fuse_file_info *fi, size_t size,
	      void (*run)(struct job *job))
{
	struct fs *fs = fs_of(req);
	struct job *job = calloc(1, sizeof(*job));
	int err = job ? 0 : -ENOMEM;

	if (!err) {
		job->req = req;
		job->fs = fs;
		job->ino = ino;
		if (fi)
			job->fi = *fi;
		job->size = size;
		job->run = run;
		snprintf(job->name, sizeof(job->name), "%s", name ? name : "");
		snprintf(job->path, sizeof(job->path), "%s", path);
		err = workq_post(fs->work, run_job, job);
	}
	if (err) {
		free(job);
		reply_err(req, err);
	}
}

static void reply_entry(fuse_req_t req, const char *path,
			const struct meta_attr *attr)
{
	struct fs *fs = fs_of(req);
	struct inode_info i = {.attr = *attr};
	struct fuse_entry_param e = {0};

	i.ino = inode_ref(fs->inodes, path, attr);
	if (!i.ino) {
		reply_err(req, -ENOMEM);
		return;
	}
	e.ino = i.ino;
	e.entry_timeout = (double)fs->cfg.ttl_ms / 1000;
	/* A file's inode is one version: its attributes never change. */
	e.attr_timeout = e.entry_timeout;
	fill_stat(fs, &i, &e.attr);
	if (fuse_reply_entry(req, &e))
		inode_forget(fs->inodes, i.ino, 1);
}

static void reply_look(fuse_req_t req, const char *path, int err,
		       const struct meta_attr *attr)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param none = {
		.entry_timeout = (double)fs->cfg.negative_ttl_ms / 1000};

	if (!err)
		reply_entry(req, path, attr);
	else if (err == -ENOENT && fs->cfg.negative_ttl_ms)
		fuse_reply_entry(req, &none);
	else
		reply_err(req, err);
}

static void run_lookup(struct job *job)
{
	struct meta_attr attr;
	const int err = namespace_look(job->fs->ns, job->path, &attr);

	reply_look(job->req, job->path, err, &attr);
}

void op_lookup(fuse_req_t req, fuse_ino_t parent, const char *name)
{
	struct fs *fs = fs_of(req);
	struct inode_info dir;
	struct meta_attr attr;
	const int err = inode_get(fs->inodes, parent, &dir);
	const size_t n = strlen(dir.path);

	atomic_fetch_add_explicit(&fs->lookups, 1, memory_order_relaxed);
	if (err) {
		reply_err(req, err);
		return;
	}
	if (strlen(name) > 255 || n + 1 + strlen(name) >= sizeof(dir.path)) {
		reply_err(req, -ENAMETOOLONG);
		return;
	}
	snprintf(dir.path + n, sizeof(dir.path) - n, "%s%s", n ? "/" : "",
		 name);
	switch (namespace_peek(fs->ns, dir.path, &attr)) {
	case 0:
		reply_look(req, dir.path, 0, &attr);
		break;
	case -ENOENT:
		reply_look(req, dir.path, -ENOENT, NULL);
		break;
	default:
		job_post(req, parent, dir.path, NULL, NULL, 0, run_lookup);
	}
}

void op_forget(fuse_req_t req, fuse_ino_t ino, uint64_t n)
{
	inode_forget(fs_of(req)->inodes, ino, n);
	fuse_reply_none(req);
}

void op_forget_multi(fuse_req_t req, size_t count,
		     struct fuse_forget_data *forgets)
{
	for (size_t i = 0; i < count; i++)
		inode_forget(fs_of(req)->inodes, forgets[i].ino,
			     forgets[i].nlookup);
	fuse_reply_none(req);
}

void op_getattr(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct inode_info i;
	struct stat st;
	const int err = inode_get(fs->inodes, ino, &i);

	(void)fi;
	if (err) {
		reply_err(req, err);
		return;
	}
	fill_stat(fs, &i, &st);
	fuse_reply_attr(req, &st, (double)fs->cfg.ttl_ms / 1000);
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
