/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When a request that stays away is worth making a second time, and how many
 * are.  Pure; each class of slots has its own times, since a request for
 * 4 MiB takes longer than one for 64 KiB.
 */
#ifndef S3RDMAFS_CACHE_HEDGE_POLICY_H
#define S3RDMAFS_CACHE_HEDGE_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "cache/staging.h"

#define HEDGE_SHARE 20   /* at most one request in so many is made twice */
#define HEDGE_SAVED 4    /* so many of them can be saved up */
#define HEDGE_HISTORY 32 /* requests before their times mean anything */

struct hedge_policy {
	uint64_t floor_ns; /* constant: never before; 0: never at all */
	struct {
		uint64_t p99_ns; /* 99 in 100 took less, about */
		unsigned int seen;
	} took[SLOT_CLASSES];
	unsigned int credit; /* HEDGE_SHARE of it are one hedge */
};

void hedge_policy_init(struct hedge_policy *p, uint64_t floor_ns);

/* A request took so long, to whatever end. */
void hedge_policy_note(struct hedge_policy *p, enum slot_class class,
		       uint64_t ns);

/* How long to wait for one before it is made again; UINT64_MAX: for ever. */
uint64_t hedge_policy_after(const struct hedge_policy *p,
			    enum slot_class class);

/* Takes one from what may be spent; false when there is none. */
bool hedge_policy_spend(struct hedge_policy *p);

#endif
