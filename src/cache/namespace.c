/* SPDX-License-Identifier: Apache-2.0 */
/* Names: what is known of them, and asking for the rest. */
#include "cache/namespace.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "cache/namespace_int.h"

#define LIST_THREADS 24
#define LIST_DEPTH 1024
#define TIDY_MS 5000
#define HELD_MAX (8U << 20) /* bytes of numbers */
#define ROOM_ROUNDS 64      /* while somebody waits; the tidier has more */

uint64_t namespace_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* ---- life ---- */

static void listing_gone(void *ctx, uint64_t dir)
{
	const struct namespace *ns = ctx;

	dirs_forget_snap(ns->dirs, dir);
}

void namespace_make_room(struct namespace *ns)
{
	for (int i = 0; i < ROOM_ROUNDS && !atomic_load(&ns->ending); i++)
		if (!store_tidy(ns->store, listing_gone, ns))
			return;
}

/* Not where the kernel waits for an answer: it is a write. */
static void touch_all(struct namespace *ns)
{
	AUTO_FREE uint64_t *dirs = malloc(sizeof(ns->touched));
	unsigned int n;

	if (!dirs)
		return;
	{
		LOCK_SCOPE(&ns->lock);
		n = ns->ntouched;
		memcpy(dirs, ns->touched, n * sizeof(*dirs));
		ns->ntouched = 0;
	}
	store_touch(ns->store, dirs, n);
}

void namespace_hold(struct namespace *ns, struct held *h, struct snap *s)
{
	LOCK_SCOPE(&ns->lock);
	h->snap = s;
	list_add_tail(&ns->held, &h->all);
}

void namespace_let_go(struct namespace *ns, struct held *h)
{
	LOCK_SCOPE(&ns->lock);
	list_del(&h->all);
}

/* Replaced here or by another mount, which knows nothing of our readers. */
static void keep_held(struct namespace *ns)
{
	struct strbuf segs;
	struct list *e, *next;

	strbuf_init(&segs, HELD_MAX);
	{
		LOCK_SCOPE(&ns->lock);
		list_for_each_safe(e, next, &ns->held)
		{
			const struct held *h = container_of(e, struct held,
							    all);

			dirs_snap_segs(ns->dirs, h->snap, &segs);
		}
	}
	store_keep(ns->store, segs.s, segs.len / sizeof(uint64_t));
	strbuf_free(&segs);
}

void namespace_tidy(struct namespace *ns)
{
	touch_all(ns);
	keep_held(ns);
	while (store_tidy(ns->store, listing_gone, ns) &&
	       !atomic_load(&ns->ending))
		;
}

static void *tidy(void *arg)
{
	struct namespace *ns = arg;

	for (;;) {
		{
			LOCK_SCOPE(&ns->lock);
			if (!ns->stopped)
				thread_cond_wait_ms(&ns->tidy_wake, &ns->lock,
						    TIDY_MS);
			if (ns->stopped)
				return NULL;
		}
		namespace_tidy(ns);
	}
}

static int copy_rules(struct namespace *ns, const struct fresh *f)
{
	size_t n = 1, at = 0;

	for (size_t i = 0; i < f->n; i++)
		n += strlen(f->rules[i].prefix) + 1;
	ns->prefixes = malloc(n);
	if (!ns->prefixes)
		return -ENOMEM;
	ns->fresh = *f;
	for (size_t i = 0; i < f->n; i++) {
		const char *p = f->rules[i].prefix;

		ns->fresh.rules[i].prefix = ns->prefixes + at;
		memcpy(ns->prefixes + at, p, strlen(p) + 1);
		at += strlen(p) + 1;
	}
	return 0;
}

static int open_store(struct namespace *ns, const struct namespace_config *cfg,
		      char *why, size_t cap)
{
	char source[1600];
	struct store_config c = {.folder = cfg->folder,
				 .source = source,
				 .max_bytes = cfg->max_bytes};
	int err;

	snprintf(source, sizeof(source), "%s\n%s\n%s", cfg->endpoint,
		 cfg->bucket, cfg->prefix);
	err = store_open(&c, &ns->store, why, cap);
	if (err && cfg->folder) {
		log_warning("metadata: cannot keep names: %s; they are "
			    "forgotten at the end (metadata.path says where)",
			    why);
		c.folder = NULL;
		err = store_open(&c, &ns->store, why, cap);
	}
	return err;
}

static bool ends_with(const char *s, const char *end)
{
	const size_t n = strlen(s), len = strlen(end);

	return n >= len && !strcmp(s + n - len, end);
}

int namespace_new(const struct namespace_config *cfg, struct s3 *s3,
		  struct namespace **out, char *why, size_t cap)
{
	struct namespace *ns = calloc(1, sizeof(*ns));
	int err;

	snprintf(why, cap, "out of memory");
	if (!ns)
		return -ENOMEM;
	pthread_mutex_init(&ns->lock, NULL);
	thread_cond_init(&ns->wake);
	thread_cond_init(&ns->tidy_wake);
	list_init(&ns->held);
	snprintf(ns->bucket, sizeof(ns->bucket), "%s", cfg->bucket);
	snprintf(ns->prefix, sizeof(ns->prefix), "%s", cfg->prefix);
	ns->s3 = s3;
	/* Directory buckets of S3 Express list in no order. */
	ns->unsorted = ends_with(cfg->bucket, "--x-s3");
	err = copy_rules(ns, &cfg->fresh);
	if (!err)
		err = open_store(ns, cfg, why, cap);
	if (!err)
		err = dirs_new(ns->store, &ns->dirs);
	if (!err)
		err = workq_new("lists", LIST_THREADS, LIST_DEPTH, &ns->lists);
	if (!err)
		err = thread_start(&ns->tidier, "tidy", tidy, ns);
	ns->has_tidier = !err;
	if (err) {
		namespace_free(ns);
		return err;
	}
	*out = ns;
	return 0;
}

void namespace_stop(struct namespace *ns)
{
	if (!ns)
		return;
	namespace_on_change(ns, NULL, NULL);
	atomic_store(&ns->ending, true);
	if (ns->dirs)
		dirs_stop(ns->dirs);
	walk_stop(ns);
	LOCK_SCOPE(&ns->lock);
	pthread_cond_broadcast(&ns->tidy_wake);
}

void namespace_wait(struct namespace *ns)
{
	if (!ns)
		return;
	workq_free(ns->lists);
	ns->lists = NULL;
	if (ns->has_tidier)
		pthread_join(ns->tidier, NULL);
	ns->has_tidier = false;
}

void namespace_free(struct namespace *ns)
{
	if (!ns)
		return;
	namespace_stop(ns);
	namespace_wait(ns);
	walk_free(ns);
	dirs_free(ns->dirs);
	store_close(ns->store);
	free(ns->prefixes);
	pthread_cond_destroy(&ns->wake);
	pthread_cond_destroy(&ns->tidy_wake);
	pthread_mutex_destroy(&ns->lock);
	free(ns);
}

void namespace_on_change(struct namespace *ns,
			 void (*changed)(void *ctx, uint64_t dir,
					 const char *name),
			 void *ctx)
{
	LOCK_SCOPE(&ns->lock);
	ns->changed = changed;
	ns->changed_ctx = ctx;
}

void namespace_changed(struct namespace *ns, uint64_t dir, const char *name)
{
	void (*changed)(void *, uint64_t, const char *);
	void *ctx;

	{
		LOCK_SCOPE(&ns->lock);
		changed = ns->changed;
		ctx = ns->changed_ctx;
	}
	if (changed)
		changed(ctx, dir, name);
}

const unsigned char *namespace_hash_key(const struct namespace *ns)
{
	return store_hash_key(ns->store);
}

/* ---- paths and keys ---- */

int namespace_join(char *out, size_t cap, const char *dir, const char *name)
{
	const int n = snprintf(out, cap, "%s%s%s", dir,
			       *dir && *name ? "/" : "", name);

	return n >= 0 && (size_t)n < cap ? 0 : -ENAMETOOLONG;
}

int namespace_path(struct namespace *ns, uint64_t id, const char *name,
		   char *path)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	int err;

	if (!dir)
		return -ESTALE;
	err = namespace_join(path, NAMESPACE_PATH_MAX + 1, dir->path,
			     name ? name : "");
	dirs_put(ns->dirs, dir);
	return err;
}

int namespace_resolve(const struct namespace *ns, const char *path,
		      char *bucket, char *key)
{
	size_t n = 0;

	if (!ns->bucket[0]) {
		n = strcspn(path, "/");
		if (n > S3_BUCKET_MAX)
			return -ENAMETOOLONG;
		snprintf(bucket, S3_BUCKET_MAX + 1, "%.*s", (int)n, path);
		path += n + (path[n] == '/');
	} else {
		snprintf(bucket, S3_BUCKET_MAX + 1, "%s", ns->bucket);
	}
	if (strlen(ns->prefix) + strlen(path) > S3_KEY_MAX)
		return -ENAMETOOLONG;
	snprintf(key, S3_KEY_MAX + 1, "%s%s", ns->prefix, path);
	return 0;
}

int namespace_key_prefix(const struct namespace *ns, const char *path,
			 char bucket[S3_BUCKET_MAX + 1],
			 char key[S3_KEY_MAX + 2])
{
	const int err = namespace_resolve(ns, path, bucket, key);
	const size_t n = err ? 0 : strlen(key);

	if (n && key[n - 1] != '/')
		memcpy(key + n, "/", 2);
	return err;
}

/* ---- what is known ---- */

struct snap *namespace_fresh_snap(struct namespace *ns, struct dir *dir,
				  uint64_t *left_ms)
{
	struct snap *s = dirs_snap(ns->dirs, dir);
	uint64_t left = 0;

	if (s)
		left = s->flags & STORE_FROZEN
			       ? FRESH_FOREVER
			       : fresh_left(fresh_ttl(&ns->fresh, dir->path),
					    s->since_ms, namespace_now());
	if (left_ms)
		*left_ms = left;
	if (s && !left) {
		dirs_snap_put(ns->dirs, s);
		s = NULL;
	}
	return s;
}

static void to_attr(const struct rec *r, struct ns_attr *out)
{
	*out = (struct ns_attr){.is_dir = r->is_dir,
				.dir = r->is_dir ? r->dir : 0,
				.size = r->size,
				.mtime = r->is_dir ? 0 : r->mtime};
	memcpy(out->etag, r->etag, strlen(r->etag) + 1);
	memcpy(out->storage_class, r->storage_class,
	       strlen(r->storage_class) + 1);
}

/* By what was learnt of the name alone; *since says when. */
static int peek_name(struct namespace *ns, struct dir *dir, const char *name,
		     struct ns_attr *out, uint64_t *since, uint64_t *left)
{
	unsigned char buf[REC_ONE_MAX];
	char path[NAMESPACE_PATH_MAX + 1];
	struct rec r = {.len = 0};
	uint64_t ttl;
	int n;

	if (!dir->has_names)
		return -EAGAIN;
	n = store_name_get(ns->store, dir->id, name, buf, sizeof(buf), since);
	if (n < 0 || namespace_join(path, sizeof(path), dir->path, name))
		return -EAGAIN;
	ttl = fresh_ttl(&ns->fresh, path);
	/* What is missing is not believed to be so for ever. */
	if (!n)
		ttl = ns->fresh.negative_ttl_ms;
	*left = fresh_left(ttl, *since, namespace_now());
	if (!*left || (n && !rec_unpack_one(buf, (size_t)n, &r)))
		return -EAGAIN;
	if (!n)
		return -ENOENT;
	to_attr(&r, out);
	return 0;
}

/* By a listing that is still arriving: what a reader has been given is not
 * asked for again. */
static int peek_early(struct namespace *ns, struct dir *dir, const char *name,
		      struct ns_attr *out, uint64_t *since, uint64_t *left)
{
	struct snap *s = dirs_listing(ns->dirs, dir);
	struct rec r;
	int found;

	if (!s)
		return -EAGAIN;
	found = dirs_find_early(ns->dirs, s, name, &r);
	*since = s->since_ms;
	dirs_snap_put(ns->dirs, s);
	*left = fresh_left(fresh_ttl(&ns->fresh, dir->path), *since,
			   namespace_now());
	if (!found || !*left)
		return -EAGAIN;
	to_attr(&r, out);
	return 0;
}

/* By the listing of the directory. */
static int peek_listing(struct namespace *ns, struct dir *dir, const char *name,
			struct ns_attr *out, uint64_t *since, uint64_t *left)
{
	struct snap *s = namespace_fresh_snap(ns, dir, left);
	struct rec r;
	int found;

	if (!s)
		return peek_early(ns, dir, name, out, since, left);
	*since = s->since_ms;
	found = dirs_find(ns->dirs, s, name, &r);
	if (found < 0)
		namespace_forget_listing(ns, dir, s, 0);
	else if (found)
		to_attr(&r, out);
	dirs_snap_put(ns->dirs, s);
	return found < 0 ? -EAGAIN : found ? 0 : -ENOENT;
}

struct next {
	int (*each)(void *ctx, const char *name, const struct ns_attr *attr);
	void *ctx;
};

static int give_next(void *ctx, const struct rec *r, snap_pos pos)
{
	const struct next *n = ctx;
	struct ns_attr a;

	(void)pos;
	to_attr(r, &a);
	return n->each(n->ctx, r->name, &a);
}

int namespace_next(struct namespace *ns, uint64_t id, const char *name,
		   bool is_dir,
		   int (*each)(void *ctx, const char *name,
			       const struct ns_attr *attr),
		   void *ctx)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	struct snap *s = dir ? namespace_fresh_snap(ns, dir, NULL) : NULL;
	struct next n = {each, ctx};
	snap_pos pos;
	int err = -EAGAIN;

	if (s && !dirs_seek(ns->dirs, s, name, is_dir, &pos))
		err = dirs_read(ns->dirs, s, &pos, false, give_next, &n);
	if (s)
		dirs_snap_put(ns->dirs, s);
	if (dir)
		dirs_put(ns->dirs, dir);
	return err ? -EAGAIN : 0;
}

int namespace_peek_in(struct namespace *ns, struct dir *dir, const char *name,
		      struct ns_attr *out, uint64_t *left_ms)
{
	uint64_t since = 0, of_name = 0, left = 0;
	struct ns_attr a;
	const int err = peek_name(ns, dir, name, &a, &of_name, &left);
	int listed;

	if (err != -EAGAIN)
		*left_ms = left;
	listed = peek_listing(ns, dir, name, out, &since, &left);
	/* The later of the two counts. */
	if (err != -EAGAIN && (listed == -EAGAIN || of_name >= since)) {
		if (!err)
			*out = a;
		return err;
	}
	*left_ms = left;
	return listed;
}

int namespace_peek(struct namespace *ns, uint64_t id, const char *name,
		   struct ns_attr *out, uint64_t *left_ms)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	int err;

	if (!dir)
		return -ESTALE;
	err = namespace_peek_in(ns, dir, name, out, left_ms);
	dirs_put(ns->dirs, dir);
	return err;
}

void namespace_get_stats(struct namespace *ns, struct ns_stats *out)
{
	struct dirs_stats d;
	struct store_stats s;

	dirs_get_stats(ns->dirs, &d);
	store_get_stats(ns->store, &s);
	*out = (struct ns_stats){.dirs = d.dirs,
				 .leaves = d.leaves,
				 .bytes = s.bytes,
				 .rebuilt = s.rebuilt};
}
