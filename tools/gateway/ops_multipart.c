/* SPDX-License-Identifier: Apache-2.0 */
/* Multipart uploads. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "ops.h"
#include "xml_in.h"

#define MAX_PARTS 10000
#define MIN_PART (5ULL << 20) /* all but the last */

static const char xml_head[] = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";
static const char xmlns[] = "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"";

static void add_place(struct request *r)
{
	strbuf_puts(&r->out, "<Bucket>");
	strbuf_xml(&r->out, r->bucket);
	strbuf_puts(&r->out, "</Bucket><Key>");
	strbuf_xml(&r->out, r->key);
	strbuf_puts(&r->out, "</Key>");
}

void op_create_upload(struct request *r)
{
	const char *alg = request_header(r, "x-amz-checksum-algorithm");
	struct store_meta meta = {0};
	char id[STORE_UPLOAD_ID];
	int err;

	if (!meta_from_request(r, &meta))
		return;
	err = store_upload_create(r->gw->store, r->bucket, r->key, meta.headers,
				  meta.tags, id);
	store_meta_free(&meta);
	if (err) {
		reply_errno(r, err);
		return;
	}
	if (alg && checksum_parse(alg) >= 0)
		reply_header(r, "x-amz-checksum-algorithm", "%s", alg);
	strbuf_printf(&r->out, "%s<InitiateMultipartUploadResult %s>", xml_head,
		      xmlns);
	add_place(r);
	strbuf_printf(&r->out,
		      "<UploadId>%s</UploadId></InitiateMultipartUploadResult>",
		      id);
	reply_xml(r, 200);
}

/* The upload that the request names; false after an error answer. */
static bool find(struct request *r, struct store_upload *u)
{
	const int exists = store_bucket_check(r->gw->store, r->bucket);
	const int err = exists ? exists
			       : store_upload_find(
					 r->gw->store, r->bucket, r->key,
					 request_param(r, "uploadId"), u);

	if (err == -ENOENT)
		reply_error(r, "NoSuchUpload",
			    "The specified upload does not exist. The upload "
			    "ID may be invalid, or the upload may have been "
			    "aborted or completed.");
	else if (err)
		reply_errno(r, err);
	return !err;
}

static bool part_number(struct request *r, unsigned int *out)
{
	const char *v = request_param(r, "partNumber");
	uint64_t n;

	if (!v || parse_u64(v, &n) || n < 1 || n > MAX_PARTS) {
		reply_error(r, "InvalidArgument",
			    "Part number must be an integer between 1 and "
			    "10000, inclusive");
		return false;
	}
	*out = (unsigned int)n;
	return true;
}

/* Publishes body.tmp as a part. */
static bool publish_part(struct request *r, const struct store_upload *u,
			 unsigned int n, struct store_meta *meta)
{
	const int err = store_part_publish(r->gw->store, &r->body.tmp, u->id, n,
					   meta);

	if (err == -ENOENT)
		reply_error(r, "NoSuchUpload",
			    "The specified upload does not exist.");
	else if (err)
		reply_errno(r, err);
	return !err;
}

void op_upload_part(struct request *r)
{
	struct store_meta meta = {.headers = json_object()};
	struct body *b = &r->body;
	struct store_upload u;
	unsigned int n;

	if (part_number(r, &n) && find(r, &u)) {
		format_hex(b->md5_digest, 16, meta.etag);
		if (publish_part(r, &u, n, &meta)) {
			r->status = 200;
			reply_header(r, "ETag", "\"%s\"", meta.etag);
			if (b->checksum >= 0) {
				char name[48];

				snprintf(name, sizeof(name),
					 "x-amz-checksum-%s",
					 checksum_name((enum checksum_kind)
							       b->checksum));
				reply_header(r, reply_intern(r, name), "%s",
					     b->got_checksum);
			}
		}
		store_upload_free(&u);
	}
	store_meta_free(&meta);
}

/* MD5 of what the temporary file holds. */
static int md5_of(int fd, char etag[STORE_ETAG_MAX])
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	AUTO_FREE char *buf = malloc(1 << 20);
	unsigned char digest[EVP_MAX_MD_SIZE];
	off_t off = 0;
	ssize_t n = 0;

	if (!md || !buf || !EVP_DigestInit_ex(md, EVP_md5(), NULL)) {
		EVP_MD_CTX_free(md);
		return -ENOMEM;
	}
	while ((n = pread(fd, buf, 1 << 20, off)) > 0) {
		EVP_DigestUpdate(md, buf, (size_t)n);
		off += n;
	}
	EVP_DigestFinal_ex(md, digest, NULL);
	EVP_MD_CTX_free(md);
	format_hex(digest, 16, etag);
	return n < 0 ? -errno : 0;
}

/* "bytes=first-last", both given and inside: the copy takes no other form. */
static bool is_inside(const char *v, uint64_t size, uint64_t *off,
		      uint64_t *len)
{
	uint64_t first, last;
	const char *dash;

	if (strncmp(v, "bytes=", 6) != 0)
		return false;
	v += 6;
	dash = strchr(v, '-');
	if (!dash || parse_u64_n(v, (size_t)(dash - v), &first) ||
	    parse_u64(dash + 1, &last) || last < first || last >= size)
		return false;
	*off = first;
	*len = last - first + 1;
	return true;
}

static void part_copy(struct request *r, const struct store_upload *u,
		      unsigned int n, int fd, const struct store_meta *source)
{
	struct store_meta meta = {.headers = json_object()};
	const char *range = request_header(r, "x-amz-copy-source-range");
	uint64_t off = 0, len = source->size;
	char date[32];
	int err;

	if (range && !is_inside(range, source->size, &off, &len)) {
		reply_error(r, "InvalidArgument",
			    "The x-amz-copy-source-range value must be of the "
			    "form bytes=first-last");
		store_meta_free(&meta);
		return;
	}
	err = store_tmp_new(r->gw->store, &r->body.tmp);
	if (!err)
		err = store_append(&r->body.tmp, fd, off, len);
	if (!err)
		err = md5_of(r->body.tmp.fd, meta.etag);
	if (err) {
		reply_errno(r, err);
	} else if (publish_part(r, u, n, &meta)) {
		format_iso_date(&meta.mtime, date);
		strbuf_printf(&r->out,
			      "%s<CopyPartResult %s><LastModified>%s"
			      "</LastModified><ETag>&quot;%s&quot;</ETag>"
			      "</CopyPartResult>",
			      xml_head, xmlns, date, meta.etag);
		reply_xml(r, 200);
	}
	store_meta_free(&meta);
}

void op_upload_part_copy(struct request *r)
{
	struct store_upload u;
	struct store_meta source;
	unsigned int n;
	int fd;

	if (!part_number(r, &n) || !find(r, &u))
		return;
	if (copy_source_open(r, &fd, &source)) {
		part_copy(r, &u, n, fd, &source);
		close(fd);
		store_meta_free(&source);
	}
	store_upload_free(&u);
}

struct part_page {
	struct request *r;
	unsigned long marker, max, count, last;
	bool truncated;
};

static void add_part(void *ctx, unsigned int n, const struct store_meta *meta)
{
	struct part_page *p = ctx;
	char date[32];

	if (n <= p->marker)
		return;
	if (p->count == p->max) {
		p->truncated = true;
		return;
	}
	p->count++;
	p->last = n;
	format_iso_date(&meta->mtime, date);
	strbuf_printf(&p->r->out,
		      "<Part><PartNumber>%u</PartNumber><LastModified>%s"
		      "</LastModified><ETag>&quot;%s&quot;</ETag>"
		      "<Size>%llu</Size></Part>",
		      n, date, meta->etag, (unsigned long long)meta->size);
}

static unsigned long number_param(const struct request *r, const char *name,
				  unsigned long fallback)
{
	const char *v = request_param(r, name);
	uint64_t n;

	return v && !parse_u64(v, &n) ? (unsigned long)n : fallback;
}

void op_list_parts(struct request *r)
{
	struct part_page p = {.r = r};
	struct store_upload u;

	if (!find(r, &u))
		return;
	p.marker = number_param(r, "part-number-marker", 0);
	p.max = number_param(r, "max-parts", 1000);
	if (p.max > 1000)
		p.max = 1000;
	strbuf_printf(&r->out, "%s<ListPartsResult %s>", xml_head, xmlns);
	add_place(r);
	strbuf_printf(&r->out,
		      "<UploadId>%s</UploadId><StorageClass>STANDARD"
		      "</StorageClass><PartNumberMarker>%lu</PartNumberMarker>"
		      "<MaxParts>%lu</MaxParts>",
		      u.id, p.marker, p.max);
	store_part_each(r->gw->store, u.id, add_part, &p);
	if (p.truncated)
		strbuf_printf(&r->out,
			      "<NextPartNumberMarker>%lu"
			      "</NextPartNumberMarker>",
			      p.last);
	strbuf_printf(&r->out,
		      "<IsTruncated>%s</IsTruncated></ListPartsResult>",
		      p.truncated ? "true" : "false");
	reply_xml(r, 200);
	store_upload_free(&u);
}

static bool etag_is(const char *given, const char *etag)
{
	return store_etag_listed(given, etag) && strcmp(given, "*") != 0;
}

/* Appends one part to the object in the making. */
static bool add_to_object(struct request *r, const struct store_upload *u,
			  const struct xml_item *it, bool last, EVP_MD_CTX *md)
{
	unsigned char digest[16];
	struct store_meta meta;
	char hex[33];
	int fd, err;

	err = store_part_open(r->gw->store, u->id, (unsigned int)it->part, &fd,
			      &meta);
	if (err || !etag_is(it->etag, meta.etag)) {
		reply_error(r, "InvalidPart",
			    "One or more of the specified parts could not be "
			    "found. The part may not have been uploaded, or "
			    "the specified entity tag may not match the "
			    "part's entity tag.");
	} else if (!last && meta.size < MIN_PART) {
		reply_error(r, "EntityTooSmall",
			    "Your proposed upload is smaller than the minimum "
			    "allowed size");
	} else {
		snprintf(hex, sizeof(hex), "%.32s", meta.etag);
		if (!parse_hex(hex, digest, sizeof(digest)))
			EVP_DigestUpdate(md, digest, sizeof(digest));
		if (store_append(&r->body.tmp, fd, 0, meta.size))
			reply_errno(r, -EIO);
	}
	if (!err) {
		close(fd);
		store_meta_free(&meta);
	}
	return !r->failed;
}

static bool check_order(struct request *r, const struct xml_doc *doc)
{
	for (size_t i = 0; i < doc->n; i++) {
		const uint64_t n = doc->items[i].part;

		if (n < 1 || n > MAX_PARTS) {
			reply_error(r, "InvalidArgument",
				    "PartNumber must be between 1 and 10000");
			return false;
		}
		if (i && n <= doc->items[i - 1].part) {
			reply_error(r, "InvalidPartOrder",
				    "The list of parts was not in ascending "
				    "order. Parts must be ordered by part "
				    "number.");
			return false;
		}
	}
	return true;
}

static bool assemble(struct request *r, const struct store_upload *u,
		     const struct xml_doc *doc, struct store_meta *meta)
{
	EVP_MD_CTX *md = EVP_MD_CTX_new();
	unsigned char digest[EVP_MAX_MD_SIZE];
	const int err = store_tmp_new(r->gw->store, &r->body.tmp);
	bool ok = md && !err && EVP_DigestInit_ex(md, EVP_md5(), NULL);

	if (!ok)
		reply_errno(r, err ? err : -ENOMEM);
	for (size_t i = 0; ok && i < doc->n; i++)
		ok = add_to_object(r, u, &doc->items[i], i + 1 == doc->n, md);
	if (ok) {
		EVP_DigestFinal_ex(md, digest, NULL);
		format_hex(digest, 16, meta->etag);
		snprintf(meta->etag + 32, sizeof(meta->etag) - 32, "-%zu",
			 doc->n);
	}
	EVP_MD_CTX_free(md);
	return ok;
}

static void complete(struct request *r, const struct store_upload *u,
		     const struct xml_doc *doc)
{
	struct store_meta meta = {.headers = json_incref(u->headers),
				  .tags = json_incref(u->tags)};
	const struct store_condition cond = {
		.if_none = request_header(r, "if-none-match") != NULL,
		.if_match = request_header(r, "if-match")};
	int err;

	if (check_order(r, doc) && assemble(r, u, doc, &meta)) {
		err = store_publish(r->gw->store, &r->body.tmp, r->bucket,
				    r->key, &meta, &cond);
		if (err) {
			reply_errno(r, err);
		} else {
			store_upload_abort(r->gw->store, u->id);
			strbuf_printf(&r->out,
				      "%s<CompleteMultipartUploadResult %s>"
				      "<Location>",
				      xml_head, xmlns);
			strbuf_xml(&r->out, r->path);
			strbuf_puts(&r->out, "</Location>");
			add_place(r);
			strbuf_printf(&r->out,
				      "<ETag>&quot;%s&quot;</ETag>"
				      "</CompleteMultipartUploadResult>",
				      meta.etag);
			reply_xml(r, 200);
		}
	}
	store_meta_free(&meta);
}

void op_complete_upload(struct request *r)
{
	static const struct xml_form form = {.root = "CompleteMultipartUpload",
					     .item = "Part"};
	struct store_upload u;
	struct xml_doc doc;
	int err;

	if (!find(r, &u))
		return;
	err = xml_in_parse(strbuf_str(&r->body.xml), r->body.xml.len, &form,
			   MAX_PARTS, &doc);
	if (err || doc.n == 0)
		reply_error(r, "MalformedXML",
			    "The XML you provided was not well-formed or did "
			    "not validate against our published schema");
	else
		complete(r, &u, &doc);
	if (!err)
		xml_in_free(&doc);
	store_upload_free(&u);
}

void op_abort_upload(struct request *r)
{
	struct store_upload u;

	if (!find(r, &u))
		return;
	store_upload_abort(r->gw->store, u.id);
	store_upload_free(&u);
	r->status = 204;
}

/* Uploads sorted by key, then id, as the listing wants them. */
struct upload_page {
	struct store_upload *list; /* owned */
	size_t n, cap;
};

static void collect_upload(void *ctx, const struct store_upload *u)
{
	struct upload_page *p = ctx;

	if (p->n == p->cap) {
		const size_t cap = p->cap ? 2 * p->cap : 16;
		void *more = realloc(p->list, cap * sizeof(*p->list));

		if (!more)
			return;
		p->list = more;
		p->cap = cap;
	}
	p->list[p->n] = *u;
	p->list[p->n].headers = NULL;
	p->list[p->n++].tags = NULL;
}

static int by_key(const void *a, const void *b)
{
	const struct store_upload *x = a, *y = b;
	const int c = strcmp(x->key, y->key);

	return c ? c : strcmp(x->id, y->id);
}

/* The common prefix of an upload's key under a delimiter; 0 for none. */
static size_t rolled_up(const char *key, const char *prefix,
			const char *delimiter)
{
	const char *d = delimiter && *delimiter
				? strstr(key + (prefix ? strlen(prefix) : 0),
					 delimiter)
				: NULL;

	return d ? (size_t)(d - key) + strlen(delimiter) : 0;
}

static void add_prefix(struct request *r, const char *key, size_t n)
{
	char text[1100];

	snprintf(text, sizeof(text), "%.*s", (int)n, key);
	strbuf_puts(&r->out, "<CommonPrefixes><Prefix>");
	strbuf_xml(&r->out, text);
	strbuf_puts(&r->out, "</Prefix></CommonPrefixes>");
}

static void add_upload(struct request *r, const struct store_upload *u)
{
	const struct timespec t = {.tv_sec = u->made};
	char date[32];

	format_iso_date(&t, date);
	strbuf_puts(&r->out, "<Upload><Key>");
	strbuf_xml(&r->out, u->key);
	strbuf_printf(&r->out,
		      "</Key><UploadId>%s</UploadId><StorageClass>STANDARD"
		      "</StorageClass><Initiated>%s</Initiated></Upload>",
		      u->id, date);
}

void op_list_uploads(struct request *r)
{
	const int err = store_bucket_check(r->gw->store, r->bucket);
	const char *prefix = request_param(r, "prefix");
	const char *key_marker = request_param(r, "key-marker");
	const char *id_marker = request_param(r, "upload-id-marker");
	const unsigned long max = number_param(r, "max-uploads", 1000);
	const char *delimiter = request_param(r, "delimiter");
	struct upload_page p = {0};
	const struct store_upload *last = NULL;
	size_t up = 0;
	unsigned long n = 0;
	bool truncated = false;

	if (err) {
		reply_errno(r, err);
		return;
	}
	store_upload_each(r->gw->store, r->bucket, collect_upload, &p);
	if (p.n)
		qsort(p.list, p.n, sizeof(*p.list), by_key);
	strbuf_printf(&r->out, "%s<ListMultipartUploadsResult %s><Bucket>",
		      xml_head, xmlns);
	strbuf_xml(&r->out, r->bucket);
	strbuf_printf(&r->out, "</Bucket><MaxUploads>%lu</MaxUploads>", max);
	for (size_t i = 0; i < p.n && !truncated; i++) {
		const struct store_upload *u = &p.list[i];
		const int c = key_marker ? strcmp(u->key, key_marker) : 1;

		if ((prefix && strncmp(u->key, prefix, strlen(prefix)) != 0) ||
		    c < 0 ||
		    (c == 0 && (!id_marker || strcmp(u->id, id_marker) <= 0)))
			continue;
		/* One of the prefix that was given just now. */
		if (up && last && !strncmp(u->key, last->key, up)) {
			last = u;
			continue;
		}
		if (n == max) {
			truncated = true;
			break;
		}
		up = rolled_up(u->key, prefix, delimiter);
		if (up)
			add_prefix(r, u->key, up);
		else
			add_upload(r, u);
		last = u;
		n++;
	}
	if (truncated && last) {
		strbuf_puts(&r->out, "<NextKeyMarker>");
		strbuf_xml(&r->out, last->key);
		strbuf_printf(&r->out,
			      "</NextKeyMarker><NextUploadIdMarker>%s"
			      "</NextUploadIdMarker>",
			      last->id);
	}
	strbuf_printf(&r->out,
		      "<IsTruncated>%s</IsTruncated>"
		      "</ListMultipartUploadsResult>",
		      truncated ? "true" : "false");
	reply_xml(r, 200);
	free(p.list);
}
