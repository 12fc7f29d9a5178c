/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <string.h>

#include "ops.h"
#include "xml_in.h"

static void add_bucket(void *ctx, const char *name, time_t made)
{
	const struct timespec t = {.tv_sec = made};
	struct strbuf *b = ctx;
	char date[32];

	format_iso_date(&t, date);
	strbuf_printf(b,
		      "<Bucket><Name>%s</Name><CreationDate>%s</CreationDate>"
		      "</Bucket>",
		      name, date);
}

void op_list_buckets(struct request *r)
{
	int err;

	strbuf_puts(&r->out,
		    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
		    "<ListAllMyBucketsResult "
		    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
		    "<Owner><ID>s3rdma</ID><DisplayName>s3rdma</DisplayName>"
		    "</Owner><Buckets>");
	err = store_bucket_each(r->gw->store, add_bucket, &r->out);
	strbuf_puts(&r->out, "</Buckets></ListAllMyBucketsResult>");
	if (err)
		reply_errno(r, err);
	else
		reply_xml(r, 200);
}

/* The body may name a region, which is not looked at, but must be one. */
static bool is_configuration(const struct strbuf *xml)
{
	static const struct xml_form form = {
		.root = "CreateBucketConfiguration", .item = ""};
	struct xml_doc doc;

	if (xml->len == 0)
		return true;
	if (xml_in_parse(xml->s, xml->len, &form, 0, &doc))
		return false;
	xml_in_free(&doc);
	return true;
}

void op_create_bucket(struct request *r)
{
	int err;

	if (!is_configuration(&r->body.xml)) {
		reply_error(r, "MalformedXML",
			    "The XML you provided was not well-formed");
		return;
	}
	err = store_bucket_create(r->gw->store, r->bucket);
	if (err == -EINVAL) {
		reply_error(r, "InvalidBucketName",
			    "The specified bucket is not valid.");
	} else if (err && err != -EEXIST) {
		reply_errno(r, err);
	} else {
		/* As us-east-1 has it: one's own bucket is made once more. */
		r->status = 200;
		reply_header(r, "Location", "/%s", r->bucket);
	}
}

void op_head_bucket(struct request *r)
{
	const int err = store_bucket_check(r->gw->store, r->bucket);

	if (err) {
		reply_errno(r, err);
		return;
	}
	r->status = 200;
	reply_header(r, "x-amz-bucket-region", "%s", r->gw->region);
}

void op_delete_bucket(struct request *r)
{
	const int err = store_bucket_delete(r->gw->store, r->bucket);

	if (err == -ENOTEMPTY)
		reply_error(r, "BucketNotEmpty",
			    "The bucket you tried to delete is not empty");
	else if (err)
		reply_errno(r, err);
	else
		r->status = 204;
}

/* An empty answer about a bucket that exists. */
static void simple_document(struct request *r, const char *element,
			    const char *text)
{
	const int err = store_bucket_check(r->gw->store, r->bucket);

	if (err) {
		reply_errno(r, err);
		return;
	}
	strbuf_printf(&r->out,
		      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<%s "
		      "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">%s"
		      "</%s>",
		      element, text, element);
	reply_xml(r, 200);
}

void op_get_location(struct request *r)
{
	/* us-east-1 is spelt as nothing. */
	simple_document(r, "LocationConstraint",
			strcmp(r->gw->region, "us-east-1") ? r->gw->region
							   : "");
}

void op_get_versioning(struct request *r)
{
	simple_document(r, "VersioningConfiguration", "");
}

void op_not_implemented(struct request *r)
{
	reply_error(r, "NotImplemented",
		    "A header or query you provided implies functionality "
		    "that is not implemented");
}
