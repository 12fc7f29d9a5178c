/* SPDX-License-Identifier: Apache-2.0 */
/*
 * user.s3.etag, .storage-class, .content-type, .meta.* and .tag.*, and on the root
 * user.s3rdmafs.control, the path of the control socket.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "fuse_ops/ops.h"

#define USER "user."
#define PREFIX USER "s3."
#define META PREFIX "meta."
#define TAG PREFIX "tag."
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

static void post(fuse_req_t req, const struct inode_info *i, const char *xattr,
		 size_t size, void (*run)(struct job *job))
{
	struct job job = {.ino = i->ino, .dir = i->dir, .size = size};

	snprintf(job.name, sizeof(job.name), "%s", i->name);
	snprintf(job.xattr, sizeof(job.xattr), "%s", xattr);
	job_post(req, &job, run);
}

/* What is known of the version that the inode is. */
static int get_note(const struct job *job, bool with_tags, json_t **note)
{
	struct inode_info i;
	const int err = inode_get(job->fs->inodes, job->ino, &i);

	return err ? err
		   : namespace_note(job->fs->ns, i.dir, i.name, i.attr.etag,
				    with_tags, note);
}

/* The value of an attribute, NULL when there is none. */
static const char *value_of(json_t *note, const char *name)
{
	const char *s;

	if (!strcmp(name, PREFIX "content-type"))
		return json_string_value(json_object_get(note, "type"));
	if (!strcmp(name, PREFIX "storage-class")) {
		s = json_string_value(json_object_get(note, "class"));
		/* What S3 sends no class for is of the standard one. */
		return s && *s ? s : "STANDARD";
	}
	if (!strncmp(name, META, strlen(META)))
		return json_string_value(json_object_get(
			json_object_get(note, "meta"), name + strlen(META)));
	if (!strncmp(name, TAG, strlen(TAG)))
		return json_string_value(json_object_get(
			json_object_get(note, "tags"), name + strlen(TAG)));
	return NULL;
}

static void run_get(struct job *job)
{
	json_t *note = NULL;
	const int err = get_note(job, !strncmp(job->xattr, TAG, strlen(TAG)),
				 &note);
	const char *value = err ? NULL : value_of(note, job->xattr);

	if (value)
		reply_value(job->req, value, strlen(value), job->size);
	else
		reply_err(job->req, err ? err : -ENODATA);
	json_decref(note);
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
	else if (strncmp(name, USER, strlen(USER)) != 0)
		/* ACLs and labels: ls(1) asks no more once it has heard so. */
		reply_err(req, -EOPNOTSUPP);
	else if (i.attr.is_dir || strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		reply_err(req, -ENODATA);
	else if (!strcmp(name, PREFIX "etag"))
		reply_etag(req, i.attr.etag, size);
	else
		post(req, &i, name, size, run_get);
}

static void add_names(struct strbuf *b, const char *prefix, json_t *o)
{
	const char *name;
	json_t *value;

	json_object_foreach(o, name, value)
	{
		strbuf_puts(b, prefix);
		strbuf_add(b, name, strlen(name) + 1);
	}
}

static void run_list(struct job *job)
{
	static const char fixed[] = PREFIX
		"etag\0" PREFIX "storage-class\0" PREFIX "content-type";
	json_t *note = NULL;
	const int err = get_note(job, true, &note);
	struct strbuf b;

	strbuf_init(&b, LIST_MAX);
	strbuf_add(&b, fixed, sizeof(fixed));
	if (!err) {
		add_names(&b, META, json_object_get(note, "meta"));
		add_names(&b, TAG, json_object_get(note, "tags"));
	}
	if (err)
		reply_err(job->req, err);
	else
		reply_value(job->req, b.s, b.len, job->size);
	strbuf_free(&b);
	json_decref(note);
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
		post(req, &i, "", size, run_list);
}
