/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/hedge_policy.h"

/* One that is above moves the estimate up 99 times as far as one below moves
 * it down: it comes to rest where one in a hundred is above.  Steps are a part
 * of it, so that one endless request does not raise it more than a slow one. */
#define UP 8 /* by an eighth */
#define DOWN (99 * UP)
#define DOWN_FIRST 8 /* while there is no history: the first says little */

void hedge_policy_init(struct hedge_policy *p, uint64_t floor_ns)
{
	*p = (struct hedge_policy){.floor_ns = floor_ns};
}

void hedge_policy_note(struct hedge_policy *p, enum slot_class class,
		       uint64_t ns)
{
	uint64_t *p99 = &p->took[class].p99_ns;

	if (p->took[class].seen++ == 0)
		*p99 = ns;
	else if (p->took[class].seen < HEDGE_HISTORY && ns < *p99)
		*p99 -= (*p99 - ns) / DOWN_FIRST;
	else if (ns > *p99)
		*p99 += *p99 / UP + 1;
	else
		*p99 -= *p99 / DOWN;
	if (p->took[class].seen > HEDGE_HISTORY)
		p->took[class].seen = HEDGE_HISTORY;
	if (p->credit < HEDGE_SAVED * HEDGE_SHARE)
		p->credit++;
}

uint64_t hedge_policy_after(const struct hedge_policy *p, enum slot_class class)
{
	const uint64_t twice = 2 * p->took[class].p99_ns;

	if (!p->floor_ns || p->took[class].seen < HEDGE_HISTORY)
		return UINT64_MAX;
	return twice > p->floor_ns ? twice : p->floor_ns;
}

bool hedge_policy_spend(struct hedge_policy *p)
{
	if (p->credit < HEDGE_SHARE)
		return false;
	p->credit -= HEDGE_SHARE;
	return true;
}
