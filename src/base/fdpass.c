/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fdpass.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
};

ssize_t fdpass_send(int sock, const void *msg, size_t len, const int *fds,
		    unsigned int n, int flags)
{
	union control control;
	struct iovec iov = {(void *)msg, len};
	struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1};

	assert(n <= FDPASS_MAX);
	if (n > 0) {
		struct cmsghdr *c;

		memset(&control, 0, CMSG_SPACE(n * sizeof(int)));
		m.msg_control = control.buf;
		m.msg_controllen = CMSG_SPACE(n * sizeof(int));
		c = CMSG_FIRSTHDR(&m);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(n * sizeof(int));
		memcpy(CMSG_DATA(c), fds, n * sizeof(int));
	}
	return sendmsg(sock, &m, flags);
}

ssize_t fdpass_receive(int sock, void *msg, size_t len, int *fds,
		       unsigned int max, unsigned int *n, int flags)
{
	union control control;
	struct iovec iov = {msg, len};
	struct msghdr m = {.msg_iov = &iov,
			   .msg_iovlen = 1,
			   .msg_control = control.buf,
			   .msg_controllen = CMSG_SPACE(max * sizeof(int))};
	ssize_t got;

	assert(max % 2 == 0 && max <= FDPASS_MAX);
	*n = 0;
	got = recvmsg(sock, &m, flags | MSG_CMSG_CLOEXEC);
	if (got < 0)
		return got;
	/* An empty message may carry some, too. */
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c)) {
		const size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		assert(*n + bytes / sizeof(int) <= max);
		memcpy(fds + *n, CMSG_DATA(c), bytes);
		*n += (unsigned int)(bytes / sizeof(int));
	}
	return got;
}
