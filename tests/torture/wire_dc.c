/* SPDX-License-Identifier: Apache-2.0 */
/* dc over the fake verbs: what the server writes is checked as a NIC would,
 * and the keys that die come back as soon as they can. */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fake_verbs.h"
#include "rdma/token.h"
#include "server.h"

#define MOST (1U << 20)

static char folder[200];

void wire_dc_start(bool recycle)
{
	snprintf(folder, sizeof(folder), "%s/torture-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	assert(mkdtemp(folder));
	fake_verbs_start(folder);
	fake_verbs_add("mlx5_0", true, 1);
	fake_verbs_gid("mlx5_0", 1, 1, IBV_GID_TYPE_ROCE_V2,
		       "::ffff:192.0.2.1");
	fake_verbs_recycle_keys(recycle);
}

void wire_dc_stop(void)
{
	const char *wrong = fake_verbs_violations();

	if (*wrong || *fake_verbs_left()) {
		fprintf(stderr, "verbs: %s %s\n", wrong, fake_verbs_left());
		exit(1);
	}
	fake_verbs_stop();
	rmdir(folder);
}

static void offer(struct s3_call *call)
{
	call->answer.status = 501; /* dc needs no hand-shake */
}

static int put(const char *token, uint64_t off, uint64_t len, bool garbage)
{
	static _Thread_local char buffer[MOST];
	struct token_dc t;

	assert(!token_dc_parse(token, &t));
	if (len > MOST)
		return -EINVAL;
	if (garbage)
		memset(buffer, 0xee, len);
	else
		torture_pattern(off & ~7ULL, buffer, len);
	assert(off % 8 == 0);
	return fake_verbs_remote_write(t.rkey, t.addr, buffer, len);
}

const struct wire wire_dc = {offer, put};
