/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/spread.h"

#include <string.h>

/* How long an endpoint is passed by after it refused a connection, and after
 * it let one wait: finding out again costs a request that time. */
#define REFUSED_MS 1000
#define SILENT_MS 30000
#define FAILED_MS 200 /* each time: after a few it has a bad mean too */

/* An endpoint that has let others wait for so long, and for so many times what
 * it took of late, is asked nothing more until it answers, or they give up. */
#define AWAY_MS 200
#define AWAY_TIMES 4

#define LOOK_EVERY 32 /* choices, of which one goes to each in turn */
#define FAILED_US 50000
#define SHARE 8 /* of the newest time in the mean: one in so many */

void spread_init(struct spread *s, unsigned int n)
{
	memset(s, 0, sizeof(*s));
	s->n = n;
}

/* For how long it has let others wait. */
static uint64_t silence_of(const struct spread_url *u, uint64_t now_ms)
{
	const uint64_t heard = atomic_load_explicit(&u->heard_ms,
						    memory_order_relaxed);

	if (!atomic_load_explicit(&u->waiting, memory_order_relaxed))
		return 0;
	return now_ms > heard ? now_ms - heard : 0;
}

/* What it took of late. */
static uint64_t usual_ms(const struct spread_url *u)
{
	return atomic_load_explicit(&u->took_us, memory_order_relaxed) / 1000;
}

/* Has it failed others, or nobody answered at all? */
static bool has_failed(const struct spread_url *u, uint64_t now_ms)
{
	return atomic_load_explicit(&u->down_until_ms, memory_order_relaxed) >
	       now_ms;
}

static bool is_down(const struct spread_url *u, uint64_t now_ms)
{
	const uint64_t silence = silence_of(u, now_ms);

	return has_failed(u, now_ms) ||
	       (silence > AWAY_MS && silence > AWAY_TIMES * usual_ms(u));
}

static bool all_are_down(const struct spread *s, uint64_t now_ms)
{
	for (unsigned int i = 0; i < s->n; i++)
		if (!is_down(&s->urls[i], now_ms))
			return false;
	return true;
}

/* Shall it be passed by?  One that is silent may be busy with long answers:
 * where none is better, it is asked before one that is known to fail. */
static bool is_out(const struct spread_url *u, uint64_t now_ms,
		   bool none_better)
{
	return none_better ? has_failed(u, now_ms) : is_down(u, now_ms);
}

/* When it would answer one more, in microseconds; sooner is better. */
static uint64_t cost_of(const struct spread_url *u)
{
	const uint64_t took = atomic_load_explicit(&u->took_us,
						   memory_order_relaxed);
	const uint64_t waiting = atomic_load_explicit(&u->waiting,
						      memory_order_relaxed);

	return (took ? took : 1) * (waiting + 1);
}

/* Beginning with another one each time, so that those that are alike take
 * turns: a quarter less is no difference. */
static unsigned int best_of(const struct spread *s, unsigned int turn,
			    uint64_t now_ms)
{
	const bool all_down = all_are_down(s, now_ms);
	unsigned int best = turn % s->n;
	uint64_t least = UINT64_MAX;

	for (unsigned int i = 0; i < s->n; i++) {
		const unsigned int u = (turn + i) % s->n;
		const uint64_t cost = cost_of(&s->urls[u]);

		if (!is_out(&s->urls[u], now_ms, all_down) &&
		    cost + cost / 4 < least) {
			least = cost;
			best = u;
		}
	}
	return best;
}

unsigned int spread_choose(struct spread *s, uint64_t now_ms)
{
	const unsigned int turn = atomic_fetch_add(&s->turn, 1);
	const unsigned int look = turn / LOOK_EVERY % s->n;
	unsigned int url = 0;

	if (s->n > 1)
		url = turn % LOOK_EVERY == 0 && !is_down(&s->urls[look], now_ms)
			      ? look
			      : best_of(s, turn, now_ms);
	spread_take(s, url, now_ms);
	return url;
}

unsigned int spread_choose_again(struct spread *s, uint64_t now_ms)
{
	const unsigned int turn = atomic_fetch_add(&s->turn, 1);
	const bool all_down = all_are_down(s, now_ms);
	uint64_t least = UINT64_MAX;
	unsigned int url = turn % s->n;

	for (unsigned int i = 0; i < s->n; i++) {
		const unsigned int u = (turn + i) % s->n;
		const uint64_t silence = silence_of(&s->urls[u], now_ms);
		const uint64_t usual = usual_ms(&s->urls[u]);
		const uint64_t cost = silence > usual ? silence : usual;

		if (!is_out(&s->urls[u], now_ms, all_down) && cost < least) {
			least = cost;
			url = u;
		}
	}
	spread_take(s, url, now_ms);
	return url;
}

void spread_take(struct spread *s, unsigned int url, uint64_t now_ms)
{
	struct spread_url *u = &s->urls[url];

	if (!atomic_fetch_add_explicit(&u->waiting, 1, memory_order_relaxed))
		atomic_store_explicit(&u->heard_ms, now_ms,
				      memory_order_relaxed);
}

static void note_time(struct spread_url *u, uint64_t us)
{
	const uint64_t was = atomic_load_explicit(&u->took_us,
						  memory_order_relaxed);
	const uint64_t now = us < UINT32_MAX / 2 ? us + 1 : UINT32_MAX / 2;
	const uint64_t mean = was ? was - was / SHARE + now / SHARE : now;

	atomic_store_explicit(&u->took_us, mean ? (unsigned int)mean : 1,
			      memory_order_relaxed);
}

void spread_done(struct spread *s, unsigned int url, enum spread_end end,
		 uint64_t us, uint64_t now_ms)
{
	struct spread_url *u = &s->urls[url];

	atomic_fetch_sub_explicit(&u->waiting, 1, memory_order_relaxed);
	switch (end) {
	case SPREAD_ANSWERED:
		note_time(u, us);
		atomic_store(&u->down_until_ms, 0);
		atomic_store(&u->heard_ms, now_ms);
		break;
	case SPREAD_FAILED:
		note_time(u, us > FAILED_US ? us : FAILED_US);
		atomic_store(&u->down_until_ms, now_ms + FAILED_MS);
		break;
	case SPREAD_LATE:
		note_time(u, us);
		break;
	case SPREAD_REFUSED:
		atomic_store(&u->down_until_ms, now_ms + REFUSED_MS);
		break;
	case SPREAD_SILENT:
		atomic_store(&u->down_until_ms, now_ms + SILENT_MS);
		break;
	case SPREAD_OTHER:
		break;
	}
}
