/* SPDX-License-Identifier: Apache-2.0 */
/* Lock: lock, a leaf. */
#include "ctl_names.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "cache/catalog.h"
#include "daemon.h"
#include "s3/uri.h"

#define JOBS 8          /* at a time */
#define WORDS 32        /* of one command */
#define PROGRESS_MS 200 /* between lines of progress */

struct ctl_names {
	struct daemon *daemon; /* borrowed */
	atomic_bool stopping;
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned int running; /* under lock */
};

struct job {
	struct ctl_names *names;
	const struct command *command;
	int sock, fd; /* owned */
	char *text;   /* owned; what the words point into */
	const char *words[WORDS];
	unsigned int nwords;
	const char *unit;
	uint64_t told_ms;
	bool gone; /* nobody listens any more, or the daemon ends */
};

struct command {
	const char *name;
	void (*run)(struct job *job);
};

/* Who reads slowly, or was stopped for a while, gets all of it all the same:
 * what is waited for is that it goes, or that the daemon ends. */
static void put(struct job *job, const char *text, size_t n)
{
	while (!job->gone && n) {
		const ssize_t sent = send(job->sock, text, n,
					  MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			text += sent;
			n -= (size_t)sent;
		} else if (sent < 0 && errno == EAGAIN &&
			   !atomic_load(&job->names->stopping)) {
			struct pollfd p = {.fd = job->sock, .events = POLLOUT};

			poll(&p, 1, 200);
		} else {
			job->gone = true;
		}
	}
}

static void say(struct job *job, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));
static void say(struct job *job, const char *fmt, ...)
{
	char text[2 * NAMESPACE_PATH_MAX];
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	if (n >= (int)sizeof(text))
		n = sizeof(text) - 1;
	if (n > 0)
		put(job, text, (size_t)n);
}

/* Left out where the line does not fit: the next one says more, and the work
 * waits for nobody who only looks on. */
static void say_progress(struct job *job, uint64_t done, uint64_t total)
{
	char text[96];
	const int n = snprintf(text, sizeof(text), "progress %llu %llu %s\n",
			       (unsigned long long)done,
			       (unsigned long long)total, job->unit);
	const ssize_t sent = send(job->sock, text, (size_t)n,
				  MSG_NOSIGNAL | MSG_DONTWAIT);

	if (sent > 0)
		put(job, text + sent, (size_t)(n - sent));
	else if (sent < 0 && errno != EAGAIN)
		job->gone = true;
}

static bool on_step(void *ctx, uint64_t done, uint64_t total)
{
	struct job *job = ctx;
	const uint64_t now = clock_ms();

	if (!job->gone && now - job->told_ms >= PROGRESS_MS) {
		job->told_ms = now;
		say_progress(job, done, total);
	}
	return !job->gone && !atomic_load(&job->names->stopping);
}

static void say_error(struct job *job, const char *what, int err)
{
	say(job, "error: %s: %s\n", what, strerror(-err));
}

/* ---- commands ---- */

/* The path, "" when it is not given, without slashes around it. */
static const char *path_of(struct job *job, unsigned int at)
{
	char *p = at < job->nwords ? (char *)job->words[at] : (char *)"";
	size_t n;

	p += strspn(p, "/");
	n = strlen(p);
	while (n && p[n - 1] == '/')
		p[--n] = '\0';
	return strcmp(p, ".") != 0 ? p : "";
}

static void refresh(struct job *job, bool freeze)
{
	const struct catalog_watch watch = {on_step, job};
	const char *path = path_of(job, 0);
	uint64_t files;
	int err;

	job->unit = "files";
	err = catalog_refresh(job->names->daemon->ns, path, freeze, &watch,
			      &files);
	if (err)
		say_error(job, *path ? path : "/", err);
	else
		say(job, "%s /%s: %llu files\n",
		    freeze ? "frozen" : "refreshed", path,
		    (unsigned long long)files);
}

static void cmd_refresh(struct job *job)
{
	refresh(job, false);
}

static void cmd_snapshot(struct job *job)
{
	refresh(job, true);
}

static void cmd_import(struct job *job)
{
	const struct catalog_watch watch = {on_step, job};
	uint64_t files, line;
	int err;

	job->unit = "bytes";
	if (job->fd < 0) {
		say(job, "error: no file came with the command\n");
		return;
	}
	err = catalog_import(job->names->daemon->ns, job->fd,
			     job->nwords ? job->words[0] : NULL, &watch, &files,
			     &line);
	if (err == -EBADMSG)
		say(job,
		    "error: line %llu is no row of an inventory: expected "
		    "columns %s\n",
		    (unsigned long long)line,
		    job->nwords ? job->words[0]
				: "Bucket,Key,Size,LastModifiedDate,ETag,"
				  "StorageClass");
	else if (err == -EINVAL)
		say(job, "error: import needs a mount of one bucket, and "
			 "columns with Key and Size\n");
	else if (err == -ENODATA)
		say(job,
		    "error: import: none of %llu lines is an object of this "
		    "bucket and prefix; nothing was changed\n",
		    (unsigned long long)line);
	else if (err)
		say_error(job, "import", err);
	else
		say(job, "imported %llu files from %llu lines\n",
		    (unsigned long long)files, (unsigned long long)line);
}

static void cmd_export(struct job *job)
{
	const struct catalog_watch watch = {on_step, job};
	uint64_t files, unlisted;
	int err;

	job->unit = "files";
	if (job->fd < 0) {
		say(job, "error: no file came with the command\n");
		return;
	}
	err = catalog_export(job->names->daemon->ns, job->fd, path_of(job, 0),
			     &watch, &files, &unlisted);
	if (err) {
		say_error(job, "export", err);
		return;
	}
	say(job, "exported %llu files\n", (unsigned long long)files);
	if (unlisted)
		say(job,
		    "warning: of %llu directories nothing is known: refresh "
		    "first\n",
		    (unsigned long long)unlisted);
}

static int say_path(void *ctx, const char *path)
{
	struct job *job = ctx;

	say(job, "%s\n", path);
	/* Without an end to it: s3rdmactl says that it was cut short. */
	job->gone |= atomic_load(&job->names->stopping);
	return job->gone ? -EPIPE : 0;
}

/* Words: the prefix, then "meta" or "tag" before each name=value. */
static void cmd_find(struct job *job)
{
	const char *meta[WORDS], *tags[WORDS];
	unsigned int nmeta = 0, ntags = 0;
	int err;

	for (unsigned int i = 1; i + 1 < job->nwords; i += 2) {
		if (!strcmp(job->words[i], "tag"))
			tags[ntags++] = job->words[i + 1];
		else
			meta[nmeta++] = job->words[i + 1];
	}
	err = catalog_find(job->names->daemon->ns,
			   job->nwords ? job->words[0] : "", meta, nmeta, tags,
			   ntags, say_path, job);
	if (err && err != -EPIPE)
		say_error(job, "find", err);
}

static const struct command commands[] = {
	{"refresh", cmd_refresh}, {"snapshot", cmd_snapshot},
	{"import", cmd_import},   {"export", cmd_export},
	{"find", cmd_find},
};

/* ---- running them ---- */

/* With the end of the answer. */
static void finish(struct job *job)
{
	put(job, "", 1);
	if (job->sock >= 0)
		close(job->sock);
	if (job->fd >= 0)
		close(job->fd);
	free(job->text);
	free(job);
}

static void *run_job(void *arg)
{
	struct job *job = arg;
	struct ctl_names *n = job->names;

	job->command->run(job);
	finish(job);
	LOCK_SCOPE(&n->lock);
	n->running--;
	pthread_cond_broadcast(&n->changed);
	return NULL;
}

/* Words, decoded in place.  false for what is malformed. */
static bool cut_words(struct job *job)
{
	char *save = NULL;

	for (char *w = strtok_r(job->text, " ", &save); w;
	     w = strtok_r(NULL, " ", &save)) {
		/* A word of its own for "": it would not be seen. */
		if (!strcmp(w, "%"))
			*w = '\0';
		else if (uri_decode(w, strlen(w), false, w) < 0)
			return false;
		if (job->nwords == WORDS)
			return false;
		job->words[job->nwords++] = w;
	}
	return true;
}

static void start(struct ctl_names *n, const struct command *c,
		  const char *args, int sock, int fd)
{
	struct job *job = calloc(1, sizeof(*job));
	pthread_t thread;
	bool room;

	if (!job) {
		close(sock);
		if (fd >= 0)
			close(fd);
		return;
	}
	*job = (struct job){.names = n,
			    .command = c,
			    .sock = sock,
			    .fd = fd,
			    .unit = "",
			    .told_ms = clock_ms(),
			    .text = strdup(args)};
	LOCK_SCOPE(&n->lock);
	room = n->running < JOBS && !atomic_load(&n->stopping);
	if (!room)
		say(job, "error: too much is going on: try again later\n");
	else if (!job->text || !cut_words(job))
		say(job, "error: malformed command\n");
	else if (thread_start(&thread, "ctl-names", run_job, job))
		say(job, "error: no thread for it: try again later\n");
	else {
		pthread_detach(thread);
		n->running++;
		return;
	}
	finish(job);
}

bool ctl_names_take(struct ctl_names *n, const char *command, const char *args,
		    int sock, int fd)
{
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
		if (!strcmp(commands[i].name, command)) {
			start(n, &commands[i], args, sock, fd);
			return true;
		}
	return false;
}

int ctl_names_new(struct daemon *d, struct ctl_names **out)
{
	struct ctl_names *n = calloc(1, sizeof(*n));

	if (!n)
		return -ENOMEM;
	n->daemon = d;
	pthread_mutex_init(&n->lock, NULL);
	pthread_cond_init(&n->changed, NULL);
	*out = n;
	return 0;
}

void ctl_names_free(struct ctl_names *n)
{
	if (!n)
		return;
	atomic_store(&n->stopping, true);
	{
		LOCK_SCOPE(&n->lock);
		while (n->running)
			pthread_cond_wait(&n->changed, &n->lock);
	}
	pthread_cond_destroy(&n->changed);
	pthread_mutex_destroy(&n->lock);
	free(n);
}
