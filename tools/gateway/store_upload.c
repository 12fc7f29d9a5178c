/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multipart uploads: ROOT/.s3rdma/uploads/ID holds "upload" (JSON: bucket,
 * key, headers, tags) and the parts as part.NNNNN with their attributes.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "store_int.h"

void store_upload_free(struct store_upload *u)
{
	json_decref(u->headers);
	json_decref(u->tags);
	u->headers = u->tags = NULL;
}

/* An id is used in a path: nothing but our own hex digits. */
static bool is_id(const char *id)
{
	return strlen(id) == STORE_UPLOAD_ID - 1 &&
	       strspn(id, "0123456789abcdef") == STORE_UPLOAD_ID - 1;
}

static int upload_dir(struct store *s, const char *id)
{
	return is_id(id) ? store_openat(s->uploads, id, O_RDONLY | O_DIRECTORY)
			 : -ENOENT;
}

static int write_text(int dir, const char *name, const char *text)
{
	AUTO_CLOSE int fd = openat(
		dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	const size_t n = strlen(text);

	if (fd < 0)
		return -errno;
	return write(fd, text, n) == (ssize_t)n ? 0 : -EIO;
}

int store_upload_create(struct store *s, const char *bucket, const char *key,
			json_t *headers, json_t *tags, char id[STORE_UPLOAD_ID])
{
	unsigned char raw[16];
	AUTO_FREE char *text = NULL;
	AUTO_CLOSE int dir = -1;
	json_t *o;
	int err;

	err = store_bucket_check(s, bucket);
	if (err)
		return err;
	o = json_pack("{s:s, s:s, s:O, s:O*}", "bucket", bucket, "key", key,
		      "headers", headers, "tags", tags);
	text = o ? json_dumps(o, JSON_COMPACT) : NULL;
	json_decref(o);
	if (!text)
		return -EINVAL;
	random_bytes(raw, sizeof(raw));
	format_hex(raw, sizeof(raw), id);
	if (mkdirat(s->uploads, id, 0755))
		return -errno;
	dir = upload_dir(s, id);
	/* Under another name first: an upload that can be found is whole. */
	err = dir < 0 ? dir : write_text(dir, "new", text);
	if (!err && renameat(dir, "new", dir, "upload"))
		err = -errno;
	return err;
}

static json_t *read_upload(int dir)
{
	AUTO_CLOSE int fd = store_openat(dir, "upload", O_RDONLY);

	return fd < 0 ? NULL : json_loadfd(fd, 0, NULL);
}

/* Fills out from the upload's file; false when it is none. */
static bool load(struct store *s, const char *id, struct store_upload *out)
{
	AUTO_CLOSE int dir = upload_dir(s, id);
	const char *bucket, *key;
	struct stat st;
	json_t *o;

	if (dir < 0 || fstat(dir, &st))
		return false;
	o = read_upload(dir);
	bucket = json_string_value(json_object_get(o, "bucket"));
	key = json_string_value(json_object_get(o, "key"));
	if (!bucket || !key) {
		json_decref(o);
		return false;
	}
	snprintf(out->id, sizeof(out->id), "%s", id);
	snprintf(out->bucket, sizeof(out->bucket), "%s", bucket);
	snprintf(out->key, sizeof(out->key), "%s", key);
	out->headers = json_incref(json_object_get(o, "headers"));
	out->tags = json_incref(json_object_get(o, "tags"));
	out->made = st.st_mtim.tv_sec;
	json_decref(o);
	return true;
}

int store_upload_find(struct store *s, const char *bucket, const char *key,
		      const char *id, struct store_upload *out)
{
	if (!load(s, id, out))
		return -ENOENT;
	if (!strcmp(out->bucket, bucket) && !strcmp(out->key, key))
		return 0;
	store_upload_free(out);
	return -ENOENT;
}

static void remove_upload(struct store *s, const char *id, int dir)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;

	if (!d) {
		close(dir);
		return;
	}
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(dirfd(d), e->d_name, 0);
	closedir(d);
	unlinkat(s->uploads, id, AT_REMOVEDIR);
}

int store_upload_abort(struct store *s, const char *id)
{
	const int dir = upload_dir(s, id);

	if (dir < 0)
		return dir;
	/* From here on nobody finds it, even if we are killed now. */
	unlinkat(dir, "upload", 0);
	remove_upload(s, id, dir);
	return 0;
}

void store_upload_sweep(struct store *s)
{
	const int dir = store_openat(s->uploads, ".", O_RDONLY | O_DIRECTORY);
	DIR *d = dir < 0 ? NULL : fdopendir(dir);
	struct dirent *e;

	while (d && (e = readdir(d))) {
		struct store_upload u;
		int fd;

		if (!is_id(e->d_name))
			continue;
		if (load(s, e->d_name, &u)) {
			store_upload_free(&u);
			continue;
		}
		fd = upload_dir(s, e->d_name);
		if (fd >= 0)
			remove_upload(s, e->d_name, fd);
	}
	if (d)
		closedir(d);
}

int store_upload_each(struct store *s, const char *bucket,
		      void (*each)(void *ctx, const struct store_upload *u),
		      void *ctx)
{
	const int dir = store_openat(s->uploads, ".", O_RDONLY | O_DIRECTORY);
	DIR *d = dir < 0 ? NULL : fdopendir(dir);
	struct dirent *e;

	if (!d)
		return dir < 0 ? dir : -errno;
	while ((e = readdir(d))) {
		struct store_upload u;

		if (!load(s, e->d_name, &u))
			continue;
		if (!strcmp(u.bucket, bucket))
			each(ctx, &u);
		store_upload_free(&u);
	}
	closedir(d);
	return 0;
}

int store_part_publish(struct store *s, struct store_tmp *t, const char *id,
		       unsigned int n, struct store_meta *meta)
{
	AUTO_CLOSE int dir = upload_dir(s, id);
	char name[16];
	int err;

	if (dir < 0)
		return dir;
	err = store_meta_write(t->fd, NULL, meta);
	if (err)
		return err;
	snprintf(name, sizeof(name), "part.%05u", n);
	if (renameat(s->tmp, t->name, dir, name))
		return -errno;
	t->name[0] = '\0';
	store_tmp_drop(s, t);
	return 0;
}

int store_part_open(struct store *s, const char *id, unsigned int n, int *fd,
		    struct store_meta *meta)
{
	AUTO_CLOSE int dir = upload_dir(s, id);
	char name[16];
	int f, err;

	if (dir < 0)
		return dir;
	snprintf(name, sizeof(name), "part.%05u", n);
	f = store_openat(dir, name, O_RDONLY);
	if (f < 0)
		return f;
	err = store_meta_read(f, meta);
	if (err)
		close(f);
	else
		*fd = f;
	return err;
}

int store_part_each(struct store *s, const char *id,
		    void (*each)(void *ctx, unsigned int n,
				 const struct store_meta *meta),
		    void *ctx)
{
	for (unsigned int n = 1; n <= 10000; n++) {
		struct store_meta meta;
		int fd;
		const int err = store_part_open(s, id, n, &fd, &meta);

		if (err == -ENOENT)
			continue;
		if (err)
			return err;
		each(ctx, n, &meta);
		store_meta_free(&meta);
		close(fd);
	}
	return 0;
}
