/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The client's half of the shm transport; shm_wire.h has the protocol.
 *
 * Threads: tokens are minted by any; revokes come from one.  A region's
 * generation is atomic: it moves on before REVOKE is sent, so that no token
 * of the old one is minted while it dies.
 */
#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "rdma/rdma.h"
#include "rdma/shm_wire.h"

#define CONNECT_MS 3000
#define CLOSE_MS 2000

struct shm {
	struct rdma rdma; /* first */
	int socket;       /* owned */
	char session[SHM_SESSION + 1];
	atomic_uint *gens; /* owned, one a region */
	unsigned int nregions;
	atomic_bool ended;
};

static struct shm *to_shm(struct rdma *r)
{
	return (struct shm *)r;
}

static int shm_token(struct rdma *r, unsigned int region, size_t off,
		     size_t len, char out[TOKEN_MAX])
{
	struct shm *s = to_shm(r);
	struct token_shm t = {.region = region,
			      .gen = atomic_load(&s->gens[region]),
			      .off = off,
			      .len = (uint32_t)len};

	if (atomic_load(&s->ended))
		return -EPIPE;
	memcpy(t.session, s->session, sizeof(t.session));
	token_shm_format(&t, out);
	return 0;
}

/* One message, or -ETIMEDOUT, or -EPIPE for the end. */
static int receive(struct shm *s, struct shm_msg *m, int timeout_ms)
{
	struct pollfd p = {.fd = s->socket, .events = POLLIN};

	if (poll(&p, 1, timeout_ms) == 0)
		return -ETIMEDOUT;
	if (recv(s->socket, m, sizeof(*m), 0) == (ssize_t)sizeof(*m) &&
	    m->magic == SHM_MAGIC)
		return 0;
	atomic_store(&s->ended, true);
	return -EPIPE;
}

static int shm_revoke(struct rdma *r, unsigned int region, int timeout_ms)
{
	struct shm *s = to_shm(r);
	const unsigned int gen = atomic_fetch_add(&s->gens[region], 1) + 1;
	struct shm_msg m = {.magic = SHM_MAGIC,
			    .type = SHM_REVOKE,
			    .revoke = {region, gen}};
	const uint64_t until = clock_ms() + (uint64_t)timeout_ms;
	int err;

	if (send(s->socket, &m, sizeof(m), MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
		/* A full queue is a server that does not answer just now. */
		return errno == EAGAIN ? -ETIMEDOUT : receive(s, &m, 0);
	do {
		const uint64_t now = clock_ms();

		/* Answers to revokes that were given up come first. */
		err = receive(s, &m, now < until ? (int)(until - now) : 0);
	} while (!err && (m.type != SHM_REVOKED || m.revoke.region != region ||
			  m.revoke.gen != gen));
	return err;
}

static bool shm_alive(struct rdma *r)
{
	struct shm *s = to_shm(r);
	struct pollfd p = {.fd = s->socket, .events = POLLRDHUP};

	if (!atomic_load(&s->ended) && poll(&p, 1, 0) > 0 &&
	    (p.revents & (POLLHUP | POLLRDHUP | POLLERR)))
		atomic_store(&s->ended, true);
	return !atomic_load(&s->ended);
}

static void shm_close(struct rdma *r)
{
	struct shm *s = to_shm(r);
	struct shm_msg m;

	if (s->socket >= 0) {
		shutdown(s->socket, SHUT_WR);
		while (!atomic_load(&s->ended) && !receive(s, &m, CLOSE_MS))
			;
		close(s->socket);
	}
	free(s->gens);
	free(s);
}

static const struct rdma_ops shm_ops = {
	.name = "shm",
	.token = shm_token,
	.revoke = shm_revoke,
	.alive = shm_alive,
	.close = shm_close,
};

static int connect_to(const char *name)
{
	const struct timeval patience = {.tv_sec = CONNECT_MS / 1000};
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const size_t n = strlen(name);
	int fd;

	if (n + 1 > sizeof(addr.sun_path))
		return -EINVAL;
	memcpy(addr.sun_path + 1, name, n);
	fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	if (connect(fd, (const struct sockaddr *)&addr,
		    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				n))) {
		const int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

static int send_hello(struct shm *s, const char *ticket)
{
	const struct rdma_arena *a = s->rdma.arena;
	struct shm_msg m = {.magic = SHM_MAGIC, .type = SHM_HELLO};
	int fds[SHM_FILES];

	memcpy(m.hello.ticket, ticket, SHM_TICKET);
	m.hello.nfiles = a->nfiles;
	m.hello.nruns = a->nruns;
	for (unsigned int i = 0; i < a->nruns; i++)
		m.hello.runs[i] = (struct shm_run){
			a->runs[i].off, a->runs[i].len, a->runs[i].count};
	for (unsigned int i = 0; i < a->nfiles; i++) {
		m.hello.files[i] = a->files[i].len;
		fds[i] = a->files[i].fd;
	}
	return fdpass_send(s->socket, &m, sizeof(m), fds, a->nfiles,
			   MSG_NOSIGNAL) < 0
		       ? -errno
		       : 0;
}

static int shake_hands(struct shm *s, const char *ticket)
{
	struct shm_msg m;
	int err = send_hello(s, ticket);

	if (!err)
		err = receive(s, &m, CONNECT_MS);
	if (!err)
		err = m.type == SHM_WELCOME ? m.status : -EPROTO;
	if (!err)
		memcpy(s->session, m.welcome.session, SHM_SESSION);
	return err;
}

int rdma_shm_open(const char *socket_name, const char *ticket,
		  const struct rdma_arena *arena, struct rdma **out)
{
	struct shm *s;
	int err = 0;

	if (strlen(ticket) != SHM_TICKET)
		return -EINVAL;
	s = calloc(1, sizeof(*s));
	if (!s)
		return -ENOMEM;
	s->rdma.ops = &shm_ops;
	s->rdma.arena = arena;
	for (unsigned int i = 0; i < arena->nruns; i++)
		s->nregions += (unsigned int)arena->runs[i].count;
	s->gens = calloc(s->nregions, sizeof(*s->gens));
	s->socket = s->gens ? connect_to(socket_name) : -ENOMEM;
	err = s->socket < 0 ? s->socket : shake_hands(s, ticket);
	if (err) {
		atomic_store(&s->ended, true);
		shm_close(&s->rdma);
		return err;
	}
	*out = &s->rdma;
	return 0;
}
