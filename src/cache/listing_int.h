/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by listing.c (streams of pages) and cuts.c (what each is of). */
#ifndef S3RDMAFS_CACHE_LISTING_INT_H
#define S3RDMAFS_CACHE_LISTING_INT_H

#include "cache/namespace_int.h"
#include "cache/ranges.h"

#define STREAMS 8      /* at a time, for one directory */
#define STREAMS_ALL 16 /* of all directories: some threads are left */
/* What ends within two pages is not worth the questions where to cut. */
#define CUT_PAGES 2

struct s3_pager;

/* One directory's. */
struct listing {
	struct namespace *ns;
	struct dir *dir;   /* a reference */
	struct snap *snap; /* a reference */
	char bucket[S3_BUCKET_MAX + 1], prefix[S3_KEY_MAX + 2];
	bool unsorted; /* constant: the server has another order */

	pthread_mutex_t lock;
	/* Under lock. */
	struct stream *streams; /* owned; all that there were, by name */
	unsigned int nstreams;
	unsigned int running, waiting; /* streams in these states */
	unsigned int parked;           /* that wait with a page on its way */
	unsigned int pages;            /* that came, of all streams */
	size_t hidden;
	bool is_complete;                 /* stored, and whole */
	struct hidden_name *hidden_names; /* owned */
	unsigned int nhidden;
};

/* One range of names, a segment of the listing. */
struct stream {
	struct listing *li;

	/* Under li->lock. */
	struct stream *next; /* the one behind it */
	enum { STREAM_WAITING, STREAM_RUNNING, STREAM_ENDED } state;

	/* Of the thread that runs it. */
	struct s3_pager
		*pager; /* owned; NULL before it ran and when it ended */
	uint32_t seg;
	char after[RANGES_NAME]; /* "": from the beginning */
	char end[RANGES_NAME];   /* the last name that is ours; "": no end */
	char first[REC_NAME_MAX + 1];
	unsigned int pages;
	unsigned int last_cut, next_cut; /* not before so many pages */
	unsigned int idle;               /* pages without a new name */
	uint64_t read_ms;                /* when somebody was seen to read */
	bool done;
	struct build b;
	struct page page;
};

/* cuts.c: between two pages, gives away what the stream has left but for its
 * first piece, to streams that wait, if that is worth while.  Of a stream
 * without an end the server is asked where; blocks. */
void stream_cut(struct stream *s);

#endif
