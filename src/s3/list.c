/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An element's text is collected and looked at when it ends; where it stands
 * is known from a stack of at most MAX_DEPTH names.
 */
#include "s3/list.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/parse.h"
#include "base/strbuf.h"
#include "base/text.h"
#include "s3/uri.h"

#define MAX_DEPTH 8
#define MAX_TEXT 8192 /* a 1024-byte key, encoded twice over */

struct list_parser {
	XML_Parser xml; /* owned */
	int (*entry)(void *ctx, const struct s3_entry *e);
	void *ctx;
	int err;

	int depth;
	bool seen_root, url_encoded;
	bool in_entry, in_prefix; /* Contents or Bucket; CommonPrefixes */
	unsigned char open[MAX_DEPTH + 2]; /* enum element, by depth */
	struct strbuf text;
	char key[MAX_TEXT], etag[S3_ETAG_MAX], storage_class[40];
	bool has_key;
	struct s3_entry e;
	struct list_page page;
	char next[MAX_TEXT];
};

/* The n digits at s, or -1. */
static int digits(const char *s, int n)
{
	int v = 0;

	for (int i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -1;
		v = v * 10 + (s[i] - '0');
	}
	return v;
}

/* Days from 1970 to a date of the Gregorian calendar; years begin in March,
 * so that the odd day is the last one. */
static long days(int year, int month, int day)
{
	const int y = month > 2 ? year : year - 1;
	const int m = month > 2 ? month - 3 : month + 9;

	return 365L * y + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day -
	       719469;
}

/* By hand: strptime and timegm were a tenth of a listing's cost. */
time_t list_parse_time(const char *s)
{
	static const char form[] = "dddd-dd-ddTdd:dd:dd";
	int year, month, day, hour, min, sec;

	for (size_t i = 0; form[i]; i++)
		if (form[i] == 'd' ? s[i] < '0' || s[i] > '9' : s[i] != form[i])
			return -1;
	year = digits(s, 4);
	month = digits(s + 5, 2);
	day = digits(s + 8, 2);
	hour = digits(s + 11, 2);
	min = digits(s + 14, 2);
	sec = digits(s + 17, 2);
	if ((s[19] != '.' && s[19] != 'Z') || month < 1 || month > 12 ||
	    day < 1 || day > 31 || hour > 23 || min > 59 || sec > 60)
		return -1;
	return (time_t)days(year, month, day) * 86400 + hour * 3600 + min * 60 +
	       sec;
}

static void fail(struct list_parser *p, int err)
{
	if (!p->err)
		p->err = err;
	XML_StopParser(p->xml, XML_FALSE);
}

static void begin_entry(struct list_parser *p, bool is_prefix)
{
	p->in_entry = !is_prefix;
	p->in_prefix = is_prefix;
	p->has_key = false;
	p->etag[0] = p->storage_class[0] = '\0';
	p->e = (struct s3_entry){.key = p->key,
				 .is_prefix = is_prefix,
				 .etag = p->etag,
				 .storage_class = p->storage_class};
}

/* The elements that matter, wherever they stand. */
enum element {
	EL_OTHER,
	EL_CONTENTS,
	EL_BUCKET,
	EL_PREFIXES,
	EL_PREFIX,
	EL_KEY,
	EL_SIZE,
	EL_MODIFIED,
	EL_ETAG,
	EL_CLASS,
};

/* By the first letter: comparing with each in turn was a sixth of the cost. */
static enum element element_of(const char *name)
{
	switch (name[0]) {
	case 'B':
		return strcmp(name, "Bucket") ? EL_OTHER : EL_BUCKET;
	case 'C':
		return !strcmp(name, "Contents")         ? EL_CONTENTS
		       : !strcmp(name, "CommonPrefixes") ? EL_PREFIXES
		       : !strcmp(name, "CreationDate")   ? EL_MODIFIED
							 : EL_OTHER;
	case 'E':
		return strcmp(name, "ETag") ? EL_OTHER : EL_ETAG;
	case 'K':
		return strcmp(name, "Key") ? EL_OTHER : EL_KEY;
	case 'L':
		return strcmp(name, "LastModified") ? EL_OTHER : EL_MODIFIED;
	case 'N':
		return strcmp(name, "Name") ? EL_OTHER : EL_KEY;
	case 'P':
		return strcmp(name, "Prefix") ? EL_OTHER : EL_PREFIX;
	case 'S':
		return !strcmp(name, "Size")           ? EL_SIZE
		       : !strcmp(name, "StorageClass") ? EL_CLASS
						       : EL_OTHER;
	default:
		return EL_OTHER;
	}
}

static void XMLCALL on_start(void *arg, const XML_Char *name,
			     const XML_Char **attrs)
{
	struct list_parser *p = arg;
	const enum element e = element_of(name);

	(void)attrs;
	if (++p->depth > MAX_DEPTH) {
		fail(p, -EBADMSG);
		return;
	}
	if (p->depth == 1) {
		p->seen_root = !strcmp(name, "ListBucketResult") ||
			       !strcmp(name, "ListAllMyBucketsResult");
		if (!p->seen_root)
			fail(p, -EBADMSG);
	}
	p->open[p->depth] = (unsigned char)e;
	if (e == EL_CONTENTS || e == EL_BUCKET)
		begin_entry(p, false);
	else if (e == EL_PREFIXES)
		begin_entry(p, true);
	strbuf_clear(&p->text);
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int n)
{
	struct list_parser *p = arg;

	strbuf_add(&p->text, s, (size_t)n);
	if (p->text.failed)
		fail(p, -EBADMSG);
}

/* A key in the answer: percent-encoded when the server said so. */
static void take_key(struct list_parser *p, const char *text)
{
	const size_t n = strlen(text);
	long len = (long)n;

	if (p->url_encoded)
		len = uri_decode(text, n, true, p->key);
	else
		memcpy(p->key, text, n + 1);
	/* A NUL or an endless key is no name of ours: the entry is passed
	 * over rather than cut to another's name. */
	p->has_key = len > 0 && len <= S3_KEY_MAX + 1 &&
		     !memchr(p->key, '\0', (size_t)len);
}

static void take_etag(struct list_parser *p, const char *text)
{
	const size_t n = strlen(text);
	const bool bare = n && *text != '"';

	if (n + 3 > sizeof(p->etag))
		return;
	p->etag[0] = '"';
	memcpy(p->etag + bare, text, n + 1);
	if (bare)
		memcpy(p->etag + 1 + n, "\"", 2);
}

static void entry_field(struct list_parser *p, enum element e, const char *text)
{
	switch (e) {
	case EL_KEY:
		take_key(p, text);
		break;
	case EL_SIZE:
		if (parse_u64(text, &p->e.size))
			fail(p, -EBADMSG);
		break;
	case EL_MODIFIED:
		p->e.mtime = list_parse_time(text);
		break;
	case EL_ETAG:
		/* Some servers send it bare; requests want the quotes.  One
		 * that is cut would be another's: better none. */
		take_etag(p, text);
		break;
	case EL_CLASS:
		text_copy(p->storage_class, sizeof(p->storage_class), text);
		break;
	default:
		break;
	}
}

static void page_field(struct list_parser *p, const char *name,
		       const char *text)
{
	if (!strcmp(name, "IsTruncated"))
		p->page.truncated = !strcmp(text, "true");
	else if (!strcmp(name, "NextContinuationToken"))
		snprintf(p->next, sizeof(p->next), "%s", text);
	else if (!strcmp(name, "EncodingType"))
		p->url_encoded = !strcmp(text, "url");
}

static void end_entry(struct list_parser *p)
{
	const int err = p->has_key && !p->err ? p->entry(p->ctx, &p->e) : 0;

	p->in_entry = p->in_prefix = false;
	if (err)
		fail(p, err);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct list_parser *p = arg;
	const char *text = strbuf_str(&p->text);
	const enum element e = p->open[p->depth--];

	if (e == EL_CONTENTS || e == EL_PREFIXES || e == EL_BUCKET)
		end_entry(p);
	else if (p->in_prefix && e == EL_PREFIX)
		take_key(p, text);
	else if (p->in_entry)
		entry_field(p, e, text);
	else if (p->depth == 1)
		page_field(p, name, text);
	strbuf_clear(&p->text);
}

/* No S3 answer has a DTD: with it go entities and their bombs. */
static void XMLCALL on_doctype(void *arg, const XML_Char *a, const XML_Char *b,
			       const XML_Char *c, int d)
{
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	fail(arg, -EBADMSG);
}

int list_parser_new(int (*entry)(void *ctx, const struct s3_entry *e),
		    void *ctx, struct list_parser **out)
{
	struct list_parser *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->xml = XML_ParserCreate(NULL);
	if (!p->xml) {
		free(p);
		return -ENOMEM;
	}
	p->entry = entry;
	p->ctx = ctx;
	strbuf_init(&p->text, MAX_TEXT - 1);
	XML_SetUserData(p->xml, p);
	XML_SetElementHandler(p->xml, on_start, on_end);
	XML_SetCharacterDataHandler(p->xml, on_text);
	XML_SetStartDoctypeDeclHandler(p->xml, on_doctype);
	*out = p;
	return 0;
}

void list_parser_free(struct list_parser *p)
{
	if (!p)
		return;
	XML_ParserFree(p->xml);
	strbuf_free(&p->text);
	free(p);
}

void list_parser_set_encoded(struct list_parser *p)
{
	p->url_encoded = true;
}

int list_parser_feed(struct list_parser *p, const char *data, size_t n,
		     bool last)
{
	if (p->err)
		return p->err;
	if (XML_Parse(p->xml, data, (int)n, last) != XML_STATUS_OK && !p->err)
		p->err = -EBADMSG;
	if (last && !p->err && !p->seen_root)
		p->err = -EBADMSG;
	p->page.next = p->next;
	return p->err;
}

const struct list_page *list_parser_page(const struct list_parser *p)
{
	return &p->page;
}

/* The text of the first <name> in data, without children, into out. */
static void scan_element(const char *data, const char *name, char *out,
			 size_t cap)
{
	char open[32];
	const char *p, *end;

	snprintf(open, sizeof(open), "<%s>", name);
	p = strstr(data, open);
	if (!p)
		return;
	p += strlen(open);
	end = strchr(p, '<');
	if (end && (size_t)(end - p) < cap)
		snprintf(out, cap, "%.*s", (int)(end - p), p);
}

void list_parse_error(const char *data, size_t n, struct s3_answer *answer)
{
	char text[4096];

	/* An error document may be cut short; take what can be read of it. */
	snprintf(text, sizeof(text), "%.*s", (int)n, data);
	scan_element(text, "Code", answer->code, sizeof(answer->code));
	scan_element(text, "Message", answer->message, sizeof(answer->message));
	if (!answer->request_id[0])
		scan_element(text, "RequestId", answer->request_id,
			     sizeof(answer->request_id));
}
