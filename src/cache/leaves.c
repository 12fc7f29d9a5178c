/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lock: lock, innermost; it is not held while the store is read.
 *
 * All that there can be lie in one piece of memory, taken up as it is needed
 * and in huge pages where there are any: look-ups go all over it.
 *
 * A leaf is not moved when it is asked for, it is only marked: a look-up
 * touches what it is looked up in, and each cold cache line of it costs as
 * much as the comparing of ten names.
 */
#include "cache/leaves.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/cleanup.h"

#define MAX_LEAVES 6400 /* 4 KiB each */
#define MAX_SPARED 64   /* looked at under lock for one that goes */
#define BUCKETS_LOG2 13

struct leaves {
	struct store *store; /* borrowed */
	struct leaf *all;    /* MAX_LEAVES of them, mapped */
	pthread_mutex_t lock;

	/* Under lock. */
	struct leaf *buckets[1 << BUCKETS_LOG2];
	struct list turns;   /* the next to go first */
	unsigned int n;      /* in the table */
	unsigned int begun;  /* of all; what is behind was never touched */
	struct leaf *unused; /* of these, by next */
};

int leaves_new(struct store *store, struct leaves **out)
{
	struct leaves *ls = calloc(1, sizeof(*ls));

	if (!ls)
		return -ENOMEM;
	ls->all = mmap(NULL, MAX_LEAVES * sizeof(*ls->all),
		       PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (ls->all == MAP_FAILED) {
		free(ls);
		return -ENOMEM;
	}
	madvise(ls->all, MAX_LEAVES * sizeof(*ls->all), MADV_HUGEPAGE);
	ls->store = store;
	pthread_mutex_init(&ls->lock, NULL);
	list_init(&ls->turns);
	*out = ls;
	return 0;
}

void leaves_free(struct leaves *ls)
{
	if (!ls)
		return;
	munmap(ls->all, MAX_LEAVES * sizeof(*ls->all));
	pthread_mutex_destroy(&ls->lock);
	free(ls);
}

static struct leaf **bucket_of(struct leaves *ls, uint64_t id)
{
	return &ls->buckets[id * 0x9E3779B97F4A7C15ULL >> (64 - BUCKETS_LOG2)];
}

static struct leaf *take(struct leaves *ls, uint64_t id)
{
	struct leaf *l = *bucket_of(ls, id);

	while (l && l->id != id)
		l = l->next;
	if (l) {
		atomic_fetch_add_explicit(&l->refs, 1, memory_order_relaxed);
		l->used = true;
	}
	return l;
}

static void add(struct leaves *ls, struct leaf *l)
{
	struct leaf **b = bucket_of(ls, l->id);

	l->next = *b;
	*b = l;
	list_add_tail(&ls->turns, &l->turn);
	ls->n++;
}

static void remove_leaf(struct leaves *ls, struct leaf *l)
{
	struct leaf **at = bucket_of(ls, l->id);

	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	list_del(&l->turn);
	ls->n--;
}

/* The one whose turn it is and that was not asked for since the last. */
static struct leaf *evict(struct leaves *ls)
{
	struct list *e, *next;
	unsigned int spared = 0;

	list_for_each_safe(e, next, &ls->turns)
	{
		struct leaf *l = container_of(e, struct leaf, turn);

		if (atomic_load_explicit(&l->refs, memory_order_acquire))
			continue; /* being read */
		if (!l->used || spared++ == MAX_SPARED) {
			remove_leaf(ls, l);
			return l;
		}
		l->used = false;
		list_del(&l->turn);
		list_add_tail(&ls->turns, &l->turn);
	}
	return NULL;
}

/* Memory for one more; threads read a few each, so there is some. */
static struct leaf *claim(struct leaves *ls)
{
	struct leaf *l = ls->unused;

	if (l) {
		ls->unused = l->next;
		return l;
	}
	return ls->begun < MAX_LEAVES ? &ls->all[ls->begun++] : evict(ls);
}

static void give_back(struct leaves *ls, struct leaf *l)
{
	l->next = ls->unused;
	ls->unused = l;
}

/* Under lock: the leaf that was read into l, or the one that another thread
 * has read meanwhile; n < 0: it could not be. */
static struct leaf *publish(struct leaves *ls, struct leaf *l, uint64_t id,
			    int n)
{
	struct leaf *other = n < 0 ? NULL : take(ls, id);

	if (n < 0 || other) {
		give_back(ls, l);
		return other;
	}
	l->id = id;
	l->n = (size_t)n;
	l->used = false;
	atomic_init(&l->refs, 1);
	add(ls, l);
	return l;
}

struct leaf *leaves_get(struct leaves *ls, uint64_t snap, uint32_t at)
{
	const uint64_t id = store_leaf_id(snap, at);
	struct leaf *l;
	int n;

	{
		LOCK_SCOPE(&ls->lock);
		l = take(ls, id);
		if (l)
			return l;
		l = claim(ls);
	}
	if (!l)
		return NULL;
	n = store_leaf_get(ls->store, snap, at, l->data);
	LOCK_SCOPE(&ls->lock);
	return publish(ls, l, id, n);
}

void leaves_put(struct leaf *l)
{
	atomic_fetch_sub_explicit(&l->refs, 1, memory_order_release);
}

unsigned int leaves_count(struct leaves *ls)
{
	LOCK_SCOPE(&ls->lock);
	return ls->n;
}
