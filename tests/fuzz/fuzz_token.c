/* SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "fuzz.h"
#include "rdma/token.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	char back[TOKEN_MAX];
	struct token_shm t;

	/* There is one way to write each. */
	if (!token_shm_parse(text, &t)) {
		token_shm_format(&t, back);
		assert(!strcmp(text, back));
		assert(t.len > 0 && t.off + t.len >= t.off);
	}
	free(text);
	return 0;
}
