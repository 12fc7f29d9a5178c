/* SPDX-License-Identifier: Apache-2.0 */
/* GetObject and HeadObject. */
#include <curl/curl.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "fault.h"
#include "ops.h"

int check_preconditions(const struct request *r, const char *prefix,
			const char *etag, time_t mtime)
{
	const char *v[4];
	static const char *const names[] = {"if-match", "if-none-match",
					    "if-unmodified-since",
					    "if-modified-since"};
	char name[64];
	time_t t;

	for (size_t i = 0; i < 4; i++) {
		snprintf(name, sizeof(name), "%s%s", prefix, names[i]);
		v[i] = request_header(r, name);
	}
	if (v[0] && !store_etag_listed(v[0], etag))
		return 412;
	/* If-Match outranks If-Unmodified-Since, and so with the other two. */
	if (!v[0] && v[2]) {
		t = curl_getdate(v[2], NULL);
		if (t >= 0 && mtime > t)
			return 412;
	}
	if (v[1] && store_etag_listed(v[1], etag))
		return *prefix ? 412 : 304;
	if (!v[1] && v[3]) {
		t = curl_getdate(v[3], NULL);
		if (t >= 0 && mtime <= t)
			return *prefix ? 412 : 304;
	}
	return 0;
}

/* Digits to a number; what is over 64 bits is as good as the largest. */
static int range_number(const char *s, size_t n, uint64_t *out)
{
	const int err = parse_u64_n(s, n, out);

	if (err == -ERANGE)
		*out = UINT64_MAX;
	return err == -ERANGE ? 0 : err;
}

int parse_range(const char *v, uint64_t size, uint64_t *off, uint64_t *len)
{
	uint64_t first, last = UINT64_MAX;
	const char *dash;

	if (!v || strncmp(v, "bytes=", 6) != 0)
		return 0;
	v += 6;
	dash = strchr(v, '-');
	if (!dash || strchr(v, ','))
		return 0;
	if (dash == v) { /* the last so many */
		if (range_number(dash + 1, strlen(dash + 1), &last))
			return 0;
		if (last == 0 || size == 0)
			return -1;
		*len = last < size ? last : size;
		*off = size - *len;
		return 1;
	}
	if (range_number(v, (size_t)(dash - v), &first) ||
	    (dash[1] && range_number(dash + 1, strlen(dash + 1), &last)) ||
	    last < first)
		return 0;
	if (first >= size)
		return -1;
	*off = first;
	*len = (last < size - 1 ? last : size - 1) - first + 1;
	return 1;
}

void reply_object_headers(struct request *r, const struct store_meta *meta)
{
	char date[32];
	const char *name;
	json_t *value;

	format_http_date(meta->mtime.tv_sec, date);
	reply_header(r, "Last-Modified", "%s", date);
	if (!fault_wrong_etag(r))
		reply_header(r, "ETag", "\"%s\"", meta->etag);
	reply_header(r, "Accept-Ranges", "bytes");
	if (meta->tags)
		reply_header(r, "x-amz-tagging-count", "%zu",
			     json_object_size(meta->tags));
	if (!json_object_get(meta->headers, "Content-Type"))
		reply_header(r, "Content-Type", "binary/octet-stream");
	json_object_foreach(meta->headers, name, value)
	{
		/* Checksums are told to those who ask for them. */
		if (!strncmp(name, "x-amz-checksum-", 15) &&
		    !request_header(r, "x-amz-checksum-mode"))
			continue;
		/* The name must outlive the metadata: intern it. */
		reply_header(r, reply_intern(r, name), "%s",
			     json_string_value(value));
	}
}

/* response-content-type and the like outrank what is kept. */
static void apply_overrides(struct request *r)
{
	static const struct {
		const char *param, *header;
	} map[] = {
		{"response-content-type", "Content-Type"},
		{"response-content-language", "Content-Language"},
		{"response-expires", "Expires"},
		{"response-cache-control", "Cache-Control"},
		{"response-content-disposition", "Content-Disposition"},
		{"response-content-encoding", "Content-Encoding"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(map); i++) {
		const char *v = request_param(r, map[i].param);

		if (!v)
			continue;
		reply_drop_header(r, map[i].header);
		reply_header(r, map[i].header, "%s", v);
	}
}

static void not_satisfiable(struct request *r, uint64_t size)
{
	reply_clear(r);
	reply_error(r, "InvalidRange",
		    "The requested range is not satisfiable");
	reply_header(r, "Content-Range", "bytes */%llu",
		     (unsigned long long)size);
}

/* If-Range: the range counts only for the version that is named. */
static bool range_counts(const struct request *r, const struct store_meta *meta)
{
	const char *v = request_header(r, "if-range");

	if (!v)
		return true;
	if (*v == '"')
		return store_etag_listed(v, meta->etag);
	return curl_getdate(v, NULL) == meta->mtime.tv_sec;
}

static void read_object(struct request *r, bool with_body)
{
	AUTO_CLOSE int fd = -1;
	const char *range = request_header(r, "range");
	uint64_t off = 0, len;
	struct store_meta meta;
	int err, kind;

	err = store_get(r->gw->store, r->bucket, r->key, &fd, &meta);
	if (err) {
		reply_errno(r, err);
		return;
	}
	kind = check_preconditions(r, "", meta.etag, meta.mtime.tv_sec);
	if (kind == 412) {
		reply_errno(r, -ESTALE);
		goto out;
	}
	reply_object_headers(r, &meta);
	if (kind == 304) {
		reply_drop_header(r, "Content-Type");
		r->status = 304;
		goto out;
	}
	apply_overrides(r);
	len = meta.size;
	kind = fault_ignore_range(r) || !range_counts(r, &meta)
		       ? 0
		       : parse_range(range, meta.size, &off, &len);
	if (kind < 0) {
		not_satisfiable(r, meta.size);
		goto out;
	}
	if (kind > 0)
		len = fault_short(r, len);
	r->status = kind ? 206 : 200;
	if (kind)
		reply_header(r, "Content-Range", "bytes %llu-%llu/%llu",
			     (unsigned long long)off,
			     (unsigned long long)(off + len - 1),
			     (unsigned long long)meta.size);
	if (with_body && rdma_try_get(r, fd, off, len, kind > 0))
		goto out;
	r->has_file = true;
	r->file = fd;
	r->file_off = off;
	r->file_len = len;
	fd = -1;
out:
	store_meta_free(&meta);
}

void op_get_object(struct request *r)
{
	read_object(r, true);
}

void op_head_object(struct request *r)
{
	read_object(r, false);
}
