/* SPDX-License-Identifier: Apache-2.0 */
#include "xml_in.h"

#include <errno.h>
#include <expat.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/parse.h"
#include "base/strbuf.h"

struct parser {
	XML_Parser xml;
	const char *root, *item;
	size_t max;
	struct xml_doc *doc;
	size_t cap;
	int depth, err;
	bool in_item;
	struct strbuf text;
};

static void fail(struct parser *p, int err)
{
	p->err = err;
	XML_StopParser(p->xml, XML_FALSE);
}

static void add_item(struct parser *p)
{
	struct xml_doc *d = p->doc;

	if (d->n == p->max) {
		fail(p, -E2BIG);
		return;
	}
	if (d->n == p->cap) {
		const size_t cap = p->cap ? 2 * p->cap : 16;
		void *more = realloc(d->items, cap * sizeof(*d->items));

		if (!more) {
			fail(p, -ENOMEM);
			return;
		}
		d->items = more;
		p->cap = cap;
	}
	d->items[d->n++] = (struct xml_item){0};
}

static void XMLCALL on_start(void *arg, const XML_Char *name,
			     const XML_Char **attrs)
{
	struct parser *p = arg;

	(void)attrs;
	p->depth++;
	p->text.len = 0;
	if (p->depth > 4 || (p->depth == 1 && strcmp(name, p->root) != 0))
		fail(p, -EBADMSG);
	else if (p->depth == 2) {
		p->in_item = !strcmp(name, p->item);
		if (p->in_item)
			add_item(p);
	}
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int n)
{
	struct parser *p = arg;

	strbuf_add(&p->text, s, (size_t)n);
	if (p->text.failed)
		fail(p, -EBADMSG);
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct parser *p = arg;
	const char *text = p->text.len ? p->text.s : "";
	struct xml_item *it = p->doc->n ? &p->doc->items[p->doc->n - 1] : NULL;

	if (p->depth == 2 && !strcmp(name, "Quiet")) {
		p->doc->quiet = !strcmp(text, "true");
	} else if (p->depth == 3 && p->in_item && it) {
		if (!strcmp(name, "Key"))
			snprintf(it->key, sizeof(it->key), "%s", text);
		else if (!strcmp(name, "ETag"))
			snprintf(it->etag, sizeof(it->etag), "%s", text);
		else if (!strncmp(name, "Checksum", 8))
			snprintf(it->checksum, sizeof(it->checksum), "%s",
				 text);
		else if (!strcmp(name, "PartNumber"))
			/* What is no number stays 0, which is no part. */
			parse_u64(text, &it->part);
	}
	p->depth--;
	p->text.len = 0;
}

static void XMLCALL on_doctype(void *arg, const XML_Char *a, const XML_Char *b,
			       const XML_Char *c, int d)
{
	(void)a;
	(void)b;
	(void)c;
	(void)d;
	fail(arg, -EBADMSG);
}

int xml_in_parse(const char *text, size_t len, const char *root,
		 const char *item, size_t max, struct xml_doc *out)
{
	struct parser p = {.root = root, .item = item, .max = max, .doc = out};

	*out = (struct xml_doc){0};
	strbuf_init(&p.text, 8192);
	p.xml = XML_ParserCreate(NULL);
	if (!p.xml)
		return -ENOMEM;
	XML_SetUserData(p.xml, &p);
	XML_SetElementHandler(p.xml, on_start, on_end);
	XML_SetCharacterDataHandler(p.xml, on_text);
	XML_SetStartDoctypeDeclHandler(p.xml, on_doctype);
	if (XML_Parse(p.xml, text, (int)len, 1) != XML_STATUS_OK && !p.err)
		p.err = -EBADMSG;
	XML_ParserFree(p.xml);
	strbuf_free(&p.text);
	if (p.err)
		xml_in_free(out);
	return p.err;
}

void xml_in_free(struct xml_doc *d)
{
	free(d->items);
	*d = (struct xml_doc){0};
}
