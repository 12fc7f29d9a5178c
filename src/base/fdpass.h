/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors with a message over a Unix socket. */
#ifndef S3RDMAFS_BASE_FDPASS_H
#define S3RDMAFS_BASE_FDPASS_H

#include <sys/types.h>

/* As many as one message can carry, and be asked for. */
#define FDPASS_MAX 252

/* As send(2), with n descriptors, which stay the caller's; n may be 0. */
ssize_t fdpass_send(int sock, const void *msg, size_t len, const int *fds,
		    unsigned int n, int flags);

/*
 * As recv(2).  Every descriptor that came, of at most max, is the caller's,
 * whatever the result; the kernel closes what is beyond.  max is even: the
 * kernel's alignment would make room for one more.
 */
ssize_t fdpass_receive(int sock, void *msg, size_t len, int *fds,
		       unsigned int max, unsigned int *n, int flags);

#endif
