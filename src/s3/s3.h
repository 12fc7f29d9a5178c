/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An S3 client: signed requests over HTTP(S), many in flight.
 *
 * This folder knows that a request may carry a transfer token, and that an
 * answer may carry a transfer result; not what they mean.
 *
 * A call is a struct of the caller's.  s3_submit hands it to one of the event
 * loops, whose thread runs its callbacks; done is called exactly once for
 * every submitted call, and after it the call is the caller's again.
 */
#ifndef S3RDMAFS_S3_S3_H
#define S3RDMAFS_S3_S3_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "base/list.h"
#include "s3/creds.h"
#include "s3/error.h"

#define S3_KEY_MAX 1024   /* bytes of a key */
#define S3_BUCKET_MAX 255 /* bytes of a bucket's name, old ones included */
#define S3_ETAG_MAX 136   /* bytes of an ETag with quotes, terminated */
#define S3_URLS_MAX 16

struct s3;

struct s3_config {
	const char *urls[S3_URLS_MAX]; /* http(s)://host[:port] */
	unsigned int nurls;
	const char *region;
	const char *ca_file; /* NULL: the system's */
	bool virtual_host;
	unsigned int connections; /* in all */
	unsigned int loops;       /* threads; 0 chooses */
	uint64_t connect_timeout_ms;
	/* One request; of data each eighth, see exec_due_ms. */
	uint64_t attempt_timeout_ms;
	uint64_t deadline_ms; /* with all retries, of the calls below */
};

/* What a server said of a transfer token. */
enum s3_reply {
	S3_REPLY_NONE,     /* no such header */
	S3_REPLY_OK,       /* 200, 204 or 206 */
	S3_REPLY_DECLINED, /* 501 */
	S3_REPLY_FAILED,   /* err, or anything else */
};

struct s3_answer {
	int curl;                /* CURLcode */
	bool sent;               /* a byte of the request may have left */
	bool cut_short;          /* ended by until_ms before it had a chance */
	int status;              /* HTTP, 0 when none came */
	uint64_t body;           /* bytes given to the sink */
	uint64_t content_length; /* UINT64_MAX when not said */
	bool has_range;
	uint64_t range_first, range_last, range_total;
	time_t last_modified;
	enum s3_reply reply;
	bool has_reply_bytes;
	uint64_t reply_bytes;
	char etag[S3_ETAG_MAX]; /* as sent, with its quotes */
	char content_type[128];
	char storage_class[40];
	char code[64];     /* of an error document */
	char message[160]; /* likewise */
	char request_id[80];
	char offer[160]; /* x-s3rdma-shm: where to take memory to */
};

/* Sent and signed with the request; the name in lower case. */
struct s3_header {
	const char *name, *value;
};
#define S3_HEADERS_MAX 10

/* S3_WAIT sends nothing: done is called once delay_ms are over. */
enum s3_method { S3_GET, S3_HEAD, S3_POST, S3_WAIT };

struct s3_call {
	/* Set by the caller; borrowed until done. */
	enum s3_method method;
	const char *bucket; /* NULL for the service itself */
	const char *key;    /* NULL for the bucket itself */
	const char *path;   /* instead of both: encoded, with its slash */
	const char *query;  /* canonical; NULL for none */
	uint64_t range_off, range_len;   /* range_len 0: no Range */
	const char *if_match;            /* NULL: unconditional */
	const struct s3_header *headers; /* more of them, sorted by name */
	unsigned int nheaders;
	/* The request hands out the right to write into memory: its payload
	 * is not signed, and it is never sent twice. */
	bool is_grant;
	unsigned int url_pin; /* 0: any endpoint, else the number, from 1 */
	bool again;           /* its like stays away: rather another endpoint */
	const char *local;    /* NULL, or the address of this host to use */
	bool urgent;          /* before all that wait and are not */
	bool fresh;           /* not on a connection that is there already */
	uint32_t delay_ms;    /* start no earlier than this from now */
	uint64_t timeout_ms;  /* of the attempt; 0: the configured one */
	/* When it is of no use any more (clock_ms), 0 for never.  One that has
	 * not begun by then ends with curl = S3_NOT_BEGUN, unless data keeps
	 * coming to those before it; one whose data comes goes on. */
	uint64_t until_ms;

	/* Takes body bytes of a 2xx answer; false ends the request. */
	bool (*sink)(struct s3_call *call, const char *data, size_t n);
	/* Sees every x-amz-meta-* header, name without that prefix; or NULL. */
	void (*meta)(struct s3_call *call, const char *name, const char *value);
	/* Likewise every x-amz-rdma-* header. */
	void (*rdma)(void *rdma_ctx, const char *name, const char *value);
	void *rdma_ctx;
	void (*done)(struct s3_call *call);
	void *ctx;

	/* The outcome, for done to read. */
	struct s3_answer answer;
	unsigned int url; /* which of the endpoints it went to */

	/* The engine's. */
	struct list link;
	uint64_t due_ms;
};

/*
 * creds is borrowed and must outlive the client.  Returns 0 and an owned
 * client in *out, or -errno: -EINVAL for a URL that is none.
 */
int s3_new(const struct s3_config *cfg, struct creds_source *creds,
	   struct s3 **out);

/* Ends every call, and each later one at once, with curl =
 * CURLE_ABORTED_BY_CALLBACK; joins the loops. */
void s3_stop(struct s3 *s3);

/* No call may be made any more. */
void s3_free(struct s3 *s3);

/* Never blocks.  done may run before this returns. */
void s3_submit(struct s3 *s3, struct s3_call *call);

/* Is this the thread of an event loop?  Such a thread must not wait for a
 * call. */
bool s3_on_loop(void);

const struct s3_config *s3_get_config(const struct s3 *s3);

struct s3_stats {
	uint64_t get, head, list, other; /* requests sent */
	uint64_t retries, errors;
	uint64_t loop_cpu_ns; /* CPU of all event loops, callbacks included */
	uint64_t in_flight;
};
void s3_get_stats(struct s3 *s3, struct s3_stats *out);
void s3_count_retry(struct s3 *s3);

/* After an answer that says that the credentials have expired: has them read
 * again meanwhile.  False when that cannot help.  Never blocks. */
bool s3_renew_creds(struct s3 *s3);

/* Logs a failed call once, with cause, request id and endpoint. */
void s3_log_failure(struct s3 *s3, const struct s3_call *call,
		    const char *what);

/* "why" of a failed call for people, into buf; returns buf. */
const char *s3_describe(const struct s3_call *call, char *buf, size_t cap);

/*
 * The calls below block, with retries, up to the deadline.  They must not be
 * made on an event loop.
 */

struct s3_attr {
	uint64_t size;
	time_t mtime;
	char etag[S3_ETAG_MAX];
	char content_type[128];
	char storage_class[40];
};

/* HEAD.  meta may be NULL; it runs on another thread, before the return.
 * Returns 0, -ENOENT, -EACCES ... */
int s3_head(struct s3 *s3, const char *bucket, const char *key,
	    void (*meta)(void *ctx, const char *name, const char *value),
	    void *ctx, struct s3_attr *out);

/* GetObjectTagging: calls tag for each.  0, -ENOENT, -EACCES, -EOPNOTSUPP where
 * the server has no tags ... */
int s3_get_tags(struct s3 *s3, const char *bucket, const char *key,
		void (*tag)(void *ctx, const char *name, const char *value),
		void *ctx);

/* Makes the one call, without a retry, and waits for its end; done and ctx
 * are not the caller's.  The answer is there whatever comes. */
int s3_once(struct s3 *s3, struct s3_call *call);

/* One entry of a listing; valid during the callback. */
struct s3_entry {
	const char *key; /* whole key or common prefix, or a bucket's name */
	bool is_prefix;
	uint64_t size;
	time_t mtime;
	const char *etag; /* with quotes, "" when not said */
	const char *storage_class;
};

struct s3_list {
	const char *bucket; /* NULL: list the buckets */
	const char *prefix;
	const char *delimiter;   /* NULL or "" for none */
	const char *start_after; /* NULL, or only what is behind this key */
	unsigned int max_keys;   /* 0: the server's page; else one page of it */
	/* Not 0: gives up after this long, and leaves the logging to the
	 * caller. */
	uint64_t timeout_ms;
	/* A non-zero return ends the listing, and is returned. */
	int (*entry)(void *ctx, const struct s3_entry *e);
	void *ctx;
};

/*
 * Lists, page after page.  Bounded against servers that page for ever.
 * Returns 0, what entry returned, or -errno.  err_call, when not NULL, gets a
 * copy of the failed call's answer.
 */
int s3_list(struct s3 *s3, const struct s3_list *l, struct s3_answer *answer);

/* The same page by page, with the next one on its way while the caller looks
 * at one.  What l points to is copied, but for its callback's context. */
struct s3_pager;
int s3_pager_new(struct s3 *s3, const struct s3_list *l, struct s3_pager **out);
/* Calls l->entry for each entry of the next page, and says whether there is
 * one behind it.  0, what entry returned, or -errno. */
int s3_pager_next(struct s3_pager *p, bool *more, struct s3_answer *answer);
/* The page with a key behind this one is the last: none is asked for after
 * it. */
void s3_pager_set_end(struct s3_pager *p, const char *key);
/* Waits for the request that is on its way. */
void s3_pager_free(struct s3_pager *p);

/* Which endpoint a call went to, for messages. */
const char *s3_url_of(const struct s3 *s3, unsigned int url);

/* A HEAD and a one-entry listing under key + "/", at the same time. */
struct s3_look {
	int object_err; /* 0: object holds its attributes */
	struct s3_attr object;
	int prefix_err; /* 0: something lies under it; -ENOENT: nothing */
};
void s3_look(struct s3 *s3, const char *bucket, const char *key,
	     struct s3_look *out);

#endif
