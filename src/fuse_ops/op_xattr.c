/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.s3.etag, .storage-class, .content-type and .meta.*, and on the root
 * user.s3rdmafs.control, the path of the control socket.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "fuse_ops/ops.h"

#define PREFIX "user.s3."
#define META PREFIX "meta."
#define CONTROL "user.s3rdmafs.control"
#define LIST_MAX 65536 /* XATTR_LIST_MAX */

/* An attribute's value, or a list of names: its size when size is 0. */
static void reply_value(fuse_req_t req, const char *data, size_t n, size_t size)
{
	if (size == 0)
		fuse_reply_xattr(req, n);
	else if (size < n)
		reply_err(req, -ERANGE);
	else
		fuse_reply_buf(req, data, n);
}

static void reply_text(fuse_req_t req, const char *text, size_t size)
{
	if (*text)
		reply_value(req, text, strlen(text), size);
	else
		reply_err(req, -ENODATA);
}

/* What S3 sends no class for is of the standard one. */
static const char *class_or_standard(const char *s)
{
	return *s ? s : "STANDARD";
}

struct wanted {
	const char *name; /* of a user metadata, without prefix */
	char value[4096];
	bool found;
};

static void match_meta(void *ctx, const char *name, const char *value)
{
	struct wanted *w = ctx;

	if (strcasecmp(name, w->name) != 0)
		return;
	snprintf(w->value, sizeof(w->value), "%s", value);
	w->found = true;
}

static void run_get(struct job *job)
{
	struct wanted w = {.name = ""};
	struct s3_attr attr;
	int err;

	if (!strncmp(job->name, META, strlen(META)))
		w.name = job->name + strlen(META);
	err = namespace_xattrs(job->fs->ns, job->path, &attr, match_meta, &w);
	if (err)
		reply_err(job->req, err);
	else if (!strcmp(job->name, PREFIX "content-type"))
		reply_text(job->req, attr.content_type, job->size);
	else if (!strcmp(job->name, PREFIX "storage-class"))
		reply_text(job->req, class_or_standard(attr.storage_class),
			   job->size);
	else if (w.found)
		reply_value(job->req, w.value, strlen(w.value), job->size);
	else
		reply_err(job->req, -ENODATA);
}

/* ETags are shown without their quotes, as tools compare them. */
static void reply_etag(fuse_req_t req, const char *etag, size_t size)
{
	char bare[S3_ETAG_MAX];
	size_t n;

	snprintf(bare, sizeof(bare), "%s", *etag == '"' ? etag + 1 : etag);
	n = strlen(bare);
	if (n && bare[n - 1] == '"')
		bare[n - 1] = '\0';
	reply_text(req, bare, size);
}

void op_getxattr(fuse_req_t req, fuse_ino_t ino, const char *name, size_t size)
{
	struct fs *fs = fs_of(req);
	struct inode_info i;
	const int err = inode_get(fs->inodes, ino, &i);

	if (err)
		reply_err(req, err);
	else if (ino == FUSE_ROOT_ID && !strcmp(name, CONTROL))
		reply_text(req, fs->cfg.control, size);
	else if (i.attr.is_dir || strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		reply_err(req, -ENODATA);
	else if (!strcmp(name, PREFIX "etag"))
		reply_etag(req, i.attr.etag, size);
	else
		job_post(req, ino, i.path, name, NULL, size, run_get);
}

static void add_meta_name(void *ctx, const char *name, const char *value)
{
	struct strbuf *b = ctx;

	(void)value;
	strbuf_puts(b, META);
	for (const char *p = name; *p; p++) {
		const char c = *p >= 'A' && *p <= 'Z' ? (char)(*p | 0x20) : *p;

		strbuf_add(b, &c, 1);
	}
	strbuf_add(b, "", 1);
}

static void run_list(struct job *job)
{
	static const char fixed[] = PREFIX
		"etag\0" PREFIX "storage-class\0" PREFIX "content-type";
	struct s3_attr attr;
	struct strbuf b;
	int err;

	strbuf_init(&b, LIST_MAX);
	strbuf_add(&b, fixed, sizeof(fixed));
	err = namespace_xattrs(job->fs->ns, job->path, &attr, add_meta_name,
			       &b);
	if (err)
		reply_err(job->req, err);
	else
		reply_value(job->req, b.s, b.len, job->size);
	strbuf_free(&b);
}

void op_listxattr(fuse_req_t req, fuse_ino_t ino, size_t size)
{
	struct inode_info i;
	const int err = inode_get(fs_of(req)->inodes, ino, &i);

	if (err)
		reply_err(req, err);
	else if (i.attr.is_dir)
		reply_value(req, "", 0, size);
	else
		job_post(req, ino, i.path, NULL, NULL, size, run_list);
}
