/* SPDX-License-Identifier: Apache-2.0 */
/* s3rdma-gateway: options, start, wait for a signal, stop. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fault.h"
#include "base/parse.h"
#include "http.h"
#include "nic.h"
#include "ops.h"
#include "rdma/shm_initiator.h"

struct options {
	const char *root, *region, *rdma, *credentials, *access_log;
	const char *cert, *key, *device;
	uint64_t dc_key;
	struct http_config http;
	struct faults *faults;
};

static const char usage[] =
	"usage: s3rdma-gateway --root DIR [OPTIONS]\n"
	"\n"
	"  --root DIR            serve this folder: buckets are its folders\n"
	"  --listen ADDR:PORT    where to listen (127.0.0.1:9000)\n"
	"  --region NAME         what to say of the region (us-east-1)\n"
	"  --rdma auto|off|shm|rc|dc\n"
	"                        transports to offer (auto)\n"
	"  --rdma-device NAME    RDMA device to use; else the one that has "
	"the\n"
	"                        address of --listen\n"
	"  --dc-key HEX          DC access key (0xffeeddcc)\n"
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

/* Is --rdma one of the words? */
static bool offers(const struct options *o, const char *words)
{
	const size_t n = strlen(o->rdma);
	const char *p = strstr(words, o->rdma);

	return n > 0 && p && !strchr(o->rdma, ' ') &&
	       (p == words || p[-1] == ' ') && (!p[n] || p[n] == ' ');
}

/* Options whose argument is kept as it is. */
static const struct {
	const char *name;
	size_t offset; /* of a const char * in struct options */
} texts[] = {
	{"root", offsetof(struct options, root)},
	{"listen", offsetof(struct options, http.listen)},
	{"region", offsetof(struct options, region)},
	{"rdma", offsetof(struct options, rdma)},
	{"rdma-device", offsetof(struct options, device)},
	{"credentials", offsetof(struct options, credentials)},
	{"tls-cert", offsetof(struct options, cert)},
	{"tls-key", offsetof(struct options, key)},
	{"access-log", offsetof(struct options, access_log)},
};

static bool take_text(struct options *o, const char *name, const char *value)
{
	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		if (strcmp(texts[i].name, name) != 0)
			continue;
		*(const char **)((char *)o + texts[i].offset) = value;
		return true;
	}
	return false;
}

/* The others: 0, or as parse_options. */
static int take_option(struct options *o, int c, const char *value)
{
	switch (c) {
	case 'k':
		if (parse_hex32(value, &o->dc_key))
			return fail(2,
				    "--dc-key %s: expected a hexadecimal "
				    "number such as 0xffeeddcc",
				    value);
		return 0;
	case 'f':
		if (fault_add(&o->faults, value))
			return fail(2,
				    "--fault %s: see s3rdma-gateway(1) for "
				    "the form",
				    value);
		return 0;
	case 'd':
		log_set_level(LOG_LEVEL_DEBUG);
		return 0;
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

static int check_options(const struct options *o)
{
	if (!o->root)
		return fail(2, "--root DIR is missing; try --help");
	if (!offers(o, "auto off shm rc dc"))
		return fail(2, "--rdma %s: expected auto, off, shm, rc or dc",
			    o->rdma);
	if (!o->cert != !o->key)
		return fail(2, "--tls-cert and --tls-key go together");
	return 0;
}

/* 0, or an exit code (with -1 for a clean end). */
static int parse_options(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"root", required_argument, NULL, 't'},
		{"listen", required_argument, NULL, 't'},
		{"region", required_argument, NULL, 't'},
		{"rdma", required_argument, NULL, 't'},
		{"rdma-device", required_argument, NULL, 't'},
		{"dc-key", required_argument, NULL, 'k'},
		{"credentials", required_argument, NULL, 't'},
		{"tls-cert", required_argument, NULL, 't'},
		{"tls-key", required_argument, NULL, 't'},
		{"access-log", required_argument, NULL, 't'},
		{"fault", required_argument, NULL, 'f'},
		{"debug", no_argument, NULL, 'd'},
		{"version", no_argument, NULL, 'V'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int c, which, code = 0;

	while (!code &&
	       (c = getopt_long(argc, argv, "", longs, &which)) != -1) {
		if (c != 't' || !take_text(o, longs[which].name, optarg))
			code = take_option(o, c, optarg);
	}
	if (code)
		return code;
	if (optind < argc)
		return fail(2, "what is \"%s\"? try --help", argv[optind]);
	return check_options(o);
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

/* A device of the address that is listened on, if none is named. */
static int open_nic(const struct options *o, struct gateway *gw)
{
	const bool named = offers(o, "rc dc") || o->device;
	const char *colon = strrchr(o->http.listen, ':');
	static char host[128]; /* borrowed as long as the device is */
	char why[256];
	struct nic_config cfg = {.initiator = {.device = o->device,
					       .address = host,
					       .rc = offers(o, "auto rc"),
					       .dc = offers(o, "auto dc"),
					       .dc_required = offers(o, "dc"),
					       .dc_key = (uint32_t)o->dc_key},
				 .required = named};
	size_t n = colon ? (size_t)(colon - o->http.listen) : 0;
	int err;

	snprintf(host, sizeof(host), "%.*s", (int)n, o->http.listen);
	if (host[0] == '[') {
		n = strcspn(host, "]");
		memmove(host, host + 1, n);
		host[n - 1] = '\0';
	}
	err = nic_new(&cfg, &gw->nic, why, sizeof(why));
	if (err)
		return fail(1, "--rdma %s: %s", o->rdma, why);
	gw->rc = cfg.initiator.rc;
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
	if (offers(o, "auto shm")) {
		err = shm_server_new(&gw->shm);
		if (err)
			return fail(1, "shm: %s", strerror(-err));
	}
	if (offers(o, "auto rc dc")) {
		err = open_nic(o, gw);
		if (err)
			return err;
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
			    .dc_key = 0xffeeddcc,
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
	nic_free(gw.nic);
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
