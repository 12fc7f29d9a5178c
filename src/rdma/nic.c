/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/nic.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"

int nic_open(struct nic *n, const struct rdma_want *want, char *why, size_t cap)
{
	return device_open_for(want, &n->device, why, cap);
}

int nic_register(struct nic *n, const struct rdma_arena *arena, char *why,
		 size_t cap)
{
	int err;

	n->rdma.arena = arena;
	/* What a server may do here: write, and not read. */
	err = mem_new(n->device, arena,
		      IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE, &n->mem,
		      why, cap);
	/* With an address, requests are bound to this NIC: their answers then
	 * come behind the data on the same PCIe function. */
	if (err || n->device->place.address[0])
		return err;
	err = flush_new(n->device, arena, &n->flush);
	if (err)
		snprintf(why, cap, "%s: no loopback queue pair: %s",
			 n->device->place.device, strerror(-err));
	return err;
}

void nic_stop(struct nic *n)
{
	flush_free(n->flush);
	mem_free(n->mem);
	device_close(n->device);
}

int nic_revoke(struct rdma *r, unsigned int region, int timeout_ms)
{
	const int err = mem_renew(to_nic(r)->mem, region, clock_ms());

	(void)timeout_ms; /* the kernel's answer is not waited for */
	return err == -EAGAIN ? -ETIMEDOUT : err;
}

int nic_flush(struct rdma *r, unsigned int region, size_t off)
{
	struct nic *n = to_nic(r);
	size_t len;

	if (!n->flush)
		return 0;
	if (!flush_read(n->flush, rdma_region(r->arena, region, &len) + off))
		return 0;
	/* Its pair is of no more use: the session is to be made anew. */
	atomic_store(&n->device->dead, true);
	return -EIO;
}

bool nic_reaches(struct rdma *r, unsigned int region)
{
	const struct nic *n = to_nic(r);

	/* What has to be flushed by a read of the NIC's own cannot be where
	 * that may not read. */
	if (n->flush && region >= rdma_regions(r->arena))
		return false;
	return mem_has_key(n->mem, region);
}

uint64_t nic_sync(struct rdma *r)
{
	return mem_sync(to_nic(r)->mem, clock_ms());
}

const struct rdma_place *nic_place(const struct rdma *r)
{
	return &((const struct nic *)r)->device->place;
}
