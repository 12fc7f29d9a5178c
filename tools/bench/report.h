/* SPDX-License-Identifier: Apache-2.0 */
/* What was measured: for people, for programs, and as pictures. */
#ifndef S3RDMAFS_BENCH_REPORT_H
#define S3RDMAFS_BENCH_REPORT_H

#include "rows.h"

#define ROUNDS_MAX 15

struct report {
	uint64_t size; /* of an object */
	unsigned int files;
	int rounds;
	/* By row and round; samples of a row that was not measured are not
	 * looked at. */
	struct sample (*samples)[ROUNDS_MAX];
	char (*skipped)[160]; /* why a row was not measured; "" */
	bool *measured;
};

int report_new(struct report *r, int rounds);
void report_free(struct report *r);

void report_print(const struct report *r);
/* 0 or -errno. */
int report_json(const struct report *r, const char *file);
/* Pictures (SVG) and their data in a folder, by gnuplot. */
int report_plots(const struct report *r, const char *folder);

#endif
