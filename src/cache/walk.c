/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whoever reads directories one behind the other (find, du, ls -R) is about to
 * read the next ones too: they are listed ahead, without delimiter, so that
 * what lies under them comes along, several at a time.  How many directories
 * ahead doubles with each that was read as expected.
 *
 * Lock: ns->lock, outside of dirs->lock; not held across I/O.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cache/namespace_int.h"

#define WALKS 64       /* directories whose children are followed */
#define BATCHES 8      /* on their way for one of them */
#define WINDOW_MAX 512 /* children ahead */
#define BATCH_CHILDREN 64
#define BATCH_KEYS 4000   /* small directories come so many keys at a time */
#define PAGE_KEYS 1000    /* and those from this size on alone */
#define SCAN 4096         /* entries looked at for the next directory */
#define PATIENCE_MS 10000 /* without a reader nothing more is listed */
/* A tree below one child may be of any size: so many keys in all, and so many
 * that are no entries of a child, are listed of a batch. */
#define BATCH_MAX (8 * BATCH_KEYS)
#define BATCH_DEEP_MAX (2 * BATCH_KEYS)
/* Pages that a reader waits for, and those of a tree below a child: then a
 * listing of his own, with delimiter, is the shorter way. */
#define WAIT_PAGES 16
#define WAIT_DEEP 4
#define HOLD 32 /* children read one by one after a batch that was too large */

/* Children that are listed together. */
struct batch {
	struct batch *next; /* on walk->batches */
	struct walk *walk;
	char first[REC_NAME_MAX + 1], last[REC_NAME_MAX + 1];
	uint64_t ids[BATCH_CHILDREN];
	unsigned int n;
	unsigned int pages; /* that came; under ns->lock */
	unsigned int deep;  /* of these, with few entries of the children */
	/* Of the thread that lists it. */
	uint64_t keys, deep_keys;
	size_t entries; /* of children, in the page that came last */
};

/* The children of one directory.  All under ns->lock. */
struct walk {
	UT_hash_handle hh; /* in ns->walks, the oldest first */
	uint64_t parent;
	struct namespace *ns;
	struct snap *snap;   /* a reference; the parent's listing */
	snap_pos read;       /* behind the child that was read last */
	snap_pos claimed;    /* behind the last one that is listed ahead */
	unsigned int ahead;  /* children between the two */
	unsigned int window; /* how many there may be */
	struct batch *batches;
	unsigned int nbatches;
	unsigned int waiting;
	bool unsorted;           /* the server lists in another order */
	uint64_t last;           /* the child that was read last */
	uint64_t keys, children; /* seen so far, for the size of batches */
	unsigned int held;       /* children before any is listed ahead again */
	uint64_t active_ms;
};

/* ---- the parent's entries ---- */

struct seek {
	uint64_t id; /* 0: any directory */
	unsigned int seen;
	bool found;
	snap_pos next;
	struct rec rec;
};

static int seek_dir(void *ctx, const struct rec *r, snap_pos next)
{
	struct seek *s = ctx;

	if (s->found || ++s->seen > SCAN)
		return 1;
	if (r->is_dir && (!s->id || s->id == r->dir)) {
		s->found = true;
		s->next = next;
		s->rec = *r;
		return 1;
	}
	return 0;
}

/* The next directory behind pos, or that of a number. */
static bool seek(struct walk *w, snap_pos pos, uint64_t id, struct seek *out)
{
	memset(out, 0, offsetof(struct seek, rec));
	out->id = id;
	dirs_read(w->ns->dirs, w->snap, &pos, false, seek_dir, out);
	return out->found;
}

/* ---- a batch ---- */

/* Where the first component of a key stands to the batch: -1, 0, 1 behind. */
static int place_of(const struct batch *b, const char *key, size_t len)
{
	const char *slash = memchr(key, '/', len);
	const size_t n = slash ? (size_t)(slash - key) : len;

	if (rec_compare(key, n, slash != NULL, b->last, strlen(b->last), true) >
	    0)
		return 1;
	return slash && rec_compare(key, n, true, b->first, strlen(b->first),
				    true) >= 0
		       ? 0
		       : -1;
}

/* Is the key an entry of its child, or the first below a new one? */
static bool begins_entry(const char *key, const char *before)
{
	const char *slash = strchr(key, '/');
	const char *below = slash ? strchr(slash + 1, '/') : NULL;

	return !below || strncmp(key, before, (size_t)(below + 1 - key)) != 0;
}

/* One page to the store; *more is cleared when the batch is complete. */
static int keep_items(struct batch *b, struct tree *t, struct page *page,
		      char last[S3_KEY_MAX + 1], bool *more)
{
	int err = 0;

	b->entries = 0;
	for (size_t i = 0; i < page->n && !err && *more; i++) {
		const char *key = page_key(page, i);
		const int place = place_of(b, key, page->items[i].len);

		/* Of another order no end can be told. */
		if (strcmp(key, last) <= 0)
			return -ERANGE;
		b->entries += place == 0 && begins_entry(key, last);
		snprintf(last, S3_KEY_MAX + 1, "%s", key);
		if (place > 0)
			*more = false;
		else if (place == 0)
			err = tree_add(t, page, i);
	}
	return err;
}

/* In a transaction; with the last page the directories that are open. */
static int keep_page(struct batch *b, struct tree *t, struct page *page,
		     char last[S3_KEY_MAX + 1], bool pages, bool *more)
{
	int err = tree_begin(t);

	if (err)
		return err;
	err = keep_items(b, t, page, last, more);
	*more &= pages;
	if (!err && !*more)
		err = tree_end(t);
	return tree_commit(t, err);
}

static bool is_wanted(struct walk *w)
{
	LOCK_SCOPE(&w->ns->lock);
	return !w->ns->stopped &&
	       (w->waiting || clock_ms() - w->active_ms < PATIENCE_MS);
}

/* A page has come, and is to be seen.  -EFBIG: there is no end of it. */
static int count_page(struct batch *b, const struct page *page)
{
	struct namespace *ns = b->walk->ns;
	const bool deep = b->entries < page->n / 4;

	b->keys += page->n;
	b->deep_keys += deep ? page->n : 0;
	LOCK_SCOPE(&ns->lock);
	b->pages++;
	b->deep += deep;
	pthread_cond_broadcast(&ns->wake);
	return b->keys > BATCH_MAX || b->deep_keys > BATCH_DEEP_MAX ? -EFBIG
								    : 0;
}

static int read_batch(struct batch *b, struct s3_pager *p, struct page *page,
		      struct tree *t)
{
	char last[S3_KEY_MAX + 1] = "";
	bool more = true, pages = true;
	int err = 0;

	while (!err && more) {
		page_clear(page);
		err = is_wanted(b->walk) ? s3_pager_next(p, &pages, NULL)
					 : -ECANCELED;
		if (err)
			return err;
		err = keep_page(b, t, page, last, pages, &more);
		if (!err && more)
			err = count_page(b, page);
	}
	return err;
}

static int list_batch(struct batch *b, const struct dir *parent, uint64_t *keys)
{
	struct namespace *ns = b->walk->ns;
	char bucket[S3_BUCKET_MAX + 1], prefix[S3_KEY_MAX + 2];
	char alone[S3_KEY_MAX + REC_NAME_MAX + 4];
	struct page page;
	const bool one = b->n == 1;
	const struct s3_list l = {.bucket = bucket,
				  .prefix = one ? alone : prefix,
				  .start_after = one ? NULL : alone,
				  .entry = page_take,
				  .ctx = &page};
	struct s3_pager *p = NULL;
	struct tree *t = NULL;
	int err = namespace_key_prefix(ns, parent->path, bucket, prefix);

	if (err)
		return err;
	snprintf(alone, sizeof(alone), "%s%s/", prefix, b->first);
	page_init(&page, prefix, false);
	err = strlen(alone) > S3_KEY_MAX
		      ? -ENAMETOOLONG
		      : tree_new(ns, parent, false, namespace_now(), 0, &t);
	if (!err)
		err = s3_pager_new(ns->s3, &l, &p);
	if (!err)
		err = read_batch(b, p, &page, t);
	*keys = err ? 0 : tree_entries(t);
	s3_pager_free(p);
	tree_free(t);
	page_free(&page);
	return err;
}

static void free_walk(struct walk *w)
{
	struct namespace *ns = w->ns;

	HASH_DELETE(hh, ns->walks, w);
	dirs_snap_put(ns->dirs, w->snap);
	free(w);
}

static void run_batch(void *arg)
{
	struct batch *b = arg, **at;
	struct walk *w = b->walk;
	struct namespace *ns = w->ns;
	struct dir *parent = dirs_get(ns->dirs, w->parent);
	uint64_t keys = 0;
	int err = 0;

	if (parent) {
		err = list_batch(b, parent, &keys);

		if (err)
			log_debug("namespace: listing ahead under \"%s\": %s",
				  parent->path, strerror(-err));
		dirs_put(ns->dirs, parent);
	}
	LOCK_SCOPE(&ns->lock);
	for (at = &w->batches; *at != b; at = &(*at)->next)
		;
	*at = b->next;
	w->nbatches--;
	w->unsorted |= err == -ERANGE;
	if (err == -EFBIG)
		w->held = HOLD;
	w->keys += keys;
	w->children += keys ? b->n : 0;
	free(b);
	pthread_cond_broadcast(&ns->wake);
}

/* ---- listing ahead; under ns->lock ---- */

/* Children of about so many keys together. */
static unsigned int batch_size(const struct walk *w)
{
	const uint64_t each = w->children ? w->keys / w->children + 1
					  : PAGE_KEYS;

	if (each >= PAGE_KEYS)
		return 1;
	return BATCH_KEYS / each < BATCH_CHILDREN
		       ? (unsigned int)(BATCH_KEYS / each)
		       : BATCH_CHILDREN;
}

static bool is_known(struct walk *w, uint64_t id)
{
	struct dir *dir = dirs_get(w->ns->dirs, id);
	struct snap *s = dir ? namespace_fresh_snap(w->ns, dir, NULL) : NULL;

	if (dir)
		dirs_put(w->ns->dirs, dir);
	if (!s)
		return false;
	dirs_snap_put(w->ns->dirs, s);
	return true;
}

/* The next children into a batch; false when none is left. */
static bool fill_batch(struct walk *w, struct batch *b)
{
	const unsigned int room = w->window - w->ahead;
	const unsigned int size = batch_size(w);
	const unsigned int want = size < room ? size : room;
	struct seek s;

	while (b->n < want && seek(w, w->claimed, 0, &s)) {
		/* What lies between two children would come along. */
		if (b->n && s.seen > PAGE_KEYS / 2)
			break;
		w->claimed = s.next;
		w->ahead++;
		if (is_known(w, s.rec.dir)) {
			if (b->n)
				break;
			continue;
		}
		memcpy(b->last, s.rec.name, sizeof(b->last));
		if (!b->n)
			memcpy(b->first, s.rec.name, sizeof(b->first));
		b->ids[b->n++] = s.rec.dir;
	}
	return b->n > 0;
}

static void list_ahead(struct walk *w)
{
	/* Of a server with another order; and many at a time or none: one by
	 * one each would be a request. */
	if (w->ns->unsorted || w->unsorted ||
	    (w->ahead > w->window / 2 && w->window - w->ahead < batch_size(w)))
		return;
	while (w->nbatches < BATCHES && w->ahead < w->window) {
		struct batch *b = calloc(1, sizeof(*b));

		if (!b)
			return;
		b->walk = w;
		if (!fill_batch(w, b) ||
		    workq_post(w->ns->lists, run_batch, b)) {
			free(b);
			return;
		}
		b->next = w->batches;
		w->batches = b;
		w->nbatches++;
	}
}

/* ---- who arrives ---- */

static struct walk *find_walk(struct namespace *ns, uint64_t parent)
{
	struct walk *w;

	HASH_FIND(hh, ns->walks, &parent, sizeof(parent), w);
	return w;
}

static void drop_oldest(struct namespace *ns)
{
	struct walk *w, *next;

	HASH_ITER(hh, ns->walks, w, next)
	if (!w->nbatches && !w->waiting) {
		free_walk(w);
		return;
	}
}

/* Takes over the reference to the parent's listing. */
static struct walk *new_walk(struct namespace *ns, uint64_t parent,
			     struct snap *snap)
{
	struct walk *w = calloc(1, sizeof(*w));

	if (!w) {
		dirs_snap_put(ns->dirs, snap);
		return NULL;
	}
	w->ns = ns;
	w->parent = parent;
	w->snap = snap;
	HASH_ADD(hh, ns->walks, parent, sizeof(parent), w);
	return w;
}

/* The walk over the children of a directory whose listing is known; a new one
 * if need be, for which the oldest goes. */
static struct walk *walk_of(struct namespace *ns, uint64_t parent)
{
	struct dir *dir = dirs_get(ns->dirs, parent);
	struct walk *w = find_walk(ns, parent);
	struct snap *now = dir ? namespace_fresh_snap(ns, dir, NULL) : NULL;

	if (dir)
		dirs_put(ns->dirs, dir);
	if (!now)
		return w;
	if (w && w->snap != now && !w->nbatches && !w->waiting) {
		free_walk(w);
		w = NULL;
	}
	if (w) {
		dirs_snap_put(ns->dirs, now);
		return w;
	}
	if (HASH_COUNT(ns->walks) >= WALKS)
		drop_oldest(ns);
	return new_walk(ns, parent, now);
}

static const struct batch *coming(const struct walk *w, uint64_t id)
{
	for (const struct batch *b = w->batches; b; b = b->next)
		for (unsigned int i = 0; i < b->n; i++)
			if (b->ids[i] == id)
				return b;
	return NULL;
}

/* Its listing out of a batch, unless that takes longer than another. */
static struct snap *await_batch(struct namespace *ns, const struct walk *w,
				struct dir *dir)
{
	const struct batch *b = coming(w, dir->id);
	const unsigned int pages = b ? b->pages + WAIT_PAGES : 0;
	const unsigned int deep = b ? b->deep + WAIT_DEEP : 0;
	struct snap *s = NULL;

	while (!s && b && b->pages < pages && b->deep < deep && !ns->stopped) {
		pthread_cond_wait(&ns->wake, &ns->lock);
		s = namespace_fresh_snap(ns, dir, NULL);
		b = coming(w, dir->id);
	}
	return s;
}

/* How many entries the child had that was read last: the first guess. */
static void guess_size(struct walk *w)
{
	struct dir *dir = dirs_get(w->ns->dirs, w->last);
	struct snap *s = dir ? dirs_snap(w->ns->dirs, dir) : NULL;

	if (dir)
		dirs_put(w->ns->dirs, dir);
	if (!s)
		return;
	w->keys = s->entries;
	w->children = 1;
	dirs_snap_put(w->ns->dirs, s);
}

static void go_ahead(struct walk *w)
{
	if (w->ahead > 0)
		w->ahead--;
	else
		w->claimed = w->read;
	if (w->held > 0) {
		w->held--;
		w->window = 0;
		return;
	}
	w->window = w->window ? 2 * w->window : 4;
	if (w->window > WINDOW_MAX)
		w->window = WINDOW_MAX;
	if (!w->children)
		guess_size(w);
	list_ahead(w);
}

/* Is it the directory behind the last one that was read? */
static void follow(struct walk *w, uint64_t id)
{
	struct seek s;

	w->active_ms = clock_ms();
	if (w->read && seek(w, w->read, 0, &s) && s.rec.dir == id) {
		w->read = s.next;
		go_ahead(w);
	} else if (seek(w, 0, id, &s) && s.next != w->read) {
		w->read = w->claimed = s.next;
		w->ahead = 0;
		w->window = 0;
	}
	w->last = id;
}

void walk_pass(struct namespace *ns, const struct dir *dir)
{
	struct walk *w;

	LOCK_SCOPE(&ns->lock);
	w = ns->walks ? find_walk(ns, dir->parent) : NULL;
	if (w && w->last != dir->id && !ns->stopped)
		follow(w, dir->id);
}

struct snap *walk_arrive(struct namespace *ns, struct dir *dir)
{
	struct snap *mine = NULL;
	struct walk *w;
	uint64_t id = dir->id;

	if (id == STORE_ROOT)
		return NULL;
	LOCK_SCOPE(&ns->lock);
	if (ns->stopped || (!ns->bucket[0] && dir->parent == STORE_ROOT))
		return NULL;
	w = walk_of(ns, dir->parent);
	if (!w)
		return NULL;
	mine = namespace_fresh_snap(ns, dir, NULL);
	follow(w, id);
	w->waiting++;
	if (!mine)
		mine = await_batch(ns, w, dir);
	w->waiting--;
	w->active_ms = clock_ms();
	return mine;
}

void walk_stop(struct namespace *ns)
{
	LOCK_SCOPE(&ns->lock);
	ns->stopped = true;
	pthread_cond_broadcast(&ns->wake);
}

void walk_free(struct namespace *ns)
{
	while (ns->walks)
		free_walk(ns->walks);
}
