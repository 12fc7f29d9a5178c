/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attribute of an object's file, as JSON: {"etag", "size", "mtime",
 * "key" (odd keys), "headers", "tags"}.  size and mtime seal it: a file that
 * somebody changed by hand no longer agrees with them, and is then a plain
 * file, whose ETag is made from what stat says.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "s3/sigv4.h"
#include "store_int.h"

void store_meta_free(struct store_meta *m)
{
	json_decref(m->headers);
	json_decref(m->tags);
	m->headers = m->tags = NULL;
}

static long long time_ns(const struct timespec *t)
{
	return (long long)t->tv_sec * 1000000000LL + t->tv_nsec;
}

/* No content hash, but another for every other content. */
static void made_up_etag(const struct stat *st, char out[STORE_ETAG_MAX])
{
	char text[128], hex[SIGV4_HEX];

	snprintf(text, sizeof(text), "%llu/%lld/%lld",
		 (unsigned long long)st->st_ino, (long long)st->st_size,
		 time_ns(&st->st_mtim));
	sigv4_sha256_hex(text, strlen(text), hex);
	snprintf(out, STORE_ETAG_MAX, "%.32s-1", hex);
}

static json_t *read_attr(int fd)
{
	char text[STORE_ATTR_MAX];
	const ssize_t n = fgetxattr(fd, STORE_ATTR, text, sizeof(text));

	return n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
}

int store_meta_read(int fd, struct store_meta *out)
{
	json_t *o, *headers, *tags;
	const char *etag;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*out = (struct store_meta){.size = (uint64_t)st.st_size,
				   .mtime = st.st_mtim};
	o = read_attr(fd);
	etag = json_string_value(json_object_get(o, "etag"));
	headers = json_object_get(o, "headers");
	tags = json_object_get(o, "tags");
	if (etag && strlen(etag) < STORE_ETAG_MAX &&
	    json_integer_value(json_object_get(o, "size")) == st.st_size &&
	    json_integer_value(json_object_get(o, "mtime")) ==
		    time_ns(&st.st_mtim)) {
		snprintf(out->etag, sizeof(out->etag), "%s", etag);
		out->headers = json_is_object(headers) ? json_incref(headers)
						       : json_object();
		/* An empty set is none, and so is what is no object. */
		out->tags = json_object_size(tags) ? json_incref(tags) : NULL;
	} else {
		made_up_etag(&st, out->etag);
		out->headers = json_object();
	}
	json_decref(o);
	return out->headers ? 0 : -ENOMEM;
}

/* As meta stands: the seal is that of the file it was read from. */
static int write_attr(int fd, const char *key, const struct store_meta *meta)
{
	AUTO_FREE char *text = NULL;
	json_t *o;
	int err = 0;

	o = json_pack("{s:s, s:I, s:I, s:O, s:O*}", "etag", meta->etag, "size",
		      (json_int_t)meta->size, "mtime",
		      (json_int_t)time_ns(&meta->mtime), "headers",
		      meta->headers, "tags", meta->tags);
	if (!o)
		return -ENOMEM;
	if (key && json_object_set_new(o, "key", json_string(key)))
		err = -EINVAL;
	text = err ? NULL : json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!text)
		return err ? err : -ENOMEM;
	if (strlen(text) > STORE_ATTR_MAX)
		return -E2BIG;
	if (!fsetxattr(fd, STORE_ATTR, text, strlen(text), 0))
		return 0;
	/* ext4 has room for 4 KiB of attributes, and says ENOSPC. */
	return errno == ENOSPC || errno == ERANGE ? -E2BIG : -errno;
}

int store_meta_write(int fd, const char *key, struct store_meta *meta)
{
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	meta->size = (uint64_t)st.st_size;
	meta->mtime = st.st_mtim;
	return write_attr(fd, key, meta);
}

/* Under the key's lock. */
static int set_tags_locked(struct store *s, const char *bucket, const char *key,
			   json_t *tags)
{
	AUTO_CLOSE int fd = -1;
	struct store_meta meta;
	int err = store_get(s, bucket, key, &fd, &meta);

	if (err)
		return err;
	/* A file that was put there by hand gets no attribute for nothing. */
	if (meta.tags || json_object_size(tags)) {
		json_decref(meta.tags);
		meta.tags = json_object_size(tags) ? json_incref(tags) : NULL;
		err = write_attr(fd, key, &meta);
	}
	store_meta_free(&meta);
	return err;
}

int store_set_tags(struct store *s, const char *bucket, const char *key,
		   json_t *tags)
{
	int err;

	store_lock(s, bucket, key);
	err = set_tags_locked(s, bucket, key, tags);
	store_unlock(s, bucket, key);
	return err;
}
