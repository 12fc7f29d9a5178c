/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cache/listing_int.h"

#define NEAR 2 /* of the streams that have not ended, those in front */
/* They cut themselves when they have had this part of all pages, so that the
 * segments of a large directory are dozens, not thousands. */
#define CUT_SHARE 16
#define CUTS 10               /* at a time */
#define CUT_REST 16           /* pages, when there was nothing to cut */
#define CUT_TEXT (512U << 10) /* bytes of names in a page */
#define SEGS_LEFT 32          /* for the stream without an end */

static int take_first(void *name, const struct s3_entry *e)
{
	snprintf(name, S3_KEY_MAX + 1, "%s", e->key);
	return 0;
}

/* The first name behind another; "" when there is none, or no answer. */
static void probe(const struct listing *li, const char *behind,
		  char out[S3_KEY_MAX + 1])
{
	char after[S3_KEY_MAX + RANGES_NAME], key[S3_KEY_MAX + 1] = "";
	const struct s3_list l = {.bucket = li->bucket,
				  .prefix = li->prefix,
				  .delimiter = "/",
				  .start_after = after,
				  .max_keys = 1,
				  .entry = take_first,
				  .ctx = key};
	const size_t n = strlen(li->prefix);

	out[0] = '\0';
	snprintf(after, sizeof(after), "%s%s", li->prefix, behind);
	if (!s3_list(li->ns->s3, &l, NULL) && !strncmp(key, li->prefix, n))
		snprintf(out, S3_KEY_MAX + 1, "%s", key + n);
}

/*
 * The names behind cur have no end that is known.  Of its bytes, the first
 * that is another in some later name is searched for; there the cuts are.
 */
static unsigned int find_cuts(const struct listing *li, const char *cur,
			      char (*cuts)[RANGES_NAME], unsigned int max)
{
	size_t lo = 0, hi = strlen(cur);
	char next[S3_KEY_MAX + 1] = "";

	while (lo < hi) {
		const size_t mid = lo + (hi - lo) / 2;
		char behind[RANGES_NAME], found[S3_KEY_MAX + 1];

		ranges_behind(cur, mid + 1, behind);
		if (!behind[0])
			return 0;
		probe(li, behind, found);
		if (found[0]) {
			hi = mid;
			memcpy(next, found, sizeof(next));
		} else {
			lo = mid + 1;
		}
	}
	if (!next[0] || strlen(next) <= lo || strncmp(next, cur, lo) != 0)
		return 0;
	return ranges_cuts(cur, next, lo, cuts, max);
}

/* Does the cut come behind what the stream has taken? */
static bool is_behind(const struct stream *s, const char *cut)
{
	return rec_compare(s->b.last, s->b.last_len, s->b.last_is_dir, cut,
			   strlen(cut), false) < 0;
}

/* Where to cut what the stream has not taken yet: names behind the last one
 * that it took and before its end, in order; how many. */
static unsigned int cuts_of(const struct stream *s, char (*cuts)[RANGES_NAME],
			    unsigned int max)
{
	unsigned int n, kept = 0;

	if (s->end[0])
		n = ranges_middle(s->b.last, s->end, cuts[0]);
	else
		n = find_cuts(s->li, s->b.last, cuts, max);
	for (unsigned int i = 0; i < n; i++) {
		if (!is_behind(s, cuts[i]) ||
		    (s->end[0] && strcmp(cuts[i], s->end) >= 0))
			continue;
		if (kept != i)
			memcpy(cuts[kept], cuts[i], sizeof(cuts[kept]));
		kept++;
	}
	return kept;
}

/* A stream of the names behind after, which comes next to s and waits; false
 * when there can be none. */
static bool add_stream(struct stream *s, const char *after, const char *end)
{
	struct stream *t = calloc(1, sizeof(*t));
	struct listing *li = s->li;

	if (!t)
		return false;
	t->li = li;
	snprintf(t->after, sizeof(t->after), "%s", after);
	snprintf(t->end, sizeof(t->end), "%s", end);
	t->seg = dirs_seg_add(li->ns->dirs, li->snap, s->seg);
	if (t->seg == SNAP_NONE) {
		free(t);
		return false;
	}
	LOCK_SCOPE(&li->lock);
	t->next = s->next;
	s->next = t;
	li->nstreams++;
	li->waiting++;
	return true;
}

/* Under the lock. */
static bool is_near(const struct stream *s)
{
	unsigned int before = 0;

	for (const struct stream *t = s->li->streams; t != s; t = t->next)
		before += t->state != STREAM_ENDED;
	return before < NEAR;
}

static bool may_cut(struct stream *s)
{
	struct listing *li = s->li;

	/* Of nothing taken yet nothing can be told; and a server with large
	 * pages would have many in memory at once. */
	if (!s->b.entries || s->pages < s->next_cut ||
	    s->page.text.len > CUT_TEXT ||
	    strlen(s->b.last) >= RANGES_NAME - 8 ||
	    atomic_load(&li->ns->streams) > STREAMS_ALL)
		return false;
	LOCK_SCOPE(&li->lock);
	if (li->nstreams >= (s->end[0] ? STORE_SEGS - SEGS_LEFT : STORE_SEGS))
		return false;
	if (li->running + li->waiting < STREAMS)
		return true;
	return s->end[0] && s->pages - s->last_cut >= li->pages / CUT_SHARE &&
	       is_near(s);
}

/* Gives away what the stream has left, but for the first piece. */
void stream_cut(struct stream *s)
{
	char cuts[CUTS][RANGES_NAME], end[RANGES_NAME];
	unsigned int n;

	if (!may_cut(s))
		return;
	n = cuts_of(s, cuts, CUTS);
	s->last_cut = s->pages;
	s->next_cut = s->pages + (n ? CUT_PAGES : CUT_REST);
	memcpy(end, s->end, sizeof(end));
	while (n-- > 0) {
		if (!add_stream(s, cuts[n], end))
			return;
		memcpy(end, cuts[n], sizeof(end));
		memcpy(s->end, end, sizeof(end));
	}
}
