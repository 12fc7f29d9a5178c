/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ListObjects, both versions.  A page is listed into two buffers, because the
 * document has the keys before the common prefixes.
 */
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "ops.h"

#define PAGE 1000

struct page {
	bool url, owner;
	unsigned int count;
	/* Keys often come in runs of one time: a third of a page's cost. */
	time_t second;
	char date[32];
	struct strbuf keys, prefixes;
};

/* A key in the document: percent-encoded when the client asked for it. */
static void add_name(struct strbuf *b, const char *name, bool url)
{
	char enc[3 * 1030 + 1];

	if (!url)
		strbuf_xml(b, name);
	else if (!uri_encode(name, strlen(name), true, enc, sizeof(enc)))
		strbuf_puts(b, enc);
}

static void add_entry(void *ctx, const char *key, const struct store_meta *meta)
{
	struct page *p = ctx;
	char size[24];

	p->count++;
	if (!meta) {
		strbuf_puts(&p->prefixes, "<CommonPrefixes><Prefix>");
		add_name(&p->prefixes, key, p->url);
		strbuf_puts(&p->prefixes, "</Prefix></CommonPrefixes>");
		return;
	}
	if (!p->date[0] || p->second != meta->mtime.tv_sec) {
		const struct timespec whole = {.tv_sec = meta->mtime.tv_sec};

		format_iso_date(&whole, p->date);
		p->second = whole.tv_sec;
	}
	format_u64(meta->size, size);
	strbuf_puts(&p->keys, "<Contents><Key>");
	add_name(&p->keys, key, p->url);
	strbuf_puts(&p->keys, "</Key><LastModified>");
	strbuf_puts(&p->keys, p->date);
	strbuf_puts(&p->keys, "</LastModified><ETag>&quot;");
	strbuf_puts(&p->keys, meta->etag);
	strbuf_puts(&p->keys, "&quot;</ETag><Size>");
	strbuf_puts(&p->keys, size);
	strbuf_puts(&p->keys, "</Size><StorageClass>STANDARD</StorageClass>");
	if (p->owner)
		strbuf_puts(&p->keys,
			    "<Owner><ID>s3rdma</ID><DisplayName>s3rdma"
			    "</DisplayName></Owner>");
	strbuf_puts(&p->keys, "</Contents>");
}

static void element(struct strbuf *b, const char *name, const char *value,
		    bool url)
{
	strbuf_printf(b, "<%s>", name);
	add_name(b, value, url);
	strbuf_printf(b, "</%s>", name);
}

/* max-keys and encoding-type; false after an error answer. */
static bool parse_common(struct request *r, struct page *p, uint64_t *max)
{
	const char *v = request_param(r, "max-keys");
	const char *enc = request_param(r, "encoding-type");

	*max = PAGE;
	if (v && *v && (parse_u64(v, max) || *max > INT32_MAX)) {
		reply_error(r, "InvalidArgument",
			    "Provided max-keys not an integer or within "
			    "integer range");
		return false;
	}
	if (enc && *enc && strcmp(enc, "url") != 0) {
		reply_error(r, "InvalidArgument",
			    "Invalid Encoding Method specified in Request");
		return false;
	}
	p->url = enc && *enc;
	strbuf_init(&p->keys, 16U << 20);
	strbuf_init(&p->prefixes, 16U << 20);
	return true;
}

static const char *param_or_empty(const struct request *r, const char *name)
{
	const char *v = request_param(r, name);

	return v ? v : "";
}

/* The token is the last name in base64: opaque, and safe in any document. */
static void make_token(const char *last, char *out, size_t cap)
{
	const size_t n = strlen(last);

	if (4 * ((n + 2) / 3) < cap)
		EVP_EncodeBlock((unsigned char *)out, (const void *)last,
				(int)n);
}

static bool read_token(struct request *r, const char *token, char *out,
		       size_t cap)
{
	const size_t n = strlen(token);
	int len = -1;

	if (n % 4 == 0 && n / 4 * 3 < cap && n > 0)
		len = EVP_DecodeBlock((unsigned char *)out, (const void *)token,
				      (int)n);
	if (len < 0) {
		reply_error(r, "InvalidArgument",
			    "The continuation token provided is incorrect");
		return false;
	}
	/* EVP counts the padding as zero bytes. */
	out[len] = '\0';
	return true;
}

static void document(struct request *r, const struct page *p,
		     const struct store_list *l, uint64_t max, bool truncated)
{
	struct strbuf *b = &r->out;

	element(b, "Name", r->bucket, false);
	element(b, "Prefix", l->prefix, p->url);
	if (*l->delimiter)
		element(b, "Delimiter", l->delimiter, p->url);
	strbuf_printf(b, "<MaxKeys>%llu</MaxKeys>",
		      (unsigned long long)(max > PAGE ? PAGE : max));
	if (p->url)
		strbuf_puts(b, "<EncodingType>url</EncodingType>");
	strbuf_printf(b, "<IsTruncated>%s</IsTruncated>",
		      truncated ? "true" : "false");
	strbuf_add(b, strbuf_str(&p->keys), p->keys.len);
	strbuf_add(b, strbuf_str(&p->prefixes), p->prefixes.len);
	strbuf_puts(b, "</ListBucketResult>");
	b->failed |= p->keys.failed || p->prefixes.failed;
}

static const char head[] =
	"<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult "
	"xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">";

static int list(struct request *r, struct page *p, struct store_list *l,
		uint64_t max, bool *truncated, char *last, size_t cap)
{
	l->prefix = param_or_empty(r, "prefix");
	l->delimiter = param_or_empty(r, "delimiter");
	l->max = (unsigned int)(max > PAGE ? PAGE : max);
	l->each = add_entry;
	l->ctx = p;
	return store_list(r->gw->store, r->bucket, l, truncated, last, cap);
}

static void finish(struct request *r, struct page *p, int err)
{
	if (err)
		reply_errno(r, err);
	else
		reply_xml(r, 200);
	strbuf_free(&p->keys);
	strbuf_free(&p->prefixes);
}

void op_list_objects_v2(struct request *r)
{
	const char *token = request_param(r, "continuation-token");
	const char *start = param_or_empty(r, "start-after");
	char from[2048], last[2048], next[3000] = "";
	struct page p = {0};
	struct store_list l = {.after = start};
	bool truncated;
	uint64_t max;
	int err;

	p.owner = !strcmp(param_or_empty(r, "fetch-owner"), "true");
	if (token) {
		if (!read_token(r, token, from, sizeof(from)))
			return;
		l.after = from;
	}
	if (!parse_common(r, &p, &max))
		return;
	err = list(r, &p, &l, max, &truncated, last, sizeof(last));
	strbuf_puts(&r->out, head);
	if (token)
		element(&r->out, "ContinuationToken", token, false);
	if (*start)
		element(&r->out, "StartAfter", start, p.url);
	strbuf_printf(&r->out, "<KeyCount>%u</KeyCount>", p.count);
	if (truncated) {
		make_token(last, next, sizeof(next));
		element(&r->out, "NextContinuationToken", next, false);
	}
	document(r, &p, &l, max, truncated);
	finish(r, &p, err);
}

void op_list_objects(struct request *r)
{
	struct page p = {.owner = true};
	struct store_list l = {.after = param_or_empty(r, "marker")};
	char last[2048];
	bool truncated;
	uint64_t max;
	int err;

	if (!parse_common(r, &p, &max))
		return;
	err = list(r, &p, &l, max, &truncated, last, sizeof(last));
	strbuf_puts(&r->out, head);
	element(&r->out, "Marker", l.after, p.url);
	if (truncated && *l.delimiter)
		element(&r->out, "NextMarker", last, p.url);
	document(r, &p, &l, max, truncated);
	finish(r, &p, err);
}
