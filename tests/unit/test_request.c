/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "s3/request.h"
#include "unit.h"

#define NOW 1369353600 /* 20130524T000000Z */
#define TOKEN "shm:0123:4"

static const struct {
	const char *url, *base, *host; /* NULL: -EINVAL */
} urls[] = {
	{"http://h", "http://h", "h"},
	{"http://h/", "http://h", "h"},
	{"http://h:9000", "http://h:9000", "h:9000"},
	{"http://h:80", "http://h:80", "h"},
	{"https://h:443/", "https://h:443", "h"},
	{"https://h:80", "https://h:80", "h:80"},
	{"http://h:443", "http://h:443", "h:443"},
	{"http://h:8080", "http://h:8080", "h:8080"},
	{"https://h:8443", "https://h:8443", "h:8443"},
	{"HTTPS://Host", "https://Host", "Host"},
	{"http://[::1]:9000", "http://[::1]:9000", "[::1]:9000"},
	{"http://[fe80::80]", "http://[fe80::80]", "[fe80::80]"},
	{"h:9000", NULL, NULL},
	{"ftp://h", NULL, NULL},
	{"http:/h", NULL, NULL},
	{"http://", NULL, NULL},
	{"http:///", NULL, NULL},
	{"http://h/path", NULL, NULL},
	{"http://h?query", NULL, NULL},
	{"http://h#part", NULL, NULL},
	{"http://user:pass@h", NULL, NULL},
	{"http://a b", NULL, NULL},
	{"x://http://h", NULL, NULL},
	{"", NULL, NULL},
};

START_TEST(url)
{
	struct s3_url u;
	const int err = request_parse_url(urls[_i].url, &u);

	ck_assert_msg(err == (urls[_i].base ? 0 : -EINVAL), "%s", urls[_i].url);
	if (err)
		return;
	ck_assert_str_eq(u.base, urls[_i].base);
	ck_assert_str_eq(u.host, urls[_i].host);
}
END_TEST

START_TEST(long_host)
{
	char text[400] = "http://";
	struct s3_url u;

	memset(text + 7, 'h', 300);
	ck_assert_int_eq(request_parse_url(text, &u), -EINVAL);
}
END_TEST

static struct s3_config cfg;
static struct s3_url where;
static struct request_auth auth;
static struct request_wire wire;

static void setup(void)
{
	cfg = (struct s3_config){.region = "us-east-1"};
	ck_assert_int_eq(request_parse_url("http://h:9000", &where), 0);
	memset(&auth, 0, sizeof(auth));
	strcpy(auth.creds.access_key, "AKIAIOSFODNN7EXAMPLE");
	strcpy(auth.creds.secret_key,
	       "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
}

static void build(const struct s3_call *c)
{
	ck_assert_int_eq(request_build(c, &cfg, &where, &auth, NOW, &wire), 0);
	ck_assert_uint_le(wire.nheaders, REQUEST_HEADERS);
}

/* The value of a header of the wire, or NULL. */
static const char *header(const char *name)
{
	for (unsigned int i = 0; i < wire.nheaders; i++) {
		const size_t n = strlen(name);

		if (!strncasecmp(wire.headers[i], name, n) &&
		    wire.headers[i][n] == ':')
			return wire.headers[i] + n + 2;
	}
	return NULL;
}

static const char *signature(void)
{
	static char text[SIGV4_HEX];
	const char *a = header("Authorization");

	ck_assert_ptr_nonnull(a);
	a = strstr(a, "Signature=");
	ck_assert_ptr_nonnull(a);
	snprintf(text, sizeof(text), "%s", a + 10);
	return text;
}

static bool is_signed(const char *name)
{
	const char *list = strstr(header("Authorization"), "SignedHeaders=");
	char text[512], *save = NULL;

	snprintf(text, sizeof(text), "%.*s", (int)strcspn(list + 14, ","),
		 list + 14);
	for (char *p = strtok_r(text, ";", &save); p;
	     p = strtok_r(NULL, ";", &save))
		if (!strcmp(p, name))
			return true;
	return false;
}

static const struct {
	const char *bucket, *key, *path, *query;
	bool virtual_host;
	const char *url, *host;
} places[] = {
	{"b", "k", NULL, NULL, false, "http://h:9000/b/k", "h:9000"},
	{"b", NULL, NULL, NULL, false, "http://h:9000/b", "h:9000"},
	{NULL, NULL, NULL, NULL, false, "http://h:9000/", "h:9000"},
	{"b", NULL, NULL, "list-type=2&prefix=a%2F", false,
	 "http://h:9000/b?list-type=2&prefix=a%2F", "h:9000"},
	{"b", "a b/\303\274+%", NULL, NULL, false,
	 "http://h:9000/b/a%20b/%C3%BC%2B%25", "h:9000"},
	{"b", "/lead//x/", NULL, NULL, false, "http://h:9000/b//lead//x/",
	 "h:9000"},
	{"b", "../x", NULL, NULL, false, "http://h:9000/b/../x", "h:9000"},
	{"b", "k?x#y", NULL, NULL, false, "http://h:9000/b/k%3Fx%23y",
	 "h:9000"},
	{"b", "k", NULL, NULL, true, "http://b.h:9000/k", "b.h:9000"},
	{"b", NULL, NULL, "x=", true, "http://b.h:9000/?x=", "b.h:9000"},
	{NULL, NULL, NULL, NULL, true, "http://h:9000/", "h:9000"},
	{NULL, NULL, "/-/connect", NULL, false, "http://h:9000/-/connect",
	 "h:9000"},
	/* a name of a mount of all buckets may be any */
	{"a?b#c d", "k", NULL, NULL, false, "http://h:9000/a%3Fb%23c%20d/k",
	 "h:9000"},
};

START_TEST(place)
{
	const struct s3_call c = {.method = S3_GET,
				  .bucket = places[_i].bucket,
				  .key = places[_i].key,
				  .path = places[_i].path,
				  .query = places[_i].query};

	cfg.virtual_host = places[_i].virtual_host;
	build(&c);
	ck_assert_str_eq(wire.url, places[_i].url);
	ck_assert_str_eq(header("host"), places[_i].host);
}
END_TEST

/* A bucket's name must not lead the request to another host. */
START_TEST(bucket_cannot_change_the_host)
{
	static const char *const names[] = {"evil.example#", "evil.example?",
					    "user@evil.example#",
					    "evil.example\\"};
	struct s3_call c = {.method = S3_HEAD};

	cfg.virtual_host = true;
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		c.bucket = names[i];
		if (request_build(&c, &cfg, &where, &auth, NOW, &wire))
			continue;
		ck_assert_msg(!strpbrk(wire.url + 7, "#?@\\"), "%s", wire.url);
	}
}
END_TEST

/* The published example, through the whole of it. */
START_TEST(signature_of_aws)
{
	const struct s3_call c = {.method = S3_GET,
				  .bucket = "examplebucket",
				  .key = "test.txt",
				  .range_len = 10};

	cfg.virtual_host = true;
	request_parse_url("https://s3.amazonaws.com", &where);
	build(&c);
	ck_assert_str_eq(wire.url,
			 "https://examplebucket.s3.amazonaws.com/test.txt");
	ck_assert_str_eq(header("range"), "bytes=0-9");
	ck_assert_str_eq(
		header("Authorization"),
		"AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/"
		"us-east-1/s3/aws4_request, SignedHeaders=host;range;"
		"x-amz-content-sha256;x-amz-date, Signature="
		"f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bd"
		"b41");
	ck_assert_str_eq(header("x-amz-date"), "20130524T000000Z");
}
END_TEST

static const struct {
	uint64_t off, len;
	const char *range; /* NULL: none */
} ranges[] = {
	{0, 0, NULL},
	{0, 1, "bytes=0-0"},
	{4096, 1000, "bytes=4096-5095"},
	{1ULL << 42, 1ULL << 32, "bytes=4398046511104-4402341478399"},
};

START_TEST(range)
{
	const struct s3_call c = {.method = S3_GET,
				  .bucket = "b",
				  .key = "k",
				  .range_off = ranges[_i].off,
				  .range_len = ranges[_i].len};

	build(&c);
	if (!ranges[_i].range) {
		ck_assert_ptr_null(header("range"));
		return;
	}
	ck_assert_str_eq(header("range"), ranges[_i].range);
	ck_assert(is_signed("range"));
}
END_TEST

START_TEST(plain_request)
{
	const struct s3_call c = {.method = S3_GET, .bucket = "b", .key = "k"};

	build(&c);
	ck_assert_str_eq(header("x-amz-content-sha256"), SIGV4_EMPTY_SHA256);
	ck_assert_ptr_null(header("x-amz-rdma-token"));
	ck_assert_ptr_null(header("x-amz-security-token"));
	ck_assert_ptr_null(header("if-match"));
}
END_TEST

static const struct s3_header token_header = {"x-amz-rdma-token", TOKEN};

START_TEST(token_is_signed)
{
	struct s3_call c = {.method = S3_GET,
			    .bucket = "b",
			    .key = "k",
			    .headers = &token_header,
			    .nheaders = 1,
			    .is_grant = true,
			    .if_match = "\"e\""};
	char first[SIGV4_HEX];

	build(&c);
	ck_assert_str_eq(header("x-amz-rdma-token"), TOKEN);
	ck_assert_str_eq(header("x-amz-content-sha256"), "UNSIGNED-PAYLOAD");
	ck_assert(is_signed("x-amz-rdma-token"));
	ck_assert(is_signed("if-match"));
	ck_assert_str_eq(header("if-match"), "\"e\"");
	strcpy(first, signature());
	c.headers = &(const struct s3_header){"x-amz-rdma-token", TOKEN "5"};
	build(&c);
	ck_assert_str_ne(first, signature());
}
END_TEST

/* Sorted as they are, without a name twice. */
static const struct {
	const char *what;
	struct s3_header headers[S3_HEADERS_MAX];
	unsigned int n;
	const char *names; /* all that is signed */
} mores[] = {
	{"none",
	 {{NULL, NULL}},
	 0,
	 "host;if-match;range;x-amz-content-sha256;x-amz-date"},
	{"before all others",
	 {{"accept", "a"}},
	 1,
	 "accept;host;if-match;range;x-amz-content-sha256;x-amz-date"},
	{"behind all others",
	 {{"x-scal-rdma", "t"}},
	 1,
	 "host;if-match;range;x-amz-content-sha256;x-amz-date;x-scal-rdma"},
	{"amidst",
	 {{"if-none-match", "t"}},
	 1,
	 "host;if-match;if-none-match;range;x-amz-content-sha256;x-amz-date"},
	{"ObjectScale's",
	 {{"x-rdma-info", "t"}},
	 1,
	 "host;if-match;range;x-amz-content-sha256;x-amz-date;x-rdma-info"},
	{"the performance tool's",
	 {{"x-amz-meta-rdma-token", "t"}},
	 1,
	 "host;if-match;range;x-amz-content-sha256;x-amz-date;"
	 "x-amz-meta-rdma-token"},
	{"NooBaa's",
	 {{"x-amz-rdma-agent", "cuobj"}, {"x-amz-rdma-token", "t"}},
	 2,
	 "host;if-match;range;x-amz-content-sha256;x-amz-date;"
	 "x-amz-rdma-agent;x-amz-rdma-token"},
	{"the wrong way round",
	 {{"x-amz-rdma-token", "t"}, {"x-amz-rdma-agent", "cuobj"}},
	 2,
	 "host;if-match;range;x-amz-content-sha256;x-amz-date;"
	 "x-amz-rdma-agent;x-amz-rdma-token"},
	{"a name that begins another",
	 {{"rangel", "2"}, {"x-amz-date-of", "3"}, {"hos", "1"}},
	 3,
	 "hos;host;if-match;range;rangel;x-amz-content-sha256;x-amz-date;"
	 "x-amz-date-of"},
	{"hipObject's PREPARE",
	 {{"x-amz-rdma-cookie", "DEADBEEF"},
	  {"x-amz-rdma-offset", "0"},
	  {"x-amz-rdma-op", "GET"},
	  {"x-amz-rdma-protocol", "hipobj-rc-v2"},
	  {"x-amz-rdma-psn", "00ABCD"},
	  {"x-amz-rdma-size", "4194304"},
	  {"x-amz-rdma-target", "/b/k"},
	  {"x-amz-rdma-token", "01"}},
	 8,
	 "host;if-match;range;x-amz-content-sha256;x-amz-date;"
	 "x-amz-rdma-cookie;x-amz-rdma-offset;x-amz-rdma-op;"
	 "x-amz-rdma-protocol;x-amz-rdma-psn;x-amz-rdma-size;"
	 "x-amz-rdma-target;x-amz-rdma-token"},
	{"as many as there may be, backwards",
	 {{"z", "10"},
	  {"y", "9"},
	  {"x-b", "8"},
	  {"x-amz-c", "7"},
	  {"x-a", "6"},
	  {"s", "5"},
	  {"o", "4"},
	  {"i", "3"},
	  {"b", "2"},
	  {"a", "1"}},
	 S3_HEADERS_MAX,
	 "a;b;host;i;if-match;o;range;s;x-a;x-amz-c;x-amz-content-sha256;"
	 "x-amz-date;x-b;y;z"},
};

/* The signature of what stands on the wire, made without request.c. */
static void sign_wire(const char *hash, char out[SIGV4_HEX])
{
	static char names[REQUEST_HEADERS][64];
	struct sigv4_header h[REQUEST_HEADERS];
	struct sigv4_request r = {.method = "GET",
				  .path = "/b/k",
				  .query = "",
				  .headers = h,
				  .payload_hash = hash};
	unsigned char key[SIGV4_HASH];
	char date[SIGV4_DATE], scope[128];

	for (unsigned int i = 0; i < wire.nheaders; i++) {
		const char *colon = strstr(wire.headers[i], ": ");

		ck_assert_ptr_nonnull(colon);
		snprintf(names[i], sizeof(names[i]), "%.*s",
			 (int)(colon - wire.headers[i]), wire.headers[i]);
		h[i] = (struct sigv4_header){names[i], colon + 2};
		if (strcmp(names[i], "Authorization") != 0)
			r.nheaders++;
	}
	/* The one that is not signed is the last. */
	ck_assert_uint_eq(r.nheaders + 1, wire.nheaders);
	sigv4_format_date(NOW, date);
	sigv4_scope(date, cfg.region, scope, sizeof(scope));
	sigv4_signing_key(auth.creds.secret_key, date, cfg.region, key);
	ck_assert_int_eq(sigv4_sign(&r, key, date, scope, out), 0);
}

static void check_more(const struct s3_call *c, int row)
{
	const char *names;
	char expected[SIGV4_HEX];
	const size_t n = strlen(mores[row].names);

	build(c);
	names = strstr(header("Authorization"), "SignedHeaders=") + 14;
	ck_assert_msg(!strncmp(names, mores[row].names, n) && names[n] == ',',
		      "%s: %s", mores[row].what, names);
	for (unsigned int i = 0; i < c->nheaders; i++)
		ck_assert_pstr_eq(header(c->headers[i].name),
				  c->headers[i].value);
	sign_wire(header("x-amz-content-sha256"), expected);
	ck_assert_str_eq(signature(), expected);
}

START_TEST(more)
{
	struct s3_call c = {.method = S3_GET,
			    .bucket = "b",
			    .key = "k",
			    .headers = mores[_i].headers,
			    .nheaders = mores[_i].n,
			    .if_match = "\"e\"",
			    .range_len = 1};

	check_more(&c, _i);
	c.is_grant = true;
	check_more(&c, _i);
}
END_TEST

/* Every header there can be, and Authorization. */
START_TEST(most_headers)
{
	const struct s3_call c = {.method = S3_GET,
				  .bucket = "b",
				  .key = "k",
				  .headers = mores[_i].headers,
				  .nheaders = mores[_i].n,
				  .is_grant = true,
				  .if_match = "\"e\"",
				  .range_len = 1};

	strcpy(auth.creds.session_token, "session");
	build(&c);
	ck_assert_uint_eq(wire.nheaders, 7 + mores[_i].n);
	ck_assert(is_signed("x-amz-security-token"));
	for (unsigned int i = 0; i < c.nheaders; i++)
		ck_assert(is_signed(c.headers[i].name));
}
END_TEST

START_TEST(values_are_signed)
{
	struct s3_header h[] = {{"x-amz-rdma-psn", "000001"},
				{"x-scal-rdma", "t"}};
	const struct s3_call c = {.method = S3_POST,
				  .path = "/.hipobj-rc/prepare",
				  .headers = h,
				  .nheaders = 2,
				  .is_grant = true};
	char first[SIGV4_HEX], second[SIGV4_HEX];

	build(&c);
	strcpy(first, signature());
	h[0].value = "000002";
	build(&c);
	strcpy(second, signature());
	ck_assert_str_ne(first, second);
	h[0].value = "000001";
	h[1].value = "u";
	build(&c);
	ck_assert_str_ne(first, signature());
	h[1].value = "t";
	build(&c);
	ck_assert_str_eq(first, signature());
}
END_TEST

/* The payload is unsigned exactly when memory is granted, whatever the
 * headers and the credentials are. */
static const struct {
	bool is_grant, has_token, anonymous;
	enum s3_method method;
} grants[] = {
	{false, false, false, S3_GET},  {false, true, false, S3_GET},
	{true, false, false, S3_GET},   {true, true, false, S3_GET},
	{false, false, true, S3_GET},   {true, true, true, S3_GET},
	{false, false, false, S3_HEAD}, {false, false, false, S3_POST},
	{true, true, false, S3_POST},
};

START_TEST(grant)
{
	const struct s3_call c = {.method = grants[_i].method,
				  .bucket = "b",
				  .key = "k",
				  .headers = &token_header,
				  .nheaders = grants[_i].has_token,
				  .is_grant = grants[_i].is_grant};

	auth.creds.anonymous = grants[_i].anonymous;
	build(&c);
	ck_assert_str_eq(header("x-amz-content-sha256"),
			 grants[_i].is_grant ? "UNSIGNED-PAYLOAD"
					     : SIGV4_EMPTY_SHA256);
	ck_assert(!!header("x-amz-rdma-token") == grants[_i].has_token);
}
END_TEST

START_TEST(session_token_is_signed)
{
	const struct s3_call c = {.method = S3_HEAD, .bucket = "b", .key = "k"};
	char first[SIGV4_HEX];

	strcpy(auth.creds.session_token, "one");
	build(&c);
	ck_assert_str_eq(header("x-amz-security-token"), "one");
	ck_assert(is_signed("x-amz-security-token"));
	strcpy(first, signature());
	strcpy(auth.creds.session_token, "two");
	build(&c);
	ck_assert_str_ne(first, signature());
}
END_TEST

START_TEST(longest_session_token)
{
	const struct s3_call c = {.method = S3_GET,
				  .bucket = "b",
				  .key = "k",
				  .headers = &token_header,
				  .nheaders = 1,
				  .is_grant = true,
				  .if_match = "\"e\"",
				  .range_len = 1};
	const size_t n = sizeof(auth.creds.session_token) - 1;

	memset(auth.creds.session_token, 't', n);
	build(&c);
	ck_assert_uint_eq(strlen(header("x-amz-security-token")), n);
	ck_assert_uint_eq(strlen(signature()), SIGV4_HEX - 1);
}
END_TEST

START_TEST(anonymous)
{
	const struct s3_call c = {.method = S3_GET, .bucket = "b", .key = "k"};

	memset(&auth.creds, 0, sizeof(auth.creds));
	auth.creds.anonymous = true;
	build(&c);
	ck_assert_ptr_null(header("Authorization"));
	ck_assert_ptr_null(header("x-amz-security-token"));
}
END_TEST

START_TEST(method_is_signed)
{
	struct s3_call c = {.method = S3_GET, .bucket = "b", .key = "k"};
	char get[SIGV4_HEX], head[SIGV4_HEX];

	build(&c);
	strcpy(get, signature());
	c.method = S3_HEAD;
	build(&c);
	strcpy(head, signature());
	ck_assert_str_ne(get, head);
	c.method = S3_POST;
	build(&c);
	ck_assert_str_ne(get, signature());
	ck_assert_str_ne(head, signature());
}
END_TEST

/* The signing key is kept for a day, and no longer than its credentials. */
START_TEST(signing_key_is_renewed)
{
	const struct s3_call c = {.method = S3_GET, .bucket = "b", .key = "k"};
	char first[SIGV4_HEX];
	struct request_auth fresh;

	build(&c);
	strcpy(first, signature());
	build(&c);
	ck_assert_str_eq(first, signature());
	/* Another day. */
	ck_assert_int_eq(
		request_build(&c, &cfg, &where, &auth, NOW + 86400, &wire), 0);
	fresh = auth;
	fresh.key_of[0] = '\0';
	strcpy(first, signature());
	ck_assert_int_eq(
		request_build(&c, &cfg, &where, &fresh, NOW + 86400, &wire), 0);
	ck_assert_str_eq(first, signature());
}
END_TEST

START_TEST(another_secret_is_another_key)
{
	const struct s3_call c = {.method = S3_GET, .bucket = "b", .key = "k"};
	char first[SIGV4_HEX];

	build(&c);
	strcpy(first, signature());
	strcpy(auth.creds.secret_key, "rotated");
	build(&c);
	ck_assert_str_ne(first, signature());
}
END_TEST

START_TEST(longest_key_fits)
{
	char key[S3_KEY_MAX + 1], bucket[S3_BUCKET_MAX + 1];
	const struct s3_call c = {
		.method = S3_GET, .bucket = bucket, .key = key};

	memset(key, '%', S3_KEY_MAX);
	key[S3_KEY_MAX] = '\0';
	memset(bucket, 'b', S3_BUCKET_MAX);
	bucket[S3_BUCKET_MAX] = '\0';
	build(&c);
	ck_assert_uint_eq(strlen(wire.url), strlen("http://h:9000/") +
						    S3_BUCKET_MAX + 1 +
						    3 * S3_KEY_MAX);
}
END_TEST

START_TEST(too_long)
{
	static char key[8192], query[9000];
	struct s3_call c = {.method = S3_GET, .bucket = "b", .key = key};

	memset(key, '%', 2000);
	ck_assert_int_eq(request_build(&c, &cfg, &where, &auth, NOW, &wire),
			 -ENAMETOOLONG);
	c.key = NULL;
	c.query = query;
	memset(query, 'q', sizeof(query) - 1);
	ck_assert_int_eq(request_build(&c, &cfg, &where, &auth, NOW, &wire),
			 -ENAMETOOLONG);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("request");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, NULL);
	ADD_ROWS(tc, url, urls);
	tcase_add_test(tc, long_host);
	ADD_ROWS(tc, place, places);
	tcase_add_test(tc, bucket_cannot_change_the_host);
	tcase_add_test(tc, signature_of_aws);
	ADD_ROWS(tc, range, ranges);
	tcase_add_test(tc, plain_request);
	tcase_add_test(tc, token_is_signed);
	ADD_ROWS(tc, more, mores);
	ADD_ROWS(tc, most_headers, mores);
	tcase_add_test(tc, values_are_signed);
	ADD_ROWS(tc, grant, grants);
	tcase_add_test(tc, session_token_is_signed);
	tcase_add_test(tc, longest_session_token);
	tcase_add_test(tc, anonymous);
	tcase_add_test(tc, method_is_signed);
	tcase_add_test(tc, signing_key_is_renewed);
	tcase_add_test(tc, another_secret_is_another_key);
	tcase_add_test(tc, longest_key_fits);
	tcase_add_test(tc, too_long);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
