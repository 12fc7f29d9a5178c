/* SPDX-License-Identifier: Apache-2.0 */
/* s3rdma-gateway: options, start, wait for a signal, stop. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fault.h"
#include "http.h"
#include "ops.h"
#include "rdma/shm_initiator.h"

struct options {
	const char *root, *region, *rdma, *credentials, *access_log;
	const char *cert, *key;
	struct http_config http;
	struct faults *faults;
};

static const char usage[] =
	"usage: s3rdma-gateway --root DIR [OPTIONS]\n"
	"\n"
	"  --root DIR            serve this folder: buckets are its folders\n"
	"  --listen ADDR:PORT    where to listen (127.0.0.1:9000)\n"
	"  --region NAME         what to say of the region (us-east-1)\n"
	"  --rdma auto|off|shm   transports to offer (auto)\n"
	"  --credentials FILE    lines of ACCESSKEY:SECRET; without it\n"
	"                        AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY\n"
	"  --tls-cert FILE       serve https with this certificate (PEM)\n"
	"  --tls-key FILE        and its key\n"
	"  --access-log FILE     write a line a request, combined format\n"
	"  --fault SPEC          go wrong on purpose, for tests; repeatable\n"
	"  --debug               log more\n"
	"  --version             say which version this is\n"
	"  --help                say this\n";

/* Readable once the server shall stop. */
static int stop_fd = -1;

void gateway_sleep_ms(uint64_t ms)
{
	struct pollfd p = {.fd = stop_fd, .events = POLLIN};

	poll(&p, 1, ms > 3600000 ? 3600000 : (int)ms);
}

static int fail(int code, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static int fail(int code, const char *fmt, ...)
{
	va_list args;

	fputs("s3rdma-gateway: ", stderr);
	va_start(args, fmt);
	vfprintf(stderr, fmt, args);
	va_end(args);
	fputc('\n', stderr);
	return code;
}

/* 0, or an exit code (with -1 for a clean end). */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"root", required_argument, NULL, 'r'},
		{"listen", required_argument, NULL, 'l'},
		{"region", required_argument, NULL, 'R'},
		{"rdma", required_argument, NULL, 't'},
		{"credentials", required_argument, NULL, 'c'},
		{"tls-cert", required_argument, NULL, 'C'},
		{"tls-key", required_argument, NULL, 'K'},
		{"access-log", required_argument, NULL, 'a'},
		{"fault", required_argument, NULL, 'f'},
		{"debug", no_argument, NULL, 'd'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c;

	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1) {
		switch (c) {
		case 'r':
			o->root = optarg;
			break;
		case 'l':
			o->http.listen = optarg;
			break;
		case 'R':
			o->region = optarg;
			break;
		case 't':
			o->rdma = optarg;
			break;
		case 'c':
			o->credentials = optarg;
			break;
		case 'C':
			o->cert = optarg;
			break;
		case 'K':
			o->key = optarg;
			break;
		case 'a':
			o->access_log = optarg;
			break;
		case 'f':
			if (fault_add(&o->faults, optarg))
				return fail(2,
					    "--fault %s: see "
					    "s3rdma-gateway(1) for the form",
					    optarg);
			break;
		case 'd':
			log_set_level(LOG_LEVEL_DEBUG);
			break;
		case 'V':
			puts("s3rdma-gateway " S3RDMAFS_VERSION);
			return -1;
		case 'h':
			fputs(usage, stdout);
			return -1;
		default:
			return 2;
		}
	}
	if (optind < argc)
		return fail(2, "what is \"%s\"? try --help", argv[optind]);
	if (!o->root)
		return fail(2, "--root DIR is missing; try --help");
	if (strcmp(o->rdma, "auto") != 0 && strcmp(o->rdma, "off") != 0 &&
	    strcmp(o->rdma, "shm") != 0)
		return fail(2, "--rdma %s: this build offers auto, off and shm",
			    o->rdma);
	if (!o->cert != !o->key)
		return fail(2, "--tls-cert and --tls-key go together");
	return 0;
}

static int load_keys(const struct options *o, struct keyring *keys)
{
	const char *access = getenv("AWS_ACCESS_KEY_ID");
	const char *secret = getenv("AWS_SECRET_ACCESS_KEY");
	int err;

	if (o->credentials) {
		err = keyring_load(keys, o->credentials);
		if (err)
			return fail(1,
				    "%s: %s; expected lines of "
				    "ACCESSKEY:SECRET",
				    o->credentials, strerror(-err));
	} else if (access && *access && secret && *secret) {
		keyring_add(keys, access, secret);
	}
	if (keys->n == 0)
		return fail(1, "no credentials to accept: set "
			       "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
			       "or give --credentials FILE");
	return 0;
}

static char *read_file(const char *path)
{
	FILE *f = fopen(path, "re");
	char *text = calloc(1, 1 << 20);
	size_t n = 0;

	if (f && text)
		n = fread(text, 1, (1 << 20) - 1, f);
	if (f)
		fclose(f);
	if (n == 0) {
		free(text);
		return NULL;
	}
	return text;
}

static int open_store(const struct options *o, struct gateway *gw)
{
	const int err = store_open(o->root, &gw->store);

	if (err == -EBUSY)
		return fail(1,
			    "%s is served by another gateway: end it, or "
			    "choose another folder",
			    o->root);
	if (err == -EOPNOTSUPP)
		return fail(1,
			    "%s: its file system has no user extended "
			    "attributes, which hold the objects' metadata; "
			    "use ext4, xfs, btrfs or tmpfs (Linux 6.6)",
			    o->root);
	if (err)
		return fail(1, "cannot serve %s: %s", o->root, strerror(-err));
	return 0;
}

static int start(struct options *o, struct gateway *gw, struct http **http)
{
	int err = load_keys(o, &gw->keys);

	if (!err)
		err = open_store(o, gw);
	if (err)
		return err;
	if (o->access_log) {
		gw->log_fd = open(o->access_log,
				  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC,
				  0640);
		if (gw->log_fd < 0)
			return fail(1, "cannot write %s: %s", o->access_log,
				    strerror(errno));
	}
	if (o->cert) {
		o->http.tls_cert = read_file(o->cert);
		o->http.tls_key = read_file(o->key);
		if (!o->http.tls_cert || !o->http.tls_key)
			return fail(1, "cannot read %s or %s", o->cert, o->key);
	}
	if (strcmp(o->rdma, "off") != 0) {
		err = shm_server_new(&gw->shm);
		if (err)
			return fail(1, "shm: %s", strerror(-err));
	}
	err = http_start(&o->http, gw, http);
	if (err)
		return fail(1,
			    "cannot listen on %s: %s; choose another "
			    "--listen ADDR:PORT",
			    o->http.listen, strerror(-err));
	return 0;
}

static void wait_for_signal(const sigset_t *set)
{
	const uint64_t one = 1;
	int sig;

	log_info("serving");
	sigwait(set, &sig);
	log_info("stopping");
	if (write(stop_fd, &one, sizeof(one)) < 0)
		log_debug("gateway: %m");
}

int main(int argc, char **argv)
{
	struct options o = {.region = "us-east-1",
			    .rdma = "auto",
			    .http = {.listen = "127.0.0.1:9000"}};
	struct gateway gw = {.log_fd = -1};
	struct http *http = NULL;
	sigset_t set;
	int code;

	log_open("s3rdma-gateway", log_sink_of_stderr());
	code = parse_options(argc, argv, &o);
	if (code)
		return code < 0 ? 0 : code;
	/* Before any thread: they inherit the mask, and sigwait gets them. */
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	umask(022);
	stop_fd = eventfd(0, EFD_CLOEXEC);
	gw.region = o.region;
	gw.faults = o.faults;
	code = start(&o, &gw, &http);
	if (!code)
		wait_for_signal(&set);
	http_stop(http);
	rdma_wait_for_late();
	shm_server_free(gw.shm);
	if (gw.store)
		store_close(gw.store);
	if (gw.log_fd >= 0)
		close(gw.log_fd);
	keyring_free(&gw.keys);
	fault_free(o.faults);
	free(o.http.tls_cert);
	free(o.http.tls_key);
	close(stop_fd);
	return code;
}
