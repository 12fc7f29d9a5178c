/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/window.h"

#include <stddef.h>

/* Requests of one stream may overtake each other, or leave a header out. */
#define SLACK_BACK (512ULL << 10)
#define SLACK_AHEAD (512ULL << 10)
#define LARGE (128ULL << 10)

static struct window_stream *find(struct window *w, uint64_t off)
{
	for (int i = 0; i < WINDOW_STREAMS; i++) {
		struct window_stream *s = &w->streams[i];

		if (s->run && off + SLACK_BACK >= s->next &&
		    off <= s->next + SLACK_AHEAD)
			return s;
	}
	return NULL;
}

static struct window_stream *oldest(struct window *w)
{
	struct window_stream *o = &w->streams[0];

	for (int i = 1; i < WINDOW_STREAMS; i++)
		if (w->streams[i].used < o->used)
			o = &w->streams[i];
	return o;
}

/* Twice what was read in order: a window that doubles as it is used up. */
static uint64_t ahead_of(const struct window_stream *s, uint64_t end,
			 uint64_t size, uint64_t max)
{
	uint64_t n = 2 * s->run;

	if (n > max)
		n = max;
	return end >= size ? 0 : n < size - end ? n : size - end;
}

struct window_advice window_read(struct window *w, uint64_t off, uint64_t len,
				 uint64_t size, uint64_t max)
{
	struct window_stream *s = find(w, off);
	const bool known = s != NULL;
	const uint64_t end = off + len;
	struct window_advice a;

	w->reads++;
	if (!known) {
		s = oldest(w);
		*s = (struct window_stream){.next = end};
	}
	s->used = w->reads;
	if (end > s->next)
		s->next = end;
	s->run += len;
	a.sequential = (known && s->run >= LARGE) || (off == 0 && len >= LARGE);
	a.ahead = known && a.sequential ? ahead_of(s, end, size, max) : 0;
	return a;
}
