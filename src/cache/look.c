/* SPDX-License-Identifier: Apache-2.0 */
/* Asking the server for what is not known of a name, and keeping it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/namespace_int.h"

#define NEW_MS 1000 /* what was asked for so long ago is not asked at open */

static void from_s3(const struct s3_attr *a, struct ns_attr *out)
{
	*out = (struct ns_attr){.size = a->size, .mtime = a->mtime};
	snprintf(out->etag, sizeof(out->etag), "%s", a->etag);
	snprintf(out->storage_class, sizeof(out->storage_class), "%s",
		 a->storage_class);
}

/* The path is a directory where nothing needs to be asked. */
static bool is_above_trusted(const struct namespace *ns, const char *path)
{
	return fresh_leads_to_trusted(&ns->fresh, path);
}

static int count_entry(void *ctx, const struct s3_entry *e)
{
	(void)e;
	++*(unsigned int *)ctx;
	return 0;
}

/* Does anything lie under the key?  0, or -ENOENT ... */
static int is_directory(struct namespace *ns, const char *bucket,
			const char *key)
{
	char prefix[S3_KEY_MAX + 2];
	unsigned int found = 0;
	const struct s3_list l = {.bucket = bucket,
				  .prefix = prefix,
				  .max_keys = 1,
				  .entry = count_entry,
				  .ctx = &found};
	int err;

	snprintf(prefix, sizeof(prefix), "%s/", key);
	err = s3_list(ns->s3, &l, NULL);
	return err ? err : found ? 0 : -ENOENT;
}

static int ask(struct namespace *ns, const char *path, bool trusted,
	       struct ns_attr *out)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	struct s3_look look;
	struct s3_attr a;
	int err = namespace_resolve(ns, path, bucket, key);

	if (err)
		return err;
	*out = (struct ns_attr){.is_dir = true};
	if (is_above_trusted(ns, path))
		return 0;
	if (!*key)
		return s3_head(ns->s3, bucket, NULL, NULL, NULL, &a);
	if (trusted) {
		err = s3_head(ns->s3, bucket, key, NULL, NULL, &a);
		if (!err)
			from_s3(&a, out);
		return err == -ENOENT ? is_directory(ns, bucket, key) : err;
	}
	s3_look(ns->s3, bucket, key, &look);
	/* The directory comes first, see namespace.h. */
	if (!look.prefix_err)
		return 0;
	if (look.prefix_err != -ENOENT)
		return look.prefix_err;
	if (!look.object_err)
		from_s3(&look.object, out);
	return look.object_err;
}

/* Keeps what was learnt of a name, attr NULL for nothing; gives a directory
 * its number.  Without the store only the number is missed. */
static int learn(struct namespace *ns, struct dir *dir, const char *name,
		 struct ns_attr *attr, uint64_t since)
{
	struct rec r = {.len = strlen(name)};
	unsigned char buf[REC_ONE_MAX];
	size_t n = 0;
	int err = store_begin(ns->store);

	if (err)
		return err;
	if (attr) {
		r.is_dir = attr->is_dir;
		r.size = attr->size;
		r.mtime = attr->mtime < 0 ? 0 : attr->mtime;
		memcpy(r.etag, attr->etag, sizeof(r.etag));
		memcpy(r.storage_class, attr->storage_class,
		       sizeof(r.storage_class));
	}
	if (r.is_dir) {
		err = store_child_make(ns->store, dir->id, name, r.len,
				       &attr->dir);
		r.dir = attr->dir;
	}
	if (!err && attr)
		n = rec_pack_one(&r, buf);
	if (!err)
		err = store_name_put(ns->store, dir->id, name, buf, n, since);
	if (err) {
		store_abort(ns->store);
		return err;
	}
	err = store_commit(ns->store);
	dirs_has_names(ns->dirs, dir);
	return err;
}

/* Once more for a directory, when the disk is full.  Of a store begun anew the
 * caller has to know another number of dir. */
static int learn_full(struct namespace *ns, struct dir *dir, const char *name,
		      struct ns_attr *attr, uint64_t since)
{
	const uint64_t generation = store_generation(ns->store);
	int err;

	namespace_make_room(ns);
	err = learn(ns, dir, name, attr, since);
	if (err == -ENOSPC) {
		store_starved(ns->store);
		store_heal(ns->store);
	}
	return store_generation(ns->store) != generation ? -ESTALE : err;
}

int namespace_look(struct namespace *ns, uint64_t id, const char *name,
		   struct ns_attr *out, uint64_t *left_ms)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	const uint64_t since = namespace_now();
	char path[NAMESPACE_PATH_MAX + 1];
	int err, kept;

	if (!dir)
		return -ESTALE;
	if (strlen(name) > REC_NAME_MAX) {
		dirs_put(ns->dirs, dir);
		return -ENAMETOOLONG;
	}
	err = namespace_peek_in(ns, dir, name, out, left_ms);
	if (err == -EAGAIN)
		err = namespace_join(path, sizeof(path), dir->path, name)
			      ?: -EAGAIN;
	if (err == -EAGAIN) {
		err = ask(ns, path, fresh_is_trusted(&ns->fresh, dir->path),
			  out);
		*left_ms = err == -ENOENT ? ns->fresh.negative_ttl_ms
					  : fresh_ttl(&ns->fresh, path);
		kept = !err || err == -ENOENT
			       ? learn(ns, dir, name, err ? NULL : out, since)
			       : 0;
		if (!err && kept == -ENOSPC && out->is_dir)
			kept = learn_full(ns, dir, name, out, since);
		/* A directory without a number cannot be named. */
		if (!err && kept && out->is_dir)
			err = kept;
	}
	dirs_put(ns->dirs, dir);
	return err;
}

/* Has the name been asked for just now?  One HEAD for a look and an open. */
static bool is_new(struct namespace *ns, struct dir *dir, const char *name)
{
	unsigned char buf[REC_ONE_MAX];
	uint64_t since;

	return fresh_is_trusted(&ns->fresh, dir->path) &&
	       store_name_get(ns->store, dir->id, name, buf, sizeof(buf),
			      &since) > 0 &&
	       fresh_left(NEW_MS, since, namespace_now());
}

/* Is what is known of the name believed without asking at each open? */
static bool is_settled(struct namespace *ns, struct dir *dir, const char *name,
		       const char *path)
{
	struct snap *s = dirs_snap(ns->dirs, dir);
	const bool frozen = s && s->flags & STORE_FROZEN;

	if (s)
		dirs_snap_put(ns->dirs, s);
	return frozen || fresh_ttl(&ns->fresh, path) == FRESH_FOREVER ||
	       is_new(ns, dir, name);
}

/* Frozen or not: what cannot be believed is asked for again. */
static bool is_wrong(struct namespace *ns, const struct store_dir *d,
		     const struct snap *s, uint64_t seen_ms)
{
	return (s && dirs_snap_is(ns->dirs, s, d)) ||
	       (!(d->flags & STORE_FROZEN) && d->since_ms <= seen_ms);
}

void namespace_forget_listing(struct namespace *ns, const struct dir *dir,
			      const struct snap *s, uint64_t seen_ms)
{
	struct store_dir d;
	int err;

	dirs_forget_snap(ns->dirs, dir->id);
	if (store_begin(ns->store))
		return;
	err = store_dir_get(ns->store, dir->id, &d);
	if (!err && is_wrong(ns, &d, s, seen_ms)) {
		d.nsegs = 0;
		d.since_ms = d.entries = d.flags = 0;
		err = store_dir_put(ns->store, &d);
	}
	if (err)
		store_abort(ns->store);
	else
		err = store_commit(ns->store);
	/* Nothing; or what somebody else has put there. */
	if (!err)
		dirs_update(ns->dirs, &d);
}

/* The listing that is known here, and any that is no later. */
static void forget_known(struct namespace *ns, struct dir *dir,
			 uint64_t seen_ms)
{
	struct snap *s = dirs_snap(ns->dirs, dir);

	namespace_forget_listing(ns, dir, s, seen_ms);
	dirs_snap_put(ns->dirs, s);
}

static int head_now(struct namespace *ns, struct dir *dir, const char *name,
		    const char *path, struct ns_attr *out)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	const uint64_t since = namespace_now();
	struct ns_attr known;
	struct s3_attr a;
	uint64_t left;
	int err = namespace_resolve(ns, path, bucket, key);

	if (!err)
		err = s3_head(ns->s3, bucket, key, NULL, NULL, &a);
	if (err == -ENOENT) {
		forget_known(ns, dir, since);
		learn(ns, dir, name, NULL, since);
	}
	if (err)
		return err;
	from_s3(&a, out);
	/* Each open would be a write, were it not for this. */
	if (namespace_peek_in(ns, dir, name, &known, &left) ||
	    strcmp(known.etag, out->etag) != 0 || known.size != out->size)
		learn(ns, dir, name, out, since);
	return 0;
}

/* What is known of a file, where it is believed; false: the server has to be
 * asked. */
static bool believe(struct namespace *ns, struct dir *dir, const char *name,
		    const char *path, struct ns_attr *out)
{
	uint64_t left;

	return is_settled(ns, dir, name, path) &&
	       !namespace_peek_in(ns, dir, name, out, &left) && !out->is_dir;
}

int namespace_settled(struct namespace *ns, uint64_t id, const char *name,
		      struct ns_attr *out)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	char path[NAMESPACE_PATH_MAX + 1];
	int err = -EAGAIN;

	if (!dir)
		return -EAGAIN;
	if (!namespace_join(path, sizeof(path), dir->path, name) &&
	    believe(ns, dir, name, path, out))
		err = 0;
	dirs_put(ns->dirs, dir);
	return err;
}

int namespace_revalidate(struct namespace *ns, uint64_t id, const char *name,
			 struct ns_attr *out)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	char path[NAMESPACE_PATH_MAX + 1];
	int err;

	if (!dir)
		return -ESTALE;
	err = namespace_join(path, sizeof(path), dir->path, name);
	if (!err && !believe(ns, dir, name, path, out))
		err = head_now(ns, dir, name, path, out);
	dirs_put(ns->dirs, dir);
	return err;
}

int namespace_ask_again(struct namespace *ns, uint64_t id, const char *name,
			struct ns_attr *out)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	const uint64_t since = namespace_now();
	char path[NAMESPACE_PATH_MAX + 1];
	struct ns_attr known = {.is_dir = false};
	uint64_t left;
	int before, err;

	if (!dir)
		return -ESTALE;
	before = namespace_peek_in(ns, dir, name, &known, &left);
	err = namespace_join(path, sizeof(path), dir->path, name);
	if (!err)
		err = ask(ns, path, false, out);
	if (!err || err == -ENOENT) {
		learn(ns, dir, name, err ? NULL : out, since);
		if (!before && known.is_dir && (err || !out->is_dir))
			tree_forget(ns, known.dir, 0);
		/* A listing that is believed for ever says otherwise. */
		if (before != err || known.is_dir != out->is_dir ||
		    strcmp(known.etag, out->etag) != 0)
			namespace_changed(ns, id, name);
	}
	dirs_put(ns->dirs, dir);
	return err;
}

/* ---- directories that are only assumed ---- */

/* The directory above, with a reference, and the name there; NULL when the
 * directory is not below a trusted prefix. */
static struct dir *trusted_parent(struct namespace *ns, struct dir *dir,
				  const char **name)
{
	struct dir *parent;

	if (dir->id == NAMESPACE_ROOT)
		return NULL;
	parent = dirs_get(ns->dirs, dir->parent);
	if (parent && !fresh_is_trusted(&ns->fresh, parent->path)) {
		dirs_put(ns->dirs, parent);
		return NULL;
	}
	*name = dir->path + dir->name_at;
	return parent;
}

/* What is known of a directory under a trusted prefix, as namespace_peek; 0
 * for any other. */
static int peek_assumed(struct namespace *ns, struct dir *dir,
			struct ns_attr *out)
{
	const char *name;
	struct dir *parent = trusted_parent(ns, dir, &name);
	struct snap *s = dirs_snap(ns->dirs, dir);
	uint64_t left;
	int err = 0;

	*out = (struct ns_attr){.is_dir = true, .dir = dir->id};
	if (s)
		dirs_snap_put(ns->dirs, s);
	if (parent) {
		if (!s)
			err = namespace_peek_in(ns, parent, name, out, &left);
		dirs_put(ns->dirs, parent);
	}
	return err;
}

int namespace_assume(struct namespace *ns, uint64_t id, const char *name,
		     struct ns_attr *out)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	uint64_t left;
	int err = -EAGAIN;

	if (!dir)
		return -ESTALE;
	*out = (struct ns_attr){.is_dir = true};
	if (fresh_is_trusted(&ns->fresh, dir->path) &&
	    namespace_peek_in(ns, dir, name, out, &left) == -EAGAIN) {
		*out = (struct ns_attr){.is_dir = true};
		err = store_dir_find(ns->store, id, name, &out->dir);
		if (err && !store_begin(ns->store)) {
			err = store_child_make(ns->store, id, name,
					       strlen(name), &out->dir);
			if (err)
				store_abort(ns->store);
			else
				err = store_commit(ns->store);
		}
	}
	dirs_put(ns->dirs, dir);
	return err;
}

bool namespace_is_assumed(struct namespace *ns, uint64_t id)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	struct ns_attr a;
	bool assumed;

	if (!dir)
		return false;
	assumed = peek_assumed(ns, dir, &a) == -EAGAIN;
	dirs_put(ns->dirs, dir);
	return assumed;
}

/* Something is there: so all that lies above it is directories. */
static void learn_above(struct namespace *ns, uint64_t id, uint64_t since)
{
	struct ns_attr a;

	while (id != NAMESPACE_ROOT) {
		struct dir *dir = dirs_get(ns->dirs, id), *parent = NULL;
		const char *name;
		bool done = true;

		if (!dir)
			return;
		if (peek_assumed(ns, dir, &a) == -EAGAIN)
			parent = trusted_parent(ns, dir, &name);
		if (parent) {
			a = (struct ns_attr){.is_dir = true};
			done = learn(ns, parent, name, &a, since) != 0;
			dirs_put(ns->dirs, parent);
		}
		id = dir->parent;
		dirs_put(ns->dirs, dir);
		if (done)
			return;
	}
}

static int settle(struct namespace *ns, struct dir *dir)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	const uint64_t since = namespace_now();
	const char *name;
	struct dir *parent;
	struct s3_attr a;
	struct ns_attr attr;
	int err = peek_assumed(ns, dir, &attr);

	if (!err)
		return attr.is_dir ? 0 : -ESTALE;
	if (err == -ENOENT)
		return err;
	parent = trusted_parent(ns, dir, &name);
	if (!parent)
		return 0;
	err = namespace_resolve(ns, dir->path, bucket, key);
	if (!err)
		err = s3_head(ns->s3, bucket, key, NULL, NULL, &a);
	if (!err) {
		from_s3(&a, &attr);
		learn(ns, parent, name, &attr, since);
		learn_above(ns, parent->id, since);
		err = -ESTALE;
	}
	dirs_put(ns->dirs, parent);
	return err;
}

int namespace_settle(struct namespace *ns, uint64_t id)
{
	struct dir *dir = dirs_get(ns->dirs, id);
	int err;

	if (!dir)
		return -ESTALE;
	err = settle(ns, dir);
	dirs_put(ns->dirs, dir);
	return err;
}
