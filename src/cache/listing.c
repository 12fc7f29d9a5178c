/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listing one directory.  It begins as one stream of pages; while a page says
 * that there is more, the stream cuts what it has left into ranges, each a
 * stream and a segment of its own.  A stream ends with the last name before
 * the next one's first.
 *
 * Readers get the names in order, so those are listed first that come next: a
 * stream gives way, between two pages, to one that waits in front of it, and
 * the ones in front cut themselves so that there is such a one.
 *
 *   WAITING  nobody runs it; with a pager it has begun, and is parked
 *   RUNNING  one thread's, which is counted in ns->streams
 *   ENDED    its segment is done, or the listing has failed
 *
 * Locks: listing->lock, then dirs->lock; neither is held across I/O.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "cache/listing_int.h"

#define PARKED 8       /* each has a page in memory */
#define IDLE_PAGES 200 /* without a name of ours: they would go on for ever */
#define HIDDEN_MAX 4096
#define ALONE_MS 10000 /* nobody reads it: it is given up */

/* A name that is to be told to be another. */
struct hidden_name {
	struct hidden_name *next;
	char name[];
};

static void run_streams(void *arg);

static void free_listing(struct listing *li)
{
	while (li->streams) {
		struct stream *s = li->streams;

		li->streams = s->next;
		free(s);
	}
	dirs_snap_put(li->ns->dirs, li->snap);
	dirs_put(li->ns->dirs, li->dir);
	pthread_mutex_destroy(&li->lock);
	free(li);
}

/* ---- turns ---- */

/* Under the lock: the first one that waits is the caller's; NULL. */
static struct stream *take_waiting(struct listing *li)
{
	struct stream *s = li->streams;

	while (s && s->state != STREAM_WAITING)
		s = s->next;
	if (!s)
		return NULL;
	s->state = STREAM_RUNNING;
	li->running++;
	li->waiting--;
	li->parked -= s->pager != NULL;
	return s;
}

/* Under the lock. */
static void put_waiting(struct stream *s)
{
	struct listing *li = s->li;

	s->state = STREAM_WAITING;
	li->running--;
	li->waiting++;
	li->parked += s->pager != NULL;
}

/* As many threads as may be. */
static void start_waiting(struct listing *li)
{
	struct namespace *ns = li->ns;

	for (;;) {
		struct stream *s = NULL;

		{
			LOCK_SCOPE(&li->lock);
			if (li->running < STREAMS &&
			    atomic_load(&ns->streams) < STREAMS_ALL)
				s = take_waiting(li);
		}
		if (!s)
			return;
		atomic_fetch_add(&ns->streams, 1);
		if (workq_post(ns->lists, run_streams, s)) {
			atomic_fetch_sub(&ns->streams, 1);
			LOCK_SCOPE(&li->lock);
			put_waiting(s); /* the caller's thread comes to it */
			return;
		}
	}
}

/* Another stream that is to go on in the place of s; NULL: s itself. */
static struct stream *give_way(struct stream *s)
{
	struct listing *li = s->li;
	const struct stream *t = li->streams;

	LOCK_SCOPE(&li->lock);
	while (t != s && t->state != STREAM_WAITING)
		t = t->next;
	if (t == s || li->parked + (t->pager == NULL) > PARKED)
		return NULL;
	/* From here on it may be another thread's. */
	page_free(&s->page);
	put_waiting(s);
	return take_waiting(li);
}

/* ---- the end ---- */

/* A directory has been found to hide a file that may have been given to the
 * kernel as one. */
static void note_hidden(struct listing *li, const char *name)
{
	struct hidden_name *h = malloc(sizeof(*h) + strlen(name) + 1);

	if (!h)
		return;
	strcpy(h->name, name);
	LOCK_SCOPE(&li->lock);
	if (++li->nhidden > HIDDEN_MAX) {
		free(h);
		return;
	}
	h->next = li->hidden_names;
	li->hidden_names = h;
}

/* Does the listing have both a file and a directory of that name? */
static bool has_both(struct dirs *d, struct snap *s, const char *name)
{
	struct rec file, dir;

	s->flags = 0;
	if (dirs_find(d, s, name, &file) <= 0 || file.is_dir)
		return false;
	s->flags = STORE_HIDES;
	return dirs_find(d, s, name, &dir) > 0 && dir.is_dir;
}

/* A file may stand in one segment, and the directory that hides it in the
 * next: then the first name there begins with theirs. */
static bool hides_over_cuts(struct listing *li, const struct store_dir *sd)
{
	struct snap *whole = dirs_snap_of(sd);
	bool yes = false;

	for (const struct stream *s = li->streams; whole && s; s = s->next)
		for (size_t n = 1; s->after[0] && s->first[n - 1]; n++) {
			char name[REC_NAME_MAX + 1];

			if ((unsigned char)s->first[n] > '/')
				continue;
			memcpy(name, s->first, n);
			name[n] = '\0';
			if (!has_both(li->ns->dirs, whole, name))
				continue;
			note_hidden(li, name);
			yes = true;
		}
	dirs_snap_put(li->ns->dirs, whole);
	return yes;
}

/* One of a clock that is ahead would stay for ever, and never be believed. */
static bool gives_way(const struct store_dir *d, const struct store_dir *to)
{
	return to->since_ms &&
	       (to->flags & STORE_FROZEN || (to->since_ms > d->since_ms &&
					     to->since_ms <= namespace_now()));
}

int listing_keep(struct namespace *ns, struct store_dir *d, bool asked_for,
		 bool *kept)
{
	struct store_dir now;
	int err = 0;

	*kept = asked_for || store_dir_get(ns->store, d->id, &now) ||
		!gives_way(d, &now);
	if (*kept) {
		err = store_dir_put(ns->store, d);
		return err ?: store_names_drop(ns->store, d->id, d->since_ms);
	}
	for (unsigned int i = 0; i < d->nsegs && !err; i++)
		err = store_snap_drop(ns->store, d->segs[i].snap);
	*d = now;
	return err;
}

/* Everything is in the store but the directory itself. */
static int complete(struct listing *li)
{
	struct namespace *ns = li->ns;
	struct store_dir sd;
	bool kept;
	int err;

	dirs_snap_pack(ns->dirs, li->dir, li->snap, &sd);
	if (sd.nsegs > 1 && hides_over_cuts(li, &sd))
		sd.flags |= STORE_HIDES;
	err = store_begin(ns->store);
	if (err)
		return err;
	err = listing_keep(ns, &sd, false, &kept);
	if (err) {
		store_abort(ns->store);
		return err;
	}
	err = store_commit(ns->store);
	if (!err)
		dirs_snap_set(ns->dirs, li->dir, &sd);
	return err;
}

/* Of a listing that is one page: in the transaction of its entries.  Nobody
 * has seen any of them yet. */
static int complete_page(struct stream *s, struct store_dir *sd)
{
	const struct listing *li = s->li;
	bool kept;

	dirs_snap_pack(li->ns->dirs, li->dir, li->snap, sd);
	sd->entries = s->b.entries;
	sd->flags = s->b.flags;
	sd->nsegs = s->b.leaves > 0;
	sd->segs[0] = (struct store_seg){s->b.snap, s->b.leaves};
	return listing_keep(li->ns, sd, false, &kept);
}

/* Else they would stand in the store for a day, and others go for them.  Only
 * what was committed: another number may be somebody else's by now. */
static void drop_segments(struct listing *li)
{
	struct namespace *ns = li->ns;
	uint64_t snaps[STORE_SEGS];
	const unsigned int n = dirs_snap_begun(ns->dirs, li->snap, snaps);
	int err = 0;

	if (!n || store_begin(ns->store))
		return;
	for (unsigned int i = 0; i < n && !err; i++)
		err = store_snap_drop(ns->store, snaps[i]);
	if (err)
		store_abort(ns->store);
	else
		store_commit(ns->store);
}

static void tell_hidden(struct listing *li)
{
	while (li->hidden_names) {
		struct hidden_name *h = li->hidden_names;

		li->hidden_names = h->next;
		namespace_changed(li->ns, li->dir->id, h->name);
		free(h);
	}
}

/* The last stream has ended. */
static void end_listing(struct listing *li)
{
	int err = dirs_snap_err(li->ns->dirs, li->snap);

	if (!err && !li->is_complete)
		err = complete(li);
	if (err) {
		dirs_listing_set(li->ns->dirs, li->dir, li->snap, NULL);
		dirs_snap_fail(li->ns->dirs, li->snap, err);
		drop_segments(li);
	}
	if (li->hidden)
		log_info("namespace: %zu keys under \"%s\" have no path and "
			 "are not shown",
			 li->hidden, li->dir->path);
	dirs_listing_set(li->ns->dirs, li->dir, li->snap, NULL);
	tell_hidden(li);
	free_listing(li);
}

/* Returns the stream that its thread goes on with, or NULL. */
static struct stream *end_stream(struct stream *s, int err)
{
	struct listing *li = s->li;
	struct stream *next;
	bool last;

	s3_pager_free(s->pager);
	s->pager = NULL;
	if (err) {
		/* Who comes from now on begins anew. */
		dirs_listing_set(li->ns->dirs, li->dir, li->snap, NULL);
		dirs_snap_fail(li->ns->dirs, li->snap, err);
	} else if (!li->is_complete) { /* what is whole changes no more */
		dirs_seg_end(li->ns->dirs, li->snap, s->seg, s->b.entries,
			     s->b.flags);
	}
	{
		LOCK_SCOPE(&li->lock);
		s->state = STREAM_ENDED;
		li->running--;
		next = take_waiting(li);
		last = li->running == 0;
	}
	if (last)
		end_listing(li);
	return next;
}

/* ---- a stream ---- */

static int add_item(struct stream *s, size_t at)
{
	const struct page_item *i = &s->page.items[at];
	const char *name = page_key(&s->page, at);
	struct rec r;
	int err;

	/* A server that does not know start-after sends all of it: the other
	 * streams' is not ours. */
	if (s->after[0] && rec_compare(name, i->len, i->is_prefix, s->after,
				       strlen(s->after), false) <= 0) {
		s->idle = 0;
		return 0;
	}
	if (s->end[0] && rec_compare(name, i->len, i->is_prefix, s->end,
				     strlen(s->end), false) > 0) {
		s->done = true;
		return 0;
	}
	if (!page_is_name(name, i->len)) {
		LOCK_SCOPE(&s->li->lock);
		s->li->hidden++;
		return 0;
	}
	page_rec(&s->page, at, name, i->len, i->is_prefix, &r);
	if (!s->first[0])
		memcpy(s->first, r.name, sizeof(s->first));
	err = build_add(&s->b, &r);
	if (!err && r.hides && s->pages)
		note_hidden(s->li, r.name);
	return err == 1 ? 0 : err;
}

/* The page's entries to the store; the end's or the first ones at once. */
static int keep_page(struct stream *s, bool more)
{
	struct namespace *ns = s->li->ns;
	const uint64_t before = s->b.entries;
	struct store_dir sd;
	bool alone;
	int err;

	page_sort(&s->page);
	err = store_begin(ns->store);
	if (err)
		return err;
	for (size_t i = 0; i < s->page.n && !err && !s->done; i++)
		err = add_item(s, i);
	s->done |= !more;
	s->idle = s->b.entries > before ? 0 : s->idle + 1;
	if (s->idle > IDLE_PAGES)
		err = -EBADMSG;
	if (!err && (s->done || s->pages == 0))
		err = build_flush(&s->b);
	alone = s->done && s->pages == 0 && s->seg == 0;
	if (!err && alone)
		err = complete_page(s, &sd);
	if (err) {
		store_abort(ns->store);
		return err;
	}
	err = store_commit(ns->store);
	if (!err && alone) {
		dirs_snap_set(ns->dirs, s->li->dir, &sd);
		/* Before anybody sees the end: who comes then comes later. */
		dirs_listing_set(ns->dirs, s->li->dir, s->li->snap, NULL);
		dirs_snap_whole(ns->dirs, s->li->snap, &sd);
		s->li->is_complete = true;
	} else if (!err) {
		dirs_seg_grow(ns->dirs, s->li->snap, s->seg, s->b.snap,
			      s->b.leaves);
	}
	s->pages++;
	LOCK_SCOPE(&s->li->lock);
	s->li->pages++;
	return err;
}

/* A server that has another order: all of it is sorted here, as far as a
 * page's memory goes. */
static int list_unsorted(struct stream *s)
{
	struct s3_list l = {.bucket = *s->li->bucket ? s->li->bucket : NULL,
			    .prefix = s->li->prefix,
			    .delimiter = "/",
			    .entry = page_take,
			    .ctx = &s->page};
	int err;

	err = s3_list(s->li->ns->s3, &l, NULL);
	if (err == -ENOMEM)
		log_error("namespace: %s lists \"%s\" in no order, and it is "
			  "too large to be sorted",
			  s->li->bucket, s->li->dir->path);
	if (err)
		return err;
	return keep_page(s, false);
}

/* Has everybody gone who wanted to read it? */
static bool is_left_alone(struct stream *s)
{
	const struct listing *li = s->li;

	if (dirs_snap_readers(li->ns->dirs, li->snap) > 0)
		s->read_ms = clock_ms();
	return clock_ms() - s->read_ms > ALONE_MS;
}

static int begin_pages(struct stream *s)
{
	const struct listing *li = s->li;
	char after[S3_KEY_MAX + RANGES_NAME];
	const struct s3_list l = {.bucket = *li->bucket ? li->bucket : NULL,
				  .prefix = li->prefix,
				  .delimiter = "/",
				  .start_after = after,
				  .entry = page_take,
				  .ctx = &s->page};

	snprintf(after, sizeof(after), "%s%s", s->after[0] ? li->prefix : "",
		 s->after);
	return s3_pager_new(li->ns->s3, &l, &s->pager);
}

static void set_end(const struct stream *s)
{
	char end[S3_KEY_MAX + RANGES_NAME];

	if (!s->end[0])
		return;
	snprintf(end, sizeof(end), "%s%s", s->li->prefix, s->end);
	s3_pager_set_end(s->pager, end);
}

/* Until the stream's end, or until it gave way to *other. */
static int read_pages(struct stream *s, struct stream **other)
{
	struct listing *li = s->li;
	bool more = true;
	int err = s->pager ? 0 : begin_pages(s);

	while (!err && !s->done) {
		page_clear(&s->page);
		set_end(s);
		err = s3_pager_next(s->pager, &more, NULL);
		if (!err)
			err = keep_page(s, more);
		if (!err && dirs_snap_err(li->ns->dirs, li->snap))
			err = -EIO; /* another stream has failed */
		if (!err && !s->done && is_left_alone(s))
			err = -ECANCELED;
		if (err || s->done || !*li->bucket)
			continue;
		stream_cut(s);
		start_waiting(li);
		*other = give_way(s);
		if (*other)
			return 0;
	}
	return err;
}

static struct stream *run_stream(struct stream *s)
{
	struct listing *li = s->li;
	struct stream *other = NULL;
	int err = dirs_snap_err(li->ns->dirs, li->snap);

	page_init(&s->page, li->prefix, !*li->bucket);
	if (!s->pager) {
		s->next_cut = CUT_PAGES;
		build_init(&s->b, li->ns->store, li->dir->id);
	}
	s->read_ms = clock_ms();
	if (!err)
		err = li->unsorted ? list_unsorted(s) : read_pages(s, &other);
	if (other)
		return other;
	page_free(&s->page);
	if (err == -ERANGE && !atomic_exchange(&li->dir->unsorted, true))
		log_info("namespace: the server lists \"%s\" in another order "
			 "than S3's; it is sorted here from now on",
			 li->dir->path);
	return end_stream(s, err);
}

static void run_streams(void *arg)
{
	struct stream *s = arg;
	struct namespace *ns = s->li->ns;

	while (s)
		s = run_stream(s);
	atomic_fetch_sub(&ns->streams, 1);
}

/* ---- beginning ---- */

static struct listing *new_listing(struct namespace *ns, struct dir *dir)
{
	struct listing *li = calloc(1, sizeof(*li));
	struct stream *s = calloc(1, sizeof(*s));

	if (li)
		li->snap = dirs_snap_new(namespace_now());
	if (!li || !s || !li->snap) {
		if (li)
			free(li->snap);
		free(li);
		free(s);
		return NULL;
	}
	li->ns = ns;
	li->unsorted = ns->unsorted || atomic_load(&dir->unsorted);
	li->dir = dirs_ref(ns->dirs, dir);
	pthread_mutex_init(&li->lock, NULL);
	s->li = li;
	s->state = STREAM_RUNNING;
	li->streams = s;
	li->nstreams = 1;
	li->running = 1;
	return li;
}

/* The listing's reference is there though it failed. */
static int join_listing(struct namespace *ns, struct dir *dir,
			struct snap **out)
{
	struct listing *li;
	int err;

	*out = dirs_listing(ns->dirs, dir);
	if (*out)
		return dirs_await(ns->dirs, *out);
	li = new_listing(ns, dir);
	if (!li)
		return -ENOMEM;
	err = namespace_key_prefix(ns, dir->path, li->bucket, li->prefix);
	if (err) {
		free_listing(li);
		return err;
	}
	if (!dirs_listing_set(ns->dirs, dir, NULL, li->snap)) {
		free_listing(li); /* somebody else was faster */
		return join_listing(ns, dir, out);
	}
	*out = dirs_listing_ref(ns->dirs, li->snap);
	atomic_fetch_add(&ns->streams, 1);
	err = workq_post(ns->lists, run_streams, li->streams);
	if (err) {
		atomic_fetch_sub(&ns->streams, 1);
		dirs_listing_set(ns->dirs, dir, li->snap, NULL);
		dirs_snap_fail(ns->dirs, li->snap, err);
		free_listing(li);
	}
	return dirs_await(ns->dirs, *out);
}

int listing_start(struct namespace *ns, struct dir *dir, struct snap **out)
{
	const int err = join_listing(ns, dir, out);

	if (err && *out) {
		dirs_snap_put(ns->dirs, *out);
		*out = NULL;
	}
	return err;
}
