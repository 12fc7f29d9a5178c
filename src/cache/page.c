/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/page.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/text.h"

#define TEXT_MAX (6U << 20) /* a page's, or all of a listing in no order */

void page_init(struct page *p, const char *prefix, bool buckets)
{
	*p = (struct page){.prefix = prefix,
			   .prefix_len = strlen(prefix),
			   .buckets = buckets};
	strbuf_init(&p->text, TEXT_MAX);
}

void page_clear(struct page *p)
{
	p->n = 0;
	strbuf_clear(&p->text);
}

void page_free(struct page *p)
{
	strbuf_free(&p->text);
	free(p->items);
}

static struct page_item *add_item(struct page *p)
{
	if (p->n == p->cap) {
		const size_t cap = p->cap ? 2 * p->cap : 1024;
		void *more = realloc(p->items, cap * sizeof(*p->items));

		if (!more)
			return NULL;
		p->items = more;
		p->cap = cap;
	}
	return &p->items[p->n++];
}

/* Text with its terminator; where it stands. */
static size_t add_text(struct page *p, const char *s)
{
	const size_t at = p->text.len;

	strbuf_add(&p->text, s, strlen(s) + 1);
	return at;
}

int page_take(void *ctx, const struct s3_entry *e)
{
	struct page *p = ctx;
	size_t n = strlen(e->key);
	struct page_item *i;

	if (n <= p->prefix_len || memcmp(e->key, p->prefix, p->prefix_len) != 0)
		return 0;
	i = add_item(p);
	if (!i)
		return -ENOMEM;
	n -= p->prefix_len;
	if (e->is_prefix && e->key[p->prefix_len + n - 1] == '/')
		n--;
	*i = (struct page_item){.len = n,
				.size = e->size,
				.mtime = e->mtime,
				.is_prefix = e->is_prefix || p->buckets};
	i->key = add_text(p, e->key + p->prefix_len);
	if (!p->text.failed)
		p->text.s[i->key + n] = '\0'; /* without its '/' */
	i->etag = add_text(p, e->etag ? e->etag : "");
	i->storage_class = add_text(p,
				    e->storage_class ? e->storage_class : "");
	return p->text.failed ? -ENOMEM : 0;
}

static int by_key(const void *a, const void *b, void *text)
{
	const struct page_item *x = a, *y = b;

	return rec_compare((const char *)text + x->key, x->len, x->is_prefix,
			   (const char *)text + y->key, y->len, y->is_prefix);
}

static bool is_sorted(const struct page *p)
{
	for (size_t i = 1; i < p->n; i++)
		if (by_key(&p->items[i - 1], &p->items[i], p->text.s) > 0)
			return false;
	return true;
}

void page_sort(struct page *p)
{
	if (!is_sorted(p))
		qsort_r(p->items, p->n, sizeof(*p->items), by_key, p->text.s);
}

const char *page_key(const struct page *p, size_t at)
{
	return p->text.s + p->items[at].key;
}

bool page_is_name(const char *s, size_t n)
{
	return n > 0 && n <= REC_NAME_MAX && !memchr(s, '/', n) &&
	       !(n == 1 && s[0] == '.') &&
	       !(n == 2 && s[0] == '.' && s[1] == '.');
}

void page_rec(const struct page *p, size_t at, const char *name, size_t len,
	      bool is_dir, struct rec *out)
{
	const struct page_item *i = &p->items[at];

	memcpy(out->name, name, len);
	out->name[len] = '\0';
	out->len = len;
	out->is_dir = is_dir;
	out->hides = false;
	out->dir = 0;
	out->size = is_dir ? 0 : i->size;
	out->mtime = i->mtime < 0 ? 0 : i->mtime;
	text_copy(out->etag, sizeof(out->etag),
		  is_dir ? "" : p->text.s + i->etag);
	text_copy(out->storage_class, sizeof(out->storage_class),
		  is_dir ? "" : p->text.s + i->storage_class);
}
