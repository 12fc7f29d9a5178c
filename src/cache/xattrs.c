/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an object has besides: content type, user metadata, tags.  Asked for
 * when somebody wants it, and kept in the store beside the ETag of the
 * version it belongs to: {"etag", "type", "class", "meta": {}, "tags": {}},
 * tags once they were asked for.
 *
 * Tags may change without a new version, so they are believed no longer than
 * a name is.
 */
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "cache/namespace_int.h"

#define NOTE_MAX 65536

static void add_member(void *o, const char *name, const char *value)
{
	char lower[512];
	size_t n = 0;

	for (; name[n] && n < sizeof(lower) - 1; n++)
		lower[n] = name[n] >= 'A' && name[n] <= 'Z'
				   ? (char)(name[n] | 0x20)
				   : name[n];
	lower[n] = '\0';
	json_object_set_new(o, lower, json_string(value));
}

static void add_tag(void *o, const char *name, const char *value)
{
	json_object_set_new(o, name, json_string(value));
}

static bool has_etag(json_t *note, const char *etag)
{
	const char *s = json_string_value(json_object_get(note, "etag"));

	return s && !strcmp(s, etag);
}

/* What the store has of this version, or NULL. */
static json_t *read_note(struct namespace *ns, uint64_t dir, const char *name,
			 const char *etag)
{
	AUTO_FREE char *text = malloc(NOTE_MAX);
	json_t *note = NULL;

	if (text && store_note_get(ns->store, dir, name, text, NOTE_MAX) > 0)
		note = json_loads(text, 0, NULL);
	if (note && has_etag(note, etag))
		return note;
	json_decref(note);
	return NULL;
}

static void keep_note(struct namespace *ns, uint64_t dir, const char *name,
		      json_t *note)
{
	AUTO_FREE char *text = json_dumps(note, JSON_COMPACT);
	int err;

	if (!text || strlen(text) >= NOTE_MAX || store_begin(ns->store))
		return;
	err = store_note_put(ns->store, dir, name, text);
	if (err)
		store_abort(ns->store);
	else
		store_commit(ns->store);
}

static int fetch_head(struct namespace *ns, const char *bucket, const char *key,
		      json_t **out)
{
	json_t *meta = json_object();
	struct s3_attr a;
	const int err = s3_head(ns->s3, bucket, key, add_member, meta, &a);

	if (err) {
		json_decref(meta);
		return err;
	}
	*out = json_pack("{s:s, s:s, s:s, s:o}", "etag", a.etag, "type",
			 a.content_type, "class", a.storage_class, "meta",
			 meta);
	return *out ? 0 : -ENOMEM;
}

/* Servers without tags, or that let nobody see them: none. */
static int fetch_tags(struct namespace *ns, const char *bucket, const char *key,
		      json_t *note)
{
	json_t *tags = json_object();
	const int err = s3_get_tags(ns->s3, bucket, key, add_tag, tags);

	if (err && err != -EACCES && err != -EOPNOTSUPP) {
		json_decref(tags);
		return err;
	}
	if (err)
		json_object_clear(tags);
	json_object_set_new(note, "tags", tags);
	json_object_set_new(note, "tags_at",
			    json_integer((json_int_t)namespace_now()));
	return 0;
}

static bool has_fresh_tags(struct namespace *ns, json_t *note, const char *path)
{
	const uint64_t at = (uint64_t)json_integer_value(
		json_object_get(note, "tags_at"));

	return json_object_get(note, "tags") &&
	       fresh_left(fresh_ttl(&ns->fresh, path), at, namespace_now());
}

int namespace_note(struct namespace *ns, uint64_t dir, const char *name,
		   const char *etag, bool with_tags, json_t **out)
{
	char bucket[S3_BUCKET_MAX + 1], key[S3_KEY_MAX + 1];
	char path[NAMESPACE_PATH_MAX + 1];
	json_t *note = read_note(ns, dir, name, etag);
	bool changed = false;
	int err = namespace_path(ns, dir, name, path);

	if (!err)
		err = namespace_resolve(ns, path, bucket, key);
	if (!err && !note) {
		err = fetch_head(ns, bucket, key, &note);
		changed = true;
		/* Of the version that is asked for, or of none. */
		if (!err && !has_etag(note, etag))
			err = -ESTALE;
	}
	if (!err && with_tags && !has_fresh_tags(ns, note, path)) {
		err = fetch_tags(ns, bucket, key, note);
		changed = true;
	}
	if (err) {
		json_decref(note);
		return err;
	}
	if (changed)
		keep_note(ns, dir, name, note);
	*out = note;
	return 0;
}
