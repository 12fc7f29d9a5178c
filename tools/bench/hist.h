/* SPDX-License-Identifier: Apache-2.0 */
/* How long things took: counts in buckets 6 % wide, from 1 ns to hours. */
#ifndef S3RDMAFS_BENCH_HIST_H
#define S3RDMAFS_BENCH_HIST_H

#include <stdint.h>

#define HIST_STEPS 16 /* buckets in which a value doubles */
#define HIST_BUCKETS (64 * HIST_STEPS)

struct hist {
	uint64_t total;
	uint32_t counts[HIST_BUCKETS];
};

void hist_add(struct hist *h, uint64_t ns);
void hist_merge(struct hist *h, const struct hist *other);

/* Seconds under which the share (0..1) of all lies; 0 when there are none. */
double hist_at(const struct hist *h, double share);

#endif
