/* SPDX-License-Identifier: Apache-2.0 */
/* What libcurl alone does: one multi handle on one thread, ranges of one size
 * into memory, buffers of 512 KiB. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "proc.h"
#include "raw.h"
#include "scene.h"

#define DEPTH_MAX 64

struct multi_one {
	CURL *easy;
	char *memory; /* room bytes */
	size_t got, room;
	uint64_t begin_ns;
};

struct multi {
	const struct raw_work *w;
	uint64_t object, begun;
	CURLM *curl;
	struct curl_slist *headers;
	char url[128];
	struct multi_one all[DEPTH_MAX];
	struct work_result *out;
	int err;
};

static size_t take(char *data, size_t size, size_t n, void *arg)
{
	struct multi_one *o = arg;

	(void)size;
	if (n > o->room - o->got)
		return 0;
	memcpy(o->memory + o->got, data, n);
	o->got += n;
	return n;
}

/* The next range on this handle; false when all have begun. */
static bool begin(struct multi *m, struct multi_one *o)
{
	char range[64];
	uint64_t off;

	if (m->begun >= m->w->bytes || m->err)
		return false;
	off = m->begun % (m->object / m->w->block * m->w->block);
	m->begun += m->w->block;
	snprintf(range, sizeof(range), "%llu-%llu", (unsigned long long)off,
		 (unsigned long long)(off + m->w->block - 1));
	curl_easy_setopt(o->easy, CURLOPT_RANGE, range);
	o->got = 0;
	o->begin_ns = clock_ns();
	curl_multi_add_handle(m->curl, o->easy);
	return true;
}

static bool prepare(struct multi *m, struct multi_one *o)
{
	o->easy = curl_easy_init();
	o->room = m->w->block;
	o->memory = malloc(o->room);
	if (!o->easy || !o->memory)
		return false;
	curl_easy_setopt(o->easy, CURLOPT_URL, m->url);
	curl_easy_setopt(o->easy, CURLOPT_BUFFERSIZE, 512L << 10);
	curl_easy_setopt(o->easy, CURLOPT_AWS_SIGV4, "aws:amz:us-east-1:s3");
	curl_easy_setopt(o->easy, CURLOPT_USERPWD,
			 SCENE_ACCESS ":" SCENE_SECRET);
	curl_easy_setopt(o->easy, CURLOPT_HTTPHEADER, m->headers);
	curl_easy_setopt(o->easy, CURLOPT_WRITEFUNCTION, take);
	curl_easy_setopt(o->easy, CURLOPT_WRITEDATA, o);
	curl_easy_setopt(o->easy, CURLOPT_PRIVATE, o);
	curl_easy_setopt(o->easy, CURLOPT_FAILONERROR, 1L);
	return true;
}

static void collect(struct multi *m, unsigned int *running)
{
	CURLMsg *msg;
	int left;

	while ((msg = curl_multi_info_read(m->curl, &left))) {
		struct multi_one *o;

		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &o);
		if (msg->data.result || o->got != m->w->block)
			m->err = -EIO;
		hist_add(&m->out->took, clock_ns() - o->begin_ns);
		m->out->bytes += o->got;
		m->out->ops++;
		curl_multi_remove_handle(m->curl, o->easy);
		if (!begin(m, o))
			--*running;
	}
}

static void go(struct multi *m)
{
	const double cpu = proc_own_cpu();
	const uint64_t start = clock_ns();
	unsigned int running = 0;
	int still;

	while (running < m->w->depth && begin(m, &m->all[running]))
		running++;
	while (running > 0) {
		curl_multi_perform(m->curl, &still);
		collect(m, &running);
		if (running > 0)
			curl_multi_poll(m->curl, NULL, 0, 1000, NULL);
	}
	m->out->seconds = (double)(clock_ns() - start) / 1e9;
	m->out->cpu = proc_own_cpu() - cpu;
}

int raw_curl(const char *url, const struct raw_work *w, uint64_t object,
	     struct work_result *out, char *why, size_t cap)
{
	struct multi m = {.w = w, .object = object, .out = out};
	bool ok = w->depth <= DEPTH_MAX;

	*out = (struct work_result){0};
	snprintf(m.url, sizeof(m.url), "%s/bench/object0", url);
	m.curl = curl_multi_init();
	m.headers = curl_slist_append(NULL,
				      "x-amz-content-sha256: UNSIGNED-PAYLOAD");
	for (unsigned int i = 0; ok && i < w->depth; i++)
		ok = prepare(&m, &m.all[i]);
	if (ok && m.curl)
		go(&m);
	else
		m.err = -ENOMEM;
	for (unsigned int i = 0; i < DEPTH_MAX; i++) {
		curl_easy_cleanup(m.all[i].easy);
		free(m.all[i].memory);
	}
	curl_slist_free_all(m.headers);
	curl_multi_cleanup(m.curl);
	if (m.err)
		snprintf(why, cap, "libcurl: %s", strerror(-m.err));
	return m.err;
}
