/* SPDX-License-Identifier: Apache-2.0 */
/* The gateway's store against a model: a sorted array of keys. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "scratch.h"
#include "store.h"
#include "unit.h"

static struct store *s;

static void setup(void)
{
	log_set_level(LOG_LEVEL_ERROR);
	scratch_make();
	ck_assert_int_eq(store_open(scratch, &s), 0);
	ck_assert_int_eq(store_bucket_create(s, "bkt"), 0);
}

static void teardown(void)
{
	store_close(s);
}

static void reopen(void)
{
	store_close(s);
	ck_assert_int_eq(store_open(scratch, &s), 0);
}

static int put_if(const char *key, const char *data, const char *etag,
		  const struct store_condition *cond)
{
	struct store_meta m = {.headers = json_object()};
	struct store_tmp t;
	int err;

	snprintf(m.etag, sizeof(m.etag), "%s", etag);
	json_object_set_new(m.headers, "Content-Type", json_string("text/x"));
	ck_assert_int_eq(store_tmp_new(s, &t), 0);
	ck_assert_int_eq(write(t.fd, data, strlen(data)),
			 (ssize_t)strlen(data));
	err = store_publish(s, &t, "bkt", key, &m, cond);
	store_tmp_drop(s, &t);
	store_meta_free(&m);
	return err;
}

static int put(const char *key, const char *data)
{
	return put_if(key, data, "e", NULL);
}

/* The object's bytes into data; its ETag must be etag. */
static int get(const char *key, char *data, size_t cap, const char *etag)
{
	struct store_meta m;
	ssize_t n;
	int fd;
	const int err = store_get(s, "bkt", key, &fd, &m);

	if (err)
		return err;
	n = read(fd, data, cap - 1);
	ck_assert_int_ge(n, 0);
	data[n] = '\0';
	ck_assert_uint_eq(m.size, (uint64_t)n);
	ck_assert_str_eq(m.etag, etag);
	ck_assert_str_eq(
		json_string_value(json_object_get(m.headers, "Content-Type")),
		"text/x");
	store_meta_free(&m);
	close(fd);
	return 0;
}

static void expect(const char *key, const char *data)
{
	char got[512];

	ck_assert_msg(!get(key, got, sizeof(got), "e"), "get %s", key);
	ck_assert_str_eq(got, data);
}

static void expect_none(const char *key)
{
	char got[512];

	ck_assert_msg(get(key, got, sizeof(got), "e") == -ENOENT, "get %s",
		      key);
}

#define LONG_NAME                                                              \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn" \
	"nnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnnn"

static const char *const keys[] = {
	"a",
	"a/b",
	"a/b/c",
	"a/",
	"a//b",
	"/",
	"//",
	"/lead",
	"trail/",
	".",
	"..",
	"../escape",
	"x/../y",
	"x/./y",
	"./x",
	".s3rdma",
	".s3rdma/tmp/x",
	".hidden",
	"with blank",
	"new\nline",
	"\x01",
	"\x7f",
	"\303\274nicode",
	"quote\"and\\slash",
	"%41",
	"a+b",
	"-",
	"*",
	LONG_NAME,
	"d/" LONG_NAME "/e",
	"d/" LONG_NAME,
};

/* Each key alone: put, get, overwrite, after a restart, delete. */
START_TEST(one_key)
{
	const char *key = keys[_i];

	expect_none(key);
	ck_assert_int_eq(put(key, "one"), 0);
	expect(key, "one");
	ck_assert_int_eq(put(key, "twotwo"), 0);
	expect(key, "twotwo");
	ck_assert_int_eq(store_bucket_delete(s, "bkt"), -ENOTEMPTY);
	reopen();
	expect(key, "twotwo");
	ck_assert_int_eq(store_delete(s, "bkt", key, NULL), 0);
	expect_none(key);
	ck_assert_int_eq(store_delete(s, "bkt", key, NULL), 0);
	reopen();
	expect_none(key);
	ck_assert_int_eq(store_bucket_delete(s, "bkt"), 0);
	ck_assert_int_eq(store_bucket_check(s, "bkt"), -ENOTDIR);
}
END_TEST

/* All of them side by side, put in this order or the other. */
START_TEST(all_keys)
{
	const int n = (int)ARRAY_SIZE(keys);

	for (int i = 0; i < n; i++)
		ck_assert_int_eq(
			put(keys[_i ? n - 1 - i : i], keys[_i ? n - 1 - i : i]),
			0);
	for (int i = 0; i < n; i++)
		expect(keys[i], keys[i]);
	reopen();
	for (int i = 0; i < n; i++)
		expect(keys[i], keys[i]);
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(store_delete(s, "bkt", keys[i], NULL), 0);
		expect_none(keys[i]);
		for (int k = i + 1; k < n; k++)
			expect(keys[k], keys[k]);
	}
	ck_assert_int_eq(store_bucket_delete(s, "bkt"), 0);
}
END_TEST

START_TEST(nothing_escapes)
{
	char path[512];

	ck_assert_int_eq(put("../escape", "x"), 0);
	ck_assert_int_eq(put("../../escape", "x"), 0);
	snprintf(path, sizeof(path), "%s/escape", scratch);
	ck_assert_int_ne(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "%s/../escape", scratch);
	ck_assert_int_ne(access(path, F_OK), 0);
	/* Nor through a link that somebody put there. */
	snprintf(path, sizeof(path), "%s/bkt/link", scratch);
	ck_assert_int_eq(symlink("/etc", path), 0);
	expect_none("link/passwd");
	snprintf(path, sizeof(path), "%s/bkt/file", scratch);
	ck_assert_int_eq(symlink("/etc/passwd", path), 0);
	expect_none("file");
	snprintf(path, sizeof(path), "%s/bkt/fifo", scratch);
	ck_assert_int_eq(mkfifo(path, 0600), 0);
	expect_none("fifo");
}
END_TEST

static const struct {
	const char *name;
	bool good;
} buckets[] = {
	{"abc", true},
	{"a-b.c9", true},
	{"ab", false},
	{"", false},
	{"Abc", false},
	{"a_b", false},
	{".abc", false},
	{"abc.", false},
	{"-abc", false},
	{"abc-", false},
	{"a..b", false},
	{"a/b", false},
	{".s3rdma", false},
	{"..", false},
	{"a b", false},
	{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	 true},
	{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
	 false},
};

START_TEST(bucket_name)
{
	const char *b = buckets[_i].name;
	struct store_meta m;
	int fd;

	ck_assert_int_eq(store_bucket_check(s, b), -ENOTDIR);
	ck_assert_int_eq(store_bucket_create(s, b),
			 buckets[_i].good ? 0 : -EINVAL);
	ck_assert_int_eq(store_bucket_check(s, b),
			 buckets[_i].good ? 0 : -ENOTDIR);
	ck_assert_int_eq(store_get(s, b, "k", &fd, &m),
			 buckets[_i].good ? -ENOENT : -ENOTDIR);
	if (buckets[_i].good)
		ck_assert_int_eq(store_bucket_create(s, b), -EEXIST);
}
END_TEST

static void note_bucket(void *ctx, const char *name, time_t made)
{
	ck_assert_int_gt(made, 0);
	strcat(ctx, name);
	strcat(ctx, ",");
}

START_TEST(buckets_in_order)
{
	char names[128] = "";

	store_bucket_create(s, "zzz");
	store_bucket_create(s, "a-b");
	store_bucket_create(s, "a.b");
	ck_assert_int_eq(store_bucket_each(s, note_bucket, names), 0);
	ck_assert_str_eq(names, "a-b,a.b,bkt,zzz,");
}
END_TEST

START_TEST(conditions)
{
	const struct store_condition none = {.if_none = true};
	const struct store_condition is_e1 = {.if_match = "\"e1\""};
	const struct store_condition any = {.if_match = "*"};

	for (size_t i = 0; i < 2; i++) {
		const char *key = i ? "odd//key" : "plain";

		ck_assert_int_eq(put_if(key, "x", "e1", &is_e1), -ENOENT);
		ck_assert_int_eq(put_if(key, "x", "e1", &any), -ENOENT);
		ck_assert_int_eq(put_if(key, "x", "e1", &none), 0);
		ck_assert_int_eq(put_if(key, "y", "e2", &none), -EEXIST);
		ck_assert_int_eq(put_if(key, "y", "e2", &is_e1), 0);
		ck_assert_int_eq(put_if(key, "z", "e3", &is_e1), -ESTALE);
		ck_assert_int_eq(put_if(key, "z", "e1", &any), 0);
		ck_assert_int_eq(store_delete(s, "bkt", key, &none), -EEXIST);
		ck_assert_int_eq(store_delete(s, "bkt", key, &is_e1), 0);
		ck_assert_int_eq(store_delete(s, "bkt", key, &is_e1), -ENOENT);
	}
}
END_TEST

START_TEST(overwrite_spares_readers)
{
	struct store_meta m;
	char data[8] = "";
	int fd;

	put("k", "old");
	ck_assert_int_eq(store_get(s, "bkt", "k", &fd, &m), 0);
	put("k", "newer");
	store_delete(s, "bkt", "k", NULL);
	ck_assert_int_eq(read(fd, data, sizeof(data)), 3);
	ck_assert_str_eq(data, "old");
	store_meta_free(&m);
	close(fd);
}
END_TEST

/* A file that was put there by hand is an object, with an ETag that its
 * content changes. */
START_TEST(files_of_others)
{
	char first[STORE_ETAG_MAX], path[256];
	struct store_meta m;
	int fd;
	FILE *f;

	snprintf(path, sizeof(path), "%s/bkt/hand", scratch);
	f = fopen(path, "w");
	fputs("by hand", f);
	fclose(f);
	ck_assert_int_eq(store_get(s, "bkt", "hand", &fd, &m), 0);
	ck_assert_uint_eq(m.size, 7);
	ck_assert_uint_gt(strlen(m.etag), 8);
	memcpy(first, m.etag, sizeof(first));
	store_meta_free(&m);
	close(fd);
	/* And one whose attribute no longer fits. */
	f = fopen(path, "a");
	fputs("!", f);
	fclose(f);
	ck_assert_int_eq(store_get(s, "bkt", "hand", &fd, &m), 0);
	ck_assert_str_ne(m.etag, first);
	store_meta_free(&m);
	close(fd);
}
END_TEST

/* An object's tags as JSON must be these; its size, ETag and time too. */
static void expect_tags(const char *key, const char *tags,
			const struct store_meta *same)
{
	AUTO_FREE char *text = NULL;
	struct store_meta m;
	int fd;

	ck_assert_int_eq(store_get(s, "bkt", key, &fd, &m), 0);
	close(fd);
	text = m.tags ? json_dumps(m.tags, JSON_COMPACT) : NULL;
	ck_assert_pstr_eq(text, tags);
	ck_assert_str_eq(m.etag, same->etag);
	ck_assert_uint_eq(m.size, same->size);
	ck_assert_int_eq(m.mtime.tv_sec, same->mtime.tv_sec);
	ck_assert_int_eq(m.mtime.tv_nsec, same->mtime.tv_nsec);
	store_meta_free(&m);
}

static int set_tags(const char *key, const char *tags)
{
	json_t *o = json_loads(tags, 0, NULL);
	const int err = store_set_tags(s, "bkt", key, o);

	ck_assert_ptr_nonnull(o);
	json_decref(o);
	return err;
}

static void head(const char *key, struct store_meta *out)
{
	int fd;

	ck_assert_int_eq(store_get(s, "bkt", key, &fd, out), 0);
	close(fd);
	store_meta_free(out);
}

START_TEST(tags)
{
	static const char *const places[] = {"plain", "odd//key", "a/b/c"};
	const char *key = places[_i];
	struct store_meta m;

	ck_assert_int_eq(set_tags(key, "{\"a\":\"b\"}"), -ENOENT);
	ck_assert_int_eq(put(key, "one"), 0);
	head(key, &m);
	expect_tags(key, NULL, &m);
	ck_assert_int_eq(store_set_tags(s, "bkt", key, NULL), 0);
	ck_assert_int_eq(set_tags(key, "{\"z\":\"\",\"a\":\"\303\251\"}"), 0);
	expect_tags(key, "{\"z\":\"\",\"a\":\"\303\251\"}", &m);
	reopen();
	expect_tags(key, "{\"z\":\"\",\"a\":\"\303\251\"}", &m);
	expect(key, "one");
	ck_assert_int_eq(set_tags(key, "{\"b\":\"c\"}"), 0);
	expect_tags(key, "{\"b\":\"c\"}", &m);
	ck_assert_int_eq(set_tags(key, "{}"), 0);
	expect_tags(key, NULL, &m);
	expect(key, "one");
	/* They go with the object. */
	ck_assert_int_eq(set_tags(key, "{\"b\":\"c\"}"), 0);
	ck_assert_int_eq(put(key, "two"), 0);
	head(key, &m);
	expect_tags(key, NULL, &m);
	ck_assert_int_eq(store_delete(s, "bkt", key, NULL), 0);
	ck_assert_int_eq(store_set_tags(s, "bkt", key, NULL), -ENOENT);
	ck_assert_int_eq(store_set_tags(s, "none", key, NULL), -ENOTDIR);
}
END_TEST

/* Tags of a file that was put there by hand are kept as long as it is not
 * changed by hand. */
START_TEST(tags_of_others)
{
	struct store_meta m;
	char path[256];
	FILE *f;

	snprintf(path, sizeof(path), "%s/bkt/hand", scratch);
	f = fopen(path, "w");
	fputs("by hand", f);
	fclose(f);
	head("hand", &m);
	ck_assert_int_eq(store_set_tags(s, "bkt", "hand", NULL), 0);
	expect_tags("hand", NULL, &m);
	ck_assert_int_eq(set_tags("hand", "{\"a\":\"b\"}"), 0);
	expect_tags("hand", "{\"a\":\"b\"}", &m);
	f = fopen(path, "a");
	fputs("!", f);
	fclose(f);
	head("hand", &m);
	ck_assert_uint_eq(m.size, 8);
	expect_tags("hand", NULL, &m);
}
END_TEST

/* More than an attribute can be is refused, and the old ones stay. */
START_TEST(too_many_tags)
{
	json_t *o = json_object();
	struct store_meta m;
	char text[40000];

	memset(text, 'x', sizeof(text));
	text[sizeof(text) - 1] = '\0';
	put("k", "one");
	head("k", &m);
	ck_assert_int_eq(set_tags("k", "{\"a\":\"b\"}"), 0);
	json_object_set_new(o, "c", json_string(text));
	ck_assert_int_eq(store_set_tags(s, "bkt", "k", o), -E2BIG);
	expect_tags("k", "{\"a\":\"b\"}", &m);
	json_decref(o);
}
END_TEST

START_TEST(dropped_file_leaves_nothing)
{
	struct store_tmp t;
	char path[512];

	ck_assert_int_eq(store_tmp_new(s, &t), 0);
	snprintf(path, sizeof(path), "%s/.s3rdma/tmp/%s", scratch, t.name);
	ck_assert_int_eq(access(path, F_OK), 0);
	store_tmp_drop(s, &t);
	ck_assert_int_ne(access(path, F_OK), 0);
	/* One that a killed server left goes with the next start. */
	ck_assert_int_eq(store_tmp_new(s, &t), 0);
	snprintf(path, sizeof(path), "%s/.s3rdma/tmp/%s", scratch, t.name);
	close(t.fd);
	reopen();
	ck_assert_int_ne(access(path, F_OK), 0);
}
END_TEST

START_TEST(one_server_a_root)
{
	struct store *other;

	ck_assert_int_eq(store_open(scratch, &other), -EBUSY);
	ck_assert_int_lt(store_open("/nonexistent", &other), 0);
}
END_TEST

static const struct {
	const char *list, *etag;
	bool listed;
} listed[] = {
	{"\"a\"", "a", true},
	{"a", "a", true},
	{"*", "a", true},
	{"\"b\"", "a", false},
	{"\"b\", \"a\"", "a", true},
	{"\"b\",\"a\"", "a", true},
	{"b,a", "a", true},
	{" \"a\" ", "a", true},
	{"W/\"a\"", "a", true},
	{"\"b\", W/\"a\"", "a", true},
	{"\"aa\"", "a", false},
	{"\"a", "ab", false},
	{"\"a, b\"", "a", false},
	{"\"b, \"a\"", "a", false},
	{"", "a", false},
	{",,,", "a", false},
	{"W/", "a", false},
	{"W/,", "a", false},
	{"\"*\"", "a", false},
	{"**", "a", false},
	{"\"\"", "a", false},
	{"\"x-2\"", "x-2", true},
};

START_TEST(etag_listed)
{
	ck_assert_msg(store_etag_listed(listed[_i].list, listed[_i].etag) ==
			      listed[_i].listed,
		      "%s", listed[_i].list);
}
END_TEST

/* ---- listings against the model ---- */

#define MODEL_MAX 400

static char *model[MODEL_MAX];
static size_t nmodel;

static size_t model_at(const char *key, bool *found)
{
	size_t i = 0;

	while (i < nmodel && strcmp(model[i], key) < 0)
		i++;
	*found = i < nmodel && !strcmp(model[i], key);
	return i;
}

static void model_put(const char *key)
{
	bool found;
	const size_t i = model_at(key, &found);

	if (found || nmodel == MODEL_MAX)
		return;
	memmove(&model[i + 1], &model[i], (nmodel - i) * sizeof(model[0]));
	model[i] = strdup(key);
	nmodel++;
}

static void model_delete(const char *key)
{
	bool found;
	const size_t i = model_at(key, &found);

	if (!found)
		return;
	free(model[i]);
	nmodel--;
	memmove(&model[i], &model[i + 1], (nmodel - i) * sizeof(model[0]));
}

static void model_clear(void)
{
	while (nmodel)
		free(model[--nmodel]);
}

struct text {
	char s[65536];
	size_t n;
};

static void add_text(struct text *t, const char *key, bool is_prefix)
{
	t->n += (size_t)snprintf(t->s + t->n, sizeof(t->s) - t->n, "%c%s\n",
				 is_prefix ? 'P' : 'O', key);
	ck_assert_uint_lt(t->n, sizeof(t->s));
}

static void note(void *ctx, const char *key, const struct store_meta *meta)
{
	add_text(ctx, key, !meta);
}

/* The listing as S3 defines it, by the slowest way. */
static bool model_list(const struct store_list *l, struct text *t)
{
	char last[1100] = "";
	unsigned int n = 0;

	for (size_t i = 0; i < nmodel; i++) {
		const size_t np = strlen(l->prefix);
		const char *d;
		char name[1100];

		if (strncmp(model[i], l->prefix, np) != 0)
			continue;
		d = *l->delimiter ? strstr(model[i] + np, l->delimiter) : NULL;
		snprintf(name, sizeof(name), "%.*s",
			 d ? (int)(d - model[i] + (long)strlen(l->delimiter))
			   : (int)strlen(model[i]),
			 model[i]);
		if (strcmp(name, l->after) <= 0 || !strcmp(name, last))
			continue;
		if (n++ == l->max)
			return true;
		add_text(t, name, d != NULL);
		strcpy(last, name);
	}
	return false;
}

static uint64_t seed;

static unsigned int any(unsigned int n)
{
	seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return (unsigned int)(seed >> 33) % n;
}

static const char *any_key(void)
{
	static const char *const parts[] = {
		"a",  "b", "ab", "/", "/",        "-",   ".",    "0",
		"//", "A", "~",  "!", "\303\274", "a/b", "\x01", "z"};
	static char key[256];

	key[0] = '\0';
	for (unsigned int i = 1 + any(6); i; i--)
		strcat(key, parts[any(ARRAY_SIZE(parts))]);
	return key;
}

static void compare_lists(unsigned int rounds)
{
	static const char *const delimiters[] = {"", "/", "/", "-", "ab", "//"};

	while (rounds--) {
		static struct text want, got;
		char prefix[256] = "", after[256] = "", last[1100];
		struct store_list l = {.prefix = prefix,
				       .after = after,
				       .max = 1 + any(any(2) ? 5 : 1000),
				       .each = note,
				       .ctx = &got};
		bool more, want_more;

		l.delimiter = delimiters[any(ARRAY_SIZE(delimiters))];
		if (any(2))
			snprintf(prefix, sizeof(prefix), "%.*s", (int)any(4),
				 any_key());
		/* No half of a character: no client sends one. */
		if (strchr(prefix, '\303'))
			prefix[0] = '\0';
		if (any(2))
			strcpy(after, any(2) && nmodel
					      ? model[any((unsigned int)nmodel)]
					      : any_key());
		want = got = (struct text){.n = 0};
		want_more = model_list(&l, &want);
		ck_assert_int_eq(
			store_list(s, "bkt", &l, &more, last, sizeof(last)), 0);
		ck_assert_msg(!strcmp(want.s, got.s),
			      "prefix \"%s\" delimiter \"%s\" after \"%s\" max "
			      "%u\nwant:\n%sgot:\n%s",
			      prefix, l.delimiter, after, l.max, want.s, got.s);
		ck_assert_msg(more == want_more, "truncated %d", more);
	}
}

/* Page by page gives the same as all at once. */
static void compare_pages(const char *delimiter)
{
	static struct text whole, paged;
	char after[1100] = "", last[1100];
	struct store_list l = {.prefix = "",
			       .delimiter = delimiter,
			       .after = "",
			       .max = 100000,
			       .each = note,
			       .ctx = &whole};
	bool more;

	whole = paged = (struct text){.n = 0};
	ck_assert_int_eq(store_list(s, "bkt", &l, &more, last, sizeof(last)),
			 0);
	ck_assert(!more);
	l.ctx = &paged;
	l.after = after;
	l.max = 3;
	do {
		ck_assert_int_eq(
			store_list(s, "bkt", &l, &more, last, sizeof(last)), 0);
		strcpy(after, last);
	} while (more);
	ck_assert_str_eq(whole.s, paged.s);
}

/* The loop's number is the seed. */
START_TEST(random_model)
{
	seed = (uint64_t)_i + 1;
	for (int i = 0; i < 300; i++) {
		const char *key = any(3) || !nmodel
					  ? any_key()
					  : model[any((unsigned int)nmodel)];
		char data[300];

		if (any(4)) {
			snprintf(data, sizeof(data), "%s #%d", key, i);
			ck_assert_int_eq(put(key, data), 0);
			expect(key, data);
			model_put(key);
		} else {
			char copy[256];

			snprintf(copy, sizeof(copy), "%s", key);
			ck_assert_int_eq(store_delete(s, "bkt", copy, NULL), 0);
			expect_none(copy);
			model_delete(copy);
		}
		if (i % 20 == 0)
			compare_lists(5);
		if (i == 150)
			reopen();
	}
	compare_lists(300);
	compare_pages("");
	compare_pages("/");
	compare_pages("-");
	usleep(80000); /* the sorted folders are kept from now on */
	compare_lists(100);
	compare_lists(100);
	model_clear();
}
END_TEST

START_TEST(list_of_no_bucket)
{
	const struct store_list l = {.prefix = "",
				     .delimiter = "",
				     .after = "",
				     .max = 10,
				     .each = note};
	char last[1100];
	bool more;

	ck_assert_int_eq(store_list(s, "none", &l, &more, last, sizeof(last)),
			 -ENOTDIR);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("store");
	TCase *tc = tcase_create("all");

	tcase_add_checked_fixture(tc, setup, teardown);
	tcase_set_timeout(tc, 20);
	ADD_ROWS(tc, one_key, keys);
	tcase_add_loop_test(tc, all_keys, 0, 2);
	tcase_add_test(tc, nothing_escapes);
	ADD_ROWS(tc, bucket_name, buckets);
	tcase_add_test(tc, buckets_in_order);
	tcase_add_test(tc, conditions);
	tcase_add_test(tc, overwrite_spares_readers);
	tcase_add_test(tc, files_of_others);
	tcase_add_loop_test(tc, tags, 0, 3);
	tcase_add_test(tc, tags_of_others);
	tcase_add_test(tc, too_many_tags);
	tcase_add_test(tc, dropped_file_leaves_nothing);
	tcase_add_test(tc, one_server_a_root);
	ADD_ROWS(tc, etag_listed, listed);
	tcase_add_loop_test(tc, random_model, 0, 4);
	tcase_add_test(tc, list_of_no_bucket);
	suite_add_tcase(suite, tc);
	return scratch_main(suite);
}
