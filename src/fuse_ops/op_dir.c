/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An open directory is a listing as it was when it was opened, so that names
 * neither repeat nor vanish while others write.  Offsets: 0 is ".", 1 "..",
 * n the entry n - 2.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuse_ops/ops.h"

struct dir {
	struct handle handle;  /* first */
	struct meta_dir *list; /* a reference */
};

static void free_dir(struct fs *fs, struct handle *h)
{
	struct dir *d = (struct dir *)h;

	namespace_list_put(fs->ns, d->list);
	free(d);
}

/* Takes over the reference to the listing. */
static void reply_opendir(fuse_req_t req, const struct fuse_file_info *fi,
			  struct meta_dir *list)
{
	struct fs *fs = fs_of(req);
	struct dir *d = calloc(1, sizeof(*d));
	struct fuse_file_info out = *fi;

	if (!d) {
		namespace_list_put(fs->ns, list);
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
	struct meta_dir *d;
	const int err = namespace_list(job->fs->ns, job->path, &d);

	if (err)
		reply_err(job->req, err);
	else
		reply_opendir(job->req, &job->fi, d);
}

void op_opendir(fuse_req_t req, fuse_ino_t ino, struct fuse_file_info *fi)
{
	struct fs *fs = fs_of(req);
	struct inode_info i;
	const int err = inode_get(fs->inodes, ino, &i);
	struct meta_dir *d;

	if (err) {
		reply_err(req, err);
		return;
	}
	d = namespace_list_known(fs->ns, i.path);
	if (d)
		reply_opendir(req, fi, d);
	else
		job_post(req, ino, i.path, NULL, fi, 0, run_opendir);
}

/* One name into buf; its size, which is over room when it does not fit. */
static size_t add_name(fuse_req_t req, char *buf, size_t room, const char *name,
		       const struct inode_info *i, bool plus, off_t next)
{
	struct fs *fs = fs_of(req);
	struct fuse_entry_param e = {0};

	fill_stat(fs, i, &e.attr);
	if (!plus)
		return fuse_add_direntry(req, buf, room, name, &e.attr, next);
	e.ino = i->ino;
	e.entry_timeout = e.attr_timeout = (double)fs->cfg.ttl_ms / 1000;
	return fuse_add_direntry_plus(req, buf, room, name, &e, next);
}

static size_t add_dot(fuse_req_t req, char *buf, size_t room, fuse_ino_t ino,
		      const char *name, bool plus, off_t next)
{
	/* ino 0 in an entry: the kernel counts no lookup for the two dots. */
	const struct inode_info i = {.ino = plus ? 0 : ino,
				     .attr = {.is_dir = true}};

	return add_name(req, buf, room, name, &i, plus, next);
}

static size_t add_entry(fuse_req_t req, char *buf, size_t room, const char *dir,
			const struct meta_entry *e, bool plus, off_t next)
{
	struct fs *fs = fs_of(req);
	struct inode_info i = {.attr = {.is_dir = e->is_dir,
					.size = e->size,
					.mtime = e->mtime}};
	char path[NAMESPACE_PATH_MAX + 300];
	size_t n;

	snprintf(path, sizeof(path), "%s%s%s", dir, *dir ? "/" : "", e->name);
	snprintf(i.attr.etag, sizeof(i.attr.etag), "%s", e->etag);
	i.ino = plus ? inode_ref(fs->inodes, path, &i.attr)
		     : inode_number(path, &i.attr);
	n = add_name(req, buf, room, e->name, &i, plus, next);
	/* Only what is sent is counted by the kernel. */
	if (plus && n > room)
		inode_forget(fs->inodes, i.ino, 1);
	return n;
}

static void read_dir(fuse_req_t req, fuse_ino_t ino, size_t size, off_t off,
		     struct fuse_file_info *fi, bool plus)
{
	struct fs *fs = fs_of(req);
	const struct meta_dir *d =
		((const struct dir *)(uintptr_t)fi->fh)->list;
	struct inode_info self;
	char *buf = malloc(size);
	size_t used = 0;
	int err = inode_get(fs->inodes, ino, &self);

	if (err || !buf) {
		free(buf);
		reply_err(req, err ? err : -ENOMEM);
		return;
	}
	for (uint64_t at = (uint64_t)off; at < d->n + 2; at++) {
		const off_t next = (off_t)at + 1;
		const size_t room = size - used;
		const size_t n = at < 2 ? add_dot(req, buf + used, room, ino,
						  at ? ".." : ".", plus, next)
					: add_entry(req, buf + used, room,
						    self.path,
						    &d->entries[at - 2], plus,
						    next);

		if (n > room)
			break;
		used += n;
	}
	fuse_reply_buf(req, buf, used);
	free(buf);
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
