/* SPDX-License-Identifier: Apache-2.0 */
/* How far long work is: a bar on a terminal, lines elsewhere; on stderr. */
#ifndef S3RDMAFS_CTL_PROGRESS_H
#define S3RDMAFS_CTL_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct progress {
	bool is_terminal;
	bool shown; /* a bar stands on the line */
	uint64_t started_ms, told_ms;
};

void progress_init(struct progress *p);

/* "DONE TOTAL UNIT"; total 0: not known. */
void progress_show(struct progress *p, const char *text);

/* Takes the bar away before other text. */
void progress_clear(struct progress *p);

/* The line for people: bar, share, rate and time left.  Pure. */
void progress_format(uint64_t done, uint64_t total, const char *unit,
		     uint64_t elapsed_ms, char *out, size_t cap);

#endif
