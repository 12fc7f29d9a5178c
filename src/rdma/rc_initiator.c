/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's ends of persistent RC connections (protocol document, 3.5).
 *
 * A connection serves many transfers at a time.  When one write fails the
 * queue pair is of no use any more, and the connection ends: its tokens are
 * refused from then on, and the client makes another.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "rdma/initiator_int.h"

#define CONNS_MAX 256
#define OWNER_MAX 64 /* of one owner; the next ends his oldest */
#define SENDS 512    /* two a transfer */
#define IDLE_MS (5ULL * 60 * 1000)

struct conn {
	struct path path; /* first */
	/* Constant. */
	char name[TOKEN_CONN + 1];
	char owner[128];
	struct ibv_qp *qp; /* owned */

	/* Under initiator->lock. */
	struct list link;
	unsigned int users;
	bool ended;
	uint64_t used_ms;
};

static int post(struct path *p, struct initiator *i, const struct write *w)
{
	return initiator_post(((struct conn *)p)->qp, i, w, NULL);
}

static void fail(struct path *p)
{
	qp_fail(((struct conn *)p)->qp);
}

static void free_conn(struct conn *c)
{
	if (c->qp)
		ibv_destroy_qp(c->qp);
	free(c);
}

void conns_reap(struct initiator *i, bool all)
{
	const uint64_t now = clock_ms();
	struct list dead, *e, *n;

	list_init(&dead);
	{
		LOCK_SCOPE(&i->lock);
		list_for_each_safe(e, n, &i->conns)
		{
			struct conn *c = container_of(e, struct conn, link);

			/* It may have been used since the clock was read. */
			if (c->users > 0 ||
			    !(all || c->ended || now > c->used_ms + IDLE_MS))
				continue;
			list_del(&c->link);
			list_add(&dead, &c->link);
			i->nconns--;
		}
	}
	list_for_each_safe(e, n, &dead)
	{
		list_del(e);
		free_conn(container_of(e, struct conn, link));
	}
}

/* Under lock: ends the owner's connection that was unused for longest, when
 * he has as many as he may. */
static void make_room(struct initiator *i, const char *owner)
{
	struct conn *oldest = NULL;
	struct list *e, *n;
	unsigned int own = 0;

	list_for_each_safe(e, n, &i->conns)
	{
		struct conn *c = container_of(e, struct conn, link);

		if (c->ended || strcmp(c->owner, owner) != 0)
			continue;
		own++;
		if (c->users == 0 && (!oldest || c->used_ms < oldest->used_ms))
			oldest = c;
	}
	if (own >= OWNER_MAX && oldest)
		oldest->ended = true;
}

static bool enlist(struct initiator *i, struct conn *c)
{
	LOCK_SCOPE(&i->lock);
	make_room(i, c->owner);
	if (i->broken || i->nconns >= CONNS_MAX)
		return false;
	i->nconns++;
	list_add(&i->conns, &c->link);
	return true;
}

static void welcome(struct initiator *i, const struct conn *c, uint32_t psn,
		    struct initiator_welcome *out)
{
	memcpy(out->name, c->name, sizeof(out->name));
	qp_token(i->device, c->qp, out->token);
	out->psn = psn;
	out->qpn = c->qp->qp_num;
}

int initiator_connect(struct initiator *i, const char *owner,
		      const struct token_rc *client, uint32_t psn,
		      struct initiator_welcome *out)
{
	struct conn *c = calloc(1, sizeof(*c));
	const struct qp_peer peer = qp_peer_of(client, psn);
	const uint32_t own = qp_random_psn();
	unsigned char name[TOKEN_CONN / 2];
	int err = -EIO;

	if (!c)
		return -ENOMEM;
	c->path = (struct path){post, fail};
	c->used_ms = clock_ms();
	random_bytes(name, sizeof(name));
	format_hex(name, sizeof(name), c->name);
	snprintf(c->owner, sizeof(c->owner), "%s", owner);
	c->qp = qp_new(i->device,
		       &(struct qp_caps){.cq = i->cq, .sends = SENDS});
	if (c->qp)
		err = qp_connect(i->device, c->qp, &peer, own);
	if (!err)
		welcome(i, c, own, out);
	if (!err && !enlist(i, c))
		err = -EBUSY;
	if (err)
		free_conn(c);
	return err;
}

/* Under lock. */
static struct conn *find(struct initiator *i, const char *name)
{
	struct list *e, *n;

	list_for_each_safe(e, n, &i->conns)
	{
		struct conn *c = container_of(e, struct conn, link);

		if (!c->ended && !strcmp(c->name, name))
			return c;
	}
	return NULL;
}

int initiator_disconnect(struct initiator *i, const char *owner,
			 const char *name)
{
	struct conn *c;

	LOCK_SCOPE(&i->lock);
	c = find(i, name);
	if (!c)
		return -ESTALE;
	if (strcmp(c->owner, owner) != 0)
		return -EPERM;
	c->ended = true;
	return 0;
}

static int claim(struct initiator *i, const char *owner, const char *name,
		 struct conn **out)
{
	struct conn *c;

	LOCK_SCOPE(&i->lock);
	c = find(i, name);
	if (!c || i->broken)
		return -ESTALE;
	if (strcmp(c->owner, owner) != 0)
		return -EPERM;
	c->users++;
	c->used_ms = clock_ms();
	*out = c;
	return 0;
}

static void unclaim(struct initiator *i, struct conn *c, bool failed)
{
	LOCK_SCOPE(&i->lock);
	c->users--;
	c->ended |= failed;
}

int initiator_write_conn(struct initiator *i, const char *owner,
			 const struct token_conn *t,
			 const struct initiator_source *from)
{
	struct conn *c;
	int err;

	if (from->len > t->size)
		return -EINVAL;
	err = claim(i, owner, t->conn, &c);
	if (err)
		return err;
	err = initiator_stream(i, &c->path, t->addr, t->rkey, from);
	/* A file's error leaves the pair as good as it was; -EIO may be either,
	 * and a new connection costs little. */
	unclaim(i, c, err == -EIO);
	return err;
}
