/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The operations: submit for data, and blocking calls for metadata, which
 * wait for the loop's thread on a condition of their own.
 */
#include <assert.h>
#include <curl/curl.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "s3/client.h"

int s3_new(const struct s3_config *cfg, struct creds_source *creds,
	   struct s3 **out)
{
	struct s3 *s3 = calloc(1, sizeof(*s3));
	int err = 0;

	if (!s3)
		return -ENOMEM;
	s3->cfg = *cfg;
	s3->creds = creds;
	if (s3->cfg.loops == 0) {
		const long cpus = sysconf(_SC_NPROCESSORS_ONLN);

		s3->cfg.loops = cpus < 2 ? 1 : cpus > 8 ? 4 : 2;
	}
	for (unsigned int i = 0; !err && i < cfg->nurls; i++)
		err = request_parse_url(cfg->urls[i], &s3->urls[i]);
	if (!err)
		err = engine_new(&s3->cfg, s3->urls, creds, &s3->engine);
	if (err) {
		free(s3);
		return err;
	}
	*out = s3;
	return 0;
}

void s3_stop(struct s3 *s3)
{
	engine_stop(s3->engine);
}

void s3_free(struct s3 *s3)
{
	if (!s3)
		return;
	engine_free(s3->engine);
	free(s3);
}

void s3_submit(struct s3 *s3, struct s3_call *call)
{
	atomic_ullong *count = call->method == S3_HEAD   ? &s3->head
			       : call->method == S3_POST ? &s3->other
			       : call->key               ? &s3->get
							 : &s3->list;

	if (call->method != S3_WAIT)
		atomic_fetch_add_explicit(count, 1, memory_order_relaxed);
	engine_submit(s3->engine, call);
}

bool s3_on_loop(void)
{
	return engine_on_loop();
}

const struct s3_config *s3_get_config(const struct s3 *s3)
{
	return &s3->cfg;
}

void s3_count_retry(struct s3 *s3)
{
	atomic_fetch_add_explicit(&s3->retries, 1, memory_order_relaxed);
}

bool s3_renew_creds(struct s3 *s3)
{
	if (!creds_can_change(s3->creds))
		return false;
	creds_refresh_soon(s3->creds);
	return true;
}

void s3_get_stats(struct s3 *s3, struct s3_stats *out)
{
	struct engine_stats e;

	engine_get_stats(s3->engine, &e);
	*out = (struct s3_stats){.get = atomic_load(&s3->get),
				 .head = atomic_load(&s3->head),
				 .list = atomic_load(&s3->list),
				 .other = atomic_load(&s3->other),
				 .retries = atomic_load(&s3->retries),
				 .errors = atomic_load(&s3->errors),
				 .loop_cpu_ns = e.cpu_ns,
				 .in_flight = e.in_flight};
}

const char *s3_describe(const struct s3_call *call, char *buf, size_t cap)
{
	const struct s3_answer *a = &call->answer;

	if (a->curl && !a->code[0])
		snprintf(buf, cap, "%s", curl_easy_strerror(a->curl));
	else if (a->code[0])
		snprintf(buf, cap, "HTTP %d %s%s%s", a->status, a->code,
			 a->message[0] ? ": " : "", a->message);
	else
		snprintf(buf, cap, "HTTP %d", a->status);
	return buf;
}

const char *s3_url_of(const struct s3 *s3, unsigned int url)
{
	return s3->urls[url].base;
}

void s3_log_failure(struct s3 *s3, const struct s3_call *call, const char *what)
{
	const struct s3_answer *a = &call->answer;
	char why[256];

	atomic_fetch_add_explicit(&s3->errors, 1, memory_order_relaxed);
	log_error("s3: %s %s/%s at %s failed: %s (request id %s)", what,
		  call->bucket ? call->bucket : "", call->key ? call->key : "",
		  s3->urls[call->url].base, s3_describe(call, why, sizeof(why)),
		  a->request_id[0] ? a->request_id : "none");
}

int s3_once(struct s3 *s3, struct s3_call *call)
{
	struct waited w = {.call = *call};
	const struct s3_answer *a = &call->answer;

	waited_start(s3, &w);
	waited_end(&w);
	call->answer = w.call.answer;
	return s3_error_classify(a->curl, a->status, a->code).err;
}

static int run(struct s3 *s3, struct waited *w, const char *what)
{
	waited_start(s3, w);
	return waited_finish(s3, w, what);
}

static void take_attr(const struct s3_answer *a, struct s3_attr *out)
{
	out->size = a->content_length == UINT64_MAX ? 0 : a->content_length;
	out->mtime = a->last_modified;
	snprintf(out->etag, sizeof(out->etag), "%s", a->etag);
	snprintf(out->content_type, sizeof(out->content_type), "%s",
		 a->content_type);
	snprintf(out->storage_class, sizeof(out->storage_class), "%s",
		 a->storage_class);
}

struct meta_sink {
	struct waited w; /* first: the call's context is it */
	void (*meta)(void *ctx, const char *name, const char *value);
	void *ctx;
};

static void forward_meta(struct s3_call *call, const char *name,
			 const char *value)
{
	struct meta_sink *m = container_of(call, struct meta_sink, w.call);

	m->meta(m->ctx, name, value);
}

int s3_head(struct s3 *s3, const char *bucket, const char *key,
	    void (*meta)(void *ctx, const char *name, const char *value),
	    void *ctx, struct s3_attr *out)
{
	struct meta_sink m = {
		.w.call = {.method = S3_HEAD, .bucket = bucket, .key = key},
		.meta = meta,
		.ctx = ctx};
	int err;

	if (meta)
		m.w.call.meta = forward_meta;
	err = run(s3, &m.w, "HEAD");
	if (!err)
		take_attr(&m.w.call.answer, out);
	return err;
}

static int count_entry(void *ctx, const struct s3_entry *e)
{
	(void)e;
	++*(unsigned int *)ctx;
	return 0;
}

void s3_look(struct s3 *s3, const char *bucket, const char *key,
	     struct s3_look *out)
{
	struct waited head = {
		.call = {.method = S3_HEAD, .bucket = bucket, .key = key}};
	char prefix[S3_KEY_MAX + 2];
	unsigned int found = 0;
	const struct s3_list l = {.bucket = bucket,
				  .prefix = prefix,
				  .max_keys = 1,
				  .entry = count_entry,
				  .ctx = &found};
	const struct s3_answer *a = &head.call.answer;

	/* The listing blocks; the HEAD is on its way meanwhile. */
	waited_start(s3, &head);
	snprintf(prefix, sizeof(prefix), "%s/", key);
	out->prefix_err = s3_list(s3, &l, NULL);
	if (!out->prefix_err && !found)
		out->prefix_err = -ENOENT;
	waited_end(&head);
	out->object_err = s3_error_classify(a->curl, a->status, a->code).err;
	if (!out->object_err)
		take_attr(a, &out->object);
	else if (out->object_err != -ENOENT &&
		 out->object_err != out->prefix_err)
		/* The first try is in parallel, any other is a plain HEAD; the
		 * listing had its retries, and what it met this would too. */
		out->object_err = s3_head(s3, bucket, key, NULL, NULL,
					  &out->object);
}
