/* SPDX-License-Identifier: Apache-2.0 */
/* hipobj-rc-v2: a queue pair for one transfer, both ends of it. */
#include <string.h>

#include "fake_nic.h"

#define OWNER "AKIAOWNER"
#define OTHER "AKIAOTHER"
#define COOKIE 0xc0ffee42U
#define TAG "\"etag\" 17"
#define FAR (1U << 14)

static struct rdma *session;
static struct initiator *server;

static void open_session(void)
{
	ck_assert(!rdma_rc_open(&nic_want, &nic_arena, &session, nic_why,
				sizeof(nic_why)));
	ck_assert_msg(!rdma_rc_register(session, nic_why, sizeof(nic_why)),
		      "%s", nic_why);
}

static void make(void)
{
	nic_start();
	server = nic_server(false, 0);
	open_session();
}

static void end(void)
{
	rdma_close(session);
	initiator_free(server);
	nic_end();
}

/* ---- the steps ---- */

struct meeting {
	struct rdma_pair *pair;
	struct initiator_prepare prepare;
	struct initiator_welcome welcome;
	struct initiator_ready ready;
	struct initiator_final final;
};

/* The client's pair, without the server. */
static int begin(struct meeting *m, unsigned int region)
{
	char text[TOKEN_MAX];
	int err;

	*m = (struct meeting){.prepare = {.cookie = COOKIE, .tag = TAG}};
	err = rdma_pair_new(session, &m->pair, text, &m->prepare.psn);
	if (err)
		return err;
	ck_assert_int_eq(token_rc_parse(text, &m->prepare.client), 0);
	m->ready.cookie = COOKIE;
	ck_assert(rdma_pair_window(m->pair, region, &m->ready.qpn,
				   &m->ready.addr, &m->ready.rkey));
	return 0;
}

/* PREPARE of an object of len bytes; the file is closed behind it. */
static int prepare(struct meeting *m, size_t len)
{
	AUTO_CLOSE int fd = nic_file(len);

	m->prepare.from = (struct initiator_source){.fd = fd, .len = len};
	m->ready.session = m->welcome.name;
	return initiator_prepare(server, OWNER, &m->prepare, &m->welcome);
}

static int connect_pair(struct meeting *m)
{
	return rdma_pair_connect(m->pair, m->welcome.token, m->welcome.qpn,
				 m->welcome.psn);
}

static int ready_as(struct meeting *m, const char *owner)
{
	return initiator_ready(server, owner, &m->ready, &m->final);
}

static void meet(struct meeting *m, unsigned int region, size_t len)
{
	ck_assert_int_eq(begin(m, region), 0);
	ck_assert_int_eq(prepare(m, len), 0);
	ck_assert_int_eq(connect_pair(m), 0);
}

static void finish(struct meeting *m, size_t len)
{
	ck_assert_int_eq(ready_as(m, OWNER), 0);
	ck_assert_int_eq(rdma_pair_arrived(m->pair, COOKIE, 1000), 0);
	ck_assert_uint_eq(m->final.moved, len);
	ck_assert_str_eq(m->final.tag, TAG);
	ck_assert_int_eq(rdma_pair_free(m->pair), 0);
}

static void check_works(void)
{
	struct meeting m;

	memset(nic_region(3), 0, 4096);
	meet(&m, 3, 3000);
	finish(&m, 3000);
	ck_assert(nic_has_pattern(nic_region(3), 0, 3000));
	ck_assert(nic_is_zero(nic_region(3) + 3000, 1096));
}

/* ---- the whole ---- */

static const size_t sizes[] = {
	1,       4096,    (1 << 20) - 1,  1 << 20,    (1 << 20) + 1,
	2 << 20, 3 << 20, (3 << 20) + 77, REGION_LEN,
};

START_TEST(moved)
{
	const size_t len = sizes[_i];
	struct meeting m;

	meet(&m, 1, len);
	ck_assert_int_eq(rdma_pair_arrived(m.pair, COOKIE, 0), -ETIMEDOUT);
	finish(&m, len);
	ck_assert(nic_has_pattern(nic_region(1), 0, len));
	ck_assert(nic_is_zero(nic_region(0), REGION_LEN));
	ck_assert(nic_is_zero(nic_region(1) + len, 3 * REGION_LEN - len));
	ck_assert_uint_eq(fake_verbs_count(FAKE_QP), 0);
}
END_TEST

START_TEST(token_has_what_it_needs)
{
	struct meeting m;

	ck_assert_int_eq(begin(&m, 2), 0);
	ck_assert_uint_eq(m.prepare.client.qpn, m.ready.qpn);
	ck_assert_uint_eq(m.prepare.client.port, 1);
	ck_assert_uint_eq(m.prepare.client.lid, 0);
	ck_assert_uint_eq(m.ready.addr, (uintptr_t)nic_region(2));
	ck_assert(m.prepare.psn > 0 && m.prepare.psn <= TOKEN_PSN_MAX);
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
}
END_TEST

static void *ready(void *arg)
{
	return (void *)(long)ready_as(arg, OWNER);
}

/* Nothing is said to have come before the last byte has. */
START_TEST(arrives_with_the_last)
{
	struct meeting m;
	pthread_t thread;

	meet(&m, 0, 3 << 20);
	fake_verbs_hold(true);
	ck_assert(!pthread_create(&thread, NULL, ready, &m));
	while (fake_verbs_held() < 2)
		sched_yield();
	ck_assert_int_eq(rdma_pair_arrived(m.pair, COOKIE, 10), -ETIMEDOUT);
	fake_verbs_hold(false);
	ck_assert_int_eq(rdma_pair_arrived(m.pair, COOKIE, 2000), 0);
	ck_assert(nic_has_pattern(nic_region(0), 0, 3 << 20));
	pthread_join(thread, NULL);
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
}
END_TEST

/* ---- who may, and when ---- */

START_TEST(wrong_cookie)
{
	struct meeting m;

	meet(&m, 0, 4096);
	m.ready.cookie ^= 1;
	ck_assert_int_eq(ready_as(&m, OWNER), -EACCES);
	ck_assert(nic_is_zero(nic_region(0), 4096));
	m.ready.cookie ^= 1;
	finish(&m, 4096);
}
END_TEST

/* A write that is another transfer's is none of ours. */
START_TEST(cookie_of_another)
{
	struct meeting m;

	meet(&m, 0, 4096);
	ck_assert_int_eq(ready_as(&m, OWNER), 0);
	ck_assert_int_eq(rdma_pair_arrived(m.pair, COOKIE + 1, 1000), -EIO);
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
}
END_TEST

START_TEST(replayed)
{
	struct meeting m;

	meet(&m, 0, 4096);
	ck_assert_int_eq(ready_as(&m, OWNER), 0);
	ck_assert_int_eq(ready_as(&m, OWNER), -ESTALE);
	ck_assert_int_eq(initiator_cancel(server, OWNER, m.welcome.name),
			 -ESTALE);
	ck_assert_uint_eq(fake_verbs_moved(), 1);
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
}
END_TEST

START_TEST(foreign_owner)
{
	struct meeting m;

	meet(&m, 0, 4096);
	ck_assert_int_eq(ready_as(&m, OTHER), -EPERM);
	ck_assert_int_eq(initiator_cancel(server, OTHER, m.welcome.name),
			 -EPERM);
	ck_assert(nic_is_zero(nic_region(0), 4096));
	finish(&m, 4096);
}
END_TEST

START_TEST(cancelled)
{
	struct meeting m;

	meet(&m, 0, 4096);
	ck_assert_int_eq(initiator_cancel(server, OWNER, m.welcome.name), 0);
	ck_assert_int_eq(ready_as(&m, OWNER), -ESTALE);
	ck_assert_int_eq(initiator_cancel(server, OWNER, m.welcome.name),
			 -ESTALE);
	ck_assert(nic_is_zero(nic_region(0), 4096));
	ck_assert_uint_eq(fake_verbs_count(FAKE_QP), 1);
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
}
END_TEST

START_TEST(room_for_so_many)
{
	static struct meeting ms[66];
	AUTO_CLOSE int fd = -1;
	int n = 0;

	for (; n < 66; n++) {
		ck_assert_int_eq(begin(&ms[n], 0), 0);
		if (prepare(&ms[n], 1))
			break;
	}
	ck_assert_int_eq(n, 64);
	/* Another's are counted apart. */
	fd = nic_file(1);
	ms[64].prepare.from.fd = fd;
	ck_assert_int_eq(initiator_prepare(server, OTHER, &ms[64].prepare,
					   &ms[65].welcome),
			 0);
	ck_assert_int_eq(initiator_cancel(server, OWNER, ms[7].welcome.name),
			 0);
	ck_assert_int_eq(prepare(&ms[64], 1), 0);
	for (int i = 0; i <= 64; i++)
		ck_assert_int_eq(rdma_pair_free(ms[i].pair), 0);
}
END_TEST

/* ---- errors ---- */

START_TEST(dead_key)
{
	struct meeting m;

	meet(&m, 0, 4096);
	ck_assert_int_eq(rdma_revoke(session, 0, 1000), 0);
	ck_assert_int_eq(ready_as(&m, OWNER), -EIO);
	ck_assert_int_eq(rdma_pair_arrived(m.pair, COOKIE, 1000), -EIO);
	ck_assert(nic_is_zero(nic_region(0), 4096));
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
	check_works();
}
END_TEST

START_TEST(client_is_gone)
{
	struct meeting m;

	meet(&m, 0, 4096);
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
	ck_assert_int_eq(ready_as(&m, OWNER), -EIO);
	ck_assert(nic_is_zero(nic_region(0), 4096));
	check_works();
}
END_TEST

START_TEST(client_has_not_connected)
{
	struct meeting m;

	ck_assert_int_eq(begin(&m, 0), 0);
	ck_assert_int_eq(prepare(&m, 4096), 0);
	ck_assert_int_eq(ready_as(&m, OWNER), -EIO);
	ck_assert(nic_is_zero(nic_region(0), 4096));
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
}
END_TEST

START_TEST(connect_refuses)
{
	struct meeting m;
	char text[TOKEN_MAX];
	const struct token_rc nobody = {
		.gid = {[10] = 0xff, 0xff, 192, 0, 2, 1}};

	ck_assert_int_eq(begin(&m, 0), 0);
	ck_assert_int_eq(rdma_pair_connect(m.pair, "nonsense", 5, 5), -EPROTO);
	token_rc_format(&nobody, text);
	ck_assert_int_eq(rdma_pair_connect(m.pair, text, 0, 5), -EPROTO);
	/* The number that the other header has will do. */
	ck_assert_int_eq(rdma_pair_connect(m.pair, text, 5, 5), 0);
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
}
END_TEST

/* It is not freed while its number may still be written to. */
START_TEST(destroying_fails)
{
	struct meeting m;

	meet(&m, 0, 4096);
	fake_verbs_fail("ibv_destroy_qp", 1, EBUSY);
	ck_assert_int_eq(rdma_pair_free(m.pair), -EBUSY);
	finish(&m, 4096);
}
END_TEST

START_TEST(device_is_dead)
{
	struct meeting m;

	fake_verbs_event(NIC, IBV_EVENT_DEVICE_FATAL, 0);
	ck_assert(!rdma_alive(session));
	ck_assert_int_eq(begin(&m, 0), -EIO);
}
END_TEST

static int whole(void)
{
	struct meeting m;
	int err = begin(&m, 0), late;

	if (err)
		return err;
	err = prepare(&m, 4096);
	if (!err) {
		err = connect_pair(&m);
		late = err ? initiator_cancel(server, OWNER, m.welcome.name)
			   : ready_as(&m, OWNER);
		err = err ? err : late;
	}
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
	return err;
}

START_TEST(fails_at_every_step)
{
	unsigned int n = 0, failed = 0;

	do {
		fake_verbs_fail(NULL, 0, 0);
		fake_verbs_fail(NULL, ++n, ENOMEM);
		failed += whole() != 0;
		ck_assert_uint_eq(fake_verbs_count(FAKE_QP), 0);
		ck_assert_uint_eq(fake_verbs_count(FAKE_CQ), 2);
	} while (fake_verbs_failed());
	/* cq, QP, INIT; the server's QP, INIT; RTR and RTS of both */
	ck_assert_uint_ge(failed, 3 + 2 + 4);
	fake_verbs_fail(NULL, 0, 0);
	fake_verbs_fail("ibv_post_recv", 1, ENOMEM);
	ck_assert_int_eq(whole(), -ENOMEM);
	check_works();
}
END_TEST

/* ---- numbers that come back ---- */

static uint32_t distance(uint32_t a, uint32_t b)
{
	const uint32_t d = (a - b) & TOKEN_PSN_MAX;

	return d < TOKEN_PSN_MAX + 1 - d ? d : TOKEN_PSN_MAX + 1 - d;
}

START_TEST(packet_numbers_are_far_apart)
{
	struct meeting m;

	fake_verbs_recycle_qpns(true);
	/* Of each of many numbers the few that it had lately are barred. */
	for (uint32_t qpn = 0x5000; qpn < 0x5040; qpn++) {
		uint32_t psns[3];

		fake_verbs_recycle_qpns(false);
		fake_verbs_next_qpn(qpn);
		for (int i = 0; i < 3; i++) {
			ck_assert_int_eq(begin(&m, 0), 0);
			ck_assert_uint_eq(m.ready.qpn, qpn);
			psns[i] = m.prepare.psn;
			for (int k = 0; k < i; k++)
				ck_assert_uint_ge(distance(psns[i], psns[k]),
						  FAR);
			ck_assert_int_eq(rdma_pair_free(m.pair), 0);
			fake_verbs_recycle_qpns(true);
		}
	}
}
END_TEST

/* A late packet of the server's last transfer to this number must not fit
 * into the next one's sequence. */
START_TEST(servers_packet_numbers_too)
{
	struct meeting m;
	const struct token_rc t = {.qpn = 5,
				   .gid = {[10] = 0xff, 0xff, 192, 0, 2, 1}};
	char text[TOKEN_MAX];

	token_rc_format(&t, text);
	fake_verbs_recycle_qpns(false);
	fake_verbs_next_qpn(0x5100);
	ck_assert_int_eq(begin(&m, 0), 0);
	ck_assert_int_eq(rdma_pair_connect(m.pair, text, 5, 0x400000), 0);
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
	fake_verbs_recycle_qpns(true);
	ck_assert_int_eq(begin(&m, 0), 0);
	ck_assert_uint_eq(m.ready.qpn, 0x5100);
	ck_assert_int_eq(rdma_pair_connect(m.pair, text, 5, 0x400000 + FAR - 1),
			 -EAGAIN);
	ck_assert_int_eq(rdma_pair_connect(m.pair, text, 5, 0x400000 + FAR), 0);
	ck_assert_int_eq(rdma_pair_free(m.pair), 0);
}
END_TEST

START_TEST(of_infiniband)
{
	nic_start();
	nic_make_infiniband(0x21);
	server = nic_server(false, 0);
	open_session();
	check_works();
	end();
}
END_TEST

int main(void)
{
	Suite *s = suite_create("pair");
	TCase *tc = tcase_create("pair"), *bare = tcase_create("other");

	tcase_add_checked_fixture(tc, make, end);
	ADD_ROWS(tc, moved, sizes);
	tcase_add_test(tc, token_has_what_it_needs);
	tcase_add_test(tc, arrives_with_the_last);
	tcase_add_test(tc, wrong_cookie);
	tcase_add_test(tc, cookie_of_another);
	tcase_add_test(tc, replayed);
	tcase_add_test(tc, foreign_owner);
	tcase_add_test(tc, cancelled);
	tcase_add_test(tc, room_for_so_many);
	tcase_add_test(tc, dead_key);
	tcase_add_test(tc, client_is_gone);
	tcase_add_test(tc, client_has_not_connected);
	tcase_add_test(tc, connect_refuses);
	tcase_add_test(tc, destroying_fails);
	tcase_add_test(tc, device_is_dead);
	tcase_add_test(tc, fails_at_every_step);
	tcase_add_test(tc, packet_numbers_are_far_apart);
	tcase_add_test(tc, servers_packet_numbers_too);
	suite_add_tcase(s, tc);
	tcase_add_test(bare, of_infiniband);
	suite_add_tcase(s, bare);
	return scratch_main(s);
}
