/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/build.h"

#include <errno.h>
#include <string.h>

void build_init(struct build *b, struct store *store, uint64_t dir)
{
	memset(b, 0, offsetof(struct build, w));
	b->store = store;
	b->dir = dir;
	rec_writer_init(&b->w);
	memset(b->files, 0, sizeof(b->files));
	b->last_len = 0;
	b->last_is_dir = false;
}

int build_flush(struct build *b)
{
	int err = 0;

	if (!b->w.count)
		return 0;
	/* The reader's positions hold one more than the last. */
	if (b->leaves + 2 >= STORE_LEAVES)
		return -EFBIG;
	if (!b->snap)
		err = store_snap_new(b->store, &b->snap);
	if (err)
		return err;
	rec_writer_finish(&b->w, store_leaf_id(b->snap, b->leaves));
	err = store_leaf_put(b->store, b->snap, b->leaves, b->w.buf, b->w.len);
	if (err)
		return err;
	b->leaves++;
	rec_writer_init(&b->w);
	return 0;
}

/* Of the lengths of files that the last name begins with, those stay that
 * this one begins with too. */
static void keep_prefixes(struct build *b, size_t common)
{
	for (size_t i = 0; i < 4; i++) {
		const size_t first = i * 64;

		if (common < first)
			b->files[i] = 0;
		else if (common - first < 63)
			b->files[i] &= (2ULL << (common - first)) - 1;
	}
}

static bool hides_file(const struct build *b, size_t len)
{
	return b->files[len / 64] >> len % 64 & 1;
}

static void remember(struct build *b, const struct rec *r)
{
	size_t common = 0;

	while (common < r->len && common < b->last_len &&
	       r->name[common] == b->last[common])
		common++;
	keep_prefixes(b, common);
	memcpy(b->last, r->name, r->len + 1);
	b->last_len = r->len;
	b->last_is_dir = r->is_dir;
}

static int write_entry(struct build *b, const struct rec *r)
{
	int err;

	if (rec_writer_add(&b->w, r))
		return 0;
	err = build_flush(b);
	if (err)
		return err;
	return rec_writer_add(&b->w, r) ? 0 : -E2BIG;
}

int build_add(struct build *b, struct rec *r)
{
	int err = 0;

	if (b->entries) {
		const int c = rec_compare(b->last, b->last_len, b->last_is_dir,
					  r->name, r->len, r->is_dir);

		if (c >= 0) {
			r->dir = b->last_dir;
			return c == 0 ? 1 : -ERANGE;
		}
	}
	remember(b, r);
	r->hides = r->is_dir && hides_file(b, r->len);
	if (r->is_dir) {
		err = store_child_make(b->store, b->dir, r->name, r->len,
				       &r->dir);
		b->last_dir = r->dir;
	} else {
		b->files[r->len / 64] |= 1ULL << r->len % 64;
	}
	if (r->hides)
		b->flags |= STORE_HIDES;
	if (!err)
		err = write_entry(b, r);
	if (!err)
		b->entries++;
	return err;
}
