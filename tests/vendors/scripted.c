/* SPDX-License-Identifier: Apache-2.0 */
#include "scripted.h"

#include <assert.h>
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "fake_verbs.h"
#include "rdma/token.h"

struct scripted_server {
	struct MHD_Daemon *daemon;
	char url[64];

	pthread_mutex_t lock;
	/* Under lock. */
	struct scripted script;
	bool armed;
	struct scripted_seen seen;
};

/* Every header that a vendor takes a token in. */
static const char *const token_headers[] = {"x-amz-rdma-token", "x-rdma-info",
					    "x-scal-rdma"};

void scripted_pattern(uint64_t off, char *out, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const uint64_t w = ((off + i) / 8 + 1) * 0x9E3779B97F4A7C15ULL;

		out[i] = (char)(w >> (8 * ((off + i) % 8)) ^ w >> 57);
	}
}

static const char *header(struct MHD_Connection *c, const char *name)
{
	return MHD_lookup_connection_value(c, MHD_HEADER_KIND, name);
}

static bool read_range(struct MHD_Connection *c, uint64_t *first,
		       uint64_t *last)
{
	const char *v = header(c, "Range");
	unsigned long long a, b;

	if (!v || sscanf(v, "bytes=%llu-%llu", &a, &b) != 2)
		return false;
	*first = a;
	*last = b;
	return true;
}

static void note(struct scripted_server *s, struct MHD_Connection *c,
		 const char *name, const char *token)
{
	const char *auth = header(c, "Authorization");
	const char *agent = header(c, "x-amz-rdma-agent");
	const char *hash = header(c, "x-amz-content-sha256");
	struct scripted_seen *n = &s->seen;

	n->requests++;
	if (!token)
		return;
	n->with_token++;
	n->ranged = header(c, "Range") != NULL;
	n->is_signed = auth && strstr(auth, name);
	snprintf(n->header, sizeof(n->header), "%s", name);
	snprintf(n->token, sizeof(n->token), "%s", token);
	snprintf(n->agent, sizeof(n->agent), "%s", agent ? agent : "");
	snprintf(n->payload, sizeof(n->payload), "%s", hash ? hash : "");
}

/* Into the window that the token names, as the vendor's NIC would. */
static void write_window(const struct scripted *script, const char *token,
			 uint64_t off, size_t len)
{
	AUTO_FREE char *data = malloc(len);
	struct token_dc t;
	size_t n = script->write == WRITE_HALF ? len / 2 : len;

	if (script->write == WRITE_NOTHING)
		return;
	assert(!token_dc_parse(token, &t) && data && t.size == len);
	scripted_pattern(off, data, len);
	if (script->write == WRITE_GARBAGE)
		memset(data, 0xee, len);
	assert(!fake_verbs_remote_write(t.rkey, t.addr, data, n));
}

static struct MHD_Response *body_of(const struct scripted *script, uint64_t off,
				    size_t len)
{
	const size_t n = script->body == BODY_RANGE   ? len
			 : script->body == BODY_WHOLE ? SCRIPTED_SIZE
			 : script->body == BODY_OK    ? 3
			 : script->body == BODY_XML   ? 400
						      : 0;
	char *data = calloc(1, n + 1);

	assert(data);
	if (script->body == BODY_OK)
		memcpy(data, "OK\n", n);
	else if (script->body == BODY_XML)
		snprintf(data, n,
			 "<Error><Code>%s</Code><Message>as scripted"
			 "</Message></Error>",
			 script->code ? script->code : "InternalError");
	else
		scripted_pattern(script->body == BODY_WHOLE ? 0 : off, data, n);
	return MHD_create_response_from_buffer(
		script->body == BODY_XML ? strlen(data) : n, data,
		MHD_RESPMEM_MUST_FREE);
}

static void add_headers(struct MHD_Response *r, const struct scripted *script,
			uint64_t first, uint64_t last)
{
	char text[100];

	if (script->status < 300 && !script->no_range) {
		snprintf(text, sizeof(text), "bytes %llu-%llu/%llu",
			 (unsigned long long)first, (unsigned long long)last,
			 (unsigned long long)SCRIPTED_SIZE);
		MHD_add_response_header(r, "Content-Range", text);
	}
	if (script->status < 300 && !script->no_etag)
		MHD_add_response_header(r, "ETag", SCRIPTED_ETAG);
	if (script->reply)
		MHD_add_response_header(r, "x-amz-rdma-reply", script->reply);
	if (script->bytes) {
		snprintf(text, sizeof(text), "%llu",
			 (unsigned long long)(last - first + 1));
		MHD_add_response_header(
			r, "x-amz-rdma-bytes-transferred",
			strcmp(script->bytes, "n") != 0 ? script->bytes : text);
	}
	if (script->more) {
		snprintf(text, sizeof(text), "%s", script->more);
		text[strcspn(text, ":")] = '\0';
		MHD_add_response_header(r, text, text + strlen(text) + 2);
	}
}

static enum MHD_Result play(struct MHD_Connection *c,
			    const struct scripted *script, const char *token)
{
	uint64_t first = 0, last = SCRIPTED_SIZE - 1;
	struct MHD_Response *r;
	enum MHD_Result ok;
	size_t len;

	read_range(c, &first, &last);
	len = (size_t)(last - first + 1);
	if (token)
		write_window(script, token, first, len);
	if (script->reset)
		return MHD_NO;
	r = body_of(script, first, len);
	add_headers(r, script, first, last);
	ok = MHD_queue_response(c, (unsigned int)script->status, r);
	MHD_destroy_response(r);
	return ok;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *c,
				  const char *url, const char *method,
				  const char *version, const char *data,
				  size_t *size, void **arg)
{
	static const struct scripted plain = {.status = 206,
					      .body = BODY_RANGE};
	struct scripted_server *s = cls;
	const char *name = NULL, *token = NULL;
	struct scripted script = plain;

	(void)url;
	(void)method;
	(void)version;
	(void)data;
	(void)size;
	if (!*arg) {
		*arg = s; /* the headers alone; the answer comes next time */
		return MHD_YES;
	}
	for (size_t i = 0; i < ARRAY_SIZE(token_headers) && !token; i++) {
		name = token_headers[i];
		token = header(c, name);
	}
	{
		LOCK_SCOPE(&s->lock);
		note(s, c, name, token);
		if (token && s->armed)
			script = s->script;
		s->armed = s->armed && !token;
	}
	return play(c, &script, token);
}

struct scripted_server *scripted_new(void)
{
	struct scripted_server *s = calloc(1, sizeof(*s));
	const struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const union MHD_DaemonInfo *info;

	assert(s);
	pthread_mutex_init(&s->lock, NULL);
	s->daemon = MHD_start_daemon(
		MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_POLL, 0, NULL, NULL,
		on_request, s, MHD_OPTION_SOCK_ADDR, &addr, MHD_OPTION_END);
	assert(s->daemon);
	info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT);
	snprintf(s->url, sizeof(s->url), "http://127.0.0.1:%u", info->port);
	return s;
}

void scripted_free(struct scripted_server *s)
{
	MHD_stop_daemon(s->daemon);
	pthread_mutex_destroy(&s->lock);
	free(s);
}

const char *scripted_url(const struct scripted_server *s)
{
	return s->url;
}

void scripted_set(struct scripted_server *s, const struct scripted *script)
{
	LOCK_SCOPE(&s->lock);
	s->script = *script;
	s->armed = true;
	s->seen = (struct scripted_seen){0};
}

struct scripted_seen scripted_seen(struct scripted_server *s)
{
	LOCK_SCOPE(&s->lock);
	return s->seen;
}
