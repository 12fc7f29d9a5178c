/* SPDX-License-Identifier: Apache-2.0 */
/* Listings and error documents.  The first byte is the size of the pieces. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "s3/list.h"

static int on_entry(void *ctx, const struct s3_entry *e)
{
	(void)ctx;
	/* A name is never empty, cut by a NUL, or longer than a key. */
	assert(*e->key && strlen(e->key) <= S3_KEY_MAX + 1);
	assert(strlen(e->etag) < S3_ETAG_MAX && e->storage_class);
	return 0;
}

static void feed(const char *data, size_t size, size_t piece)
{
	struct list_parser *p;
	int err = 0;

	assert(!list_parser_new(on_entry, NULL, &p));
	for (size_t at = 0; !err && (at < size || at == 0); at += piece)
		err = list_parser_feed(p, data + at,
				       size - at < piece ? size - at : piece,
				       size - at <= piece);
	if (!err)
		assert(list_parser_page(p)->next);
	list_parser_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_answer a = {0};

	if (size < 1)
		return 0;
	feed((const char *)data + 1, size - 1, data[0] ? data[0] : 1 << 20);
	list_parse_error((const char *)data + 1, size - 1, &a);
	assert(memchr(a.code, 0, sizeof(a.code)));
	assert(memchr(a.message, 0, sizeof(a.message)));
	return 0;
}
