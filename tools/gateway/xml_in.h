/* SPDX-License-Identifier: Apache-2.0 */
/* The documents that clients send.  Bounded; no DTD. */
#ifndef S3RDMAFS_GATEWAY_XML_IN_H
#define S3RDMAFS_GATEWAY_XML_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An <Object> of Delete, a <Part> of CompleteMultipartUpload or a <Tag> of
 * Tagging.  Texts that are too long are cut, behind what S3 allows. */
struct xml_item {
	char key[1100];
	char value[1100];
	char etag[136];
	char checksum[64];
	uint64_t part;
};

/* The elements.  A set around the items (or NULL) makes the form strict, as
 * AWS is with tags: one set, one Key and one Value an item, nothing else. */
struct xml_form {
	const char *root, *set, *item;
};

struct xml_doc {
	struct xml_item *items; /* owned */
	size_t n;
	bool quiet;
};

/* 0, -EBADMSG, -E2BIG over max items, or -ENOMEM. */
int xml_in_parse(const char *text, size_t len, const struct xml_form *form,
		 size_t max, struct xml_doc *out);
void xml_in_free(struct xml_doc *d);

#endif
