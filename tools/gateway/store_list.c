/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing in the order of bytes, from any point, without walking what lies
 * before it.
 *
 * A folder's names are sorted with their '/' behind folders, so that a walk
 * in that order meets the keys in order ("a-b" before "a/b").  Sorted folders
 * are kept (dir_cache) as long as the folder's mtime stands: a page of a
 * large listing then costs its own keys and no more.
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
#include "store_int.h"

#define MAX_DEPTH 520   /* components of a 1024-byte key */
#define CACHE_SLOTS 256 /* folders kept */
#define KEY_CAP \
	(1024 + 264) /* a key, or a folder whose keys are all too long */

/* ---- sorted folders ---- */

struct dir_cache {
	pthread_mutex_t lock;
	/* Under lock. */
	struct dir_list *slots[CACHE_SLOTS]; /* each holds one reference */
	unsigned int next;
};

struct dir_cache *dir_cache_new(void)
{
	struct dir_cache *c = calloc(1, sizeof(*c));

	if (c)
		pthread_mutex_init(&c->lock, NULL);
	return c;
}

static void free_list(struct dir_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->names[i]);
	free(l->names);
	free(l->path);
	free(l);
}

static void put_locked(struct dir_list *l)
{
	if (--l->refs == 0)
		free_list(l);
}

void dir_cache_free(struct dir_cache *c)
{
	if (!c)
		return;
	for (int i = 0; i < CACHE_SLOTS; i++)
		if (c->slots[i])
			put_locked(c->slots[i]);
	pthread_mutex_destroy(&c->lock);
	free(c);
}

void dir_cache_put(struct dir_cache *c, struct dir_list *l)
{
	LOCK_SCOPE(&c->lock);
	put_locked(l);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool add_name(struct dir_list *l, size_t *cap, const char *name,
		     bool is_dir)
{
	char *s;

	if (l->n == *cap) {
		const size_t more = *cap ? 2 * *cap : 64;
		char **names = realloc(l->names, more * sizeof(*names));

		if (!names)
			return false;
		l->names = names;
		*cap = more;
	}
	if (asprintf(&s, "%s%s", name, is_dir ? "/" : "") < 0)
		return false;
	l->names[l->n++] = s;
	return true;
}

static int read_names(int fd, struct dir_list *l)
{
	DIR *d = fdopendir(fd);
	struct dirent *e;
	size_t cap = 0;
	int err = 0;

	if (!d) {
		close(fd);
		return -errno;
	}
	while (!err && (e = readdir(d))) {
		unsigned char type = e->d_type;
		struct stat st;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		if (type == DT_UNKNOWN &&
		    !fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW))
			type = S_ISDIR(st.st_mode)   ? DT_DIR
			       : S_ISREG(st.st_mode) ? DT_REG
						     : DT_UNKNOWN;
		if ((type == DT_REG || type == DT_DIR) &&
		    !add_name(l, &cap, e->d_name, type == DT_DIR))
			err = -ENOMEM;
	}
	closedir(d);
	if (l->n)
		qsort(l->names, l->n, sizeof(*l->names), by_name);
	return err;
}

static struct dir_list *find(struct dir_cache *c, const char *path,
			     const struct timespec *mtime)
{
	LOCK_SCOPE(&c->lock);
	for (int i = 0; i < CACHE_SLOTS; i++) {
		struct dir_list *l = c->slots[i];

		if (l && !strcmp(l->path, path) &&
		    l->mtime.tv_sec == mtime->tv_sec &&
		    l->mtime.tv_nsec == mtime->tv_nsec) {
			l->refs++;
			return l;
		}
	}
	return NULL;
}

static void keep(struct dir_cache *c, struct dir_list *l)
{
	LOCK_SCOPE(&c->lock);
	unsigned int at = c->next;

	for (unsigned int i = 0; i < CACHE_SLOTS; i++)
		if (c->slots[i] && !strcmp(c->slots[i]->path, l->path))
			at = i;
	if (at == c->next)
		c->next = (c->next + 1) % CACHE_SLOTS;
	if (c->slots[at])
		put_locked(c->slots[at]);
	c->slots[at] = l;
	l->refs++;
}

/* The file system's clock ticks slowly: a folder that changed just now may
 * change again without a new mtime. */
static bool is_settled(const struct timespec *mtime)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (now.tv_sec - mtime->tv_sec) * 1000 +
		       (now.tv_nsec - mtime->tv_nsec) / 1000000 >
	       50;
}

int dir_cache_get(struct dir_cache *c, int dirfd, const char *path,
		  struct dir_list **out)
{
	struct dir_list *l;
	struct stat st;
	int err, fd;

	if (fstat(dirfd, &st))
		return -errno;
	l = find(c, path, &st.st_mtim);
	if (l) {
		*out = l;
		return 0;
	}
	l = calloc(1, sizeof(*l));
	if (!l)
		return -ENOMEM;
	l->refs = 1;
	l->mtime = st.st_mtim;
	l->path = strdup(path);
	fd = store_openat(dirfd, ".", O_RDONLY | O_DIRECTORY);
	err = !l->path ? -ENOMEM : fd < 0 ? fd : read_names(fd, l);
	if (err) {
		free_list(l);
		return err;
	}
	if (is_settled(&l->mtime))
		keep(c, l);
	*out = l;
	return 0;
}

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

	snprintf(now, sizeof(now), "%s", merge_key(m));
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

			snprintf(name, sizeof(name), "%s", key);
			err = give_key(m->w.s, bucket, l, name, &given);
			if (given)
				snprintf(last, cap, "%s", name);
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
