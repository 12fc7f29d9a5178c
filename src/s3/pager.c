/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listings.  The token of the next page is taken from the text of a page
 * before that is parsed, so that the server works on the next one meanwhile.
 *
 * Servers that page for ever are stopped: a token may not come again (looked
 * for at distances that double, as for any cycle), nor may many pages in
 * succession be empty.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "base/strbuf.h"
#include "s3/client.h"
#include "s3/list.h"
#include "s3/uri.h"

#define PAGE_MAX (4U << 20) /* bytes of one page: a thousand long keys */
#define EMPTY_MAX 200       /* deleted keys may fill a page, not so many */
#define TOKEN_MAX 4096
#define TAIL 4096 /* of a page: the last key is looked for there */

/* A page as it arrives. */
struct page {
	struct waited w; /* first */
	struct strbuf body, query;
};

struct s3_pager {
	struct s3 *s3; /* borrowed */
	struct s3_list l;
	char bucket[S3_BUCKET_MAX + 1], prefix[S3_KEY_MAX + 2];
	char delimiter[8], start_after[S3_KEY_MAX + 8];
	char end[S3_KEY_MAX + 8]; /* "": none */
	bool is_beyond;           /* the page has a key behind end */
	struct page *flying;      /* owned; asked for, or NULL */
	char *token; /* owned; of the page to come, NULL at the end */
	char *mark;  /* owned; a token of before */
	unsigned int pages, next_mark, empty;
	uint64_t entries; /* of the page that is being parsed */
};

static bool take_body(struct s3_call *call, const char *data, size_t n)
{
	struct page *p = container_of(call, struct page, w.call);

	if (call->answer.body == 0)
		p->body.len = 0; /* a new attempt: the last one broke off */
	if (!p->body.s && call->answer.content_length < PAGE_MAX)
		strbuf_reserve(&p->body, call->answer.content_length);
	strbuf_add(&p->body, data, n);
	return !p->body.failed;
}

static void add_param(struct strbuf *q, const char *name, const char *value)
{
	char enc[3 * TOKEN_MAX + 1];

	if (strlen(value) > TOKEN_MAX ||
	    uri_encode(value, strlen(value), false, enc, sizeof(enc))) {
		q->failed = true;
		return;
	}
	strbuf_printf(q, "%s%s=%s", q->len ? "&" : "", name, enc);
}

/* The query of a page, in canonical order. */
static void list_query(const struct s3_list *l, const char *token,
		       struct strbuf *q)
{
	char max[16];

	if (!l->bucket)
		return;
	if (token)
		add_param(q, "continuation-token", token);
	if (l->delimiter && *l->delimiter)
		add_param(q, "delimiter", l->delimiter);
	add_param(q, "encoding-type", "url");
	add_param(q, "list-type", "2");
	if (l->max_keys) {
		snprintf(max, sizeof(max), "%u", l->max_keys);
		add_param(q, "max-keys", max);
	}
	add_param(q, "prefix", l->prefix ? l->prefix : "");
	if (l->start_after && *l->start_after && !token)
		add_param(q, "start-after", l->start_after);
}

static void free_page(struct page *p)
{
	if (!p)
		return;
	strbuf_free(&p->body);
	strbuf_free(&p->query);
	free(p);
}

/* Asks for the page at token; NULL without memory or with a token too long. */
static struct page *send_page(struct s3 *s3, const struct s3_list *l,
			      const char *token)
{
	struct page *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->w.call = (struct s3_call){.method = S3_GET,
				     .bucket = l->bucket,
				     .timeout_ms = l->timeout_ms};
	strbuf_init(&p->query, 4 * TOKEN_MAX);
	strbuf_init(&p->body, PAGE_MAX);
	list_query(l, token, &p->query);
	if (p->query.failed) {
		free_page(p);
		return NULL;
	}
	p->w.call.query = p->query.len ? p->query.s : NULL;
	p->w.call.sink = take_body;
	waited_start(s3, &p->w);
	return p;
}

static void cancel_page(struct page *p)
{
	if (p)
		waited_end(&p->w);
	free_page(p);
}

/* Keeps what outlives the caller's struct. */
static void copy_list(struct s3_pager *p, const struct s3_list *l)
{
	p->l = *l;
	snprintf(p->bucket, sizeof(p->bucket), "%s",
		 l->bucket ? l->bucket : "");
	snprintf(p->prefix, sizeof(p->prefix), "%s",
		 l->prefix ? l->prefix : "");
	snprintf(p->delimiter, sizeof(p->delimiter), "%s",
		 l->delimiter ? l->delimiter : "");
	snprintf(p->start_after, sizeof(p->start_after), "%s",
		 l->start_after ? l->start_after : "");
	p->l.bucket = l->bucket ? p->bucket : NULL;
	p->l.prefix = p->prefix;
	p->l.delimiter = p->delimiter;
	p->l.start_after = p->start_after;
}

int s3_pager_new(struct s3 *s3, const struct s3_list *l, struct s3_pager **out)
{
	struct s3_pager *p = calloc(1, sizeof(*p));

	if (!p)
		return -ENOMEM;
	p->s3 = s3;
	p->next_mark = 1;
	copy_list(p, l);
	p->flying = send_page(s3, &p->l, NULL);
	if (!p->flying) {
		free(p);
		return -ENAMETOOLONG;
	}
	*out = p;
	return 0;
}

void s3_pager_free(struct s3_pager *p)
{
	if (!p)
		return;
	cancel_page(p->flying);
	free(p->token);
	free(p->mark);
	free(p);
}

/* The text of <name> in a page, when it stands there plainly; owned. */
static char *peek(const struct page *p, const char *name)
{
	char open[40];
	const char *at, *end;
	size_t left;

	snprintf(open, sizeof(open), "<%s>", name);
	if (!p->body.len)
		return NULL;
	at = memmem(p->body.s, p->body.len, open, strlen(open));
	if (!at)
		return NULL;
	at += strlen(open);
	left = p->body.len - (size_t)(at - p->body.s);
	end = memchr(at, '<', left);
	if (!end || memchr(at, '&', (size_t)(end - at)))
		return NULL;
	return strndup(at, (size_t)(end - at));
}

/* Does the text of a page, if it can be told of it, go behind the end? */
static bool looks_last(const struct s3_pager *p, const struct page *page)
{
	AUTO_FREE char *encoding = peek(page, "EncodingType");
	const bool url = encoding && !strcmp(encoding, "url");
	const char *last = NULL, *stop = page->body.s + page->body.len;
	const char *at = page->body.len > TAIL ? stop - TAIL : page->body.s;
	char key[TAIL + 1];

	while ((at = memmem(at, (size_t)(stop - at), "<Key>", 5)))
		last = at += 5;
	if (!last)
		return false;
	at = memchr(last, '<', (size_t)(stop - last));
	if (!at || memchr(last, '&', (size_t)(at - last)))
		return false;
	memcpy(key, last, (size_t)(at - last));
	key[at - last] = '\0';
	return (!url || uri_decode(key, (size_t)(at - last), true, key) >= 0) &&
	       strcmp(key, p->end) > 0;
}

/* Asks for the page behind p, if p tells which that is. */
static void look_ahead(struct s3_pager *p, const struct page *page)
{
	AUTO_FREE char *truncated = peek(page, "IsTruncated");

	free(p->token);
	p->token = NULL;
	if (p->l.max_keys || !truncated || strcmp(truncated, "true") != 0)
		return;
	if (p->end[0] && looks_last(p, page))
		return;
	p->token = peek(page, "NextContinuationToken");
	if (p->token && *p->token)
		p->flying = send_page(p->s3, &p->l, p->token);
}

/* What the parser says is the next page, which counts. */
static int settle(struct s3_pager *p, const struct list_page *page)
{
	const bool more = page->truncated && !p->l.max_keys && !p->is_beyond;

	if (!more || (p->token && strcmp(p->token, page->next) != 0)) {
		cancel_page(p->flying);
		p->flying = NULL;
		free(p->token);
		p->token = NULL;
	}
	if (!more)
		return 0;
	if (!*page->next || (p->mark && !strcmp(p->mark, page->next)) ||
	    p->empty > EMPTY_MAX)
		return -EBADMSG;
	if (++p->pages == p->next_mark) {
		free(p->mark);
		p->mark = strdup(page->next);
		p->next_mark *= 2;
	}
	if (!p->token)
		p->token = strdup(page->next);
	if (p->token && !p->flying)
		p->flying = send_page(p->s3, &p->l, p->token);
	return p->flying ? 0 : -ENAMETOOLONG;
}

static int count_and_pass(void *ctx, const struct s3_entry *e)
{
	struct s3_pager *p = ctx;

	p->entries++;
	if (p->end[0] && strcmp(e->key, p->end) > 0)
		p->is_beyond = true;
	return p->l.entry(p->l.ctx, e);
}

static int parse(struct s3_pager *p, const struct page *page)
{
	AUTO_FREE char *encoding = peek(page, "EncodingType");
	struct list_parser *parser = NULL;
	int err = list_parser_new(count_and_pass, p, &parser);

	p->entries = 0;
	if (!err && encoding && !strcmp(encoding, "url"))
		list_parser_set_encoded(parser);
	if (!err)
		err = list_parser_feed(parser, strbuf_str(&page->body),
				       page->body.len, true);
	p->empty = p->entries ? 0 : p->empty + 1;
	if (!err)
		err = settle(p, list_parser_page(parser));
	if (err == -EBADMSG)
		log_error("s3: %s answers a listing of %s with what is none",
			  s3_url_of(p->s3, page->w.call.url),
			  p->l.bucket ? p->l.bucket : "buckets");
	list_parser_free(parser);
	return err;
}

void s3_pager_set_end(struct s3_pager *p, const char *key)
{
	snprintf(p->end, sizeof(p->end), "%s", key);
}

int s3_pager_next(struct s3_pager *p, bool *more, struct s3_answer *answer)
{
	struct page *page = p->flying;
	int err;

	p->flying = NULL;
	*more = false;
	if (!page)
		return 0;
	err = waited_finish(p->s3, &page->w, "LIST");
	if (answer)
		*answer = page->w.call.answer;
	if (!err) {
		look_ahead(p, page);
		err = parse(p, page);
	}
	free_page(page);
	if (err) {
		cancel_page(p->flying);
		p->flying = NULL;
	}
	*more = p->flying != NULL;
	return err;
}

int s3_list(struct s3 *s3, const struct s3_list *l, struct s3_answer *answer)
{
	struct s3_pager *p;
	bool more = true;
	int err = s3_pager_new(s3, l, &p);

	if (err)
		return err;
	while (!err && more)
		err = s3_pager_next(p, &more, answer);
	s3_pager_free(p);
	return err;
}
