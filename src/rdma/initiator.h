/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's half of dc and rc: bytes of a file into the memory that a
 * client's token names.
 *
 * Any thread may call.  A call that moves bytes blocks until every write of
 * it has completed or was flushed, so that after its return nothing more can
 * land: only then may the request be answered.  owner is whoever signed the
 * request; what one owner made, no other can use.
 */
#ifndef S3RDMAFS_RDMA_INITIATOR_H
#define S3RDMAFS_RDMA_INITIATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rdma/token.h"

struct initiator;

struct initiator_config {
	const char *device;  /* NULL: the one that has the address */
	const char *address; /* where the server listens; a wildcard is any */
	bool rc, dc;         /* what to offer; dc is left out where it cannot */
	bool dc_required;    /* an error then */
	uint32_t dc_key;
};

/* Returns 0 or -errno with a sentence for people in why. */
int initiator_new(const struct initiator_config *cfg, struct initiator **out,
		  char *why, size_t cap);
/* No call may be going on. */
void initiator_free(struct initiator *i);

/* False once the NIC has failed or gone: free it, and try for another. */
bool initiator_alive(struct initiator *i);
bool initiator_has_dc(const struct initiator *i);
/* InfiniBand's GIDs are no addresses; RoCE's are, link-local ones too. */
bool initiator_is_infiniband(const struct initiator *i);
/* "mlx5_0 port 1, GID ::ffff:192.0.2.1" */
const char *initiator_place(const struct initiator *i);

/* What to send: len bytes at off of the open file fd, which is the caller's. */
struct initiator_source {
	int fd;
	uint64_t off, len;
};

/*
 * Errors of all that move bytes: -EINVAL a window that is too small, -ESTALE
 * a connection or session that is no more, -EPERM not its owner's, -EIO the
 * transfer failed, -EBUSY no room, or the file's error.
 */
int initiator_write_dc(struct initiator *i, const struct token_dc *t,
		       const struct initiator_source *from);

/* A connection (3.5): answers with its name, the server's token and PSN. */
struct initiator_welcome {
	char name[TOKEN_CONN + 1]; /* of the connection, or the session */
	char token[TOKEN_MAX];
	uint32_t psn, qpn;
};
int initiator_connect(struct initiator *i, const char *owner,
		      const struct token_rc *client, uint32_t psn,
		      struct initiator_welcome *out);
int initiator_disconnect(struct initiator *i, const char *owner,
			 const char *name);
int initiator_write_conn(struct initiator *i, const char *owner,
			 const struct token_conn *t,
			 const struct initiator_source *from);

/* hipobj-rc-v2.  prepare takes a duplicate of the file. */
struct initiator_prepare {
	struct token_rc client;
	uint32_t psn, cookie;
	struct initiator_source from;
	char tag[136]; /* a text that comes back with the end */
};
int initiator_prepare(struct initiator *i, const char *owner,
		      const struct initiator_prepare *p,
		      struct initiator_welcome *out);
/* -EACCES: the cookie is another. */
struct initiator_ready {
	const char *session;
	uint32_t cookie, qpn, rkey;
	uint64_t addr;
};
struct initiator_final {
	uint64_t moved;
	char tag[136];
};
int initiator_ready(struct initiator *i, const char *owner,
		    const struct initiator_ready *r,
		    struct initiator_final *out);
int initiator_cancel(struct initiator *i, const char *owner,
		     const char *session);

#endif
