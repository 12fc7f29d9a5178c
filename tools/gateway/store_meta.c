/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The attribute of an object's file, as JSON: {"etag", "size", "mtime",
 * "key" (odd keys), "headers"}.  size and mtime seal it: a file that somebody
 * changed by hand no longer agrees with them, and is then a plain file, whose
 * ETag is made from what stat says.
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

#define ATTR_MAX 16384

void store_meta_free(struct store_meta *m)
{
	json_decref(m->headers);
	m->headers = NULL;
}

static long long mtime_ns(const struct stat *st)
{
	return (long long)st->st_mtim.tv_sec * 1000000000LL +
	       st->st_mtim.tv_nsec;
}

/* No content hash, but another for every other content. */
static void made_up_etag(const struct stat *st, char out[STORE_ETAG_MAX])
{
	char text[128], hex[SIGV4_HEX];

	snprintf(text, sizeof(text), "%llu/%lld/%lld",
		 (unsigned long long)st->st_ino, (long long)st->st_size,
		 mtime_ns(st));
	sigv4_sha256_hex(text, strlen(text), hex);
	snprintf(out, STORE_ETAG_MAX, "%.32s-1", hex);
}

static json_t *read_attr(int fd)
{
	char text[ATTR_MAX];
	const ssize_t n = fgetxattr(fd, STORE_ATTR, text, sizeof(text));

	return n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
}

int store_meta_read(int fd, struct store_meta *out)
{
	json_t *o, *headers;
	const char *etag;
	struct stat st;

	if (fstat(fd, &st))
		return -errno;
	*out = (struct store_meta){.size = (uint64_t)st.st_size,
				   .mtime = st.st_mtim};
	o = read_attr(fd);
	etag = json_string_value(json_object_get(o, "etag"));
	headers = json_object_get(o, "headers");
	if (etag && strlen(etag) < STORE_ETAG_MAX &&
	    json_integer_value(json_object_get(o, "size")) == st.st_size &&
	    json_integer_value(json_object_get(o, "mtime")) == mtime_ns(&st)) {
		snprintf(out->etag, sizeof(out->etag), "%s", etag);
		out->headers = json_is_object(headers) ? json_incref(headers)
						       : json_object();
	} else {
		made_up_etag(&st, out->etag);
		out->headers = json_object();
	}
	json_decref(o);
	return out->headers ? 0 : -ENOMEM;
}

int store_meta_write(int fd, const char *key, struct store_meta *meta)
{
	AUTO_FREE char *text = NULL;
	struct stat st;
	json_t *o;
	int err = 0;

	if (fstat(fd, &st))
		return -errno;
	meta->size = (uint64_t)st.st_size;
	meta->mtime = st.st_mtim;
	o = json_pack("{s:s, s:I, s:I, s:O}", "etag", meta->etag, "size",
		      (json_int_t)st.st_size, "mtime",
		      (json_int_t)mtime_ns(&st), "headers", meta->headers);
	if (!o)
		return -ENOMEM;
	if (key && json_object_set_new(o, "key", json_string(key)))
		err = -EINVAL;
	text = err ? NULL : json_dumps(o, JSON_COMPACT);
	json_decref(o);
	if (!text)
		return err ? err : -ENOMEM;
	if (!fsetxattr(fd, STORE_ATTR, text, strlen(text), 0))
		return 0;
	/* ext4 has room for 4 KiB of attributes, and says ENOSPC. */
	return errno == ENOSPC || errno == ERANGE ? -E2BIG : -errno;
}
