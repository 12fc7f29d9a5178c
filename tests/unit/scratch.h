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

static char scratch[128];

static int scratch_remove(const char *path, const struct stat *st, int flag,
			  struct FTW *ftw)
{
	(void)st;
	(void)flag;
	(void)ftw;
	return remove(path);
}

static inline void scratch_drop(void)
{
	nftw(scratch, scratch_remove, 16, FTW_DEPTH | FTW_PHYS);
}

/* Under TMPDIR, or the present folder: /tmp may lack extended attributes. */
static inline void scratch_make(void)
{
	snprintf(scratch, sizeof(scratch), "%s/s3rdmafs-unit-XXXXXX",
		 getenv("TMPDIR") ? getenv("TMPDIR") : ".");
	if (!mkdtemp(scratch))
		abort();
}

/* Writes a file of the folder; its path lasts until the next call. */
static inline const char *scratch_file(const char *name, const char *text)
{
	static char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", scratch, name);
	f = fopen(path, "we");
	if (!f || fputs(text, f) < 0 || fclose(f))
		abort();
	return path;
}

#endif
