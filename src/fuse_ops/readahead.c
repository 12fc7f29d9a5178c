/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much the kernel asks for at once when a page of a map is missing.  128
 * KiB is its default, and each of them is a wake-up both ways: a map that is
 * copied out of runs twice as fast with 1 MiB.  It has a knob for each mount,
 * which is root's; what INIT says may only make it less.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/log.h"
#include "fuse_ops/ops.h"

/* A path as mountinfo writes it: blanks and backslashes as \ooo. */
static void unescape(char *s)
{
	char *to = s;

	for (; *s; s++) {
		unsigned int c;

		/* NOLINTNEXTLINE(cert-err34-c): three digits do not overflow */
		if (s[0] == '\\' && sscanf(s + 1, "%3o", &c) == 1 && c < 256) {
			*to++ = (char)c;
			s += 3;
		} else {
			*to++ = *s;
		}
	}
	*to = '\0';
}

/* "major:minor" of what is mounted there last, without asking it: it does not
 * answer yet.  False when it is not there. */
static bool find_device(const char *mountpoint, char device[32])
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	AUTO_FREE char *line = NULL;
	bool found = false;
	size_t cap = 0;

	while (f && getline(&line, &cap, f) > 0) {
		char id[32], where[4200];

		/* NOLINTNEXTLINE(cert-err34-c): the kernel's own text */
		if (sscanf(line, "%*d %*d %31s %*s %4199s", id, where) != 2)
			continue;
		unescape(where);
		if (!strcmp(where, mountpoint)) {
			memcpy(device, id, sizeof(id));
			found = true;
		}
	}
	if (f)
		fclose(f);
	return found;
}

unsigned int readahead_raise(const char *mountpoint, unsigned int bytes)
{
	char device[32], path[96], text[16];
	const int n = snprintf(text, sizeof(text), "%u", bytes >> 10);
	AUTO_CLOSE int fd = -1;

	if (!find_device(mountpoint, device))
		return 0;
	snprintf(path, sizeof(path), "/sys/class/bdi/%s/read_ahead_kb", device);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, text, (size_t)n) != n) {
		log_debug("maps: the kernel's read-ahead stays as it is: only "
			  "root may change it");
		return 0;
	}
	return bytes;
}
