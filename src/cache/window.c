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

/* Runs at least this long make whole chunks and prefetch worth their bytes. */
#define LONG_RUN (8ULL << 20)

/* So many reads in order, where others are elsewhere, are no large one. */
#define MANY 5

/* The stream makes way for another: remember how long such streams get.  The
 * longest of late counts: reads of mixed sizes are still random ones. */
static void note_end(struct window *w, const struct window_stream *s)
{
	w->jumped |= w->reads > 0;
	w->typical -= w->typical / 8;
	if (s->run > w->typical)
		w->typical = s->run;
}

/* Will a stream run on? */
static bool runs_on(const struct window *w, const struct window_stream *s)
{
	if (!w->jumped)
		return true;
	if (!w->typical)
		return s->count >= MANY;
	return w->typical >= LONG_RUN || s->run > 2 * w->typical;
}

/* Twice what was read in order, so that it doubles as it is used up; not
 * farther than the file, or than streams use to run. */
static uint64_t ahead_of(const struct window *w, uint64_t run, uint64_t end,
			 uint64_t size, uint64_t max)
{
	uint64_t n = 2 * run < max ? 2 * run : max;

	if (w->typical > run && n > w->typical - run)
		n = w->typical - run;
	return end >= size ? 0 : n < size - end ? n : size - end;
}

struct window_advice window_read(struct window *w, uint64_t off, uint64_t len,
				 uint64_t size, uint64_t max)
{
	struct window_stream *s = find(w, off);
	const bool known = s != NULL;
	const uint64_t end = off + len;
	struct window_advice a;

	if (!known) {
		s = oldest(w);
		note_end(w, s);
		*s = (struct window_stream){.next = end};
	}
	w->reads++;
	s->used = w->reads;
	if (end > s->next)
		s->next = end;
	s->run += len;
	s->count++;
	a.sequential = ((known && s->run >= LARGE) ||
			(off == 0 && len >= LARGE)) &&
		       runs_on(w, s);
	a.ahead = known && a.sequential ? ahead_of(w, s->run, end, size, max)
					: 0;
	return a;
}
