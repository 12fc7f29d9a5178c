/* SPDX-License-Identifier: Apache-2.0 */
/* Prints the table of settings: what the man page is compared with. */
#include <stdio.h>

#include "config.h"

static void print_row(void *ctx, const char *path, const char *type,
		      const char *fallback, const char *doc)
{
	(void)ctx;
	printf("%s\t%s\t%s\t%s\n", path, type, fallback, doc);
}

int main(void)
{
	config_each(print_row, NULL);
	return 0;
}
