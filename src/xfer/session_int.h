/* SPDX-License-Identifier: Apache-2.0 */
/* Between session.c and session_open.c. */
#ifndef S3RDMAFS_XFER_SESSION_INT_H
#define S3RDMAFS_XFER_SESSION_INT_H

#include <pthread.h>

#include "xfer/session.h"

/* A transport that was opened, with the way it is used. */
struct opened {
	struct rdma *rdma; /* owned by who gets it; NULL: none */
	enum xfer_path path;
	bool pairs; /* hipobj-rc-v2: a pair for each transfer */
};

struct session {
	/* Constant after session_new. */
	struct session_config cfg;
	char host[256]; /* of the endpoint */
	bool is_local;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t changed; /* for the thread */
	pthread_cond_t settled; /* for those who wait in session_sync */

	/* Under lock. */
	struct opened open;
	uint64_t number;    /* of the present session, or the next */
	unsigned int users; /* of open.rdma, between enter and leave */
	bool was_open;
	struct health health;
	unsigned int generation; /* of its connection */
	uint64_t forgiven_ms;    /* when a new connection last cleared it */
	struct list fences, failed;
	uint64_t fenced, nfailed, bytes;
	bool stop, awake;
	bool holds;      /* keys may be alive: opening, open or ending */
	uint64_t synced; /* version of peer memory that the open one knows */
	char why[256];   /* for people: why there is none */

	/* The thread's own. */
	struct rdma *dying; /* owned: ended, but somebody is still in it */
	uint64_t try_again_ms;
	char conn[TOKEN_CONN + 1]; /* of the connection, "" for none */
	bool was_connection;       /* the last session was */
	unsigned int refusals; /* in a row, by a server that offered it once */
	bool told;
};

/* So many refusals, half a minute of them, are the server's last word. */
#define SESSION_REFUSALS 6

/* How soon to try again after this try. */
enum open_result { OPEN_DONE, OPEN_REFUSED, OPEN_LATER };

/* Tries what the mode asks for, in the order of preference.  On the session's
 * thread, without the lock; fills out, or why. */
enum open_result session_open(struct session *s, struct opened *out, char *why,
			      size_t cap);

/* Connects an rc session anew. */
enum open_result session_connect(struct session *s, struct rdma *rdma,
				 char *why, size_t cap);

/* Before an rc session is closed: the server need not keep its end. */
void session_say_goodbye(struct session *s, struct rdma *rdma);

#endif
