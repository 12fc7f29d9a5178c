/* SPDX-License-Identifier: Apache-2.0 */
/* Characters are thought to be as those seen: digits, letters of one case. */
#include "cache/ranges.h"

#include <stdio.h>
#include <string.h>

/* The last character of the kind of c. */
static unsigned char top_of(unsigned char c)
{
	return c >= '0' && c <= '9'   ? '9'
	       : c >= 'a' && c <= 'z' ? 'z'
	       : c >= 'A' && c <= 'Z' ? 'Z'
				      : '~';
}

/* A '/' ends a name, and control characters stand in few. */
static bool is_usable(unsigned int c)
{
	return c > ' ' && c < 0x7f && c != '/';
}

static void put(char *out, const char *s, size_t n, unsigned int c)
{
	snprintf(out, RANGES_NAME, "%.*s%c", (int)n, s, (char)c);
}

bool ranges_middle(const char *cur, const char *end, char out[RANGES_NAME])
{
	size_t q = 0;
	unsigned int a, b;

	while (cur[q] && cur[q] == end[q])
		q++;
	a = (unsigned char)cur[q];
	b = (unsigned char)end[q];
	if (b > a + 1 && is_usable((a + b) / 2)) {
		put(out, cur, q, (a + b) / 2);
		return true;
	}
	/* The two differ by one there: what is left of cur's side. */
	while (cur[q] && q + 2 < RANGES_NAME - 1) {
		unsigned int top;

		a = (unsigned char)cur[++q];
		top = top_of((unsigned char)a);
		if (a && a < top && is_usable((a + top + 1) / 2)) {
			put(out, cur, q, (a + top + 1) / 2);
			return true;
		}
	}
	return false;
}

void ranges_behind(const char *cur, size_t n, char out[RANGES_NAME])
{
	const unsigned int c = n ? (unsigned char)cur[n - 1] : 0xff;

	out[0] = '\0';
	/* Not '/' itself: what is behind '.' begins with it. */
	if (c >= 0x7e)
		return;
	put(out, cur, n - 1, c + 1 == '/' ? '0' : c + 1);
}

unsigned int ranges_cuts(const char *cur, const char *next, size_t n,
			 char (*out)[RANGES_NAME], unsigned int max)
{
	const unsigned int first = (unsigned char)next[n];
	const unsigned int last = top_of((unsigned char)first);
	const unsigned int span = last - first + 1;
	const unsigned int want = span < max ? span : max;
	unsigned int made = 0;

	if (!is_usable(first))
		return 0;
	for (unsigned int i = 0; i < want; i++) {
		const unsigned int c = first + i * span / want;

		if (is_usable(c))
			put(out[made++], cur, n, c);
	}
	return made;
}
