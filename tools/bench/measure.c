/* SPDX-License-Identifier: Apache-2.0 */
/* One measurement of one row. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "proc.h"
#include "rows.h"

#define MIB (1UL << 20)

static void rates(const struct work_result *w, struct sample *out)
{
	out->rate = (double)w->bytes / w->seconds;
	out->iops = (double)w->ops / w->seconds;
	out->p50 = hist_at(&w->took, 0.5);
	out->p99 = hist_at(&w->took, 0.99);
	out->reader = w->cpu / (double)w->bytes;
}

static bool at_place(const struct row *row, const struct work_place *p,
		     struct work_result *w, char *why, size_t cap)
{
	char what[256];
	const int err = work_run(&row->work, p, w, what, sizeof(what));

	if (err)
		snprintf(why, cap, "%s: %s", what, strerror(-err));
	return !err;
}

/* One process, the whole object, nothing kept. */
static bool at_curl(struct scene *s, struct sample *out, char *why, size_t cap)
{
	const struct scene_gateway *g = scene_gateway(s, 0);
	const double server = proc_cpu(g->pid), cpu = proc_children_cpu();
	char url[160];
	char *env[] = {(char *)"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
	char *argv[] = {(char *)"curl",
			(char *)"-sf",
			(char *)"-o",
			(char *)"/dev/null",
			(char *)"--aws-sigv4",
			(char *)"aws:amz:us-east-1:s3",
			(char *)"--user",
			(char *)SCENE_ACCESS ":" SCENE_SECRET,
			(char *)"-H",
			(char *)"x-amz-content-sha256: UNSIGNED-PAYLOAD",
			url,
			NULL};
	const uint64_t begin = clock_ns();

	snprintf(url, sizeof(url), "%s/bench/object0", g->url);
	if (proc_run(argv, env, NULL, 0)) {
		snprintf(why, cap, "curl failed");
		return false;
	}
	out->rate = (double)s->size / ((double)(clock_ns() - begin) / 1e9);
	out->reader = (proc_children_cpu() - cpu) / (double)s->size;
	out->server = (proc_cpu(g->pid) - server) / (double)s->size;
	return true;
}

static bool at_raw(struct scene *s, const struct row *row, struct sample *out,
		   char *why, size_t cap)
{
	const struct scene_gateway *g = scene_gateway(s, row->delay_ms);
	const double server = proc_cpu(g->pid);
	struct raw_work w = row->raw;
	struct work_result r;
	int err;

	if (!w.bytes)
		w.bytes = s->size;
	if (row->place == AT_MULTI)
		err = raw_curl(g->url, &w, s->size, &r, why, cap);
	else
		err = raw_get(g->url,
			      strcmp(row->how, "shm") ? XFER_HTTP : XFER_SHM,
			      &w, &r, why, cap);
	if (err)
		return false;
	rates(&r, out);
	out->server = (proc_cpu(g->pid) - server) / (double)r.bytes;
	return true;
}

/* Through what is mounted at s->mnt, served by g. */
static bool at_mounted(struct scene *s, const struct row *row,
		       const struct scene_gateway *g, struct sample *out,
		       char *why, size_t cap)
{
	struct work_place p = scene_mounted(s);
	struct scene_count before = {0}, after = {0};
	struct work_result r;
	double daemon, server;

	for (unsigned int i = 0; i < row->warm; i++) {
		const struct work all = {.kind = WORK_STREAM,
					 .threads = row->work.kind ==
								    WORK_STREAM
							    ? row->work.threads
							    : 1,
					 .block = MIB};
		const struct row fill = {.work = all};

		if (!at_place(&fill, &p, &r, why, cap))
			return false;
	}
	if (s->ours)
		before = scene_count(s);
	daemon = proc_cpu(s->mounted);
	server = g ? proc_cpu(g->pid) : 0;
	if (!at_place(row, &p, &r, why, cap))
		return false;
	rates(&r, out);
	out->daemon = (proc_cpu(s->mounted) - daemon) / (double)r.bytes;
	out->server = g ? (proc_cpu(g->pid) - server) / (double)r.bytes : 0;
	out->rss = (double)proc_rss(s->mounted);
	if (!s->ours)
		return true;
	after = scene_count(s);
	out->transfer = (after.transfer_cpu - before.transfer_cpu) /
			(double)r.bytes;
	out->fetched = (after.fetched - before.fetched) / (double)r.bytes;
	return true;
}

/* Names known, as they are to a mount that has been up for a while. */
static void learn_names(const struct scene *s)
{
	char dir[160];
	char *argv[] = {(char *)"ls", (char *)"-l", dir, NULL};
	char *env[] = {(char *)"PATH=/usr/bin:/bin", NULL};

	snprintf(dir, sizeof(dir), "%s/small", s->mnt);
	proc_run(argv, env, NULL, 0);
}

static bool at_mount(struct scene *s, const struct row *row, struct sample *out,
		     char *why, size_t cap)
{
	const struct scene_gateway *g = scene_gateway(s, row->delay_ms);
	char options[256];
	bool ok;

	snprintf(options, sizeof(options), "%s",
		 row->options ? row->options : "");
	/* All that was read stays in the pool, and a little more; of what the
	 * kernel shall read by itself, a third more must stay. */
	if (row->warm)
		snprintf(options, sizeof(options), "cache_size=%lluMiB",
			 (unsigned long long)(row->warm > 1 ? s->size / 2 * 3
							    : s->size / 3 * 4) /
					 MIB +
				 64);
	else if (!strstr(options, "cache_size"))
		snprintf(options, sizeof(options), "cache_size=256MiB%s%s",
			 row->options ? "," : "",
			 row->options ? row->options : "");
	scene_mount(s, g, row->how, options);
	if (row->work.kind == WORK_FILES || row->work.kind == WORK_FIRST)
		learn_names(s);
	ok = at_mounted(s, row, g, out, why, cap);
	scene_unmount(s);
	return ok;
}

/* A file system that answers from memory; its names known, too. */
static bool at_null(struct scene *s, const struct row *row, struct sample *out,
		    char *why, size_t cap)
{
	const struct work_place p = scene_mounted(s);
	struct work_result r;
	bool ok = true;

	scene_mount_null(s);
	if (row->work.kind == WORK_FILES)
		ok = at_place(row, &p, &r, why, cap);
	ok = ok && at_mounted(s, row, NULL, out, why, cap);
	scene_unmount(s);
	return ok;
}

static bool at_other(struct scene *s, const struct row *row, struct sample *out,
		     char *why, size_t cap)
{
	const struct scene_gateway *g = scene_gateway(s, row->delay_ms);
	bool ok;

	if (!scene_has(row->how)) {
		snprintf(why, cap, "%s is not installed", row->how);
		return false;
	}
	if (!scene_mount_other(s, g, row->how)) {
		snprintf(why, cap, "%s does not mount", row->how);
		return false;
	}
	ok = at_mounted(s, row, g, out, why, cap);
	scene_unmount(s);
	return ok;
}

bool row_measure(struct scene *s, const struct row *row, struct sample *out,
		 char *why, size_t cap)
{
	struct work_place p = scene_files(s);
	struct work_result r;
	bool ok;

	*out = (struct sample){0};
	switch (row->place) {
	case AT_FILES:
		ok = at_place(row, &p, &r, why, cap);
		if (ok)
			rates(&r, out);
		return ok;
	case AT_NULL:
		return at_null(s, row, out, why, cap);
	case AT_CURL:
		return at_curl(s, out, why, cap);
	case AT_MULTI:
	case AT_RAW:
		return at_raw(s, row, out, why, cap);
	case AT_MOUNT:
		return at_mount(s, row, out, why, cap);
	case AT_OTHER:
		return at_other(s, row, out, why, cap);
	}
	return false;
}
