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

static struct window_stream *latest(struct window *w)
{
	struct window_stream *l = &w->streams[0];

	for (int i = 1; i < WINDOW_STREAMS; i++)
		if (w->streams[i].used > l->used)
			l = &w->streams[i];
	return l;
}

/* The stream that was read last has ended in a jump: remember its length. */
static void note_jump(struct window *w)
{
	const uint64_t run = latest(w)->run;

	if (w->reads > 0 && run > 0)
		w->typical = w->typical ? (3 * w->typical + run) / 4 : run;
}

/* Will a stream that has run so far run on? */
static bool runs_on(const struct window *w, uint64_t run)
{
	if (!w->typical)
		return true;
	return run > 2 * w->typical ||
	       (w->typical >= LONG_RUN && run < w->typical);
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
		note_jump(w);
		s = oldest(w);
		*s = (struct window_stream){.next = end};
	}
	w->reads++;
	s->used = w->reads;
	if (end > s->next)
		s->next = end;
	s->run += len;
	a.sequential = ((known && s->run >= LARGE) ||
			(off == 0 && len >= LARGE)) &&
		       runs_on(w, s->run);
	a.ahead = known && a.sequential ? ahead_of(w, s->run, end, size, max)
					: 0;
	return a;
}
