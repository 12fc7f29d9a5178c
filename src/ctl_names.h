/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Commands on names that may take long: refresh, snapshot, import, export and
 * find.  Each runs on a thread of its own and answers in lines:
 *
 *     progress DONE TOTAL UNIT      now and then; TOTAL is 0 while unknown
 *     TEXT                          of the command
 *     error: TEXT                   the last one, when it failed
 *
 * A reader is waited for as long as it is there; lines of progress that do not
 * fit are left out.
 */
#ifndef S3RDMAFS_CTL_NAMES_H
#define S3RDMAFS_CTL_NAMES_H

#include <stdbool.h>

struct daemon;
struct ctl_names;

int ctl_names_new(struct daemon *d, struct ctl_names **out);
/* Ends what runs; waits for it. */
void ctl_names_free(struct ctl_names *n);

/*
 * Is it one of these commands?  Then it takes over the socket and the
 * descriptor that came along (-1 for none).  args: words with blanks between,
 * percent-encoded.
 */
bool ctl_names_take(struct ctl_names *n, const char *command, const char *args,
		    int sock, int fd);

#endif
