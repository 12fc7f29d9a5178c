/* SPDX-License-Identifier: Apache-2.0 */
/* The persistent RC connection: both ends of it, over a wire that is made up. */
#include <stdatomic.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include "fake_nic.h"

#define OWNER "AKIAOWNER"
#define OTHER "AKIAOTHER"

static struct rdma *session;
static struct initiator *server;
static struct initiator_welcome welcome;

/* ---- a clock that other threads read late ---- */

static _Thread_local bool is_main;
static atomic_bool lag;
static atomic_uint lagged;

/* Wins over libc's.  What a thread has read may be old by the time it acts. */
int clock_gettime(clockid_t id, struct timespec *ts)
{
	const long err = syscall(SYS_clock_gettime, id, ts);

	if (!is_main && atomic_load(&lag) && id == CLOCK_MONOTONIC) {
		ts->tv_sec--;
		atomic_fetch_add(&lagged, 1);
	}
	return (int)err;
}

/* ---- the two ends ---- */

static int offer(struct token_rc *client, uint32_t *psn)
{
	char text[TOKEN_MAX];
	const int err = rdma_rc_offer(session, text, psn);

	if (!err)
		ck_assert_int_eq(token_rc_parse(text, client), 0);
	return err;
}

static int join_ends(void)
{
	struct token_rc client;
	uint32_t psn;
	int err = offer(&client, &psn);

	if (!err)
		err = initiator_connect(server, OWNER, &client, psn, &welcome);
	if (!err)
		err = rdma_rc_accept(session, welcome.name, welcome.token,
				     welcome.psn);
	return err;
}

static int open_session(void)
{
	int err = rdma_rc_open(&nic_want, &nic_arena, &session, nic_why,
			       sizeof(nic_why));

	if (err)
		return err;
	err = rdma_rc_register(session, nic_why, sizeof(nic_why));
	if (err)
		rdma_close(session);
	return err;
}

static void make_apart(void)
{
	is_main = true;
	atomic_store(&lag, false);
	nic_start();
	server = nic_server(false, 0);
	ck_assert_msg(!open_session(), "%s", nic_why);
}

static void make(void)
{
	make_apart();
	ck_assert_int_eq(join_ends(), 0);
}

static void end(void)
{
	rdma_close(session);
	initiator_free(server);
	nic_end();
}

static struct token_conn token_of(unsigned int region, size_t off, size_t len)
{
	struct token_conn t;
	char text[TOKEN_MAX];

	ck_assert_int_eq(rdma_token(session, region, off, len, text), 0);
	ck_assert_int_eq(token_conn_parse(text, &t), 0);
	return t;
}

static int send_as(const char *owner, const struct token_conn *t, size_t len)
{
	AUTO_CLOSE int fd = nic_file(len);
	const struct initiator_source from = {.fd = fd, .len = len};

	return initiator_write_conn(server, owner, t, &from);
}

static void check_works(void)
{
	const struct token_conn t = token_of(0, 10, 3000);

	memset(nic_region(0), 0, 4096);
	ck_assert_int_eq(send_as(OWNER, &t, 3000), 0);
	ck_assert(nic_has_pattern(nic_region(0) + 10, 0, 3000));
	ck_assert(nic_is_zero(nic_region(0), 10));
	ck_assert(nic_is_zero(nic_region(0) + 3010, 1086));
}

/* ---- tokens ---- */

START_TEST(written_form)
{
	const struct token_conn t = token_of(1, 0, 1);
	char text[TOKEN_MAX], expected[TOKEN_MAX];

	ck_assert_int_eq(rdma_token(session, 1, 0x100, 0x2000, text), 0);
	snprintf(expected, sizeof(expected), "rc:%s:%016lx:00002000:%08x",
		 welcome.name, (unsigned long)(uintptr_t)nic_region(1) + 0x100,
		 t.rkey);
	ck_assert_str_eq(text, expected);
	ck_assert_str_eq(rdma_name(session), "rc");
	ck_assert_str_eq(rdma_get_place(session)->device, NIC);
}
END_TEST

START_TEST(none_unless_connected)
{
	char text[TOKEN_MAX];
	struct token_rc client;
	uint32_t psn;

	ck_assert(!rdma_rc_connected(session));
	ck_assert_int_eq(rdma_token(session, 0, 0, 1, text), -EPIPE);
	ck_assert_int_eq(offer(&client, &psn), 0);
	ck_assert_int_eq(rdma_token(session, 0, 0, 1, text), -EPIPE);
	ck_assert_uint_ne(client.qpn, 0);
	ck_assert_uint_eq(client.port, 1);
	ck_assert(psn > 0 && psn <= TOKEN_PSN_MAX);
	ck_assert_int_eq(join_ends(), 0);
	ck_assert(rdma_rc_connected(session));
	ck_assert_int_eq(rdma_token(session, 0, 0, 1, text), 0);
	rdma_rc_lost(session);
	ck_assert_int_eq(rdma_token(session, 0, 0, 1, text), -EPIPE);
	ck_assert_int_eq(join_ends(), 0);
	fake_verbs_event(NIC, IBV_EVENT_DEVICE_FATAL, 0);
	ck_assert(!rdma_alive(session));
	ck_assert_int_eq(rdma_token(session, 0, 0, 1, text), -EPIPE);
}
END_TEST

/* ---- bytes ---- */

static const size_t sizes[] = {
	1,       2,
	4095,    4096,
	4097,    (1 << 20) - 1,
	1 << 20, (1 << 20) + 1,
	2 << 20, (2 << 20) + 4097,
	3 << 20,
};

START_TEST(moved)
{
	const struct token_conn t = token_of(1, 7, sizes[_i]);

	ck_assert_int_eq(send_as(OWNER, &t, sizes[_i]), 0);
	ck_assert(nic_has_pattern(nic_region(1) + 7, 0, sizes[_i]));
	ck_assert(nic_is_zero(nic_region(0), REGION_LEN + 7));
	ck_assert(nic_is_zero(nic_region(1) + 7 + sizes[_i],
			      2 * REGION_LEN - 7 - sizes[_i]));
	ck_assert(rdma_alive(session) && rdma_rc_connected(session));
}
END_TEST

static void *send_one(void *arg)
{
	const size_t i = (size_t)arg;
	const struct token_conn t = token_of(i % REGIONS, i * 10000, 9000);

	return (void *)(long)send_as(OWNER, &t, 9000);
}

START_TEST(many_at_a_time)
{
	pthread_t threads[40];
	void *err;

	for (size_t i = 0; i < ARRAY_SIZE(threads); i++)
		ck_assert(!pthread_create(&threads[i], NULL, send_one,
					  (void *)i));
	for (size_t i = 0; i < ARRAY_SIZE(threads); i++) {
		pthread_join(threads[i], &err);
		ck_assert_int_eq((long)err, 0);
		ck_assert(nic_has_pattern(nic_region(i % REGIONS) + i * 10000,
					  0, 9000));
	}
}
END_TEST

/* ---- who may, and where to ---- */

START_TEST(refused)
{
	struct token_conn t = token_of(0, 0, 4096);

	ck_assert_int_eq(send_as(OTHER, &t, 4096), -EPERM);
	ck_assert_int_eq(send_as(OWNER, &t, 4097), -EINVAL);
	t.conn[0] ^= 1;
	ck_assert_int_eq(send_as(OWNER, &t, 4096), -ESTALE);
	ck_assert_uint_eq(fake_verbs_moved(), 0);
	check_works();
}
END_TEST

/* The pair is of no use any more; both sides say so, and make another. */
START_TEST(dead_key_ends_the_connection)
{
	const struct token_conn old = token_of(0, 0, 4096);

	ck_assert_int_eq(rdma_revoke(session, 0, 1000), 0);
	ck_assert_int_eq(send_as(OWNER, &old, 4096), -EIO);
	ck_assert(nic_is_zero(nic_region(0), 4096));
	ck_assert_int_eq(send_as(OWNER, &old, 4096), -ESTALE);
	/* The event of the queue pair is for the client. */
	ck_assert(rdma_alive(session));
	ck_assert(!rdma_rc_connected(session));
	ck_assert_int_eq(join_ends(), 0);
	check_works();
}
END_TEST

START_TEST(files_error_does_not)
{
	const struct token_conn t = token_of(0, 0, 4096);
	const struct initiator_source none = {.fd = -1, .len = 4096};

	ck_assert_int_eq(initiator_write_conn(server, OWNER, &t, &none),
			 -EBADF);
	check_works();
}
END_TEST

START_TEST(post_fails)
{
	const struct token_conn t = token_of(0, 0, 4096);

	fake_verbs_fail("ibv_post_send", 1, ENOMEM);
	ck_assert_int_eq(send_as(OWNER, &t, 4096), -EIO);
	ck_assert_int_eq(send_as(OWNER, &t, 4096), -ESTALE);
	ck_assert_int_eq(join_ends(), 0);
	check_works();
}
END_TEST

START_TEST(disconnected)
{
	const struct token_conn t = token_of(0, 0, 4096);

	ck_assert_int_eq(initiator_disconnect(server, OTHER, welcome.name),
			 -EPERM);
	check_works();
	ck_assert_int_eq(initiator_disconnect(server, OWNER, welcome.name), 0);
	ck_assert_int_eq(initiator_disconnect(server, OWNER, welcome.name),
			 -ESTALE);
	ck_assert_int_eq(send_as(OWNER, &t, 4096), -ESTALE);
	rdma_rc_lost(session);
	ck_assert(!rdma_rc_connected(session));
	ck_assert_int_eq(join_ends(), 0);
	check_works();
}
END_TEST

/* A second offer ends the first: what it promised is void. */
START_TEST(offered_again)
{
	const struct token_conn old = token_of(0, 0, 4096);

	ck_assert_int_eq(join_ends(), 0);
	ck_assert_int_eq(send_as(OWNER, &old, 4096), -EIO);
	ck_assert(nic_is_zero(nic_region(0), 4096));
	check_works();
	ck_assert_uint_eq(fake_verbs_count(FAKE_MR), REGIONS + 1);
}
END_TEST

START_TEST(queue_pair_fails)
{
	struct token_rc mine;

	ck_assert_int_eq(token_rc_parse(welcome.token, &mine), 0);
	/* The server's is not the client's. */
	fake_verbs_qp_event(mine.qpn, IBV_EVENT_QP_FATAL);
	ck_assert(rdma_alive(session) && rdma_rc_connected(session));
	ck_assert(initiator_alive(server));
	fake_verbs_qp_event(mine.qpn - 1, IBV_EVENT_QP_FATAL);
	ck_assert(rdma_alive(session));
	ck_assert(!rdma_rc_connected(session));
}
END_TEST

/* ---- the hand-shake ---- */

START_TEST(accept_refuses)
{
	struct token_rc client;
	uint32_t psn;

	ck_assert_int_eq(rdma_rc_accept(session, "", "", 1), -EPROTO);
	ck_assert_int_eq(offer(&client, &psn), 0);
	ck_assert_int_eq(
		initiator_connect(server, OWNER, &client, psn, &welcome), 0);
	ck_assert_int_eq(
		rdma_rc_accept(session, "short", welcome.token, welcome.psn),
		-EPROTO);
	ck_assert_int_eq(
		rdma_rc_accept(session, welcome.name, "nonsense", welcome.psn),
		-EPROTO);
	ck_assert(!rdma_rc_connected(session));
	ck_assert_int_eq(rdma_rc_accept(session, welcome.name, welcome.token,
					welcome.psn),
			 0);
	check_works();
}
END_TEST

/* Either side that counts from another number is not heard. */
START_TEST(psn_must_agree)
{
	struct token_rc client;
	struct token_conn t;
	uint32_t psn;

	ck_assert_int_eq(offer(&client, &psn), 0);
	ck_assert_int_eq(
		initiator_connect(server, OWNER, &client, psn, &welcome), 0);
	ck_assert_int_eq(rdma_rc_accept(session, welcome.name, welcome.token,
					welcome.psn == 1 ? 2 : welcome.psn - 1),
			 0);
	t = token_of(0, 0, 4096);
	ck_assert_int_eq(send_as(OWNER, &t, 4096), -EIO);
	ck_assert(nic_is_zero(nic_region(0), 4096));
}
END_TEST

START_TEST(room_for_so_many)
{
	struct token_rc client;
	struct initiator_welcome w;
	uint32_t psn;
	int err = 0, n = 0;

	ck_assert_int_eq(offer(&client, &psn), 0);
	for (; n < 300 && !err; n++)
		err = initiator_connect(server, OWNER, &client, psn, &w);
	ck_assert_int_eq(err, -EBUSY);
	ck_assert_int_eq(n, 257);
}
END_TEST

START_TEST(of_infiniband)
{
	is_main = true;
	nic_start();
	nic_make_infiniband(0x77);
	server = nic_server(false, 0);
	ck_assert_msg(!open_session(), "%s", nic_why);
	ck_assert_int_eq(join_ends(), 0);
	check_works();
	ck_assert_uint_eq(fake_verbs_moved(), 1);
	ck_assert_int_eq(rdma_flush(session, 0, 0), 0);
	ck_assert_uint_eq(fake_verbs_moved(), 2);
	end();
}
END_TEST

/*
 * The initiator's thread looks for idle connections by a time that it read
 * before it had the lock: one that was used since is not idle.
 */
START_TEST(used_since_the_clock_was_read)
{
	unsigned int seen;

	atomic_store(&lag, true);
	check_works();
	seen = atomic_load(&lagged);
	while (atomic_load(&lagged) - seen < 4)
		sched_yield();
	check_works();
}
END_TEST

/* ---- steps that fail ---- */

static int whole(void)
{
	int err = open_session();

	if (err)
		return err;
	err = join_ends();
	if (!err)
		check_works();
	rdma_close(session);
	return err;
}

START_TEST(fails_at_every_step)
{
	unsigned int n = 0, failed = 0;

	is_main = true;
	nic_start();
	do {
		fake_verbs_fail(NULL, 0, 0);
		server = nic_server(false, 0);
		fake_verbs_fail(NULL, ++n, ENOMEM);
		failed += whole() != 0;
		initiator_free(server);
		ck_assert_str_eq(fake_verbs_left(), "");
		ck_assert_str_eq(fake_verbs_violations(), "");
	} while (fake_verbs_failed());
	/* device, cq, mrs; QP with three steps; the same of the server */
	ck_assert_uint_ge(failed, 5 + 1 + REGIONS + 4 + 4);
	nic_end();
}
END_TEST

START_TEST(tells_why_at_every_step)
{
	unsigned int n = 0;

	is_main = true;
	nic_start();
	do {
		fake_verbs_fail(NULL, 0, 0);
		fake_verbs_fail(NULL, ++n, ENOMEM);
		nic_why[0] = '\0';
		if (open_session())
			ck_assert_msg(nic_why[0], "step %u has no reason", n);
		else
			rdma_close(session);
	} while (fake_verbs_failed());
	nic_end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("rc");
	TCase *tc = tcase_create("connected"), *apart = tcase_create("apart");
	TCase *bare = tcase_create("open");

	tcase_add_checked_fixture(tc, make, end);
	tcase_add_test(tc, written_form);
	ADD_ROWS(tc, moved, sizes);
	tcase_add_test(tc, many_at_a_time);
	tcase_add_test(tc, refused);
	tcase_add_test(tc, dead_key_ends_the_connection);
	tcase_add_test(tc, files_error_does_not);
	tcase_add_test(tc, post_fails);
	tcase_add_test(tc, disconnected);
	tcase_add_test(tc, offered_again);
	tcase_add_test(tc, queue_pair_fails);
	tcase_add_test(tc, used_since_the_clock_was_read);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(apart, make_apart, end);
	tcase_add_test(apart, none_unless_connected);
	tcase_add_test(apart, accept_refuses);
	tcase_add_test(apart, psn_must_agree);
	tcase_add_test(apart, room_for_so_many);
	suite_add_tcase(s, apart);
	tcase_add_test(bare, of_infiniband);
	tcase_add_test(bare, fails_at_every_step);
	tcase_add_test(bare, tells_why_at_every_step);
	suite_add_tcase(s, bare);
	return scratch_main(s);
}
