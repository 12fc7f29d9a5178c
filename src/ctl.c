/* SPDX-License-Identifier: Apache-2.0 */
/* One thread answers one caller at a time; a slow one is cut off (but for
 * what ctl_names.c takes over). */
#include "ctl.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/fdpass.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "base/thread.h"
#include "ctl_names.h"
#include "daemon.h"

#define PATIENCE_S 5
#define REQUEST_MAX 16384 /* words with paths, percent-encoded */

struct ctl {
	struct daemon *daemon;   /* borrowed */
	struct ctl_names *names; /* owned */
	int socket;              /* owned */
	pthread_t thread;
	bool started;
};

/* Nested objects as "a.b: value" lines. */
static void add_text(struct strbuf *b, const char *prefix, json_t *o)
{
	const char *name;
	json_t *v;

	json_object_foreach(o, name, v)
	{
		char path[128];

		snprintf(path, sizeof(path), "%s%s%s", prefix,
			 *prefix ? "." : "", name);
		if (json_is_object(v)) {
			add_text(b, path, v);
		} else {
			AUTO_FREE char *text = json_dumps(
				v, JSON_ENCODE_ANY | JSON_COMPACT |
					   JSON_REAL_PRECISION(4));

			strbuf_printf(b, "%s: %s\n", path,
				      json_is_string(v) ? json_string_value(v)
				      : text            ? text
							: "");
		}
	}
}

/* "path: value (origin)" */
static void add_config_text(struct strbuf *b, json_t *o)
{
	const char *name;
	json_t *row;

	json_object_foreach(o, name, row)
	{
		json_t *v = json_object_get(row, "value");
		AUTO_FREE char *text = json_dumps(v, JSON_ENCODE_ANY |
							     JSON_COMPACT);

		strbuf_printf(
			b, "%s: %s (%s)\n", name,
			json_is_string(v) ? json_string_value(v)
			: text            ? text
					  : "",
			json_string_value(json_object_get(row, "origin")));
	}
}

static void render(struct strbuf *b, json_t *o, bool json, bool config)
{
	if (json) {
		AUTO_FREE char *text = json_dumps(
			o, JSON_INDENT(2) | JSON_REAL_PRECISION(4));

		strbuf_printf(b, "%s\n", text ? text : "{}");
	} else if (config) {
		add_config_text(b, o);
	} else {
		add_text(b, "", o);
	}
	json_decref(o);
}

static void cmd_status(struct daemon *d, const char *arg, bool json,
		       struct strbuf *b)
{
	(void)arg;
	render(b, daemon_status(d), json, false);
}

static void cmd_stats(struct daemon *d, const char *arg, bool json,
		      struct strbuf *b)
{
	(void)arg;
	render(b, daemon_stats(d), json, false);
}

static void cmd_config(struct daemon *d, const char *arg, bool json,
		       struct strbuf *b)
{
	(void)arg;
	render(b, config_dump(&d->cfg), json, true);
}

static void cmd_drop(struct daemon *d, const char *arg, bool json,
		     struct strbuf *b)
{
	(void)arg;
	(void)json;
	(void)b;
	gpubuf_drop(d->gpubuf);
	fs_drop(d->fs);
	cache_drop(d->cache);
}

static void cmd_log(struct daemon *d, const char *arg, bool json,
		    struct strbuf *b)
{
	const int level = log_level_parse(arg);

	(void)d;
	(void)json;
	if (level < 0)
		strbuf_puts(b, "error: expected error, warning, info, debug "
			       "or trace\n");
	else
		log_set_level((enum log_level)level);
}

static const struct {
	const char *name;
	void (*run)(struct daemon *d, const char *arg, bool json,
		    struct strbuf *b);
} commands[] = {
	{"status", cmd_status}, {"stats", cmd_stats}, {"config", cmd_config},
	{"drop", cmd_drop},     {"log", cmd_log},
};

/* "[json ]command[ argument]" */
static void answer(struct daemon *d, char *line, struct strbuf *b)
{
	const bool json = !strncmp(line, "json ", 5);
	char *name = json ? line + 5 : line, *arg;

	arg = strchr(name, ' ');
	if (arg)
		*arg++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
		if (strcmp(commands[i].name, name) != 0)
			continue;
		commands[i].run(d, arg ? arg : "", json, b);
		return;
	}
	strbuf_puts(b, "error: unknown command\n");
}

static bool may_ask(int fd)
{
	struct ucred peer;
	socklen_t n = sizeof(peer);

	return !getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) &&
	       (peer.uid == 0 || peer.uid == getuid());
}

static void send_all(int fd, const struct strbuf *b)
{
	for (size_t at = 0; at < b->len;) {
		const ssize_t n = send(fd, b->s + at, b->len - at,
				       MSG_NOSIGNAL);

		if (n <= 0)
			return;
		at += (size_t)n;
	}
}

/* The line, and the descriptor that came with it, or -1.  false when nothing
 * came. */
static bool receive(int fd, char *line, size_t cap, int *passed)
{
	unsigned int nfds = 0;
	int fds[2];
	ssize_t n = fdpass_receive(fd, line, cap - 1, fds, 2, &nfds, 0);

	for (unsigned int i = 1; i < nfds; i++)
		close(fds[i]);
	*passed = nfds ? fds[0] : -1;
	/* A long line comes in pieces. */
	while (n > 0 && !memchr(line, '\n', (size_t)n) && (size_t)n < cap - 1) {
		const ssize_t more = recv(fd, line + n, cap - 1 - (size_t)n, 0);

		if (more <= 0)
			break;
		n += more;
	}
	line[n > 0 ? n : 0] = '\0';
	line[strcspn(line, "\r\n")] = '\0';
	return n > 0;
}

/* Takes over the connection. */
static void serve(struct ctl *c, int fd)
{
	const struct timeval patience = {.tv_sec = PATIENCE_S};
	char line[REQUEST_MAX], name[32];
	struct strbuf b;
	size_t n;
	int passed;

	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	strbuf_init(&b, 1 << 20);
	if (receive(fd, line, sizeof(line), &passed)) {
		n = strcspn(line, " ");
		snprintf(name, sizeof(name), "%.*s", (int)n, line);
		if (!may_ask(fd)) {
			strbuf_puts(&b, "error: not your mount\n");
		} else if (ctl_names_take(c->names, name,
					  line + n + (line[n] == ' '), fd,
					  passed)) {
			strbuf_free(&b);
			return;
		} else {
			answer(c->daemon, line, &b);
		}
		strbuf_add(&b, "", 1);
		send_all(fd, &b);
	}
	if (passed >= 0)
		close(passed);
	close(fd);
	strbuf_free(&b);
}

static void *run(void *arg)
{
	struct ctl *c = arg;

	for (;;) {
		const int fd = accept4(c->socket, NULL, NULL, SOCK_CLOEXEC);

		if (fd >= 0)
			serve(c, fd);
		else if (errno != EINTR && errno != ECONNABORTED)
			return NULL; /* shut down */
	}
}

/* A folder of our own that nobody else can have put things into. */
static int make_folder(char *path, size_t cap)
{
	const char *runtime = getenv("XDG_RUNTIME_DIR");
	struct stat st;

	if (getuid() == 0)
		snprintf(path, cap, "/run/s3rdmafs");
	else if (runtime && strlen(runtime) < 64)
		snprintf(path, cap, "%s/s3rdmafs", runtime);
	else
		snprintf(path, cap, "/tmp/s3rdmafs-%u", getuid());
	if (mkdir(path, 0711) && errno != EEXIST)
		return -errno;
	if (lstat(path, &st))
		return -errno;
	/* Others reach the sockets that are for them, and list nothing. */
	if (st.st_uid == getuid() && S_ISDIR(st.st_mode))
		chmod(path, 0711);
	return S_ISDIR(st.st_mode) && st.st_uid == getuid() &&
			       !(st.st_mode & 0022)
		       ? 0
		       : -EPERM;
}

static int bind_to(struct ctl *c, const char *path)
{
	struct sockaddr_un addr = {.sun_family = AF_UNIX};

	if (strlen(path) >= sizeof(addr.sun_path))
		return -ENAMETOOLONG;
	strcpy(addr.sun_path, path);
	/* Of an earlier process with our pid, killed before it could. */
	unlink(path);
	c->socket = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (c->socket < 0 ||
	    bind(c->socket, (const struct sockaddr *)&addr, sizeof(addr)) ||
	    chmod(path, 0600) || listen(c->socket, 16))
		return -errno;
	return 0;
}

int ctl_new(struct daemon *d, struct ctl **out)
{
	struct ctl *c = calloc(1, sizeof(*c));
	char folder[100];
	int err;

	if (!c)
		return -ENOMEM;
	c->daemon = d;
	c->socket = -1;
	err = make_folder(folder, sizeof(folder));
	snprintf(d->control, sizeof(d->control), "%s/%d.sock", folder,
		 (int)getpid());
	snprintf(d->exports, sizeof(d->exports), "%s/%d.export", folder,
		 (int)getpid());
	if (!err)
		err = ctl_names_new(d, &c->names);
	if (!err)
		err = bind_to(c, d->control);
	if (err) {
		ctl_free(c);
		return err;
	}
	*out = c;
	return 0;
}

void ctl_start(struct ctl *c)
{
	c->started = !thread_start(&c->thread, "ctl", run, c);
}

void ctl_free(struct ctl *c)
{
	if (!c)
		return;
	if (c->started) {
		shutdown(c->socket, SHUT_RDWR);
		pthread_join(c->thread, NULL);
	}
	ctl_names_free(c->names);
	if (c->socket >= 0) {
		close(c->socket);
		unlink(c->daemon->control);
	}
	free(c);
}
