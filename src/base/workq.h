/* SPDX-License-Identifier: Apache-2.0 */
/* A fixed set of threads for work that may block. */
#ifndef S3RDMAFS_BASE_WORKQ_H
#define S3RDMAFS_BASE_WORKQ_H

struct workq;

/* Returns 0 and an owned queue in *out, or -errno. */
int workq_new(const char *name, unsigned int threads, unsigned int depth,
	      struct workq **out);

/* Runs what is queued, joins the threads, frees.  NULL is fine. */
void workq_free(struct workq *q);

/*
 * Has run(arg) called once by one of the threads.  Never blocks.
 * Returns 0, or -EBUSY when depth calls wait already.
 */
int workq_post(struct workq *q, void (*run)(void *), void *arg);

#endif
