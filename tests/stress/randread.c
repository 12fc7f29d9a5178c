/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random reads of files with known bytes, every byte of which is checked.
 *
 *	randread -t THREADS -s SECONDS [-m MOST] [-1] SEED,SIZE,PATH...
 *
 * Each thread reads 1 byte to MOST bytes at random places until the time is
 * over.  With -1 all threads share one handle a file; without it each thread
 * has a handle of its own, on file number (thread modulo files).
 *
 * Prints one JSON object: reads, bytes, wrong (reads with a wrong byte), short
 * (reads that ended before the end of the file), longest_ms, and the errors
 * by name.  What was wrong first is told on stderr.  Exits 0 when it could run,
 * whatever the reads gave; the caller judges the counters.
 *
 * Threads: one a reader, each with counters of its own, summed after join.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define MAX_ERRNO 200
#define MAX_TOLD 5 /* wrong reads described; the rest only counted */

struct target {
	uint64_t seed;
	uint64_t size;
	const char *path;
	int fd; /* the shared handle, or -1 */
};

struct reader {
	pthread_t thread;
	unsigned int index;
	uint64_t random;
	unsigned char *buf;
	uint64_t reads, bytes, wrong, cut, longest_ns;
	uint64_t errors[MAX_ERRNO];
};

static struct target *targets;
static unsigned int n_targets;
static size_t most = 2 << 20;
static int one_handle;
static uint64_t end_ns;
static atomic_int told;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * UINT64_C(1000000000) + t.tv_nsec;
}

/* xorshift64*: good enough to choose places, and each thread has its own. */
static uint64_t next_random(struct reader *r)
{
	r->random ^= r->random >> 12;
	r->random ^= r->random << 25;
	r->random ^= r->random >> 27;
	return r->random * UINT64_C(0x2545F4914F6CDD1D);
}

/* Word i of the stream `seed`: the same function as pattern() in harness.py. */
static uint64_t pattern_word(uint64_t seed, uint64_t i)
{
	const uint64_t m = UINT64_C(0x9E3779B97F4A7C15);
	uint64_t w = (i + seed) * m;

	w ^= w >> 29;
	w *= m;
	w ^= w >> 32;
	return w;
}

static unsigned char pattern_byte(uint64_t seed, uint64_t off)
{
	return pattern_word(seed, off / 8) >> (8 * (off % 8));
}

static uint64_t load_le(const unsigned char *p)
{
	uint64_t w = 0;
	int i;

	for (i = 0; i < 8; i++)
		w |= (uint64_t)p[i] << (8 * i);
	return w;
}

/* The index of the first byte that is not the pattern's, or n. */
static size_t first_wrong(const unsigned char *buf, uint64_t seed, uint64_t off,
			  size_t n)
{
	size_t i = 0;

	while (i < n) {
		if ((off + i) % 8 == 0 && n - i >= 8 &&
		    load_le(buf + i) == pattern_word(seed, (off + i) / 8)) {
			i += 8;
			continue;
		}
		if (buf[i] != pattern_byte(seed, off + i))
			return i;
		i++;
	}
	return n;
}

static void tell(const struct target *t, uint64_t off, size_t want, size_t got,
		 const unsigned char *buf, size_t at)
{
	if (atomic_fetch_add(&told, 1) >= MAX_TOLD)
		return;
	if (at == got)
		fprintf(stderr, "%s: %zu bytes at %" PRIu64 ", not %zu\n",
			t->path, got, off, want);
	else
		fprintf(stderr,
			"%s: read of %zu at %" PRIu64 ": byte %" PRIu64
			" is %02x, not %02x\n",
			t->path, want, off, off + at, buf[at],
			pattern_byte(t->seed, off + at));
}

/* Sizes spread over the powers of two, so that small reads are not rare. */
static size_t random_length(struct reader *r)
{
	unsigned int bits = 0;
	size_t n;

	while ((UINT64_C(1) << bits) < most)
		bits++;
	n = 1 + next_random(r) % (UINT64_C(1) << (next_random(r) % (bits + 1)));
	return n < most ? n : most;
}

static void count_error(struct reader *r)
{
	r->errors[errno < MAX_ERRNO ? errno : 0]++;
}

/*
 * A read that ended early is an error told late when the rest fails: one read
 * is several requests of the kernel, and it tells of the ones before the
 * failure first.  Otherwise nothing excuses it.
 */
static void judge_end(struct reader *r, const struct target *t, int fd,
		      uint64_t off, size_t want, size_t got)
{
	if (got == want)
		return;
	if (pread(fd, r->buf, want - got, off + got) < 0) {
		count_error(r);
		return;
	}
	r->cut++;
	tell(t, off, want, got, NULL, got);
}

static void read_once(struct reader *r, const struct target *t, int fd)
{
	uint64_t off = next_random(r) % t->size, start = now_ns(), took;
	size_t len = random_length(r), want = len, at;
	ssize_t got;

	if (want > t->size - off)
		want = t->size - off; /* the file ends here */
	got = pread(fd, r->buf, len, off);
	if (got < 0) {
		count_error(r);
		return;
	}
	took = now_ns() - start;
	if (took > r->longest_ns)
		r->longest_ns = took;

	r->reads++;
	r->bytes += got;
	at = first_wrong(r->buf, t->seed, off, got);
	if (at < (size_t)got) {
		r->wrong++;
		tell(t, off, want, got, r->buf, at);
	}
	judge_end(r, t, fd, off, want, got);
}

static int open_or_die(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0) {
		fprintf(stderr, "open %s: %m\n", path);
		exit(1);
	}
	return fd;
}

static void *reader_main(void *arg)
{
	struct reader *r = arg;
	struct target *t = &targets[r->index % n_targets];
	int fd = one_handle ? t->fd : open_or_die(t->path);

	while (now_ns() < end_ns)
		read_once(r, t, fd);
	if (!one_handle)
		close(fd);
	return NULL;
}

static void parse_target(struct target *t, char *arg)
{
	char *p;

	t->seed = strtoull(arg, &p, 10);
	if (*p == ',')
		t->size = strtoull(p + 1, &p, 10);
	if (*p != ',' || !t->size) {
		fprintf(stderr, "randread: %s is not SEED,SIZE,PATH\n", arg);
		exit(2);
	}
	t->path = p + 1;
	t->fd = one_handle ? open_or_die(t->path) : -1;
}

static void start_reader(struct reader *r, unsigned int index)
{
	r->index = index;
	r->random = (index + 1) * UINT64_C(0x9E3779B97F4A7C15) ^ now_ns();
	r->buf = malloc(most);
	if (!r->buf || pthread_create(&r->thread, NULL, reader_main, r)) {
		fprintf(stderr, "randread: no memory for a thread\n");
		exit(1);
	}
}

static void add_reader(struct reader *sum, struct reader *r)
{
	int e;

	pthread_join(r->thread, NULL);
	sum->reads += r->reads;
	sum->bytes += r->bytes;
	sum->wrong += r->wrong;
	sum->cut += r->cut;
	if (r->longest_ns > sum->longest_ns)
		sum->longest_ns = r->longest_ns;
	for (e = 0; e < MAX_ERRNO; e++)
		sum->errors[e] += r->errors[e];
	free(r->buf);
}

static void report(const struct reader *sum)
{
	const char *comma = "";
	int e;

	printf("{\"reads\": %" PRIu64 ", \"bytes\": %" PRIu64
	       ", \"wrong\": %" PRIu64 ", \"short\": %" PRIu64
	       ", \"longest_ms\": %" PRIu64 ", \"errors\": {",
	       sum->reads, sum->bytes, sum->wrong, sum->cut,
	       sum->longest_ns / 1000000);
	for (e = 0; e < MAX_ERRNO; e++) {
		if (!sum->errors[e])
			continue;
		printf("%s\"%s\": %" PRIu64, comma,
		       e ? strerrorname_np(e) : "other", sum->errors[e]);
		comma = ", ";
	}
	printf("}}\n");
}

int main(int argc, char **argv)
{
	unsigned int threads = 16, i;
	struct reader *readers, sum = {0};
	double seconds = 1;
	int opt;

	while ((opt = getopt(argc, argv, "t:s:m:1")) != -1) {
		if (opt == 't')
			threads = atoi(optarg);
		else if (opt == 's')
			seconds = atof(optarg);
		else if (opt == 'm')
			most = strtoull(optarg, NULL, 10);
		else if (opt == '1')
			one_handle = 1;
		else
			return 2;
	}
	n_targets = argc - optind;
	targets = calloc(n_targets, sizeof(*targets));
	readers = calloc(threads, sizeof(*readers));
	if (!n_targets || !threads || !most || !targets || !readers)
		return 2;
	for (i = 0; i < n_targets; i++)
		parse_target(&targets[i], argv[optind + i]);

	end_ns = now_ns() + seconds * 1e9;
	for (i = 0; i < threads; i++)
		start_reader(&readers[i], i);
	for (i = 0; i < threads; i++)
		add_reader(&sum, &readers[i]);
	report(&sum);
	free(readers);
	free(targets);
	return 0;
}
