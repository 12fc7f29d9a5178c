/* SPDX-License-Identifier: Apache-2.0 */
/* What is pure in the gateway: ranges, fault rules, documents. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fault.h"
#include "ops.h"
#include "unit.h"
#include "xml_in.h"

static const struct {
	const char *v;
	uint64_t size;
	int kind;
	uint64_t off, len;
} ranges[] = {
	{NULL, 100, 0, 0, 0},
	{"", 100, 0, 0, 0},
	{"bytes=0-0", 100, 1, 0, 1},
	{"bytes=0-99", 100, 1, 0, 100},
	{"bytes=0-100", 100, 1, 0, 100},
	{"bytes=10-19", 100, 1, 10, 10},
	{"bytes=10-", 100, 1, 10, 90},
	{"bytes=99-", 100, 1, 99, 1},
	{"bytes=99-18446744073709551615", 100, 1, 99, 1},
	{"bytes=-1", 100, 1, 99, 1},
	{"bytes=-100", 100, 1, 0, 100},
	{"bytes=-1000", 100, 1, 0, 100},
	{"bytes=100-", 100, -1, 0, 0},
	{"bytes=100-200", 100, -1, 0, 0},
	{"bytes=-0", 100, -1, 0, 0},
	{"bytes=0-", 0, -1, 0, 0},
	{"bytes=-5", 0, -1, 0, 0},
	{"bytes=0-0", 0, -1, 0, 0},
	{"bytes=5-4", 100, 0, 0, 0},
	{"bytes=0-1,5-6", 100, 0, 0, 0},
	{"bytes=", 100, 0, 0, 0},
	{"bytes=-", 100, 0, 0, 0},
	{"bytes=a-b", 100, 0, 0, 0},
	{"bytes=1-b", 100, 0, 0, 0},
	{"bytes=1", 100, 0, 0, 0},
	{"bytes=--1", 100, 0, 0, 0},
	{"bytes= 1-2", 100, 0, 0, 0},
	{"items=0-1", 100, 0, 0, 0},
	{"bytes 0-1", 100, 0, 0, 0},
};

START_TEST(range)
{
	uint64_t off = 0, len = 0;

	ck_assert_msg(parse_range(ranges[_i].v, ranges[_i].size, &off, &len) ==
			      ranges[_i].kind,
		      "%s", ranges[_i].v);
	if (ranges[_i].kind != 1)
		return;
	ck_assert_uint_eq(off, ranges[_i].off);
	ck_assert_uint_eq(len, ranges[_i].len);
	ck_assert_uint_le(off + len, ranges[_i].size);
}
END_TEST

static const struct {
	const char *text;
	enum fault_action action;
	uint64_t value, nth, every, count;
	const char *key;
} faults[] = {
	{"get:reset", FAULT_RESET, 0, 0, 0, 0, ""},
	{"any:status=503", FAULT_STATUS, 503, 0, 0, 0, ""},
	{"head:status=404:nth=2", FAULT_STATUS, 404, 2, 0, 0, ""},
	{"list:delay=100:every=3", FAULT_DELAY, 100, 0, 3, 0, ""},
	{"put:truncate=10:count=1:key=abc", FAULT_TRUNCATE, 10, 0, 0, 1, "abc"},
	{"get:etag", FAULT_ETAG, 0, 0, 0, 0, ""},
	{"get:norange", FAULT_NORANGE, 0, 0, 0, 0, ""},
	{"get:short=7", FAULT_SHORT, 7, 0, 0, 0, ""},
	{"get:refuse-token", FAULT_REFUSE_TOKEN, 0, 0, 0, 0, ""},
	{"get:ignore-token", FAULT_IGNORE_TOKEN, 0, 0, 0, 0, ""},
	{"get:late=50:key=a=b", FAULT_LATE, 50, 0, 0, 0, "a=b"},
	{"get:lie", FAULT_LIE, 0, 0, 0, 0, ""},
};

static struct request req;

static const struct fault *ask(struct faults *list, const char *method,
			       const char *key)
{
	req.method = method;
	snprintf(req.key, sizeof(req.key), "%s", key);
	req.has_key = *key != '\0';
	return fault_for(list, &req);
}

/* A request of the rule's kind falls under it, at the time it should. */
START_TEST(fault)
{
	static const char *const methods[] = {"GET", "HEAD", "PUT", "POST",
					      "DELETE"};
	const struct fault *f = NULL;
	struct faults *list = NULL;

	ck_assert_int_eq(fault_add(&list, faults[_i].text), 0);
	for (int i = 0; i < 50 && !f; i++) {
		f = ask(list, methods[i % 5], "xabcx a=b");
		if (!f)
			f = ask(list, "GET", "");
	}
	ck_assert_msg(f != NULL || *faults[_i].key, "%s", faults[_i].text);
	ck_assert_ptr_nonnull(f);
	ck_assert_int_eq((int)f->action, (int)faults[_i].action);
	ck_assert_uint_eq(f->value, faults[_i].value);
	ck_assert_uint_eq(f->nth, faults[_i].nth);
	ck_assert_uint_eq(f->every, faults[_i].every);
	ck_assert_uint_eq(f->count, faults[_i].count);
	ck_assert_str_eq(f->key, faults[_i].key);
	fault_free(list);
}
END_TEST

static const char *const bad_faults[] = {
	"",
	"get",
	"get:",
	"delete:reset",
	"get:explode",
	"get:status",
	"get:status=",
	"get:status=x",
	"get:reset=1",
	"get:delay",
	"get:reset:nth",
	"get:reset:nth=",
	"get:reset:nth=x",
	"get:reset:what=1",
	"get:reset:nth=1:junk",
	"reset",
};

START_TEST(bad_fault)
{
	struct faults *list = NULL;

	ck_assert_msg(fault_add(&list, bad_faults[_i]) == -EINVAL, "\"%s\"",
		      bad_faults[_i]);
	ck_assert_ptr_null(list);
	fault_free(list);
}
END_TEST

/* Which of ten GETs fall under a rule, as bits. */
static const struct {
	const char *text;
	unsigned int hits;
} counted[] = {
	{"get:reset", 0x3ff},         {"get:reset:nth=1", 0x001},
	{"get:reset:nth=10", 0x200},  {"get:reset:every=2", 0x2aa},
	{"get:reset:every=3", 0x124}, {"get:reset:count=2", 0x003},
	{"head:reset", 0x000},        {"any:reset:nth=3", 0x004},
	{"get:reset:key=o", 0x3ff},   {"get:reset:key=other", 0x000},
};

START_TEST(fault_counts)
{
	struct faults *list = NULL;
	unsigned int hits = 0;

	ck_assert_int_eq(fault_add(&list, counted[_i].text), 0);
	for (int i = 0; i < 10; i++) {
		/* What does not match is not counted. */
		if (strncmp(counted[_i].text, "any", 3) != 0)
			ck_assert_ptr_null(ask(list, "PUT", "foo"));
		hits |= (unsigned int)(ask(list, "GET", "foo") != NULL) << i;
	}
	ck_assert_uint_eq(hits, counted[_i].hits);
	fault_free(list);
}
END_TEST

START_TEST(first_rule_wins)
{
	struct faults *list = NULL;

	ck_assert_ptr_null(fault_for(NULL, &req));
	fault_add(&list, "get:status=1:nth=2");
	fault_add(&list, "any:status=2");
	ck_assert_uint_eq(ask(list, "GET", "k")->value, 2);
	ck_assert_uint_eq(ask(list, "GET", "k")->value, 1);
	ck_assert_uint_eq(ask(list, "GET", "k")->value, 2);
	fault_free(list);
}
END_TEST

static const struct {
	const char *text;
	int err;
	size_t n;
	bool quiet;
	const char *key, *etag; /* of the last */
	unsigned long part;
} docs[] = {
	{"<D><O><Key>a</Key></O></D>", 0, 1, false, "a", "", 0},
	{"<?xml version=\"1.0\"?><D xmlns=\"x\"><Quiet>true</Quiet><O><Key>a"
	 "</Key></O><O><Key>b&amp;c</Key></O></D>",
	 0, 2, true, "b&c", "", 0},
	{"<D><Quiet>false</Quiet></D>", 0, 0, false, NULL, NULL, 0},
	{"<D><O><PartNumber>7</PartNumber><ETag>\"e\"</ETag></O></D>", 0, 1,
	 false, "", "\"e\"", 7},
	{"<D><O><ETag>e</ETag><Key>k</Key></O><O/></D>", 0, 2, false, "", "",
	 0},
	{"<D/>", 0, 0, false, NULL, NULL, 0},
	/* A Key of something else is not the item's. */
	{"<D><O><Key>a</Key></O><X><Key>b</Key></X></D>", 0, 1, false, "a", "",
	 0},
	{"<D><O><Key>1</Key></O><O/><O/><O/><O/></D>", -E2BIG, 0, false, NULL,
	 NULL, 0},
	{"", -EBADMSG, 0, false, NULL, NULL, 0},
	{"<D>", -EBADMSG, 0, false, NULL, NULL, 0},
	{"<E><O/></E>", -EBADMSG, 0, false, NULL, NULL, 0},
	{"<D><O></D>", -EBADMSG, 0, false, NULL, NULL, 0},
	{"<D/><D/>", -EBADMSG, 0, false, NULL, NULL, 0},
	{"<D><a><b><c><d/></c></b></a></D>", -EBADMSG, 0, false, NULL, NULL, 0},
	{"<!DOCTYPE D><D/>", -EBADMSG, 0, false, NULL, NULL, 0},
	{"<!DOCTYPE D [<!ENTITY x \"y\">]><D><O><Key>&x;</Key></O></D>",
	 -EBADMSG, 0, false, NULL, NULL, 0},
	{"<D><O><Key>&x;</Key></O></D>", -EBADMSG, 0, false, NULL, NULL, 0},
	{"<D><O><Key>\xff</Key></O></D>", -EBADMSG, 0, false, NULL, NULL, 0},
};

static const struct xml_form loose = {.root = "D", .item = "O"};

START_TEST(document)
{
	const size_t len = strlen(docs[_i].text);
	struct xml_doc d;

	ck_assert_msg(xml_in_parse(docs[_i].text, len, &loose, 4, &d) ==
			      docs[_i].err,
		      "%s", docs[_i].text);
	if (docs[_i].err) {
		ck_assert_ptr_null(d.items);
		return;
	}
	ck_assert_uint_eq(d.n, docs[_i].n);
	ck_assert_int_eq(d.quiet, docs[_i].quiet);
	if (d.n) {
		ck_assert_str_eq(d.items[d.n - 1].key, docs[_i].key);
		ck_assert_str_eq(d.items[d.n - 1].etag, docs[_i].etag);
		ck_assert_uint_eq(d.items[d.n - 1].part, docs[_i].part);
	}
	xml_in_free(&d);
}
END_TEST

START_TEST(huge_text)
{
	AUTO_FREE char *text = malloc(1 << 20);
	struct xml_doc d;

	memset(text, 'x', 1 << 20);
	memcpy(text, "<D><O><Key>", 11);
	memcpy(text + (1 << 20) - 16, "</Key></O></D>  ", 16);
	ck_assert_int_eq(xml_in_parse(text, 1 << 20, &loose, 4, &d), -EBADMSG);
}
END_TEST

#define KV(k, v) "<O><Key>" k "</Key><Value>" v "</Value></O>"

/* With a set, there is one and nothing that the form does not have. */
static const struct {
	const char *text;
	int err;
	size_t n;
	const char *key, *value; /* of the last */
} strict_docs[] = {
	{"<D><S>" KV("a", "b") "</S></D>", 0, 1, "a", "b"},
	{"<D x=\"y\">\n<S> " KV("a", "b") " " KV("", "") "</S></D>", 0, 2, "",
	 ""},
	{"<D><S><O><Value>v</Value><Key>k</Key></O></S></D>", 0, 1, "k", "v"},
	{"<D><S/></D>", 0, 0, NULL, NULL},
	{"<D/>", -EBADMSG, 0, NULL, NULL},
	{"<D><S/><S/></D>", -EBADMSG, 0, NULL, NULL},
	{"<D><S/><T/></D>", -EBADMSG, 0, NULL, NULL},
	{"<D>" KV("a", "b") "</D>", -EBADMSG, 0, NULL, NULL},
	{"<D><S><X/></S></D>", -EBADMSG, 0, NULL, NULL},
	{"<D><S><O/></S></D>", -EBADMSG, 0, NULL, NULL},
	{"<D><S><O><Key>a</Key></O></S></D>", -EBADMSG, 0, NULL, NULL},
	{"<D><S><O><Value>a</Value></O></S></D>", -EBADMSG, 0, NULL, NULL},
	{"<D><S><O><Key>a</Key><Key>b</Key><Value/></O></S></D>", -EBADMSG, 0,
	 NULL, NULL},
	{"<D><S><O><Key>a</Key><Value/><Value/></O></S></D>", -EBADMSG, 0, NULL,
	 NULL},
	{"<D><S><O><Key>a</Key><Value/><X/></O></S></D>", -EBADMSG, 0, NULL,
	 NULL},
	{"<D><S><O><Key>a<Key/></Key><Value/></O></S></D>", -EBADMSG, 0, NULL,
	 NULL},
	/* What one item lacks, the next does not make up for. */
	{"<D><S><O><Key>a</Key></O>" KV("c", "d") "</S></D>", -EBADMSG, 0, NULL,
	 NULL},
	{"<D><S>" KV("a", "") KV("b", "") KV("c", "") "</S></D>", -E2BIG, 0,
	 NULL, NULL},
	{"<!DOCTYPE D><D><S/></D>", -EBADMSG, 0, NULL, NULL},
};

START_TEST(strict_document)
{
	static const struct xml_form strict = {
		.root = "D", .set = "S", .item = "O"};
	const char *text = strict_docs[_i].text;
	struct xml_doc d;

	ck_assert_msg(xml_in_parse(text, strlen(text), &strict, 2, &d) ==
			      strict_docs[_i].err,
		      "%s", text);
	if (strict_docs[_i].err) {
		ck_assert_ptr_null(d.items);
		return;
	}
	ck_assert_uint_eq(d.n, strict_docs[_i].n);
	if (d.n) {
		ck_assert_str_eq(d.items[d.n - 1].key, strict_docs[_i].key);
		ck_assert_str_eq(d.items[d.n - 1].value, strict_docs[_i].value);
	}
	xml_in_free(&d);
}
END_TEST

/* x-amz-tagging, and what becomes of it: JSON, or an error's code. */
static const struct {
	const char *header, *tags, *code;
} tag_headers[] = {
	{NULL, NULL, NULL},
	{"", NULL, NULL},
	{"&", NULL, NULL},
	{"&&a=b&", "{\"a\":\"b\"}", NULL},
	{"a=b&c=d", "{\"a\":\"b\",\"c\":\"d\"}", NULL},
	{"b=1&a=2", "{\"b\":\"1\",\"a\":\"2\"}", NULL},
	{"a", "{\"a\":\"\"}", NULL},
	{"a=", "{\"a\":\"\"}", NULL},
	{"a+b=c%20d", "{\"a b\":\"c d\"}", NULL},
	{"a%2Bb=c%3Dd", "{\"a+b\":\"c=d\"}", NULL},
	{"%C3%A9=%F0%9F%98%80", "{\"\303\251\":\"\360\237\230\200\"}", NULL},
	{"\303\251=x", "{\"\303\251\":\"x\"}", NULL},
	{"=", NULL, "InvalidArgument"},
	{"=v", NULL, "InvalidArgument"},
	{"a=b=c", NULL, "InvalidArgument"},
	{"a=b&a=c", NULL, "InvalidArgument"},
	{"a=b&%61=c", NULL, "InvalidArgument"},
	{"a=%", NULL, "InvalidArgument"},
	{"a=%4", NULL, "InvalidArgument"},
	{"%zz=a", NULL, "InvalidArgument"},
	{"a=%00", NULL, "InvalidArgument"},
	{"a%00=b", NULL, "InvalidArgument"},
	{"a=%ff", NULL, "InvalidArgument"},
	{"%C3=a", NULL, "InvalidArgument"},
	{"a=%ED%A0%80", NULL, "InvalidArgument"},
	{"a=b%0a", NULL, "InvalidTag"},
	{"a%22=b", NULL, "InvalidTag"},
	{"a=<b>", NULL, "InvalidTag"},
	{"a={b}", NULL, "InvalidTag"},
	{"a=b,c", NULL, "InvalidTag"},
	{"aws:a=b", NULL, "InvalidTag"},
	{"AWS:a=b", NULL, "InvalidTag"},
	{"aws=b", "{\"aws\":\"b\"}", NULL},
	{"1&2&3&4&5&6&7&8&9&10&11", NULL, "BadRequest"},
	/* The first fault counts. */
	{"a=b&c=%&d=<", NULL, "InvalidArgument"},
};

START_TEST(tags_of_header)
{
	const char *header = tag_headers[_i].header;
	const char *code = tag_headers[_i].code;
	AUTO_FREE char *value = header ? strdup(header) : NULL;
	AUTO_FREE char *text = NULL;
	struct request r = {.nheaders = header ? 1 : 0};
	json_t *tags;

	strcpy(r.headers[0].name, "x-amz-tagging");
	r.headers[0].value = value;
	strbuf_init(&r.out, 4096);
	ck_assert_msg(tags_from_request(&r, &tags) == !code, "%s", header);
	text = tags ? json_dumps(tags, JSON_COMPACT) : NULL;
	ck_assert_pstr_eq(text, tag_headers[_i].tags);
	if (code) {
		char want[64];

		snprintf(want, sizeof(want), "<Code>%s</Code>", code);
		ck_assert_int_eq(r.status, 400);
		ck_assert_msg(strstr(strbuf_str(&r.out), want) != NULL,
			      "%s: %s", header, strbuf_str(&r.out));
	}
	json_decref(tags);
	reply_clear(&r);
	strbuf_free(&r.out);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("gateway");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, range, ranges);
	ADD_ROWS(tc, fault, faults);
	ADD_ROWS(tc, bad_fault, bad_faults);
	ADD_ROWS(tc, fault_counts, counted);
	tcase_add_test(tc, first_rule_wins);
	ADD_ROWS(tc, document, docs);
	tcase_add_test(tc, huge_text);
	ADD_ROWS(tc, strict_document, strict_docs);
	ADD_ROWS(tc, tags_of_header, tag_headers);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
