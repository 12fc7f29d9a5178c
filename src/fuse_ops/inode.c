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

#define ROOT_INO 1

struct inode {
	UT_hash_handle hh;
	uint64_t ino;
	uint64_t lookups;
	uint64_t size;
	time_t mtime;
	bool is_dir;
	const char *etag, *storage_class; /* into path, behind each other */
	char path[];
};

struct inode_table {
	pthread_mutex_t lock;
	struct inode *by_ino; /* under lock; uthash */
};

int inode_table_new(struct inode_table **out)
{
	struct inode_table *t = calloc(1, sizeof(*t));
	const struct meta_attr root = {.is_dir = true};

	if (!t)
		return -ENOMEM;
	pthread_mutex_init(&t->lock, NULL);
	inode_ref(t, "", &root);
	*out = t;
	return 0;
}

void inode_table_free(struct inode_table *t)
{
	struct inode *i, *next;

	if (!t)
		return;
	HASH_ITER(hh, t->by_ino, i, next)
	{
		HASH_DELETE(hh, t->by_ino, i);
		free(i);
	}
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* FNV-1a, 64 bit, the terminator included. */
static uint64_t hash(uint64_t h, const char *s)
{
	do
		h = (h ^ (unsigned char)*s) * 0x100000001b3ULL;
	while (*s++);
	return h;
}

uint64_t inode_number(const char *path, const struct meta_attr *attr)
{
	uint64_t h;

	if (!*path)
		return ROOT_INO;
	h = hash(0xcbf29ce484222325ULL, path);
	if (!attr->is_dir) {
		char size[24];

		snprintf(size, sizeof(size), "%llx",
			 (unsigned long long)attr->size);
		h = hash(hash(h, attr->etag), size);
	}
	return h > ROOT_INO ? h : h + 2;
}

static bool is_same(const struct inode *i, const char *path,
		    const struct meta_attr *attr)
{
	return i->is_dir == attr->is_dir && !strcmp(i->path, path) &&
	       (i->is_dir ||
		(i->size == attr->size && !strcmp(i->etag, attr->etag)));
}

static struct inode *make(uint64_t ino, const char *path,
			  const struct meta_attr *attr)
{
	const size_t np = strlen(path) + 1, ne = strlen(attr->etag) + 1;
	const size_t ns = strlen(attr->storage_class) + 1;
	struct inode *i = calloc(1, sizeof(*i) + np + ne + ns);

	if (!i)
		return NULL;
	i->ino = ino;
	i->size = attr->size;
	i->mtime = attr->mtime;
	i->is_dir = attr->is_dir;
	memcpy(i->path, path, np);
	i->etag = memcpy(i->path + np, attr->etag, ne);
	i->storage_class = memcpy(i->path + np + ne, attr->storage_class, ns);
	return i;
}

static struct inode *find(struct inode_table *t, uint64_t ino)
{
	struct inode *i;

	HASH_FIND(hh, t->by_ino, &ino, sizeof(ino), i);
	return i;
}

uint64_t inode_ref(struct inode_table *t, const char *path,
		   const struct meta_attr *attr)
{
	uint64_t ino = inode_number(path, attr);
	struct inode *i;

	LOCK_SCOPE(&t->lock);
	/* Two names of one hash: the later takes the next free number. */
	while ((i = find(t, ino)) && !is_same(i, path, attr))
		ino++;
	if (!i) {
		i = make(ino, path, attr);
		if (!i)
			return 0;
		HASH_ADD(hh, t->by_ino, ino, sizeof(i->ino), i);
	}
	i->lookups++;
	return ino;
}

void inode_forget(struct inode_table *t, uint64_t ino, uint64_t n)
{
	struct inode *i;

	LOCK_SCOPE(&t->lock);
	i = find(t, ino);
	if (!i || ino == ROOT_INO)
		return;
	i->lookups -= n < i->lookups ? n : i->lookups;
	if (i->lookups > 0)
		return;
	HASH_DELETE(hh, t->by_ino, i);
	free(i);
}

int inode_get(struct inode_table *t, uint64_t ino, struct inode_info *out)
{
	struct inode *i;

	LOCK_SCOPE(&t->lock);
	i = find(t, ino);
	if (!i)
		return -ESTALE;
	out->ino = ino;
	out->attr.is_dir = i->is_dir;
	out->attr.size = i->size;
	out->attr.mtime = i->mtime;
	snprintf(out->attr.etag, sizeof(out->attr.etag), "%s", i->etag);
	snprintf(out->attr.storage_class, sizeof(out->attr.storage_class), "%s",
		 i->storage_class);
	snprintf(out->path, sizeof(out->path), "%s", i->path);
	return 0;
}

uint64_t inode_count(struct inode_table *t)
{
	LOCK_SCOPE(&t->lock);
	return HASH_COUNT(t->by_ino);
}
