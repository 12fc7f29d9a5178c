/* SPDX-License-Identifier: Apache-2.0 */
/* Lock: lock, the outermost of all; nothing is called under it. */
#include "fuse_ops/inode.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uthash.h>

#include "base/cleanup.h"
#include "base/list.h"
#include "base/siphash.h"

#define MAX_IDLE 32768        /* files remembered that are not open */
#define FILE_BIT (1ULL << 62) /* directories' numbers are below */

struct inode {
	UT_hash_handle hh;
	struct list idle; /* on t->idle while pins is 0 */
	uint64_t ino;     /* as it was given out */
	uint64_t dir, size;
	time_t mtime;
	unsigned int pins;
	char storage_class[40];
	const char *etag; /* into name, behind it */
	char name[];
};

struct inode_table {
	unsigned char key[16]; /* constant */
	pthread_mutex_t lock;

	/* Under lock. */
	struct inode *by_ino; /* uthash */
	struct list idle;     /* the one used longest ago first */
	unsigned int nidle;
};

int inode_table_new(const unsigned char *key, struct inode_table **out)
{
	struct inode_table *t = calloc(1, sizeof(*t));

	if (!t)
		return -ENOMEM;
	memcpy(t->key, key, sizeof(t->key));
	pthread_mutex_init(&t->lock, NULL);
	list_init(&t->idle);
	*out = t;
	return 0;
}

static void remove_inode(struct inode_table *t, struct inode *i)
{
	HASH_DELETE(hh, t->by_ino, i);
	free(i);
}

void inode_table_free(struct inode_table *t)
{
	struct inode *i, *next;

	if (!t)
		return;
	HASH_ITER(hh, t->by_ino, i, next)
	remove_inode(t, i);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

uint64_t inode_number(const struct inode_table *t, uint64_t dir,
		      const char *name, const struct ns_attr *attr)
{
	struct siphash h;

	if (attr->is_dir)
		return attr->dir;
	siphash_init(&h, t->key);
	siphash_update(&h, &dir, sizeof(dir));
	siphash_update(&h, &attr->size, sizeof(attr->size));
	siphash_update(&h, name, strlen(name) + 1);
	siphash_update(&h, attr->etag, strlen(attr->etag));
	return FILE_BIT | (siphash_final(&h) & (FILE_BIT - 1));
}

static bool is_same(const struct inode *i, uint64_t dir, const char *name,
		    const struct ns_attr *attr)
{
	return i->dir == dir && i->size == attr->size &&
	       !strcmp(i->name, name) && !strcmp(i->etag, attr->etag);
}

static struct inode *make(uint64_t ino, uint64_t dir, const char *name,
			  const struct ns_attr *attr)
{
	const size_t nn = strlen(name) + 1, ne = strlen(attr->etag) + 1;
	struct inode *i = malloc(sizeof(*i) + nn + ne);

	if (!i)
		return NULL;
	i->ino = ino;
	i->dir = dir;
	i->size = attr->size;
	i->mtime = attr->mtime;
	memcpy(i->storage_class, attr->storage_class, sizeof(i->storage_class));
	i->pins = 0;
	list_init(&i->idle);
	memcpy(i->name, name, nn);
	i->etag = memcpy(i->name + nn, attr->etag, ne);
	return i;
}

static struct inode *find(struct inode_table *t, uint64_t ino)
{
	struct inode *i;

	HASH_FIND(hh, t->by_ino, &ino, sizeof(ino), i);
	return i;
}

/* To the end of those that are not open; the first go when they are many. */
static void make_idle(struct inode_table *t, struct inode *i)
{
	list_add_tail(&t->idle, &i->idle);
	if (++t->nidle <= MAX_IDLE)
		return;
	i = list_first(&t->idle, struct inode, idle);
	list_del(&i->idle);
	t->nidle--;
	remove_inode(t, i);
}

static void take_off(struct inode_table *t, struct inode *i)
{
	if (i->pins)
		return;
	list_del(&i->idle);
	t->nidle--;
}

/* Under lock: the inode, off the list of those that are not open. */
static struct inode *note(struct inode_table *t, uint64_t dir, const char *name,
			  const struct ns_attr *attr)
{
	uint64_t ino = inode_number(t, dir, name, attr);
	struct inode *i;

	/* Two of one hash: the later takes the next free number. */
	while ((i = find(t, ino)) && !is_same(i, dir, name, attr))
		ino++;
	if (i) {
		/* The same bytes may have been put again. */
		i->mtime = attr->mtime;
		memcpy(i->storage_class, attr->storage_class,
		       sizeof(i->storage_class));
		take_off(t, i);
		return i;
	}
	i = make(ino, dir, name, attr);
	if (i)
		HASH_ADD(hh, t->by_ino, ino, sizeof(i->ino), i);
	return i;
}

uint64_t inode_note(struct inode_table *t, uint64_t dir, const char *name,
		    const struct ns_attr *attr)
{
	struct inode *i;
	uint64_t ino;

	if (attr->is_dir)
		return attr->dir;
	LOCK_SCOPE(&t->lock);
	i = note(t, dir, name, attr);
	if (!i)
		return 0;
	ino = i->ino;
	if (!i->pins)
		make_idle(t, i);
	return ino;
}

int inode_get(struct inode_table *t, uint64_t ino, struct inode_info *out)
{
	struct inode *i;

	out->ino = ino;
	out->name[0] = '\0';
	out->dir = 0;
	if (!(ino & FILE_BIT)) {
		out->attr = (struct ns_attr){.is_dir = true, .dir = ino};
		return 0;
	}
	LOCK_SCOPE(&t->lock);
	i = find(t, ino);
	if (!i)
		return -ESTALE;
	out->dir = i->dir;
	out->attr.is_dir = false;
	out->attr.dir = 0;
	out->attr.size = i->size;
	out->attr.mtime = i->mtime;
	strcpy(out->attr.etag, i->etag);
	strcpy(out->attr.storage_class, i->storage_class);
	strcpy(out->name, i->name);
	return 0;
}

int inode_pin(struct inode_table *t, const struct inode_info *info)
{
	struct inode *i;

	LOCK_SCOPE(&t->lock);
	i = find(t, info->ino);
	if (i && !is_same(i, info->dir, info->name, &info->attr))
		return -ESTALE;
	if (i) {
		take_off(t, i);
	} else {
		i = make(info->ino, info->dir, info->name, &info->attr);
		if (!i)
			return -ENOMEM;
		HASH_ADD(hh, t->by_ino, ino, sizeof(i->ino), i);
	}
	i->pins++;
	return 0;
}

void inode_unpin(struct inode_table *t, uint64_t ino)
{
	struct inode *i;

	LOCK_SCOPE(&t->lock);
	i = find(t, ino);
	if (i && --i->pins == 0)
		make_idle(t, i);
}

uint64_t inode_count(struct inode_table *t)
{
	LOCK_SCOPE(&t->lock);
	return HASH_COUNT(t->by_ino);
}
