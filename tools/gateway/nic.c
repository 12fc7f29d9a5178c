/* SPDX-License-Identifier: Apache-2.0 */
#include "nic.h"

#include <errno.h>
#include <stdlib.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/thread.h"

#define WATCH_MS 200
#define RETRY_TICKS 5 /* of WATCH_MS */

struct nic {
	struct nic_config cfg;
	pthread_t thread;
	bool started;

	pthread_mutex_t lock;
	pthread_cond_t changed;
	/* Under lock. */
	struct initiator *initiator; /* changed by the thread only */
	unsigned int users;
	bool ending; /* nobody enters any more */
	bool was_open;
	bool stop;
};

static void publish(struct nic *n, struct initiator *i)
{
	LOCK_SCOPE(&n->lock);
	n->initiator = i;
	n->ending = false;
	n->was_open = true;
}

/* Takes it away once the last user has left. */
static struct initiator *withdraw(struct nic *n)
{
	struct initiator *i;

	LOCK_SCOPE(&n->lock);
	n->ending = true;
	while (n->users > 0)
		pthread_cond_wait(&n->changed, &n->lock);
	i = n->initiator;
	n->initiator = NULL;
	return i;
}

static int try_open(struct nic *n, char *why, size_t cap)
{
	struct initiator *i;
	const int err = initiator_new(&n->cfg.initiator, &i, why, cap);

	if (err)
		return err;
	log_info("rdma: %s%s", initiator_place(i),
		 initiator_has_dc(i) ? ", with dc" : "");
	publish(n, i);
	return 0;
}

static bool pause_until_stop(struct nic *n)
{
	LOCK_SCOPE(&n->lock);
	if (!n->stop)
		thread_cond_wait_ms(&n->changed, &n->lock, WATCH_MS);
	return n->stop;
}

static void *watch(void *arg)
{
	struct nic *n = arg;
	unsigned int tick = 0;
	char why[256];

	while (!pause_until_stop(n)) {
		if (n->initiator && !initiator_alive(n->initiator)) {
			log_warning("rdma: the device has gone; objects go by "
				    "http until it is back");
			initiator_free(withdraw(n));
		}
		if (!n->initiator && ++tick % RETRY_TICKS == 0)
			try_open(n, why, sizeof(why));
	}
	return NULL;
}

int nic_new(const struct nic_config *cfg, struct nic **out, char *why,
	    size_t cap)
{
	struct nic *n = calloc(1, sizeof(*n));
	int err;

	if (!n)
		return -ENOMEM;
	n->cfg = *cfg;
	pthread_mutex_init(&n->lock, NULL);
	thread_cond_init(&n->changed);
	err = try_open(n, why, cap);
	if (err && !cfg->required) {
		log_info("rdma: off: %s", why);
		err = 0;
	}
	if (!err)
		err = thread_start(&n->thread, "nic", watch, n);
	n->started = !err;
	if (err) {
		nic_free(n);
		return err;
	}
	*out = n;
	return 0;
}

static void ask_to_stop(struct nic *n)
{
	LOCK_SCOPE(&n->lock);
	n->stop = true;
	pthread_cond_broadcast(&n->changed);
}

void nic_free(struct nic *n)
{
	if (!n)
		return;
	if (n->started) {
		ask_to_stop(n);
		pthread_join(n->thread, NULL);
	}
	initiator_free(n->initiator);
	pthread_cond_destroy(&n->changed);
	pthread_mutex_destroy(&n->lock);
	free(n);
}

struct initiator *nic_enter(struct nic *n)
{
	if (!n)
		return NULL;
	LOCK_SCOPE(&n->lock);
	if (!n->initiator || n->ending)
		return NULL;
	n->users++;
	return n->initiator;
}

void nic_leave(struct nic *n)
{
	LOCK_SCOPE(&n->lock);
	n->users--;
	pthread_cond_broadcast(&n->changed);
}

bool nic_is_away(struct nic *n)
{
	if (!n)
		return false;
	LOCK_SCOPE(&n->lock);
	return n->was_open && (!n->initiator || n->ending);
}

bool nic_has_addresses(struct nic *n)
{
	struct initiator *i = nic_enter(n);
	const bool infiniband = i && initiator_is_infiniband(i);

	if (i)
		nic_leave(n);
	return !infiniband;
}
