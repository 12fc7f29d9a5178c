/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lists of objects as text: the CSV of S3 Inventory, of which our own export
 * is one.  Pure; hostile lines end in an error.
 */
#ifndef S3RDMAFS_CACHE_INVENTORY_H
#define S3RDMAFS_CACHE_INVENTORY_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/strbuf.h"
#include "s3/s3.h"

#define INVENTORY_LINE_MAX 16384
#define INVENTORY_DEFAULT "Bucket,Key,Size,LastModifiedDate,ETag,StorageClass"

enum inventory_field {
	INVENTORY_BUCKET,
	INVENTORY_KEY,
	INVENTORY_SIZE,
	INVENTORY_MTIME,
	INVENTORY_ETAG,
	INVENTORY_CLASS,
	INVENTORY_LATEST,
	INVENTORY_DELETED,
	INVENTORY_FIELDS,
};

/* The column of each field, from 0; -1 for none. */
struct inventory_columns {
	int at[INVENTORY_FIELDS];
};

/* From names as S3's manifest has them ("fileSchema"), others being passed
 * over.  0, or -EINVAL when key or size are not among them. */
int inventory_columns(const char *names, struct inventory_columns *out);

struct inventory_row {
	char bucket[S3_BUCKET_MAX + 1]; /* "" when there is no such column */
	char key[S3_KEY_MAX + 1];
	char etag[S3_ETAG_MAX]; /* with quotes, or "" */
	char storage_class[40];
	uint64_t size;
	time_t mtime;
};

/* A line without its end, which is changed.  0; 1 for what is no object now
 * (an older version, a delete marker, an empty line); -EBADMSG. */
int inventory_parse(char *line, const struct inventory_columns *c,
		    struct inventory_row *out);

/*
 * For rows on disk: all but the bucket, each text as long as it is, in a tenth
 * of the struct's size.  How many bytes; 0, or -EBADMSG for what no row was
 * packed to.
 */
#define INVENTORY_PACKED_MAX (sizeof(struct inventory_row) + 16)
size_t inventory_pack(const struct inventory_row *row,
		      unsigned char buf[INVENTORY_PACKED_MAX]);
int inventory_unpack(const void *data, size_t n, struct inventory_row *out);

/* A line of INVENTORY_DEFAULT, with its end. */
void inventory_format(struct strbuf *b, const struct inventory_row *row);

#endif
