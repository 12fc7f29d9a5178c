/* SPDX-License-Identifier: Apache-2.0 */
#include "base/memory.h"

#include <stdint.h>
#include <sys/mman.h>

void *mmap_reserve(size_t len)
{
	char *all = mmap(NULL, len + HUGE_PAGE, PROT_NONE,
			 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	size_t before;

	if (all == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)all & (HUGE_PAGE - 1);
	if (before)
		munmap(all, before);
	/* The end of the last page belongs to the mapping. */
	len = (len + 4095) & ~4095UL;
	munmap(all + before + len, HUGE_PAGE - before);
	return all + before;
}
