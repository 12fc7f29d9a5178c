/* SPDX-License-Identifier: Apache-2.0 */
/* Which port is chosen, why none is, and what ends it. */
#include <arpa/inet.h>
#include <string.h>

#include "fake_nic.h"
#include "rdma/device.h"

#define V4 "::ffff:192.0.2.1"
#define V4_PEER "::ffff:192.0.2.9"
#define V6 "2001:db8::1"
#define V6_PEER "2001:db8::9"

static struct route route_of(const char *local, const char *remote)
{
	struct route r = {0};

	ck_assert_int_eq(inet_pton(AF_INET6, local, r.local), 1);
	ck_assert_int_eq(inet_pton(AF_INET6, remote, r.remote), 1);
	return r;
}

/* ---- device_rank ---- */

static const struct {
	const char *gid;
	bool infiniband, v2;
	unsigned int index;
	const char *local, *remote;
	bool any, named;
	int rank;
} ranks[] = {
	/* The route's own address, of the right type. */
	{V4, false, true, 3, V4, V4_PEER, false, false, 3},
	{V4, false, true, 3, V4, V4_PEER, false, true, 3},
	{V4, false, false, 2, V4, V4_PEER, false, false, 0},
	{V4, false, false, 2, V4, V4_PEER, true, true, 0},
	{V6, false, true, 5, V6, V6_PEER, false, false, 3},
	/* Even a link-local one, if the route goes over it. */
	{"fe80::1", false, true, 1, "fe80::1", "fe80::9", false, false, 3},
	/* Another address: only for who named the NIC, or listens on all. */
	{"::ffff:198.51.100.7", false, true, 3, V4, V4_PEER, false, false, 0},
	{"::ffff:198.51.100.7", false, true, 3, V4, V4_PEER, false, true, 2},
	{"::ffff:198.51.100.7", false, true, 3, V4, V4_PEER, true, false, 2},
	{V6, false, true, 5, V6_PEER, V6_PEER, false, true, 2},
	/* Of the server's family alone. */
	{V6, false, true, 5, V4, V4_PEER, false, true, 0},
	{V6, false, true, 5, V4, V4_PEER, true, false, 0},
	{V4, false, true, 3, V6, V6_PEER, false, true, 0},
	/* Never link-local or empty ones. */
	{"fe80::1", false, true, 1, V6, V6_PEER, false, true, 0},
	{"fe80::1", false, true, 1, V6, V6_PEER, true, true, 0},
	{"::", false, true, 7, V4, V4_PEER, false, true, 0},
	{"::", true, false, 0, V4, V4_PEER, false, true, 0},
	{"::", false, true, 7, "::", "::", true, true, 0},
	/* InfiniBand: the port's own, whatever it looks like. */
	{"fe80::a:b:c:d", true, false, 0, V4, V4_PEER, false, false, 1},
	{"fe80::a:b:c:d", true, false, 1, V4, V4_PEER, false, true, 0},
};

START_TEST(rank_of)
{
	struct route r = route_of(ranks[_i].local, ranks[_i].remote);
	struct device_gid g = {.infiniband = ranks[_i].infiniband,
			       .roce_v2 = ranks[_i].v2,
			       .index = ranks[_i].index};

	r.any = ranks[_i].any;
	ck_assert_int_eq(inet_pton(AF_INET6, ranks[_i].gid, g.gid), 1);
	ck_assert_int_eq(device_rank(&g, &r, ranks[_i].named), ranks[_i].rank);
}
END_TEST

/* ---- device_open ---- */

static struct device *open_for(const char *name, const struct route *r)
{
	struct device *d = NULL;

	ck_assert_msg(!device_open(name, r, &d, nic_why, sizeof(nic_why)), "%s",
		      nic_why);
	return d;
}

static void refused_with(int err, const char *name, const struct route *r,
			 const char *reason)
{
	struct device *d = NULL;

	ck_assert_int_eq(device_open(name, r, &d, nic_why, sizeof(nic_why)),
			 err);
	ck_assert_ptr_null(d);
	ck_assert_msg(strstr(nic_why, reason), "\"%s\" lacks \"%s\"", nic_why,
		      reason);
}

static void refused_for(const char *name, const struct route *r,
			const char *reason)
{
	refused_with(-ENODEV, name, r, reason);
}

START_TEST(takes_the_v2_twin)
{
	const struct route r = route_of(V4, V4_PEER);
	struct device *d = open_for(NULL, &r);

	ck_assert_uint_eq(d->port, 1);
	ck_assert_uint_eq(d->gid_index, NIC_GID_INDEX);
	ck_assert_mem_eq(d->gid.raw, r.local, 16);
	ck_assert_int_eq(d->mtu, IBV_MTU_4096);
	ck_assert(!d->infiniband);
	ck_assert_str_eq(d->place.device, NIC);
	ck_assert_uint_eq(d->place.port, 1);
	ck_assert_str_eq(d->place.gid, V4);
	ck_assert_str_eq(d->place.address, "192.0.2.1");
	ck_assert_uint_eq(d->place.mtu, 4096);
	ck_assert_int_eq(d->place.numa, -1);
	ck_assert(device_alive(d));
	device_close(d);
}
END_TEST

START_TEST(takes_the_routes_device_and_port)
{
	const struct route r = route_of("::ffff:198.51.100.7",
					"::ffff:198.51.100.9");
	struct device *d;

	fake_verbs_add("mlx5_1", true, 2);
	nic_add_twins("mlx5_1", 1, 0, "::ffff:203.0.113.1");
	nic_add_twins("mlx5_1", 2, 0, "::ffff:198.51.100.7");
	fake_verbs_port("mlx5_1", 2)->mtu = IBV_MTU_1024;
	d = open_for(NULL, &r);
	ck_assert_str_eq(d->place.device, "mlx5_1");
	ck_assert_uint_eq(d->port, 2);
	ck_assert_uint_eq(d->gid_index, 1);
	ck_assert_uint_eq(d->place.mtu, 1024);
	device_close(d);
}
END_TEST

/* A named one keeps the route's address where it has it. */
START_TEST(named)
{
	const struct route v4 = route_of(V4, V4_PEER);
	const struct route v6 = route_of(V6, V6_PEER);
	struct device *d;

	fake_verbs_add("mlx5_1", true, 1);
	nic_add_twins("mlx5_1", 1, 0, "fe80::2");
	nic_add_twins("mlx5_1", 1, 2, "2001:db8::77");
	nic_add_twins("mlx5_1", 1, 4, "::ffff:198.51.100.7");
	d = open_for("mlx5_1", &v4);
	ck_assert_str_eq(d->place.address, "198.51.100.7");
	ck_assert_uint_eq(d->gid_index, 5);
	device_close(d);
	d = open_for("mlx5_1", &v6);
	ck_assert_str_eq(d->place.address, "2001:db8::77");
	device_close(d);
	nic_add_twins("mlx5_1", 1, 6, V4);
	d = open_for("mlx5_1", &v4);
	ck_assert_uint_eq(d->gid_index, 7);
	device_close(d);
	refused_for(NIC, &v6, "address family");
}
END_TEST

START_TEST(of_infiniband)
{
	const struct route r = route_of(V4, V4_PEER);
	struct device *d;

	nic_make_infiniband(0x17);
	fake_verbs_gid(NIC, 1, 1, IBV_GID_TYPE_IB, "fe80::a:b:c:e");
	d = open_for(NULL, &r);
	ck_assert(d->infiniband && d->place.infiniband);
	ck_assert_uint_eq(d->lid, 0x17);
	ck_assert_uint_eq(d->gid_index, 0);
	ck_assert_str_eq(d->place.address, "");
	device_close(d);
}
END_TEST

/* A port that is down is told of, and passed over for one that is up. */
START_TEST(port_down)
{
	const struct route r = route_of(V4, V4_PEER);
	struct device *d;

	fake_verbs_port(NIC, 1)->state = IBV_PORT_DOWN;
	refused_with(-ENETDOWN, NULL, &r,
		     "port 1 of mlx5_0 is down: check the link");
	fake_verbs_port(NIC, 1)->state = IBV_PORT_INIT;
	refused_with(-ENETDOWN, NIC, &r, "initialising");
	fake_verbs_port(NIC, 1)->state = IBV_PORT_ARMED;
	refused_with(-ENETDOWN, NIC, &r, "armed");
	fake_verbs_add("mlx5_1", true, 1);
	nic_add_twins("mlx5_1", 1, 0, V4);
	d = open_for(NULL, &r);
	ck_assert_str_eq(d->place.device, "mlx5_1");
	device_close(d);
}
END_TEST

START_TEST(reasons)
{
	struct route r = route_of("::ffff:203.0.113.5", V4_PEER);

	refused_for(NULL, &r, "203.0.113.5");
	refused_for("mlx5_9", &r, "mlx5_9 is no RDMA device");
	r.loopback = true;
	refused_for(NULL, &r, "loopback");
	fake_verbs_fail("ibv_open_device", 0, EACCES);
	refused_for(NULL, &r, "cannot be opened: Permission denied");
	fake_verbs_fail(NULL, 0, 0);
	fake_verbs_remove(NIC);
	refused_for(NULL, &r, "no RDMA device");
	fake_verbs_fail("ibv_get_device_list", 1, ENOSYS);
	refused_for(NULL, &r, "no RDMA device");
}
END_TEST

START_TEST(fails_at_every_step)
{
	const struct route r = route_of(V4, V4_PEER);
	struct device *d = NULL;
	unsigned int n = 0, errors = 0;

	do {
		fake_verbs_fail(NULL, 0, 0);
		fake_verbs_fail(NULL, ++n, ENOMEM);
		if (!device_open(NULL, &r, &d, nic_why, sizeof(nic_why)))
			device_close(d);
		else
			errors += strlen(nic_why) > 0;
		ck_assert_str_eq(fake_verbs_left(), "");
	} while (fake_verbs_failed());
	/* list, open, table, the chosen entry's port, pd */
	ck_assert_uint_eq(errors, 5);
}
END_TEST

/* ---- what ends it ---- */

static struct device *opened(void)
{
	const struct route r = route_of(V4, V4_PEER);

	return open_for(NULL, &r);
}

static const struct {
	enum ibv_event_type type;
	unsigned int port;
	bool infiniband, alive;
} events[] = {
	{IBV_EVENT_DEVICE_FATAL, 0, false, false},
	{IBV_EVENT_PORT_ERR, 1, false, false},
	{IBV_EVENT_PORT_ERR, 2, false, true},
	{IBV_EVENT_PORT_ACTIVE, 1, false, true},
	{IBV_EVENT_SM_CHANGE, 1, false, true},
	{IBV_EVENT_CLIENT_REREGISTER, 1, false, true},
	/* The table's change did not touch our entry. */
	{IBV_EVENT_GID_CHANGE, 1, false, true},
	{IBV_EVENT_GID_CHANGE, 2, false, true},
	{IBV_EVENT_LID_CHANGE, 1, false, true},
	{IBV_EVENT_LID_CHANGE, 1, true, false},
	{IBV_EVENT_LID_CHANGE, 2, true, true},
	{IBV_EVENT_GID_CHANGE, 1, true, false},
};

START_TEST(event)
{
	struct device *d;

	if (events[_i].infiniband)
		nic_make_infiniband(5);
	d = opened();
	fake_verbs_event("mlx5_0", events[_i].type, events[_i].port);
	ck_assert_int_eq(device_alive(d), events[_i].alive);
	ck_assert_int_eq(device_alive(d), events[_i].alive);
	device_close(d);
}
END_TEST

START_TEST(gid_is_gone)
{
	struct device *d = opened();

	nic_add_twins(NIC, 1, 2, NULL);
	ck_assert(device_alive(d));
	fake_verbs_event(NIC, IBV_EVENT_GID_CHANGE, 1);
	ck_assert(!device_alive(d));
	device_close(d);
}
END_TEST

START_TEST(gid_is_another)
{
	struct device *d = opened();

	nic_add_twins(NIC, 1, 2, "::ffff:192.0.2.77");
	fake_verbs_event(NIC, IBV_EVENT_GID_CHANGE, 1);
	ck_assert(!device_alive(d));
	device_close(d);
}
END_TEST

/* Twins have the same bytes: the type tells them apart (4.1). */
START_TEST(gid_is_of_another_type)
{
	struct device *d = opened();

	fake_verbs_gid(NIC, 1, NIC_GID_INDEX - 1, IBV_GID_TYPE_ROCE_V2,
		       NIC_GID);
	fake_verbs_gid(NIC, 1, NIC_GID_INDEX, IBV_GID_TYPE_ROCE_V1, NIC_GID);
	fake_verbs_event(NIC, IBV_EVENT_GID_CHANGE, 1);
	ck_assert(!device_alive(d));
	device_close(d);
}
END_TEST

START_TEST(another_address_came)
{
	struct device *d = opened();

	nic_add_twins(NIC, 1, 4, V6);
	fake_verbs_event(NIC, IBV_EVENT_GID_CHANGE, 1);
	ck_assert(device_alive(d));
	device_close(d);
}
END_TEST

START_TEST(removed)
{
	struct device *d = opened();

	fake_verbs_remove(NIC);
	ck_assert(!device_alive(d));
	device_close(d);
}
END_TEST

/* What it was once is not what it is: it stays dead. */
START_TEST(dead_for_good)
{
	struct device *d = opened();

	fake_verbs_event(NIC, IBV_EVENT_PORT_ERR, 1);
	fake_verbs_event(NIC, IBV_EVENT_PORT_ACTIVE, 1);
	ck_assert(!device_alive(d));
	ck_assert(!device_alive(d));
	device_close(d);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("device");
	TCase *rank = tcase_create("rank");
	TCase *tc = tcase_create("open");

	ADD_ROWS(rank, rank_of, ranks);
	suite_add_tcase(s, rank);
	tcase_add_checked_fixture(tc, nic_start, nic_end);
	tcase_add_test(tc, takes_the_v2_twin);
	tcase_add_test(tc, takes_the_routes_device_and_port);
	tcase_add_test(tc, named);
	tcase_add_test(tc, of_infiniband);
	tcase_add_test(tc, port_down);
	tcase_add_test(tc, reasons);
	tcase_add_test(tc, fails_at_every_step);
	ADD_ROWS(tc, event, events);
	tcase_add_test(tc, gid_is_gone);
	tcase_add_test(tc, gid_is_another);
	tcase_add_test(tc, gid_is_of_another_type);
	tcase_add_test(tc, another_address_came);
	tcase_add_test(tc, removed);
	tcase_add_test(tc, dead_for_good);
	suite_add_tcase(s, tc);
	return scratch_main(s);
}
