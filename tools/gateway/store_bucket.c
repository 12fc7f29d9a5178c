/* SPDX-License-Identifier: Apache-2.0 */
/* Buckets: folders of the root. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store_int.h"

static bool is_address(const char *b)
{
	for (int part = 0; part < 4; part++) {
		const size_t n = strspn(b, "0123456789");

		if (n == 0 || n > 3 || b[n] != (part < 3 ? '.' : '\0'))
			return false;
		b += n + 1;
	}
	return true;
}

int store_bucket_create(struct store *s, const char *bucket)
{
	/* S3 takes no name that could be an address. */
	if (!store_is_bucket_name(bucket) || is_address(bucket))
		return -EINVAL;
	return mkdirat(s->root, bucket, 0755) ? -errno : 0;
}

int store_bucket_check(struct store *s, const char *bucket)
{
	const int fd = store_bucket_dir(s, bucket);

	if (fd < 0)
		return fd;
	close(fd);
	return 0;
}

static void note_any(void *ctx, const char *key, const struct store_meta *meta)
{
	(void)key;
	(void)meta;
	*(bool *)ctx = true;
}

/* Empty folders are no objects: they go with the bucket. */
static int remove_tree(int dir)
{
	DIR *d = fdopendir(dir);
	struct dirent *e;
	int err = 0;

	if (!d)
		return -errno;
	while (!err && (e = readdir(d))) {
		int sub;

		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		sub = store_openat(dirfd(d), e->d_name, O_RDONLY | O_DIRECTORY);
		if (sub < 0) {
			err = -ENOTEMPTY;
			break;
		}
		err = remove_tree(sub);
		if (!err && unlinkat(dirfd(d), e->d_name, AT_REMOVEDIR))
			err = -errno;
	}
	closedir(d);
	return err;
}

int store_bucket_delete(struct store *s, const char *bucket)
{
	char last[1025];
	bool any = false, more;
	const struct store_list l = {.prefix = "",
				     .delimiter = "",
				     .after = "",
				     .max = 1,
				     .each = note_any,
				     .ctx = &any};
	int err = store_list(s, bucket, &l, &more, last, sizeof(last));
	int fd;

	if (err)
		return err;
	if (any)
		return -ENOTEMPTY;
	fd = store_bucket_dir(s, bucket);
	if (fd < 0)
		return fd;
	err = remove_tree(fd);
	if (err)
		return err;
	return unlinkat(s->root, bucket, AT_REMOVEDIR) ? -errno : 0;
}

static int only_buckets(const struct dirent *e)
{
	return store_is_bucket_name(e->d_name) &&
	       (e->d_type == DT_DIR || e->d_type == DT_UNKNOWN);
}

int store_bucket_each(struct store *s,
		      void (*each)(void *ctx, const char *name, time_t made),
		      void *ctx)
{
	struct dirent **list;
	const int n = scandirat(s->root, ".", &list, only_buckets, NULL);

	if (n < 0)
		return -errno;
	/* Names compare as bytes, whatever the locale. */
	for (int i = 1; i < n; i++)
		for (int j = i;
		     j > 0 && strcmp(list[j - 1]->d_name, list[j]->d_name) > 0;
		     j--) {
			struct dirent *t = list[j];

			list[j] = list[j - 1];
			list[j - 1] = t;
		}
	for (int i = 0; i < n; i++) {
		struct stat st;

		if (!fstatat(s->root, list[i]->d_name, &st,
			     AT_SYMLINK_NOFOLLOW) &&
		    S_ISDIR(st.st_mode))
			each(ctx, list[i]->d_name, st.st_mtim.tv_sec);
		free(list[i]);
	}
	free(list);
	return 0;
}
