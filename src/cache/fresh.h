/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long what is known of a path is believed: the longest of the rules
 * whose prefix begins the path, else the defaults.  Pure.
 */
#ifndef S3RDMAFS_CACHE_FRESH_H
#define S3RDMAFS_CACHE_FRESH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRESH_FOREVER UINT64_MAX
#define FRESH_RULES 16

struct fresh_rule {
	const char *prefix; /* "a/b/" or "a/b"; "" for all; borrowed */
	uint64_t ttl_ms;    /* or FRESH_FOREVER */
	bool trusted;
};

struct fresh {
	uint64_t ttl_ms, negative_ttl_ms;
	struct fresh_rule rules[FRESH_RULES];
	size_t n;
};

/* Of the name path, or of what stands under it. */
uint64_t fresh_ttl(const struct fresh *f, const char *path);

/* Are names under the directory path never looked for by listing? */
bool fresh_is_trusted(const struct fresh *f, const char *path);

/* Does a trusted rule say that path is a directory, being above it? */
bool fresh_leads_to_trusted(const struct fresh *f, const char *path);

/* Milliseconds that something of that age is still believed; 0 when it is
 * not, or when it is of the future (a clock that went back). */
uint64_t fresh_left(uint64_t ttl_ms, uint64_t since_ms, uint64_t now_ms);

#endif
