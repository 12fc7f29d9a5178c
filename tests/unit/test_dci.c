/* SPDX-License-Identifier: Apache-2.0 */
/* The server's DC initiators, against a client's DC target. */
#include <stdatomic.h>
#include <string.h>

#include "fake_nic.h"

#define BUFFERS 32 /* of an initiator; a transfer has one */

static struct rdma *session;
static struct initiator *server;
static struct token_dc token;

static void open_ends(void)
{
	char text[TOKEN_MAX];

	ck_assert(!rdma_dc_open(&nic_want, &nic_arena, &session, nic_why,
				sizeof(nic_why)));
	server = nic_server(true, NIC_KEY);
	ck_assert(initiator_has_dc(server));
	ck_assert_int_eq(rdma_token(session, 0, 0, REGION_LEN, text), 0);
	ck_assert_int_eq(token_dc_parse(text, &token), 0);
}

static void make(void)
{
	nic_start();
	open_ends();
}

static void end(void)
{
	initiator_free(server);
	rdma_close(session);
	nic_end();
}

static int send_at(const struct token_dc *t, int fd, uint64_t off, size_t len)
{
	const struct initiator_source from = {.fd = fd, .off = off, .len = len};

	return initiator_write_dc(server, t, &from);
}

static void check_works(void)
{
	AUTO_CLOSE int fd = nic_file(3000);

	memset(nic_region(0), 0, 4096);
	ck_assert_int_eq(send_at(&token, fd, 0, 3000), 0);
	ck_assert(nic_has_pattern(nic_region(0), 0, 3000));
	ck_assert(nic_is_zero(nic_region(0) + 3000, 1096));
}

/* ---- bytes ---- */

static const struct {
	uint64_t off;
	size_t len;
	unsigned int writes;
} sizes[] = {
	{0, 1, 1},
	{5, 4096, 1},
	{0, (1 << 20) - 1, 1},
	{1, 1 << 20, 1},
	{0, (1 << 20) + 1, 2},
	{77, 2 << 20, 2},
	{3, (2 << 20) + 5, 3},
	{0, 3 << 20, 3},
	{9, REGION_LEN, 4},
};

START_TEST(moved)
{
	const size_t len = sizes[_i].len;
	AUTO_CLOSE int fd = nic_file(sizes[_i].off + len);

	ck_assert_int_eq(send_at(&token, fd, sizes[_i].off, len), 0);
	ck_assert(nic_has_pattern(nic_region(0), sizes[_i].off, len));
	ck_assert(nic_is_zero(nic_region(0) + len, 2 * REGION_LEN - len));
	ck_assert_uint_eq(fake_verbs_moved(), sizes[_i].writes);
}
END_TEST

START_TEST(window_is_kept)
{
	AUTO_CLOSE int fd = nic_file(4096);

	token.size = 4095;
	ck_assert_int_eq(send_at(&token, fd, 0, 4096), -EINVAL);
	ck_assert_uint_eq(fake_verbs_moved(), 0);
	ck_assert_int_eq(send_at(&token, fd, 0, 4095), 0);
}
END_TEST

struct transfer {
	pthread_t thread;
	struct token_dc token;
	int fd, err;
	size_t len;
	atomic_int tid;
	atomic_bool done;
};

static void *transfer(void *arg)
{
	struct transfer *t = arg;

	atomic_store(&t->tid, gettid());
	t->err = send_at(&t->token, t->fd, 0, t->len);
	atomic_store(&t->done, true);
	return NULL;
}

static void begin(struct transfer *t, size_t len)
{
	t->token = token;
	t->fd = nic_file(len);
	t->len = len;
	ck_assert(!pthread_create(&t->thread, NULL, transfer, t));
}

static int join(struct transfer *t)
{
	pthread_join(t->thread, NULL);
	close(t->fd);
	return t->err;
}

/* Both halves of the buffer are on their way, and no call returns before. */
START_TEST(returns_when_all_has_completed)
{
	struct transfer t = {0};

	fake_verbs_hold(true);
	begin(&t, 3 << 20);
	while (fake_verbs_held() < 2)
		sched_yield();
	ck_assert(!atomic_load(&t.done));
	ck_assert_uint_eq(fake_verbs_held(), 2);
	fake_verbs_hold(false);
	ck_assert_int_eq(join(&t), 0);
	ck_assert(nic_has_pattern(nic_region(0), 0, 3 << 20));
}
END_TEST

START_TEST(many_at_a_time)
{
	static struct transfer ts[100];

	for (size_t i = 0; i < ARRAY_SIZE(ts); i++)
		begin(&ts[i], 1000);
	for (size_t i = 0; i < ARRAY_SIZE(ts); i++)
		ck_assert_int_eq(join(&ts[i]), 0);
	ck_assert_uint_eq(fake_verbs_count(FAKE_AH), 1);
}
END_TEST

static void wait_until_asleep(const struct transfer *t)
{
	char path[64], text[256] = "";

	while (!atomic_load(&t->tid))
		sched_yield();
	snprintf(path, sizeof(path), "/proc/self/task/%d/stat",
		 atomic_load(&t->tid));
	while (!strstr(text, ") S")) {
		FILE *f = fopen(path, "re");

		ck_assert_ptr_nonnull(f);
		ck_assert_ptr_nonnull(fgets(text, sizeof(text), f));
		fclose(f);
	}
}

/* Who waits for room when the NIC fails is told. */
START_TEST(who_waits_is_woken_by_the_end)
{
	static struct transfer ts[BUFFERS], late;
	struct timespec until;
	int err;

	fake_verbs_hold(true);
	for (unsigned int i = 0; i < BUFFERS; i++)
		begin(&ts[i], 1);
	while (fake_verbs_held() < BUFFERS)
		sched_yield();
	begin(&late, 1);
	wait_until_asleep(&late);
	fake_verbs_event(NIC, IBV_EVENT_DEVICE_FATAL, 0);
	ck_assert(!initiator_alive(server));
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += 2;
	err = pthread_timedjoin_np(late.thread, NULL, &until);
	fake_verbs_hold(false);
	for (unsigned int i = 0; i < BUFFERS; i++)
		join(&ts[i]);
	ck_assert_msg(!err, "it waits still");
	ck_assert_int_eq(late.err, -EIO);
	close(late.fd);
}
END_TEST

/* ---- errors, after each of which the next transfer goes well ---- */

START_TEST(dead_key)
{
	struct token_dc dead = token;
	AUTO_CLOSE int fd = nic_file(4096);

	dead.rkey ^= 0x40;
	for (int i = 0; i < 3; i++) {
		ck_assert_int_eq(send_at(&dead, fd, 0, 4096), -EIO);
		check_works();
	}
}
END_TEST

/* The first half is refused while the others are on their way. */
START_TEST(refused_in_the_middle)
{
	struct token_dc t = token;
	AUTO_CLOSE int fd = nic_file(3 << 20);

	/* The second write runs past the end of the region. */
	t.addr += REGION_LEN - (1 << 20) - 5;
	ck_assert_int_eq(send_at(&t, fd, 0, 3 << 20), -EIO);
	ck_assert(nic_is_zero(nic_region(1), REGION_LEN));
	check_works();
}
END_TEST

START_TEST(nobody_is_there)
{
	struct token_dc t = token;
	AUTO_CLOSE int fd = nic_file(4096);

	t.dctn ^= 0x8000;
	ck_assert_int_eq(send_at(&t, fd, 0, 4096), -EIO);
	check_works();
	t = token;
	t.gid[15] ^= 0x40;
	ck_assert_int_eq(send_at(&t, fd, 0, 4096), -EIO);
	check_works();
	ck_assert_uint_eq(fake_verbs_count(FAKE_AH), 2);
}
END_TEST

START_TEST(file_fails)
{
	AUTO_CLOSE int fd = nic_file((2 << 20) + 10);

	/* The object has become shorter; the descriptor is none. */
	ck_assert_int_eq(send_at(&token, fd, 0, 3 << 20), -EIO);
	check_works();
	ck_assert_int_eq(send_at(&token, -1, 0, 4096), -EBADF);
	check_works();
}
END_TEST

START_TEST(post_fails)
{
	AUTO_CLOSE int fd = nic_file(3 << 20);

	for (unsigned int n = 1; n <= 3; n++) {
		fake_verbs_fail("ibv_wr_complete", n, ENOMEM);
		ck_assert_int_eq(send_at(&token, fd, 0, 3 << 20), -EIO);
		check_works();
	}
}
END_TEST

START_TEST(handle_fails)
{
	AUTO_CLOSE int fd = nic_file(4096);

	fake_verbs_fail("ibv_create_ah", 1, EHOSTUNREACH);
	ck_assert_int_eq(send_at(&token, fd, 0, 4096), -EIO);
	check_works();
	ck_assert_uint_eq(fake_verbs_count(FAKE_AH), 1);
}
END_TEST

/* Reset -> INIT -> RTR -> RTS: each step may fail, and be tried again. */
START_TEST(restart_fails)
{
	struct token_dc dead = token;
	AUTO_CLOSE int fd = nic_file(4096);

	dead.rkey ^= 0x40;
	for (unsigned int n = 1; n <= 4; n++) {
		ck_assert_int_eq(send_at(&dead, fd, 0, 4096), -EIO);
		fake_verbs_fail("ibv_modify_qp", n, EIO);
		send_at(&token, fd, 0, 4096);
		fake_verbs_fail(NULL, 0, 0);
		check_works();
	}
}
END_TEST

/* There are 63 more: one that is beyond help is no reason to refuse all. */
START_TEST(passes_over_one_that_cannot_be_reset)
{
	struct token_dc dead = token;
	AUTO_CLOSE int fd = nic_file(4096);

	dead.rkey ^= 0x40;
	ck_assert_int_eq(send_at(&dead, fd, 0, 4096), -EIO);
	fake_verbs_fail("ibv_modify_qp", 0, EIO);
	check_works();
}
END_TEST

/* Clients come and go, and a token may say any GID: none of that can bar a
 * client that is there. */
START_TEST(any_number_of_clients)
{
	struct token_dc t = token;
	AUTO_CLOSE int fd = nic_file(1);

	for (unsigned int i = 0; i < 300; i++) {
		t.gid[12] = 10;
		t.gid[13] = 1;
		t.gid[14] = (uint8_t)(i >> 8);
		t.gid[15] = (uint8_t)i;
		ck_assert_int_eq(send_at(&t, fd, 0, 1), -EIO);
	}
	check_works();
}
END_TEST

/* ---- making ---- */

START_TEST(fails_at_every_step)
{
	const struct initiator_config cfg = {.device = NIC,
					     .address = NIC_HOST,
					     .dc = true,
					     .dc_required = true};
	unsigned int n = 0, failed = 0;

	do {
		fake_verbs_fail(NULL, 0, 0);
		fake_verbs_fail(NULL, ++n, ENOMEM);
		nic_why[0] = '\0';
		if (initiator_new(&cfg, &server, nic_why, sizeof(nic_why))) {
			failed++;
			ck_assert_msg(nic_why[0], "step %u has no reason", n);
		} else {
			initiator_free(server);
		}
		ck_assert_str_eq(fake_verbs_left(), "");
		ck_assert_str_eq(fake_verbs_violations(), "");
	} while (fake_verbs_failed());
	/* device, channel, cq, notify, mr, and four steps of 64 initiators */
	ck_assert_uint_ge(failed, 5 + 4 + 4 * 64);
}
END_TEST

START_TEST(without_mlx5)
{
	struct initiator_config cfg = {
		.device = "rxe0", .address = NIC_HOST, .rc = true, .dc = true};
	const struct initiator_source from = {.fd = -1, .len = 1};

	fake_verbs_add("rxe0", false, 1);
	nic_add_twins("rxe0", 1, 0, "::ffff:198.51.100.1");
	ck_assert(!initiator_new(&cfg, &server, nic_why, sizeof(nic_why)));
	ck_assert(!initiator_has_dc(server));
	ck_assert_str_eq(initiator_place(server),
			 "rxe0 port 1, GID ::ffff:198.51.100.1");
	ck_assert_int_eq(initiator_write_dc(server, &token, &from),
			 -EOPNOTSUPP);
	initiator_free(server);
	cfg.dc_required = true;
	ck_assert_int_eq(initiator_new(&cfg, &server, nic_why, sizeof(nic_why)),
			 -EOPNOTSUPP);
	ck_assert(strstr(nic_why, "use --rdma rc"));
}
END_TEST

START_TEST(of_infiniband)
{
	nic_make_infiniband(0x1234);
	open_ends();
	ck_assert_uint_eq(token.lid, 0x1234);
	check_works();
	initiator_free(server);
	rdma_close(session);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dci");
	TCase *tc = tcase_create("write"), *bare = tcase_create("new");

	tcase_add_checked_fixture(tc, make, end);
	ADD_ROWS(tc, moved, sizes);
	tcase_add_test(tc, window_is_kept);
	tcase_add_test(tc, returns_when_all_has_completed);
	tcase_add_test(tc, many_at_a_time);
	tcase_add_test(tc, who_waits_is_woken_by_the_end);
	tcase_add_test(tc, dead_key);
	tcase_add_test(tc, refused_in_the_middle);
	tcase_add_test(tc, nobody_is_there);
	tcase_add_test(tc, file_fails);
	tcase_add_test(tc, post_fails);
	tcase_add_test(tc, handle_fails);
	tcase_add_test(tc, restart_fails);
	tcase_add_test(tc, passes_over_one_that_cannot_be_reset);
	tcase_add_test(tc, any_number_of_clients);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(bare, nic_start, nic_end);
	tcase_add_test(bare, fails_at_every_step);
	tcase_add_test(bare, without_mlx5);
	tcase_add_test(bare, of_infiniband);
	suite_add_tcase(s, bare);
	return scratch_main(s);
}
