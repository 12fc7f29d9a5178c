/* SPDX-License-Identifier: Apache-2.0 */
/* The table behind config.h, for the files that fill it. */
#ifndef S3RDMAFS_CONFIG_INT_H
#define S3RDMAFS_CONFIG_INT_H

#include "config.h"

enum config_type {
	CONFIG_STRING,
	CONFIG_ENUM,
	CONFIG_LISTED,
	CONFIG_BOOL,
	CONFIG_SIZE,
	CONFIG_DURATION, /* kept in milliseconds */
	CONFIG_UINT,
	CONFIG_OCTAL,
	CONFIG_HEX,      /* kept as a number of 64 bits */
	CONFIG_GPUS,     /* a list of "DEVICE:SIZE", in a file of mappings */
	CONFIG_RULES,    /* likewise of "PREFIX:TTL[:trusted]" */
	CONFIG_LIFETIME, /* a duration, or UINT64_MAX for "forever" */
};

struct config_row {
	const char *section, *key;
	enum config_type type;
	size_t offset;        /* into struct config */
	const char *fallback; /* NULL for none */
	const char *choices;  /* of an enum: "a|b" */
	const char *doc;
};

extern const struct config_row config_table[];
extern const size_t config_rows;

/* The row of a section (n bytes) and key, or NULL. */
const struct config_row *config_find(const char *section, size_t n,
				     const char *key);

/* origin must live as long as the configuration. */
int config_set(struct config *c, const struct config_row *row,
	       const char *value, const char *origin);

/* What a row takes, for people; returns buf. */
const char *config_expected(const struct config_row *row, char *buf,
			    size_t cap);

/* Is its field a struct config_list? */
bool config_is_list(const struct config_row *row);

/* Are all items of metadata.rules well formed?  0 or -EINVAL. */
int config_check_rules(const struct config_list *l);

void config_list_clear(struct config_list *l);
int config_list_add(struct config_list *l, const char *value);

#endif
