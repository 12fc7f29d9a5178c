/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Odd keys: those that no path can hold.  Their names stand in the files'
 * attributes; an index of them, sorted, is read once a bucket is used.
 *
 * odd_lock guards the index and nothing else; reading a bucket's folder for
 * the first time is done under it, once.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "s3/sigv4.h"
#include "store_int.h"

void store_odd_name(const char *key, char *out)
{
	sigv4_sha256_hex(key, strlen(key), out);
}

int store_odd_dir(struct store *s, const char *bucket, bool make)
{
	if (make && mkdirat(s->odd, bucket, 0755) && errno != EEXIST)
		return -errno;
	return store_openat(s->odd, bucket, O_RDONLY | O_DIRECTORY);
}

/* Where key stands, or would; *found says which. */
static size_t position(const struct odd_keys *o, const char *key, bool *found)
{
	size_t lo = 0, hi = o->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		const int c = strcmp(o->keys[mid], key);

		if (c == 0) {
			*found = true;
			return mid;
		}
		if (c < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	*found = false;
	return lo;
}

static void insert(struct odd_keys *o, const char *key)
{
	bool found;
	const size_t at = position(o, key, &found);
	char *copy;

	if (found)
		return;
	if (o->n == o->cap) {
		const size_t cap = o->cap ? 2 * o->cap : 16;
		char **keys = realloc(o->keys, cap * sizeof(*keys));

		if (!keys)
			return;
		o->keys = keys;
		o->cap = cap;
	}
	copy = strdup(key);
	if (!copy)
		return;
	memmove(&o->keys[at + 1], &o->keys[at], (o->n - at) * sizeof(*o->keys));
	o->keys[at] = copy;
	o->n++;
}

/* The key that an odd file's attribute names. */
static json_t *key_of_file(int dir, const char *name)
{
	AUTO_CLOSE int fd = store_openat(dir, name, O_RDONLY);
	char text[STORE_ATTR_MAX];
	ssize_t n;

	if (fd < 0)
		return NULL;
	n = fgetxattr(fd, STORE_ATTR, text, sizeof(text));
	return n > 0 ? json_loadb(text, (size_t)n, 0, NULL) : NULL;
}

static void read_folder(struct store *s, struct odd_keys *o)
{
	const int dir = store_odd_dir(s, o->bucket, false);
	DIR *d = dir < 0 ? NULL : fdopendir(dir);
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d))) {
		json_t *attr;
		const char *key;

		if (e->d_name[0] == '.')
			continue;
		attr = key_of_file(dirfd(d), e->d_name);
		key = json_string_value(json_object_get(attr, "key"));
		if (key)
			insert(o, key);
		else
			log_warning("gateway: odd object %s of %s has no name",
				    e->d_name, o->bucket);
		json_decref(attr);
	}
	closedir(d);
}

/* Under odd_lock: the index of a bucket; NULL only without memory. */
static struct odd_keys *index_of(struct store *s, const char *bucket)
{
	struct odd_keys *o;

	for (o = s->odd_keys; o; o = o->next)
		if (!strcmp(o->bucket, bucket))
			return o;
	o = calloc(1, sizeof(*o));
	if (!o)
		return NULL;
	snprintf(o->bucket, sizeof(o->bucket), "%s", bucket);
	read_folder(s, o);
	o->next = s->odd_keys;
	s->odd_keys = o;
	return o;
}

void store_odd_add(struct store *s, const char *bucket, const char *key)
{
	LOCK_SCOPE(&s->odd_lock);
	struct odd_keys *o = index_of(s, bucket);

	if (o)
		insert(o, key);
}

void store_odd_remove(struct store *s, const char *bucket, const char *key)
{
	LOCK_SCOPE(&s->odd_lock);
	struct odd_keys *o = index_of(s, bucket);
	bool found = false;
	const size_t at = o ? position(o, key, &found) : 0;

	if (!found)
		return;
	free(o->keys[at]);
	o->n--;
	memmove(&o->keys[at], &o->keys[at + 1], (o->n - at) * sizeof(*o->keys));
}

bool store_odd_has(struct store *s, const char *bucket, const char *key)
{
	LOCK_SCOPE(&s->odd_lock);
	const struct odd_keys *o = index_of(s, bucket);
	bool found = false;

	if (o)
		position(o, key, &found);
	return found;
}

bool store_odd_next(struct store *s, const char *bucket, const char *after,
		    bool at, char *out, size_t cap)
{
	LOCK_SCOPE(&s->odd_lock);
	const struct odd_keys *o = index_of(s, bucket);
	bool found;
	size_t i;

	if (!o)
		return false;
	i = position(o, after, &found);
	if (found && !at)
		i++;
	if (i >= o->n)
		return false;
	snprintf(out, cap, "%s", o->keys[i]);
	return true;
}
