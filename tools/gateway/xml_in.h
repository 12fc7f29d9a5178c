/* SPDX-License-Identifier: Apache-2.0 */
/* The two documents that clients send.  Bounded; no DTD. */
#ifndef S3RDMAFS_GATEWAY_XML_IN_H
#define S3RDMAFS_GATEWAY_XML_IN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An <Object> of Delete or a <Part> of CompleteMultipartUpload. */
struct xml_item {
	char key[1100];
	char etag[136];
	char checksum[64];
	uint64_t part;
};

struct xml_doc {
	struct xml_item *items; /* owned */
	size_t n;
	bool quiet;
};

/* root and item name the elements.  0, -EBADMSG, -E2BIG over max items, or
 * -ENOMEM. */
int xml_in_parse(const char *text, size_t len, const char *root,
		 const char *item, size_t max, struct xml_doc *out);
void xml_in_free(struct xml_doc *d);

#endif
