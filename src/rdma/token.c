/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/token.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define HEX "0123456789abcdef"

void token_shm_format(const struct token_shm *t, char out[TOKEN_MAX])
{
	snprintf(out, TOKEN_MAX, "shm:%s:%08x:%08x:%016llx:%08x", t->session,
		 t->region, t->gen, (unsigned long long)t->off, t->len);
}

/* Exactly n hex digits, then end; moves *s behind both. */
static int field(const char **s, size_t n, char end, uint64_t *out)
{
	uint64_t v = 0;

	if (strspn(*s, HEX) != n || (*s)[n] != end)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		v = v << 4 | (uint64_t)(strchr(HEX, (*s)[i]) - HEX);
	*out = v;
	*s += n + (end != '\0');
	return 0;
}

int token_shm_parse(const char *s, struct token_shm *out)
{
	uint64_t region, gen, off, len;
	const char *session;

	if (strncmp(s, "shm:", 4) != 0)
		return -EINVAL;
	session = s + 4;
	if (strspn(session, HEX) != SHM_SESSION || session[SHM_SESSION] != ':')
		return -EINVAL;
	s = session + SHM_SESSION + 1;
	if (field(&s, 8, ':', &region) || field(&s, 8, ':', &gen) ||
	    field(&s, 16, ':', &off) || field(&s, 8, '\0', &len) || len == 0 ||
	    off + len < off)
		return -EINVAL;
	*out = (struct token_shm){.region = (uint32_t)region,
				  .gen = (uint32_t)gen,
				  .off = off,
				  .len = (uint32_t)len};
	memcpy(out->session, session, SHM_SESSION);
	return 0;
}
