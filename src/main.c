/* SPDX-License-Identifier: Apache-2.0 */
/* s3rdmafs: options, configuration, background, run, exit code. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "daemon.h"

#define DEFAULT_FILE "/etc/s3rdmafs/s3rdmafs.yaml"

enum { EXIT_CLEAN, EXIT_ERROR, EXIT_USAGE };

struct options {
	bool foreground, debug;
	const char *file;
	char *o; /* owned: all -o, joined */
	const char *source, *mountpoint;
};

static const char usage[] =
	"usage: s3rdmafs [OPTIONS] SOURCE MOUNTPOINT\n"
	"\n"
	"  SOURCE          s3://BUCKET[/PREFIX], or s3:// for every bucket\n"
	"  -f              stay in the foreground\n"
	"  -d              log debug messages and every request (implies -f)\n"
	"  -c FILE         configuration (" DEFAULT_FILE " if present)\n"
	"  -o KEY=VALUE,.. options; s3rdmafs(1) lists them\n"
	"  -V              say which version this is\n"
	"  -h              say this\n";

static struct daemon the_daemon;

static void complain(const char *fmt, ...)
	__attribute__((format(printf, 1, 2)));
static void complain(const char *fmt, ...)
{
	char text[1024];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (char *p = text; *p; p++)
		if (*p == '\n')
			*p = ' ';
	fprintf(stderr, "s3rdmafs: %s\n", text);
}

static int add_options(struct options *o, const char *text)
{
	char *joined;

	if (asprintf(&joined, "%s%s%s", o->o ? o->o : "", o->o ? "," : "",
		     text) < 0)
		return -ENOMEM;
	free(o->o);
	o->o = joined;
	return 0;
}

/* mount(8) calls its helper with its own flags, and -f means "fake" there. */
static bool is_helper(const char *argv0)
{
	const char *slash = strrchr(argv0, '/');

	return !strncmp(slash ? slash + 1 : argv0, "mount.", 6);
}

/* -1 to go on, else an exit code. */
static int parse(int argc, char **argv, struct options *o)
{
	static const struct option longs[] = {
		{"help", no_argument, NULL, 'h'},
		{"version", no_argument, NULL, 'V'},
		{NULL, 0, NULL, 0},
	};
	const bool helper = is_helper(argv[0]);
	int c;

	opterr = 0;
	while ((c = getopt_long(argc, argv, helper ? "o:nsvft:" : "fdc:o:Vh",
				longs, NULL)) != -1) {
		if (c == '?') {
			complain("unknown option %s, or one without its value; "
				 "try -h",
				 argv[optind - 1]);
			return EXIT_USAGE;
		}
		if (c == 'o') {
			if (add_options(o, optarg))
				return EXIT_ERROR;
		} else if (helper) {
			if (c == 'f') /* fake: all but the mount itself */
				return EXIT_CLEAN;
		} else if (c == 'f') {
			o->foreground = true;
		} else if (c == 'd') {
			o->foreground = o->debug = true;
		} else if (c == 'c') {
			o->file = optarg;
		} else if (c == 'V') {
			puts("s3rdmafs " S3RDMAFS_VERSION);
			return EXIT_CLEAN;
		} else {
			fputs(usage, stdout);
			return EXIT_CLEAN;
		}
	}
	/* mount(8) puts the options behind the two names; getopt has moved
	 * them to the front. */
	if (argc - optind != 2) {
		complain("expected SOURCE and MOUNTPOINT; try -h");
		return EXIT_USAGE;
	}
	o->source = argv[optind];
	o->mountpoint = argv[optind + 1];
	return -1;
}

/* s3://bucket/prefix, bucket:/prefix or bucket; false when it is none. */
static bool parse_source(const char *s, struct daemon *d)
{
	const char *rest = s;
	size_t n;

	snprintf(d->source, sizeof(d->source), "%s", s);
	if (!strncmp(s, "s3://", 5))
		rest = s + 5;
	else if (!*s || strstr(s, "://"))
		return false;
	n = strcspn(rest, rest == s ? ":/" : "/");
	if (n > S3_BUCKET_MAX)
		return false;
	snprintf(d->bucket, sizeof(d->bucket), "%.*s", (int)n, rest);
	rest += n;
	rest += *rest == ':';
	rest += strspn(rest, "/");
	n = strlen(rest);
	while (n > 0 && rest[n - 1] == '/')
		n--;
	if (n + 1 > S3_KEY_MAX || (n > 0 && !d->bucket[0]))
		return false;
	snprintf(d->prefix, sizeof(d->prefix), "%.*s%s", (int)n, rest,
		 n ? "/" : "");
	return true;
}

static int load_config(const struct options *o, struct daemon *d)
{
	const char *file = o->file;
	char why[900];
	int err = config_init(&d->cfg);

	snprintf(why, sizeof(why), "out of memory");
	if (!file && !access(DEFAULT_FILE, R_OK))
		file = DEFAULT_FILE;
	if (!err && file)
		err = config_load_file(&d->cfg, file, why, sizeof(why));
	if (!err)
		err = config_load_env(&d->cfg, why, sizeof(why));
	if (!err && o->o)
		err = config_load_options(&d->cfg, o->o, why, sizeof(why));
	if (!err)
		err = config_load_profile(&d->cfg);
	if (!err) {
		config_settle(&d->cfg);
		err = config_check(&d->cfg, why, sizeof(why));
	}
	if (err)
		complain("%s", why);
	return err ? EXIT_USAGE : EXIT_CLEAN;
}

static bool allows_other(void)
{
	FILE *f = fopen("/etc/fuse.conf", "re");
	char line[256];
	bool yes = false;

	while (f && fgets(line, sizeof(line), f)) {
		line[strcspn(line, " \t\r\n")] = '\0';
		yes |= !strcmp(line, "user_allow_other");
	}
	if (f)
		fclose(f);
	return yes;
}

/* What can be known before anything is asked of the server. */
static int check_place(struct daemon *d)
{
	AUTO_FREE char *real = NULL;
	struct stat st;

	if (access("/dev/fuse", F_OK)) {
		complain("/dev/fuse is missing: load the fuse module (modprobe "
			 "fuse), or give the container the device");
		return EXIT_ERROR;
	}
	real = realpath(d->mountpoint, NULL);
	if (!real || stat(real, &st)) {
		if (errno == ENOTCONN)
			complain("%s: a mount there has lost its daemon: "
				 "fusermount3 -u it first",
				 d->mountpoint);
		else
			complain("mount point %s: %s; make it with mkdir",
				 d->mountpoint, strerror(errno));
		return EXIT_ERROR;
	}
	/* The background daemon's working directory is another. */
	snprintf(d->mountpoint, sizeof(d->mountpoint), "%s", real);
	if (!S_ISDIR(st.st_mode)) {
		complain("mount point %s is no directory: choose one",
			 d->mountpoint);
		return EXIT_ERROR;
	}
	if (getuid() != 0 && access(d->mountpoint, W_OK)) {
		complain("mount point %s: no write permission for uid %u; "
			 "choose a directory of your own",
			 d->mountpoint, getuid());
		return EXIT_ERROR;
	}
	if (getuid() != 0 && d->cfg.mount.allow_other && !allows_other()) {
		complain("allow_other: an ordinary user may use it once "
			 "/etc/fuse.conf has the line user_allow_other");
		return EXIT_ERROR;
	}
	return EXIT_CLEAN;
}

static enum log_sink choose_sink(const struct config *c, bool foreground)
{
	const char *sink = c->log.sink;

	if (!strcmp(sink, "syslog"))
		return LOG_SINK_SYSLOG;
	if (!strcmp(sink, "journal"))
		return LOG_SINK_JOURNAL;
	if (!strcmp(sink, "stderr") || foreground)
		return log_sink_of_stderr();
	return LOG_SINK_SYSLOG;
}

/* ---- running ---- */

/* Where the parent waits for an exit code; -1 in the foreground. */
static int parent_fd = -1;

static void tell_parent(unsigned char code)
{
	if (parent_fd < 0)
		return;
	if (write(parent_fd, &code, 1) != 1)
		log_debug("the parent has gone");
	close(parent_fd);
	parent_fd = -1;
}

static enum log_level wanted_level(const struct daemon *d, bool debug)
{
	return debug ? LOG_LEVEL_DEBUG
		     : (enum log_level)log_level_parse(d->cfg.log.level);
}

static void on_ready(void *arg)
{
	const struct daemon *d = arg;
	int null;

	if (parent_fd >= 0)
		log_set_level(wanted_level(d, false));
	log_info("mounted %s on %s", d->source, d->mountpoint);
	if (parent_fd < 0)
		return;
	null = open("/dev/null", O_RDWR);
	if (null >= 0) {
		dup2(null, STDIN_FILENO);
		dup2(null, STDOUT_FILENO);
		if (strcmp(d->cfg.log.sink, "stderr") != 0)
			dup2(null, STDERR_FILENO);
		if (null > STDERR_FILENO)
			close(null);
	}
	tell_parent(EXIT_CLEAN);
}

static void on_signal(int sig)
{
	(void)sig;
	fs_exit(the_daemon.fs);
}

static void catch_signals(void)
{
	const struct sigaction stop = {.sa_handler = on_signal};

	sigaction(SIGTERM, &stop, NULL);
	sigaction(SIGINT, &stop, NULL);
	signal(SIGHUP, SIG_IGN);
}

/* It is ending already, and what a handler would touch goes.  Only this thread
 * takes signals, so none is being handled. */
static void ignore_signals(void)
{
	signal(SIGTERM, SIG_IGN);
	signal(SIGINT, SIG_IGN);
}

static int run(struct daemon *d, bool foreground, bool debug)
{
	char why[900];
	int err;

	signal(SIGPIPE, SIG_IGN);
	log_open("s3rdmafs", log_sink_of_stderr());
	if (daemon_start(d, debug, why, sizeof(why))) {
		complain("%s", why);
		daemon_stop(d);
		return EXIT_ERROR;
	}
	log_open("s3rdmafs", choose_sink(&d->cfg, foreground));
	catch_signals();
	err = fs_run(d->fs, on_ready, d);
	if (err)
		log_error("the mount ended: %s", strerror(-err));
	log_info("unmounting %s", d->mountpoint);
	ignore_signals();
	daemon_stop(d);
	return err ? EXIT_ERROR : EXIT_CLEAN;
}

/* The parent's part: its exit code is the child's word. */
static int wait_for_child(pid_t child, int fd)
{
	unsigned char code;
	int status;

	if (read(fd, &code, 1) == 1)
		return code;
	if (waitpid(child, &status, 0) == child && WIFEXITED(status))
		return WEXITSTATUS(status);
	complain("the daemon ended at once");
	return EXIT_ERROR;
}

static int run_in_background(struct daemon *d)
{
	int fds[2], code;
	pid_t child;

	if (pipe2(fds, O_CLOEXEC)) {
		complain("pipe: %s", strerror(errno));
		return EXIT_ERROR;
	}
	/* Before any thread exists or memory is pinned: neither survives. */
	child = fork();
	if (child < 0) {
		complain("fork: %s", strerror(errno));
		return EXIT_ERROR;
	}
	if (child > 0) {
		close(fds[1]);
		return wait_for_child(child, fds[0]);
	}
	close(fds[0]);
	parent_fd = fds[1];
	setsid();
	if (chdir("/"))
		log_debug("chdir: %m");
	code = run(d, false, false);
	tell_parent((unsigned char)code);
	return code;
}

int main(int argc, char **argv)
{
	struct options o = {.foreground = false};
	struct daemon *d = &the_daemon;
	int code;

	/* An arena for each thread keeps what each once needed: 10 MiB more
	 * after a million names.  No read allocates, so four are enough. */
	mallopt(M_ARENA_MAX, 4);
	code = parse(argc, argv, &o);

	if (code < 0) {
		snprintf(d->mountpoint, sizeof(d->mountpoint), "%s",
			 o.mountpoint);
		code = EXIT_CLEAN;
		if (!parse_source(o.source, d)) {
			complain("\"%s\" is no source: expected "
				 "s3://BUCKET[/PREFIX] or s3://",
				 o.source);
			code = EXIT_USAGE;
		}
		if (!code)
			code = load_config(&o, d);
		if (!code)
			code = check_place(d);
		if (!code) {
			/* In the background only faults are said before the
			 * mount is up; on_ready sets the level wanted. */
			log_set_level(o.foreground ? wanted_level(d, o.debug)
						   : LOG_LEVEL_WARNING);
			code = o.foreground ? run(d, true, o.debug)
					    : run_in_background(d);
		}
		config_free(&d->cfg);
	}
	free(o.o);
	return code;
}
