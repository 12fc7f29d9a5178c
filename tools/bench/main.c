/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3rdma-bench: what reading costs, row by row, beside yardsticks and other
 * mounts in one run.
 *
 * Every figure is the median of the rounds; a round measures every row once,
 * so that a machine that grows slower does so for all of them.
 */
#include <fnmatch.h>
#include <getopt.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/parse.h"
#include "base/thread.h"
#include "report.h"

struct options {
	int rounds;
	bool quick, list;
	const char *only, *json, *plots;
};

static struct scene scene;

static void clean_up(void)
{
	scene_clean(&scene);
}

/* A signal ends the run from a thread, where atexit may do its work. */
static void *wait_for_signal(void *set)
{
	int sig;

	sigwait(set, &sig);
	exit(1);
}

static const char usage[] =
	"usage: s3rdma-bench [OPTIONS]\n"
	"\n"
	"  --size BYTES    of an object (2GiB)\n"
	"  --files N       small files of 64 KiB (10000)\n"
	"  --rounds N      the median of so many is printed (3)\n"
	"  --only PATTERN  rows whose name matches, * and ? as in a shell;\n"
	"                  several with commas between them\n"
	"  --quick         512MiB, 2000 files, one round of the main rows\n"
	"  --list          print the names of the rows\n"
	"  --json FILE     write the figures there too\n"
	"  --plots DIR     pictures (SVG) of them, by gnuplot\n"
	"  --bin DIR       build tree to take the programs from\n"
	"  --version, --help\n";

static bool take_option(int c, struct options *o)
{
	uint64_t n;

	switch (c) {
	case 's':
		if (parse_size(optarg, &scene.size))
			return false;
		scene.size &= ~((64ULL << 20) - 1);
		return scene.size > 0;
	case 'f':
		if (parse_u64(optarg, &n) || n < 100 || n > 99999)
			return false;
		scene.files = (unsigned int)n;
		return true;
	case 'r':
		if (parse_u64(optarg, &n) || n < 1 || n > ROUNDS_MAX)
			return false;
		o->rounds = (int)n;
		return true;
	case 'o':
		o->only = optarg;
		return true;
	case 'q':
		scene.size = 512ULL << 20;
		scene.files = 2000;
		o->rounds = 1;
		o->quick = true;
		return true;
	case 'l':
		o->list = true;
		return true;
	case 'j':
		o->json = optarg;
		return true;
	case 'p':
		o->plots = optarg;
		return true;
	case 'b':
		snprintf(scene.bin, sizeof(scene.bin), "%s", optarg);
		return true;
	case 'V':
		exit(puts("s3rdma-bench " S3RDMAFS_VERSION) < 0);
	case 'h':
		exit(fputs(usage, stdout) < 0);
	default:
		return false;
	}
}

static bool parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"size", required_argument, NULL, 's'},
		{"files", required_argument, NULL, 'f'},
		{"rounds", required_argument, NULL, 'r'},
		{"only", required_argument, NULL, 'o'},
		{"quick", no_argument, NULL, 'q'},
		{"list", no_argument, NULL, 'l'},
		{"json", required_argument, NULL, 'j'},
		{"plots", required_argument, NULL, 'p'},
		{"bin", required_argument, NULL, 'b'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		if (!take_option(c, o))
			return false;
	return optind == argc;
}

static bool is_wanted(const struct options *o, const struct row *row)
{
	char one[128];

	if (!o->only)
		return !o->quick || row->quick;
	for (const char *at = o->only; at; at = strchr(at, ',')) {
		at += *at == ',';
		snprintf(one, sizeof(one), "%.*s", (int)strcspn(at, ","), at);
		if (!fnmatch(one, row->id, 0))
			return true;
	}
	return false;
}

static void measure_all(const struct options *o, struct report *r)
{
	for (int round = 0; round < o->rounds; round++)
		for (unsigned int i = 0; i < nrows; i++) {
			if (!is_wanted(o, &rows[i]) || r->skipped[i][0])
				continue;
			if (isatty(STDERR_FILENO))
				fprintf(stderr, "\r\033[K%d/%d %s", round + 1,
					o->rounds, rows[i].id);
			r->measured[i] = row_measure(
				&scene, &rows[i], &r->samples[i][round],
				r->skipped[i], sizeof(r->skipped[i]));
		}
	if (isatty(STDERR_FILENO))
		fputs("\r\033[K", stderr);
}

/* s3rdma-bench lies two folders down in a build tree. */
static void find_tree(void)
{
	AUTO_FREE char *self = realpath("/proc/self/exe", NULL);

	if (self)
		snprintf(scene.bin, sizeof(scene.bin), "%s/../..",
			 dirname(self));
}

/* The raw rows sign their requests in this process. */
static void set_credentials(void)
{
	setenv("AWS_ACCESS_KEY_ID", SCENE_ACCESS, 1);
	setenv("AWS_SECRET_ACCESS_KEY", SCENE_SECRET, 1);
	unsetenv("AWS_SESSION_TOKEN");
	unsetenv("AWS_PROFILE");
}

static int write_files(const struct options *o, const struct report *r)
{
	if (o->json && report_json(r, o->json)) {
		fprintf(stderr, "s3rdma-bench: cannot write %s\n", o->json);
		return 1;
	}
	if (o->plots && ((mkdir(o->plots, 0755) && access(o->plots, W_OK)) ||
			 report_plots(r, o->plots))) {
		fprintf(stderr,
			"s3rdma-bench: cannot plot into %s; is gnuplot "
			"installed?\n",
			o->plots);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct options o = {.rounds = 3};
	struct report r = {0};
	static sigset_t signals;
	pthread_t waiter;
	int status;

	scene.size = 2ULL << 30;
	scene.files = 10000;
	find_tree();
	if (!parse(argc, argv, &o)) {
		fputs(usage, stderr);
		return 2;
	}
	for (unsigned int i = 0; o.list && i < nrows; i++)
		printf("%-20s %s\n", rows[i].id, rows[i].name);
	if (o.list)
		return 0;
	set_credentials();
	log_set_level(LOG_LEVEL_WARNING);
	atexit(clean_up);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	if (thread_start(&waiter, "signals", wait_for_signal, &signals) ||
	    report_new(&r, o.rounds))
		scene_die(&scene, "cannot start");
	scene_make(&scene);
	r.size = scene.size;
	r.files = scene.files;
	measure_all(&o, &r);
	report_print(&r);
	status = write_files(&o, &r);
	report_free(&r);
	return status;
}
