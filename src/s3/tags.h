/* SPDX-License-Identifier: Apache-2.0 */
/* The Tagging document to names and values.  Pure, over expat, bounded. */
#ifndef S3RDMAFS_S3_TAGS_H
#define S3RDMAFS_S3_TAGS_H

#include <stddef.h>

#define TAGS_MAX 64       /* S3 has ten */
#define TAGS_NAME_MAX 512 /* 128 characters of UTF-8 */
#define TAGS_VALUE_MAX 1024

/* Calls tag for each; 0, or -EBADMSG for what is no such document. */
int tags_parse(const char *data, size_t n,
	       void (*tag)(void *ctx, const char *name, const char *value),
	       void *ctx);

#endif
