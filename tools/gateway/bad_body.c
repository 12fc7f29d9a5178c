/* SPDX-License-Identifier: Apache-2.0 */
#include "bad_body.h"

#include <stdlib.h>
#include <unistd.h>

#include "fault.h"

#define BLOCK (256U << 10)
#define STALL_MS 3600000

struct bad_body {
	int fd; /* owned */
	uint64_t off, most;
	const struct fault *fault;
};

bool bad_body_is_wanted(const struct request *r)
{
	return fault_is(r, FAULT_SLOW) ||
	       ((fault_is(r, FAULT_TRUNCATE) || fault_is(r, FAULT_STALL)) &&
		r->fault->value < r->file_len);
}

static ssize_t read_some(void *arg, uint64_t pos, char *buf, size_t max)
{
	struct bad_body *b = arg;
	ssize_t n;

	if (pos >= b->most) {
		if (b->fault->action == FAULT_STALL)
			gateway_sleep_ms(STALL_MS);
		return MHD_CONTENT_READER_END_WITH_ERROR;
	}
	if (max > b->most - pos)
		max = b->most - pos;
	if (b->fault->action == FAULT_SLOW)
		max = fault_pace(b->fault, max);
	n = pread(b->fd, buf, max, (off_t)(b->off + pos));
	return n > 0 ? n : MHD_CONTENT_READER_END_WITH_ERROR;
}

static void free_body(void *arg)
{
	struct bad_body *b = arg;

	close(b->fd);
	free(b);
}

struct MHD_Response *bad_body_response(const struct request *r)
{
	struct bad_body *b = malloc(sizeof(*b));

	if (!b)
		return NULL;
	*b = (struct bad_body){.fd = dup(r->file),
			       .off = r->file_off,
			       .most = r->fault->action == FAULT_SLOW
					       ? r->file_len
					       : r->fault->value,
			       .fault = r->fault};
	return MHD_create_response_from_callback(r->file_len, BLOCK, read_some,
						 b, free_body);
}
