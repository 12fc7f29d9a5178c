/* SPDX-License-Identifier: Apache-2.0 */
/* shm as it is: the gateway's half of it, in this process. */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rdma/shm_initiator.h"
#include "rdma/token.h"
#include "server.h"

#define STEP (1U << 20)

static struct shm_server *server;
static int pattern_fd, garbage_fd;

static int make_file(bool garbage, uint64_t size)
{
	const int fd = memfd_create("torture", MFD_CLOEXEC);
	char *step = malloc(STEP);

	assert(fd >= 0 && step);
	for (uint64_t at = 0; at < size; at += STEP) {
		if (garbage)
			memset(step, 0xee, STEP);
		else
			torture_pattern(at, step, STEP);
		assert(pwrite(fd, step, STEP, (off_t)at) == STEP);
	}
	free(step);
	return fd;
}

void wire_shm_start(void)
{
	pattern_fd = make_file(false, TORTURE_OBJECT * TORTURE_OBJECTS);
	garbage_fd = make_file(true, TORTURE_OBJECT);
	assert(!shm_server_new(&server));
}

void wire_shm_stop(void)
{
	shm_server_free(server);
	close(pattern_fd);
	close(garbage_fd);
}

static void offer(struct s3_call *call)
{
	char ticket[SHM_TICKET + 1];

	shm_server_ticket(server, ticket);
	snprintf(call->answer.offer, sizeof(call->answer.offer), "%s %s",
		 shm_server_name(server), ticket);
}

static int put(const char *token, uint64_t off, uint64_t len, bool garbage)
{
	return shm_server_read(server, token, garbage ? garbage_fd : pattern_fd,
			       garbage ? 0 : off, len);
}

const struct wire wire_shm = {offer, put};
