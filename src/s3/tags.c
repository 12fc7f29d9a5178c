/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/tags.h"

#include <errno.h>
#include <expat.h>
#include <stdbool.h>
#include <string.h>

#include "base/strbuf.h"
#include "s3/client.h"

#define MAX_DEPTH 5
#define BODY_MAX (256U << 10)

struct parser {
	XML_Parser xml;
	void (*tag)(void *ctx, const char *name, const char *value);
	void *ctx;
	int depth;
	unsigned int count;
	bool is_tagging, failed;
	struct strbuf text;
	char name[TAGS_NAME_MAX + 1], value[TAGS_VALUE_MAX + 1];
};

static void fail(struct parser *p)
{
	p->failed = true;
	XML_StopParser(p->xml, XML_FALSE);
}

static void XMLCALL on_start(void *arg, const XML_Char *name,
			     const XML_Char **attrs)
{
	struct parser *p = arg;

	(void)attrs;
	if (++p->depth > MAX_DEPTH)
		fail(p);
	if (p->depth == 1 && !strcmp(name, "Tagging"))
		p->is_tagging = true;
	if (!strcmp(name, "Tag"))
		p->name[0] = p->value[0] = '\0';
	strbuf_clear(&p->text);
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int n)
{
	struct parser *p = arg;

	strbuf_add(&p->text, s, (size_t)n);
	if (p->text.failed)
		fail(p);
}

static void take(struct parser *p, char *out, size_t cap)
{
	if (p->text.len >= cap)
		fail(p);
	else
		memcpy(out, strbuf_str(&p->text), p->text.len + 1);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct parser *p = arg;

	p->depth--;
	if (!strcmp(name, "Key")) {
		take(p, p->name, sizeof(p->name));
	} else if (!strcmp(name, "Value")) {
		take(p, p->value, sizeof(p->value));
	} else if (!strcmp(name, "Tag") && !p->failed && p->is_tagging) {
		if (++p->count > TAGS_MAX)
			fail(p);
		else if (p->name[0])
			p->tag(p->ctx, p->name, p->value);
	}
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
	fail(arg);
}

int tags_parse(const char *data, size_t n,
	       void (*tag)(void *ctx, const char *name, const char *value),
	       void *ctx)
{
	struct parser p = {
		.xml = XML_ParserCreate(NULL), .tag = tag, .ctx = ctx};
	bool right;

	if (!p.xml)
		return -ENOMEM;
	strbuf_init(&p.text, 4096);
	XML_SetUserData(p.xml, &p);
	XML_SetElementHandler(p.xml, on_start, on_end);
	XML_SetCharacterDataHandler(p.xml, on_text);
	XML_SetStartDoctypeDeclHandler(p.xml, on_doctype);
	right = XML_Parse(p.xml, data, (int)n, 1) == XML_STATUS_OK &&
		p.is_tagging && !p.failed;
	XML_ParserFree(p.xml);
	strbuf_free(&p.text);
	return right ? 0 : -EBADMSG;
}

/* ---- the call ---- */

struct fetch {
	struct waited w; /* first */
	struct strbuf body;
};

static bool take_body(struct s3_call *call, const char *data, size_t n)
{
	struct fetch *f = container_of(call, struct fetch, w.call);

	if (call->answer.body == 0)
		strbuf_clear(&f->body);
	strbuf_add(&f->body, data, n);
	return !f->body.failed;
}

int s3_get_tags(struct s3 *s3, const char *bucket, const char *key,
		void (*tag)(void *ctx, const char *name, const char *value),
		void *ctx)
{
	struct fetch f = {.w.call = {.method = S3_GET,
				     .bucket = bucket,
				     .key = key,
				     .query = "tagging=",
				     .sink = take_body,
				     .timeout_ms = s3->cfg.deadline_ms}};
	int err;

	strbuf_init(&f.body, BODY_MAX);
	waited_start(s3, &f.w);
	err = waited_finish(s3, &f.w, "GET tags of");
	if (!err)
		err = tags_parse(strbuf_str(&f.body), f.body.len, tag, ctx);
	strbuf_free(&f.body);
	return err;
}
