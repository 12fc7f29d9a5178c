/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads: one accepts, each session has one that answers its REVOKEs, and
 * any thread of the server may write.
 *
 * Locks: server->lock guards the list of sessions and the tickets; a
 * session's lock guards its regions.  server->lock is taken first.
 *
 * A write is counted in its region while it goes on; a key dies when its
 * generation has moved on and that count is zero.  A session lives in the
 * list until its socket ends; its memory is unmapped when the last user has
 * left, and only then is the socket closed (shm_wire.h says why).
 *
 * The memory is another process's, which may cut it short at any time: it is
 * only ever written by pread(2), whose copy then fails with EFAULT where a
 * plain store would end the server.
 */
#include "rdma/shm_initiator.h"

#include <errno.h>
#include <linux/magic.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/fdpass.h"
#include "base/list.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/parse.h"
#include "base/thread.h"
#include "rdma/token.h"

#define MAX_SESSIONS 256
#define MAX_TICKETS 64
#define TICKET_MS 10000
#define PATIENCE_S 10
#define PAGE 4096

struct region {
	uint32_t gen;
	uint32_t writers;
};

struct session {
	struct list link; /* under server->lock */
	struct shm_server *server;
	int socket; /* owned */
	char id[SHM_SESSION + 1];
	char *map; /* owned mapping of size bytes */
	size_t size;
	struct shm_run runs[SHM_RUNS];
	unsigned int nruns, nregions;

	pthread_mutex_t lock;
	pthread_cond_t idle;
	/* Under lock. */
	struct region *regions; /* owned, nregions of them */
	unsigned int users;     /* writes going on in all */
	bool open, ended;       /* tokens are good between the two */
};

struct ticket {
	char text[SHM_TICKET + 1];
	uint64_t until_ms;
};

struct shm_server {
	int socket; /* owned */
	char name[64];
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t gone; /* a session has left the list */
	/* Under lock. */
	struct list sessions;
	unsigned int nsessions;
	struct ticket tickets[MAX_TICKETS];
	unsigned int next_ticket;
	bool stop;
};

/* ---- sessions ---- */

/* Where region i lies; false when there is none. */
static bool region_place(const struct session *s, uint32_t i, uint64_t *off,
			 uint64_t *len)
{
	for (unsigned int r = 0; r < s->nruns; r++) {
		if (i < s->runs[r].count) {
			*off = s->runs[r].off + i * s->runs[r].len;
			*len = s->runs[r].len;
			return true;
		}
		i -= (uint32_t)s->runs[r].count;
	}
	return false;
}

/* A file on a disk would take its writer's time, and its owner's quota. */
static bool is_memory(int fd)
{
	struct statfs fs;

	return !fstatfs(fd, &fs) &&
	       (fs.f_type == TMPFS_MAGIC || fs.f_type == HUGETLBFS_MAGIC);
}

/* The descriptors of a HELLO; owned, as many as came. */
struct files {
	int fds[SHM_FILES];
	unsigned int n;
};

/* Are they what the client says?  *size is their sum. */
static int check_files(const struct shm_msg *m, const struct files *f,
		       uint64_t *size)
{
	struct stat st;

	*size = 0;
	if (f->n == 0 || m->hello.nfiles != f->n)
		return -EINVAL;
	for (unsigned int i = 0; i < f->n; i++) {
		const uint64_t len = m->hello.files[i];

		if (fstat(f->fds[i], &st) || !is_memory(f->fds[i]) ||
		    len == 0 || len % PAGE || (uint64_t)st.st_size != len ||
		    __builtin_add_overflow(*size, len, size))
			return -EINVAL;
	}
	return 0;
}

/* All of what a client claims of its memory, checked before it is believed. */
static int check_runs(const struct shm_msg *m, uint64_t size,
		      unsigned int *nregions)
{
	uint64_t total = 0;

	if (m->hello.nruns == 0 || m->hello.nruns > SHM_RUNS)
		return -EINVAL;
	for (unsigned int i = 0; i < m->hello.nruns; i++) {
		const struct shm_run *r = &m->hello.runs[i];
		uint64_t bytes;

		if (r->len == 0 || r->count > SHM_MAX_REGIONS ||
		    __builtin_mul_overflow(r->len, r->count, &bytes) ||
		    r->off > size || bytes > size - r->off)
			return -EINVAL;
		total += r->count;
	}
	if (total == 0 || total > SHM_MAX_REGIONS)
		return -EINVAL;
	*nregions = (unsigned int)total;
	return 0;
}

static bool redeem(struct shm_server *s, const char *ticket)
{
	LOCK_SCOPE(&s->lock);
	for (int i = 0; i < MAX_TICKETS; i++) {
		struct ticket *t = &s->tickets[i];

		if (!t->text[0] || memcmp(t->text, ticket, SHM_TICKET) != 0)
			continue;
		t->text[0] = '\0';
		return clock_ms() < t->until_ms;
	}
	return false;
}

/* Receives HELLO and its descriptors, which are the caller's in any case. */
static int receive_hello(int sock, struct shm_msg *m, struct files *f)
{
	const ssize_t n = fdpass_receive(sock, m, sizeof(*m), f->fds, SHM_FILES,
					 &f->n, 0);

	return n == (ssize_t)sizeof(*m) && m->magic == SHM_MAGIC &&
			       m->type == SHM_HELLO
		       ? 0
		       : -EINVAL;
}

/*
 * Maps the files one after the other, with the lengths that were checked: what
 * fstat says may have changed since.
 */
static int map_files(struct session *s, const struct shm_msg *m,
		     const struct files *f, uint64_t size)
{
	char *at = mmap_reserve(size);

	if (!at)
		return -errno;
	s->map = at;
	s->size = size;
	for (unsigned int i = 0; i < f->n; i++) {
		if (mmap(at, m->hello.files[i], PROT_READ | PROT_WRITE,
			 MAP_SHARED | MAP_FIXED, f->fds[i], 0) == MAP_FAILED)
			return -errno;
		at += m->hello.files[i];
	}
	return 0;
}

static int set_up(struct session *s, const struct shm_msg *m,
		  const struct files *f)
{
	unsigned char id[SHM_SESSION / 2];
	uint64_t size;
	int err = check_files(m, f, &size);

	if (!err)
		err = check_runs(m, size, &s->nregions);
	if (err)
		return err;
	if (!redeem(s->server, m->hello.ticket))
		return -EACCES;
	memcpy(s->runs, m->hello.runs, sizeof(s->runs));
	s->nruns = (unsigned int)m->hello.nruns;
	s->regions = calloc(s->nregions, sizeof(*s->regions));
	if (!s->regions)
		return -ENOMEM;
	err = map_files(s, m, f, size);
	if (err)
		return err;
	random_bytes(id, sizeof(id));
	format_hex(id, sizeof(id), s->id);
	return 0;
}

/* Gives the region a new generation and waits until the old one is unused. */
static bool retire_key(struct session *s, uint32_t region, uint32_t gen)
{
	LOCK_SCOPE(&s->lock);
	if (region >= s->nregions)
		return false;
	s->regions[region].gen = gen;
	while (s->regions[region].writers > 0)
		pthread_cond_wait(&s->idle, &s->lock);
	return true;
}

static void serve_revokes(struct session *s)
{
	struct shm_msg m;

	while (recv(s->socket, &m, sizeof(m), 0) == (ssize_t)sizeof(m)) {
		if (m.magic != SHM_MAGIC || m.type != SHM_REVOKE ||
		    !retire_key(s, m.revoke.region, m.revoke.gen))
			break;
		m.type = SHM_REVOKED;
		if (send(s->socket, &m, sizeof(m), MSG_NOSIGNAL) < 0)
			break;
	}
}

/* Tokens of the session are good from now on. */
static void publish(struct session *s)
{
	LOCK_SCOPE(&s->lock);
	s->open = true;
}

/* No new write begins, and those that go on end. */
static void drain(struct session *s)
{
	{
		LOCK_SCOPE(&s->server->lock);
		list_del(&s->link);
	}
	LOCK_SCOPE(&s->lock);
	s->ended = true;
	while (s->users > 0)
		pthread_cond_wait(&s->idle, &s->lock);
}

static void free_session(struct session *s)
{
	struct shm_server *server = s->server;

	if (s->map)
		munmap(s->map, s->size);
	free(s->regions);
	close(s->socket);
	pthread_mutex_destroy(&s->lock);
	pthread_cond_destroy(&s->idle);
	free(s);
	LOCK_SCOPE(&server->lock);
	server->nsessions--;
	pthread_cond_broadcast(&server->gone);
}

static void set_patience(int sock, int option, time_t seconds)
{
	const struct timeval t = {.tv_sec = seconds};

	setsockopt(sock, SOL_SOCKET, option, &t, sizeof(t));
}

static void *run_session(void *arg)
{
	struct session *s = arg;
	struct shm_msg hello = {0},
		       welcome = {.magic = SHM_MAGIC, .type = SHM_WELCOME};
	struct files files = {.n = 0};

	pthread_detach(pthread_self());
	welcome.status = receive_hello(s->socket, &hello, &files);
	if (!welcome.status)
		welcome.status = set_up(s, &hello, &files);
	while (files.n > 0)
		close(files.fds[--files.n]);
	memcpy(welcome.welcome.session, s->id, SHM_SESSION);
	/* A session may be silent as long as it lasts. */
	set_patience(s->socket, SO_RCVTIMEO, 0);
	if (!welcome.status)
		publish(s);
	else
		log_warning("shm: a client's memory was not taken: %s",
			    strerror(-welcome.status));
	if (send(s->socket, &welcome, sizeof(welcome), MSG_NOSIGNAL) > 0 &&
	    !welcome.status)
		serve_revokes(s);
	drain(s);
	free_session(s);
	return NULL;
}

/* Listed from the start, so that the end of the server ends it too. */
static bool enlist(struct shm_server *server, struct session *s)
{
	LOCK_SCOPE(&server->lock);
	if (server->stop || server->nsessions >= MAX_SESSIONS)
		return false;
	server->nsessions++;
	list_add_tail(&server->sessions, &s->link);
	return true;
}

static void start_session(struct shm_server *server, int sock)
{
	struct session *s = calloc(1, sizeof(*s));

	if (!s) {
		close(sock);
		return;
	}
	s->server = server;
	s->socket = sock;
	list_init(&s->link);
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->idle, NULL);
	/* A peer that says nothing must not hold a thread for ever. */
	set_patience(sock, SO_SNDTIMEO, PATIENCE_S);
	set_patience(sock, SO_RCVTIMEO, PATIENCE_S);
	if (!enlist(server, s)) {
		close(sock);
		free(s);
		return;
	}
	if (thread_start(NULL, "shm-session", run_session, s)) {
		drain(s);
		free_session(s);
	}
}

static void *run_accept(void *arg)
{
	struct shm_server *s = arg;

	for (;;) {
		const int fd = accept4(s->socket, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0) {
			start_session(s, fd);
			continue;
		}
		if (errno == EINTR || errno == ECONNABORTED)
			continue;
		return NULL; /* shut down, by shm_server_free */
	}
}

/* ---- the server ---- */

static int listen_on(struct shm_server *s)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	unsigned char id[16];
	char hex[33];
	socklen_t len;

	random_bytes(id, sizeof(id));
	format_hex(id, sizeof(id), hex);
	snprintf(s->name, sizeof(s->name), "s3rdma-%s", hex);
	memcpy(addr.sun_path + 1, s->name, strlen(s->name));
	len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			  strlen(s->name));
	s->socket = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (s->socket < 0 ||
	    bind(s->socket, (const struct sockaddr *)&addr, len) ||
	    listen(s->socket, 64))
		return -errno;
	return 0;
}

int shm_server_new(struct shm_server **out)
{
	struct shm_server *s = calloc(1, sizeof(*s));
	int err;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	pthread_cond_init(&s->gone, NULL);
	list_init(&s->sessions);
	err = listen_on(s);
	if (!err) {
		err = thread_start(&s->thread, "shm-accept", run_accept, s);
		s->started = !err;
	}
	if (err) {
		shm_server_free(s);
		return err;
	}
	*out = s;
	return 0;
}

static void end_sessions(struct shm_server *s)
{
	struct list *e, *n;

	LOCK_SCOPE(&s->lock);
	s->stop = true;
	list_for_each_safe(e, n, &s->sessions) shutdown(
		container_of(e, struct session, link)->socket, SHUT_RDWR);
	while (s->nsessions > 0)
		pthread_cond_wait(&s->gone, &s->lock);
}

void shm_server_free(struct shm_server *s)
{
	if (!s)
		return;
	if (s->started) {
		shutdown(s->socket, SHUT_RDWR);
		pthread_join(s->thread, NULL);
		end_sessions(s);
	}
	if (s->socket >= 0)
		close(s->socket);
	pthread_cond_destroy(&s->gone);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const char *shm_server_name(const struct shm_server *s)
{
	return s->name;
}

void shm_server_ticket(struct shm_server *s, char out[SHM_TICKET + 1])
{
	unsigned char raw[SHM_TICKET / 2];
	struct ticket *t;

	random_bytes(raw, sizeof(raw));
	format_hex(raw, sizeof(raw), out);
	LOCK_SCOPE(&s->lock);
	t = &s->tickets[s->next_ticket];
	s->next_ticket = (s->next_ticket + 1) % MAX_TICKETS;
	memcpy(t->text, out, sizeof(t->text));
	t->until_ms = clock_ms() + TICKET_MS;
}

/* ---- writes ---- */

/* Under the server's lock: counts a write into the window.  -ENOENT when the
 * token is of another session. */
static int claim_in(struct session *x, const struct token_shm *t, uint64_t len,
		    char **addr)
{
	uint64_t place, room;

	LOCK_SCOPE(&x->lock);
	if (!x->open || memcmp(x->id, t->session, SHM_SESSION) != 0)
		return -ENOENT;
	if (!region_place(x, t->region, &place, &room) || t->off > room ||
	    t->len > room - t->off || len > t->len)
		return -EINVAL;
	if (x->ended || x->regions[t->region].gen != t->gen)
		return -ESTALE;
	x->regions[t->region].writers++;
	x->users++;
	*addr = x->map + place + t->off;
	return 0;
}

/* Claims the window that the token names: counted until unclaim. */
static int claim(struct shm_server *s, const struct token_shm *t, uint64_t len,
		 struct session **out, char **addr)
{
	struct list *e, *n;

	LOCK_SCOPE(&s->lock);
	list_for_each_safe(e, n, &s->sessions)
	{
		struct session *x = container_of(e, struct session, link);
		const int err = claim_in(x, t, len, addr);

		if (err == -ENOENT)
			continue;
		*out = x;
		return err;
	}
	return -ESTALE;
}

static void unclaim(struct session *x, uint32_t region)
{
	LOCK_SCOPE(&x->lock);
	x->regions[region].writers--;
	x->users--;
	if (x->regions[region].writers == 0 || x->users == 0)
		pthread_cond_broadcast(&x->idle);
}

int shm_server_read(struct shm_server *s, const char *token, int fd,
		    uint64_t off, uint64_t len)
{
	struct session *x = NULL;
	struct token_shm t;
	char *to = NULL;
	int err = token_shm_parse(token, &t);

	if (!err)
		err = claim(s, &t, len, &x, &to);
	if (err)
		return err;
	while (!err && len > 0) {
		const ssize_t n = pread(fd, to, len, (off_t)off);

		if (n <= 0) {
			err = n < 0 ? -errno : -EIO;
			break;
		}
		to += n;
		off += (uint64_t)n;
		len -= (uint64_t)n;
	}
	unclaim(x, t.region);
	return err;
}
