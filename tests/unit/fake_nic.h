/* SPDX-License-Identifier: Apache-2.0 */
/* A NIC that is made up, memory that is registered with it, and the two ends
 * of a transfer within one process. */
#ifndef S3RDMAFS_TESTS_FAKE_NIC_H
#define S3RDMAFS_TESTS_FAKE_NIC_H

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/mman.h>

#include "fake_verbs.h"
#include "rdma/initiator.h"
#include "rdma/rdma.h"
#include "scratch.h"

#define NIC "mlx5_0"
#define NIC_GID "::ffff:192.0.2.1"
#define NIC_GID_INDEX 3
/* A host that needs no name server and no route: every NIC of IPv4. */
#define NIC_HOST "0.0.0.0"
#define NIC_KEY 0xffeeddccU
#define REGIONS 4U
#define REGION_LEN (4UL << 20)

static char nic_why[512];
static struct rdma_arena nic_arena;

/* As mlx5 lists them: twins, v1 first. */
static inline void nic_add_twins(const char *name, unsigned int port,
				 unsigned int index, const char *gid)
{
	fake_verbs_gid(name, port, index, IBV_GID_TYPE_ROCE_V1, gid);
	fake_verbs_gid(name, port, index + 1, IBV_GID_TYPE_ROCE_V2, gid);
}

static inline void nic_start(void)
{
	scratch_make();
	fake_verbs_start(scratch);
	fake_verbs_add(NIC, true, 1);
	nic_add_twins(NIC, 1, 0, "fe80::1");
	nic_add_twins(NIC, 1, 2, NIC_GID);
	nic_arena = (struct rdma_arena){
		.size = REGIONS * REGION_LEN,
		.runs = {{.len = REGION_LEN, .count = REGIONS}},
		.nruns = 1};
	nic_arena.addr = mmap(NULL, nic_arena.size, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ck_assert_ptr_ne(nic_arena.addr, MAP_FAILED);
}

/* Every call was as the recipes say, and everything made is gone. */
static inline void nic_end(void)
{
	ck_assert_str_eq(fake_verbs_violations(), "");
	ck_assert_str_eq(fake_verbs_left(), "");
	munmap(nic_arena.addr, nic_arena.size);
	fake_verbs_stop();
}

/* For tests where something could not be destroyed but with its context. */
static inline void nic_end_leaked(void)
{
	ck_assert_str_eq(fake_verbs_violations(), "");
	for (int k = 0; k < FAKE_KINDS; k++)
		ck_assert_uint_eq(fake_verbs_count((enum fake_kind)k), 0);
	munmap(nic_arena.addr, nic_arena.size);
	fake_verbs_stop();
}

/* An InfiniBand port instead. */
static inline void nic_make_infiniband(uint16_t lid)
{
	struct fake_port *p = fake_verbs_port(NIC, 1);

	p->infiniband = true;
	p->lid = lid;
	for (unsigned int i = 0; i < 4; i++)
		fake_verbs_gid(NIC, 1, i, IBV_GID_TYPE_IB, NULL);
	fake_verbs_gid(NIC, 1, 0, IBV_GID_TYPE_IB, "fe80::a:b:c:d");
}

static const struct rdma_want nic_want __attribute__((unused)) = {
	.device = NIC, .host = NIC_HOST, .dc_key = NIC_KEY};

static inline struct initiator *nic_server(bool dc, uint32_t key)
{
	const struct initiator_config cfg = {.device = NIC,
					     .address = NIC_HOST,
					     .rc = true,
					     .dc = dc,
					     .dc_required = dc,
					     .dc_key = key};
	struct initiator *i = NULL;

	ck_assert_msg(!initiator_new(&cfg, &i, nic_why, sizeof(nic_why)), "%s",
		      nic_why);
	return i;
}

/* ---- bytes that say where they belong ---- */

static inline uint8_t nic_pattern(uint64_t off)
{
	return (uint8_t)((off * 2654435761ULL) >> 11);
}

/* A file of the folder, of len bytes; its descriptor. */
static inline int nic_file(size_t len)
{
	static atomic_uint number;
	char path[512];
	AUTO_FREE uint8_t *bytes = malloc(len + 1);
	int fd;

	for (size_t i = 0; i < len; i++)
		bytes[i] = nic_pattern(i);
	snprintf(path, sizeof(path), "%s/object-%u", scratch,
		 atomic_fetch_add(&number, 1));
	fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	ck_assert_int_ge(fd, 0);
	ck_assert_int_eq(write(fd, bytes, len), (ssize_t)len);
	return fd;
}

static inline bool nic_has_pattern(const char *at, uint64_t off, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if ((uint8_t)at[i] != nic_pattern(off + i))
			return false;
	return true;
}

static inline bool nic_is_zero(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i])
			return false;
	return true;
}

static inline char *nic_region(unsigned int region)
{
	size_t len;

	return rdma_region(&nic_arena, region, &len);
}

#endif
