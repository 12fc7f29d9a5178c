/* SPDX-License-Identifier: Apache-2.0 */
#include "work.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"
#include "proc.h"

#define THREADS_MAX 64
#define PAGE 4096
#define HEAD (64 << 10)   /* of a file of tensors */
#define TENSOR (24 << 20) /* the largest of them */

/* One run of a work; its threads share it. */
struct run {
	const struct work *w;
	const struct work_place *p;
	int handle; /* of all, or -1 */
	atomic_uint next;
	atomic_int err;
	char why[256]; /* of the first error */
};

struct reader {
	struct run *run;
	unsigned int number;
	pthread_t thread;
	char *buf;
	uint64_t bytes, ops, state;
	struct hist took;
};

static void fail(struct run *run, const char *what)
{
	int none = 0;

	if (atomic_compare_exchange_strong(&run->err, &none,
					   errno ? -errno : -EIO))
		snprintf(run->why, sizeof(run->why), "%s", what);
}

static uint64_t random_of(struct reader *r)
{
	r->state ^= r->state << 13;
	r->state ^= r->state >> 7;
	r->state ^= r->state << 17;
	return r->state;
}

static int open_object(const struct run *run, unsigned int i)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/object%u", run->p->dir,
		 i % WORK_OBJECTS);
	return open(path, O_RDONLY | O_CLOEXEC);
}

static ssize_t timed_read(struct reader *r, int fd, size_t n, uint64_t off)
{
	const uint64_t begin = clock_ns();
	const ssize_t got = pread(fd, r->buf, n, (off_t)off);

	if (got > 0) {
		hist_add(&r->took, clock_ns() - begin);
		r->bytes += (uint64_t)got;
		r->ops++;
	}
	return got;
}

static void read_stream(struct reader *r)
{
	AUTO_CLOSE int fd = open_object(r->run,
					r->run->w->shared ? 0 : r->number);
	uint64_t off = 0;
	ssize_t n = -1;

	while (fd >= 0 && (n = timed_read(r, fd, r->run->w->block, off)) > 0)
		off += (uint64_t)n;
	if (fd < 0 || n < 0 || off != r->run->p->size)
		fail(r->run, "a stream");
}

static void read_random(struct reader *r)
{
	const struct work *w = r->run->w;
	const uint64_t blocks = r->run->p->size / w->block;
	AUTO_CLOSE int own = r->run->handle < 0 ? open_object(r->run, 0) : -1;
	const int fd = own < 0 ? r->run->handle : own;

	while (atomic_fetch_add(&r->run->next, 1) < w->ops) {
		const uint64_t at = random_of(r) % blocks * w->block;

		if (timed_read(r, fd, w->block, at) != (ssize_t)w->block) {
			fail(r->run, "a random read");
			return;
		}
	}
}

static void read_files(struct reader *r)
{
	const struct work_place *p = r->run->p;
	char path[512];
	unsigned int i;

	while ((i = atomic_fetch_add(&r->run->next, 1)) < p->files) {
		const uint64_t begin = clock_ns();
		AUTO_CLOSE int fd = -1;

		snprintf(path, sizeof(path), "%s/small/%05u", p->dir, i);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || pread(fd, r->buf, p->file_size, 0) !=
				      (ssize_t)p->file_size) {
			fail(r->run, path);
			return;
		}
		hist_add(&r->took, clock_ns() - begin);
		r->bytes += p->file_size;
		r->ops++;
	}
}

/* The open is not counted: it is the version that it asks for, not bytes. */
static void read_first(struct reader *r)
{
	const struct work_place *p = r->run->p;
	char path[512];
	unsigned int i;

	while ((i = atomic_fetch_add(&r->run->next, 1)) < r->run->w->ops) {
		AUTO_CLOSE int fd = -1;

		snprintf(path, sizeof(path), "%s/small/%05u", p->dir,
			 i * 37 % p->files);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || timed_read(r, fd, PAGE, 0) != PAGE) {
			fail(r->run, path);
			return;
		}
	}
}

static char *map_object(const struct run *run)
{
	AUTO_CLOSE int fd = open_object(run, 0);
	void *at = fd < 0 ? MAP_FAILED
			  : mmap(NULL, run->p->size, PROT_READ, MAP_SHARED, fd,
				 0);

	return at == MAP_FAILED ? NULL : at;
}

static void read_map(struct reader *r)
{
	const uint64_t size = r->run->p->size;
	char *at = map_object(r->run);
	unsigned int sum = 0;

	if (!at) {
		fail(r->run, "mmap");
		return;
	}
	for (uint64_t off = 0; off < size; off += PAGE) {
		const uint64_t begin = clock_ns();

		sum += *(volatile unsigned char *)(at + off);
		hist_add(&r->took, clock_ns() - begin);
	}
	r->bytes += size;
	r->ops += size / PAGE;
	r->state += sum;
	munmap(at, size);
}

/* A step that visits each of n in turn, in an order that is not theirs. */
static unsigned int odd_step(unsigned int n)
{
	unsigned int step = 7;

	for (;; step++) {
		unsigned int a = n, b = step;

		while (b) {
			const unsigned int rest = a % b;

			a = b;
			b = rest;
		}
		if (a == 1)
			return step;
	}
}

/* A file as safetensors has it: a head that says where all is, then each
 * piece whole, out of order. */
static void read_tensors(struct reader *r)
{
	const uint64_t size = r->run->p->size;
	const unsigned int pieces = (unsigned int)(size / TENSOR);
	const unsigned int step = odd_step(pieces);
	AUTO_CLOSE int fd = open_object(r->run, 0);
	AUTO_FREE char *to = malloc(TENSOR);
	char *at = map_object(r->run);

	if (fd < 0 || !to || !at || timed_read(r, fd, HEAD, 0) != HEAD) {
		fail(r->run, "mmap");
		return;
	}
	for (unsigned int i = 0; i < pieces; i++) {
		const uint64_t off = (uint64_t)i * step % pieces * TENSOR;
		const uint64_t begin = clock_ns();

		memcpy(to, at + off, TENSOR);
		hist_add(&r->took, clock_ns() - begin);
		r->bytes += TENSOR;
		r->ops++;
	}
	munmap(at, size);
}

static void *read_all(void *arg)
{
	static void (*const kinds[])(struct reader * r) = {
		[WORK_STREAM] = read_stream, [WORK_RANDOM] = read_random,
		[WORK_FILES] = read_files,   [WORK_FIRST] = read_first,
		[WORK_MAP] = read_map,       [WORK_TENSORS] = read_tensors,
	};
	struct reader *r = arg;

	errno = 0;
	kinds[r->run->w->kind](r);
	return NULL;
}

static size_t buffer_size(const struct work *w, const struct work_place *p)
{
	size_t n = w->block > p->file_size ? w->block : p->file_size;

	n = n > HEAD ? n : HEAD;
	return (n + PAGE - 1) / PAGE * PAGE;
}

/* On a page, as cat, cp and dd have theirs: a request to the kernel's FUSE
 * holds so many pages, and a buffer that begins inside one costs one more. */
static struct reader *make_readers(struct run *run)
{
	const size_t n = run->w->threads;
	struct reader *readers = calloc(n, sizeof(*readers));

	for (unsigned int i = 0; readers && i < n; i++) {
		readers[i].run = run;
		readers[i].number = i;
		readers[i].state = 0x9E3779B97F4A7C15ULL * (i + 1);
		readers[i].buf = aligned_alloc(PAGE,
					       buffer_size(run->w, run->p));
		if (!readers[i].buf)
			fail(run, "memory");
		else /* its pages are there before the clock runs */
			memset(readers[i].buf, 1, buffer_size(run->w, run->p));
	}
	return readers;
}

static void free_readers(struct reader *readers, unsigned int n)
{
	for (unsigned int i = 0; readers && i < n; i++)
		free(readers[i].buf);
	free(readers);
}

static void go(struct run *run, struct reader *readers, struct work_result *out)
{
	const double cpu = proc_own_cpu();
	const uint64_t begin = clock_ns();
	unsigned int started = 0;

	while (started < run->w->threads &&
	       !thread_start(&readers[started].thread, "reader", read_all,
			     &readers[started]))
		started++;
	if (started < run->w->threads)
		fail(run, "a thread");
	for (unsigned int i = 0; i < started; i++)
		pthread_join(readers[i].thread, NULL);
	out->seconds = (double)(clock_ns() - begin) / 1e9;
	out->cpu = proc_own_cpu() - cpu;
	for (unsigned int i = 0; i < started; i++) {
		hist_merge(&out->took, &readers[i].took);
		out->bytes += readers[i].bytes;
		out->ops += readers[i].ops;
	}
}

/* Maps fill the kernel's page cache.  In a virtual machine whose host takes
 * free pages back, each would cost an exit to it: that is not what is to be
 * measured, so as many are fetched just before. */
static void fetch_pages(const struct work *w, const struct work_place *p)
{
	char *at;

	if (w->kind != WORK_MAP && w->kind != WORK_TENSORS)
		return;
	at = mmap(NULL, p->size, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (at != MAP_FAILED)
		munmap(at, p->size);
}

int work_run(const struct work *w, const struct work_place *p,
	     struct work_result *out, char *why, size_t cap)
{
	struct run run = {.w = w, .p = p, .handle = -1};
	struct reader *readers = make_readers(&run);
	AUTO_FREE int *idle = calloc(w->idle + 1, sizeof(*idle));

	*out = (struct work_result){0};
	for (unsigned int i = 0; idle && i < w->idle; i++)
		if ((idle[i] = open_object(&run, i)) < 0)
			fail(&run, "an idle handle");
	if (w->shared && w->kind == WORK_RANDOM &&
	    (run.handle = open_object(&run, 0)) < 0)
		fail(&run, "the handle");
	if (!readers || !idle)
		fail(&run, "memory");
	fetch_pages(w, p);
	if (!run.err)
		go(&run, readers, out);
	for (unsigned int i = 0; idle && i < w->idle; i++)
		if (idle[i] >= 0)
			close(idle[i]);
	if (run.handle >= 0)
		close(run.handle);
	free_readers(readers, w->threads);
	snprintf(why, cap, "%s", run.why);
	return run.err;
}
