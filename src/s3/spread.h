/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which of several endpoints a request goes to: the one where it is expected
 * to be answered first, by how long answers took of late and how many are
 * waited for.  Each is asked now and then, so that one that was slow is found
 * out to be fast again; one that refused or let wait is passed by for a while.
 *
 * Any thread; nothing waits.  Numbers may be a request old.
 */
#ifndef S3RDMAFS_S3_SPREAD_H
#define S3RDMAFS_S3_SPREAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define SPREAD_MAX 16

struct spread_url {
	atomic_uint took_us; /* to the first byte, of late; 0: not known */
	atomic_uint waiting; /* requests */
	/* When it last answered, or was asked while nobody waited for it. */
	atomic_ullong heard_ms;
	atomic_ullong down_until_ms;
};

struct spread {
	unsigned int n; /* constant */
	atomic_uint turn;
	struct spread_url urls[SPREAD_MAX];
};

enum spread_end {
	SPREAD_ANSWERED,
	SPREAD_FAILED,  /* a quick no */
	SPREAD_LATE,    /* no answer in all the time that there was */
	SPREAD_REFUSED, /* no connection, or one that was cut */
	SPREAD_SILENT,  /* a connection that came to nothing */
	SPREAD_OTHER,   /* says nothing of the endpoint */
};

void spread_init(struct spread *s, unsigned int n);

/* Chooses one and counts the request; or counts it where it must go. */
unsigned int spread_choose(struct spread *s, uint64_t now_ms);
void spread_take(struct spread *s, unsigned int url, uint64_t now_ms);
/* For a request whose like stays away: one that has nobody waiting, or has
 * answered not long ago. */
unsigned int spread_choose_again(struct spread *s, uint64_t now_ms);

/* The request has ended; us: to the first byte of the answer, or to the end
 * when none came. */
void spread_done(struct spread *s, unsigned int url, enum spread_end end,
		 uint64_t us, uint64_t now_ms);

#endif
