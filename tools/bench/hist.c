/* SPDX-License-Identifier: Apache-2.0 */
#include "hist.h"

static unsigned int bucket_of(uint64_t ns)
{
	unsigned int log2;

	if (ns < HIST_STEPS)
		return (unsigned int)ns;
	log2 = 63 - (unsigned int)__builtin_clzll(ns);
	return (log2 - 3) * HIST_STEPS +
	       (unsigned int)(ns >> (log2 - 4)) % HIST_STEPS;
}

/* The middle of a bucket, ns. */
static double value_of(unsigned int bucket)
{
	const unsigned int log2 = bucket / HIST_STEPS + 3;

	if (bucket < HIST_STEPS)
		return bucket;
	return (HIST_STEPS + bucket % HIST_STEPS + 0.5) *
	       (double)(1ULL << (log2 - 4));
}

void hist_add(struct hist *h, uint64_t ns)
{
	h->counts[bucket_of(ns)]++;
	h->total++;
}

void hist_merge(struct hist *h, const struct hist *other)
{
	for (unsigned int i = 0; i < HIST_BUCKETS; i++)
		h->counts[i] += other->counts[i];
	h->total += other->total;
}

double hist_at(const struct hist *h, double share)
{
	const double rank = share * (double)h->total;
	uint64_t below = 0;

	for (unsigned int i = 0; i < HIST_BUCKETS; i++) {
		below += h->counts[i];
		if (below > 0 && (double)below >= rank)
			return value_of(i) / 1e9;
	}
	return 0;
}
