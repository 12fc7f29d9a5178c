/* SPDX-License-Identifier: Apache-2.0 */
/* Files in memory whose pages others may have. */
#ifndef S3RDMAFS_BASE_MEMFILE_H
#define S3RDMAFS_BASE_MEMFILE_H

#include <stdbool.h>

/* memfd_create's own descriptor does not count as a writer, as that of an open
 * does: the same file, opened.  fd is closed; where that cannot be, it is what
 * is returned. */
int memfile_opened(int fd);

/* Has nobody else it open or mapped?  Of one that memfile_opened gave. */
bool memfile_is_ours_alone(int fd);

#endif
