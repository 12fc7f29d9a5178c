/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the files that make the operations: client.c, waited.c, pager.c. */
#ifndef S3RDMAFS_S3_CLIENT_H
#define S3RDMAFS_S3_CLIENT_H

#include <pthread.h>
#include <stdatomic.h>

#include "s3/engine.h"
#include "s3/s3.h"

struct s3 {
	/* Constant after s3_new. */
	struct s3_config cfg;
	struct s3_url urls[S3_URLS_MAX];
	struct creds_source *creds; /* borrowed */
	struct engine *engine;      /* owned */

	atomic_ullong get, head, list, other, retries, errors;
};

/* A call that somebody waits for. */
struct waited {
	struct s3_call call;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	bool done; /* under lock */
};

/* Sends the call; what follows is one of the two below. */
void waited_start(struct s3 *s3, struct waited *w);
/* Waits for its end, whatever it is. */
void waited_end(struct waited *w);
/* Waits for it and makes it again as long as that helps, up to the deadline.
 * 0 or -errno; logged as "what" unless the call has a limit of its own. */
int waited_finish(struct s3 *s3, struct waited *w, const char *what);

#endif
