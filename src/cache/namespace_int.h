/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by namespace.c, listing.c, tree.c and walk.c. */
#ifndef S3RDMAFS_CACHE_NAMESPACE_INT_H
#define S3RDMAFS_CACHE_NAMESPACE_INT_H

#include <stdatomic.h>

#include "base/list.h"
#include "base/workq.h"
#include "cache/build.h"
#include "cache/dirs.h"
#include "cache/namespace.h"
#include "cache/page.h"

#define TOUCHED_MAX 4096

/* A listing that somebody reads, however slowly: when the store has replaced
 * it, it stays there. */
struct held {
	struct list all;   /* on ns->held */
	struct snap *snap; /* its reference is the reader's */
};

struct namespace
{
	/* Constant. */
	char bucket[S3_BUCKET_MAX + 1];
	char prefix[S3_KEY_MAX + 1];
	struct s3 *s3;       /* borrowed */
	struct store *store; /* owned */
	struct dirs *dirs;   /* owned */
	struct workq *lists; /* owned: a thread for each stream of pages */
	struct fresh fresh;
	char *prefixes;      /* owned: what the rules point into */
	bool unsorted;       /* a server that lists in another order */
	atomic_uint streams; /* of listings, now */
	atomic_bool ending;
	pthread_t tidier;
	bool has_tidier;

	pthread_mutex_t lock;
	/* Under lock. */
	struct walk *walks; /* of all directories, see walk.c */
	void (*changed)(void *ctx, uint64_t dir, const char *name);
	void *changed_ctx;
	bool stopped;
	pthread_cond_t wake;           /* a batch of a walk moved on */
	pthread_cond_t tidy_wake;      /* of the tidier */
	struct list held;              /* of struct held */
	uint64_t touched[TOUCHED_MAX]; /* directories to be marked as used */
	unsigned int ntouched;
};

/* Milliseconds of the wall clock, which goes on through a remount. */
uint64_t namespace_now(void);

/* The prefix of keys in a directory ("" or with its '/'), and its bucket,
 * which is "" where the directory holds the buckets.  -ENAMETOOLONG. */
int namespace_key_prefix(const struct namespace *ns, const char *path,
			 char bucket[S3_BUCKET_MAX + 1],
			 char key[S3_KEY_MAX + 2]);

/*
 * listing.c: begins to list a directory, or joins who does; a reference to
 * the listing in *out, which need not be whole.  Waits until there is a first
 * entry, an end or an error; then *out is NULL.
 */
int listing_start(struct namespace *ns, struct dir *dir, struct snap **out);

/* Puts a whole listing into the place of the one before, in a transaction
 * that has begun: with what names told before it forgotten; true in *kept.
 * Unless it was asked for, it gives way to one that is frozen, or began later:
 * another mount's, or one that was faster.  That is in *d then. */
int listing_keep(struct namespace *ns, struct store_dir *d, bool asked_for,
		 bool *kept);

/*
 * walk.c: a directory is about to be read.  When its siblings were read one
 * after the other before, those behind it are listed ahead.  Returns a whole
 * listing of dir with a reference when it came that way, else NULL.
 */
struct snap *walk_arrive(struct namespace *ns, struct dir *dir);
/* The same for one whose listing is known; never blocks. */
void walk_pass(struct namespace *ns, const struct dir *dir);
void walk_stop(struct namespace *ns);
void walk_free(struct namespace *ns);

/* That listing of the directory cannot be read, or has been seen to be wrong,
 * as any that is not frozen and began no later than seen_ms; either may be
 * none.  Where the store has another by now, that counts. */
void namespace_forget_listing(struct namespace *ns, const struct dir *dir,
			      const struct snap *s, uint64_t seen_ms);

void namespace_hold(struct namespace *ns, struct held *h, struct snap *s);
void namespace_let_go(struct namespace *ns, struct held *h);

/* What is done every few seconds: what goes of the store goes. */
void namespace_tidy(struct namespace *ns);

/* A write found the disk full: frees what is wanted least of the store. */
void namespace_make_room(struct namespace *ns);

/* Tells who asked to be told (namespace_on_change). */
void namespace_changed(struct namespace *ns, uint64_t dir, const char *name);

/* dir and name with a '/' between, if both are there.  -ENAMETOOLONG. */
int namespace_join(char *out, size_t cap, const char *dir, const char *name);

/* As namespace_peek. */
int namespace_peek_in(struct namespace *ns, struct dir *dir, const char *name,
		      struct ns_attr *out, uint64_t *left_ms);

/* The directory's listing with a reference if it is still believed, and for
 * how many milliseconds; else NULL. */
struct snap *namespace_fresh_snap(struct namespace *ns, struct dir *dir,
				  uint64_t *left_ms);

/* look.c: asks the server whatever is known, keeps what it says, and tells of
 * it when it is another. */
int namespace_ask_again(struct namespace *ns, uint64_t dir, const char *name,
			struct ns_attr *out);

/* amend.c: a listing that is believed has the name as the server has it now,
 * attr NULL for nothing, and is the same otherwise; the kernel is told.  A long
 * one takes a while. */
int namespace_amend(struct namespace *ns, uint64_t dir, const char *name,
		    const struct ns_attr *attr);

/* catalog.c: the directory that path is in, and its name there; "" for the
 * root itself.  Blocks. */
int catalog_parent(struct namespace *ns, const char *path, uint64_t *dir,
		   char name[256]);

/* ---- tree.c: keys without delimiter to listings of all directories ---- */

struct tree;

/* base is where the keys begin, "" or with a '/'; with_base: its own listing
 * is made too. */
int tree_new(struct namespace *ns, const struct dir *base, bool with_base,
	     uint64_t since_ms, uint32_t flags, struct tree **out);
/* Somebody asked for it: it takes any listing's place.  Of each name that is
 * not what it was, who asked to be told is, after the commit. */
void tree_tell(struct tree *t);
/*
 * A transaction in which keys are added, and its end: it is aborted when err
 * is not 0, which is returned; else what was completed in it is seen from now
 * on.  One that grows large is ended in between, and another begun.
 */
int tree_begin(struct tree *t);
int tree_commit(struct tree *t, int err);
/* Between the two, or store_begin and store_commit.  key is relative to base;
 * -ERANGE when it does not come behind the last. */
int tree_add(struct tree *t, const struct page *p, size_t at);
/* Completes what is open; nothing is added after. */
int tree_end(struct tree *t);
/* After each store_commit: directories completed in it are seen from now on. */
void tree_publish(struct tree *t);
/* In no transaction: what was not completed goes out of the store. */
void tree_free(struct tree *t);
/* What is known of a directory that is gone, and of all under it, is
 * forgotten; depth: 0. */
void tree_forget(struct namespace *ns, uint64_t id, unsigned int depth);
uint64_t tree_entries(const struct tree *t);

#endif
