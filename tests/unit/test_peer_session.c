/* SPDX-License-Identifier: Apache-2.0 */
/* Peer memory in sessions: which reach it, and what their tokens name. */
#include <string.h>

#include "base/log.h"
#include "fake_peer.h"

#define OWNER "AKIAOWNER"

static struct rdma *session;
static struct initiator *server;
static struct memory memory;

static void open_dc(void)
{
	ck_assert_msg(!rdma_dc_open(&nic_want, &nic_arena, &session, nic_why,
				    sizeof(nic_why)),
		      "%s", nic_why);
}

static void open_rc(void)
{
	struct initiator_welcome welcome;
	struct token_rc client;
	char text[TOKEN_MAX];
	uint32_t psn;

	ck_assert(!rdma_rc_open(&nic_want, &nic_arena, &session, nic_why,
				sizeof(nic_why)));
	ck_assert(!rdma_rc_register(session, nic_why, sizeof(nic_why)));
	ck_assert_int_eq(rdma_rc_offer(session, text, &psn), 0);
	ck_assert_int_eq(token_rc_parse(text, &client), 0);
	ck_assert_int_eq(
		initiator_connect(server, OWNER, &client, psn, &welcome), 0);
	ck_assert_int_eq(rdma_rc_accept(session, welcome.name, welcome.token,
					welcome.psn),
			 0);
}

/* What a token says, of either kind. */
struct said {
	uint64_t addr;
	uint32_t size, key;
};

static struct said parse_dc(const char *text)
{
	struct token_dc t;

	ck_assert_int_eq(token_dc_parse(text, &t), 0);
	return (struct said){t.addr, t.size, t.rkey};
}

static struct said parse_rc(const char *text)
{
	struct token_conn t;

	ck_assert_int_eq(token_conn_parse(text, &t), 0);
	return (struct said){t.addr, t.size, t.rkey};
}

static int write_dc(const char *text, const struct initiator_source *from)
{
	struct token_dc t;

	ck_assert_int_eq(token_dc_parse(text, &t), 0);
	return initiator_write_dc(server, &t, from);
}

static int write_rc(const char *text, const struct initiator_source *from)
{
	struct token_conn t;

	ck_assert_int_eq(token_conn_parse(text, &t), 0);
	return initiator_write_conn(server, OWNER, &t, from);
}

static const struct {
	void (*open)(void);
	struct said (*parse)(const char *text);
	int (*write)(const char *text, const struct initiator_source *from);
} ways[] = {{open_dc, parse_dc, write_dc}, {open_rc, parse_rc, write_rc}};

static void make(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	peer_start();
	server = nic_server(true, NIC_KEY);
	memory = memory_new();
}

static void end(void)
{
	rdma_close(session);
	initiator_free(server);
	peer_end();
	memory_free(&memory);
}

static int token(unsigned int i, size_t off, size_t len, char out[TOKEN_MAX])
{
	const int err = rdma_token(session, PEER(i), off, len, out);

	ck_assert_int_eq(rdma_reaches(session, PEER(i)), err == 0);
	return err;
}

static void sync_now(void)
{
	ck_assert_uint_eq(rdma_sync(session), peermem_version(peers));
}

static int send_by(int way, const char *text, size_t len)
{
	AUTO_CLOSE int fd = nic_file(len);
	const struct initiator_source from = {.fd = fd, .len = len};

	return ways[way].write(text, &from);
}

START_TEST(written)
{
	char text[TOKEN_MAX];
	struct said t;

	ways[_i].open();
	ck_assert_int_eq(token(1, 0, 1, text), -EOPNOTSUPP);
	peer_put(1, &memory);
	sync_now();
	ck_assert_int_eq(token(0, 0, 1, text), -EOPNOTSUPP);
	ck_assert_int_eq(token(1, 0, PEER_LEN, text), 0);
	ck_assert_int_eq(token(1, 5000, 12345, text), 0);
	t = ways[_i].parse(text);
	ck_assert_uint_eq(t.addr, PEER_IOVA(1) + 5000);
	ck_assert_uint_eq(t.size, 12345);
	ck_assert_int_eq(send_by(_i, text, 12345), 0);
	ck_assert_int_eq(rdma_flush(session, PEER(1), 5000 + 12344), 0);
	ck_assert(nic_has_pattern(memory.addr + 5000, 0, 12345));
	ck_assert(nic_is_zero(memory.map, PEER_LEN + 5000));
	ck_assert(nic_is_zero(memory.addr + 17345, 2 * PEER_LEN - 17345));
}
END_TEST

START_TEST(revoked)
{
	char text[TOKEN_MAX], old[TOKEN_MAX];

	peer_put(2, &memory);
	ways[_i].open();
	ck_assert_int_eq(token(2, 0, 4096, old), 0);
	ck_assert_int_eq(rdma_revoke(session, PEER(2), 1000), 0);
	ck_assert_int_eq(token(2, 0, 4096, text), 0);
	ck_assert_uint_ne(ways[_i].parse(text).key, ways[_i].parse(old).key);
	ck_assert_int_eq(send_by(_i, text, 4096), 0);
	ck_assert(nic_has_pattern(memory.addr, 0, 4096));
	memset(memory.addr, 0, 4096);
	ck_assert_int_eq(send_by(_i, old, 4096), -EIO);
	ck_assert(nic_is_zero(memory.addr, 4096));
}
END_TEST

START_TEST(taken_away)
{
	char text[TOKEN_MAX], other[TOKEN_MAX];

	ways[_i].open();
	peer_put(0, &memory);
	sync_now();
	ck_assert_int_eq(token(0, 0, 4096, text), 0);
	peermem_set(peers, 0, NULL);
	sync_now();
	ck_assert_int_eq(token(0, 0, 4096, other), -EOPNOTSUPP);
	ck_assert_int_eq(send_by(_i, text, 4096), -EIO);
	ck_assert(nic_is_zero(memory.map, 3 * PEER_LEN));
	/* A fence that comes late has nothing to do. */
	ck_assert_int_eq(rdma_revoke(session, PEER(0), 1000), 0);
	ck_assert(rdma_alive(session));
}
END_TEST

START_TEST(out_of_reach)
{
	char text[TOKEN_MAX];

	fake_verbs_fail("ibv_reg_dmabuf_mr", 0, EOPNOTSUPP);
	peer_put(0, &memory);
	ways[_i].open();
	sync_now();
	ck_assert_int_eq(token(0, 0, 1, text), -EOPNOTSUPP);
	ck_assert_int_eq(rdma_token(session, 0, 0, 1, text), 0);
	ck_assert(rdma_reaches(session, REGIONS - 1));
}
END_TEST

/* Where data must be read behind a write, by which no GPU's memory can be. */
START_TEST(not_where_it_is_flushed)
{
	char text[TOKEN_MAX];

	nic_make_infiniband(0x77);
	peer_put(0, &memory);
	open_dc();
	sync_now();
	ck_assert_int_eq(token(0, 0, 1, text), -EOPNOTSUPP);
	ck_assert_int_eq(rdma_token(session, 0, 0, 1, text), 0);
}
END_TEST

START_TEST(window_of_a_pair)
{
	struct rdma_pair *pair;
	uint32_t psn, qpn, key;
	char text[TOKEN_MAX];
	uint64_t addr;

	open_rc();
	ck_assert_int_eq(rdma_pair_new(session, &pair, text, &psn), 0);
	ck_assert(!rdma_pair_window(pair, PEER(1), &qpn, &addr, &key));
	peer_put(1, &memory);
	sync_now();
	ck_assert(rdma_pair_window(pair, PEER(1), &qpn, &addr, &key));
	ck_assert_uint_eq(addr, PEER_IOVA(1));
	ck_assert(peer_lands(key, addr));
	ck_assert_int_eq(rdma_pair_free(pair), 0);
}
END_TEST

/* ---- a transport that knows nothing of it, as shm ---- */

static int plain_token(struct rdma *r, unsigned int region, size_t off,
		       size_t len, char out[TOKEN_MAX])
{
	(void)off;
	(void)len;
	ck_assert_uint_lt(region, rdma_regions(r->arena));
	strcpy(out, "token");
	return 0;
}

START_TEST(plain_ones_reach_none)
{
	static const struct rdma_ops ops = {.name = "plain",
					    .token = plain_token};
	struct rdma plain = {&ops, &nic_arena};
	char text[TOKEN_MAX];

	nic_start();
	ck_assert_uint_eq(rdma_sync(&plain), 0);
	ck_assert_int_eq(peermem_new(PEERS, PEER_LEN, &peers), 0);
	nic_arena.peers = peers;
	memory = memory_new();
	peer_put(0, &memory);
	ck_assert_uint_eq(rdma_sync(&plain), peermem_version(peers));
	for (unsigned int r = 0; r < PEER(PEERS); r++) {
		ck_assert_int_eq(rdma_reaches(&plain, r), r < REGIONS);
		ck_assert_int_eq(rdma_token(&plain, r, 0, 1, text),
				 r < REGIONS ? 0 : -EOPNOTSUPP);
	}
	ck_assert(!rdma_reaches(&plain, PEER(PEERS)));
	peer_end();
	memory_free(&memory);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("peer_session");
	TCase *tc = tcase_create("nic"), *bare = tcase_create("plain");

	tcase_add_checked_fixture(tc, make, end);
	ADD_ROWS(tc, written, ways);
	ADD_ROWS(tc, revoked, ways);
	ADD_ROWS(tc, taken_away, ways);
	ADD_ROWS(tc, out_of_reach, ways);
	tcase_add_test(tc, not_where_it_is_flushed);
	tcase_add_test(tc, window_of_a_pair);
	suite_add_tcase(s, tc);
	tcase_add_test(bare, plain_ones_reach_none);
	suite_add_tcase(s, bare);
	return scratch_main(s);
}
