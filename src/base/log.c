/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One line a message, written by one call, so that lines of several threads
 * do not mix.  Control characters are replaced: object names reach the log,
 * and a name with a newline must not be able to forge a line.
 */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/parse.h"

static const struct {
	const char *name;
	int priority;
} levels[] = {
	[LOG_LEVEL_ERROR] = {"error", LOG_ERR},
	[LOG_LEVEL_WARNING] = {"warning", LOG_WARNING},
	[LOG_LEVEL_INFO] = {"info", LOG_INFO},
	[LOG_LEVEL_DEBUG] = {"debug", LOG_DEBUG},
	[LOG_LEVEL_TRACE] = {"trace", LOG_DEBUG},
};

/* Set before threads start; the level may change while they run. */
static const char *program = "s3rdmafs";
static enum log_sink sink = LOG_SINK_STDERR;
static atomic_int threshold = LOG_LEVEL_INFO;

void log_open(const char *name, enum log_sink to)
{
	program = name;
	sink = to;
	if (to == LOG_SINK_SYSLOG)
		openlog(name, LOG_PID, LOG_DAEMON);
}

enum log_sink log_sink_of_stderr(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	const char *colon = stream ? strchr(stream, ':') : NULL;
	uint64_t dev, ino;
	struct stat st;

	if (colon && !parse_u64_n(stream, (size_t)(colon - stream), &dev) &&
	    !parse_u64(colon + 1, &ino) && !fstat(STDERR_FILENO, &st) &&
	    st.st_dev == dev && st.st_ino == ino)
		return LOG_SINK_JOURNAL;
	return LOG_SINK_STDERR;
}

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&threshold, level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return atomic_load_explicit(&threshold, memory_order_relaxed);
}

int log_level_parse(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(levels); i++)
		if (!strcasecmp(name, levels[i].name))
			return (int)i;
	return -EINVAL;
}

const char *log_level_name(enum log_level level)
{
	return levels[level].name;
}

void log_write(enum log_level level, const char *fmt, ...)
{
	const int saved = errno;
	char text[1024], line[1200];
	va_list args;
	int len;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	for (char *p = text; *p; p++)
		if ((unsigned char)*p < 0x20 || *p == 0x7f)
			*p = '?';

	if (sink == LOG_SINK_SYSLOG) {
		syslog(levels[level].priority, "%s: %s", levels[level].name,
		       text);
	} else {
		char prefix[8] = "";

		if (sink == LOG_SINK_JOURNAL)
			snprintf(prefix, sizeof(prefix), "<%d>",
				 levels[level].priority);
		len = snprintf(line, sizeof(line), "%s%s: %s: %s\n", prefix,
			       program, levels[level].name, text);
		if (write(STDERR_FILENO, line, (size_t)len) < 0)
			len = 0; /* nobody is left to tell */
	}
	errno = saved;
}
