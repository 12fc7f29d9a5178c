/* SPDX-License-Identifier: Apache-2.0 */
/* The DC session: its tokens, and who can write with them. */
#include <string.h>

#include "fake_nic.h"

static struct rdma *session;

static void make(void)
{
	nic_start();
	ck_assert_msg(!rdma_dc_open(&nic_want, &nic_arena, &session, nic_why,
				    sizeof(nic_why)),
		      "%s", nic_why);
}

static void end(void)
{
	rdma_close(session);
	nic_end();
}

static struct token_dc token_of(unsigned int region, size_t off, size_t len)
{
	char text[TOKEN_MAX];
	struct token_dc t;

	ck_assert_int_eq(rdma_token(session, region, off, len, text), 0);
	ck_assert_int_eq(token_dc_parse(text, &t), 0);
	return t;
}

/* ---- tokens ---- */

START_TEST(written_form)
{
	char text[TOKEN_MAX], expected[TOKEN_MAX];
	const struct token_dc t = token_of(1, 0, REGION_LEN);

	ck_assert_int_eq(rdma_token(session, 1, 0x1000, 0x2345, text), 0);
	snprintf(expected, sizeof(expected),
		 "%016lx:00002345:%08x:0000:%06x:1:"
		 "00000000000000000000ffffc0000201",
		 (unsigned long)(uintptr_t)nic_region(1) + 0x1000, t.rkey,
		 t.dctn);
	ck_assert_str_eq(text, expected);
	ck_assert_uint_eq(strlen(text), TOKEN_DC);
	ck_assert_uint_ne(t.dctn, 0);
	ck_assert_str_eq(rdma_name(session), "dc");
	ck_assert_str_eq(rdma_get_place(session)->address, "192.0.2.1");
	ck_assert(rdma_alive(session));
}
END_TEST

static const struct {
	unsigned int region;
	size_t off, len;
} windows[] = {
	{0, 0, 1},
	{0, 0, REGION_LEN},
	{1, 1, REGION_LEN - 1},
	{2, 4096, 4096},
	{REGIONS - 1, REGION_LEN - 1, 1},
};

START_TEST(window)
{
	const struct token_dc t = token_of(windows[_i].region, windows[_i].off,
					   windows[_i].len);

	ck_assert_uint_eq(t.addr, (uintptr_t)nic_region(windows[_i].region) +
					  windows[_i].off);
	ck_assert_uint_eq(t.size, windows[_i].len);
	ck_assert_uint_eq(t.lid, 0);
	for (unsigned int r = 0; r < REGIONS; r++)
		ck_assert_int_eq(token_of(r, 0, 1).rkey == t.rkey,
				 r == windows[_i].region);
}
END_TEST

START_TEST(of_infiniband)
{
	char text[TOKEN_MAX];

	nic_make_infiniband(0xabc);
	ck_assert(!rdma_dc_open(&nic_want, &nic_arena, &session, nic_why,
				sizeof(nic_why)));
	ck_assert_int_eq(rdma_token(session, 0, 0, 16, text), 0);
	ck_assert(strstr(text, ":0abc:"));
	ck_assert(strstr(text, ":1:fe80000000000000000a000b000c000d"));
	/* No request can be bound to it: a flush goes behind the data. */
	ck_assert_uint_eq(fake_verbs_moved(), 0);
	ck_assert_int_eq(rdma_flush(session, 3, REGION_LEN - 1), 0);
	ck_assert_uint_eq(fake_verbs_moved(), 1);
	rdma_close(session);
}
END_TEST

START_TEST(no_flush_where_requests_are_bound)
{
	ck_assert_int_eq(rdma_flush(session, 0, 0), 0);
	ck_assert_uint_eq(fake_verbs_moved(), 0);
	ck_assert_uint_eq(fake_verbs_count(FAKE_QP), 1);
}
END_TEST

START_TEST(no_tokens_of_the_dead)
{
	char text[TOKEN_MAX];

	fake_verbs_event(NIC, IBV_EVENT_PORT_ERR, 1);
	ck_assert(!rdma_alive(session));
	ck_assert_int_eq(rdma_token(session, 0, 0, 1, text), -EPIPE);
}
END_TEST

/* ---- opening ---- */

START_TEST(needs_mlx5)
{
	const struct rdma_want want = {.device = "rxe0", .host = NIC_HOST};

	fake_verbs_add("rxe0", false, 1);
	nic_add_twins("rxe0", 1, 0, "::ffff:198.51.100.1");
	ck_assert_int_eq(rdma_dc_open(&want, &nic_arena, &session, nic_why,
				      sizeof(nic_why)),
			 -EOPNOTSUPP);
	ck_assert(strstr(nic_why, "rxe0 has no Dynamically Connected"));
}
END_TEST

static void fail_at_every_step(unsigned int at_least)
{
	unsigned int n = 0, failed = 0;

	do {
		fake_verbs_fail(NULL, 0, 0);
		fake_verbs_fail(NULL, ++n, ENOSPC);
		nic_why[0] = '\0';
		if (rdma_dc_open(&nic_want, &nic_arena, &session, nic_why,
				 sizeof(nic_why))) {
			failed++;
			ck_assert_msg(nic_why[0], "step %u has no reason", n);
		} else {
			rdma_close(session);
		}
		ck_assert_str_eq(fake_verbs_left(), "");
		ck_assert_str_eq(fake_verbs_violations(), "");
	} while (fake_verbs_failed());
	ck_assert_uint_ge(failed, at_least);
}

START_TEST(fails_at_every_step)
{
	/* list, open, table, port, pd; mrs; cq, srq, dct, INIT, RTR */
	fail_at_every_step(5 + REGIONS + 5);
}
END_TEST

START_TEST(fails_at_every_step_on_infiniband)
{
	nic_make_infiniband(3);
	fail_at_every_step(5 + REGIONS + 5 + 11);
}
END_TEST

/* ---- writes ---- */

static int send_to(uint32_t key, const struct token_dc *t, size_t len)
{
	struct initiator *i = nic_server(true, key);
	AUTO_CLOSE int fd = nic_file(len);
	const struct initiator_source from = {.fd = fd, .len = len};
	const int err = initiator_write_dc(i, t, &from);

	initiator_free(i);
	return err;
}

START_TEST(written)
{
	const struct token_dc t = token_of(1, 100, 5000);

	ck_assert_int_eq(send_to(NIC_KEY, &t, 5000), 0);
	ck_assert(nic_has_pattern(nic_region(1) + 100, 0, 5000));
	ck_assert(nic_is_zero(nic_region(1), 100));
	ck_assert(nic_is_zero(nic_region(1) + 5100, REGION_LEN - 5100));
}
END_TEST

START_TEST(wrong_dc_key)
{
	const struct token_dc t = token_of(0, 0, 4096);

	ck_assert_int_eq(send_to(NIC_KEY + 1, &t, 4096), -EIO);
	ck_assert(nic_is_zero(nic_region(0), 4096));
	/* Nobody else suffers for it. */
	ck_assert_int_eq(send_to(NIC_KEY, &t, 4096), 0);
	ck_assert(nic_has_pattern(nic_region(0), 0, 4096));
}
END_TEST

START_TEST(not_past_its_region)
{
	struct token_dc t = token_of(0, 0, REGION_LEN);

	t.addr += REGION_LEN - 10;
	ck_assert_int_eq(send_to(NIC_KEY, &t, 4096), -EIO);
	ck_assert(nic_is_zero(nic_region(0), 2 * REGION_LEN));
}
END_TEST

START_TEST(revoked)
{
	const struct token_dc old = token_of(2, 0, 4096);
	struct token_dc t;

	ck_assert_int_eq(rdma_revoke(session, 2, 1000), 0);
	ck_assert_int_eq(send_to(NIC_KEY, &old, 4096), -EIO);
	ck_assert(nic_is_zero(nic_region(2), 4096));
	t = token_of(2, 0, 4096);
	ck_assert_uint_ne(t.rkey, old.rkey);
	ck_assert_uint_eq(t.dctn, old.dctn);
	ck_assert_int_eq(send_to(NIC_KEY, &t, 4096), 0);
	ck_assert(nic_has_pattern(nic_region(2), 0, 4096));
}
END_TEST

START_TEST(revoking_fails)
{
	const struct token_dc t = token_of(2, 0, 4096);

	fake_verbs_fail("ibv_reg_mr", 1, ENOMEM);
	ck_assert_int_eq(rdma_revoke(session, 2, 1000), -ETIMEDOUT);
	ck_assert_int_eq(send_to(NIC_KEY, &t, 4096), -EIO);
	ck_assert_int_eq(rdma_revoke(session, 2, 1000), 0);
	fake_verbs_fail("ibv_dereg_mr", 1, EIO);
	ck_assert_int_eq(rdma_revoke(session, 2, 1000), -EIO);
	ck_assert_int_eq(rdma_revoke(session, 2, 1000), 0);
}
END_TEST

/* Its tokens die with the session, and before its memory does. */
START_TEST(closed)
{
	struct token_dc t;

	ck_assert(!rdma_dc_open(&nic_want, &nic_arena, &session, nic_why,
				sizeof(nic_why)));
	t = token_of(0, 0, 4096);
	rdma_close(session);
	ck_assert_int_eq(fake_verbs_remote_write(t.rkey, t.addr, "x", 1),
			 -EACCES);
	ck_assert_int_eq(send_to(NIC_KEY, &t, 4096), -EIO);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("dc");
	TCase *tc = tcase_create("session"), *bare = tcase_create("open");

	tcase_add_checked_fixture(tc, make, end);
	tcase_add_test(tc, written_form);
	ADD_ROWS(tc, window, windows);
	tcase_add_test(tc, no_flush_where_requests_are_bound);
	tcase_add_test(tc, no_tokens_of_the_dead);
	tcase_add_test(tc, written);
	tcase_add_test(tc, wrong_dc_key);
	tcase_add_test(tc, not_past_its_region);
	tcase_add_test(tc, revoked);
	tcase_add_test(tc, revoking_fails);
	suite_add_tcase(s, tc);
	tcase_add_checked_fixture(bare, nic_start, nic_end);
	tcase_add_test(bare, of_infiniband);
	tcase_add_test(bare, needs_mlx5);
	tcase_add_test(bare, fails_at_every_step);
	tcase_add_test(bare, fails_at_every_step_on_infiniband);
	tcase_add_test(bare, closed);
	suite_add_tcase(s, bare);
	return scratch_main(s);
}
