/* SPDX-License-Identifier: Apache-2.0 */
/* PutObject, CopyObject, DeleteObject(s). */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "ops.h"
#include "xml_in.h"

#define MAX_USER_META 2048
#define MAX_DELETE 1000

/* Which request headers stay with an object, and how they are spelt. */
static const struct {
	const char *name, *kept;
} kept_headers[] = {
	{"cache-control", "Cache-Control"},
	{"content-disposition", "Content-Disposition"},
	{"content-encoding", "Content-Encoding"},
	{"content-language", "Content-Language"},
	{"content-type", "Content-Type"},
	{"expires", "Expires"},
	{"x-amz-website-redirect-location", "x-amz-website-redirect-location"},
};

/* aws-chunked is how the body came, not what the object is. */
static const char *strip_chunked(const char *v, char *buf, size_t cap)
{
	size_t used = 0;

	buf[0] = '\0';
	while (*v) {
		size_t n;

		v += strspn(v, ", \t");
		n = strcspn(v, ", \t");
		if (n && strncasecmp(v, "aws-chunked", n > 11 ? n : 11) != 0 &&
		    used + n + 2 < cap)
			used += (size_t)snprintf(buf + used, cap - used,
						 "%s%.*s", used ? "," : "",
						 (int)n, v);
		v += n;
	}
	return buf;
}

json_t *headers_from_request(struct request *r)
{
	json_t *o = json_object();
	size_t total = 0;
	bool ok = o != NULL;

	for (size_t i = 0; ok && i < ARRAY_SIZE(kept_headers); i++) {
		const char *v = request_header(r, kept_headers[i].name);
		char buf[512];

		if (v && !strcmp(kept_headers[i].name, "content-encoding"))
			v = strip_chunked(v, buf, sizeof(buf));
		if (v && *v)
			ok = !json_object_set_new(o, kept_headers[i].kept,
						  json_string(v));
	}
	for (size_t i = 0; ok && i < r->nheaders; i++) {
		const char *name = r->headers[i].name;

		if (strncmp(name, "x-amz-meta-", 11) != 0)
			continue;
		total += strlen(name) - 11 + strlen(r->headers[i].value);
		/* json_string is NULL for what is no UTF-8. */
		ok = !json_object_set_new(o, name,
					  json_string(r->headers[i].value));
	}
	if (total > MAX_USER_META)
		reply_errno(r, -E2BIG);
	else if (!ok)
		reply_error(r, "InvalidArgument",
			    "Header values must be UTF-8");
	if (ok && total <= MAX_USER_META)
		return o;
	json_decref(o);
	return NULL;
}

bool meta_from_request(struct request *r, struct store_meta *meta)
{
	meta->headers = headers_from_request(r);
	if (meta->headers && tags_from_request(r, &meta->tags))
		return true;
	store_meta_free(meta);
	return false;
}

/* The condition of a change; false after an error answer. */
static bool condition(struct request *r, struct store_condition *c)
{
	const char *none = request_header(r, "if-none-match");

	c->if_match = request_header(r, "if-match");
	c->if_none = none != NULL;
	if (!none || !strcmp(none, "*"))
		return true;
	reply_error(r, "NotImplemented",
		    "A header you provided implies functionality that is not "
		    "implemented");
	return false;
}

static void keep_checksum(struct request *r, json_t *headers)
{
	struct body *b = &r->body;
	char name[48];

	if (b->checksum < 0)
		return;
	snprintf(name, sizeof(name), "x-amz-checksum-%s",
		 checksum_name((enum checksum_kind)b->checksum));
	json_object_set_new(headers, name, json_string(b->got_checksum));
	reply_header(r, reply_intern(r, name), "%s", b->got_checksum);
}

void op_put_object(struct request *r)
{
	struct store_meta meta = {0};
	struct store_condition cond;
	int err;

	if (!condition(r, &cond) || !meta_from_request(r, &meta))
		return;
	keep_checksum(r, meta.headers);
	format_hex(r->body.md5_digest, 16, meta.etag);
	err = store_publish(r->gw->store, &r->body.tmp, r->bucket, r->key,
			    &meta, &cond);
	if (err) {
		reply_clear(r);
		reply_errno(r, err);
	} else {
		r->status = 200;
		reply_header(r, "ETag", "\"%s\"", meta.etag);
	}
	store_meta_free(&meta);
}

/* "/bucket/key" or "bucket/key", percent-encoded. */
static bool parse_source(struct request *r, char *bucket, size_t bucket_cap,
			 char *key, size_t key_cap)
{
	const char *v = request_header(r, "x-amz-copy-source");
	char text[4096];
	const char *slash;
	long n;

	if (strlen(v) < sizeof(text)) {
		n = uri_decode(v, strcspn(v, "?"), false, text);
		v = *text == '/' ? text + 1 : text;
		slash = n > 0 ? strchr(v, '/') : NULL;
		if (slash && slash[1] && strlen(text) == (size_t)n &&
		    (size_t)(slash - v) < bucket_cap &&
		    strlen(slash + 1) < key_cap) {
			snprintf(bucket, bucket_cap, "%.*s", (int)(slash - v),
				 v);
			snprintf(key, key_cap, "%s", slash + 1);
			return true;
		}
	}
	reply_error(r, "InvalidArgument",
		    "Copy Source must mention the source bucket and key: "
		    "sourcebucket/sourcekey");
	return false;
}

bool copy_source_open(struct request *r, int *fd, struct store_meta *meta)
{
	char bucket[256], key[1100];
	int err;

	if (!parse_source(r, bucket, sizeof(bucket), key, sizeof(key)))
		return false;
	err = store_get(r->gw->store, bucket, key, fd, meta);
	if (err) {
		reply_errno(r, err);
		return false;
	}
	if (check_preconditions(r, "x-amz-copy-source-", meta->etag,
				meta->mtime.tv_sec)) {
		reply_errno(r, -ESTALE);
		close(*fd);
		store_meta_free(meta);
		return false;
	}
	return true;
}

/* Copying onto itself must change something. */
static bool is_vain_copy(struct request *r, bool replace)
{
	char bucket[256], key[1100];

	return !replace &&
	       parse_source(r, bucket, sizeof(bucket), key, sizeof(key)) &&
	       !strcmp(bucket, r->bucket) && !strcmp(key, r->key);
}

/* COPY, which is also meant by nothing, or REPLACE; false after an error
 * answer. */
static bool directive(struct request *r, const char *what, bool *replace)
{
	const char *v;
	char name[48];

	snprintf(name, sizeof(name), "x-amz-%s-directive", what);
	v = request_header(r, name);
	*replace = v && !strcmp(v, "REPLACE");
	if (!v || *replace || !strcmp(v, "COPY"))
		return true;
	reply_error(r, "InvalidArgument", "Unknown %s directive.", what);
	return false;
}

/* What the copy does not have of its source. */
static bool replace_meta(struct request *r, struct store_meta *meta,
			 bool headers, bool tags)
{
	if (headers) {
		json_decref(meta->headers);
		meta->headers = headers_from_request(r);
		if (!meta->headers)
			return false;
	}
	if (!tags)
		return true;
	json_decref(meta->tags);
	meta->tags = NULL;
	return tags_from_request(r, &meta->tags);
}

static int copy_whole(struct request *r, int fd, uint64_t size)
{
	const int err = store_tmp_new(r->gw->store, &r->body.tmp);

	return err ? err : store_append(&r->body.tmp, fd, 0, size);
}

static void copy_result(struct request *r, const struct store_meta *meta)
{
	char date[32];

	format_iso_date(&meta->mtime, date);
	strbuf_printf(&r->out,
		      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		      "<CopyObjectResult "
		      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
		      "<LastModified>%s</LastModified><ETag>&quot;%s&quot;"
		      "</ETag></CopyObjectResult>",
		      date, meta->etag);
	reply_xml(r, 200);
}

static void copy(struct request *r, int fd, struct store_meta *meta,
		 const struct store_condition *cond)
{
	int err = copy_whole(r, fd, meta->size);

	if (!err)
		err = store_publish(r->gw->store, &r->body.tmp, r->bucket,
				    r->key, meta, cond);
	if (err)
		reply_errno(r, err);
	else
		copy_result(r, meta);
}

void op_copy_object(struct request *r)
{
	AUTO_CLOSE int fd = -1;
	struct store_condition cond;
	struct store_meta meta;
	bool headers, tags;

	if (!directive(r, "metadata", &headers) ||
	    !directive(r, "tagging", &tags) || !condition(r, &cond) ||
	    !copy_source_open(r, &fd, &meta))
		return;
	if (is_vain_copy(r, headers))
		reply_error(r, "InvalidRequest",
			    "This copy request is illegal because it is trying "
			    "to copy an object to itself without changing the "
			    "object's metadata.");
	else if (replace_meta(r, &meta, headers, tags))
		copy(r, fd, &meta, &cond);
	store_meta_free(&meta);
}

void op_delete_object(struct request *r)
{
	const struct store_condition cond = {
		.if_match = request_header(r, "if-match")};
	const int err = store_delete(r->gw->store, r->bucket, r->key, &cond);

	if (err)
		reply_errno(r, err);
	else
		r->status = 204;
}

static void delete_one(struct request *r, const struct xml_item *it, bool quiet)
{
	const struct store_condition cond = {.if_match = it->etag[0] ? it->etag
								     : NULL};
	const int err = store_delete(r->gw->store, r->bucket, it->key, &cond);

	if (!err && quiet)
		return;
	strbuf_puts(&r->out, err ? "<Error><Key>" : "<Deleted><Key>");
	strbuf_xml(&r->out, it->key);
	if (err)
		strbuf_printf(&r->out,
			      "</Key><Code>%s</Code><Message>%s</Message>"
			      "</Error>",
			      err == -ESTALE || err == -ENOENT
				      ? "PreconditionFailed"
				      : "InternalError",
			      strerror(-err));
	else
		strbuf_puts(&r->out, "</Key></Deleted>");
}

void op_delete_objects(struct request *r)
{
	static const struct xml_form form = {.root = "Delete",
					     .item = "Object"};
	const int exists = store_bucket_check(r->gw->store, r->bucket);
	struct xml_doc doc;
	bool ok;
	int err;

	if (exists) {
		reply_errno(r, exists);
		return;
	}
	err = xml_in_parse(strbuf_str(&r->body.xml), r->body.xml.len, &form,
			   MAX_DELETE, &doc);
	ok = !err && doc.n > 0;
	for (size_t i = 0; ok && i < doc.n; i++)
		ok = doc.items[i].key[0] != '\0';
	if (!ok) {
		reply_error(r, "MalformedXML",
			    "The XML you provided was not well-formed or did "
			    "not validate against our published schema");
		if (!err)
			xml_in_free(&doc);
		return;
	}
	strbuf_puts(&r->out,
		    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		    "<DeleteResult "
		    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
	for (size_t i = 0; i < doc.n; i++)
		delete_one(r, &doc.items[i], doc.quiet);
	strbuf_puts(&r->out, "</DeleteResult>");
	reply_xml(r, 200);
	xml_in_free(&doc);
}
