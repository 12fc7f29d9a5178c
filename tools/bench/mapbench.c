/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3rdma-mapbench: what handles are worth beside read(2), on a file of a mount
 * that there is.  Each pair is measured in turn, a round after the other, and
 * the median of the rounds is printed.
 */
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "proc.h"
#include "s3rdmafs/s3rdmafs.h"

#define MIB (1UL << 20)
#define STEP (16 * MIB) /* of one map */
#define MAX_ROUNDS 15
#define WARM_MAPS 2000
#define SMALL_READS 20000
#define PROCESSES 8

static const char *mount_point, *file;
static char ctl[4096] = "s3rdmactl";
static uint64_t size;
static pid_t daemon_pid;
static int rounds = 5;

static void die(const char *what, int err)
{
	fprintf(stderr, "s3rdma-mapbench: %s: %s\n", what,
		s3rdma_strerror(err));
	exit(1);
}

static char *const env[] = {(char *)"PATH=/usr/local/bin:/usr/bin:/bin", NULL};

static void ask(const char *command, char *out, size_t cap)
{
	char *argv[] = {ctl, (char *)mount_point, (char *)command,
			(char *)"--json", NULL};

	if (!strcmp(command, "drop"))
		argv[3] = NULL;
	if (proc_run(argv, env, out, cap))
		die("s3rdmactl failed", EIO);
}

static void drop(void)
{
	char out[256];

	ask("drop", out, sizeof(out));
}

static void find_daemon(void)
{
	static char out[1 << 16];
	json_t *o;

	ask("status", out, sizeof(out));
	o = json_loads(out, 0, NULL);
	daemon_pid = (pid_t)json_integer_value(json_object_get(o, "pid"));
	json_decref(o);
}

static int open_file(void)
{
	const int fd = open(file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		die(file, errno);
	return fd;
}

/* A word of each cache line, so that every page is really there. */
static uint64_t touch(const char *p, size_t n)
{
	uint64_t sum = 0, word;

	for (size_t i = 0; i + sizeof(word) <= n; i += 64) {
		memcpy(&word, p + i, sizeof(word));
		sum += word;
	}
	return sum;
}

static volatile uint64_t sink; /* so that nothing is left out */

static void read_all(void)
{
	AUTO_FREE char *buf = malloc(MIB);
	AUTO_CLOSE int fd = open_file();
	ssize_t n;

	for (off_t at = 0; (n = pread(fd, buf, MIB, at)) > 0; at += n)
		sink += touch(buf, (size_t)n);
	if (n < 0)
		die("pread", errno);
}

static void map_part(int fd, uint64_t from, uint64_t to)
{
	for (uint64_t at = from; at < to; at += STEP) {
		struct s3rdma_map *m;
		const int err = s3rdma_map(
			fd, at, to - at < STEP ? to - at : STEP, 0, &m);

		if (err)
			die("map", err);
		sink += touch(s3rdma_map_data(m), s3rdma_map_size(m));
		s3rdma_unmap(m);
	}
}

static void map_all(void)
{
	AUTO_CLOSE int fd = open_file();

	map_part(fd, 0, size);
}

struct cost {
	double rate, cpu; /* MiB/s; CPU s/GiB of us and the daemon */
};

static double own_cpu(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct cost cold(void (*run)(void))
{
	double cpu, seconds;
	uint64_t begun;

	drop();
	cpu = own_cpu() + proc_cpu(daemon_pid);
	begun = clock_ns();
	run();
	seconds = (double)(clock_ns() - begun) / 1e9;
	return (struct cost){(double)size / (double)MIB / seconds,
			     (own_cpu() + proc_cpu(daemon_pid) - cpu) /
				     ((double)size / (double)(1024 * MIB))};
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_size);
	return v[n / 2];
}

/* ---- warm ---- */

static double warm_map_us(double *p99)
{
	static double v[WARM_MAPS];
	AUTO_CLOSE int fd = open_file();

	for (int i = 0; i < WARM_MAPS; i++) {
		struct s3rdma_map *m;
		const uint64_t begun = clock_ns();
		const int err = s3rdma_map(fd, 0, MIB, 0, &m);

		if (err)
			die("map", err);
		v[i] = (double)(clock_ns() - begun) / 1e3;
		s3rdma_unmap(m);
	}
	qsort(v, WARM_MAPS, sizeof(v[0]), by_size);
	*p99 = v[WARM_MAPS * 99 / 100];
	return v[WARM_MAPS / 2];
}

static uint64_t place(unsigned int i)
{
	const uint64_t within = size < STEP ? size : STEP;

	return i * 2654435761ULL % (within / 4096) * 4096;
}

/* 4 KiB pieces of what is there: a second. */
static double small_preads(void)
{
	AUTO_CLOSE int fd = open_file();
	char buf[4096];
	uint64_t begun;

	for (unsigned int at = 0; at < STEP && at < size; at += MIB)
		if (pread(fd, buf, sizeof(buf), at) < 0)
			die("pread", errno);
	begun = clock_ns();
	for (unsigned int i = 0; i < SMALL_READS; i++)
		if (pread(fd, buf, sizeof(buf), (off_t)place(i)) < 0)
			die("pread", errno);
	return SMALL_READS / ((double)(clock_ns() - begun) / 1e9);
}

static double small_copies(void)
{
	AUTO_CLOSE int fd = open_file();
	struct s3rdma_map *m;
	char buf[4096];
	uint64_t begun;
	const int err = s3rdma_map(fd, 0, STEP, 0, &m);

	if (err)
		die("map", err);
	begun = clock_ns();
	for (unsigned int i = 0; i < SMALL_READS; i++) {
		memcpy(buf, (const char *)s3rdma_map_data(m) + place(i),
		       sizeof(buf));
		sink += touch(buf, sizeof(buf));
	}
	begun = clock_ns() - begun;
	s3rdma_unmap(m);
	return SMALL_READS / ((double)begun / 1e9);
}

/* ---- many ---- */

/* So many processes map a part of the file each, cold: MiB/s of all. */
static double processes(int n)
{
	const uint64_t part = size / (uint64_t)n / STEP * STEP;
	uint64_t begun;

	drop();
	begun = clock_ns();
	for (int i = 0; i < n; i++) {
		const pid_t pid = fork();

		if (pid < 0)
			die("fork", errno);
		if (pid == 0) {
			const int fd = open_file();

			map_part(fd, part * (uint64_t)i,
				 part * (uint64_t)(i + 1));
			_exit(0);
		}
	}
	for (int i = 0, status; i < n; i++)
		if (wait(&status) < 0 || status)
			die("a process failed", EIO);
	return (double)part * n / (double)MIB /
	       ((double)(clock_ns() - begun) / 1e9);
}

/* ---- the table ---- */

enum figure {
	READ_RATE,
	MAP_RATE,
	RATE_RATIO,
	READ_CPU,
	MAP_CPU,
	CPU_RATIO,
	WARM_P50,
	WARM_P99,
	PREADS,
	COPIES,
	SMALL_RATIO,
	ONE,
	EIGHT,
	MANY_RATIO,
	FIGURES,
};

static const struct {
	const char *name, *unit;
} names[FIGURES] = {
	[READ_RATE] = {"read(2), cold, 1 MiB pieces", "MiB/s"},
	[MAP_RATE] = {"map, cold, 16 MiB pieces", "MiB/s"},
	[RATE_RATIO] = {"map / read(2)", ""},
	[READ_CPU] = {"read(2), CPU of reader and daemon", "s/GiB"},
	[MAP_CPU] = {"map, CPU of reader and daemon", "s/GiB"},
	[CPU_RATIO] = {"map / read(2), CPU", ""},
	[WARM_P50] = {"map of 1 MiB, warm, p50", "us"},
	[WARM_P99] = {"map of 1 MiB, warm, p99", "us"},
	[PREADS] = {"pread(2) of 4 KiB, warm", "/s"},
	[COPIES] = {"copies of 4 KiB out of one map", "/s"},
	[SMALL_RATIO] = {"map / pread(2), 4 KiB", ""},
	[ONE] = {"map, cold, 1 process", "MiB/s"},
	[EIGHT] = {"map, cold, 8 processes", "MiB/s"},
	[MANY_RATIO] = {"8 processes / 1", ""},
};

static void measure(double v[FIGURES])
{
	const struct cost r = cold(read_all), m = cold(map_all);

	v[READ_RATE] = r.rate;
	v[MAP_RATE] = m.rate;
	v[RATE_RATIO] = m.rate / r.rate;
	v[READ_CPU] = r.cpu;
	v[MAP_CPU] = m.cpu;
	v[CPU_RATIO] = m.cpu / r.cpu;
	v[WARM_P50] = warm_map_us(&v[WARM_P99]);
	v[PREADS] = small_preads();
	v[COPIES] = small_copies();
	v[SMALL_RATIO] = v[COPIES] / v[PREADS];
	v[ONE] = processes(1);
	v[EIGHT] = processes(PROCESSES);
	v[MANY_RATIO] = v[EIGHT] / v[ONE];
}

static void run(void)
{
	static double all[FIGURES][MAX_ROUNDS];

	for (int i = 0; i < rounds; i++) {
		double v[FIGURES];

		measure(v);
		for (int f = 0; f < FIGURES; f++)
			all[f][i] = v[f];
	}
	for (int f = 0; f < FIGURES; f++)
		printf("%-36s %12.2f %s\n", names[f].name,
		       median(all[f], rounds), names[f].unit);
}

/* The program beside us in a build tree, else that of PATH. */
static void find_ctl(void)
{
	AUTO_FREE char *self = realpath("/proc/self/exe", NULL);
	char path[4096];

	if (!self)
		return;
	snprintf(path, sizeof(path), "%s/../ctl/s3rdmactl", dirname(self));
	if (access(path, X_OK) == 0)
		memcpy(ctl, path, sizeof(path));
}

int main(int argc, char **argv)
{
	struct stat st;
	uint64_t n;

	if (argc == 2 && !strcmp(argv[1], "--version"))
		return puts("s3rdma-mapbench " S3RDMAFS_VERSION) < 0;
	if (argc < 3 || argc > 4 ||
	    (argc == 4 &&
	     (parse_u64(argv[3], &n) || n < 1 || n > MAX_ROUNDS))) {
		fputs("usage: s3rdma-mapbench MOUNTPOINT FILE [ROUNDS]\n",
		      stderr);
		return 2;
	}
	mount_point = argv[1];
	file = argv[2];
	if (argc == 4)
		rounds = (int)n;
	if (stat(file, &st))
		die(file, errno);
	size = (uint64_t)st.st_size;
	if (size < PROCESSES * STEP) {
		fprintf(stderr, "s3rdma-mapbench: the file is too small: at "
				"least 128 MiB\n");
		return 2;
	}
	find_ctl();
	find_daemon();
	run();
	return 0;
}
