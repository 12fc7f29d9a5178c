/* SPDX-License-Identifier: Apache-2.0 */
/* Text that grows up to a limit given at birth.  For one thread at a time. */
#ifndef S3RDMAFS_BASE_STRBUF_H
#define S3RDMAFS_BASE_STRBUF_H

#include <stdbool.h>
#include <stddef.h>

struct strbuf {
	char *s; /* owned; NULL while empty, else terminated */
	size_t len, cap, max;
	bool failed; /* out of memory or over max: stays so */
};

void strbuf_init(struct strbuf *b, size_t max);
void strbuf_free(struct strbuf *b);

/* Each appends, or sets failed; the caller looks at failed once, at the end. */
void strbuf_add(struct strbuf *b, const void *data, size_t n);
void strbuf_puts(struct strbuf *b, const char *s);
void strbuf_printf(struct strbuf *b, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* Appends s with the five characters that XML minds, and those that XML 1.0
 * cannot carry, replaced by references. */
void strbuf_xml(struct strbuf *b, const char *s);

/* The text so far, "" while there is none; borrowed until the next call. */
const char *strbuf_str(const struct strbuf *b);

#endif
