/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings: finding names in them, reading them while they grow.
 * A whole one is constant and needs no lock.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "cache/dirs_int.h"
#include "cache/snap_index.h"

#define INDEX_LEAVES 16 /* fewer are found quickly */

/* ---- finding a name ---- */

/* Segments that are done with, or one as far as it has come. */
struct part {
	const struct snap_seg *segs;
	uint32_t n;
	struct snap_index *index; /* or NULL */
};

static uint64_t count_leaves(const struct part *p)
{
	return p->n ? p->segs[p->n - 1].before + p->segs[p->n - 1].leaves : 0;
}

/* The segment that has a leaf, by its number in all. */
static uint32_t seg_of(const struct part *p, uint64_t at)
{
	uint32_t lo = 0, hi = p->n;

	/* The last segment that does not begin behind it. */
	while (hi - lo > 1) {
		const uint32_t mid = lo + (hi - lo) / 2;

		if (p->segs[mid].before <= at)
			lo = mid;
		else
			hi = mid;
	}
	return lo;
}

static struct leaf *leaf_at(struct dirs *d, const struct part *p, uint64_t at)
{
	const struct snap_seg *g = &p->segs[seg_of(p, at)];

	return leaves_get(d->leaves, g->snap, (uint32_t)(at - g->before));
}

static bool first_entry(const struct leaf *l, struct rec *out)
{
	struct rec_reader r;

	rec_reader_init(&r, l->data, l->n);
	if (!rec_next(&r))
		return false;
	*out = r.rec;
	return true;
}

static bool last_entry(const struct leaf *l, struct rec *out)
{
	struct rec_reader r;
	bool any = false;

	rec_reader_init(&r, l->data, l->n);
	while (rec_next(&r)) {
		*out = r.rec;
		any = true;
	}
	return any;
}

/* NULL: it cannot be read. */
static struct snap_index *new_index(struct dirs *d, const struct part *p,
				    uint64_t leaves)
{
	struct leaf *a = leaf_at(d, p, 0), *b = leaf_at(d, p, leaves - 1);
	struct snap_index *x = NULL;
	struct rec first, last;

	if (a && b && first_entry(a, &first) && last_entry(b, &last))
		x = snap_index_new(&first, &last, leaves);
	if (a)
		leaves_put(a);
	if (b)
		leaves_put(b);
	return x;
}

/* A whole listing, with its index if that is worth while. */
static struct part whole_of(struct dirs *d, struct snap *s)
{
	struct part p = {s->segs, s->nsegs, NULL};
	const uint64_t leaves = count_leaves(&p);
	struct snap_index *x;

	if (leaves < INDEX_LEAVES)
		return p;
	{
		LOCK_SCOPE(&d->lock);
		p.index = s->index;
	}
	if (p.index)
		return p;
	x = new_index(d, &p, leaves);
	LOCK_SCOPE(&d->lock);
	if (s->index)
		free(x); /* somebody else was faster */
	else
		s->index = x;
	p.index = s->index;
	return p;
}

/* How the first entry of a leaf compares with a name, to *c. */
static int compare_first(struct dirs *d, const struct part *p, uint64_t at,
			 const char *name, size_t len, bool is_dir, int *c)
{
	struct leaf *l;
	struct rec first;

	*c = p->index ? snap_index_compare(p->index, at, name, len, is_dir) : 0;
	if (*c)
		return 0;
	l = leaf_at(d, p, at);
	if (!l)
		return -EAGAIN;
	*c = 1;
	if (first_entry(l, &first)) {
		*c = rec_compare(first.name, first.len, first.is_dir, name, len,
				 is_dir);
		if (p->index)
			snap_index_note(p->index, at, &first);
	}
	leaves_put(l);
	return 0;
}

/* Looks for name, a directory's or a file's, in one leaf: 1, 0; or -1 when
 * all of the leaf comes before it. */
static int find_in_leaf(const struct leaf *l, const char *name, size_t len,
			bool is_dir, struct rec *out)
{
	struct rec_reader r;

	rec_reader_init(&r, l->data, l->n);
	while (rec_skim(&r)) {
		const int c = rec_compare(r.rec.name, r.rec.len, r.rec.is_dir,
					  name, len, is_dir);

		if (c == 0) {
			if (!rec_fill(&r))
				return 0;
			*out = r.rec;
			return 1;
		}
		if (c > 0)
			return 0;
	}
	return -1;
}

/* The last leaf that does not begin behind the name, or the first: 1, with its
 * number, 0 when there is none, or -EAGAIN. */
static int find_leaf(struct dirs *d, const struct part *p, const char *name,
		     size_t len, bool is_dir, uint64_t *at, struct leaf **out)
{
	uint64_t lo = 0, hi = count_leaves(p);

	if (hi == 0)
		return 0;
	while (hi - lo > 1) {
		const uint64_t mid = lo + (hi - lo) / 2;
		int c;

		if (compare_first(d, p, mid, name, len, is_dir, &c))
			return -EAGAIN;
		if (c <= 0)
			lo = mid;
		else
			hi = mid;
	}
	*at = lo;
	*out = leaf_at(d, p, lo);
	return *out ? 1 : -EAGAIN;
}

static int find_one(struct dirs *d, struct part p, const char *name, size_t len,
		    bool is_dir, struct rec *out)
{
	struct leaf *l;
	uint64_t at;
	int found = find_leaf(d, &p, name, len, is_dir, &at, &l);

	if (found <= 0)
		return found;
	found = find_in_leaf(l, name, len, is_dir, out);
	leaves_put(l);
	return found > 0;
}

int dirs_find(struct dirs *d, struct snap *s, const char *name, struct rec *out)
{
	const struct part p = whole_of(d, s);
	const size_t len = strlen(name);
	/* Most names are of files; but where both stand, the directory is
	 * what is seen. */
	const int file = find_one(d, p, name, len, false, out);

	if (file < 0 || (file > 0 && !(s->flags & STORE_HIDES)))
		return file;
	return find_one(d, p, name, len, true, out) ?: file;
}

/* A segment of a listing that is being made, as far as it has come. */
static struct snap_seg seg_now(struct dirs *d, const struct snap *s,
			       uint32_t seg)
{
	LOCK_SCOPE(&d->lock);
	return s->segs[seg];
}

/* In what has come of a listing that is being made. */
static bool find_come(struct dirs *d, const struct snap *s, const char *name,
		      size_t len, bool is_dir, struct rec *out)
{
	for (uint32_t i = 0; i != SNAP_NONE;) {
		const struct snap_seg g = seg_now(d, s, i);

		if (g.leaves && find_one(d, (struct part){&g, 1, NULL}, name,
					 len, is_dir, out) > 0)
			return true;
		i = g.next;
	}
	return false;
}

int dirs_find_early(struct dirs *d, const struct snap *s, const char *name,
		    struct rec *out)
{
	const size_t len = strlen(name);

	return find_come(d, s, name, len, true, out) ||
	       find_come(d, s, name, len, false, out);
}

bool dirs_find_given(struct dirs *d, const struct snap *s, const char *name)
{
	const size_t len = strlen(name);

	for (uint32_t i = 0; i != SNAP_NONE;) {
		const struct snap_seg g = seg_now(d, s, i);
		const struct part p = {&g, 1, NULL};
		struct rec r;

		if (g.leaves && (find_one(d, p, name, len, true, &r) > 0 ||
				 find_one(d, p, name, len, false, &r) > 0))
			return true;
		i = g.done ? g.next : SNAP_NONE;
	}
	return false;
}

/* ---- reading ---- */

#define POS(seg, leaf, entry) \
	((uint64_t)(seg) << 32 | (uint64_t)(leaf) << 12 | (entry))
#define POS_SEG(p) ((uint32_t)((p) >> 32))
#define POS_LEAF(p) ((uint32_t)((p) >> 12) & 0xfffff)
#define POS_ENTRY(p) ((unsigned int)(p)&0xfff)

static bool is_any_behind(const struct leaf *l, const struct rec *dir)
{
	struct rec_reader r;

	rec_reader_init(&r, l->data, l->n);
	while (rec_next(&r))
		if (rec_compare(r.rec.name, r.rec.len, r.rec.is_dir, dir->name,
				dir->len, true) > 0)
			return true;
	return false;
}

int dirs_seek(struct dirs *d, struct snap *s, const char *name, bool is_dir,
	      snap_pos *pos)
{
	const struct part p = whole_of(d, s);
	const size_t len = strlen(name);
	struct rec_reader r;
	unsigned int i = 0;
	struct leaf *l;
	uint64_t at;
	uint32_t seg;
	const int found = find_leaf(d, &p, name, len, is_dir, &at, &l);

	*pos = 0;
	if (found <= 0)
		return found;
	rec_reader_init(&r, l->data, l->n);
	while (rec_skim(&r) && rec_compare(r.rec.name, r.rec.len, r.rec.is_dir,
					   name, len, is_dir) <= 0)
		i++;
	leaves_put(l);
	seg = seg_of(&p, at);
	*pos = POS(seg, at - p.segs[seg].before, i);
	return 0;
}

/* What a reader is given of an entry. */
enum shown { SHOWN, HIDDEN, NOT_YET };

/* Of a file and a directory of one name the first that comes is given, as
 * what the rule says it is. */
static enum shown show_whole(struct dirs *d, const struct snap *s,
			     struct rec *r)
{
	const struct part p = {s->segs, s->nsegs, NULL};
	struct rec other;

	if (!(s->flags & STORE_HIDES))
		return SHOWN;
	if (r->is_dir)
		return find_one(d, p, r->name, r->len, false, &other) > 0
			       ? HIDDEN
			       : SHOWN;
	if (find_one(d, p, r->name, r->len, true, &other) > 0)
		*r = other;
	return SHOWN;
}

/* Has anything come that stands behind a directory of that name, in the
 * segment or in those behind it?  Then no such directory will come. */
static bool is_passed(struct dirs *d, const struct snap *s, uint32_t seg,
		      const struct rec *r)
{
	while (seg != SNAP_NONE) {
		const struct snap_seg g = seg_now(d, s, seg);
		struct leaf *l = NULL;
		bool behind = false;

		if (g.leaves)
			l = leaves_get(d->leaves, g.snap, g.leaves - 1);
		if (l) {
			behind = is_any_behind(l, r);
			leaves_put(l);
		}
		if (behind || !g.done)
			return behind;
		seg = g.next;
	}
	return true;
}

static bool first_of(struct dirs *d, uint64_t snap, uint32_t leaf,
		     struct rec *out)
{
	struct leaf *l = leaves_get(d->leaves, snap, leaf);
	bool yes;

	if (!l)
		return false;
	yes = first_entry(l, out);
	leaves_put(l);
	return yes;
}

enum behind { BEHIND_CAME, BEHIND_END, BEHIND_UNKNOWN };

/* The entry behind the last one of a leaf. */
static enum behind behind_leaf(struct dirs *d, const struct snap *s,
			       uint32_t seg, uint32_t leaf, struct rec *out)
{
	for (leaf++;; leaf = 0) {
		const struct snap_seg g = seg_now(d, s, seg);

		if (leaf < g.leaves)
			return first_of(d, g.snap, leaf, out) ? BEHIND_CAME
							      : BEHIND_END;
		if (!g.done)
			return BEHIND_UNKNOWN;
		if (g.next == SNAP_NONE)
			return BEHIND_END;
		seg = g.next;
	}
}

static bool begins_with(const struct rec *r, const struct rec *name)
{
	return r->len >= name->len && !memcmp(r->name, name->name, name->len);
}

/* Is the file that a directory hides in a segment before the directory's?
 * Then all that is between, the segment's first entry too, begins with their
 * name. */
static bool hides_in_front(struct dirs *d, const struct snap *s, uint32_t seg,
			   const struct rec *dir)
{
	const struct snap_seg g = seg_now(d, s, seg);
	struct rec first, other;

	return g.leaves && first_of(d, g.snap, 0, &first) &&
	       begins_with(&first, dir) &&
	       find_come(d, s, dir->name, dir->len, false, &other);
}

/* While a listing arrives.  Everything between a file and the directory that
 * hides it begins with their name: only then is there something to ask. */
static enum shown show_early(struct dirs *d, const struct snap *s, snap_pos at,
			     struct rec *r, const struct rec *next)
{
	const uint32_t seg = POS_SEG(at);
	struct rec other, first;
	bool sure;

	if (r->is_dir)
		return r->hides || hides_in_front(d, s, seg, r) ? HIDDEN
								: SHOWN;
	if (!next) {
		switch (behind_leaf(d, s, seg, POS_LEAF(at), &first)) {
		case BEHIND_CAME:
			next = &first;
			break;
		case BEHIND_END:
			return SHOWN;
		case BEHIND_UNKNOWN:
			/* Of one that has failed nothing more will come. */
			return dirs_snap_err(d, s) ? SHOWN : NOT_YET;
		}
	}
	if (!begins_with(next, r))
		return SHOWN;
	/* In this order: it may come between the two questions. */
	sure = is_passed(d, s, seg, r) || dirs_snap_err(d, s);
	if (find_come(d, s, r->name, r->len, true, &other)) {
		*r = other;
		return SHOWN;
	}
	return sure ? SHOWN : NOT_YET;
}

/* Gives out one leaf from *pos; 0 at its end, 1 when each wants no more, 2 at
 * an entry of which it is not known yet what it is. */
static int read_leaf(struct dirs *d, const struct snap *s, const struct leaf *l,
		     snap_pos *pos, bool *given,
		     int (*each)(void *ctx, const struct rec *r, snap_pos next),
		     void *ctx)
{
	const uint32_t seg = POS_SEG(*pos), leaf = POS_LEAF(*pos);
	unsigned int i = POS_ENTRY(*pos);
	struct rec_reader r;
	bool more;

	rec_reader_init(&r, l->data, l->n);
	for (unsigned int skip = 0; skip < i && rec_next(&r); skip++)
		;
	more = rec_next(&r);
	while (more) {
		struct rec now = r.rec;
		enum shown shown;
		snap_pos next;

		more = rec_next(&r);
		next = more ? POS(seg, leaf, i + 1) : POS(seg, leaf + 1, 0);
		shown = s->whole ? show_whole(d, s, &now)
				 : show_early(d, s, *pos, &now,
					      more ? &r.rec : NULL);
		if (shown == NOT_YET)
			return 2;
		if (shown == SHOWN && each(ctx, &now, next))
			return 1;
		*given |= shown == SHOWN;
		*pos = next;
		i++;
	}
	*pos = POS(seg, leaf + 1, 0);
	return 0;
}

enum state { READ_LEAF, READ_END, READ_WAIT, READ_FAILED };

/* What is at *pos, which moves on to the next segment at the end of one. */
static enum state look(const struct snap *s, snap_pos *pos)
{
	for (;;) {
		const uint32_t seg = POS_SEG(*pos);
		const struct snap_seg *g = &s->segs[seg];

		if (seg >= s->nsegs)
			return READ_END;
		if (POS_LEAF(*pos) < g->leaves)
			return READ_LEAF;
		if (!g->done)
			return s->err ? READ_FAILED : READ_WAIT;
		if (g->next == SNAP_NONE)
			return s->err ? READ_FAILED : READ_END;
		*pos = POS(g->next, 0, 0);
	}
}

/* The number of the segment at *pos in the store; waits for a leaf. */
static enum state await_leaf(struct dirs *d, const struct snap *s,
			     snap_pos *pos, bool wait, uint64_t *snap)
{
	enum state st;

	LOCK_SCOPE(&d->lock);
	while ((st = look(s, pos)) == READ_WAIT && wait && !d->stopped)
		pthread_cond_wait(&d->changed, &d->lock);
	if (st == READ_LEAF)
		*snap = s->segs[POS_SEG(*pos)].snap;
	return st == READ_WAIT && d->stopped ? READ_FAILED : st;
}

/* Waits for anything to come; false when nobody shall wait any more. */
static bool await_change(struct dirs *d, const struct snap *s, uint64_t version)
{
	LOCK_SCOPE(&d->lock);
	while (s->version == version && !s->err && !d->stopped)
		pthread_cond_wait(&d->changed, &d->lock);
	return !d->stopped;
}

static uint64_t version_of(struct dirs *d, const struct snap *s)
{
	LOCK_SCOPE(&d->lock);
	return s->version;
}

int dirs_read(struct dirs *d, struct snap *s, snap_pos *pos, bool wait,
	      int (*each)(void *ctx, const struct rec *r, snap_pos next),
	      void *ctx)
{
	bool given = false;
	uint64_t snap = 0;

	for (;;) {
		const uint64_t version = version_of(d, s);
		struct leaf *l;
		int full;

		/* What is there is given at once: the rest comes later. */
		switch (await_leaf(d, s, pos, wait && !given, &snap)) {
		case READ_END:
			return 0;
		case READ_WAIT:
			return given ? 0 : -EAGAIN;
		case READ_FAILED:
			if (given)
				return 0;
			full = dirs_snap_err(d, s);
			return full ? full : -EIO;
		case READ_LEAF:
			break;
		}
		l = leaves_get(d->leaves, snap, POS_LEAF(*pos));
		if (!l)
			return given ? 0 : -ESTALE;
		full = read_leaf(d, s, l, pos, &given, each, ctx);
		leaves_put(l);
		if (full == 1 || (full == 2 && given))
			return 0;
		if (full == 2 && !wait)
			return -EAGAIN;
		if (full == 2 && !await_change(d, s, version))
			return -EIO;
	}
}

int dirs_await(struct dirs *d, struct snap *s)
{
	snap_pos pos = 0;
	uint64_t unused;

	return await_leaf(d, s, &pos, true, &unused) != READ_FAILED
		       ? 0
		       : dirs_snap_err(d, s) ?: -EIO;
}
