/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages for people.  error: something failed that somebody must know;
 * warning: degraded but serving; info: life cycle; debug: in proportion to
 * objects; trace: in proportion to requests.
 *
 * Every call may be made from any thread, and leaves errno as it was.
 * Secrets, signatures and RDMA tokens are never passed to it.
 */
#ifndef S3RDMAFS_BASE_LOG_H
#define S3RDMAFS_BASE_LOG_H

enum log_level {
	LOG_LEVEL_ERROR,
	LOG_LEVEL_WARNING,
	LOG_LEVEL_INFO,
	LOG_LEVEL_DEBUG,
	LOG_LEVEL_TRACE,
};

enum log_sink {
	LOG_SINK_STDERR,
	LOG_SINK_SYSLOG,  /* journald too: it reads syslog's socket */
	LOG_SINK_JOURNAL, /* stderr with the <N> priority prefixes of journald */
};

/* program is borrowed for the life of the process. */
void log_open(const char *program, enum log_sink sink);

/* stderr that journald reads wants priorities: tells whether this one does. */
enum log_sink log_sink_of_stderr(void);

void log_set_level(enum log_level level);
enum log_level log_get_level(void);

/* Returns a level, or -EINVAL for a name that is none. */
int log_level_parse(const char *name);
const char *log_level_name(enum log_level level);

void log_write(enum log_level level, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#define log_at(level, ...)                               \
	do {                                             \
		if ((level) <= log_get_level())          \
			log_write((level), __VA_ARGS__); \
	} while (0)
#define log_error(...) log_at(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_at(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...) log_at(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...) log_at(LOG_LEVEL_DEBUG, __VA_ARGS__)
#define log_trace(...) log_at(LOG_LEVEL_TRACE, __VA_ARGS__)

#endif
