/* SPDX-License-Identifier: Apache-2.0 */
/* An answer's header lines, and what becomes of them. */
#include <assert.h>

#include "fuzz.h"
#include "s3/answer.h"
#include "xfer/classify.h"

static void on_meta(struct s3_call *call, const char *name, const char *value)
{
	(void)call;
	assert(name && value);
}

static void check(const struct s3_answer *a)
{
	if (a->has_range)
		assert(a->range_first <= a->range_last &&
		       a->range_last < a->range_total);
	assert(strlen(a->etag) < sizeof(a->etag));
	assert(strlen(a->offer) < sizeof(a->offer));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct s3_call call = {.meta = on_meta};
	const char *p = (const char *)data, *end = p + size;
	struct classify_input in = {.answer = &call.answer,
				    .token = size & 1,
				    .off = 4096,
				    .len = 100,
				    .object_len = 8192,
				    .etag = "\"e\"",
				    .need_range = true};
	struct classify_result r;

	answer_reset(&call.answer);
	while (p && p < end) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		const size_t n = nl ? (size_t)(nl - p + 1) : (size_t)(end - p);

		if (answer_header(&call, p, n))
			break;
		check(&call.answer);
		p += n;
	}
	r = classify_get(&in);
	/* Data is believed only with the range that was asked for. */
	if (r.verdict == CLASSIFY_MOVED)
		assert(in.token && call.answer.reply == S3_REPLY_OK &&
		       call.answer.range_first == in.off);
	return 0;
}
