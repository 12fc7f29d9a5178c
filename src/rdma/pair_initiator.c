/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The server's half of hipobj-rc-v2 (protocol document, 3.3 and 3.4), GET.
 *
 *   PREPARED --ready--> TAKEN --moved, failed--> freed
 *   PREPARED --cancel, time over--> freed
 *
 * A session is taken off the list by the READY that serves it, so a second
 * one finds none.  The queue pair exists from PREPARE on, for its number goes
 * into the answer, but is connected by READY, which says whose it is.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "rdma/initiator_int.h"

#define SESSIONS_MAX 1024
#define OWNER_MAX 64 /* sessions of one owner */
#define PREPARED_MS 10000

struct session {
	struct path path; /* first */
	struct list link; /* under initiator->lock */
	char name[TOKEN_CONN + 1];
	char owner[128];
	struct initiator_prepare p; /* p.from.fd is owned */
	struct ibv_qp *qp;          /* owned */
	uint32_t psn;
	uint64_t until_ms;
};

static int post(struct path *p, struct initiator *i, const struct write *w)
{
	const struct session *s = (const struct session *)p;

	return initiator_post(s->qp, i, w, &s->p.cookie);
}

static void fail(struct path *p)
{
	qp_fail(((struct session *)p)->qp);
}

static void free_session(struct session *s)
{
	if (s->qp)
		ibv_destroy_qp(s->qp);
	if (s->p.from.fd >= 0)
		close(s->p.from.fd);
	free(s);
}

void sessions_reap(struct initiator *i, bool all)
{
	const uint64_t now = clock_ms();
	struct list dead, *e, *n;

	list_init(&dead);
	{
		LOCK_SCOPE(&i->lock);
		list_for_each_safe(e, n, &i->sessions)
		{
			struct session *s = container_of(e, struct session,
							 link);

			if (!all && now < s->until_ms)
				continue;
			list_del(&s->link);
			list_add(&dead, &s->link);
			i->nsessions--;
		}
	}
	list_for_each_safe(e, n, &dead)
	{
		list_del(e);
		free_session(container_of(e, struct session, link));
	}
}

/* Lists it, if there is room for one more of its owner. */
static bool enlist(struct initiator *i, struct session *s)
{
	struct list *e, *n;
	unsigned int own = 0;

	LOCK_SCOPE(&i->lock);
	list_for_each_safe(e, n, &i->sessions) own += !strcmp(
		container_of(e, struct session, link)->owner, s->owner);
	if (i->broken || i->nsessions >= SESSIONS_MAX || own >= OWNER_MAX)
		return false;
	i->nsessions++;
	list_add(&i->sessions, &s->link);
	return true;
}

int initiator_prepare(struct initiator *i, const char *owner,
		      const struct initiator_prepare *p,
		      struct initiator_welcome *out)
{
	struct session *s = calloc(1, sizeof(*s));
	unsigned char name[TOKEN_CONN / 2];

	if (!s)
		return -ENOMEM;
	s->path = (struct path){post, fail};
	s->p = *p;
	s->p.from.fd = fcntl(p->from.fd, F_DUPFD_CLOEXEC, 0);
	s->psn = qp_random_psn();
	s->until_ms = clock_ms() + PREPARED_MS;
	random_bytes(name, sizeof(name));
	format_hex(name, sizeof(name), s->name);
	snprintf(s->owner, sizeof(s->owner), "%s", owner);
	s->qp = qp_new(i->device, &(struct qp_caps){.cq = i->cq, .sends = 4});
	if (!s->qp || s->p.from.fd < 0) {
		free_session(s);
		return -EBUSY;
	}
	memcpy(out->name, s->name, sizeof(out->name));
	qp_token(i->device, s->qp, out->token);
	out->psn = s->psn;
	out->qpn = s->qp->qp_num;
	if (!enlist(i, s)) {
		free_session(s);
		return -EBUSY;
	}
	return 0;
}

/* Takes the session off the list: from then on it is the caller's. */
static int take(struct initiator *i, const char *owner, const char *name,
		const uint32_t *cookie, struct session **out)
{
	struct list *e, *n;

	LOCK_SCOPE(&i->lock);
	list_for_each_safe(e, n, &i->sessions)
	{
		struct session *s = container_of(e, struct session, link);

		if (strcmp(s->name, name) != 0 || clock_ms() >= s->until_ms)
			continue;
		if (strcmp(s->owner, owner) != 0)
			return -EPERM;
		if (cookie && *cookie != s->p.cookie)
			return -EACCES;
		list_del(&s->link);
		i->nsessions--;
		*out = s;
		return 0;
	}
	return -ESTALE;
}

int initiator_ready(struct initiator *i, const char *owner,
		    const struct initiator_ready *r,
		    struct initiator_final *out)
{
	struct qp_peer peer;
	struct session *s;
	int err = take(i, owner, r->session, &r->cookie, &s);

	if (err)
		return err;
	peer = qp_peer_of(&s->p.client, s->p.psn);
	peer.qpn = r->qpn; /* READY's word, not PREPARE's */
	err = qp_connect(i->device, s->qp, &peer, s->psn) ? -EIO : 0;
	if (!err)
		err = initiator_stream(i, &s->path, r->addr, r->rkey,
				       &s->p.from);
	if (!err) {
		out->moved = s->p.from.len;
		memcpy(out->tag, s->p.tag, sizeof(out->tag));
	}
	free_session(s);
	return err;
}

int initiator_cancel(struct initiator *i, const char *owner,
		     const char *session)
{
	struct session *s;
	const int err = take(i, owner, session, NULL, &s);

	if (!err)
		free_session(s);
	return err;
}
