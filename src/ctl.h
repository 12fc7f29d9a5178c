/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The control socket: a line in, an answer out, which a NUL byte ends: without
 * it the answer was cut short.  Its path is in the attribute
 * user.s3rdmafs.control of the mount's root; only root and the user of the
 * mount are answered.
 */
#ifndef S3RDMAFS_CTL_H
#define S3RDMAFS_CTL_H

struct ctl;
struct daemon;

/* Makes the socket and writes its path to d->control. */
int ctl_new(struct daemon *d, struct ctl **out);
/* Answers from now on. */
void ctl_start(struct ctl *c);
void ctl_free(struct ctl *c);

#endif
