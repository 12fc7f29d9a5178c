/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that falls out of the table is a new one: no harm is done. */
#include "fuse_ops/prime.h"

#include <string.h>

#include "base/cleanup.h"

#define SURE 2  /* directories with probes, before those without all */
#define REST 64 /* directories of one that looks, before it is probed again */

void prime_init(struct prime *p)
{
	memset(p, 0, sizeof(*p));
	pthread_mutex_init(&p->lock, NULL);
}

void prime_free(struct prime *p)
{
	pthread_mutex_destroy(&p->lock);
}

static struct prime_reader *slot(struct prime *p, pid_t tid)
{
	return &p->readers[(unsigned int)tid * 2654435761U >> 26 &
			   (PRIME_READERS - 1)];
}

enum prime_how prime_read(struct prime *p, pid_t tid, uint64_t dir)
{
	struct prime_reader *r;

	LOCK_SCOPE(&p->lock);
	r = slot(p, tid);
	if (r->tid != tid)
		*r = (struct prime_reader){.tid = tid};
	/* A directory is read in many pieces, which are one decision. */
	if (r->dir != dir) {
		r->dir = dir;
		if (r->rest)
			r->rest--;
		else
			r->seen++;
	}
	return r->rest ? PRIME_ALL : r->seen > SURE ? PRIME_NONE : PRIME_PROBE;
}

void prime_look(struct prime *p, pid_t tid)
{
	struct prime_reader *r;

	LOCK_SCOPE(&p->lock);
	r = slot(p, tid);
	if (r->tid != tid || !r->dir)
		return;
	r->seen = 0;
	r->rest = REST;
}
