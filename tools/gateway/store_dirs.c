/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Folders, sorted, with '/' behind the names of folders, so that a walk in
 * that order meets the keys in order ("a-b" before "a/b").  They are kept as
 * long as the folder's mtime stands, and with them what a listing shows of
 * each file, as long as stat says that it is the same: a page of a large
 * listing costs its own keys, and a stat for each.
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

#define CACHE_NAMES 2000000 /* in all folders kept; some 150 bytes each */

/* What was read of a file, and of which. */
struct dir_meta {
	ino_t ino; /* 0: nothing */
	off_t size;
	struct timespec mtime, ctime;
	char etag[40];
};

struct dir_cache {
	pthread_mutex_t lock;
	/* Under lock. */
	struct dir_list *lists; /* uthash, by path, the one used longest ago
				   first; each holds one reference */
	size_t names;
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
	free(l->metas);
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

static void drop_locked(struct dir_cache *c, struct dir_list *l)
{
	HASH_DELETE(hh, c->lists, l);
	c->names -= l->n;
	put_locked(l);
}

void dir_cache_free(struct dir_cache *c)
{
	if (!c)
		return;
	while (c->lists)
		drop_locked(c, c->lists);
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
	struct dir_list *l;

	LOCK_SCOPE(&c->lock);
	HASH_FIND_STR(c->lists, path, l);
	if (!l)
		return NULL;
	if (l->mtime.tv_sec != mtime->tv_sec ||
	    l->mtime.tv_nsec != mtime->tv_nsec) {
		drop_locked(c, l);
		return NULL;
	}
	HASH_DELETE(hh, c->lists, l);
	HASH_ADD_KEYPTR(hh, c->lists, l->path, strlen(l->path), l);
	l->refs++;
	return l;
}

static void keep(struct dir_cache *c, struct dir_list *l)
{
	struct dir_list *old;

	LOCK_SCOPE(&c->lock);
	HASH_FIND_STR(c->lists, l->path, old);
	if (old)
		drop_locked(c, old);
	HASH_ADD_KEYPTR(hh, c->lists, l->path, strlen(l->path), l);
	l->refs++;
	c->names += l->n;
	while (c->names > CACHE_NAMES && c->lists != l)
		drop_locked(c, c->lists);
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

/* ---- files ---- */

static bool is_same(const struct timespec *a, const struct timespec *b)
{
	return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool find_meta(struct dir_cache *c, struct dir_list *l, size_t at,
		      const struct stat *st, struct store_meta *out)
{
	const struct dir_meta *m;

	LOCK_SCOPE(&c->lock);
	if (!l->metas)
		return false;
	m = &l->metas[at];
	if (m->ino != st->st_ino || m->size != st->st_size ||
	    !is_same(&m->mtime, &st->st_mtim) ||
	    !is_same(&m->ctime, &st->st_ctim))
		return false;
	*out = (struct store_meta){.size = (uint64_t)st->st_size,
				   .mtime = st->st_mtim};
	memcpy(out->etag, m->etag, sizeof(m->etag));
	return true;
}

static void keep_meta(struct dir_cache *c, struct dir_list *l, size_t at,
		      const struct stat *st, const char *etag)
{
	LOCK_SCOPE(&c->lock);
	if (!l->metas)
		l->metas = calloc(l->n, sizeof(*l->metas));
	if (!l->metas || strlen(etag) >= sizeof(l->metas->etag))
		return;
	l->metas[at] = (struct dir_meta){.ino = st->st_ino,
					 .size = st->st_size,
					 .mtime = st->st_mtim,
					 .ctime = st->st_ctim};
	snprintf(l->metas[at].etag, sizeof(l->metas[at].etag), "%s", etag);
}

int dir_meta_get(struct dir_cache *c, struct dir_list *l, size_t at, int dirfd,
		 struct store_meta *out)
{
	const char *name = l->names[at];
	struct stat st;
	int fd, err;

	if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -ENOENT;
	if (find_meta(c, l, at, &st, out))
		return 0;
	fd = openat(dirfd, name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP || errno == ENXIO ? -ENOENT : -errno;
	err = fstat(fd, &st) ? -errno : store_meta_read(fd, out);
	close(fd);
	if (err)
		return err;
	store_meta_free(out); /* a listing shows none of it */
	/* One that changed just now may change again without a new time. */
	if (is_settled(&st.st_ctim))
		keep_meta(c, l, at, &st, out->etag);
	return 0;
}
