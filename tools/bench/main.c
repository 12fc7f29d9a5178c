/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3rdma-bench: sequential reads of one object, side by side in one run.
 *
 * It starts a gateway over a folder in memory, mounts it anew for every cold
 * read, and measures beside it what the same bytes cost by other ways: a read
 * of the file itself, and one curl process from the same gateway.  Every
 * figure is the median of the rounds; a round measures every row once, so
 * that a machine that grows slower does so for all of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <netinet/in.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"
#include "base/thread.h"
#include "proc.h"

#define MIB (1024.0 * 1024.0)
#define GIB (1024.0 * MIB)
#define MAX_ROUNDS 15
#define ACCESS "s3rdmabench"
#define SECRET "s3rdmabenchsecret"

enum row_id { TMPFS, CURL, HTTP_COLD, SHM_COLD, WARM, ROWS };

static const char *const row_names[ROWS] = {
	[TMPFS] = "read of the file on tmpfs",
	[CURL] = "one curl from the gateway",
	[HTTP_COLD] = "mount, cold, http",
	[SHM_COLD] = "mount, cold, shm",
	[WARM] = "mount, warm, from the pool",
};

/* One measurement. */
struct sample {
	double rate;     /* bytes a second */
	double reader;   /* CPU seconds of who reads */
	double daemon;   /* of s3rdmafs */
	double server;   /* of the gateway */
	double transfer; /* of s3rdmafs, in the transfer alone */
	double rss;      /* bytes resident in s3rdmafs at the end */
};

struct bench {
	char dir[64];   /* owned folder in memory */
	char bin[4096]; /* where the programs were built, "" for PATH */
	char url[64];
	char mnt[96], object[160], log[96];
	char pool[32];
	uint64_t size;
	int rounds;
	pid_t gateway, daemon;
	struct sample samples[ROWS][MAX_ROUNDS];
};

static struct bench the_bench;

static char *const child_env[] = {
	(char *)"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:"
		"/bin",
	(char *)"HOME=/nonexistent",
	(char *)"AWS_ACCESS_KEY_ID=" ACCESS,
	(char *)"AWS_SECRET_ACCESS_KEY=" SECRET,
	NULL,
};

static void die(const char *what) __attribute__((noreturn));

/* Programs of the build tree first, installed ones else. */
static void program(const struct bench *b, const char *in_tree, char *out,
		    size_t cap)
{
	const char *slash = strrchr(in_tree, '/');

	snprintf(out, cap, "%s/%s", b->bin, in_tree);
	if (!b->bin[0] || access(out, X_OK))
		snprintf(out, cap, "%s", slash + 1);
}

static void unmount(struct bench *b)
{
	char *argv[] = {(char *)"fusermount3", (char *)"-u", (char *)"-z",
			b->mnt, NULL};

	if (b->daemon <= 0)
		return;
	proc_run(argv, child_env, NULL, 0);
	proc_end(b->daemon, SIGTERM);
	b->daemon = 0;
}

static void clean_up(void)
{
	struct bench *b = &the_bench;
	char *argv[] = {(char *)"rm", (char *)"-rf", b->dir, NULL};

	unmount(b);
	proc_end(b->gateway, SIGTERM);
	b->gateway = 0;
	if (b->dir[0])
		proc_run(argv, child_env, NULL, 0);
	b->dir[0] = '\0';
}

static void die(const char *what)
{
	fprintf(stderr, "s3rdma-bench: %s (%s); the log was %s\n", what,
		strerror(errno), the_bench.log);
	clean_up();
	exit(1);
}

/* A signal ends the run from a thread, where atexit may do its work. */
static void *wait_for_signal(void *set)
{
	int sig;

	sigwait(set, &sig);
	exit(1);
}

static void make_object(struct bench *b)
{
	AUTO_FREE char *buf = malloc(1 << 20);
	AUTO_CLOSE int fd = open(b->object, O_WRONLY | O_CREAT | O_EXCL, 0644);

	if (fd < 0 || !buf)
		die("cannot make the object");
	for (uint64_t off = 0; off < b->size; off += 1 << 20) {
		for (uint64_t i = 0; i < 1 << 20; i += 8) {
			const uint64_t w = (off + i) * 0x9E3779B97F4A7C15ULL;

			memcpy(buf + i, &w, 8);
		}
		if (write(fd, buf, 1 << 20) != 1 << 20)
			die("no room in memory for the object");
	}
}

static int free_port(void)
{
	struct sockaddr_in a = {.sin_family = AF_INET,
				.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(a);
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&a, n) ||
	    getsockname(fd, (struct sockaddr *)&a, &n))
		die("no port");
	return ntohs(a.sin_port);
}

static bool answers(int port)
{
	const struct sockaddr_in a = {
		.sin_family = AF_INET,
		.sin_port = htons((uint16_t)port),
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	AUTO_CLOSE int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	return fd >= 0 && !connect(fd, (const struct sockaddr *)&a, sizeof(a));
}

static void start_gateway(struct bench *b)
{
	const uint64_t until = clock_ms() + 10000;
	const int port = free_port();
	char path[4200], root[80], listen[32];
	char *argv[] = {
		path, (char *)"--root", root, (char *)"--listen", listen, NULL};

	program(b, "tools/gateway/s3rdma-gateway", path, sizeof(path));
	snprintf(root, sizeof(root), "%s/root", b->dir);
	snprintf(listen, sizeof(listen), "127.0.0.1:%d", port);
	snprintf(b->url, sizeof(b->url), "http://%s", listen);
	b->gateway = proc_start(argv, child_env, b->log);
	if (b->gateway < 0)
		die("cannot start s3rdma-gateway");
	while (!answers(port)) {
		if (clock_ms() > until)
			die("the gateway does not answer");
		usleep(10000);
	}
}

static void set_up(struct bench *b)
{
	char path[160];

	snprintf(b->dir, sizeof(b->dir), "/dev/shm/s3rdma-bench-XXXXXX");
	if (!mkdtemp(b->dir))
		die("cannot make a folder in /dev/shm");
	snprintf(b->log, sizeof(b->log), "%s/log", b->dir);
	snprintf(b->mnt, sizeof(b->mnt), "%s/mnt", b->dir);
	snprintf(path, sizeof(path), "%s/root", b->dir);
	if (mkdir(b->mnt, 0755) || mkdir(path, 0755))
		die("mkdir");
	snprintf(path, sizeof(path), "%s/root/bench", b->dir);
	if (mkdir(path, 0755))
		die("mkdir");
	snprintf(b->object, sizeof(b->object), "%s/object", path);
	make_object(b);
	start_gateway(b);
}

static void mount_it(struct bench *b, const char *transport, const char *pool)
{
	const uint64_t until = clock_ms() + 20000;
	char path[4200], options[256];
	struct stat outside, inside;
	char *argv[] = {path,    (char *)"-f",         (char *)"-o",
			options, (char *)"s3://bench", b->mnt,
			NULL};

	program(b, "src/s3rdmafs", path, sizeof(path));
	snprintf(options, sizeof(options),
		 "endpoint=%s,transport=%s,cache_size=%s,log.level=warning",
		 b->url, transport, pool);
	if (stat(b->mnt, &outside))
		die("stat");
	b->daemon = proc_start(argv, child_env, b->log);
	do {
		if (clock_ms() > until)
			die("the mount does not come up");
		usleep(5000);
	} while (stat(b->mnt, &inside) || inside.st_dev == outside.st_dev);
}

/* CPU nanoseconds of the daemon in transfers, as it counts them itself. */
static double transfer_cpu(struct bench *b)
{
	char path[4200], out[8192];
	char *argv[] = {path, b->mnt, (char *)"stats", (char *)"--json", NULL};
	json_t *o;
	double ns;

	program(b, "tools/ctl/s3rdmactl", path, sizeof(path));
	if (proc_run(argv, child_env, out, sizeof(out)))
		die("s3rdmactl");
	o = json_loads(out, 0, NULL);
	ns = json_number_value(
		json_object_get(json_object_get(o, "cpu"), "transfer_ns"));
	json_decref(o);
	return ns / 1e9;
}

/* Reads the file to its end, 1 MiB a call. */
static double read_file(const char *path, uint64_t size)
{
	/* On a page, as cat, cp and dd have theirs: the kernel hands over so
	 * many pages a request, and one that begins inside a page costs one
	 * request more. */
	AUTO_FREE char *buf = aligned_alloc(4096, 1 << 20);
	AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
	const uint64_t begin = clock_ns();
	uint64_t total = 0;
	ssize_t n;

	if (fd < 0 || !buf)
		die(path);
	while ((n = read(fd, buf, 1 << 20)) > 0)
		total += (uint64_t)n;
	if (n < 0 || total != size)
		die("a read fell short");
	return (double)size / ((double)(clock_ns() - begin) / 1e9);
}

static double thread_cpu(void)
{
	return (double)clock_thread_cpu_ns() / 1e9;
}

static struct sample measure_tmpfs(struct bench *b)
{
	struct sample s = {0};
	const double cpu = thread_cpu();

	s.rate = read_file(b->object, b->size);
	s.reader = thread_cpu() - cpu;
	return s;
}

static struct sample measure_curl(struct bench *b)
{
	char url[160];
	char *argv[] = {(char *)"curl",
			(char *)"-sf",
			(char *)"-o",
			(char *)"/dev/null",
			(char *)"--aws-sigv4",
			(char *)"aws:amz:us-east-1:s3",
			(char *)"--user",
			(char *)ACCESS ":" SECRET,
			(char *)"-H",
			(char *)"x-amz-content-sha256: UNSIGNED-PAYLOAD",
			url,
			NULL};
	const double cpu = proc_children_cpu(), server = proc_cpu(b->gateway);
	const uint64_t begin = clock_ns();
	struct sample s = {0};

	snprintf(url, sizeof(url), "%s/bench/object", b->url);
	if (proc_run(argv, child_env, NULL, 0))
		die("curl failed");
	s.rate = (double)b->size / ((double)(clock_ns() - begin) / 1e9);
	s.reader = proc_children_cpu() - cpu;
	s.server = proc_cpu(b->gateway) - server;
	return s;
}

/* A read through the mount that is there. */
static struct sample measure_read(struct bench *b)
{
	const double cpu = thread_cpu(), daemon = proc_cpu(b->daemon);
	const double server = proc_cpu(b->gateway);
	const double transfer = transfer_cpu(b);
	struct sample s = {0};
	char path[160];

	snprintf(path, sizeof(path), "%s/object", b->mnt);
	s.rate = read_file(path, b->size);
	s.reader = thread_cpu() - cpu;
	s.daemon = proc_cpu(b->daemon) - daemon;
	s.server = proc_cpu(b->gateway) - server;
	s.transfer = transfer_cpu(b) - transfer;
	s.rss = (double)proc_rss(b->daemon);
	return s;
}

static struct sample measure_cold(struct bench *b, const char *transport)
{
	struct sample s;

	mount_it(b, transport, b->pool);
	s = measure_read(b);
	unmount(b);
	return s;
}

/* The second read of an object that the pool holds whole. */
static struct sample measure_warm(struct bench *b)
{
	struct sample s;
	char pool[32];

	snprintf(pool, sizeof(pool), "%lluMiB",
		 (unsigned long long)(b->size / 3 * 4 >> 20) + 64);
	mount_it(b, "auto", pool);
	measure_read(b);
	s = measure_read(b);
	unmount(b);
	return s;
}

static void run_round(struct bench *b, int i)
{
	b->samples[CURL][i] = measure_curl(b);
	b->samples[HTTP_COLD][i] = measure_cold(b, "http");
	b->samples[SHM_COLD][i] = measure_cold(b, "shm");
	b->samples[TMPFS][i] = measure_tmpfs(b);
	b->samples[WARM][i] = measure_warm(b);
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median_of(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_size);
	return v[n / 2];
}

/* The median of one field of a row. */
static double median(const struct bench *b, enum row_id row, size_t field)
{
	double v[MAX_ROUNDS];

	for (int i = 0; i < b->rounds; i++)
		memcpy(&v[i], (const char *)&b->samples[row][i] + field,
		       sizeof(v[i]));
	return median_of(v, b->rounds);
}

#define MEDIAN(b, row, field) median(b, row, offsetof(struct sample, field))

/* The ratios that users compare, and what each shall be. */
static const struct ratio {
	const char *name;
	enum row_id over, under;
	size_t field;
	double bar;
	bool at_most;
} ratios[] = {
	{"http / curl", HTTP_COLD, CURL, offsetof(struct sample, rate), 0.6,
	 false},
	{"shm / http", SHM_COLD, HTTP_COLD, offsetof(struct sample, rate), 1.8,
	 false},
	{"transfer CPU, shm / http", SHM_COLD, HTTP_COLD,
	 offsetof(struct sample, transfer), 0.1, true},
	{"warm / tmpfs", WARM, TMPFS, offsetof(struct sample, rate), 0.6,
	 false},
};

/* Of the rounds' ratios, not the ratio of medians: what makes the machine
 * slow for a while makes both sides of one round slow. */
static double median_ratio(const struct bench *b, const struct ratio *r)
{
	double v[MAX_ROUNDS], x, y;

	for (int i = 0; i < b->rounds; i++) {
		memcpy(&x, (const char *)&b->samples[r->over][i] + r->field,
		       sizeof(x));
		memcpy(&y, (const char *)&b->samples[r->under][i] + r->field,
		       sizeof(y));
		v[i] = x / y;
	}
	return median_of(v, b->rounds);
}

static json_t *report_ratios(const struct bench *b)
{
	json_t *list = json_array();

	printf("\n%-28s %8s   %s\n", "ratio", "here", "shall be");
	for (size_t i = 0; i < ARRAY_SIZE(ratios); i++) {
		const struct ratio *r = &ratios[i];
		const double v = median_ratio(b, r);
		const bool met = r->at_most ? v <= r->bar : v >= r->bar;

		printf("%-28s %8.3f   %s %.2f  %s\n", r->name, v,
		       r->at_most ? "at most " : "at least", r->bar,
		       met ? "met" : "NOT MET");
		json_array_append_new(
			list, json_pack("{s:s, s:f, s:f, s:b, s:b}", "name",
					r->name, "value", v, "bar", r->bar,
					"at_most", r->at_most, "met", met));
	}
	return list;
}

static json_t *report_row(const struct bench *b, enum row_id row)
{
	const double gib = (double)b->size / GIB;
	const double rate = MEDIAN(b, row, rate) / MIB;
	const double reader = MEDIAN(b, row, reader) / gib;
	const double daemon = MEDIAN(b, row, daemon) / gib;
	const double transfer = MEDIAN(b, row, transfer) / gib;
	const double server = MEDIAN(b, row, server) / gib;
	const double rss = MEDIAN(b, row, rss);

	printf("%-28s %9.0f  %17.3f %9.3f %11.3f %8.3f %9.0f\n", row_names[row],
	       rate, reader, daemon, transfer, server, rss / MIB);
	return json_pack("{s:s, s:f, s:f, s:f, s:f, s:f, s:f}", "name",
			 row_names[row], "mib_per_s", rate,
			 "reader_cpu_s_per_gib", reader, "daemon_cpu_s_per_gib",
			 daemon, "transfer_cpu_s_per_gib", transfer,
			 "server_cpu_s_per_gib", server, "rss_bytes", rss);
}

static json_t *report(const struct bench *b)
{
	json_t *rows = json_array();

	printf("%-28s %9s  %s\n", "", "MiB/s",
	       "CPU s/GiB: reader  s3rdmafs  (transfer)  gateway   RSS MiB");
	for (int i = 0; i < ROWS; i++)
		json_array_append_new(rows, report_row(b, (enum row_id)i));
	return json_pack("{s:I, s:i, s:o, s:o}", "object_bytes",
			 (json_int_t)b->size, "rounds", b->rounds, "rows", rows,
			 "ratios", report_ratios(b));
}

static const char usage[] =
	"usage: s3rdma-bench [OPTIONS]\n"
	"\n"
	"  --size BYTES    of the object (2GiB)\n"
	"  --rounds N      the median of so many is printed (3)\n"
	"  --pool BYTES    size of the mount's pool in cold reads (256MiB)\n"
	"  --quick         512MiB, one round\n"
	"  --json FILE     write the figures there too\n"
	"  --bin DIR       build tree to take the programs from\n"
	"  --version, --help\n";

static bool parse(int argc, char **argv, struct bench *b, const char **json)
{
	static const struct option longs[] = {
		{"size", required_argument, NULL, 's'},
		{"rounds", required_argument, NULL, 'r'},
		{"pool", required_argument, NULL, 'p'},
		{"quick", no_argument, NULL, 'q'},
		{"json", required_argument, NULL, 'j'},
		{"bin", required_argument, NULL, 'b'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	uint64_t n = 3;
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		if (c == 's' && !parse_size(optarg, &b->size))
			b->size &= ~((1ULL << 20) - 1);
		else if (c == 'r' && !parse_u64(optarg, &n) && n > 0 &&
			 n <= MAX_ROUNDS)
			b->rounds = (int)n;
		else if (c == 'p')
			snprintf(b->pool, sizeof(b->pool), "%s", optarg);
		else if (c == 'q')
			b->size = 512ULL << 20, b->rounds = 1;
		else if (c == 'j')
			*json = optarg;
		else if (c == 'b')
			snprintf(b->bin, sizeof(b->bin), "%s", optarg);
		else if (c == 'V')
			exit(puts("s3rdma-bench " S3RDMAFS_VERSION) < 0);
		else if (c == 'h')
			exit(fputs(usage, stdout) < 0);
		else
			return false;
	}
	return optind == argc && b->size > 0;
}

int main(int argc, char **argv)
{
	struct bench *b = &the_bench;
	const char *json = NULL;
	static sigset_t signals;
	pthread_t waiter;
	json_t *o;

	b->size = 2ULL << 30;
	b->rounds = 3;
	snprintf(b->pool, sizeof(b->pool), "256MiB");
	/* tools/bench/s3rdma-bench lies two folders down in a build tree. */
	{
		AUTO_FREE char *self = realpath("/proc/self/exe", NULL);

		if (self)
			snprintf(b->bin, sizeof(b->bin), "%s/../..",
				 dirname(self));
	}
	if (!parse(argc, argv, b, &json)) {
		fputs(usage, stderr);
		return 2;
	}
	atexit(clean_up);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (thread_start(&waiter, "signals", wait_for_signal, &signals))
		die("cannot start a thread");
	set_up(b);
	for (int i = 0; i < b->rounds; i++)
		run_round(b, i);
	o = report(b);
	if (json && json_dump_file(o, json, JSON_INDENT(2)))
		die("cannot write the JSON file");
	json_decref(o);
	return 0;
}
