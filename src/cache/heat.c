/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/heat.h"

void heat_read(struct heat *h, uint64_t lo, uint64_t hi, uint64_t size,
	       bool small)
{
	if (small && h->touched && lo != h->next)
		h->hot = true;
	h->touched += hi - lo;
	h->next = hi;
	if (h->touched > size)
		h->hot = true;
}

/* The finisher of MurmurHash3. */
static uint64_t mix(uint64_t x)
{
	x = (x ^ (x >> 33)) * 0xff51afd7ed558ccdULL;
	x = (x ^ (x >> 33)) * 0xc4ceb9fe1a85ec53ULL;
	return x ^ (x >> 33);
}

static uint64_t hash_of(uint64_t object, uint64_t index, uint64_t class)
{
	return mix(mix(object * 4 + class) + index);
}

void ghosts_note(struct ghosts *g, uint64_t object, uint64_t index,
		 uint64_t class)
{
	const uint64_t h = hash_of(object, index, class);

	g->turn++;
	g->all[h % GHOSTS].print = (uint32_t)(h >> 32);
	g->all[h % GHOSTS].turn = g->turn;
}

bool ghosts_has(const struct ghosts *g, uint64_t object, uint64_t index,
		uint64_t class, uint32_t within)
{
	const uint64_t h = hash_of(object, index, class);

	return g->all[h % GHOSTS].turn &&
	       g->all[h % GHOSTS].print == (uint32_t)(h >> 32) &&
	       g->turn - g->all[h % GHOSTS].turn < within;
}
