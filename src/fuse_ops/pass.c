/* SPDX-License-Identifier: Apache-2.0 */
#include "fuse_ops/pass.h"

#include <errno.h>
#include <sys/ioctl.h>

/* As linux/fuse.h has them since 6.9. */
#define OPEN_PASSTHROUGH (1U << 7)

struct backing_map {
	int32_t fd;
	uint32_t flags;
	uint64_t padding;
};

#define BACKING_OPEN _IOW(229, 1, struct backing_map)
#define BACKING_CLOSE _IOW(229, 2, uint32_t)

int pass_back(int session_fd, int fd)
{
	const struct backing_map m = {.fd = fd};
	const int id = ioctl(session_fd, BACKING_OPEN, &m);

	return id < 0 ? -errno : id;
}

void pass_unback(int session_fd, int id)
{
	const uint32_t number = (uint32_t)id;

	ioctl(session_fd, BACKING_CLOSE, &number);
}

bool pass_works(int session_fd)
{
	/* Who may not hears so before the file is looked at. */
	return pass_back(session_fd, -1) == -EBADF;
}

struct fuse_open_out pass_answer(uint64_t fh, int id)
{
	/* The last word is backing_id. */
	return (struct fuse_open_out){.fh = fh,
				      .open_flags = OPEN_PASSTHROUGH,
				      .padding = (uint32_t)id};
}
