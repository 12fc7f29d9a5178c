/* SPDX-License-Identifier: Apache-2.0 */
/* The tags of objects: from XML, from x-amz-tagging, and back. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "ops.h"
#include "xml_in.h"

#define MAX_TAGS 10
#define MAX_TAG_KEY 128 /* characters */
#define MAX_TAG_VALUE 256

/* Letters, digits, blanks and some signs; beyond ASCII all, for which of them
 * Unicode calls a letter changes with its version. */
static bool is_tag_text(const char *s, size_t max)
{
	size_t n = 0;

	for (; *s; s++) {
		const unsigned char c = (unsigned char)*s;
		const bool letter = (c >= 'a' && c <= 'z') ||
				    (c >= 'A' && c <= 'Z') ||
				    (c >= '0' && c <= '9') || c >= 0x80;

		if (!letter && !strchr(" +-=._:/@", c))
			return false;
		n += (c & 0xc0) != 0x80; /* not inside a character */
	}
	return n <= max;
}

static void too_many(struct request *r)
{
	reply_error(r, "BadRequest", "Object tags cannot be greater than %d",
		    MAX_TAGS);
}

/* False after an error answer. */
static bool add_tag(struct request *r, json_t *tags, const char *key,
		    const char *value)
{
	if (!*key || !is_tag_text(key, MAX_TAG_KEY))
		reply_error(r, "InvalidTag",
			    "The TagKey you have provided is invalid");
	else if (!strncasecmp(key, "aws:", 4))
		reply_error(r, "InvalidTag",
			    "System tags cannot be added/updated by requester");
	else if (!is_tag_text(value, MAX_TAG_VALUE))
		reply_error(r, "InvalidTag",
			    "The TagValue you have provided is invalid");
	else if (json_object_get(tags, key))
		reply_error(r, "InvalidTag",
			    "Cannot provide multiple Tags with the same key");
	else if (json_object_size(tags) == MAX_TAGS)
		too_many(r);
	else if (json_object_set_new(tags, key, json_string(value)))
		reply_errno(r, -ENOMEM);
	return !r->failed;
}

/* In place; '+' is a blank in a form. */
static bool decode_form(char *s)
{
	const long n = uri_decode(s, strlen(s), true, s);
	json_t *text = n >= 0 ? json_stringn(s, (size_t)n) : NULL;
	const bool ok = text && strlen(s) == (size_t)n;

	json_decref(text); /* it was there to tell UTF-8 */
	return ok;
}

/* Splits "key=value"; no '=' is an empty value. */
static bool split_pair(char *pair, const char **value)
{
	char *eq = strchr(pair, '=');

	*value = "";
	if (eq) {
		*eq = '\0';
		*value = eq + 1;
		if (eq == pair || strchr(eq + 1, '=') || !decode_form(eq + 1))
			return false;
	}
	return decode_form(pair);
}

static bool parse_form(struct request *r, char *text, json_t *tags)
{
	char *pair;

	while ((pair = strsep(&text, "&"))) {
		const char *value;

		if (!*pair)
			continue;
		if (!split_pair(pair, &value) || json_object_get(tags, pair)) {
			reply_error(r, "InvalidArgument",
				    "The header 'x-amz-tagging' shall be "
				    "encoded as UTF-8 then URLEncoded URL "
				    "query parameters without tag name "
				    "duplicates.");
			return false;
		}
		if (!add_tag(r, tags, pair, value))
			return false;
	}
	return true;
}

bool tags_from_request(struct request *r, json_t **out)
{
	const char *v = request_header(r, "x-amz-tagging");
	AUTO_FREE char *text = NULL;
	json_t *tags;

	/* Who presigns a URL for others may put headers into its query. */
	if (!v && r->presigned)
		v = request_param(r, "x-amz-tagging");
	*out = NULL;
	if (!v)
		return true;
	text = strdup(v);
	tags = json_object();
	if (!text || !tags)
		reply_errno(r, -ENOMEM);
	else if (parse_form(r, text, tags) && json_object_size(tags))
		*out = json_incref(tags);
	json_decref(tags);
	return !r->failed;
}

/* From the body; NULL after an error answer. */
static json_t *tags_from_body(struct request *r)
{
	static const struct xml_form form = {
		.root = "Tagging", .set = "TagSet", .item = "Tag"};
	json_t *tags = json_object();
	struct xml_doc doc;
	const int err = xml_in_parse(strbuf_str(&r->body.xml), r->body.xml.len,
				     &form, MAX_TAGS, &doc);

	if (err == -E2BIG)
		too_many(r);
	else if (err == -EBADMSG)
		reply_error(r, "MalformedXML",
			    "The XML you provided was not well-formed or did "
			    "not validate against our published schema");
	else if (err || !tags)
		reply_errno(r, -ENOMEM);
	for (size_t i = 0; !r->failed && i < doc.n; i++)
		add_tag(r, tags, doc.items[i].key, doc.items[i].value);
	if (!err)
		xml_in_free(&doc);
	if (!r->failed)
		return tags;
	json_decref(tags);
	return NULL;
}

static void set_tags(struct request *r, json_t *tags, int status)
{
	const int err = store_set_tags(r->gw->store, r->bucket, r->key, tags);

	if (err)
		reply_errno(r, err);
	else
		r->status = status;
}

void op_put_tagging(struct request *r)
{
	json_t *tags = tags_from_body(r);

	if (tags)
		set_tags(r, tags, 200);
	json_decref(tags);
}

void op_delete_tagging(struct request *r)
{
	set_tags(r, NULL, 204);
}

void op_get_tagging(struct request *r)
{
	struct store_meta meta;
	const char *key;
	json_t *value;
	int fd;
	const int err = store_get(r->gw->store, r->bucket, r->key, &fd, &meta);

	if (err) {
		reply_errno(r, err);
		return;
	}
	close(fd);
	strbuf_puts(&r->out,
		    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Tagging "
		    "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
		    "<TagSet>");
	json_object_foreach(meta.tags, key, value)
	{
		strbuf_puts(&r->out, "<Tag><Key>");
		strbuf_xml(&r->out, key);
		strbuf_puts(&r->out, "</Key><Value>");
		strbuf_xml(&r->out, json_string_value(value));
		strbuf_puts(&r->out, "</Value></Tag>");
	}
	strbuf_puts(&r->out, "</TagSet></Tagging>");
	store_meta_free(&meta);
	reply_xml(r, 200);
}
