/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads: any that serves a request moves bytes; one of the initiator's own
 * takes the completions.
 *
 * Bytes go file -> staging -> client: two halves of a buffer in turn, so that
 * one is read while the other is on its way.
 */
#include "rdma/initiator.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/thread.h"
#include "rdma/initiator_int.h"

#define CQ_DEPTH 4096
#define BUFFER (2 * (size_t)INITIATOR_HALF)
#define PATIENCE_MS 30000 /* of the NIC, before the pair is ended */
#define FLUSH_MS 10000    /* and after that */
#define BUFFER_MS 10000   /* others hold them all */
#define TICK_MS 500

/* ---- completions ---- */

static void take_completions(struct initiator *i)
{
	struct ibv_wc wc[32];
	int n;

	while ((n = ibv_poll_cq(i->cq, 32, wc)) > 0) {
		LOCK_SCOPE(&i->lock);
		for (int k = 0; k < n; k++) {
			struct wait *w = (struct wait *)(uintptr_t)wc[k].wr_id;

			if (wc[k].status != IBV_WC_SUCCESS) {
				w->failed = true;
				log_debug("rdma: a write ended with %s",
					  ibv_wc_status_str(wc[k].status));
			}
			w->pending--;
		}
		pthread_cond_broadcast(&i->changed);
	}
}

static void *run(void *arg)
{
	struct initiator *i = arg;
	struct pollfd p[2] = {{.fd = i->channel->fd, .events = POLLIN},
			      {.fd = i->stop_fd, .events = POLLIN}};

	while (!(p[1].revents & POLLIN)) {
		struct ibv_cq *cq;
		void *ctx;

		poll(p, 2, TICK_MS);
		if ((p[0].revents & POLLIN) &&
		    !ibv_get_cq_event(i->channel, &cq, &ctx)) {
			ibv_ack_cq_events(cq, 1);
			ibv_req_notify_cq(cq, 0);
		}
		/* The device has gone: what the queue has is still taken. */
		if (p[0].revents & (POLLERR | POLLHUP | POLLNVAL))
			p[0].fd = -1;
		take_completions(i);
		conns_reap(i, false);
		sessions_reap(i, false);
	}
	return NULL;
}

/* Under lock, until nothing is pending or the time is over. */
static bool wait_until_idle(struct initiator *i, struct wait *w, uint64_t ms)
{
	const uint64_t until = clock_ms() + ms;

	while (w->pending > 0) {
		const uint64_t now = clock_ms();

		if (now >= until)
			return false;
		thread_cond_wait_ms(&i->changed, &i->lock, until - now);
	}
	return true;
}

/* Nothing of it is in flight when this returns true. */
static bool drain(struct initiator *i, struct path *path, struct wait *w)
{
	LOCK_SCOPE(&i->lock);
	if (wait_until_idle(i, w, i->broken ? 0 : PATIENCE_MS))
		return true;
	path->fail(path);
	w->failed = true;
	if (wait_until_idle(i, w, FLUSH_MS))
		return true;
	/* The NIC has lost them: what they name can never be used again. */
	log_error("rdma: %s does not complete its writes", i->place);
	i->broken = true;
	pthread_cond_broadcast(&i->changed);
	return false;
}

/* ---- bytes ---- */

/* 0, -EBUSY when others hold them all for too long, or -EIO at the end. */
static int take_buffer(struct initiator *i, char **out)
{
	const uint64_t until = clock_ms() + BUFFER_MS;

	LOCK_SCOPE(&i->lock);
	for (;;) {
		const uint64_t now = clock_ms();

		if (i->broken)
			return -EIO;
		for (unsigned int b = 0; b < INITIATOR_BUFFERS; b++) {
			if (i->busy[b])
				continue;
			i->busy[b] = true;
			*out = i->staging + (size_t)b * BUFFER;
			return 0;
		}
		if (now >= until)
			return -EBUSY;
		thread_cond_wait_ms(&i->changed, &i->lock, until - now);
	}
}

static void put_buffer(struct initiator *i, const char *buffer)
{
	LOCK_SCOPE(&i->lock);
	i->busy[(size_t)(buffer - i->staging) / BUFFER] = false;
	pthread_cond_broadcast(&i->changed);
}

static int read_all(int fd, char *to, size_t n, uint64_t off)
{
	while (n > 0) {
		const ssize_t got = pread(fd, to, n, (off_t)off);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 ? -errno : -EIO;
		to += got;
		off += (uint64_t)got;
		n -= (size_t)got;
	}
	return 0;
}

static bool has_failed(struct initiator *i, const struct wait *w)
{
	LOCK_SCOPE(&i->lock);
	return w->failed;
}

static void count_post(struct initiator *i, struct wait *w, int change)
{
	LOCK_SCOPE(&i->lock);
	w->pending += (unsigned int)change;
}

static int post_half(struct initiator *i, struct path *path, struct write *w)
{
	int err;

	/* Counted first: it may complete before post returns. */
	count_post(i, w->wait, 1);
	err = path->post(path, i, w);
	if (err)
		count_post(i, w->wait, -1);
	return err ? -EIO : 0;
}

int initiator_stream(struct initiator *i, struct path *path, uint64_t addr,
		     uint32_t rkey, const struct initiator_source *from)
{
	struct wait *waits = calloc(2, sizeof(*waits));
	char *buffer = NULL;
	bool idle = true;
	int err = waits ? take_buffer(i, &buffer) : -ENOMEM;
	uint64_t at = 0;

	for (unsigned int h = 0; !err && at < from->len; h ^= 1) {
		struct write w = {.from = buffer + h * INITIATOR_HALF,
				  .addr = addr + at,
				  .rkey = rkey,
				  .wait = &waits[h]};
		const uint64_t left = from->len - at;

		w.len = left < INITIATOR_HALF ? (uint32_t)left : INITIATOR_HALF;
		w.last = w.len == left;
		idle = drain(i, path, &waits[h]);
		if (!idle || has_failed(i, &waits[h]))
			err = -EIO;
		if (!err)
			err = read_all(from->fd, w.from, w.len, from->off + at);
		if (!err)
			err = post_half(i, path, &w);
		at += w.len;
	}
	for (int h = 0; buffer && h < 2; h++)
		idle = drain(i, path, &waits[h]) && idle;
	if (!err && (waits[0].failed || waits[1].failed))
		err = -EIO;
	/* What the NIC may still read or complete is never given back. */
	if (!idle)
		return -EIO;
	if (buffer)
		put_buffer(i, buffer);
	free(waits);
	return err;
}

int initiator_post(struct ibv_qp *qp, struct initiator *i,
		   const struct write *w, const uint32_t *imm)
{
	struct ibv_sge sge = {(uintptr_t)w->from, w->len, i->mr->lkey};
	struct ibv_send_wr wr = {.wr_id = (uintptr_t)w->wait,
				 .sg_list = &sge,
				 .num_sge = 1,
				 .opcode = IBV_WR_RDMA_WRITE,
				 .send_flags = IBV_SEND_SIGNALED,
				 .wr.rdma = {w->addr, w->rkey}};
	struct ibv_send_wr *bad;

	if (imm && w->last) {
		wr.opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
		wr.imm_data = htonl(*imm);
	}
	return -ibv_post_send(qp, &wr, &bad);
}

/* ---- the whole ---- */

static int make_staging(struct initiator *i)
{
	const size_t size = (size_t)INITIATOR_BUFFERS * BUFFER;

	i->staging = mmap(NULL, size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (i->staging == MAP_FAILED) {
		i->staging = NULL;
		return -errno;
	}
	madvise(i->staging, size, MADV_DONTFORK);
	i->mr = ibv_reg_mr(i->device->pd, i->staging, size,
			   IBV_ACCESS_LOCAL_WRITE);
	return i->mr ? 0 : -errno;
}

static int make_queue(struct initiator *i)
{
	i->channel = ibv_create_comp_channel(i->device->ctx);
	if (!i->channel)
		return -errno;
	fcntl(i->channel->fd, F_SETFL, O_NONBLOCK);
	i->cq = ibv_create_cq(i->device->ctx, CQ_DEPTH, NULL, i->channel, 0);
	if (!i->cq)
		return -errno;
	return -ibv_req_notify_cq(i->cq, 0);
}

static int open_device(struct initiator *i, const struct initiator_config *cfg,
		       char *why, size_t cap)
{
	const struct rdma_want want = {.device = cfg->device,
				       .host = cfg->address};
	const struct rdma_place *p;
	int err = device_open_for(&want, &i->device, why, cap);

	if (err)
		return err;
	p = &i->device->place;
	snprintf(i->place, sizeof(i->place), "%s port %u, GID %s", p->device,
		 p->port, p->gid);
	return 0;
}

static int start(struct initiator *i, const struct initiator_config *cfg,
		 char *why, size_t cap)
{
	int err = open_device(i, cfg, why, cap);

	if (err)
		return err;
	err = make_queue(i);
	if (!err)
		err = make_staging(i);
	if (err) {
		snprintf(why, cap, "%s: %s", i->place, strerror(-err));
		return err;
	}
	if (cfg->dc) {
		err = dcis_new(i, &i->dcis, why, cap);
		if (err && cfg->dc_required)
			return err;
	}
	i->stop_fd = eventfd(0, EFD_CLOEXEC);
	err = i->stop_fd < 0 ? -errno
			     : thread_start(&i->thread, "rdma", run, i);
	i->started = !err;
	if (err)
		snprintf(why, cap, "%s: no thread: %s", i->place,
			 strerror(-err));
	return err;
}

int initiator_new(const struct initiator_config *cfg, struct initiator **out,
		  char *why, size_t cap)
{
	struct initiator *i = calloc(1, sizeof(*i));
	int err;

	if (!i)
		return -ENOMEM;
	i->stop_fd = -1;
	i->dc_key = cfg->dc_key;
	pthread_mutex_init(&i->lock, NULL);
	thread_cond_init(&i->changed);
	list_init(&i->conns);
	list_init(&i->sessions);
	err = start(i, cfg, why, cap);
	if (err) {
		initiator_free(i);
		return err;
	}
	*out = i;
	return 0;
}

void initiator_free(struct initiator *i)
{
	const uint64_t one = 1;

	if (!i)
		return;
	if (i->started) {
		if (write(i->stop_fd, &one, sizeof(one)) < 0)
			log_error("rdma: %m");
		pthread_join(i->thread, NULL);
	}
	conns_reap(i, true);
	sessions_reap(i, true);
	dcis_free(i->dcis);
	if (i->mr)
		ibv_dereg_mr(i->mr);
	if (i->cq)
		ibv_destroy_cq(i->cq);
	if (i->channel)
		ibv_destroy_comp_channel(i->channel);
	device_close(i->device);
	/* Behind the context: nothing reads it any more. */
	if (i->staging)
		munmap(i->staging, (size_t)INITIATOR_BUFFERS * BUFFER);
	if (i->stop_fd >= 0)
		close(i->stop_fd);
	pthread_cond_destroy(&i->changed);
	pthread_mutex_destroy(&i->lock);
	free(i);
}

bool initiator_alive(struct initiator *i)
{
	const bool alive = device_alive(i->device);

	LOCK_SCOPE(&i->lock);
	if (!alive) {
		i->broken = true;
		pthread_cond_broadcast(&i->changed);
	}
	return !i->broken;
}

bool initiator_has_dc(const struct initiator *i)
{
	return i->dcis != NULL;
}

bool initiator_is_infiniband(const struct initiator *i)
{
	return i->device->infiniband;
}

const char *initiator_place(const struct initiator *i)
{
	return i->place;
}
