/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a device that is made up, in front of a NIC that is, too. */
#ifndef S3RDMAFS_TESTS_FAKE_PEER_H
#define S3RDMAFS_TESTS_FAKE_PEER_H

#include <arpa/inet.h>

#include "fake_nic.h"
#include "rdma/mem.h"

#define PEER_ACCESS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE)

#define PEERS 3U
/* As the arena's regions: keys come back among all of them. */
#define PEER_LEN REGION_LEN
/* Where no pointer of ours is, with room between two regions. */
#define PEER_IOVA(i) ((1ULL << 56) + 2 * PEER_LEN * (i))
/* Numbers of regions go on behind the arena's. */
#define PEER(i) (REGIONS + (i))

static struct peermem *peers;

/* A region's bytes stand in the middle of a file. */
struct memory {
	int fd;
	char *map, *addr;
};

static inline struct memory memory_new(void)
{
	struct memory m = {.fd = memfd_create("gpu", MFD_CLOEXEC)};

	ck_assert_int_ge(m.fd, 0);
	ck_assert_int_eq(ftruncate(m.fd, 3 * PEER_LEN), 0);
	m.map = mmap(NULL, 3 * PEER_LEN, PROT_READ | PROT_WRITE, MAP_SHARED,
		     m.fd, 0);
	ck_assert_ptr_ne(m.map, MAP_FAILED);
	m.addr = m.map + PEER_LEN;
	return m;
}

static inline void memory_free(const struct memory *m)
{
	munmap(m->map, 3 * PEER_LEN);
	close(m->fd);
}

static inline struct peermem_region memory_region(const struct memory *m,
						  uint64_t iova)
{
	return (struct peermem_region){.iova = iova,
				       .len = PEER_LEN,
				       .dmabuf = m->fd,
				       .offset = PEER_LEN,
				       .addr = 1}; /* nobody may look there */
}

static inline void peer_put(unsigned int i, const struct memory *m)
{
	const struct peermem_region r = memory_region(m, PEER_IOVA(i));

	peermem_set(peers, i, &r);
}

/* The arena has peer memory, with nothing there yet. */
static inline void peer_start(void)
{
	nic_start();
	ck_assert_int_eq(peermem_new(PEERS, PEER_LEN, &peers), 0);
	nic_arena.peers = peers;
}

static inline void peer_end(void)
{
	nic_end();
	peermem_free(peers);
}

static inline struct device *peer_device(void)
{
	struct route r = {.any = true};
	struct device *d;

	ck_assert_int_eq(inet_pton(AF_INET6, NIC_GID, r.remote), 1);
	ck_assert(!device_open(NIC, &r, &d, nic_why, sizeof(nic_why)));
	return d;
}

static inline struct mem *peer_mem(struct device *d)
{
	struct mem *m;

	ck_assert_msg(!mem_new(d, &nic_arena, PEER_ACCESS, &m, nic_why,
			       sizeof(nic_why)),
		      "%s", nic_why);
	return m;
}

static inline bool peer_lands(uint32_t key, uint64_t addr)
{
	return !fake_verbs_remote_write(key, addr, "x", 1);
}

#endif
