/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/pace.h"

void pace_init(struct pace *p)
{
	*p = (struct pace){.bound = UINT64_MAX};
}

uint64_t pace_begin(struct pace *p, uint64_t bytes)
{
	p->going += bytes;
	return p->going;
}

void pace_end(struct pace *p, uint64_t bytes, uint64_t with, uint64_t took_ns,
	      bool good)
{
	double came;

	p->going -= bytes;
	if (!good)
		return;
	/* What shared the line with it in took_ns, in PACE_NS.  Of what was
	 * quick that is too little: then it was the way that took the time,
	 * not the line; so it only ever allows more. */
	came = (double)with * (double)PACE_NS / (double)(took_ns ? took_ns : 1);
	if (came >= 1e18)
		p->bound = UINT64_MAX;
	else if (took_ns > PACE_NS || (double)p->bound < came)
		p->bound = (uint64_t)came;
}

bool pace_allows(const struct pace *p)
{
	return p->going < p->bound;
}

static uint64_t span_of(uint64_t now_ns)
{
	return now_ns / SHARES_NS + 1;
}

void shares_note(struct shares *s, uint64_t *span, uint64_t now_ns)
{
	const uint64_t now = span_of(now_ns);

	if (now != s->span) {
		s->before = now == s->span + 1 ? s->now : 0;
		s->now = 0;
		s->span = now;
	}
	if (*span != now) {
		*span = now;
		s->now++;
	}
}

void shares_leave(struct shares *s, uint64_t span)
{
	if (span && span == s->span)
		s->now -= s->now > 0;
	/* Of one that was there in both, the larger number counts. */
	if (span && (span == s->span || span + 1 == s->span))
		s->before -= s->before > 0;
}

unsigned int shares_count(const struct shares *s, uint64_t span,
			  uint64_t now_ns)
{
	const uint64_t now = span_of(now_ns);
	unsigned int n = 0;

	if (s->span == now)
		n = s->now > s->before ? s->now : s->before;
	else if (s->span + 1 == now)
		n = s->now;
	/* One that was not there before comes in addition. */
	if (span + 1 < now)
		n++;
	return n ? n : 1;
}
