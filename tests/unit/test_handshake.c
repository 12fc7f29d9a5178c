/* SPDX-License-Identifier: Apache-2.0 */
/* The answers of hand-shakes, as each server writes them. */
#include <errno.h>
#include <string.h>

#include "unit.h"
#include "xfer/handshake.h"

/* The example of the protocol document, 3.1, and what a bad server makes of
 * it. */
#define GID "00000000000000000000ffffc0a8640a"
#define TAIL               \
	"fe1f1800"         \
	"000000403c7f0000" \
	"0000400000000000" \
	"01"               \
	"0000"
#define TOKEN \
	"01"  \
	"34120000" GID TAIL
#define UPPER                                                    \
	"013412000000000000000000000000FFFFC0A8640AFE1F18000000" \
	"00403C7F00000000400000000000010000"
#define NO_GID     \
	"01"       \
	"34120000" \
	"00000000000000000000000000000000" TAIL
#define NO_QPN \
	"01"   \
	"00000000" GID TAIL
#define DC   \
	"00" \
	"34120000" GID TAIL
#define ZEROS                                          \
	"00000000000000000000000000000000000000000000" \
	"00000000000000000000000000000000000000000000"
#define SESSION "0123456789abcdef0123456789abcdef"

#define COOKIE 0xdeadbeefU
#define LEN 4194304

enum { CONNECT = 1, PREPARE = 2, FINAL = 4 };

/* "name: value" lines, each of which is fed. */
static void feed(struct handshake *h, const char *lines)
{
	char text[2048], *save = NULL;

	ck_assert_uint_lt(strlen(lines), sizeof(text));
	strcpy(text, lines);
	for (char *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *value = strstr(line, ": ");

		ck_assert_ptr_nonnull(value);
		*value = '\0';
		handshake_take(h, line, value + 2);
	}
}

static int passed(const struct handshake *h)
{
	return (handshake_check_connect(h) ? 0 : CONNECT) |
	       (handshake_check_prepare(h) ? 0 : PREPARE) |
	       (handshake_check_final(h, COOKIE, LEN) ? 0 : FINAL);
}

#define V2 "protocol: hipobj-rc-v2\n"
#define AMD                      \
	"reply: 200:" UPPER "\n" \
	"session: 0123456789ABCDEF0123456789ABCDEF\npsn: 00ABCD\n"
#define ELBENCHO "reply: 200:" TOKEN "\nsession: " SESSION "\npsn: 00abcd\n"
#define LAST "cookie: DEADBEEF\nbytes-transferred: 4194304\n"
#define OPENED "session: " SESSION "\npsn: 000001\n"

static const struct {
	const char *what, *lines;
	int checks; /* those that say yes */
	bool bad;
} rows[] = {
	{"nothing", "", 0, false},
	/* PREPARE and connect */
	{"AMD", V2 AMD "qpn: 1234\nmr-addr: 7F3C40000000\nmr-rkey: 181FFE\n",
	 CONNECT | PREPARE, false},
	{"elbencho", V2 ELBENCHO "qpn: 1234\n", CONNECT | PREPARE, false},
	{"elbencho's shim", ELBENCHO, CONNECT, false},
	{"no queue pair beside the token", V2 ELBENCHO, CONNECT | PREPARE,
	 false},
	{"header names in capitals",
	 "Protocol: hipobj-rc-v2\nREPLY: 200:" TOKEN "\nSession: " SESSION
	 "\nPSN: 000001\n",
	 CONNECT | PREPARE, false},
	{"headers that nobody knows", V2 ELBENCHO "x: y\n: z\nreplyx: 1\n",
	 CONNECT | PREPARE, false},
	{"a token with its window",
	 V2 OPENED "reply: 200:" TOKEN ":7f3c40000000:400000\n",
	 CONNECT | PREPARE, false},
	{"versitygw's zeros", V2 OPENED "reply: 200:" ZEROS "\nqpn: 1234\n", 0,
	 false},
	{"no GID", V2 OPENED "reply: 200:" NO_GID "\nqpn: 1234\n", 0, false},
	{"the queue pair in its own header",
	 V2 OPENED "reply: 200:" NO_QPN "\nqpn: 1234\n", PREPARE, false},
	{"no queue pair", V2 OPENED "reply: 200:" NO_QPN "\n", 0, false},
	{"a DC transport", V2 OPENED "reply: 200:" DC "\nqpn: 1234\n", 0,
	 false},
	{"another protocol", "protocol: hipobj-rc-v3\n" ELBENCHO, CONNECT,
	 false},
	{"a protocol that is none", "protocol: \n" ELBENCHO, CONNECT, false},
	{"a protocol with more behind it", "protocol: hipobj-rc-v2x\n" ELBENCHO,
	 CONNECT, false},
	{"unsupported", "protocol-status: unsupported\nreply: 501\n", 0, false},
	/* each missing */
	{"no token", V2 OPENED, 0, false},
	{"a reply without a token", V2 OPENED "reply: 200\n", 0, false},
	{"a reply that is no 200", V2 OPENED "reply: 501:" TOKEN "\n", 0,
	 false},
	{"declined", V2 OPENED "reply: 501\n", 0, false},
	{"failed", V2 OPENED "reply: err\n", 0, false},
	{"no session", V2 "reply: 200:" TOKEN "\npsn: 000001\n", 0, false},
	{"no psn", V2 "reply: 200:" TOKEN "\nsession: " SESSION "\n", 0, false},
	/* each malformed */
	{"an empty token", V2 OPENED "reply: 200:\n", 0, true},
	{"half a token", V2 OPENED "reply: 200:0134120000\n", 0, false},
	{"a token of 86",
	 V2 OPENED "reply: 200:0134120000" GID "fe1f1800000000403c7f0000"
		   "000040000000000001\n",
	 0, false},
	{"a token and more", V2 OPENED "reply: 200:" TOKEN "x\n", 0, false},
	{"a token of 90", V2 OPENED "reply: 200:" TOKEN "00\n", 0, false},
	{"a token that is endless",
	 V2 OPENED "reply: 200:" ZEROS ZEROS ZEROS "\n", 0, true},
	{"a token of another kind",
	 V2 OPENED "reply: 200:00007f3c40000000:00400000:00181ffe:0000:"
		   "0000b7:1:" GID "\n",
	 0, false},
	{"a short session",
	 V2 "reply: 200:" TOKEN "\nsession: 0123\npsn: 000001\n", 0, true},
	{"session of 31",
	 V2 "reply: 200:" TOKEN
	    "\nsession: 0123456789abcdef0123456789abcde\npsn: 000001\n",
	 0, true},
	{"session of 33",
	 V2 "reply: 200:" TOKEN "\nsession: " SESSION "0\npsn: 000001\n", 0,
	 true},
	{"session that is no hex",
	 V2 "reply: 200:" TOKEN
	    "\nsession: 0123456789abcdef0123456789abcdeg\npsn: 000001\n",
	 0, true},
	{"session with a way out of its path",
	 V2 "reply: 200:" TOKEN
	    "\nsession: ../../0123456789abcdef0123456789\npsn: 000001\n",
	 0, true},
	{"psn of 5", V2 "session: " SESSION "\npsn: 00001\n", 0, true},
	{"psn of 7", V2 "session: " SESSION "\npsn: 0000001\n", 0, true},
	{"psn 0", V2 "session: " SESSION "\npsn: 000000\n", 0, true},
	{"psn with 0x", V2 "session: " SESSION "\npsn: 0x0001\n", 0, true},
	{"psn below 0", V2 "session: " SESSION "\npsn: -00001\n", 0, true},
	{"no digit of a psn", V2 "session: " SESSION "\npsn: \n", 0, true},
	{"qpn 0", V2 ELBENCHO "qpn: 0\n", 0, true},
	{"qpn of 25 bits", V2 ELBENCHO "qpn: 1000000\n", 0, true},
	{"qpn of 9 digits", V2 ELBENCHO "qpn: 000000001\n", 0, true},
	{"qpn that is no hex", V2 ELBENCHO "qpn: 12g4\n", 0, true},
	{"no digit of a qpn", V2 ELBENCHO "qpn: \n", 0, true},
	{"the largest qpn, in its own header",
	 V2 OPENED "reply: 200:" NO_QPN "\nqpn: FFFFFF\n", PREPARE, false},
	{"two queue pairs", V2 ELBENCHO "qpn: FFFFFF\n", 0, false},
	{"a padded qpn", V2 ELBENCHO "qpn: 00001234\n", CONNECT | PREPARE,
	 false},
	/* each doubled */
	{"two tokens", V2 ELBENCHO "reply: 200:" TOKEN "\n", 0, true},
	{"two sessions", V2 ELBENCHO "session: " SESSION "\n", 0, true},
	{"two psns", V2 ELBENCHO "psn: 00abcd\n", 0, true},
	{"two qpns", V2 ELBENCHO "qpn: 1234\nqpn: 1234\n", 0, true},
	{"two cookies", V2 LAST "cookie: DEADBEEF\n", 0, true},
	{"two counts", V2 LAST "bytes-transferred: 4194304\n", 0, true},
	{"two ETags", V2 LAST "etag: \"a\"\netag: \"a\"\n", 0, true},
	{"two protocols that differ", "protocol: x\n" V2 ELBENCHO LAST, 0,
	 true},
	{"two protocols that differ, the other way",
	 V2 "protocol: x\n" ELBENCHO LAST, 0, true},
	{"the same protocol twice", V2 V2 LAST, FINAL, false},
	/* FINAL */
	{"FINAL of AMD",
	 V2 LAST "etag: \"abc\"\nversion-id: 1\n"
		 "checksum: CRC64NVME rosUhgp5mIg=\n",
	 FINAL, false},
	{"FINAL of elbencho",
	 V2 "cookie: deadbeef\nbytes-transferred: 4194304\nreply: 200\n", FINAL,
	 false},
	{"FINAL with everything", V2 ELBENCHO LAST, CONNECT | PREPARE | FINAL,
	 false},
	{"FINAL of another protocol", "protocol: hipobj-rc-v1\n" LAST, 0,
	 false},
	{"FINAL without a protocol", LAST, 0, false},
	{"FINAL without a cookie", V2 "bytes-transferred: 4194304\n", 0, false},
	{"FINAL without a count", V2 "cookie: deadbeef\n", 0, false},
	{"another's cookie",
	 V2 "cookie: deadbeee\nbytes-transferred: 4194304\n", 0, false},
	{"cookie 0", V2 "cookie: 00000000\nbytes-transferred: 4194304\n", 0,
	 false},
	{"cookie of 7", V2 "cookie: eadbeef\nbytes-transferred: 4194304\n", 0,
	 true},
	{"cookie of 9", V2 "cookie: 0deadbeef\nbytes-transferred: 4194304\n", 0,
	 true},
	{"cookie that is no hex",
	 V2 "cookie: deadbeeg\nbytes-transferred: 4194304\n", 0, true},
	{"one byte less", V2 "cookie: deadbeef\nbytes-transferred: 4194303\n",
	 0, false},
	{"one byte more", V2 "cookie: deadbeef\nbytes-transferred: 4194305\n",
	 0, false},
	{"no bytes", V2 "cookie: deadbeef\nbytes-transferred: 0\n", 0, false},
	{"a count below 0", V2 "cookie: deadbeef\nbytes-transferred: -1\n", 0,
	 true},
	{"a count in hex", V2 "cookie: deadbeef\nbytes-transferred: 0x400000\n",
	 0, true},
	{"a count past 64 bits",
	 V2 "cookie: deadbeef\nbytes-transferred: 18446744073709551616\n", 0,
	 true},
};

START_TEST(row)
{
	struct handshake h = {0};

	feed(&h, rows[_i].lines);
	ck_assert_msg(h.bad == rows[_i].bad, "%s: bad %d", rows[_i].what,
		      h.bad);
	ck_assert_msg(passed(&h) == rows[_i].checks, "%s: checks %d, not %d",
		      rows[_i].what, passed(&h), rows[_i].checks);
}
END_TEST

/* Whatever else is right, one bad field spoils the whole. */
START_TEST(bad_stays_bad)
{
	struct handshake h = {0};

	handshake_take(&h, "psn", "x");
	feed(&h, V2 ELBENCHO LAST);
	ck_assert(h.bad);
	ck_assert_int_eq(passed(&h), 0);
}
END_TEST

START_TEST(fields)
{
	struct handshake h = {0};

	feed(&h, V2 AMD "qpn: FFFFFF\n" LAST "etag: abc\n");
	ck_assert_str_eq(h.token, UPPER);
	/* It goes back to the server in its own case or any: it is hex. */
	ck_assert(!strcasecmp(h.session, SESSION));
	ck_assert_uint_eq(h.psn, 0xabcd);
	ck_assert_uint_eq(h.qpn, 0xffffff);
	ck_assert_uint_eq(h.cookie, COOKIE);
	ck_assert_uint_eq(h.bytes, LEN);
	ck_assert_str_eq(h.etag, "\"abc\"");
	ck_assert(h.v2);
	ck_assert(!h.unsupported);
}
END_TEST

static const struct {
	const char *value;
	bool unsupported;
} statuses[] = {
	{"unsupported", true}, {"Unsupported", true},   {"supported", false},
	{"", false},           {"unsupported!", false},
};

START_TEST(status)
{
	struct handshake h = {0};

	handshake_take(&h, "protocol-status", statuses[_i].value);
	ck_assert_int_eq(h.unsupported, statuses[_i].unsupported);
	ck_assert(!h.bad);
	ck_assert_int_eq(passed(&h), 0);
}
END_TEST

/* What was said once is not unsaid. */
START_TEST(status_twice)
{
	struct handshake h = {0};

	feed(&h, "protocol-status: unsupported\nprotocol-status: ok\n");
	ck_assert(h.unsupported || h.bad);
}
END_TEST

START_TEST(cookie_and_length)
{
	struct handshake h = {0};

	feed(&h, V2 LAST);
	ck_assert_int_eq(handshake_check_final(&h, COOKIE, LEN), 0);
	ck_assert_int_eq(handshake_check_final(&h, COOKIE + 1, LEN), -EPROTO);
	ck_assert_int_eq(handshake_check_final(&h, 0, LEN), -EPROTO);
	ck_assert_int_eq(handshake_check_final(&h, COOKIE, LEN - 1), -EPROTO);
	ck_assert_int_eq(handshake_check_final(&h, COOKIE, LEN + 1), -EPROTO);
	ck_assert_int_eq(handshake_check_final(&h, COOKIE, LEN + (1ULL << 32)),
			 -EPROTO);
}
END_TEST

/* What was not said is not zero. */
START_TEST(missing_is_not_zero)
{
	struct handshake h = {0};

	feed(&h, V2 "bytes-transferred: 4194304\n");
	ck_assert_int_eq(handshake_check_final(&h, 0, LEN), -EPROTO);
	h = (struct handshake){0};
	feed(&h, V2 "cookie: DEADBEEF\n");
	ck_assert_int_eq(handshake_check_final(&h, COOKIE, 0), -EPROTO);
}
END_TEST

static const struct {
	const char *sent, *kept;
} etags[] = {
	{"\"abc\"", "\"abc\""},
	{"abc", "\"abc\""},
	{"\"\"", "\"\""},
	{"%s%n", "\"%s%n\""},
};

START_TEST(etag)
{
	struct handshake h = {0};

	handshake_take(&h, "etag", etags[_i].sent);
	ck_assert_str_eq(h.etag, etags[_i].kept);
	ck_assert(!h.bad);
}
END_TEST

/* An ETag that is cut is another ETag. */
START_TEST(long_etag)
{
	char text[2 * S3_ETAG_MAX] = "";
	struct handshake h = {0};

	memset(text, 'e', S3_ETAG_MAX - 3);
	handshake_take(&h, "etag", text);
	ck_assert(!h.bad);
	ck_assert_uint_eq(strlen(h.etag), S3_ETAG_MAX - 1);
	h = (struct handshake){0};
	text[S3_ETAG_MAX - 3] = 'e';
	handshake_take(&h, "etag", text);
	ck_assert(h.bad);
	ck_assert_str_eq(h.etag, "");
}
END_TEST

/* The longest token that fits, and one more. */
START_TEST(long_token)
{
	char text[TOKEN_MAX + 8] = "200:";
	struct handshake h = {0};

	memset(text + 4, '0', TOKEN_MAX - 1);
	handshake_take(&h, "reply", text);
	ck_assert(!h.bad);
	ck_assert_uint_eq(strlen(h.token), TOKEN_MAX - 1);
	h = (struct handshake){0};
	text[TOKEN_MAX + 3] = '0';
	handshake_take(&h, "reply", text);
	ck_assert(h.bad);
	ck_assert_str_eq(h.token, "");
}
END_TEST

int main(void)
{
	Suite *s = suite_create("handshake");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, row, rows);
	tcase_add_test(tc, bad_stays_bad);
	tcase_add_test(tc, fields);
	ADD_ROWS(tc, status, statuses);
	tcase_add_test(tc, status_twice);
	tcase_add_test(tc, cookie_and_length);
	tcase_add_test(tc, missing_is_not_zero);
	ADD_ROWS(tc, etag, etags);
	tcase_add_test(tc, long_etag);
	tcase_add_test(tc, long_token);
	suite_add_tcase(s, tc);
	return unit_main(s);
}
