/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The null file system by itself, and a program that stats names, to hold
 * against it.
 *
 *   nullfs MOUNTPOINT          serves until unmounted
 *   nullfs --stat DIR COUNT SECONDS  names file-0000000.bin ... at random
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "null_fs.h"

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int stat_names(const char *dir, unsigned int count, double seconds)
{
	const double begin = now();
	unsigned long n = 0;
	unsigned int x = 1;
	char path[4200];
	struct stat st;

	do {
		x = x * 1664525 + 1013904223;
		snprintf(path, sizeof(path), "%s/file-%07u.bin", dir,
			 (x >> 8) % count);
		if (stat(path, &st)) {
			perror(path);
			return 1;
		}
		n++;
	} while (n % 256 || now() - begin < seconds);
	printf("%.0f\n", (double)n / (now() - begin));
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 5 && !strcmp(argv[1], "--stat"))
		return stat_names(argv[2],
				  (unsigned int)strtoul(argv[3], NULL, 10),
				  strtod(argv[4], NULL));
	if (argc == 2 && argv[1][0] != '-')
		return null_fs_serve(argv[0], argv[1], 0);
	fprintf(stderr,
		"usage: nullfs MOUNTPOINT | --stat DIR COUNT SECONDS\n");
	return 2;
}
