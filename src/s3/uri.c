/* SPDX-License-Identifier: Apache-2.0 */
#include "s3/uri.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/strbuf.h"

static bool is_unreserved(unsigned char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
	       (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_' ||
	       c == '~';
}

int uri_encode(const char *in, size_t n, bool keep_slash, char *out, size_t cap)
{
	static const char digits[] = "0123456789ABCDEF";
	size_t o = 0;

	for (size_t i = 0; i < n; i++) {
		const unsigned char c = (unsigned char)in[i];
		const bool plain = is_unreserved(c) || (keep_slash && c == '/');

		if (o + (plain ? 1 : 3) >= cap)
			return -ENAMETOOLONG;
		if (plain) {
			out[o++] = (char)c;
			continue;
		}
		out[o++] = '%';
		out[o++] = digits[c >> 4];
		out[o++] = digits[c & 15];
	}
	if (o >= cap)
		return -ENAMETOOLONG;
	out[o] = '\0';
	return 0;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

long uri_decode(const char *in, size_t n, bool plus, char *out)
{
	size_t o = 0;

	for (size_t i = 0; i < n; i++) {
		char c = in[i];

		if (c == '%') {
			if (i + 2 >= n || hex_value(in[i + 1]) < 0 ||
			    hex_value(in[i + 2]) < 0)
				return -EINVAL;
			c = (char)(hex_value(in[i + 1]) << 4 |
				   hex_value(in[i + 2]));
			i += 2;
		} else if (c == '+' && plus) {
			c = ' ';
		}
		out[o++] = c;
	}
	out[o] = '\0';
	return (long)o;
}

/* Decodes the n bytes at s in place and terminates them there. */
static int decode_in_place(char *s, size_t n)
{
	/* S3's query parameters carry keys: '+' is a plus there, and every
	 * client sends a blank as %20. */
	const long len = uri_decode(s, n, false, s);

	return len < 0 || memchr(s, '\0', (size_t)len) ? -EINVAL : 0;
}

int uri_query_parse(const char *raw, size_t max, struct uri_query *out)
{
	struct uri_query q = {0};
	size_t cap = 1;
	char *p;

	if (!raw)
		raw = "";
	for (const char *c = raw; *c; c++)
		cap += *c == '&';
	if (cap > max)
		return -E2BIG;
	q.text = strdup(raw);
	q.params = calloc(cap, sizeof(*q.params));
	if (!q.text || !q.params) {
		uri_query_free(&q);
		return -ENOMEM;
	}
	for (p = q.text; p;) {
		char *const end = strchrnul(p, '&');
		char *const eq = memchr(p, '=', (size_t)(end - p));
		char *const next = *end ? end + 1 : NULL;
		char *const name_end = eq ? eq : end;

		if (end > p) {
			struct uri_param *par = &q.params[q.n++];

			par->name = p;
			par->value = eq ? eq + 1 : end;
			/* The value first: a name without '=' ends in it. */
			if ((eq &&
			     decode_in_place(eq + 1, (size_t)(end - eq - 1))) ||
			    decode_in_place(p, (size_t)(name_end - p))) {
				uri_query_free(&q);
				return -EINVAL;
			}
			if (!eq)
				par->value = par->name + strlen(par->name);
		}
		p = next;
	}
	*out = q;
	return 0;
}

void uri_query_free(struct uri_query *q)
{
	free(q->text);
	free(q->params);
	*q = (struct uri_query){0};
}

const char *uri_query_get(const struct uri_query *q, const char *name)
{
	for (size_t i = 0; i < q->n; i++)
		if (!strcmp(q->params[i].name, name))
			return q->params[i].value;
	return NULL;
}

/* "name=value", both encoded; owned. */
static char *encoded_pair(const struct uri_param *p)
{
	const size_t nl = strlen(p->name), vl = strlen(p->value);
	const size_t cap = 3 * (nl + vl) + 2;
	char *s = malloc(cap);

	if (!s)
		return NULL;
	if (uri_encode(p->name, nl, false, s, cap))
		s[0] = '\0'; /* cannot be: cap is the longest form */
	strcat(s, "=");
	uri_encode(p->value, vl, false, s + strlen(s), cap - strlen(s));
	return s;
}

/* '=' sorts behind '-' and '.', so compare the names alone first. */
static int by_pair(const void *a, const void *b)
{
	const char *x = *(char *const *)a, *y = *(char *const *)b;
	const size_t nx = strcspn(x, "="), ny = strcspn(y, "=");
	const int c = memcmp(x, y, nx < ny ? nx : ny);

	if (c)
		return c;
	if (nx != ny)
		return nx < ny ? -1 : 1;
	return strcmp(x + nx, y + ny);
}

int uri_query_canonical(const struct uri_query *q, const char *skip, char **out)
{
	char **pairs = calloc(q->n + 1, sizeof(*pairs));
	struct strbuf b;
	size_t n = 0;
	bool failed = !pairs;

	strbuf_init(&b, 1 << 20);
	for (size_t i = 0; !failed && i < q->n; i++) {
		if (skip && !strcmp(q->params[i].name, skip))
			continue;
		pairs[n] = encoded_pair(&q->params[i]);
		failed = !pairs[n];
		n += !failed;
	}
	if (!failed)
		qsort(pairs, n, sizeof(*pairs), by_pair);
	for (size_t i = 0; i < n; i++) {
		if (i)
			strbuf_puts(&b, "&");
		strbuf_puts(&b, pairs[i]);
		free(pairs[i]);
	}
	free(pairs);
	*out = failed || b.failed ? NULL : strdup(strbuf_str(&b));
	strbuf_free(&b);
	return *out ? 0 : -ENOMEM;
}
