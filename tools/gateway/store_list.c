/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing in the order of bytes, from any point, without walking what lies
 * before it: over sorted folders (store_dirs.c).
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/text.h"
#include "store_int.h"

#define MAX_DEPTH 520 /* components of a 1024-byte key */
#define KEY_CAP \
	(1024 + 264) /* a key, or a folder whose keys are all too long */

/* ---- a walk over the plain keys ---- */

struct level {
	struct dir_list *list;
	size_t at;   /* the next name */
	size_t base; /* length of the path before the names */
	int fd;
};

struct walk {
	struct store *s;
	const char *bucket;
	char path[KEY_CAP];
	struct level levels[MAX_DEPTH];
	int depth;
};

static void pop(struct walk *w)
{
	struct level *l = &w->levels[--w->depth];

	dir_cache_put(w->s->cache, l->list);
	close(l->fd);
}

/* Enters the folder whose path (with '/') is w->path[0..len). */
static int push(struct walk *w, size_t len)
{
	struct level *l = &w->levels[w->depth];
	char name[KEY_CAP + 64];
	int err;

	if (w->depth == MAX_DEPTH)
		return -ENAMETOOLONG;
	if (w->depth == 0)
		l->fd = store_bucket_dir(w->s, w->bucket);
	else
		l->fd = store_openat(w->levels[0].fd, w->path,
				     O_RDONLY | O_DIRECTORY);
	if (l->fd < 0)
		return l->fd;
	snprintf(name, sizeof(name), "%s/%.*s", w->bucket, (int)len, w->path);
	err = dir_cache_get(w->s->cache, l->fd, name, &l->list);
	if (err) {
		close(l->fd);
		return err;
	}
	l->at = 0;
	l->base = len;
	w->depth++;
	return 0;
}

/* A folder that went away under the walk has no keys. */
static bool is_gone(int err)
{
	return err == -ENOENT || err == -ENOTDIR || err == -ELOOP ||
	       err == -ENAMETOOLONG;
}

/* First name of the level that is >= target. */
static size_t lower_bound(const struct dir_list *l, const char *target)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;

		if (strcmp(l->names[mid], target) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* Puts the walk before the first key >= target. */
static int seek(struct walk *w, const char *target)
{
	size_t len = 0;
	int err;

	while (w->depth)
		pop(w);
	err = push(w, 0);
	while (!err) {
		struct level *l = &w->levels[w->depth - 1];
		const char *rest = target + len;
		const size_t n = strcspn(rest, "/");
		char name[KEY_CAP];

		l->at = lower_bound(l->list, rest);
		if (!rest[n])
			return 0;
		/* A target inside a folder: enter it, if it is there. */
		snprintf(name, sizeof(name), "%.*s/", (int)n, rest);
		l->at = lower_bound(l->list, name);
		if (l->at == l->list->n ||
		    strcmp(l->list->names[l->at], name) != 0)
			return 0;
		l->at++;
		snprintf(w->path, sizeof(w->path), "%.*s", (int)(len + n + 1),
			 target);
		len += n + 1;
		err = push(w, len);
		if (is_gone(err))
			return 0;
	}
	return err;
}

/* The next plain key into w->path; 1 when there is none. */
static int next_plain(struct walk *w)
{
	while (w->depth) {
		struct level *l = &w->levels[w->depth - 1];
		const char *name;
		size_t n, len;
		int err;

		if (l->at == l->list->n) {
			pop(w);
			continue;
		}
		name = l->list->names[l->at++];
		n = strlen(name);
		len = l->base + n;
		if (len > 1024)
			continue; /* no key of S3 */
		memcpy(w->path + l->base, name, n + 1);
		if (name[n - 1] != '/')
			return 0;
		err = push(w, len);
		if (err && !is_gone(err))
			return err;
	}
	return 1;
}

/* ---- the listing ---- */

struct merge {
	struct walk w;
	int plain; /* 0: w.path is the next plain key */
	bool has_odd;
	char odd[KEY_CAP];
};

static int merge_seek(struct merge *m, const char *target)
{
	int err = seek(&m->w, target);

	if (err)
		return err;
	m->plain = next_plain(&m->w);
	m->has_odd = store_odd_next(m->w.s, m->w.bucket, target, true, m->odd,
				    sizeof(m->odd));
	return m->plain < 0 ? m->plain : 0;
}

/* The smaller of the two next keys, or NULL at the end. */
static const char *merge_key(const struct merge *m)
{
	if (m->plain == 0 && (!m->has_odd || strcmp(m->w.path, m->odd) <= 0))
		return m->w.path;
	return m->has_odd ? m->odd : NULL;
}

static int merge_next(struct merge *m)
{
	char now[KEY_CAP];

	if (m->plain == 0 && !m->has_odd) {
		m->plain = next_plain(&m->w);
		return m->plain < 0 ? m->plain : 0;
	}
	text_copy(now, sizeof(now), merge_key(m));
	if (m->plain == 0 && !strcmp(m->w.path, now))
		m->plain = next_plain(&m->w);
	if (m->has_odd && !strcmp(m->odd, now))
		m->has_odd = store_odd_next(m->w.s, m->w.bucket, now, false,
					    m->odd, sizeof(m->odd));
	return m->plain < 0 ? m->plain : 0;
}

/* Length of the common prefix that key rolls up to, or 0. */
static size_t rolls_up(const struct store_list *l, const char *key)
{
	const char *d = *l->delimiter
				? strstr(key + strlen(l->prefix), l->delimiter)
				: NULL;

	return d ? (size_t)(d - key) + strlen(l->delimiter) : 0;
}

/* Behind every key that begins with the n bytes at s: no UTF-8 has 0xff. */
static void behind(char *out, size_t cap, const char *s, size_t n)
{
	snprintf(out, cap, "%.*s\xff", (int)n, s);
}

/* The plain key that the walk stands at, from what is known of its file. */
static int give_plain(struct walk *w, const struct store_list *l, bool *given)
{
	const struct level *top = &w->levels[w->depth - 1];
	struct store_meta meta;
	const int err = dir_meta_get(w->s->cache, top->list, top->at - 1,
				     top->fd, &meta);

	*given = !err;
	if (err)
		return err == -ENOENT || err == -EACCES ? 0 : err;
	l->each(l->ctx, w->path, &meta);
	return 0;
}

static int give_key(struct store *s, const char *bucket,
		    const struct store_list *l, const char *key, bool *given)
{
	struct store_meta meta;
	int fd;
	const int err = store_get(s, bucket, key, &fd, &meta);

	*given = !err;
	if (err) /* deleted meanwhile, or unreadable */
		return err == -ENOENT || err == -EACCES ? 0 : err;
	close(fd);
	l->each(l->ctx, key, &meta);
	store_meta_free(&meta);
	return 0;
}

/* Where the listing begins: behind after, and not before the prefix. */
static void first_target(const struct store_list *l, char *out, size_t cap)
{
	const size_t n = strlen(l->prefix);
	size_t up;

	snprintf(out, cap, "%s", l->prefix);
	if (strcmp(l->after, l->prefix) < 0 || !*l->after)
		return;
	up = !strncmp(l->after, l->prefix, n) ? rolls_up(l, l->after) : 0;
	if (up) /* its common prefix sorts before after, or is it */
		behind(out, cap, l->after, up);
	else
		snprintf(out, cap, "%s\x01", l->after);
}

static int list_merged(struct merge *m, const char *bucket,
		       const struct store_list *l, bool *truncated, char *last,
		       size_t cap)
{
	const size_t prefix_len = strlen(l->prefix);
	unsigned int n = 0;
	const char *key;
	int err = 0;

	while (!err && (key = merge_key(m))) {
		size_t up;
		bool given = true;

		if (strncmp(key, l->prefix, prefix_len) != 0)
			break;
		if (n == l->max) {
			*truncated = true;
			break;
		}
		up = rolls_up(l, key);
		if (up) {
			char cp[KEY_CAP], target[KEY_CAP];

			snprintf(cp, sizeof(cp), "%.*s", (int)up, key);
			snprintf(last, cap, "%s", cp);
			l->each(l->ctx, cp, NULL);
			behind(target, sizeof(target), cp, up);
			err = merge_seek(m, target);
		} else {
			char name[KEY_CAP];

			text_copy(name, sizeof(name), key);
			err = key == m->w.path ? give_plain(&m->w, l, &given)
					       : give_key(m->w.s, bucket, l,
							  name, &given);
			if (given)
				text_copy(last, cap, name);
			if (!err)
				err = merge_next(m);
		}
		n += given;
	}
	return err;
}

int store_list(struct store *s, const char *bucket, const struct store_list *l,
	       bool *truncated, char *last, size_t cap)
{
	struct merge *m;
	char target[KEY_CAP + 8];
	int err = store_bucket_check(s, bucket);

	*truncated = false;
	last[0] = '\0';
	if (err || l->max == 0)
		return err;
	m = calloc(1, sizeof(*m));
	if (!m)
		return -ENOMEM;
	m->w.s = s;
	m->w.bucket = bucket;
	first_target(l, target, sizeof(target));
	err = merge_seek(m, target);
	if (!err)
		err = list_merged(m, bucket, l, truncated, last, cap);
	while (m->w.depth)
		pop(&m->w);
	free(m);
	return err == -ENOENT ? -ENOTDIR : err;
}
