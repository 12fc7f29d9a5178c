/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/request.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "s3/uri.h"

int request_parse_url(const char *url, struct s3_url *out)
{
	const bool tls = !strncasecmp(url, "https://", 8);
	const char *host = strstr(url, "://");
	size_t n, port;

	if (!host || (!tls && strncasecmp(url, "http://", 7) != 0))
		return -EINVAL;
	host += 3;
	n = strcspn(host, "/?#");
	if (n == 0 || n >= sizeof(out->host) ||
	    strspn(host + n, "/") != strlen(host + n) || memchr(host, '@', n) ||
	    memchr(host, ' ', n))
		return -EINVAL;
	snprintf(out->base, sizeof(out->base), "%s%.*s",
		 tls ? "https://" : "http://", (int)n, host);
	/* The default port is not part of the Host header. */
	port = n > 3 && !tls && !strncmp(host + n - 3, ":80", 3)   ? 3
	       : n > 4 && tls && !strncmp(host + n - 4, ":443", 4) ? 4
								   : 0;
	snprintf(out->host, sizeof(out->host), "%.*s", (int)(n - port), host);
	return 0;
}

static const char *method_name(enum s3_method m)
{
	switch (m) {
	case S3_GET:
		return "GET";
	case S3_HEAD:
		return "HEAD";
	case S3_POST:
		return "POST";
	case S3_WAIT:
		break;
	}
	return "GET";
}

/* May the bucket's name stand in front of the host's? */
static bool fits_host(const char *bucket)
{
	return strspn(bucket, "abcdefghijklmnopqrstuvwxyz0123456789.-") ==
	       strlen(bucket);
}

static int add_encoded(char *path, size_t cap, const char *text)
{
	const size_t n = strlen(path);

	return uri_encode(text, strlen(text), true, path + n, cap - n);
}

/* The encoded path of the call and the host that it goes to. */
static int build_path(const struct s3_call *call, const struct s3_config *cfg,
		      const struct s3_url *url, char *path, size_t path_cap,
		      char *host, size_t host_cap)
{
	const bool in_host = cfg->virtual_host && call->bucket &&
			     fits_host(call->bucket);
	int err = 0;

	snprintf(host, host_cap, "%s%s%s", in_host ? call->bucket : "",
		 in_host ? "." : "", url->host);
	snprintf(path, path_cap, "%s", call->path ? call->path : "/");
	if (call->path)
		return 0;
	if (call->bucket && !in_host) {
		err = add_encoded(path, path_cap, call->bucket);
		if (!err && call->key)
			err = add_encoded(path, path_cap, "/");
	}
	return err || !call->key ? err : add_encoded(path, path_cap, call->key);
}

/* The key for today; deriving it costs five HMACs. */
static const unsigned char *signing_key(struct request_auth *auth,
					const char *region, const char *date)
{
	char key_of[sizeof(auth->key_of)];

	snprintf(key_of, sizeof(key_of), "%s/%.8s", auth->creds.access_key,
		 date);
	if (strcmp(key_of, auth->key_of) != 0 ||
	    strcmp(auth->creds.secret_key, auth->secret_of) != 0) {
		sigv4_signing_key(auth->creds.secret_key, date, region,
				  auth->key);
		snprintf(auth->key_of, sizeof(auth->key_of), "%s", key_of);
		snprintf(auth->secret_of, sizeof(auth->secret_of), "%s",
			 auth->creds.secret_key);
	}
	return auth->key;
}

static void add_header(struct request_wire *w, const char *name,
		       const char *value)
{
	snprintf(w->headers[w->nheaders++], sizeof(w->headers[0]), "%s: %s",
		 name, value);
}

/* The call's own headers, each at its place in the order. */
static size_t add_more(struct sigv4_header *headers, size_t n,
		       const struct s3_call *call)
{
	assert(call->nheaders <= S3_HEADERS_MAX);
	for (unsigned int k = 0; k < call->nheaders; k++) {
		const struct s3_header *h = &call->headers[k];
		size_t i = n++;

		for (; i > 0 && strcmp(headers[i - 1].name, h->name) > 0; i--)
			headers[i] = headers[i - 1];
		headers[i] = (struct sigv4_header){h->name, h->value};
	}
	return n;
}

static int sign(const struct sigv4_request *req, const struct s3_config *cfg,
		struct request_auth *auth, const char *date,
		struct request_wire *out)
{
	char scope[128], names[512], signature[SIGV4_HEX];
	char value[1024];
	int err;

	sigv4_scope(date, cfg->region, scope, sizeof(scope));
	err = sigv4_sign(req, signing_key(auth, cfg->region, date), date, scope,
			 signature);
	if (!err)
		err = sigv4_signed_headers(req, names, sizeof(names));
	if (err)
		return err;
	snprintf(value, sizeof(value),
		 "AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, "
		 "Signature=%s",
		 auth->creds.access_key, scope, names, signature);
	add_header(out, "Authorization", value);
	return 0;
}

int request_build(const struct s3_call *call, const struct s3_config *cfg,
		  const struct s3_url *url, struct request_auth *auth,
		  time_t now, struct request_wire *out)
{
	/* Sorted by name, as the signature wants them. */
	struct sigv4_header headers[REQUEST_HEADERS];
	char path[4096], host[600], date[SIGV4_DATE];
	/* A token may move other bytes than the body has, so with one the
	 * payload is not signed (protocol: RDMA rules of the signature). */
	const char *hash = call->is_grant ? "UNSIGNED-PAYLOAD"
					  : SIGV4_EMPTY_SHA256;
	const bool tls = !strncmp(url->base, "https", 5);
	char range[64];
	size_t n = 0;
	int err = build_path(call, cfg, url, path, sizeof(path), host,
			     sizeof(host));

	if (err)
		return err;
	out->nheaders = 0;
	if ((size_t)snprintf(out->url, sizeof(out->url), "%s%s%s%s%s",
			     tls ? "https://" : "http://", host + 0, path,
			     call->query ? "?" : "",
			     call->query ? call->query : "") >=
	    sizeof(out->url))
		return -ENAMETOOLONG;
	sigv4_format_date(now, date);
	headers[n++] = (struct sigv4_header){"host", host};
	if (call->if_match)
		headers[n++] = (struct sigv4_header){"if-match",
						     call->if_match};
	if (call->range_len) {
		snprintf(range, sizeof(range), "bytes=%llu-%llu",
			 (unsigned long long)call->range_off,
			 (unsigned long long)(call->range_off +
					      call->range_len - 1));
		headers[n++] = (struct sigv4_header){"range", range};
	}
	headers[n++] = (struct sigv4_header){"x-amz-content-sha256", hash};
	headers[n++] = (struct sigv4_header){"x-amz-date", date};
	if (auth->creds.session_token[0])
		headers[n++] = (struct sigv4_header){"x-amz-security-token",
						     auth->creds.session_token};
	n = add_more(headers, n, call);
	for (size_t i = 0; i < n; i++)
		add_header(out, headers[i].name, headers[i].value);
	if (auth->creds.anonymous)
		return 0;
	return sign(
		&(struct sigv4_request){.method = method_name(call->method),
					.path = path,
					.query = call->query ? call->query : "",
					.headers = headers,
					.nheaders = n,
					.payload_hash = hash},
		cfg, auth, date, out);
}
