/* SPDX-License-Identifier: Apache-2.0 */
#include "progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"

#define BAR 24
#define LINE_MS 2000 /* between lines where there is no terminal */

void progress_init(struct progress *p)
{
	*p = (struct progress){.is_terminal = isatty(STDERR_FILENO),
			       .started_ms = clock_ms(),
			       .told_ms = clock_ms()};
}

static void amount(uint64_t n, const char *unit, char *out, size_t cap)
{
	if (strcmp(unit, "bytes") != 0)
		snprintf(out, cap, "%llu %s", (unsigned long long)n, unit);
	else if (n >= 10ULL << 20)
		snprintf(out, cap, "%llu MiB", (unsigned long long)n >> 20);
	else
		snprintf(out, cap, "%llu KiB", (unsigned long long)n >> 10);
}

void progress_format(uint64_t done, uint64_t total, const char *unit,
		     uint64_t elapsed_ms, char *out, size_t cap)
{
	const uint64_t rate = elapsed_ms ? done * 1000 / elapsed_ms : 0;
	char bar[BAR + 1], have[48], speed[48], eta[48] = "";
	unsigned int full;

	amount(done, unit, have, sizeof(have));
	amount(rate, unit, speed, sizeof(speed));
	/* What is said of the whole may be from before: more has come. */
	if (total < done || !total) {
		snprintf(out, cap, "%s, %s/s", have, speed);
		return;
	}
	full = (unsigned int)(done * BAR / total);
	memset(bar, '.', BAR);
	memset(bar, '#', full);
	bar[BAR] = '\0';
	if (rate) {
		const uint64_t left = (total - done) / rate;

		snprintf(eta, sizeof(eta), ", %llu:%02llu left",
			 (unsigned long long)left / 60,
			 (unsigned long long)left % 60);
	}
	snprintf(out, cap, "[%s] %3llu%% %s, %s/s%s", bar,
		 (unsigned long long)(done * 100 / total), have, speed, eta);
}

void progress_show(struct progress *p, const char *text)
{
	const uint64_t now = clock_ms();
	char *end, unit[16], line[160];
	const unsigned long long done = strtoull(text, &end, 10);
	const unsigned long long total = strtoull(end, &end, 10);

	if (*end != ' ')
		return;
	snprintf(unit, sizeof(unit), "%s", end + 1);
	progress_format(done, total, unit, now - p->started_ms, line,
			sizeof(line));
	if (p->is_terminal) {
		fprintf(stderr, "\r%s\033[K", line);
		p->shown = true;
	} else if (now - p->told_ms >= LINE_MS) {
		fprintf(stderr, "%s\n", line);
		p->told_ms = now;
	}
}

void progress_clear(struct progress *p)
{
	if (p->shown)
		fputs("\r\033[K", stderr);
	p->shown = false;
}
