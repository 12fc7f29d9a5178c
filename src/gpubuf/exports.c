/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The socket at which tickets are redeemed for descriptors, and descriptors
 * left for REGISTER.  Any user of the host may come; what he may have, the
 * ticket says: it is good once, for ten seconds, for one user and one process.
 *
 * One thread; a peer that does not take its answer is let go of.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "base/thread.h"
#include "gpubuf/gpubuf_int.h"
#include "s3rdmafs/ioctl.h"

#define PEERS 64
#define PATIENCE_MS 10000

struct peer {
	int fd; /* owned; -1: none */
	uint64_t used_ms;
};

struct exports {
	struct gpubuf *g; /* borrowed */
	int socket;       /* owned */
	int stop[2];      /* owned: a pipe */
	pthread_t thread;
	bool started;
	struct peer peers[PEERS]; /* the thread's own */
};

/* ---- tickets; under gpubuf->lock ---- */

void ticket_new(struct lease *l, struct block *b, pid_t pid,
		unsigned char out[GPUBUF_EXPORT])
{
	struct ticket *t = &l->tickets[l->next_ticket++ % TICKETS];

	*t = (struct ticket){.until_ms = clock_ms() + TICKET_MS,
			     .pid = pid,
			     .block = b,
			     .allocation = b->id};
	random_bytes(t->text, sizeof(t->text));
	memset(out, 0, GPUBUF_EXPORT);
	memcpy(out, t->text, sizeof(t->text));
}

/* The process of a thread; 0 is one that we cannot see. */
static pid_t read_process(pid_t tid)
{
	char path[40], text[1024];
	const char *line;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)tid);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);

	n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = '\0';
	line = strstr(text, "\nTgid:");
	return line ? (pid_t)strtol(line + 6, NULL, 10) : 0;
}

/*
 * Remembered for as long as a ticket is good: a thread number that comes back
 * meanwhile can only be confused with another process of the same user, which
 * could open the file itself.
 */
pid_t process_of(pid_t tid)
{
	static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	static struct {
		pid_t tid, pid;
		uint64_t until_ms;
	} known[256]; /* under lock */
	const unsigned int at = (unsigned int)tid % ARRAY_SIZE(known);
	const uint64_t now = clock_ms();
	pid_t pid;

	if (tid == 0)
		return 0;
	{
		LOCK_SCOPE(&lock);
		if (known[at].tid == tid && now < known[at].until_ms)
			return known[at].pid;
	}
	pid = read_process(tid);
	LOCK_SCOPE(&lock);
	known[at].tid = tid;
	known[at].pid = pid;
	known[at].until_ms = now + TICKET_MS;
	return pid;
}

static bool is_of(pid_t asked, pid_t pid)
{
	return asked == 0 || asked == pid;
}

static struct ticket *find_ticket(struct gpubuf *g, uid_t uid,
				  const unsigned char *text)
{
	struct list *e, *n;

	list_for_each_safe(e, n, &g->leases)
	{
		struct lease *l = container_of(e, struct lease, link);

		for (int i = 0; l->uid == uid && i < TICKETS; i++)
			if (l->tickets[i].until_ms &&
			    !memcmp(l->tickets[i].text, text, GPUBUF_TICKET))
				return &l->tickets[i];
	}
	return NULL;
}

/* A descriptor, owned; or -EPERM. */
static int redeem(struct gpubuf *g, const struct ucred *who,
		  const unsigned char *text)
{
	struct ticket t;
	int fd = -1;

	{
		struct ticket *found;

		LOCK_SCOPE(&g->lock);
		found = find_ticket(g, who->uid, text);
		if (!found)
			return -EPERM;
		t = *found;
		*found = (struct ticket){.until_ms = 0};
		if (t.block->id == t.allocation &&
		    t.block->state == BLOCK_LEASED)
			fd = fcntl(t.block->fd, F_DUPFD_CLOEXEC, 3);
	}
	if (fd >= 0 && clock_ms() < t.until_ms && is_of(t.pid, who->pid))
		return fd;
	if (fd >= 0)
		close(fd);
	return -EPERM;
}

/* Under the lock: a place for a descriptor; what has waited too long is taken
 * out into gone. */
static struct sent *find_place(struct gpubuf *g, uid_t uid, int gone[OFFERS],
			       unsigned int *ngone)
{
	struct sent *place = NULL;
	unsigned int of_user = 0;

	for (int i = 0; i < OFFERS; i++) {
		struct sent *s = &g->sent[i];

		if (s->fd >= 0 && clock_ms() >= s->until_ms) {
			gone[(*ngone)++] = s->fd;
			s->fd = -1;
		}
		if (s->fd < 0)
			place = s;
		else
			of_user += s->uid == uid;
	}
	return of_user < OFFERS / 2 ? place : NULL;
}

/* Keeps the descriptor for REGISTER; takes it over when it returns 0. */
static int offer(struct gpubuf *g, const struct ucred *who, int fd,
		 unsigned char text[GPUBUF_TICKET])
{
	int gone[OFFERS];
	unsigned int ngone = 0;
	struct sent *s;

	if (!is_memory(fd))
		return -EBADF;
	random_bytes(text, GPUBUF_TICKET);
	{
		LOCK_SCOPE(&g->lock);
		s = find_place(g, who->uid, gone, &ngone);
		if (s) {
			*s = (struct sent){.fd = fd,
					   .uid = who->uid,
					   .pid = who->pid,
					   .until_ms = clock_ms() + TICKET_MS};
			memcpy(s->text, text, GPUBUF_TICKET);
		}
	}
	while (ngone > 0)
		close(gone[--ngone]);
	return s ? 0 : -EMFILE;
}

int sent_take(struct gpubuf *g, const unsigned char *text,
	      const struct gpubuf_caller *caller)
{
	struct sent s = {.fd = -1};

	{
		LOCK_SCOPE(&g->lock);
		for (int i = 0; i < OFFERS && s.fd < 0; i++) {
			struct sent *in = &g->sent[i];

			if (in->fd < 0 || in->uid != caller->uid ||
			    memcmp(in->text, text, GPUBUF_TICKET) != 0)
				continue;
			s = *in;
			in->fd = -1;
		}
	}
	if (s.fd >= 0 && clock_ms() < s.until_ms && is_of(caller->pid, s.pid))
		return s.fd;
	if (s.fd >= 0)
		close(s.fd);
	return -EPERM;
}

/* ---- messages ---- */

static void *close_it(void *fd)
{
	pthread_detach(pthread_self());
	close((int)(intptr_t)fd);
	return NULL;
}

/* A stranger's descriptor: to close a socket that lingers, or a file of his own
 * file system, may take him as long as he likes. */
static void close_strange(int fd)
{
	if (is_memory(fd) ||
	    thread_start(NULL, "closer", close_it, (void *)(intptr_t)fd))
		close(fd);
}

/* Keeps the first descriptor, in *fd (the caller's; -1 for none), and closes
 * the others.  False: the peer is to go. */
static bool receive(int sock, struct s3rdmafs_msg *m, int *fd)
{
	int fds[4];
	unsigned int nfds;
	const ssize_t n = fdpass_receive(sock, m, sizeof(*m), fds,
					 ARRAY_SIZE(fds), &nfds, MSG_DONTWAIT);

	*fd = nfds > 0 ? fds[0] : -1;
	while (nfds > 1)
		close_strange(fds[--nfds]);
	return n == (ssize_t)sizeof(*m) && m->magic == S3RDMAFS_MSG_MAGIC;
}

static bool respond(int sock, const struct s3rdmafs_msg *m, int fd)
{
	return fdpass_send(sock, m, sizeof(*m), &fd, fd >= 0,
			   MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)sizeof(*m);
}

/* One message of a peer; false: it is to go. */
static bool serve(struct exports *x, int sock)
{
	struct ucred who;
	socklen_t n = sizeof(who);
	struct s3rdmafs_msg m = {.magic = 0};
	int sent, out = -1, err = -EINVAL;
	bool stays;

	stays = receive(sock, &m, &sent);
	if (!stays || getsockopt(sock, SOL_SOCKET, SO_PEERCRED, &who, &n)) {
		if (sent >= 0)
			close_strange(sent);
		return false;
	}
	if (m.type == S3RDMAFS_MSG_REDEEM) {
		out = redeem(x->g, &who, m.ticket);
		err = out < 0 ? out : 0;
	} else if (m.type == S3RDMAFS_MSG_OFFER) {
		err = sent < 0 ? -EBADF : offer(x->g, &who, sent, m.ticket);
		if (!err)
			sent = -1;
	}
	m.status = -err;
	stays = respond(sock, &m, out);
	if (out >= 0)
		close(out);
	if (sent >= 0)
		close_strange(sent);
	return stays;
}

static void admit(struct exports *x)
{
	const int fd = accept4(x->socket, NULL, NULL, SOCK_CLOEXEC);
	struct peer *p = &x->peers[0];

	if (fd < 0)
		return;
	/* A free place, or that of who has said nothing for the longest. */
	for (int i = 0; i < PEERS; i++) {
		if (x->peers[i].fd < 0 ||
		    (p->fd >= 0 && x->peers[i].used_ms < p->used_ms))
			p = &x->peers[i];
		if (p->fd < 0)
			break;
	}
	if (p->fd >= 0)
		close(p->fd);
	*p = (struct peer){fd, clock_ms()};
}

static void dismiss(struct peer *p)
{
	close(p->fd);
	p->fd = -1;
}

static void *run(void *arg)
{
	struct exports *x = arg;
	struct pollfd p[PEERS + 2];

	for (;;) {
		p[0] = (struct pollfd){.fd = x->stop[0], .events = POLLIN};
		p[1] = (struct pollfd){.fd = x->socket, .events = POLLIN};
		for (int i = 0; i < PEERS; i++)
			p[i + 2] = (struct pollfd){.fd = x->peers[i].fd,
						   .events = POLLIN};
		if (poll(p, PEERS + 2, PATIENCE_MS) < 0 && errno != EINTR)
			return NULL;
		if (p[0].revents)
			return NULL;
		for (int i = 0; i < PEERS; i++) {
			struct peer *peer = &x->peers[i];

			if (peer->fd < 0)
				continue;
			if (p[i + 2].revents) {
				peer->used_ms = clock_ms();
				if (!serve(x, peer->fd))
					dismiss(peer);
			} else if (clock_ms() - peer->used_ms > PATIENCE_MS) {
				dismiss(peer);
			}
		}
		if (p[1].revents)
			admit(x);
	}
}

/* ---- the socket ---- */

static int listen_at(struct exports *x, const char *path, mode_t mode)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	/* Of an earlier process with our pid, killed before it could. */
	unlink(path);
	x->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (x->socket < 0 ||
	    bind(x->socket, (const struct sockaddr *)&addr, sizeof(addr)) ||
	    chmod(path, mode) || listen(x->socket, 128))
		return -errno;
	return 0;
}

int exports_new(struct gpubuf *g, struct exports **out, char *why, size_t cap)
{
	struct exports *x = calloc(1, sizeof(*x));
	int err;

	if (!x)
		return -ENOMEM;
	x->g = g;
	x->socket = x->stop[0] = x->stop[1] = -1;
	for (int i = 0; i < PEERS; i++)
		x->peers[i].fd = -1;
	err = pipe2(x->stop, O_CLOEXEC) ? -errno : 0;
	if (!err)
		err = listen_at(x, g->cfg.socket,
				g->cfg.allow_other ? 0666 : 0600);
	if (!err)
		err = thread_start(&x->thread, "exports", run, x);
	x->started = !err;
	if (err) {
		snprintf(why, cap, "cannot make the socket %s: %s",
			 g->cfg.socket, strerror(-err));
		exports_free(x);
		return err;
	}
	*out = x;
	return 0;
}

void exports_free(struct exports *x)
{
	if (!x)
		return;
	if (x->started) {
		while (write(x->stop[1], "", 1) < 0 && errno == EINTR)
			;
		pthread_join(x->thread, NULL);
	}
	for (int i = 0; i < PEERS; i++)
		if (x->peers[i].fd >= 0)
			close(x->peers[i].fd);
	if (x->socket >= 0) {
		close(x->socket);
		unlink(x->g->cfg.socket);
	}
	for (int i = 0; i < 2; i++)
		if (x->stop[i] >= 0)
			close(x->stop[i]);
	free(x);
}
