/* SPDX-License-Identifier: Apache-2.0 */
/* s3 for tests of the namespace: objects in memory, listed page by page as
 * one or another server does.  Any thread. */
#ifndef S3RDMAFS_TESTS_FAKE_S3_H
#define S3RDMAFS_TESTS_FAKE_S3_H

#include "s3/s3.h"

enum fake_order {
	FAKE_SORTED,   /* as S3 does, files and prefixes mixed */
	FAKE_SPLIT,    /* in each page the prefixes behind the files */
	FAKE_TWICE,    /* each page begins with the last entry of that before */
	FAKE_REVERSED, /* in no order of S3's */
	FAKE_GROUPED,  /* all prefixes, then all files, over the pages */
};

/* What was asked; list counts pages, of which flat had no delimiter and
 * probes wanted one key. */
struct fake_calls {
	unsigned int head, look, list, flat, probes, pagers;
};

struct s3 *fake_s3_new(enum fake_order order, unsigned int page);
void fake_s3_free(struct s3 *s3);
void fake_s3_put(struct s3 *s3, const char *bucket, const char *key,
		 const char *etag, uint64_t size);
void fake_s3_delete(struct s3 *s3, const char *bucket, const char *key);

/* Every call fails so; 0: none. */
void fake_s3_set_error(struct s3 *s3, int err);
/* Pages fail so once that many have been given. */
void fake_s3_set_page_error(struct s3 *s3, unsigned int after, int err);
/* Is called before each page, with no lock held. */
void fake_s3_set_hook(struct s3 *s3, void (*hook)(void *ctx, unsigned int page),
		      void *ctx);

/* Those since the last call. */
struct fake_calls fake_s3_calls(struct s3 *s3);

#endif
