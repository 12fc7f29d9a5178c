/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/fresh.h"

#include <string.h>

/* The prefix without the slashes at its end. */
static size_t prefix_len(const char *prefix)
{
	size_t n = strlen(prefix);

	while (n > 0 && prefix[n - 1] == '/')
		n--;
	return n;
}

/* Is path the prefix, or under it?  "a/b" is not above "a/bc". */
static bool covers(const char *prefix, const char *path)
{
	const size_t n = prefix_len(prefix);

	return !strncmp(prefix, path, n) &&
	       (n == 0 || path[n] == '\0' || path[n] == '/');
}

static const struct fresh_rule *rule_of(const struct fresh *f, const char *path)
{
	const struct fresh_rule *best = NULL;

	for (size_t i = 0; i < f->n; i++)
		if (covers(f->rules[i].prefix, path) &&
		    (!best || prefix_len(f->rules[i].prefix) >=
				      prefix_len(best->prefix)))
			best = &f->rules[i];
	return best;
}

uint64_t fresh_ttl(const struct fresh *f, const char *path)
{
	const struct fresh_rule *r = rule_of(f, path);

	return r ? r->ttl_ms : f->ttl_ms;
}

bool fresh_is_trusted(const struct fresh *f, const char *path)
{
	const struct fresh_rule *r = rule_of(f, path);

	return r && r->trusted;
}

bool fresh_leads_to_trusted(const struct fresh *f, const char *path)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->rules[i].trusted && covers(path, f->rules[i].prefix))
			return true;
	return false;
}

uint64_t fresh_left(uint64_t ttl_ms, uint64_t since_ms, uint64_t now_ms)
{
	/* Two hosts' or two mounts' clocks may differ by a little. */
	if (since_ms > now_ms + 1000 || since_ms == 0)
		return 0;
	if (ttl_ms == FRESH_FOREVER)
		return FRESH_FOREVER;
	if (since_ms > now_ms)
		return ttl_ms;
	return now_ms - since_ms < ttl_ms ? ttl_ms - (now_ms - since_ms) : 0;
}
