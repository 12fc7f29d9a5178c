/* SPDX-License-Identifier: Apache-2.0 */
#include "xfer/health.h"

static bool is_benched(const struct health *h)
{
	return h->declines >= HEALTH_DECLINES || h->faults >= HEALTH_FAULTS;
}

bool health_may_offer(struct health *h, uint64_t now_ms)
{
	if (!is_benched(h))
		return true;
	if (now_ms < h->probe_ms)
		return false;
	h->probe_ms = now_ms + HEALTH_PERIOD_MS;
	return true;
}

void health_note(struct health *h, enum health_event e, uint64_t now_ms)
{
	const bool was = is_benched(h);

	switch (e) {
	case HEALTH_OK:
		h->declines = h->faults = 0;
		break;
	case HEALTH_DECLINED:
		h->declines++;
		h->faults = 0; /* it answers */
		break;
	case HEALTH_USELESS:
		h->declines = HEALTH_DECLINES;
		break;
	case HEALTH_FAULT:
		h->faults++;
		break;
	case HEALTH_NOTHING:
		break;
	}
	if (!was && is_benched(h))
		h->probe_ms = now_ms + HEALTH_PERIOD_MS;
}
