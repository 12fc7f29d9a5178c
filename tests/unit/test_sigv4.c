/* SPDX-License-Identifier: Apache-2.0 */
/* The examples that AWS publishes for S3's signatures. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "s3/sigv4.h"
#include "unit.h"

#define SECRET "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
#define DATE "20130524T000000Z"
#define SCOPE "20130524/us-east-1/s3/aws4_request"
#define HOST "examplebucket.s3.amazonaws.com"
#define PUT_SHA256 \
	"44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define STREAMING "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"

static const struct {
	const char *what, *method, *path, *query, *payload, *signature, *names;
	struct sigv4_header headers[8];
} requests[] = {
	{"get object",
	 "GET",
	 "/test.txt",
	 "",
	 SIGV4_EMPTY_SHA256,
	 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
	 "host;range;x-amz-content-sha256;x-amz-date",
	 {{"host", HOST},
	  {"range", "bytes=0-9"},
	  {"x-amz-content-sha256", SIGV4_EMPTY_SHA256},
	  {"x-amz-date", DATE}}},
	{"get object, blanks around and in the values",
	 "GET",
	 "/test.txt",
	 "",
	 SIGV4_EMPTY_SHA256,
	 "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
	 "host;range;x-amz-content-sha256;x-amz-date",
	 {{"host", "  " HOST "\t "},
	  {"range", "bytes=0-9  "},
	  {"x-amz-content-sha256", SIGV4_EMPTY_SHA256},
	  {"x-amz-date", "\t" DATE}}},
	{"put object",
	 "PUT",
	 "/test%24file.text",
	 "",
	 PUT_SHA256,
	 "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd",
	 "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
	 {{"date", "Fri, 24 May 2013 00:00:00 GMT"},
	  {"host", HOST},
	  {"x-amz-content-sha256", PUT_SHA256},
	  {"x-amz-date", DATE},
	  {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}},
	{"get lifecycle",
	 "GET",
	 "/",
	 "lifecycle=",
	 SIGV4_EMPTY_SHA256,
	 "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543",
	 "host;x-amz-content-sha256;x-amz-date",
	 {{"host", HOST},
	  {"x-amz-content-sha256", SIGV4_EMPTY_SHA256},
	  {"x-amz-date", DATE}}},
	{"list objects",
	 "GET",
	 "/",
	 "max-keys=2&prefix=J",
	 SIGV4_EMPTY_SHA256,
	 "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
	 "host;x-amz-content-sha256;x-amz-date",
	 {{"host", HOST},
	  {"x-amz-content-sha256", SIGV4_EMPTY_SHA256},
	  {"x-amz-date", DATE}}},
	{"put in chunks: the seed",
	 "PUT",
	 "/examplebucket/chunkObject.txt",
	 "",
	 STREAMING,
	 "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
	 "content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
	 "x-amz-decoded-content-length;x-amz-storage-class",
	 {{"content-encoding", "aws-chunked"},
	  {"content-length", "66824"},
	  {"host", "s3.amazonaws.com"},
	  {"x-amz-content-sha256", STREAMING},
	  {"x-amz-date", DATE},
	  {"x-amz-decoded-content-length", "66560"},
	  {"x-amz-storage-class", "REDUCED_REDUNDANCY"}}},
};

static size_t count(const struct sigv4_header *h)
{
	size_t n = 0;

	while (n < 8 && h[n].name)
		n++;
	return n;
}

START_TEST(signs_request)
{
	const struct sigv4_request r = {.method = requests[_i].method,
					.path = requests[_i].path,
					.query = requests[_i].query,
					.headers = requests[_i].headers,
					.nheaders = count(requests[_i].headers),
					.payload_hash = requests[_i].payload};
	unsigned char key[SIGV4_HASH];
	char got[SIGV4_HEX], names[256];

	sigv4_signing_key(SECRET, DATE, "us-east-1", key);
	ck_assert_int_eq(sigv4_sign(&r, key, DATE, SCOPE, got), 0);
	ck_assert_msg(!strcmp(got, requests[_i].signature), "%s: %s",
		      requests[_i].what, got);
	ck_assert_int_eq(sigv4_signed_headers(&r, names, sizeof(names)), 0);
	ck_assert_str_eq(names, requests[_i].names);
}
END_TEST

START_TEST(signs_with_what_is_signed)
{
	struct sigv4_header h[] = {{"host", "h"}, {"x-amz-date", DATE}};
	struct sigv4_request r = {.method = "GET",
				  .path = "/a",
				  .query = "",
				  .headers = h,
				  .nheaders = 2,
				  .payload_hash = SIGV4_EMPTY_SHA256};
	unsigned char key[SIGV4_HASH];
	char a[SIGV4_HEX], b[SIGV4_HEX];

	sigv4_signing_key(SECRET, DATE, "us-east-1", key);
	sigv4_sign(&r, key, DATE, SCOPE, a);
	h[0].value = "i";
	sigv4_sign(&r, key, DATE, SCOPE, b);
	ck_assert_str_ne(a, b);
	h[0].value = "h";
	r.payload_hash = "UNSIGNED-PAYLOAD";
	sigv4_sign(&r, key, DATE, SCOPE, b);
	ck_assert_str_ne(a, b);
	r.payload_hash = SIGV4_EMPTY_SHA256;
	sigv4_signing_key(SECRET, DATE, "eu-west-1", key);
	sigv4_sign(&r, key, DATE, SCOPE, b);
	ck_assert_str_ne(a, b);
}
END_TEST

START_TEST(too_many_headers)
{
	char name[1200];
	const struct sigv4_header h[] = {{name, ""}, {name, ""}};
	const struct sigv4_request r = {.method = "GET",
					.path = "/",
					.query = "",
					.headers = h,
					.nheaders = 2,
					.payload_hash = SIGV4_EMPTY_SHA256};
	const unsigned char key[SIGV4_HASH] = {0};
	char out[SIGV4_HEX], small[8];

	memset(name, 'x', sizeof(name) - 1);
	name[sizeof(name) - 1] = '\0';
	ck_assert_int_eq(sigv4_signed_headers(&r, small, sizeof(small)),
			 -ENAMETOOLONG);
	ck_assert_int_eq(sigv4_sign(&r, key, DATE, SCOPE, out), -E2BIG);
}
END_TEST

static const struct {
	const char *seed;
	struct {
		size_t n; /* bytes 'a' */
		const char *signature;
	} chunks[3];
	const char *trailer, *trailer_signature;
} streams[] = {
	{"4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9",
	 {{65536, "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a28"
		  "8648"},
	  {1024, "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5"
		 "497"},
	  {0, "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df"
	      "9"}},
	 NULL,
	 NULL},
	{"106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e",
	 {{65536, "b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef"
		  "5aa2"},
	  {1024, "1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e"
		 "5c7"},
	  {0, "2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f99"
	      "2"}},
	 "x-amz-checksum-crc32c:sOO8/Q==\n",
	 "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435"},
};

START_TEST(signs_chunks)
{
	AUTO_FREE char *data = malloc(65536);
	unsigned char key[SIGV4_HASH];
	char last[SIGV4_HEX], hash[SIGV4_HEX], got[SIGV4_HEX];

	memset(data, 'a', 65536);
	sigv4_signing_key(SECRET, DATE, "us-east-1", key);
	memcpy(last, streams[_i].seed, sizeof(last));
	for (int c = 0; c < 3; c++) {
		sigv4_sha256_hex(data, streams[_i].chunks[c].n, hash);
		sigv4_sign_chunk(key, DATE, SCOPE, last, hash, got);
		ck_assert_str_eq(got, streams[_i].chunks[c].signature);
		memcpy(last, got, sizeof(last));
	}
	if (!streams[_i].trailer)
		return;
	sigv4_sha256_hex(streams[_i].trailer, strlen(streams[_i].trailer),
			 hash);
	sigv4_sign_trailer(key, DATE, SCOPE, last, hash, got);
	ck_assert_str_eq(got, streams[_i].trailer_signature);
}
END_TEST

static const struct {
	const char *text;
	int err;
	long long t;
} dates[] = {
	{"20130524T000000Z", 0, 1369353600},
	{"19700101T000000Z", 0, 0},
	{"20240229T235959Z", 0, 1709251199},
	{"20130524T000000", -EINVAL, 0},
	{"20130524T000000ZZ", -EINVAL, 0},
	{"20130524 000000Z", -EINVAL, 0},
	{"20131324T000000Z", -EINVAL, 0},
	{"2013052XT000000Z", -EINVAL, 0},
	{"", -EINVAL, 0},
};

START_TEST(date)
{
	char text[SIGV4_DATE];
	time_t t = 42;

	ck_assert_int_eq(sigv4_parse_date(dates[_i].text, &t), dates[_i].err);
	ck_assert_int_eq(t, dates[_i].err ? 42 : dates[_i].t);
	if (dates[_i].err)
		return;
	sigv4_format_date(t, text);
	ck_assert_str_eq(text, dates[_i].text);
}
END_TEST

START_TEST(helpers)
{
	char hex[SIGV4_HEX], scope[64];

	sigv4_sha256_hex("", 0, hex);
	ck_assert_str_eq(hex, SIGV4_EMPTY_SHA256);
	sigv4_scope(DATE, "us-east-1", scope, sizeof(scope));
	ck_assert_str_eq(scope, SCOPE);
	ck_assert(sigv4_equal("abc", "abc"));
	ck_assert(!sigv4_equal("abc", "abd"));
	ck_assert(!sigv4_equal("abc", "ab"));
	ck_assert(!sigv4_equal("ab", "abc"));
	ck_assert(!sigv4_equal("", "a"));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sigv4");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, signs_request, requests);
	tcase_add_test(tc, signs_with_what_is_signed);
	tcase_add_test(tc, too_many_headers);
	ADD_ROWS(tc, signs_chunks, streams);
	ADD_ROWS(tc, date, dates);
	tcase_add_test(tc, helpers);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
