/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_s3.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct s3 {
	const struct fake_object *objects;
	int err;
	struct fake_calls calls;
};

struct s3 *fake_s3_new(const struct fake_object *objects)
{
	struct s3 *s3 = calloc(1, sizeof(*s3));

	assert(s3);
	s3->objects = objects;
	return s3;
}

void fake_s3_free(struct s3 *s3)
{
	free(s3);
}

void fake_s3_set_objects(struct s3 *s3, const struct fake_object *objects)
{
	s3->objects = objects;
}

void fake_s3_set_error(struct s3 *s3, int err)
{
	s3->err = err;
}

struct fake_calls fake_s3_calls(const struct s3 *s3)
{
	return s3->calls;
}

static int find(const struct s3 *s3, const char *bucket, const char *key,
		struct s3_attr *out)
{
	for (const struct fake_object *o = s3->objects; o->bucket; o++) {
		if (strcmp(o->bucket, bucket) != 0 ||
		    (key && strcmp(o->key, key) != 0))
			continue;
		*out = (struct s3_attr){.size = o->size, .mtime = 1000};
		snprintf(out->etag, sizeof(out->etag), "%s", o->etag);
		snprintf(out->content_type, sizeof(out->content_type),
			 "text/plain");
		return 0;
	}
	return -ENOENT;
}

int s3_head(struct s3 *s3, const char *bucket, const char *key,
	    void (*meta)(void *ctx, const char *name, const char *value),
	    void *ctx, struct s3_attr *out)
{
	int err;

	s3->calls.head++;
	err = s3->err ? s3->err : find(s3, bucket, key, out);
	if (!err && meta)
		meta(ctx, "color", "red");
	return err;
}

void s3_look(struct s3 *s3, const char *bucket, const char *key,
	     struct s3_look *out)
{
	const size_t n = strlen(key);

	s3->calls.look++;
	*out = (struct s3_look){.object_err = s3->err, .prefix_err = s3->err};
	if (s3->err)
		return;
	out->object_err = find(s3, bucket, key, &out->object);
	out->prefix_err = -ENOENT;
	for (const struct fake_object *o = s3->objects; o->bucket; o++)
		if (!strcmp(o->bucket, bucket) && !strncmp(o->key, key, n) &&
		    o->key[n] == '/')
			out->prefix_err = 0;
}

static int list_buckets(const struct s3 *s3, const struct s3_list *l)
{
	const char *last = "";
	int err = 0;

	for (const struct fake_object *o = s3->objects; o->bucket && !err;
	     o++) {
		const struct s3_entry e = {.key = o->bucket, .etag = ""};

		if (strcmp(last, o->bucket) != 0)
			err = l->entry(l->ctx, &e);
		last = o->bucket;
	}
	return err;
}

static int list_one(const struct fake_object *o, const struct s3_list *l,
		    bool prefixes)
{
	const size_t n = strlen(l->prefix);
	const char *slash;
	char prefix[2048];
	struct s3_entry e = {.key = o->key,
			     .size = o->size,
			     .mtime = 1000,
			     .etag = o->etag,
			     .storage_class = ""};

	slash = strncmp(o->key, l->prefix, n) ? NULL : strchr(o->key + n, '/');
	if (!slash)
		return prefixes ? 0 : l->entry(l->ctx, &e);
	if (!prefixes)
		return 0;
	snprintf(prefix, sizeof(prefix), "%.*s", (int)(slash - o->key + 1),
		 o->key);
	e = (struct s3_entry){.key = prefix, .is_prefix = true, .etag = ""};
	return l->entry(l->ctx, &e);
}

int s3_list(struct s3 *s3, const struct s3_list *l, struct s3_answer *answer)
{
	bool any = false;
	int err = s3->err;

	(void)answer;
	s3->calls.list++;
	if (err)
		return err;
	if (!l->bucket)
		return list_buckets(s3, l);
	assert(!strcmp(l->delimiter, "/"));
	for (int pass = 0; pass < 3; pass++)
		for (const struct fake_object *o = s3->objects;
		     o->bucket && !err; o++) {
			if (strcmp(o->bucket, l->bucket) != 0)
				continue;
			any = true;
			/* "!" marks what no prefix keeps out. */
			if (!strncmp(o->key, l->prefix, strlen(l->prefix)) ||
			    *o->etag == '!')
				err = list_one(o, l, pass > 0);
		}
	return any ? err : -ENOENT;
}
