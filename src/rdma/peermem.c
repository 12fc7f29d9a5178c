/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/peermem.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/cleanup.h"

struct entry {
	struct peermem_region region;
	bool there;
	uint64_t version;
};

struct peermem {
	/* Constant after peermem_new. */
	unsigned int n;
	size_t len;

	pthread_mutex_t lock; /* a leaf */
	uint64_t version;     /* under lock */
	struct entry entries[];
};

int peermem_new(unsigned int n, size_t len, struct peermem **out)
{
	struct peermem *p = calloc(1, sizeof(*p) + n * sizeof(p->entries[0]));

	if (!p)
		return -ENOMEM;
	p->n = n;
	p->len = len;
	p->version = 1;
	pthread_mutex_init(&p->lock, NULL);
	*out = p;
	return 0;
}

void peermem_free(struct peermem *p)
{
	if (!p)
		return;
	pthread_mutex_destroy(&p->lock);
	free(p);
}

unsigned int peermem_count(const struct peermem *p)
{
	return p ? p->n : 0;
}

size_t peermem_len(const struct peermem *p)
{
	return p ? p->len : 0;
}

void peermem_set(struct peermem *p, unsigned int i,
		 const struct peermem_region *r)
{
	struct entry *e = &p->entries[i];

	assert(i < p->n && (!r || (r->len > 0 && r->len <= p->len)));
	LOCK_SCOPE(&p->lock);
	e->there = r != NULL;
	if (r)
		e->region = *r;
	e->version = ++p->version;
}

uint64_t peermem_version(struct peermem *p)
{
	LOCK_SCOPE(&p->lock);
	return p->version;
}

uint64_t peermem_get(struct peermem *p, unsigned int i,
		     struct peermem_region *out, bool *there)
{
	const struct entry *e = &p->entries[i];

	assert(i < p->n);
	LOCK_SCOPE(&p->lock);
	*there = e->there;
	*out = e->region;
	return e->version;
}
