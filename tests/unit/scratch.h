/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of a test's own, gone with it. */
#ifndef S3RDMAFS_TESTS_SCRATCH_H
#define S3RDMAFS_TESTS_SCRATCH_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char scratch_root[128]; /* of all tests of the program */
static char scratch[160];      /* of this test */

static int scratch_remove(const char *path, const struct stat *st, int flag,
			  struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void scratch_make(void)
{
	snprintf(scratch, sizeof(scratch), "%s/XXXXXX", scratch_root);
	if (!mkdtemp(scratch))
		abort();
}

/*
 * unit_main with a folder around it, which goes even when tests fall.  Under
 * TMPDIR, or the present folder: /tmp may lack extended attributes.
 */
static inline int scratch_main(Suite *s)
{
	int status;

	snprintf(scratch_root, sizeof(scratch_root), "%s/s3rdmafs-unit-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : ".");
	if (!mkdtemp(scratch_root))
		abort();
	status = unit_main(s);
	nftw(scratch_root, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
	return status;
}

/* Writes a file of the folder; its path lasts until the next call. */
static inline const char *scratch_file(const char *name, const char *text)
{
	static char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	f = fopen(path, "we");
	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
	return path;
}

#endif
