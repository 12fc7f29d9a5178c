/* SPDX-License-Identifier: Apache-2.0 */
/* Both halves of the shm transport in one process. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/fdpass.h"
#include "base/memory.h"
#include "rdma/rdma.h"
#include "rdma/shm_initiator.h"
#include "unit.h"

#define BIG 65536ULL
#define NBIG 4
#define SMALL 4096ULL
#define NSMALL 8
#define REGIONS (NBIG + NSMALL)
#define ARENA (NBIG * BIG + NSMALL * SMALL)

static struct shm_server *server;
static struct rdma_arena arena;
static struct rdma *session;
static int file; /* ARENA bytes, each its offset's */

static char byte_at(uint64_t off)
{
	return (char)(off * 13 + (off >> 8) + 1);
}

static bool is_untouched(const volatile char *p, size_t n)
{
	while (n > 0 && p[n - 1] == 0x55)
		n--;
	return n == 0;
}

static void make_arena(struct rdma_arena *a, bool seal)
{
	/* The first region in a file of its own, the others in a second. */
	const uint64_t lens[] = {BIG, ARENA - BIG};
	uint64_t at = 0;

	*a = (struct rdma_arena){
		.size = ARENA,
		.addr = mmap_reserve(ARENA),
		.runs = {{0, BIG, NBIG}, {NBIG * BIG, SMALL, NSMALL}},
		.nruns = 2,
		.nfiles = 2};
	ck_assert_ptr_nonnull(a->addr);
	for (int i = 0; i < 2; i++) {
		const int fd = memfd_create("test",
					    MFD_CLOEXEC | MFD_ALLOW_SEALING);

		ck_assert_int_ge(fd, 0);
		ck_assert_int_eq(ftruncate(fd, (off_t)lens[i]), 0);
		if (seal)
			ck_assert_int_eq(fcntl(fd, F_ADD_SEALS,
					       F_SEAL_SHRINK | F_SEAL_GROW |
						       F_SEAL_SEAL),
					 0);
		ck_assert_ptr_ne(mmap(a->addr + at, lens[i],
				      PROT_READ | PROT_WRITE,
				      MAP_SHARED | MAP_FIXED, fd, 0),
				 MAP_FAILED);
		a->files[i] = (struct rdma_file){fd, lens[i]};
		at += lens[i];
	}
}

static void free_arena(struct rdma_arena *a)
{
	munmap(a->addr, a->size);
	for (unsigned int i = 0; i < a->nfiles; i++)
		close(a->files[i].fd);
}

static void make_file(void)
{
	AUTO_FREE char *data = malloc(ARENA);

	for (uint64_t i = 0; i < ARENA; i++)
		data[i] = byte_at(i);
	file = memfd_create("file", MFD_CLOEXEC);
	ck_assert_int_eq(write(file, data, ARENA), (ssize_t)ARENA);
}

static int open_session(const struct rdma_arena *a, struct rdma **out)
{
	char ticket[SHM_TICKET + 1];

	shm_server_ticket(server, ticket);
	return rdma_shm_open(shm_server_name(server), ticket, a, out);
}

static void setup(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	make_file();
	make_arena(&arena, true);
	ck_assert_int_eq(shm_server_new(&server), 0);
	ck_assert_int_eq(open_session(&arena, &session), 0);
}

static void teardown(void)
{
	if (session)
		rdma_close(session);
	shm_server_free(server);
	free_arena(&arena);
	close(file);
}

static void token_for(unsigned int region, size_t off, size_t len,
		      char out[TOKEN_MAX])
{
	ck_assert_int_eq(rdma_token(session, region, off, len, out), 0);
}

static const struct {
	unsigned int region;
	uint64_t off, len, file_off;
} reads[] = {
	{0, 0, BIG, 0},
	{NBIG - 1, 0, BIG, 12345},
	{NBIG, 0, SMALL, 1},
	{REGIONS - 1, 0, SMALL, ARENA - SMALL},
	{1, 100, 1, 77},
	{1, BIG - 1, 1, 0},
	{REGIONS - 1, 4000, 96, 5},
};

START_TEST(reads_into_the_window)
{
	const unsigned int region = reads[_i].region;
	const uint64_t place = region < NBIG
				       ? region * BIG
				       : NBIG * BIG + (region - NBIG) * SMALL;
	const uint64_t first = place + reads[_i].off;
	char token[TOKEN_MAX];

	memset(arena.addr, 0x55, arena.size);
	token_for(region, reads[_i].off, reads[_i].len, token);
	ck_assert_int_eq(shm_server_read(server, token, file,
					 reads[_i].file_off, reads[_i].len),
			 0);
	for (uint64_t i = 0; i < ARENA; i++) {
		const bool inside = i >= first && i < first + reads[_i].len;

		if (arena.addr[i] !=
		    (inside ? byte_at(reads[_i].file_off + i - first) : 0x55))
			ck_abort_msg("byte %llu", (unsigned long long)i);
	}
}
END_TEST

/* A token is changed in one field, the rest is good. */
static const struct {
	const char *what;
	uint32_t region, gen;
	uint64_t off;
	uint32_t len, ask;
	bool other_session;
	int err;
} wrongs[] = {
	{"as it should be", 1, 0, 0, 100, 100, false, 0},
	{"less than the window", 1, 0, 0, 100, 10, false, 0},
	{"another session", 1, 0, 0, 100, 100, true, -ESTALE},
	{"no such region", REGIONS, 0, 0, 100, 100, false, -EINVAL},
	{"the last region number", UINT32_MAX, 0, 0, 100, 100, false, -EINVAL},
	{"a later key", 1, 1, 0, 100, 100, false, -ESTALE},
	{"an earlier key", 1, UINT32_MAX, 0, 100, 100, false, -ESTALE},
	{"past the region", 1, 0, BIG - 99, 100, 100, false, -EINVAL},
	{"far past the region", 1, 0, 1ULL << 63, 100, 100, false, -EINVAL},
	{"into the next region", NBIG, 0, SMALL, 1, 1, false, -EINVAL},
	{"too long for its region", NBIG, 0, 0, SMALL + 1, SMALL + 1, false,
	 -EINVAL},
	{"more than the window", 1, 0, 0, 100, 101, false, -EINVAL},
	{"behind the file", 1, 0, 0, 100, 0, false, -EIO},
};

START_TEST(refuses)
{
	char token[TOKEN_MAX];
	struct token_shm t;
	const uint64_t ask = wrongs[_i].ask ? wrongs[_i].ask : 100;

	memset(arena.addr, 0x55, arena.size);
	token_for(1, 0, 100, token);
	ck_assert_int_eq(token_shm_parse(token, &t), 0);
	t.region = wrongs[_i].region;
	t.gen = wrongs[_i].gen;
	t.off = wrongs[_i].off;
	t.len = wrongs[_i].len;
	if (wrongs[_i].other_session)
		t.session[5] = t.session[5] == '0' ? '1' : '0';
	token_shm_format(&t, token);
	ck_assert_msg(shm_server_read(server, token, file,
				      wrongs[_i].ask ? 0 : ARENA,
				      ask) == wrongs[_i].err,
		      "%s", wrongs[_i].what);
	if (!wrongs[_i].err)
		return;
	ck_assert(is_untouched(arena.addr, ARENA));
}
END_TEST

START_TEST(refuses_what_is_no_token)
{
	ck_assert_int_eq(shm_server_read(server, "", file, 0, 1), -EINVAL);
	ck_assert_int_eq(shm_server_read(server, "shm:", file, 0, 1), -EINVAL);
}
END_TEST

START_TEST(tells_the_files_error)
{
	char token[TOKEN_MAX];

	token_for(0, 0, 100, token);
	ck_assert_int_eq(shm_server_read(server, token, -1, 0, 100), -EBADF);
	/* Cut short: part of it may have come, but it is no success. */
	ck_assert_int_eq(shm_server_read(server, token, file, ARENA - 50, 100),
			 -EIO);
	/* The region is not held by what failed. */
	ck_assert_int_eq(rdma_revoke(session, 0, 1000), 0);
}
END_TEST

START_TEST(revoke_kills_the_key)
{
	char old[TOKEN_MAX], other[TOKEN_MAX], now[TOKEN_MAX];

	token_for(2, 0, 100, old);
	token_for(3, 0, 100, other);
	ck_assert_int_eq(rdma_revoke(session, 2, 1000), 0);
	ck_assert_int_eq(shm_server_read(server, old, file, 0, 100), -ESTALE);
	ck_assert_int_eq(shm_server_read(server, other, file, 0, 100), 0);
	token_for(2, 0, 100, now);
	ck_assert_str_ne(old, now);
	ck_assert_int_eq(shm_server_read(server, now, file, 0, 100), 0);
	ck_assert_int_eq(rdma_revoke(session, 2, 1000), 0);
	ck_assert_int_eq(shm_server_read(server, now, file, 0, 100), -ESTALE);
	ck_assert(rdma_alive(session));
}
END_TEST

/* ---- a write that goes on ---- */

static atomic_bool write_goes_on;
static atomic_int write_err;

/* A length that takes the kernel a while. */
static void *slow_write(void *arg)
{
	const char *token = arg;
	const int zero = open("/dev/zero", O_RDONLY);

	atomic_store(&write_goes_on, true);
	atomic_store(&write_err,
		     shm_server_read(server, token, zero, 0, 256ULL << 20));
	close(zero);
	return NULL;
}

START_TEST(revoke_waits_for_a_write)
{
	struct rdma_arena a = {.size = 256ULL << 20,
			       .runs = {{0, 256ULL << 20, 1}},
			       .nruns = 1};
	char token[TOKEN_MAX];
	struct rdma *r;
	pthread_t t;
	int waited = 0;
	char *last;

	a.files[0] = (struct rdma_file){
		memfd_create("large", MFD_ALLOW_SEALING), a.size};
	a.nfiles = 1;
	ck_assert_int_eq(ftruncate(a.files[0].fd, (off_t)a.size), 0);
	ck_assert_int_eq(fcntl(a.files[0].fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	a.addr = mmap(NULL, a.size, PROT_READ | PROT_WRITE, MAP_SHARED,
		      a.files[0].fd, 0);
	ck_assert_ptr_ne(a.addr, MAP_FAILED);
	last = a.addr + a.size - 4096;
	ck_assert_int_eq(open_session(&a, &r), 0);
	/* Until one revoke was seen to come while the write went on. */
	for (int tries = 0; tries < 20 && !waited; tries++) {
		int err;

		atomic_store(&write_goes_on, false);
		ck_assert_int_eq(rdma_token(r, 0, 0, a.size, token), 0);
		ck_assert_int_eq(pthread_create(&t, NULL, slow_write, token),
				 0);
		while (!atomic_load(&write_goes_on))
			sched_yield();
		do {
			/* The write was over first or its key was dead. */
			err = rdma_revoke(r, 0, 1);
			waited += err == -ETIMEDOUT;
		} while (err == -ETIMEDOUT);
		ck_assert_int_eq(err, 0);
		/* The memory is ours: nothing may be written any more. */
		memset(last, 0x55, 4096);
		pthread_join(t, NULL);
		ck_assert_msg(is_untouched(last, 4096), "written after fence");
		ck_assert(atomic_load(&write_err) == 0 ||
			  atomic_load(&write_err) == -ESTALE);
		ck_assert_int_eq(shm_server_read(server, token, file, 0, 1),
				 -ESTALE);
	}
	ck_assert_msg(waited, "no revoke met a write");
	rdma_close(r);
	free_arena(&a);
}
END_TEST

/* ---- sessions ---- */

START_TEST(ticket_is_for_one_session)
{
	struct rdma_arena a;
	struct rdma *r = NULL, *again = NULL;
	char ticket[SHM_TICKET + 1];

	make_arena(&a, true);
	shm_server_ticket(server, ticket);
	ck_assert_int_eq(rdma_shm_open(shm_server_name(server), ticket, &a, &r),
			 0);
	ck_assert_int_eq(
		rdma_shm_open(shm_server_name(server), ticket, &a, &again),
		-EACCES);
	ck_assert_ptr_null(again);
	ticket[0] = ticket[0] == '0' ? '1' : '0';
	ck_assert_int_eq(
		rdma_shm_open(shm_server_name(server), ticket, &a, &again),
		-EACCES);
	ck_assert_int_eq(
		rdma_shm_open(shm_server_name(server), "short", &a, &again),
		-EINVAL);
	ck_assert_int_eq(rdma_shm_open("s3rdma-nobody", ticket, &a, &again),
			 -ECONNREFUSED);
	rdma_close(r);
	free_arena(&a);
}
END_TEST

START_TEST(empty_ticket_opens_nothing)
{
	char zeros[SHM_TICKET + 1];
	struct rdma *r = NULL;

	memset(zeros, '0', SHM_TICKET);
	zeros[SHM_TICKET] = '\0';
	ck_assert_int_eq(
		rdma_shm_open(shm_server_name(server), zeros, &arena, &r),
		-EACCES);
}
END_TEST

static void cut_runs(struct rdma_arena *a)
{
	a->nruns = 0;
}

static void long_run(struct rdma_arena *a)
{
	a->runs[1].count++;
}

static void far_run(struct rdma_arena *a)
{
	a->runs[1].off = UINT64_MAX - 10;
}

static void empty_regions(struct rdma_arena *a)
{
	a->runs[0].len = 0;
}

static void overflowing_run(struct rdma_arena *a)
{
	a->runs[0].len = 1ULL << 60;
	a->runs[0].count = 16;
}

static void larger(struct rdma_arena *a)
{
	a->files[1].len += 4096;
}

static void smaller(struct rdma_arena *a)
{
	a->files[1].len -= 4096;
}

static void odd(struct rdma_arena *a)
{
	a->files[1].len -= 1;
}

static void no_files(struct rdma_arena *a)
{
	close(a->files[0].fd);
	close(a->files[1].fd);
	a->nfiles = 0;
}

static void fewer_files(struct rdma_arena *a)
{
	close(a->files[--a->nfiles].fd);
}

static const struct {
	const char *what;
	bool seal;
	void (*spoil)(struct rdma_arena *a);
} hellos[] = {
	{"no runs", true, cut_runs},
	{"a run past the end", true, long_run},
	{"a run that wraps", true, far_run},
	{"regions of no bytes", true, empty_regions},
	{"a run that overflows", true, overflowing_run},
	{"larger than it is", true, larger},
	{"smaller than it is", true, smaller},
	{"a file of half a page", true, odd},
	{"no files", true, no_files},
	{"runs past the files", true, fewer_files},
};

START_TEST(hello_is_checked)
{
	struct rdma *r = NULL;
	struct rdma_arena a;
	char token[TOKEN_MAX];

	make_arena(&a, hellos[_i].seal);
	if (hellos[_i].spoil)
		hellos[_i].spoil(&a);
	ck_assert_msg(open_session(&a, &r) == -EINVAL, "%s", hellos[_i].what);
	ck_assert_ptr_null(r);
	/* The others do not mind. */
	token_for(0, 0, 10, token);
	ck_assert_int_eq(shm_server_read(server, token, file, 0, 10), 0);
	free_arena(&a);
}
END_TEST

/* Memory that its owner cuts short fails writes, and nothing else. */
START_TEST(memory_that_shrinks)
{
	struct rdma *r = NULL;
	struct rdma_arena a;
	char token[TOKEN_MAX];

	make_arena(&a, false);
	ck_assert_int_eq(open_session(&a, &r), 0);
	ck_assert_int_eq(rdma_token(r, 0, 0, 100, token), 0);
	ck_assert_int_eq(shm_server_read(server, token, file, 0, 100), 0);
	ck_assert_int_eq(ftruncate(a.files[0].fd, 0), 0);
	ck_assert_int_eq(shm_server_read(server, token, file, 0, 100), -EFAULT);
	rdma_close(r);
	token_for(0, 0, 10, token);
	ck_assert_int_eq(shm_server_read(server, token, file, 0, 10), 0);
	free_arena(&a);
}
END_TEST

START_TEST(hello_without_memory)
{
	struct rdma_arena a = arena;
	struct rdma *r = NULL;

	a.files[0].fd = open("/proc/self/exe",
			     O_RDONLY | O_CLOEXEC); /* on a disk */
	ck_assert_int_ge(a.files[0].fd, 0);
	ck_assert_int_eq(open_session(&a, &r), -EINVAL);
	close(a.files[0].fd);
	ck_assert_ptr_null(r);
}
END_TEST

static int connect_raw(void)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};
	const char *name = shm_server_name(server);
	const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	memcpy(addr.sun_path + 1, name, strlen(name));
	ck_assert_int_eq(
		connect(fd, (void *)&addr,
			(socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				    strlen(name))),
		0);
	return fd;
}

START_TEST(garbage_is_refused)
{
	struct shm_msg m = {.magic = SHM_MAGIC, .type = SHM_HELLO};
	const int fd = connect_raw();
	struct shm_msg answer;

	ck_assert_int_eq(send(fd, &m, 17, 0), 17);
	ck_assert_int_eq(recv(fd, &answer, sizeof(answer), 0),
			 (ssize_t)sizeof(answer));
	ck_assert_int_eq(answer.type, SHM_WELCOME);
	ck_assert_int_eq(answer.status, -EINVAL);
	ck_assert_int_eq(recv(fd, &answer, sizeof(answer), 0), 0);
	close(fd);
}
END_TEST

static unsigned int open_files(void)
{
	unsigned int n = 0;

	for (int fd = 0; fd < 1024; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Descriptors come with an empty message, too, and are nobody's then. */
START_TEST(descriptors_with_nothing)
{
	const unsigned int before = open_files();
	const int fds[] = {file, file, file};
	char byte;

	for (int i = 0; i < 5; i++) {
		const int fd = connect_raw();
		struct shm_msg answer;

		ck_assert_int_ge(fdpass_send(fd, &byte, 0, fds, 3, 0), 0);
		while (recv(fd, &answer, sizeof(answer), 0) > 0)
			;
		close(fd);
	}
	ck_assert_uint_eq(open_files(), before);
}
END_TEST

/* Who connects and says nothing must hold up neither the end of the server
 * nor, for ever, a place in it. */
START_TEST(silent_client_does_not_hold_the_server)
{
	const int fd = connect_raw();
	char token[TOKEN_MAX];

	token_for(0, 0, 10, token); /* the session before it still works */
	ck_assert_int_eq(shm_server_read(server, token, file, 0, 10), 0);
	rdma_close(session);
	session = NULL;
	shm_server_free(server);
	ck_assert_int_eq(shm_server_new(&server), 0);
	close(fd);
}
END_TEST

START_TEST(end_of_the_server_ends_the_session)
{
	char token[TOKEN_MAX];

	ck_assert(rdma_alive(session));
	ck_assert_str_eq(rdma_name(session), "shm");
	shm_server_free(server);
	ck_assert(!rdma_alive(session));
	ck_assert_int_eq(rdma_token(session, 0, 0, 10, token), -EPIPE);
	ck_assert_int_eq(rdma_revoke(session, 0, 1000), -EPIPE);
	ck_assert_int_eq(shm_server_new(&server), 0);
}
END_TEST

START_TEST(end_of_the_client_kills_its_keys)
{
	char token[TOKEN_MAX];

	token_for(0, 0, 10, token);
	rdma_close(session); /* waits for the server to let go */
	session = NULL;
	ck_assert_int_eq(shm_server_read(server, token, file, 0, 10), -ESTALE);
}
END_TEST

START_TEST(sessions_are_apart)
{
	char mine[TOKEN_MAX], theirs[TOKEN_MAX];
	struct rdma_arena a;
	struct rdma *r;

	make_arena(&a, true);
	ck_assert_int_eq(open_session(&a, &r), 0);
	token_for(0, 0, 10, mine);
	ck_assert_int_eq(rdma_token(r, 0, 0, 10, theirs), 0);
	ck_assert_str_ne(mine, theirs);
	memset(arena.addr, 0x55, 10);
	ck_assert_int_eq(shm_server_read(server, theirs, file, 0, 10), 0);
	ck_assert_int_eq(a.addr[9], byte_at(9));
	ck_assert_int_eq(arena.addr[9], 0x55);
	rdma_close(r);
	ck_assert_int_eq(shm_server_read(server, theirs, file, 0, 10), -ESTALE);
	ck_assert_int_eq(shm_server_read(server, mine, file, 0, 10), 0);
	free_arena(&a);
}
END_TEST

/* The client takes a hole out of its memory while the server writes: the
 * server gets an error or goes on, but lives. */
START_TEST(punched_memory_is_no_harm)
{
	char token[TOKEN_MAX];

	fallocate(arena.files[0].fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
		  0, (off_t)BIG);
	token_for(0, 0, 10, token);
	ck_assert_int_eq(shm_server_read(server, token, file, 0, 10), 0);
	ck_assert_int_eq(arena.addr[3], byte_at(3));
}
END_TEST

/* ---- many at once ---- */

#define WRITERS 6
#define PIECE 512 /* each writer has its own of every region */

static atomic_bool stop_writers;
static atomic_uint moved, refused;
static char current[REGIONS][WRITERS][TOKEN_MAX];
static pthread_mutex_t current_lock = PTHREAD_MUTEX_INITIALIZER;

static void copy_current(unsigned int region, unsigned int who,
			 char out[TOKEN_MAX])
{
	LOCK_SCOPE(&current_lock);
	memcpy(out, current[region][who], TOKEN_MAX);
}

static void renew_current(unsigned int region)
{
	LOCK_SCOPE(&current_lock);
	for (unsigned int i = 0; i < WRITERS; i++)
		token_for(region, i * PIECE, PIECE, current[region][i]);
}

static void *writer(void *arg)
{
	const unsigned int who = (unsigned int)(uintptr_t)arg;
	unsigned int i = who;

	while (!atomic_load(&stop_writers)) {
		char token[TOKEN_MAX];
		int err;

		copy_current(++i % REGIONS, who, token);
		err = shm_server_read(server, token, file, 0, PIECE);
		if (err && err != -ESTALE)
			abort();
		atomic_fetch_add(err ? &refused : &moved, 1);
	}
	return NULL;
}

/* After each fence the memory is ours: nothing may change in it. */
START_TEST(fences_hold_under_load)
{
	const uint64_t until = clock_ms() + 1000;
	unsigned int fences = 0;
	pthread_t t[WRITERS];

	for (unsigned int i = 0; i < REGIONS; i++)
		renew_current(i);
	for (uintptr_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_create(&t[i], NULL, writer, (void *)i);
	while (clock_ms() < until) {
		const unsigned int region = fences++ % NBIG;
		char *p = arena.addr + region * BIG;

		ck_assert_int_eq(rdma_revoke(session, region, 5000), 0);
		memset(p, 0x55, SMALL);
		for (int k = 0; k < 20; k++)
			ck_assert(is_untouched(p, SMALL));
		renew_current(region);
	}
	atomic_store(&stop_writers, true);
	for (size_t i = 0; i < ARRAY_SIZE(t); i++)
		pthread_join(t[i], NULL);
	ck_assert_uint_gt(fences, 10);
	ck_assert_uint_gt(atomic_load(&moved), 100);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("shm");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	ADD_ROWS(tc, reads_into_the_window, reads);
	ADD_ROWS(tc, refuses, wrongs);
	tcase_add_test(tc, refuses_what_is_no_token);
	tcase_add_test(tc, tells_the_files_error);
	tcase_add_test(tc, revoke_kills_the_key);
	tcase_add_test(tc, revoke_waits_for_a_write);
	tcase_add_test(tc, ticket_is_for_one_session);
	tcase_add_test(tc, empty_ticket_opens_nothing);
	ADD_ROWS(tc, hello_is_checked, hellos);
	tcase_add_test(tc, hello_without_memory);
	tcase_add_test(tc, memory_that_shrinks);
	tcase_add_test(tc, garbage_is_refused);
	tcase_add_test(tc, descriptors_with_nothing);
	tcase_add_test(tc, end_of_the_server_ends_the_session);
	tcase_add_test(tc, end_of_the_client_kills_its_keys);
	tcase_add_test(tc, sessions_are_apart);
	tcase_add_test(tc, punched_memory_is_no_harm);
	tcase_add_test(tc, fences_hold_under_load);
	suite_add_tcase(s, tc);

	tc = tcase_create("silent client");
	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 8);
	tcase_add_test(tc, silent_client_does_not_hold_the_server);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
