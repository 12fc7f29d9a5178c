/* SPDX-License-Identifier: Apache-2.0 */
#include "xfer/profile.h"

#include <string.h>

#include "base/cleanup.h"

#define TOKEN "x-amz-rdma-token"

static const struct profile table[] = {
	/* name, header, form, agent, need_range, by_status */
	{"standard", TOKEN, TOKEN_BARE, NULL, true, false},
	{"aistor", TOKEN, TOKEN_BARE, NULL, true, false},
	/* before minio-cpp's change of August 2026 */
	{"aistor-suffix", TOKEN, TOKEN_SUFFIX, NULL, true, false},
	{"hyperstore", TOKEN, TOKEN_BARE, NULL, true, false},
	{"objectscale", "x-rdma-info", TOKEN_BARE, NULL, true, true},
	{"scality", "x-scal-rdma", TOKEN_BARE, NULL, true, true},
	{"flashblade", TOKEN, TOKEN_BARE, NULL, true, false},
	{"noobaa", TOKEN, TOKEN_BARE, "cuobj", true, false},
	{"versitygw", TOKEN, TOKEN_BARE, NULL, true, false},
	{"ceph", TOKEN, TOKEN_BARE, NULL, true, false},
	{"sirius", TOKEN, TOKEN_BASE64, NULL, false, false},
};

const struct profile *profile_find(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(table); i++)
		if (!strcmp(table[i].name, name))
			return &table[i];
	return NULL;
}

const struct profile *profile_at(unsigned int i)
{
	return i < ARRAY_SIZE(table) ? &table[i] : NULL;
}
