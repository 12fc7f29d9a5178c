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

/* What is fetched at least of a stream that goes on. */
#define SMALL_STEP (4ULL << 20)

/* So many reads in order, where others are elsewhere, are no large one. */
#define MANY 5

/* Long runs, each counted twice and short ones taken off: so many and the next
 * is expected to be long; never more than those, so that it is soon over. */
#define HABIT 3
#define HABIT_MAX 5

/* The stream makes way for another: remember how long such streams get.  The
 * longest of late counts: reads of mixed sizes are still random ones.  A copy
 * of much begins with a look at its last bytes: that is no stream. */
static void note_end(struct window *w, const struct window_stream *s)
{
	w->jumped |= w->reads > 0;
	if (s->run < LARGE)
		return;
	if (s->run < LONG_RUN)
		w->habit -= w->habit > 0;
	else if (w->habit < HABIT_MAX)
		w->habit += 2;
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

/* How much more of a stream is expected.  Twice what was read in order, so
 * that it doubles as it is used up; where streams use to run far, so far at
 * once; and from there on with small steps again. */
static uint64_t expect_more(const struct window *w, uint64_t run)
{
	const uint64_t over = run > w->typical ? 2 * (run - w->typical) : 0;

	if (!w->typical)
		return 2 * run;
	if (over)
		return over > SMALL_STEP ? over : SMALL_STEP;
	if (w->typical >= LONG_RUN || 2 * run > w->typical - run)
		return w->typical - run;
	return 2 * run;
}

static uint64_t ahead_of(const struct window *w, uint64_t run, uint64_t end,
			 uint64_t size, uint64_t max)
{
	uint64_t n = expect_more(w, run);

	n = n < max ? n : max;
	return end >= size ? 0 : n < size - end ? n : size - end;
}

/* So many equal distances make a rule. */
#define EQUAL 3

/* Less than a part of SPARSE read of what a stream spans: it has gaps. */
#define SPARSE 4

static uint64_t distance(int64_t d)
{
	return d < 0 ? -(uint64_t)d : (uint64_t)d;
}

/* Who read far downwards before does so again. */
static bool is_downwards(const struct window *w)
{
	return w->downs >= (w->behind >= LONG_RUN ? 1 : EQUAL);
}

/* Does the read end where the one before began, or overlap it? */
static bool is_down(const struct window *w, uint64_t off, uint64_t len)
{
	const uint64_t piece = w->since > len ? w->since : len;

	return w->reads && off < w->from && w->from - off <= piece;
}

/* The most that a look has, and how near to the end of a run it is. */
#define LOOK (2ULL << 20)

static void note_down(struct window *w, uint64_t off, uint64_t len)
{
	if (is_down(w, off, len)) {
		w->downs++;
		return;
	}
	/* Elsewhere: a run downwards has ended, or was none after all. */
	if (w->downs >= EQUAL) {
		w->behind = w->top - w->from;
		w->looks = w->looked && w->look <= w->from + LOOK &&
			   w->from <= w->look + LOOK;
		w->looked = false;
	} else {
		const bool alone = w->reads && !w->downs && w->since <= LOOK;

		/* One is a look, two are none. */
		if (!alone || w->looked || !w->looks)
			w->behind = 0;
		w->looks = w->looks && w->behind;
		w->looked = alone;
		w->look = w->from;
	}
	w->downs = 0;
	w->top = off + len;
}

/* Where the read stands to the one before. */
static void note_distance(struct window *w, uint64_t off, uint64_t len,
			  bool continues)
{
	const int64_t d = (int64_t)(off - w->from);

	if (continues) {
		w->since += len;
		return;
	}
	note_down(w, off, len);
	w->equal = w->reads && d && d == w->stride ? w->equal + 1 : 0;
	w->stride = d;
	w->from = off;
	w->piece = w->since > len ? w->since : len;
	w->since = len;
}

/* Twice as far as it came, or to where the last one ended, and with small
 * steps from there on; but not below a look, as those before were. */
static uint64_t expect_back(const struct window *w, uint64_t off, uint64_t max)
{
	const uint64_t run = w->top - off;
	const uint64_t over = run > w->behind ? run - w->behind : 0;
	uint64_t n = w->behind > run ? w->behind - run : 2 * run;

	if (w->behind >= LONG_RUN && over)
		n = over > SMALL_STEP ? over : SMALL_STEP;
	if (w->looks && w->looked && off <= w->look + LOOK)
		n = 0;
	n = n < max ? n : max;
	return n < off ? n : off;
}

/* From a look on, what the run towards it will have. */
static uint64_t expect_up(const struct window *w, uint64_t off, uint64_t size,
			  uint64_t max)
{
	const uint64_t end = off + w->since;
	uint64_t n = w->behind > w->since ? w->behind - w->since : 0;

	n = n < max ? n : max;
	return end >= size ? 0 : n < size - end ? n : size - end;
}

/* Pieces at equal distances, in either direction. */
static void expect_steps(const struct window *w, uint64_t off, uint64_t size,
			 uint64_t max, struct window_advice *a)
{
	const uint64_t step = distance(w->stride);
	uint64_t n;

	if (!w->piece || off >= size || off != w->from)
		return;
	/* The same begins as the last time. */
	if (!w->downs && !w->looked && w->looks && w->behind >= LONG_RUN) {
		a->sequential = true;
		a->ahead = expect_up(w, off, size, max);
		return;
	}
	/* Right after a long one the next begins, by all that is known. */
	if (is_downwards(w) || (!w->downs && w->behind >= LONG_RUN)) {
		a->sequential = false; /* what follows it is known */
		a->back = expect_back(w, off, max);
		return;
	}
	if (w->equal < EQUAL)
		return;
	n = w->stride < 0 ? off / step : (size - off - 1) / step;
	n = n < max / w->piece ? n : max / w->piece;
	n = n < WINDOW_STEPS ? n : WINDOW_STEPS;
	a->step = w->stride;
	a->steps = (unsigned int)(n < 2 * w->equal ? n : 2 * w->equal);
	a->piece = w->piece;
}

struct window_advice window_read(struct window *w, uint64_t off, uint64_t len,
				 uint64_t size, uint64_t max)
{
	struct window_stream *s = find(w, off);
	const bool known = s != NULL;
	const uint64_t end = off + len;
	struct window_advice a = {.sequential = false};
	/* A long run begins, by all that is known. */
	bool onward, jumps_far = false;

	note_distance(w, off, len, known && off == s->next);
	if (!known) {
		jumps_far = w->habit >= HABIT && !w->behind && len >= LARGE;
		s = oldest(w);
		note_end(w, s);
		*s = (struct window_stream){.first = off, .next = end};
	}
	w->reads++;
	s->used = w->reads;
	onward = end >= s->next;
	if (onward)
		s->next = end;
	if (off < s->first)
		s->first = off;
	s->run += len;
	s->count++;
	a.sequential = ((known && s->run >= LARGE) ||
			(off == 0 && len >= LARGE) || jumps_far) &&
		       runs_on(w, s) && s->run >= (s->next - s->first) / SPARSE;
	if ((known || jumps_far) && a.sequential && onward)
		a.ahead = ahead_of(w, s->run, end, size, max);
	if (!a.ahead)
		expect_steps(w, off, size, max, &a);
	return a;
}
