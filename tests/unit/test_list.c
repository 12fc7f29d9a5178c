/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/strbuf.h"
#include "s3/list.h"
#include "unit.h"

#define XML "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
#define ROOT \
	"<ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">"
#define END "</ListBucketResult>"
#define OBJECT(key) "<Contents><Key>" key "</Key><Size>1</Size></Contents>"

/* What came, as one line an entry: kind key size mtime etag class. */
static struct strbuf got;
static int stop_after; /* entries; then -ECANCELED */

static int on_entry(void *ctx, const struct s3_entry *e)
{
	ck_assert_ptr_eq(ctx, &got);
	strbuf_printf(&got, "%c %s %llu %lld %s %s\n", e->is_prefix ? 'P' : 'O',
		      e->key, (unsigned long long)e->size, (long long)e->mtime,
		      e->etag, e->storage_class);
	return stop_after && --stop_after == 0 ? -ECANCELED : 0;
}

/* Parses in pieces of n bytes. */
static int parse(const char *text, size_t len, size_t n, bool *truncated,
		 char *next)
{
	struct list_parser *p;
	int err = 0;

	strbuf_free(&got);
	strbuf_init(&got, 1 << 20);
	ck_assert_int_eq(list_parser_new(on_entry, &got, &p), 0);
	for (size_t at = 0; at < len && !err; at += n)
		err = list_parser_feed(p, text + at,
				       len - at < n ? len - at : n,
				       at + n >= len);
	if (len == 0)
		err = list_parser_feed(p, "", 0, true);
	if (!err) {
		*truncated = list_parser_page(p)->truncated;
		strcpy(next, list_parser_page(p)->next);
	}
	list_parser_free(p);
	return err;
}

static const struct {
	const char *what, *text;
	bool truncated;
	const char *next, *entries;
} pages[] = {
	{"empty", XML ROOT END, false, "", ""},
	{"one object",
	 XML ROOT "<Name>b</Name><Prefix>p</Prefix><KeyCount>1</KeyCount>"
		  "<MaxKeys>1000</MaxKeys><IsTruncated>false</IsTruncated>"
		  "<Contents><Key>p/a</Key>"
		  "<LastModified>2026-11-22T10:11:12.000Z</LastModified>"
		  "<ETag>&quot;abc&quot;</ETag><Size>12345678901</Size>"
		  "<StorageClass>STANDARD</StorageClass></Contents>" END,
	 false, "", "O p/a 12345678901 1795342272 \"abc\" STANDARD\n"},
	{"bare ETag",
	 XML ROOT "<Contents><Key>a</Key><ETag>abc</ETag>"
		  "<Size>0</Size></Contents>" END,
	 false, "", "O a 0 0 \"abc\" \n"},
	{"empty ETag",
	 XML ROOT "<Contents><Key>a</Key><ETag></ETag>"
		  "<Size>0</Size></Contents>" END,
	 false, "", "O a 0 0  \n"},
	{"fields do not leak into the next entry",
	 XML ROOT "<Contents><Key>a</Key><ETag>\"1\"</ETag><Size>5</Size>"
		  "<StorageClass>GLACIER</StorageClass></Contents>"
		  "<Contents><Key>b</Key></Contents>" END,
	 false, "", "O a 5 0 \"1\" GLACIER\nO b 0 0  \n"},
	{"prefixes",
	 XML ROOT "<Prefix>x/</Prefix><CommonPrefixes>"
		  "<Prefix>x/a/</Prefix></CommonPrefixes><CommonPrefixes>"
		  "<Prefix>x/b/</Prefix></CommonPrefixes>" END,
	 false, "", "P x/a/ 0 0  \nP x/b/ 0 0  \n"},
	{"a page with more behind it",
	 XML ROOT
	 "<IsTruncated>true</IsTruncated>"
	 "<NextContinuationToken>1/a+b==</NextContinuationToken>" OBJECT("a")
		 END,
	 true, "1/a+b==", "O a 1 0  \n"},
	{"owner between the fields",
	 XML ROOT "<Contents><Key>a</Key><Owner><ID>i</ID><DisplayName>n"
		  "</DisplayName></Owner><Size>7</Size></Contents>" END,
	 false, "", "O a 7 0  \n"},
	{"entities and blanks",
	 XML ROOT OBJECT("a&amp;b &lt;c&gt; &#x41;&#10;") END, false, "",
	 "O a&b <c> A\n 1 0  \n"},
	{"CDATA", XML ROOT OBJECT("<![CDATA[a<b]]>") END, false, "",
	 "O a<b 1 0  \n"},
	{"url encoding",
	 XML ROOT "<EncodingType>url</EncodingType>" OBJECT(
		 "a%2Fb%20c%0A+d%25") "<CommonPrefixes><Prefix>%C3%BC/"
				      "</Prefix></CommonPrefixes>" END,
	 false, "", "O a/b c\n d% 1 0  \nP \303\274/ 0 0  \n"},
	{"no url encoding: a percent is one", XML ROOT OBJECT("a%2Fb+c") END,
	 false, "", "O a%2Fb+c 1 0  \n"},
	{"NUL in a key: passed over",
	 XML ROOT "<EncodingType>url</EncodingType>" OBJECT("a%00b")
		 OBJECT("ok") OBJECT("%00") END,
	 false, "", "O ok 1 0  \n"},
	{"bad escape: passed over",
	 XML ROOT "<EncodingType>url</EncodingType>" OBJECT("a%2") OBJECT("%zz")
		 OBJECT("ok") END,
	 false, "", "O ok 1 0  \n"},
	{"entry without a key: passed over",
	 XML ROOT "<Contents><Size>1</Size></Contents><Contents><Key></Key>"
		  "</Contents>" OBJECT("ok") END,
	 false, "", "O ok 1 0  \n"},
	{"unknown elements",
	 XML ROOT "<New><Er>x</Er></New>" OBJECT("a") "<Also/>" END, false, "",
	 "O a 1 0  \n"},
	{"buckets",
	 XML
	 "<ListAllMyBucketsResult><Owner><ID>x</ID></Owner><Buckets>"
	 "<Bucket><Name>b1</Name><CreationDate>2026-11-22T10:11:12Z"
	 "</CreationDate></Bucket><Bucket><Name>b2</Name></Bucket></Buckets>"
	 "</ListAllMyBucketsResult>",
	 false, "", "O b1 0 1795342272  \nO b2 0 0  \n"},
};

static const size_t pieces[] = {1 << 20, 1, 7};

START_TEST(page)
{
	const size_t len = strlen(pages[_i].text);

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		char next[8192];
		bool truncated;

		ck_assert_msg(!parse(pages[_i].text, len, pieces[i], &truncated,
				     next),
			      "%s", pages[_i].what);
		ck_assert_msg(!strcmp(strbuf_str(&got), pages[_i].entries),
			      "%s: %s", pages[_i].what, strbuf_str(&got));
		ck_assert_int_eq(truncated, pages[_i].truncated);
		ck_assert_str_eq(next, pages[_i].next);
	}
}
END_TEST

static const char *const bads[] = {
	"",
	" ",
	"no xml",
	XML,
	"<html><body>Not S3</body></html>",
	XML "<Error><Code>NoSuchBucket</Code></Error>",
	XML "<Other>" OBJECT("a") "</Other>",
	XML ROOT,
	XML ROOT OBJECT("a"),
	XML ROOT "<Contents><Key>a</Key>",
	XML ROOT OBJECT("a") "</ListBucket>",
	XML ROOT END "junk",
	XML ROOT END ROOT END,
	XML ROOT "<Contents><Key>a</Key><Size>-1</Size></Contents>" END,
	XML ROOT "<Contents><Key>a</Key><Size>1x</Size></Contents>" END,
	XML ROOT "<Contents><Key>a</Key><Size></Size></Contents>" END,
	XML ROOT "<Contents><Key>a</Key><Size>99999999999999999999</Size>"
		 "</Contents>" END,
	XML ROOT OBJECT("&nope;") END,
	XML ROOT OBJECT("&#0;") END,
	XML ROOT OBJECT("\377") END,
	XML "<!DOCTYPE x>" ROOT END,
	XML "<!DOCTYPE x [<!ENTITY a \"aaaa\">]>" ROOT OBJECT("&a;") END,
	XML "<!DOCTYPE x SYSTEM \"file:///etc/passwd\">" ROOT END,
	XML ROOT
	"<a><b><c><d><e><f><g><h>x</h></g></f></e></d></c></b></a>" END,
};

START_TEST(bad)
{
	const size_t len = strlen(bads[_i]);

	for (size_t i = 0; i < ARRAY_SIZE(pieces); i++) {
		char next[8192];
		bool truncated;

		ck_assert_msg(parse(bads[_i], len, pieces[i], &truncated,
				    next) == -EBADMSG,
			      "\"%s\"", bads[_i]);
	}
}
END_TEST

/* Cut anywhere, a page is no page. */
START_TEST(cut_short)
{
	const char *text = pages[1].text;
	char next[8192];
	bool truncated;

	for (size_t n = 0; n < strlen(text); n++)
		ck_assert_int_eq(parse(text, n, 1 << 20, &truncated, next),
				 -EBADMSG);
}
END_TEST

static int with_key(size_t n, char c, const char *head)
{
	struct strbuf b;
	char next[8192];
	bool truncated;
	int err;

	strbuf_init(&b, 4 << 20);
	strbuf_puts(&b, XML ROOT);
	strbuf_puts(&b, head);
	strbuf_puts(&b, "<Contents><Key>");
	for (size_t i = 0; i < n; i++)
		strbuf_add(&b, &c, 1);
	strbuf_puts(&b, "</Key><Size>1</Size></Contents>" END);
	err = parse(b.s, b.len, 4096, &truncated, next);
	strbuf_free(&b);
	return err;
}

START_TEST(long_keys)
{
	ck_assert_int_eq(with_key(1024, 'k', ""), 0);
	ck_assert_uint_gt(got.len, 1024);
	/* Not cut to another's name. */
	ck_assert_int_eq(with_key(2000, 'k', ""), 0);
	ck_assert_uint_eq(got.len, 0);
	ck_assert_int_eq(with_key(8191, 'k', ""), 0);
	ck_assert_uint_eq(got.len, 0);
	ck_assert_int_eq(with_key(8192, 'k', ""), -EBADMSG);
	ck_assert_int_eq(with_key(3 << 20, 'k', ""), -EBADMSG);
}
END_TEST

START_TEST(entry_ends_the_listing)
{
	static const char text[] = XML ROOT OBJECT("a") OBJECT("b") OBJECT("c")
		END;
	char next[8192];
	bool truncated;

	stop_after = 2;
	ck_assert_int_eq(
		parse(text, sizeof(text) - 1, 1 << 20, &truncated, next),
		-ECANCELED);
	ck_assert_str_eq(strbuf_str(&got), "O a 1 0  \nO b 1 0  \n");
}
END_TEST

START_TEST(long_etag_is_not_cut_to_another)
{
	struct strbuf b;
	char next[8192];
	bool truncated;

	strbuf_init(&b, 4096);
	strbuf_puts(&b, XML ROOT "<Contents><Key>a</Key><ETag>\"");
	for (int i = 0; i < 300; i++)
		strbuf_puts(&b, "e");
	strbuf_puts(&b, "\"</ETag><Size>1</Size></Contents>" END);
	ck_assert_int_eq(parse(b.s, b.len, b.len, &truncated, next), 0);
	/* As an answer's header has it: better none. */
	ck_assert_str_eq(strbuf_str(&got), "O a 1 0  \n");
	strbuf_free(&b);
}
END_TEST

static const struct {
	const char *text, *code, *message, *id;
} errors[] = {
	{XML "<Error><Code>NoSuchKey</Code><Message>The key</Message>"
	     "<Key>k</Key><RequestId>42</RequestId></Error>",
	 "NoSuchKey", "The key", "42"},
	{"<Error><Code>A</Code>", "A", "", ""},
	{"<Error><Code>Cut", "", "", ""},
	{"<Error><Cod", "", "", ""},
	{"", "", "", ""},
	{"<html>502</html>", "", "", ""},
	{"<Error><Code/><Message></Message></Error>", "", "", ""},
	{"<Code>"
	 "0123456789012345678901234567890123456789012345678901234567890123"
	 "4567</Code>",
	 "", "", ""},
};

START_TEST(error_document)
{
	struct s3_answer a = {.status = 404};
	const size_t n = strlen(errors[_i].text);
	AUTO_FREE char *exact = malloc(n + 1);

	/* Without a terminator of its own, for ASan. */
	memcpy(exact, errors[_i].text, n);
	exact[n] = 'X';
	list_parse_error(exact, n, &a);
	ck_assert_str_eq(a.code, errors[_i].code);
	ck_assert_str_eq(a.message, errors[_i].message);
	ck_assert_str_eq(a.request_id, errors[_i].id);
	strcpy(a.request_id, "header");
	list_parse_error(errors[_i].text, n, &a);
	ck_assert_str_eq(a.request_id, "header");
}
END_TEST

static const struct {
	const char *text;
	long long t;
} times[] = {
	{"2026-11-22T10:11:12Z", 1795342272},
	{"2026-11-22T10:11:12.000Z", 1795342272},
	{"2026-11-22T10:11:12.123456789Z", 1795342272},
	{"1970-01-01T00:00:00Z", 0},
	{"2024-02-29T00:00:00Z", 1709164800},
	{"2026-11-22", -1},
	{"2026-11-22 10:11:12", -1},
	{"2026-11-22T10:11:12", -1},
	{"Sun, 22 Nov 2026 10:11:12 GMT", -1},
	{"", -1},
};

START_TEST(time_of)
{
	ck_assert_int_eq(list_parse_time(times[_i].text), times[_i].t);
}
END_TEST

static void cleanup(void)
{
	strbuf_free(&got);
}

int main(void)
{
	Suite *s = suite_create("list");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, NULL, cleanup);
	ADD_ROWS(tc, page, pages);
	ADD_ROWS(tc, bad, bads);
	tcase_add_test(tc, cut_short);
	tcase_add_test(tc, long_keys);
	tcase_add_test(tc, entry_ends_the_listing);
	tcase_add_test(tc, long_etag_is_not_cut_to_another);
	ADD_ROWS(tc, error_document, errors);
	ADD_ROWS(tc, time_of, times);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
