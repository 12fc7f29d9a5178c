/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "proc.h"

#define MIB (1024.0 * 1024.0)
#define GIB (1024.0 * MIB)
#define FIELD(f) offsetof(struct sample, f)

int report_new(struct report *r, int rounds)
{
	r->rounds = rounds;
	r->samples = calloc(nrows, sizeof(*r->samples));
	r->skipped = calloc(nrows, sizeof(*r->skipped));
	r->measured = calloc(nrows, sizeof(*r->measured));
	return r->samples && r->skipped && r->measured ? 0 : -ENOMEM;
}

void report_free(struct report *r)
{
	free(r->samples);
	free(r->skipped);
	free(r->measured);
}

static int by_size(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median_of(double *v, int n)
{
	qsort(v, (size_t)n, sizeof(*v), by_size);
	return v[n / 2];
}

static double value(const struct report *r, unsigned int row, int round,
		    size_t field)
{
	double v;

	memcpy(&v, (const char *)&r->samples[row][round] + field, sizeof(v));
	return v;
}

static double median(const struct report *r, unsigned int row, size_t field)
{
	double v[ROUNDS_MAX];

	for (int i = 0; i < r->rounds; i++)
		v[i] = value(r, row, i, field);
	return median_of(v, r->rounds);
}

/* Of the rounds' own ratios, not the ratio of medians: what makes the machine
 * slow for a while makes both sides of one round slow.  False: not measured. */
static bool ratio_of(const struct report *r, const struct ratio *q, double *out)
{
	const struct row *a = row_find(q->over), *b = row_find(q->under);
	double v[ROUNDS_MAX];

	if (!a || !b || !r->measured[a - rows] || !r->measured[b - rows])
		return false;
	for (int i = 0; i < r->rounds; i++) {
		const double x = value(r, (unsigned int)(a - rows), i,
				       q->field);
		const double y = value(r, (unsigned int)(b - rows), i,
				       q->field);

		v[i] = q->by_gap ? x - y : x / y;
	}
	*out = median_of(v, r->rounds);
	return true;
}

static bool is_met(const struct ratio *q, double v)
{
	return q->at_most ? v <= q->bar : v >= q->bar;
}

/* ---- text ---- */

static void print_row(const struct report *r, unsigned int i)
{
	printf("%-42s %8.0f %9.0f %8.1f %9.1f %7.3f %7.3f %7.3f %7.3f",
	       rows[i].name, median(r, i, FIELD(rate)) / MIB,
	       median(r, i, FIELD(iops)), median(r, i, FIELD(p50)) * 1e6,
	       median(r, i, FIELD(p99)) * 1e6,
	       median(r, i, FIELD(reader)) * GIB,
	       median(r, i, FIELD(daemon)) * GIB,
	       median(r, i, FIELD(transfer)) * GIB,
	       median(r, i, FIELD(server)) * GIB);
	if (median(r, i, FIELD(rss)) > 0)
		printf(" %7.0f", median(r, i, FIELD(rss)) / MIB);
	if (median(r, i, FIELD(fetched)) > 0)
		printf(" %6.2f", median(r, i, FIELD(fetched)));
	putchar('\n');
}

static void print_ratios(const struct report *r)
{
	double v;

	printf("\n%-42s %9s   %s\n", "ratio", "here", "shall be");
	for (unsigned int i = 0; i < nratios; i++) {
		const struct ratio *q = &ratios[i];

		if (!ratio_of(r, q, &v))
			continue;
		printf("%-42s %9.4g   %s %.4g  %s\n", q->name, v,
		       q->at_most ? "at most " : "at least", q->bar,
		       is_met(q, v) ? "met" : "NOT MET");
	}
}

void report_print(const struct report *r)
{
	printf("%-42s %8s %9s %8s %9s %31s %7s %6s\n", "", "MiB/s", "reads/s",
	       "p50 us", "p99 us", "CPU s/GiB: reader daemon (xfer) server",
	       "RSS MiB", "fetch");
	for (unsigned int i = 0; i < nrows; i++)
		if (r->measured[i])
			print_row(r, i);
	print_ratios(r);
	for (unsigned int i = 0; i < nrows; i++)
		if (r->skipped[i][0])
			printf("not measured: %s: %s\n", rows[i].id,
			       r->skipped[i]);
}

/* ---- JSON ---- */

static json_t *row_json(const struct report *r, unsigned int i)
{
	return json_pack(
		"{s:s, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
		"id", rows[i].id, "name", rows[i].name, "mib_per_s",
		median(r, i, FIELD(rate)) / MIB, "reads_per_s",
		median(r, i, FIELD(iops)), "p50_s", median(r, i, FIELD(p50)),
		"p99_s", median(r, i, FIELD(p99)), "reader_cpu_s_per_gib",
		median(r, i, FIELD(reader)) * GIB, "daemon_cpu_s_per_gib",
		median(r, i, FIELD(daemon)) * GIB, "transfer_cpu_s_per_gib",
		median(r, i, FIELD(transfer)) * GIB, "server_cpu_s_per_gib",
		median(r, i, FIELD(server)) * GIB, "rss_bytes",
		median(r, i, FIELD(rss)), "fetched_per_read",
		median(r, i, FIELD(fetched)));
}

static json_t *ratio_json(const struct ratio *q, double v)
{
	return json_pack("{s:s, s:s, s:s, s:f, s:f, s:b, s:b}", "name", q->name,
			 "over", q->over, "under", q->under, "value", v, "bar",
			 q->bar, "at_most", q->at_most, "met", is_met(q, v));
}

int report_json(const struct report *r, const char *file)
{
	json_t *list = json_array(), *compared = json_array(), *o;
	double v;
	int err;

	for (unsigned int i = 0; i < nrows; i++)
		if (r->measured[i])
			json_array_append_new(list, row_json(r, i));
	for (unsigned int i = 0; i < nratios; i++)
		if (ratio_of(r, &ratios[i], &v))
			json_array_append_new(compared,
					      ratio_json(&ratios[i], v));
	o = json_pack("{s:I, s:i, s:i, s:o, s:o}", "object_bytes",
		      (json_int_t)r->size, "files", (int)r->files, "rounds",
		      r->rounds, "rows", list, "ratios", compared);
	err = !o || json_dump_file(o, file, JSON_INDENT(2)) ? -EIO : 0;
	json_decref(o);
	return err;
}

/* ---- pictures ---- */

static const struct plot {
	const char *file, *title;
	size_t field;
	double scale;
	const char *unit, *match; /* ids that end so, or begin so */
} plots[] = {
	{"sequential", "One stream, cold, and warm from the pool", FIELD(rate),
	 1 / MIB, "MiB/s", ".seq"},
	{"streams", "Four streams, cold", FIELD(rate), 1 / MIB, "MiB/s",
	 ".seq4"},
	{"random", "Random 256 KiB", FIELD(iops), 1, "reads/s", "random256k"},
	{"small", "Small files, 8 readers", FIELD(iops), 1, "files/s", "small"},
	{"cpu", "CPU of who serves the mount", FIELD(daemon), GIB, "s/GiB",
	 ".seq"},
};

static bool matches(const char *id, const char *what)
{
	const char *at = strstr(id, what);

	return at && (at == id || at[-1] == '.' || *what == '.') &&
	       (at[strlen(what)] == '\0' || at == id);
}

/* Returns whether there is anything to plot. */
static bool write_plot(const struct report *r, const struct plot *p,
		       const char *folder, FILE *f)
{
	bool any = false;

	fprintf(f,
		"set terminal svg size 800,400 noenhanced\n"
		"set output '%s/%s.svg'\nset title '%s'\nset ylabel '%s'\n"
		"set style fill solid 0.6\nset boxwidth 0.7\nunset key\n"
		"set yrange [0:*]\nset xtics rotate by -30\nset grid y\n"
		"$data << END\n",
		folder, p->file, p->title, p->unit);
	for (unsigned int i = 0; i < nrows; i++)
		if (r->measured[i] && matches(rows[i].id, p->match)) {
			fprintf(f, "\"%s\" %g\n", rows[i].id,
				median(r, i, p->field) * p->scale);
			any = true;
		}
	fputs("END\nplot $data using 2:xtic(1) with boxes\n", f);
	return any;
}

static int plot(const struct report *r, const struct plot *p,
		const char *folder)
{
	char path[4300];
	char *argv[] = {(char *)"gnuplot", path, NULL};
	char *env[] = {(char *)"PATH=/usr/local/bin:/usr/bin:/bin", NULL};
	bool any;
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s.gp", folder, p->file);
	f = fopen(path, "we");
	if (!f)
		return -errno;
	any = write_plot(r, p, folder, f);
	if (fclose(f))
		return -EIO;
	return any && proc_run(argv, env, NULL, 0) ? -EIO : 0;
}

int report_plots(const struct report *r, const char *folder)
{
	int err = 0;

	if (strchr(folder, '\''))
		return -EINVAL;
	for (size_t i = 0; i < ARRAY_SIZE(plots) && !err; i++)
		err = plot(r, &plots[i], folder);
	return err;
}
