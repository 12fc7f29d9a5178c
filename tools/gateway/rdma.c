/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request's token meets the transports. */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/thread.h"
#include "fault.h"
#include "ops.h"
#include "rdma/shm_initiator.h"

/* POST /.s3rdma/shm: where a client of this host takes its memory to. */
void op_shm_connect(struct request *r)
{
	char ticket[SHM_TICKET + 1];

	if (!r->gw->shm) {
		reply_error(r, "NotImplemented", "shm is off at this server");
		return;
	}
	shm_server_ticket(r->gw->shm, ticket);
	reply_header(r, "x-s3rdma-shm", "%s %s", shm_server_name(r->gw->shm),
		     ticket);
	r->status = 200;
}

static void moved(struct request *r, uint64_t len, bool ranged)
{
	reply_header(r, "x-amz-rdma-reply", "%d", ranged ? 206 : 200);
	reply_header(r, "x-amz-rdma-bytes-transferred", "%llu",
		     (unsigned long long)len);
}

static void declined(struct request *r)
{
	reply_header(r, "x-amz-rdma-reply", "501");
}

/* A write that comes after the answer, as from a stalled server. */
struct late {
	struct shm_server *shm;
	char *token;
	int fd;
	uint64_t off, len, ms;
};

static pthread_mutex_t late_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t late_ended = PTHREAD_COND_INITIALIZER;
static unsigned int late_writes; /* under late_lock */

static void count_late(int change)
{
	LOCK_SCOPE(&late_lock);
	late_writes += (unsigned int)change;
	pthread_cond_broadcast(&late_ended);
}

void rdma_wait_for_late(void)
{
	LOCK_SCOPE(&late_lock);
	while (late_writes > 0)
		pthread_cond_wait(&late_ended, &late_lock);
}

static void *write_late(void *arg)
{
	struct late *l = arg;

	pthread_detach(pthread_self());
	gateway_sleep_ms(l->ms);
	/* Refused once the client has revoked the key: that is the point. */
	shm_server_read(l->shm, l->token, l->fd, l->off, l->len);
	close(l->fd);
	free(l->token);
	free(l);
	count_late(-1);
	return NULL;
}

static void start_late(struct request *r, const char *token, int fd,
		       uint64_t off, uint64_t len)
{
	struct late *l = calloc(1, sizeof(*l));

	reply_clear(r);
	reply_error(r, "InternalError", "injected");
	if (!l)
		return;
	*l = (struct late){r->gw->shm, strdup(token), dup(fd),
			   off,        len,           r->fault->value};
	count_late(1);
	if (thread_start(NULL, "late", write_late, l)) {
		count_late(-1);
		close(l->fd);
		free(l->token);
		free(l);
	}
}

bool rdma_try_get(struct request *r, int fd, uint64_t off, uint64_t len,
		  bool ranged)
{
	const char *token = request_header(r, "x-amz-rdma-token");
	int err;

	if (!token || fault_is(r, FAULT_IGNORE_TOKEN) || len == 0)
		return false;
	if (fault_is(r, FAULT_REFUSE_TOKEN)) {
		reply_clear(r);
		declined(r);
		reply_error(r, "NotImplemented", "injected");
		return true;
	}
	if (!r->gw->shm || strncmp(token, "shm:", 4) != 0) {
		/* Not a form that this server moves: the body does. */
		declined(r);
		return false;
	}
	if (fault_is(r, FAULT_LATE)) {
		start_late(r, token, fd, off, len);
		return true;
	}
	if (fault_is(r, FAULT_LIE)) {
		moved(r, len, ranged);
		return true;
	}
	err = shm_server_read(r->gw->shm, token, fd, off, len);
	if (!err) {
		moved(r, len, ranged);
	} else {
		reply_clear(r);
		if (err == -EINVAL || err == -ESTALE)
			reply_error(r, "InvalidRdmaToken",
				    "The token's session or key is not valid");
		else
			reply_errno(r, err);
	}
	return true;
}
