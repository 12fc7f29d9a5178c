/* SPDX-License-Identifier: Apache-2.0 */
#include "rows.h"

#include <stddef.h>
#include <string.h>

#include "base/cleanup.h"

#define KIB (1UL << 10)
#define MIB (1UL << 20)

#define STREAMS(n, block_) \
	.work = {.kind = WORK_STREAM, .threads = (n), .block = (block_)}
#define RANDOM(n, block_, count, one) \
	.work = {.kind = WORK_RANDOM, \
		 .threads = (n),      \
		 .block = (block_),   \
		 .ops = (count),      \
		 .shared = (one)}
#define FILES(n) .work = {.kind = WORK_FILES, .threads = (n), .block = 64 * KIB}
#define MAPPED .work = {.kind = WORK_MAP, .threads = 1, .block = 4 * KIB}
/* bytes: 0 for all of an object */
#define GETS(block_, depth_, bytes_) \
	.raw = {.block = (block_), .depth = (depth_), .bytes = (bytes_)}
#define ROW(id_, name_, place_, how_, ...)                       \
	{                                                        \
		.id = (id_), .name = (name_), .place = (place_), \
		.how = (how_), __VA_ARGS__                       \
	}
#define POOL(size) "cache_size=" size

/* The metadata are believed: what is measured is bytes, not names. */
#define KNOWN "metadata.ttl=forever"

const struct row rows[] = {
	/* yardsticks */
	ROW("tmpfs.seq", "tmpfs, the file itself, 1 MiB", AT_FILES, NULL,
	    STREAMS(1, MIB), .quick = true),
	ROW("tmpfs.seq4", "tmpfs, 4 streams", AT_FILES, NULL, STREAMS(4, MIB)),
	ROW("tmpfs.map", "tmpfs, mmap", AT_FILES, NULL, MAPPED),
	ROW("null.random4k", "null FUSE, random 4 KiB", AT_NULL, NULL,
	    RANDOM(1, 4 * KIB, 60000, false), .quick = true),
	ROW("null.random4k.16", "null FUSE, random 4 KiB, 16 threads", AT_NULL,
	    NULL, RANDOM(16, 4 * KIB, 100000, true)),
	ROW("null.seq", "null FUSE, 1 MiB", AT_NULL, NULL, STREAMS(1, MIB),
	    .quick = true),
	ROW("null.small", "null FUSE, small files, 8 readers", AT_NULL, NULL,
	    FILES(8)),
	ROW("curl.one", "one curl process", AT_CURL, NULL, .quick = true),
	ROW("curl.multi", "libcurl multi, 8 parts of 4 MiB", AT_MULTI, NULL,
	    GETS(4 * MIB, 8, 0), .quick = true),

	/* without a file system */
	ROW("raw.http.4k.1", "raw GET, http, 4 KiB, 1 at a time", AT_RAW,
	    "http", GETS(4 * KIB, 1, 4000 * 4 * KIB)),
	ROW("raw.http.64k.1", "raw GET, http, 64 KiB, 1", AT_RAW, "http",
	    GETS(64 * KIB, 1, 4000 * 64 * KIB)),
	ROW("raw.http.64k.8", "raw GET, http, 64 KiB, 8", AT_RAW, "http",
	    GETS(64 * KIB, 8, 10000 * 64 * KIB), .quick = true),
	ROW("raw.http.4m.1", "raw GET, http, 4 MiB, 1", AT_RAW, "http",
	    GETS(4 * MIB, 1, 0)),
	ROW("raw.http.4m.8", "raw GET, http, 4 MiB, 8", AT_RAW, "http",
	    GETS(4 * MIB, 8, 0), .quick = true),
	ROW("raw.shm.64k.1", "raw GET, shm, 64 KiB, 1", AT_RAW, "shm",
	    GETS(64 * KIB, 1, 4000 * 64 * KIB)),
	ROW("raw.shm.64k.8", "raw GET, shm, 64 KiB, 8", AT_RAW, "shm",
	    GETS(64 * KIB, 8, 10000 * 64 * KIB)),
	ROW("raw.shm.4m.1", "raw GET, shm, 4 MiB, 1", AT_RAW, "shm",
	    GETS(4 * MIB, 1, 0)),
	ROW("raw.shm.4m.8", "raw GET, shm, 4 MiB, 8", AT_RAW, "shm",
	    GETS(4 * MIB, 8, 0), .quick = true),

	/* in order */
	ROW("http.seq", "mount, cold, http, 1 MiB", AT_MOUNT, "http",
	    STREAMS(1, MIB), .quick = true),
	ROW("http.seq.4k", "mount, cold, http, 4 KiB", AT_MOUNT, "http",
	    STREAMS(1, 4 * KIB)),
	ROW("http.seq.64k", "mount, cold, http, 64 KiB", AT_MOUNT, "http",
	    STREAMS(1, 64 * KIB)),
	ROW("http.seq.4m", "mount, cold, http, 4 MiB", AT_MOUNT, "http",
	    STREAMS(1, 4 * MIB)),
	ROW("http.seq4", "mount, cold, http, 4 streams", AT_MOUNT, "http",
	    STREAMS(4, MIB), .quick = true),
	ROW("http.seq.p64", "mount, cold, http, pool of 64 MiB", AT_MOUNT,
	    "http", STREAMS(1, MIB), .options = POOL("64MiB")),
	ROW("http.seq.p1g", "mount, cold, http, pool of 1 GiB", AT_MOUNT,
	    "http", STREAMS(1, MIB), .options = POOL("1GiB")),
	ROW("shm.seq", "mount, cold, shm, 1 MiB", AT_MOUNT, "shm",
	    STREAMS(1, MIB), .quick = true),
	ROW("shm.seq4", "mount, cold, shm, 4 streams", AT_MOUNT, "shm",
	    STREAMS(4, MIB), .quick = true),
	ROW("shm.seq.p64", "mount, cold, shm, pool of 64 MiB", AT_MOUNT, "shm",
	    STREAMS(1, MIB), .options = POOL("64MiB")),
	ROW("shm.seq.p1g", "mount, cold, shm, pool of 1 GiB", AT_MOUNT, "shm",
	    STREAMS(1, MIB), .options = POOL("1GiB")),
	ROW("shm.seq.idle", "mount, cold, shm, beside 1,000 idle handles",
	    AT_MOUNT, "shm",
	    .work = {.kind = WORK_STREAM,
		     .threads = 1,
		     .block = MIB,
		     .idle = 1000}),

	/* from the pool */
	ROW("warm.seq", "mount, warm, 1 MiB", AT_MOUNT, "auto", STREAMS(1, MIB),
	    .warm = 1, .quick = true),
	ROW("warm.seq.128k", "mount, warm, 128 KiB", AT_MOUNT, "auto",
	    STREAMS(1, 128 * KIB), .warm = 1),
	ROW("warm.seq4", "mount, warm, 4 streams", AT_MOUNT, "auto",
	    .work = {.kind = WORK_STREAM,
		     .threads = 4,
		     .block = MIB,
		     .shared = true},
	    .warm = 1),
	ROW("warm.random4k", "mount, warm, random 4 KiB", AT_MOUNT, "auto",
	    RANDOM(1, 4 * KIB, 60000, false), .warm = 1, .quick = true),
	ROW("warm.random4k.16", "mount, warm, random 4 KiB, 16 threads",
	    AT_MOUNT, "auto", RANDOM(16, 4 * KIB, 100000, true), .warm = 1),
	ROW("again.seq", "mount, read again, 1 MiB", AT_MOUNT, "auto",
	    STREAMS(1, MIB), .warm = 3, .quick = true),
	ROW("again.random4k", "mount, read again, random 4 KiB", AT_MOUNT,
	    "auto", RANDOM(1, 4 * KIB, 60000, false), .warm = 3, .quick = true),
	ROW("again.map", "mount, read again, mmap", AT_MOUNT, "auto", MAPPED,
	    .warm = 3),
	ROW("warm.map", "mount, warm, mmap", AT_MOUNT, "auto", MAPPED,
	    .warm = 1),

	/* anywhere */
	ROW("random4k", "mount, cold, http, random 4 KiB", AT_MOUNT, "http",
	    RANDOM(1, 4 * KIB, 2000, false), .quick = true),
	ROW("random256k", "mount, cold, http, random 256 KiB", AT_MOUNT, "http",
	    RANDOM(1, 256 * KIB, 1000, false)),
	ROW("random1m", "mount, cold, http, random 1 MiB", AT_MOUNT, "http",
	    RANDOM(1, MIB, 500, false)),
	ROW("random256k.d20", "mount, random 256 KiB, 20 ms", AT_MOUNT, "http",
	    RANDOM(1, 256 * KIB, 60, false), .delay_ms = 20, .quick = true),
	ROW("random256k.d20.16", "mount, random 256 KiB, 20 ms, 16 threads",
	    AT_MOUNT, "http", RANDOM(16, 256 * KIB, 800, true), .delay_ms = 20,
	    .quick = true),
	ROW("random256k.d20.16h", "mount, the same, a handle each", AT_MOUNT,
	    "http", RANDOM(16, 256 * KIB, 800, false), .delay_ms = 20),
	ROW("raw.256k.d20", "raw GET, http, 256 KiB, 20 ms", AT_RAW, "http",
	    GETS(256 * KIB, 1, 60 * 256 * KIB), .delay_ms = 20, .quick = true),

	/* small files */
	ROW("small.http", "mount, small files, http, 8 readers", AT_MOUNT,
	    "http", FILES(8), .options = KNOWN, .quick = true),
	ROW("small.shm", "mount, small files, shm, 8 readers", AT_MOUNT, "shm",
	    FILES(8), .options = KNOWN),
	ROW("small.d5", "mount, small files, 5 ms, 8 readers", AT_MOUNT, "http",
	    FILES(8), .delay_ms = 5, .options = KNOWN),
	ROW("small.d5.alone", "mount, the same, none fetched ahead", AT_MOUNT,
	    "http", FILES(8), .delay_ms = 5,
	    .options = KNOWN ",read.files_ahead=0"),

	/* maps */
	ROW("map.shm", "mount, cold, shm, mmap", AT_MOUNT, "shm", MAPPED),
	ROW("tensors.d5", "mount, tensors by mmap, 5 ms", AT_MOUNT, "http",
	    .work = {.kind = WORK_TENSORS, .threads = 1, .block = 64 * KIB},
	    .delay_ms = 5),
	ROW("http.seq.d5", "mount, cold, http, 5 ms", AT_MOUNT, "http",
	    STREAMS(1, MIB), .delay_ms = 5),

	/* first byte */
	ROW("first", "mount, first 4 KiB of a file, http", AT_MOUNT, "http",
	    .work = {.kind = WORK_FIRST,
		     .threads = 1,
		     .block = 4 * KIB,
		     .ops = 200},
	    .options = KNOWN, .quick = true),
	ROW("raw.first", "raw GET, the same, http", AT_RAW, "http",
	    GETS(4 * KIB, 1, 400 * 4 * KIB), .quick = true),

#define OTHER(program)                                                      \
	ROW(program ".seq", program ", cold, 1 MiB", AT_OTHER, program,     \
	    STREAMS(1, MIB), .quick = true),                                \
		ROW(program ".seq4", program ", cold, 4 streams", AT_OTHER, \
		    program, STREAMS(4, MIB)),                              \
		ROW(program ".random256k", program ", random 256 KiB",      \
		    AT_OTHER, program, RANDOM(1, 256 * KIB, 100, false)),   \
		ROW(program ".small", program ", small files, 8 readers",   \
		    AT_OTHER, program, FILES(8))
	OTHER("s3fs"),
	OTHER("rclone"),
	OTHER("mount-s3"),
	OTHER("geesefs"),
	OTHER("goofys"),
};
const unsigned int nrows = ARRAY_SIZE(rows);

#define RATIO(name_, over_, under_, field_, bar_, ...)                   \
	{                                                                \
		.name = (name_), .over = (over_), .under = (under_),     \
		.field = offsetof(struct sample, field_), .bar = (bar_), \
		__VA_ARGS__                                              \
	}
#define AT_LEAST(...) RATIO(__VA_ARGS__, .at_most = false)
#define AT_MOST(...) RATIO(__VA_ARGS__, .at_most = true)

const struct ratio ratios[] = {
	AT_LEAST("http / one curl", "http.seq", "curl.one", rate, 0.6),
	AT_LEAST("http / libcurl multi", "http.seq", "curl.multi", rate, 0.75),
	AT_LEAST("shm / http", "shm.seq", "http.seq", rate, 1.8),
	AT_LEAST("shm / warm", "shm.seq", "warm.seq", rate, 0.75),
	AT_MOST("transfer CPU, shm / http", "shm.seq", "http.seq", transfer,
		0.05),
	AT_LEAST("warm / tmpfs", "warm.seq", "tmpfs.seq", rate, 0.85),
	AT_LEAST("read again / tmpfs", "again.seq", "tmpfs.seq", rate, 0.85),
	AT_LEAST("read again / null FUSE, 4 KiB", "again.random4k",
		 "null.random4k", iops, 0.9),
	AT_LEAST("warm / null FUSE, 1 MiB", "warm.seq", "null.seq", rate, 0.9),
	AT_LEAST("warm / null FUSE, 4 KiB", "warm.random4k", "null.random4k",
		 iops, 0.9),
	AT_LEAST("random 256 KiB, 20 ms / raw", "random256k.d20",
		 "raw.256k.d20", iops, 0.9),
	AT_LEAST("16 threads on one handle / 1", "random256k.d20.16",
		 "random256k.d20", iops, 14),
	AT_LEAST("small files / raw, 8", "small.http", "raw.http.64k.8", iops,
		 0.8),
	AT_LEAST("small files, 5 ms, ahead / not", "small.d5", "small.d5.alone",
		 iops, 5),
	AT_LEAST("http, 64 MiB / 1 GiB pool", "http.seq.p64", "http.seq.p1g",
		 rate, 0.9),
	AT_LEAST("shm, 64 MiB / 1 GiB pool", "shm.seq.p64", "shm.seq.p1g", rate,
		 0.9),
	AT_LEAST("1,000 idle handles / none", "shm.seq.idle", "shm.seq", rate,
		 0.97),
	AT_MOST("in order / tensors, 5 ms", "http.seq.d5", "tensors.d5", rate,
		1.3),
	AT_MOST("first byte - raw GET, s", "first", "raw.first", p50, 0.0003,
		.by_gap = true),
	AT_LEAST("http / s3fs", "http.seq", "s3fs.seq", rate, 6),
	AT_LEAST("http / s3fs, 4 streams", "http.seq4", "s3fs.seq4", rate, 6),
	AT_LEAST("shm / s3fs", "shm.seq", "s3fs.seq", rate, 12),
	AT_MOST("CPU, http / s3fs", "http.seq", "s3fs.seq", daemon, 0.2),
	AT_LEAST("http / rclone", "http.seq", "rclone.seq", rate, 6),
	AT_LEAST("http / rclone, 4 streams", "http.seq4", "rclone.seq4", rate,
		 6),
	AT_LEAST("shm / rclone", "shm.seq", "rclone.seq", rate, 12),
	AT_MOST("CPU, http / rclone", "http.seq", "rclone.seq", daemon, 0.2),
};
const unsigned int nratios = ARRAY_SIZE(ratios);

const struct row *row_find(const char *id)
{
	for (unsigned int i = 0; i < nrows; i++)
		if (!strcmp(rows[i].id, id))
			return &rows[i];
	return NULL;
}
