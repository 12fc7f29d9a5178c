/* SPDX-License-Identifier: Apache-2.0 */
/* What is measured, row by row, and what each shall be beside another. */
#ifndef S3RDMAFS_BENCH_ROWS_H
#define S3RDMAFS_BENCH_ROWS_H

#include "raw.h"
#include "scene.h"

enum row_place {
	AT_FILES, /* the files themselves, on tmpfs */
	AT_NULL,  /* a FUSE file system that answers from memory */
	AT_CURL,  /* one curl process, the whole object */
	AT_MULTI, /* one multi handle of libcurl */
	AT_RAW,   /* our transfer engine, no file system */
	AT_MOUNT, /* through s3rdmafs */
	AT_OTHER, /* through somebody else's mount */
};

struct row {
	const char *id;   /* for --only, JSON and plots */
	const char *name; /* for people */
	enum row_place place;
	const char *how; /* a transport, or another's program */
	struct work work;
	struct raw_work raw;
	unsigned int delay_ms; /* of each GET, at the server */
	unsigned int warm;     /* so often read before, by the same mount */
	const char *options;   /* of the mount; NULL: none */
	bool quick;            /* a part of --quick */
};

/* One measurement of a row. */
struct sample {
	double rate;     /* bytes a second */
	double iops;     /* reads a second */
	double p50, p99; /* seconds a read */
	double reader;   /* CPU seconds a byte of who reads, */
	double daemon;   /* of who serves the mount, */
	double transfer; /* of s3rdmafs in the transfer alone, */
	double server;   /* of the gateway */
	double rss;     /* bytes resident in who serves the mount, at the end */
	double fetched; /* bytes from the server for each that was read */
};

extern const struct row rows[];
extern const unsigned int nrows;

/* What users compare. */
struct ratio {
	const char *name, *over, *under; /* ids of rows */
	size_t field;                    /* of struct sample */
	double bar;
	bool at_most;
	bool by_gap; /* seconds over - under, not the quotient */
};
extern const struct ratio ratios[];
extern const unsigned int nratios;

const struct row *row_find(const char *id);

/* Measures it once.  False: this machine cannot (why says why). */
bool row_measure(struct scene *s, const struct row *row, struct sample *out,
		 char *why, size_t cap);

#endif
