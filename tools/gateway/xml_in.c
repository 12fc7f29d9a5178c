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
	const struct xml_form *form;
	size_t max;
	struct xml_doc *doc;
	size_t cap;
	int depth, err;
	bool in_item, has_set;
	unsigned int keys, values; /* of the item */
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
	p->keys = p->values = 0;
}

/* How deep the items are. */
static int item_depth(const struct parser *p)
{
	return p->form->set ? 3 : 2;
}

static bool may_start(const struct parser *p, const char *name)
{
	if (p->depth == 1)
		return !strcmp(name, p->form->root);
	if (!p->form->set)
		return p->depth <= 4;
	if (p->depth == 2)
		return !strcmp(name, p->form->set) && !p->has_set;
	if (p->depth == 3)
		return !strcmp(name, p->form->item);
	return p->depth == 4 &&
	       (!strcmp(name, "Key") || !strcmp(name, "Value"));
}

static void XMLCALL on_start(void *arg, const XML_Char *name,
			     const XML_Char **attrs)
{
	struct parser *p = arg;

	(void)attrs;
	p->depth++;
	p->text.len = 0;
	if (!may_start(p, name)) {
		fail(p, -EBADMSG);
	} else if (p->depth == item_depth(p)) {
		p->in_item = !strcmp(name, p->form->item);
		if (p->in_item)
			add_item(p);
	} else if (p->depth == 2) {
		p->has_set = true;
	}
}

static void XMLCALL on_text(void *arg, const XML_Char *s, int n)
{
	struct parser *p = arg;

	strbuf_add(&p->text, s, (size_t)n);
	if (p->text.failed)
		fail(p, -EBADMSG);
}

static void take_field(struct parser *p, struct xml_item *it, const char *name,
		       const char *text)
{
	if (!strcmp(name, "Key")) {
		snprintf(it->key, sizeof(it->key), "%s", text);
		p->keys++;
	} else if (!strcmp(name, "Value")) {
		snprintf(it->value, sizeof(it->value), "%s", text);
		p->values++;
	} else if (!strcmp(name, "ETag")) {
		snprintf(it->etag, sizeof(it->etag), "%s", text);
	} else if (!strncmp(name, "Checksum", 8)) {
		snprintf(it->checksum, sizeof(it->checksum), "%s", text);
	} else if (!strcmp(name, "PartNumber")) {
		/* What is no number stays 0, which is no part. */
		parse_u64(text, &it->part);
	}
}

static void XMLCALL on_end(void *arg, const XML_Char *name)
{
	struct parser *p = arg;
	const char *text = p->text.len ? p->text.s : "";
	struct xml_item *it = p->doc->n ? &p->doc->items[p->doc->n - 1] : NULL;

	if (p->depth == 2 && !strcmp(name, "Quiet"))
		p->doc->quiet = !strcmp(text, "true");
	else if (p->depth == item_depth(p) + 1 && p->in_item && it)
		take_field(p, it, name, text);
	else if (p->form->set && p->depth == item_depth(p) &&
		 (p->keys != 1 || p->values != 1))
		fail(p, -EBADMSG);
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

int xml_in_parse(const char *text, size_t len, const struct xml_form *form,
		 size_t max, struct xml_doc *out)
{
	struct parser p = {.form = form, .max = max, .doc = out};

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
	if (form->set && !p.has_set && !p.err)
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
