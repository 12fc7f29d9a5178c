/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Percent-encoding and query strings as S3 and SigV4 want them.  Pure.
 */
#ifndef S3RDMAFS_S3_URI_H
#define S3RDMAFS_S3_URI_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Encodes the n bytes at in: all but A-Z a-z 0-9 - . _ ~ become %XX, upper
 * case; '/' stays when keep_slash.  Returns 0, or -ENAMETOOLONG when out of
 * cap bytes cannot hold it and its terminator.
 */
int uri_encode(const char *in, size_t n, bool keep_slash, char *out,
	       size_t cap);

/*
 * Decodes %XX over the n bytes at in, and '+' to a blank when plus.  out may
 * be in; it needs n + 1 bytes.  Returns the length, which a %00 makes differ
 * from strlen(out), or -EINVAL for a bad escape.
 */
long uri_decode(const char *in, size_t n, bool plus, char *out);

struct uri_param {
	char *name;  /* decoded */
	char *value; /* decoded; "" when there was none */
};

/* The parameters of a query.  Fields are read-only. */
struct uri_query {
	struct uri_param *params;
	size_t n;
	char *text; /* owned: what the params point into */
};

/*
 * Splits and decodes raw (without '?'; NULL is empty).  At most max
 * parameters.  Returns 0 and an owned *out, -EINVAL for a bad escape or a
 * NUL, -E2BIG, or -ENOMEM.
 */
int uri_query_parse(const char *raw, size_t max, struct uri_query *out);
void uri_query_free(struct uri_query *q);

/* The value of a parameter, or NULL. */
const char *uri_query_get(const struct uri_query *q, const char *name);

/*
 * The canonical query of SigV4: names and values encoded, sorted by encoded
 * name, then value; the parameter named skip (or NULL) left out.
 * Returns 0 and an owned string, or -ENOMEM.
 */
int uri_query_canonical(const struct uri_query *q, const char *skip,
			char **out);

#endif
