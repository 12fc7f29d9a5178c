/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse_ops/ahead.h"

#include <string.h>

#include "base/cleanup.h"

#define PROBE 16   /* names to know of a directory before it is sure */
#define SURE 3     /* of them opened: somebody goes through it */
#define BACK 32    /* readers that share out are not in step */
#define PATIENCE 8 /* opens elsewhere between two probes */

void ahead_init(struct ahead *a, unsigned int files)
{
	*a = (struct ahead){.files = files < AHEAD_NAMES / 2 ? files
							     : AHEAD_NAMES / 2};
	pthread_mutex_init(&a->lock, NULL);
}

void ahead_free(struct ahead *a)
{
	pthread_mutex_destroy(&a->lock);
}

/* FNV-1a: a wrong hit costs a fetch. */
static uint32_t hash_of(const char *name)
{
	uint32_t h = 0x811c9dc5;

	while (*name)
		h = (h ^ (unsigned char)*name++) * 0x01000193;
	return h;
}

static struct ahead_dir *find(struct ahead *a, uint64_t dir)
{
	for (int i = 0; i < AHEAD_DIRS; i++)
		if (a->dirs[i].dir == dir)
			return &a->dirs[i];
	return NULL;
}

/* In place of the one that was used longest ago. */
static struct ahead_dir *take(struct ahead *a, uint64_t dir)
{
	struct ahead_dir *d = NULL;

	for (int i = 0; i < AHEAD_DIRS; i++)
		if (!a->dirs[i].busy && (!d || a->dirs[i].used < d->used))
			d = &a->dirs[i];
	if (d) {
		memset(d, 0, sizeof(*d));
		d->dir = dir;
	}
	return d;
}

/* Is it one that was expected?  Those before it have been passed. */
static bool is_expected(struct ahead_dir *d, const char *name)
{
	const uint32_t h = hash_of(name);
	uint64_t i = d->opened > BACK ? d->opened - BACK : 0;

	if (d->known > AHEAD_NAMES && i < d->known - AHEAD_NAMES)
		i = d->known - AHEAD_NAMES;
	for (; i < d->known; i++)
		if (d->names[i % AHEAD_NAMES] == h) {
			d->opened = i + 1 > d->opened ? i + 1 : d->opened;
			return true;
		}
	return false;
}

/* Begins anew behind that name. */
static void restart(struct ahead_dir *d, const char *name)
{
	d->opened = d->known = 0;
	d->ended = d->last_is_dir = false;
	strncpy(d->last, name, AHEAD_NAME_MAX);
	d->last[AHEAD_NAME_MAX] = '\0';
}

static bool set_task(struct ahead_dir *d, unsigned int count, bool fetch,
		     struct ahead_task *task)
{
	d->busy = true;
	task->dir = d->dir;
	memcpy(task->after, d->last, sizeof(task->after));
	task->after_dir = d->last_is_dir;
	task->count = count;
	task->fetch = fetch;
	return true;
}

bool ahead_open(struct ahead *a, uint64_t dir, const char *name,
		struct ahead_task *task)
{
	struct ahead_dir *d;

	if (!a->files)
		return false;
	LOCK_SCOPE(&a->lock);
	d = find(a, dir);
	if (!d)
		d = take(a, dir);
	if (!d || d->busy)
		return false;
	d->used = ++a->uses;
	if (!is_expected(d, name)) {
		d->hits = 0;
		if (d->known && ++d->misses % PATIENCE)
			return false;
		restart(d, name);
		return set_task(d, PROBE, false, task);
	}
	d->misses = 0;
	if (++d->hits == SURE) /* what was a probe is to be fetched now */
		restart(d, name);
	if (d->hits < SURE || d->ended || d->known - d->opened > a->files / 2)
		return false;
	return set_task(d, a->files - (unsigned int)(d->known - d->opened),
			true, task);
}

void ahead_add(struct ahead *a, uint64_t dir, const char *name, bool is_dir)
{
	struct ahead_dir *d;

	LOCK_SCOPE(&a->lock);
	d = find(a, dir);
	if (!d || strlen(name) > AHEAD_NAME_MAX)
		return;
	d->names[d->known++ % AHEAD_NAMES] = hash_of(name);
	strncpy(d->last, name, AHEAD_NAME_MAX);
	d->last_is_dir = is_dir;
}

void ahead_done(struct ahead *a, uint64_t dir, bool ended)
{
	struct ahead_dir *d;

	LOCK_SCOPE(&a->lock);
	d = find(a, dir);
	if (!d)
		return;
	d->busy = false;
	d->ended = ended;
}
