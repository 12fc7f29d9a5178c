/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every vendor's answers (protocol document, 1.6 and 1.8), played by a
 * scripted server against the real S3 client and transfer engine, with a DC
 * target on fake verbs: does the reader get the right bytes, by which way, and
 * is the window fenced when it must be?
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/thread.h"
#include "fake_verbs.h"
#include "scratch.h"
#include "scripted.h"
#include "unit.h"
#include "xfer/profile.h"
#include "xfer/xfer.h"

#define REGION (1UL << 20)
#define REGIONS 8
#define OFF (3ULL << 20)
#define LEN (512UL << 10)

enum { RDMA = 1, HTTP = 2, FENCE = 4, DECLINED = 8, ERROR = 16 };

struct row {
	const char *profile, *situation;
	struct scripted script;
	int expect;
};

#define OK_FULL(r)                                                            \
	{                                                                     \
		.status = 200, .write = WRITE_ALL, .reply = (r), .bytes = "n" \
	}
#define OK_RANGE(r)                                                           \
	{                                                                     \
		.status = 206, .write = WRITE_ALL, .reply = (r), .bytes = "n" \
	}
#define FAILED(st, c)                                                     \
	{                                                                 \
		.status = (st), .write = WRITE_GARBAGE, .body = BODY_XML, \
		.code = (c)                                               \
	}
#define REFUSED(st, c)                                        \
	{                                                     \
		.status = (st), .body = BODY_XML, .code = (c) \
	}

static const struct row rows[] = {
	/* the draft */
	{"standard", "ok, range", OK_RANGE("206"), RDMA},
	{"standard", "ok, reply ok", OK_RANGE("ok"), RDMA},
	{"standard", "ok, reply with a token of the server's",
	 OK_RANGE("206:00"), RDMA},
	{"standard",
	 "ok, older name of the count",
	 {.status = 206,
	  .write = WRITE_ALL,
	  .reply = "206",
	  .more = "x-amz-rdma-bytes: 524288"},
	 RDMA},
	{"standard",
	 "RDMA unavailable, no header",
	 {.status = 206, .body = BODY_RANGE},
	 HTTP | DECLINED},
	{"standard",
	 "RDMA unavailable, 501 and the body",
	 {.status = 206, .body = BODY_RANGE, .reply = "501"},
	 HTTP | DECLINED | FENCE},
	{"standard",
	 "transfer failed, recovery in the body",
	 {.status = 206,
	  .write = WRITE_GARBAGE,
	  .body = BODY_RANGE,
	  .reply = "501"},
	 HTTP | DECLINED | FENCE},
	{"standard", "bad token", REFUSED(400, "InvalidRDMAToken"),
	 HTTP | DECLINED},
	{"standard", "transfer failed", FAILED(500, "RDMATransferFailed"),
	 HTTP | FENCE},
	{"standard",
	 "no data at all",
	 {.status = 206, .reply = "501"},
	 HTTP | DECLINED | FENCE},
	{"standard",
	 "less than was asked for",
	 {.status = 206,
	  .write = WRITE_HALF,
	  .reply = "206",
	  .bytes = "262144"},
	 HTTP | DECLINED},
	{"standard",
	 "more than was asked for",
	 {.status = 206, .write = WRITE_ALL, .reply = "206", .bytes = "524289"},
	 HTTP | FENCE},
	{"standard",
	 "the range was not heard",
	 {.status = 200,
	  .write = WRITE_GARBAGE,
	  .reply = "200",
	  .bytes = "8388608",
	  .no_range = true},
	 HTTP | FENCE},
	{"standard",
	 "no Content-Range",
	 {.status = 206,
	  .write = WRITE_ALL,
	  .reply = "206",
	  .bytes = "n",
	  .no_range = true},
	 HTTP | FENCE},
	{"standard",
	 "reply err",
	 {.status = 206, .write = WRITE_GARBAGE, .reply = "err"},
	 HTTP | FENCE},
	{"standard",
	 "reply unknown",
	 {.status = 206, .write = WRITE_GARBAGE, .reply = "20x"},
	 HTTP | FENCE},
	{"standard",
	 "two replies that differ",
	 {.status = 206,
	  .write = WRITE_ALL,
	  .reply = "206",
	  .bytes = "n",
	  .more = "x-amz-rdma-reply: 501"},
	 HTTP | FENCE},
	{"standard",
	 "reset in mid-transfer",
	 {.reset = true, .write = WRITE_GARBAGE},
	 HTTP | FENCE},
	{"standard", "forbidden", REFUSED(403, "AccessDenied"), ERROR},
	{"standard", "no such key", REFUSED(404, "NoSuchKey"), ERROR},
	{"standard", "replaced", REFUSED(412, "PreconditionFailed"), ERROR},
	{"standard", "busy", REFUSED(503, "SlowDown"), HTTP | FENCE},
	/* MinIO AIStor: no body where it declines */
	{"aistor", "ok, range", OK_RANGE("206"), RDMA},
	{"aistor",
	 "RDMA unavailable",
	 {.status = 503,
	  .body = BODY_XML,
	  .code = "RDMAUnavailable",
	  .reply = "501"},
	 HTTP | DECLINED},
	{"aistor",
	 "not an RDMA build",
	 {.status = 206, .body = BODY_RANGE},
	 HTTP | DECLINED},
	{"aistor", "bad token", REFUSED(400, "InvalidToken"), HTTP | DECLINED},
	{"aistor-suffix", "ok, range", OK_RANGE("206"), RDMA},
	/* Cloudian HyperStore */
	{"hyperstore", "ok, range", OK_RANGE("206"), RDMA},
	{"hyperstore",
	 "ok, 204",
	 {.status = 206, .write = WRITE_ALL, .reply = "204", .bytes = "n"},
	 RDMA},
	{"hyperstore",
	 "declined",
	 {.status = 206, .body = BODY_RANGE, .reply = "501"},
	 HTTP | DECLINED | FENCE},
	{"hyperstore",
	 "absent",
	 {.status = 206, .body = BODY_RANGE},
	 HTTP | DECLINED},
	/* Dell ObjectScale: the S3 outcome alone */
	{"objectscale", "ok, range", {.status = 206, .write = WRITE_ALL}, RDMA},
	{"objectscale",
	 "token-blind",
	 {.status = 206, .body = BODY_RANGE},
	 HTTP | DECLINED},
	{"objectscale", "transfer failed", FAILED(500, "InternalError"),
	 HTTP | FENCE},
	/* Scality RING */
	{"scality", "ok, range", {.status = 206, .write = WRITE_ALL}, RDMA},
	{"scality",
	 "token-blind",
	 {.status = 206, .body = BODY_RANGE},
	 HTTP | DECLINED},
	{"scality", "behind the end", REFUSED(416, "InvalidRange"), ERROR},
	/* Pure FlashBlade: the reply header, or failure */
	{"flashblade", "ok, range", OK_RANGE("206"), RDMA},
	{"flashblade",
	 "absent",
	 {.status = 206, .body = BODY_RANGE},
	 HTTP | DECLINED},
	/* NooBaa: small objects in the body with RDMA on, 501 when unusable */
	{"noobaa", "ok, range", OK_RANGE("206"), RDMA},
	{"noobaa",
	 "in the body",
	 {.status = 206, .body = BODY_RANGE},
	 HTTP | DECLINED},
	{"noobaa", "enabled and unusable", REFUSED(501, "S3RdmaNotSupported"),
	 HTTP | DECLINED},
	{"noobaa", "bad token", REFUSED(400, "InvalidRdmaToken"),
	 HTTP | DECLINED},
	{"noobaa", "transfer failed", FAILED(500, "S3RdmaIoError"),
	 HTTP | FENCE},
	/* versitygw: reply 200 for a range as well */
	{"versitygw", "ok, range", OK_RANGE("200"), RDMA},
	{"versitygw", "ok, 200 throughout", OK_FULL("200"), RDMA},
	{"versitygw", "bad token", REFUSED(400, "InvalidArgument"),
	 HTTP | DECLINED},
	{"versitygw", "transfer failed", FAILED(500, "InternalError"),
	 HTTP | FENCE},
	/* Ceph: reply 200 always; errors may leave a partly written buffer */
	{"ceph", "ok, range", OK_RANGE("200"), RDMA},
	{"ceph",
	 "no buffers",
	 {.status = 503,
	  .write = WRITE_HALF,
	  .body = BODY_XML,
	  .code = "SlowDown"},
	 HTTP | FENCE},
	{"ceph",
	 "time out",
	 {.status = 408,
	  .write = WRITE_HALF,
	  .body = BODY_XML,
	  .code = "RequestTimeout"},
	 HTTP | FENCE},
	{"ceph", "off", {.status = 206, .body = BODY_RANGE}, HTTP | DECLINED},
	/* the benchmark server of Sirius: three bytes behind a transfer */
	{"sirius",
	 "ok",
	 {.status = 200,
	  .write = WRITE_ALL,
	  .body = BODY_OK,
	  .reply = "200",
	  .bytes = "n"},
	 RDMA},
	/* a server that declines hipObject's first form, and others */
	{"standard",
	 "unsupported",
	 {.status = 501,
	  .body = BODY_XML,
	  .code = "NotImplemented",
	  .more = "X-Amz-Rdma-Protocol-Status: unsupported"},
	 HTTP | DECLINED},
};

static struct rdma_arena arena = {.nruns = 1, .runs = {{0, REGION, REGIONS}}};
static struct scripted_server *server;
static struct creds_source *creds;
static struct s3 *s3;
static struct xfer *x;
static unsigned int next_region;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static bool done; /* these four under lock */
static int result;
static bool fenced_at_end;
static unsigned int fences;

static void on_fenced(struct xfer_fence *f)
{
	LOCK_SCOPE(&lock);
	fences--;
	pthread_cond_broadcast(&changed);
	free(f);
}

static void fence(const struct xfer_span *span)
{
	struct xfer_fence *f = calloc(1, sizeof(*f));

	*f = (struct xfer_fence){.region = span->region,
				 .rail = span->rail,
				 .session = span->session,
				 .done = on_fenced};
	{
		LOCK_SCOPE(&lock);
		fences++;
	}
	xfer_fence(x, f);
}

static struct xfer_span take_region(void)
{
	const unsigned int i = next_region++ % REGIONS;

	memset(arena.addr + i * REGION, 0, REGION);
	return (struct xfer_span){
		.addr = arena.addr + i * REGION, .len = REGION, .region = i};
}

static bool replace(struct xfer_get *g)
{
	fence(&g->span);
	g->span = take_region();
	return true;
}

static void on_done(struct xfer_get *g, int err, bool needs_fence)
{
	if (needs_fence)
		fence(&g->span);
	LOCK_SCOPE(&lock);
	done = true;
	result = err;
	fenced_at_end = needs_fence;
	pthread_cond_broadcast(&changed);
}

static void setup(const char *profile)
{
	const struct creds_config keys = {0};
	struct s3_config cfg = {.region = "us-east-1",
				.nurls = 1,
				.connections = 4,
				.loops = 1,
				.connect_timeout_ms = 2000,
				.attempt_timeout_ms = 5000,
				.deadline_ms = 10000};
	const struct xfer_config xcfg = {.mode = XFER_DC,
					 .devices = {"mlx5_0"},
					 .ndevices = 1,
					 .dc_key = 0xffeeddcc,
					 .profile = profile_find(profile)};
	char why[256];

	log_set_level(LOG_LEVEL_ERROR);
	ck_assert_msg(xcfg.profile != NULL, "%s", profile);
	scratch_make();
	fake_verbs_start(scratch);
	fake_verbs_add("mlx5_0", true, 1);
	fake_verbs_gid("mlx5_0", 1, 3, IBV_GID_TYPE_ROCE_V2,
		       "::ffff:127.0.0.1");
	arena.size = REGION * REGIONS;
	arena.addr = mmap(NULL, arena.size, PROT_READ | PROT_WRITE,
			  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(arena.addr, MAP_FAILED);
	setenv("AWS_ACCESS_KEY_ID", "key", 1);
	setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
	server = scripted_new();
	cfg.urls[0] = scripted_url(server);
	ck_assert_int_eq(creds_new(&keys, &creds, why, sizeof(why)), 0);
	ck_assert_int_eq(s3_new(&cfg, creds, &s3), 0);
	ck_assert_int_eq(xfer_new(&xcfg, s3, &arena, &x), 0);
}

static void wait_for(const bool *flag, const unsigned int *zero)
{
	LOCK_SCOPE(&lock);
	while ((flag && !*flag) || (zero && *zero))
		pthread_cond_wait(&changed, &lock);
}

static void teardown(void)
{
	wait_for(NULL, &fences);
	s3_stop(s3);
	xfer_free(x);
	s3_free(s3);
	creds_free(creds);
	scripted_free(server);
	ck_assert_str_eq(fake_verbs_violations(), "");
	ck_assert_str_eq(fake_verbs_left(), "");
	fake_verbs_stop();
	munmap(arena.addr, arena.size);
}

static void get(struct xfer_get *g, bool once)
{
	*g = (struct xfer_get){.bucket = "bucket",
			       .key = "key",
			       .etag = SCRIPTED_ETAG,
			       .object_len = SCRIPTED_SIZE,
			       .off = OFF,
			       .len = LEN,
			       .span = take_region(),
			       .once = once,
			       .replace = replace,
			       .done = on_done};
	done = false;
	xfer_get_start(x, g);
	wait_for(&done, NULL);
}

/* What the vendor was told. */
static void check_request(const struct row *row)
{
	const struct profile *p = profile_find(row->profile);
	const struct scripted_seen seen = scripted_seen(server);
	const size_t n = p->form == TOKEN_BASE64   ? 108
			 : p->form == TOKEN_SUFFIX ? 81 + 34
						   : 81;
	struct token_dc t;

	ck_assert_uint_eq(seen.with_token, 1);
	ck_assert_str_eq(seen.header, p->token_header);
	ck_assert_uint_eq(strlen(seen.token), n);
	ck_assert_int_eq(token_dc_parse(seen.token, &t), 0);
	ck_assert_uint_eq(t.size, LEN);
	ck_assert_str_eq(seen.agent, p->agent ? p->agent : "");
	ck_assert_str_eq(seen.payload, "UNSIGNED-PAYLOAD");
	ck_assert(seen.is_signed);
	ck_assert(seen.ranged);
}

static void check_bytes(const struct xfer_get *g)
{
	AUTO_FREE char *want = malloc(LEN);

	scripted_pattern(OFF, want, LEN);
	ck_assert_msg(!memcmp(g->span.addr, want, LEN), "wrong bytes");
}

START_TEST(vendor)
{
	const struct row *row = &rows[_i];
	struct xfer_stats s;
	struct xfer_get g;

	setup(row->profile);
	scripted_set(server, &row->script);
	get(&g, false);
	xfer_get_stats(x, &s);
	ck_assert_msg(!result == !(row->expect & ERROR), "%s, %s: %s",
		      row->profile, row->situation, strerror(-result));
	if (!result)
		check_bytes(&g);
	check_request(row);
	ck_assert_msg(s.bytes[XFER_BY_DC] == (row->expect & RDMA ? LEN : 0),
		      "%s, %s: by dc", row->profile, row->situation);
	ck_assert_msg(s.bytes[XFER_BY_HTTP] == (row->expect & HTTP ? LEN : 0),
		      "%s, %s: by http", row->profile, row->situation);
	ck_assert_msg(s.declines == !!(row->expect & DECLINED),
		      "%s, %s: declines %llu", row->profile, row->situation,
		      (unsigned long long)s.declines);
	teardown();
	/* A replaced window is fenced in any case: a body may come behind. */
	ck_assert_msg(!(row->expect & FENCE) || next_region > 1 ||
			      fenced_at_end,
		      "%s, %s: no fence", row->profile, row->situation);
	ck_assert_msg((row->expect & (FENCE | HTTP)) ||
			      (next_region == 1 && !fenced_at_end),
		      "%s, %s: a needless fence", row->profile, row->situation);
}
END_TEST

/* What ends a get of which there is another, at its first answer: nothing is
 * asked twice, and no error but a plain one is believed. */
static const struct {
	struct scripted script;
	int err;
} ends[] = {
	{OK_RANGE("206"), 0},
	{{.status = 206, .body = BODY_RANGE}, 0},
	{REFUSED(503, "SlowDown"), -EIO},
	{FAILED(500, "RDMATransferFailed"), -EIO},
	{{.reset = true, .write = WRITE_GARBAGE}, -EIO},
	{{.status = 206, .reply = "501"}, -EIO},
	{{.status = 206,
	  .write = WRITE_ALL,
	  .reply = "206",
	  .bytes = "n",
	  .no_etag = true,
	  .more = "ETag: \"v2\""},
	 -EIO},
	{REFUSED(412, "PreconditionFailed"), -ESTALE},
	{REFUSED(404, "NoSuchKey"), -ENOENT},
};

START_TEST(once_is_once)
{
	struct xfer_get g;

	setup("standard");
	scripted_set(server, &ends[_i].script);
	get(&g, true);
	ck_assert_int_eq(result, ends[_i].err);
	if (!result)
		check_bytes(&g);
	ck_assert_uint_eq(scripted_seen(server).requests, 1);
	teardown();
}
END_TEST

/* Each vendor of the table has at least one good and one bad row. */
START_TEST(every_profile_has_rows)
{
	for (unsigned int i = 0; profile_at(i); i++) {
		bool good = false;

		for (size_t k = 0; k < ARRAY_SIZE(rows); k++)
			if (!strcmp(rows[k].profile, profile_at(i)->name))
				good |= (rows[k].expect & RDMA) != 0;
		ck_assert_msg(good, "%s", profile_at(i)->name);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vendors");
	TCase *tc = tcase_create("all");

	ADD_ROWS(tc, vendor, rows);
	ADD_ROWS(tc, once_is_once, ends);
	tcase_add_test(tc, every_profile_has_rows);
	suite_add_tcase(s, tc);
	return scratch_main(s);
}
