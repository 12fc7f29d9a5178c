/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Publishing: a temporary file gets its attribute and is then renamed (or,
 * when nothing may be there, linked) to its place, so that a reader, a crash
 * or a kill sees the old object, the new one or none.
 *
 * A key goes to its plain path when that is free; where `a` is in the way of
 * `a/b`, or the other way round, the later one becomes an odd key.  Both of
 * one key can exist for a moment only: readers take the plain one, which is
 * the newer.
 */
#include "store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/parse.h"
#include "store_int.h"

/* What openat2 does, a component at a time: kernels before 5.6, seccomp
 * filters and valgrind lack it. */
static int walk_open(int dir, const char *path, int flags)
{
	int at = dup(dir);

	while (at >= 0) {
		const size_t n = strcspn(path, "/");
		const bool last = !path[n];
		char name[256];
		int next;

		if (n == 0 || n >= sizeof(name) ||
		    (n == 2 && path[0] == '.' && path[1] == '.')) {
			close(at);
			return n >= sizeof(name) ? -ENAMETOOLONG : -EXDEV;
		}
		snprintf(name, sizeof(name), "%.*s", (int)n, path);
		next = openat(at, name,
			      O_CLOEXEC | O_NOFOLLOW |
				      (last ? flags : O_RDONLY | O_DIRECTORY));
		if (next < 0)
			next = -errno;
		close(at);
		if (last || next < 0 || !path[n + 1])
			return next;
		at = next;
		path += n + 1;
	}
	return -errno;
}

int store_openat(int dir, const char *path, int flags)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned int)(flags | O_CLOEXEC),
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS |
			   RESOLVE_NO_MAGICLINKS};
	const long fd = syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (fd < 0 && errno == ENOSYS)
		return walk_open(dir, path, flags);
	return fd < 0 ? -errno : (int)fd;
}

bool store_is_bucket_name(const char *b)
{
	const size_t n = strlen(b);

	return n >= 3 && n <= 63 &&
	       strspn(b, "abcdefghijklmnopqrstuvwxyz0123456789.-") == n &&
	       b[0] != '.' && b[0] != '-' && b[n - 1] != '.' &&
	       b[n - 1] != '-' && !strstr(b, "..");
}

int store_bucket_dir(struct store *s, const char *bucket)
{
	int fd;

	if (!store_is_bucket_name(bucket))
		return -ENOTDIR;
	fd = store_openat(s->root, bucket, O_RDONLY | O_DIRECTORY);
	return fd == -ENOENT || fd == -ELOOP ? -ENOTDIR : fd;
}

bool store_key_is_plain(const char *key)
{
	for (;;) {
		const size_t n = strcspn(key, "/");

		if (n == 0 || n > 255 || (n == 1 && key[0] == '.') ||
		    (n == 2 && key[0] == '.' && key[1] == '.'))
			return false;
		if (!key[n])
			return true;
		key += n + 1;
	}
}

static int make_dir(int at, const char *name)
{
	if (mkdirat(at, name, 0755) && errno != EEXIST)
		return -errno;
	return store_openat(at, name, O_RDONLY | O_DIRECTORY);
}

/* What a killed gateway left half done. */
static void sweep_tmp(struct store *s)
{
	DIR *d = fdopendir(dup(s->tmp));
	struct dirent *e;

	if (!d)
		return;
	while ((e = readdir(d)))
		if (e->d_name[0] != '.')
			unlinkat(s->tmp, e->d_name, 0);
	closedir(d);
}

static int check_attrs(struct store *s)
{
	if (!fsetxattr(s->tmp, STORE_ATTR, "", 0, 0)) {
		fremovexattr(s->tmp, STORE_ATTR);
		return 0;
	}
	return -errno;
}

static int open_folders(struct store *s, const char *root)
{
	AUTO_CLOSE int own = -1;

	s->root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0)
		return -errno;
	own = make_dir(s->root, ".s3rdma");
	if (own < 0)
		return own;
	s->tmp = make_dir(own, "tmp");
	s->odd = make_dir(own, "odd");
	s->uploads = make_dir(own, "uploads");
	if (s->tmp < 0 || s->odd < 0 || s->uploads < 0)
		return s->tmp < 0 ? s->tmp : s->odd < 0 ? s->odd : s->uploads;
	/* Held until the fd goes, with the process at the latest. */
	if (flock(s->tmp, LOCK_EX | LOCK_NB))
		return errno == EWOULDBLOCK ? -EBUSY : -errno;
	return 0;
}

int store_open(const char *root, struct store **out)
{
	struct store *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	s->root = s->tmp = s->odd = s->uploads = -1;
	for (int i = 0; i < STORE_LOCKS; i++)
		pthread_mutex_init(&s->locks[i], NULL);
	pthread_mutex_init(&s->odd_lock, NULL);
	s->cache = dir_cache_new();
	err = s->cache ? open_folders(s, root) : -ENOMEM;
	if (!err)
		err = check_attrs(s);
	if (err) {
		store_close(s);
		return err;
	}
	sweep_tmp(s);
	store_upload_sweep(s);
	*out = s;
	return 0;
}

static void free_odd(struct odd_keys *o)
{
	while (o) {
		struct odd_keys *next = o->next;

		for (size_t i = 0; i < o->n; i++)
			free(o->keys[i]);
		free(o->keys);
		free(o);
		o = next;
	}
}

void store_close(struct store *s)
{
	const int fds[] = {s->root, s->tmp, s->odd, s->uploads};

	for (size_t i = 0; i < ARRAY_SIZE(fds); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	for (int i = 0; i < STORE_LOCKS; i++)
		pthread_mutex_destroy(&s->locks[i]);
	pthread_mutex_destroy(&s->odd_lock);
	free_odd(s->odd_keys);
	dir_cache_free(s->cache);
	free(s);
}

/* Opens an object's file, plain or odd. */
static int open_object(struct store *s, const char *bucket, const char *key)
{
	AUTO_CLOSE int dir = store_bucket_dir(s, bucket);
	char name[65];
	struct stat st;
	int fd;

	if (dir < 0)
		return dir;
	if (store_key_is_plain(key)) {
		fd = store_openat(dir, key, O_RDONLY | O_NONBLOCK);
		/* No device, socket or folder that somebody put there. */
		if (fd >= 0 && !fstat(fd, &st) && S_ISREG(st.st_mode))
			return fd;
		if (fd >= 0)
			close(fd);
		else if (fd != -ENOENT && fd != -ENOTDIR && fd != -ELOOP &&
			 fd != -ENXIO)
			return fd;
	}
	if (!store_odd_has(s, bucket, key))
		return -ENOENT;
	{
		AUTO_CLOSE int odd = store_odd_dir(s, bucket, false);

		if (odd < 0)
			return -ENOENT;
		store_odd_name(key, name);
		return store_openat(odd, name, O_RDONLY);
	}
}

int store_get(struct store *s, const char *bucket, const char *key, int *fd,
	      struct store_meta *meta)
{
	const int f = open_object(s, bucket, key);
	int err;

	if (f < 0)
		return f;
	err = store_meta_read(f, meta);
	if (err) {
		close(f);
		return err;
	}
	*fd = f;
	return 0;
}

bool store_etag_listed(const char *list, const char *etag)
{
	while (*list) {
		const char *p = list + strspn(list, " \t,");
		size_t n;

		if (!strncmp(p, "W/", 2))
			p += 2;
		n = *p == '"' ? strcspn(p + 1, "\"") + 2 : strcspn(p, ", \t");
		if (*p == '*' && n == 1)
			return true;
		if (*p == '"' && n == strlen(etag) + 2 &&
		    !strncmp(p + 1, etag, n - 2))
			return true;
		if (*p != '"' && n == strlen(etag) && !strncmp(p, etag, n))
			return true;
		if (strlen(p) < n)
			return false;
		list = p + n;
	}
	return false;
}

static unsigned int lock_of(const char *bucket, const char *key)
{
	unsigned int h = 2166136261U;

	for (; *bucket; bucket++)
		h = (h ^ (unsigned char)*bucket) * 16777619U;
	for (; *key; key++)
		h = (h ^ (unsigned char)*key) * 16777619U;
	return h % STORE_LOCKS;
}

void store_lock(struct store *s, const char *bucket, const char *key)
{
	pthread_mutex_lock(&s->locks[lock_of(bucket, key)]);
}

void store_unlock(struct store *s, const char *bucket, const char *key)
{
	pthread_mutex_unlock(&s->locks[lock_of(bucket, key)]);
}

/* Under the key's lock. */
static int check_condition(struct store *s, const char *bucket, const char *key,
			   const struct store_condition *cond)
{
	struct store_meta meta;
	int fd, err;

	if (!cond || (!cond->if_none && !cond->if_match))
		return 0;
	err = store_get(s, bucket, key, &fd, &meta);
	if (err == -ENOENT)
		return cond->if_match ? -ENOENT : 0;
	if (err)
		return err;
	close(fd);
	if (cond->if_none)
		err = -EEXIST;
	else if (!store_etag_listed(cond->if_match, meta.etag))
		err = -ESTALE;
	store_meta_free(&meta);
	return err;
}

int store_tmp_new(struct store *s, struct store_tmp *out)
{
	unsigned char id[16];

	random_bytes(id, sizeof(id));
	format_hex(id, sizeof(id), out->name);
	out->fd = openat(s->tmp, out->name,
			 O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	return out->fd < 0 ? -errno : 0;
}

void store_tmp_drop(struct store *s, struct store_tmp *t)
{
	if (t->fd >= 0)
		close(t->fd);
	t->fd = -1;
	if (t->name[0])
		unlinkat(s->tmp, t->name, 0);
	t->name[0] = '\0';
}

/* The folder that the last component of key lies in; made when missing. */
static int make_parents(int bucket_dir, const char *key, const char **base)
{
	int dir = dup(bucket_dir);

	while (dir >= 0) {
		const size_t n = strcspn(key, "/");
		char name[256];
		int next;

		if (!key[n]) {
			*base = key;
			return dir;
		}
		snprintf(name, sizeof(name), "%.*s", (int)n, key);
		next = make_dir(dir, name);
		close(dir);
		dir = next;
		key += n + 1;
	}
	return dir;
}

/* Returns -EISDIR or -ENOTDIR when something else is in the way. */
static int publish_plain(struct store *s, struct store_tmp *t,
			 const char *bucket, const char *key)
{
	AUTO_CLOSE int top = store_bucket_dir(s, bucket);

	if (top < 0)
		return -ENODEV;
	/* A neighbour's removal may take an empty folder between two steps. */
	for (int tries = 0; tries < 100; tries++) {
		const char *base;
		AUTO_CLOSE int dir = make_parents(top, key, &base);

		if (dir == -ENOENT)
			continue;
		if (dir < 0)
			return dir == -ELOOP ? -ENOTDIR : dir;
		if (!renameat(s->tmp, t->name, dir, base))
			return 0;
		if (errno != ENOENT)
			return errno == EEXIST || errno == ENOTEMPTY ? -EISDIR
								     : -errno;
	}
	return -EBUSY;
}

static int unlink_odd(struct store *s, const char *bucket, const char *key)
{
	AUTO_CLOSE int odd = -1;
	char name[65];

	if (!store_odd_has(s, bucket, key))
		return 0;
	odd = store_odd_dir(s, bucket, false);
	store_odd_name(key, name);
	if (odd >= 0 && unlinkat(odd, name, 0) && errno != ENOENT)
		return -errno;
	store_odd_remove(s, bucket, key);
	return 0;
}

static int publish_odd(struct store *s, struct store_tmp *t, const char *bucket,
		       const char *key)
{
	AUTO_CLOSE int odd = store_odd_dir(s, bucket, true);
	char name[65];

	if (odd < 0)
		return odd;
	store_odd_name(key, name);
	if (renameat(s->tmp, t->name, odd, name))
		return -errno;
	store_odd_add(s, bucket, key);
	return 0;
}

/* Under the key's lock. */
static int publish_locked(struct store *s, struct store_tmp *t,
			  const char *bucket, const char *key,
			  const struct store_condition *cond)
{
	int err = store_bucket_check(s, bucket);

	if (!err)
		err = check_condition(s, bucket, key, cond);
	if (err)
		return err;
	if (!store_key_is_plain(key))
		return publish_odd(s, t, bucket, key);
	err = publish_plain(s, t, bucket, key);
	if (err == -EISDIR || err == -ENOTDIR)
		return publish_odd(s, t, bucket, key);
	if (err == -ENODEV)
		return -ENOTDIR;
	return err ? err : unlink_odd(s, bucket, key);
}

int store_publish(struct store *s, struct store_tmp *t, const char *bucket,
		  const char *key, struct store_meta *meta,
		  const struct store_condition *cond)
{
	int err = store_meta_write(t->fd, key, meta);

	if (err)
		return err;
	store_lock(s, bucket, key);
	err = publish_locked(s, t, bucket, key, cond);
	store_unlock(s, bucket, key);
	if (!err) {
		t->name[0] = '\0';
		store_tmp_drop(s, t);
	}
	return err;
}

/* Removes the folders above key that the removal of it left empty. */
static void prune_parents(int bucket_dir, const char *key)
{
	char path[1025];
	char *slash;

	snprintf(path, sizeof(path), "%s", key);
	while ((slash = strrchr(path, '/'))) {
		AUTO_CLOSE int parent = -1;
		const char *base;

		*slash = '\0';
		base = strrchr(path, '/');
		if (base) {
			char up[1025];

			snprintf(up, sizeof(up), "%.*s", (int)(base - path),
				 path);
			parent = store_openat(bucket_dir, up,
					      O_RDONLY | O_DIRECTORY);
			base++;
		} else {
			parent = dup(bucket_dir);
			base = path;
		}
		if (parent < 0 || unlinkat(parent, base, AT_REMOVEDIR))
			return;
	}
}

static int delete_plain(int dir, const char *key)
{
	const char *base = strrchr(key, '/');
	AUTO_CLOSE int parent = -1;
	struct stat st;
	char up[1025];

	snprintf(up, sizeof(up), "%.*s", base ? (int)(base - key) : 0, key);
	parent = base ? store_openat(dir, up, O_RDONLY | O_DIRECTORY)
		      : dup(dir);
	base = base ? base + 1 : key;
	if (parent < 0 || fstatat(parent, base, &st, AT_SYMLINK_NOFOLLOW) ||
	    !S_ISREG(st.st_mode))
		return 0;
	if (unlinkat(parent, base, 0))
		return errno == ENOENT || errno == EISDIR ? 0 : -errno;
	prune_parents(dir, key);
	return 0;
}

int store_delete(struct store *s, const char *bucket, const char *key,
		 const struct store_condition *cond)
{
	AUTO_CLOSE int dir = store_bucket_dir(s, bucket);
	int err;

	if (dir < 0)
		return dir;
	store_lock(s, bucket, key);
	err = check_condition(s, bucket, key, cond);
	/* The odd one first: it must not come to light behind the other. */
	if (!err)
		err = unlink_odd(s, bucket, key);
	if (!err && store_key_is_plain(key))
		err = delete_plain(dir, key);
	store_unlock(s, bucket, key);
	return err;
}

int store_append(struct store_tmp *t, int from, uint64_t off, uint64_t len)
{
	static const size_t piece = 1 << 20;
	AUTO_FREE char *buf = NULL;

	while (len > 0) {
		off_t in = (off_t)off;
		ssize_t n = copy_file_range(from, &in, t->fd, NULL, len, 0);

		if (n <= 0) { /* not on this file system: by hand */
			if (!buf)
				buf = malloc(piece);
			if (!buf)
				return -ENOMEM;
			n = pread(from, buf, len < piece ? len : piece,
				  (off_t)off);
			if (n <= 0)
				return n ? -errno : -EIO;
			for (ssize_t done = 0; done < n;) {
				const ssize_t w = write(t->fd, buf + done,
							(size_t)(n - done));

				if (w < 0)
					return -errno;
				done += w;
			}
		}
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	return 0;
}
