/* SPDX-License-Identifier: Apache-2.0 */
/* The event loops: each a thread with a curl multi handle. */
#ifndef S3RDMAFS_S3_ENGINE_H
#define S3RDMAFS_S3_ENGINE_H

#include "s3/request.h"
#include "s3/s3.h"

struct engine;

struct engine_stats {
	uint64_t cpu_ns;
	uint64_t in_flight;
	uint64_t started;
};

/* cfg, urls and creds are borrowed for the engine's life. */
int engine_new(const struct s3_config *cfg, const struct s3_url *urls,
	       struct creds_source *creds, struct engine **out);

/* Ends every call, and every later one at once; joins the loops. */
void engine_stop(struct engine *e);
void engine_free(struct engine *e);
void engine_submit(struct engine *e, struct s3_call *call);
void engine_get_stats(struct engine *e, struct engine_stats *out);
bool engine_on_loop(void);

#endif
