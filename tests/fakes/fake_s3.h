/* SPDX-License-Identifier: Apache-2.0 */
/* s3 for tests of the namespace: a table of objects. */
#ifndef S3RDMAFS_TESTS_FAKE_S3_H
#define S3RDMAFS_TESTS_FAKE_S3_H

#include "s3/s3.h"

struct fake_object {
	const char *bucket, *key, *etag;
	uint64_t size;
};

struct fake_calls {
	unsigned int head, look, list;
};

/* The table ends with bucket NULL; borrowed.  Listings come in its order,
 * prefixes behind keys and each twice, as over a page's end. */
struct s3 *fake_s3_new(const struct fake_object *objects);
void fake_s3_free(struct s3 *s3);
void fake_s3_set_objects(struct s3 *s3, const struct fake_object *objects);
/* 0: as the table says. */
void fake_s3_set_error(struct s3 *s3, int err);
struct fake_calls fake_s3_calls(const struct s3 *s3);

#endif
