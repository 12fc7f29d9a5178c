/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"

#include <stdlib.h>
#include <sys/random.h>

void random_bytes(void *out, size_t n)
{
	unsigned char *p = out;

	while (n > 0) {
		const ssize_t got = getrandom(p, n, 0);

		/* Without randomness no nonce and no ticket is safe. */
		if (got <= 0)
			abort();
		p += got;
		n -= (size_t)got;
	}
}

uint32_t random_u32(void)
{
	static _Thread_local uint64_t state;

	if (state == 0)
		random_bytes(&state, sizeof(state));
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (uint32_t)(state >> 33);
}
