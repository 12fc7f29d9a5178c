/* SPDX-License-Identifier: Apache-2.0 */
/*
 * S3's answers in XML to values.  Pure, over expat, fed in pieces; hostile
 * documents end in an error: no entities, bounded depth and text.
 */
#ifndef S3RDMAFS_S3_LIST_H
#define S3RDMAFS_S3_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "s3/s3.h"

struct list_parser;

struct list_page {
	bool truncated;
	char *next; /* continuation token; owned by the parser */
};

/* entry is called for every object, prefix or bucket, in document order. */
int list_parser_new(int (*entry)(void *ctx, const struct s3_entry *e),
		    void *ctx, struct list_parser **out);
void list_parser_free(struct list_parser *p);

/* Keys are percent-encoded: to be said before the first piece, for some
 * servers say so behind the keys. */
void list_parser_set_encoded(struct list_parser *p);

/* Returns 0, what entry returned, or -EBADMSG for what is no listing. */
int list_parser_feed(struct list_parser *p, const char *data, size_t n,
		     bool last);

/* After the last piece; borrowed until list_parser_free. */
const struct list_page *list_parser_page(const struct list_parser *p);

/* The Code, Message and RequestId of an error document into an answer. */
void list_parse_error(const char *data, size_t n, struct s3_answer *answer);

/* 2026-11-22T10:11:12[.123]Z, or -1. */
time_t list_parse_time(const char *s);

#endif
