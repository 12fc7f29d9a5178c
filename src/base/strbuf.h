/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows up to a limit given at birth.  For one thread at a time. */
#ifndef S3RDMAFS_BASE_STRBUF_H
#define S3RDMAFS_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct strbuf {
	char *s; /* owned; NULL while empty, else terminated */
	size_t len, cap, max;
	bool failed; /* out of memory or over max: stays so */
};

void strbuf_init(struct strbuf *b, size_t max);
void strbuf_free(struct strbuf *b);

/* Empty again, and not failed. */
void strbuf_clear(struct strbuf *b);

/* Makes room for n bytes in all, as far as the limit goes. */
void strbuf_reserve(struct strbuf *b, size_t n);

/* Each appends, or sets failed; the caller looks at failed once, at the end. */
void strbuf_add(struct strbuf *b, const void *data, size_t n);
/* Inline for the sake of literals, whose length is known then. */
static inline void strbuf_puts(struct strbuf *b, const char *s)
{
	strbuf_add(b, s, strlen(s));
}
void strbuf_printf(struct strbuf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Appends s with the five characters that XML minds, and those that XML 1.0
 * cannot carry, replaced by references. */
void strbuf_xml(struct strbuf *b, const char *s);

/* The text so far, "" while there is none; borrowed until the next call. */
const char *strbuf_str(const struct strbuf *b);

#endif
