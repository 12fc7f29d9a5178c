/* SPDX-License-Identifier: Apache-2.0 */
/* A query to its canonical form, which is its own. */
#include <assert.h>

#include "fuzz.h"
#include "s3/request.h"
#include "s3/uri.h"

static void round_trip(const uint8_t *data, size_t size)
{
	char *encoded = malloc(3 * size + 1), *back = malloc(3 * size + 1);

	assert(!uri_encode((const char *)data, size, size & 1, encoded,
			   3 * size + 1));
	assert(uri_decode(encoded, strlen(encoded), false, back) == (long)size);
	assert(!size || !memcmp(back, data, size));
	free(encoded);
	free(back);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size), *out, *again;
	struct uri_query q, r;
	struct s3_url url;

	round_trip(data, size);
	request_parse_url(text, &url);
	if (!uri_query_parse(text, 64, &q)) {
		assert(!uri_query_canonical(&q, NULL, &out));
		assert(!uri_query_parse(out, 64, &r));
		assert(!uri_query_canonical(&r, NULL, &again));
		assert(!strcmp(out, again) && q.n == r.n);
		free(out);
		free(again);
		uri_query_free(&q);
		uri_query_free(&r);
	}
	free(text);
	return 0;
}
