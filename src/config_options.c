/* SPDX-License-Identifier: Apache-2.0 */
/* The environment, and -o. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "config_int.h"
#include "s3/creds.h"

/* Short names of -o, and flags with the value that they stand for. */
static const struct {
	const char *name, *section, *key, *value;
} shorts[] = {
	{"endpoint", "endpoint", "urls", NULL},
	{"endpoint-url", "endpoint", "urls", NULL},
	{"url", "endpoint", "urls", NULL},
	{"region", "endpoint", "region", NULL},
	{"profile", "credentials", "profile", NULL},
	{"anonymous", "credentials", "anonymous", "true"},
	{"no-sign-request", "credentials", "anonymous", "true"},
	{"transport", "transport", "mode", NULL},
	{"cache_size", "staging", "host", NULL},
	{"uid", "mount", "uid", NULL},
	{"gid", "mount", "gid", NULL},
	{"umask", "mount", "umask", NULL},
	{"file_mode", "mount", "file_mode", NULL},
	{"dir_mode", "mount", "dir_mode", NULL},
	{"allow_other", "mount", "allow_other", "true"},
	{"kernel_cache", "read", "kernel_cache", "true"},
};

/* Said to mount(8) or fstab, not to us. */
static const char *const ignored[] = {
	"ro",
	"rw",
	"defaults",
	"auto",
	"noauto",
	"user",
	"nouser",
	"users",
	"_netdev",
	"nofail",
	"default_permissions",
	"subtype",
};

/* For the kernel and libfuse. */
static const char *const passed[] = {
	"nodev",   "dev",   "nosuid",       "suid",     "noexec",  "exec",
	"noatime", "atime", "auto_unmount", "max_read", "context",
};

static bool listed(const char *const *list, size_t n, const char *word)
{
	const size_t len = strcspn(word, "=");

	for (size_t i = 0; i < n; i++)
		if (strlen(list[i]) == len && !strncmp(list[i], word, len))
			return true;
	return false;
}

static bool is_ignored(const char *word)
{
	return listed(ignored, ARRAY_SIZE(ignored), word) ||
	       !strncmp(word, "x-", 2) || !strncmp(word, "comment=", 8) ||
	       !strncmp(word, "fsname=", 7);
}

static int pass_on(struct config *c, const char *word)
{
	const size_t n = strlen(c->generic);
	const int w = snprintf(c->generic + n, sizeof(c->generic) - n, "%s%s",
			       n ? "," : "", word);

	return w < 0 || (size_t)w >= sizeof(c->generic) - n ? -E2BIG : 0;
}

static const struct config_row *find_row(const char *name, const char **flag)
{
	const char *dot = strchr(name, '.');

	*flag = NULL;
	if (dot)
		return config_find(name, (size_t)(dot - name), dot + 1);
	for (size_t i = 0; i < ARRAY_SIZE(shorts); i++) {
		if (strcmp(shorts[i].name, name) != 0)
			continue;
		*flag = shorts[i].value;
		return config_find(shorts[i].section, strlen(shorts[i].section),
				   shorts[i].key);
	}
	return NULL;
}

static int set_option(struct config *c, char *word, char *why, size_t cap)
{
	const struct config_row *row;
	const char *flag;
	char expected[128], *value;

	if (!*word || is_ignored(word))
		return 0;
	if (listed(passed, ARRAY_SIZE(passed), word))
		return pass_on(c, word);
	value = strchr(word, '=');
	if (value)
		*value++ = '\0';
	row = find_row(word, &flag);
	if (!row) {
		snprintf(why, cap,
			 "unknown option \"%s\": s3rdmafs(1) lists the options",
			 word);
		return -EINVAL;
	}
	if (!value && row->type == CONFIG_BOOL && !flag)
		flag = "true";
	if (!value && !flag) {
		snprintf(why, cap, "option %s wants a value: %s", word,
			 config_expected(row, expected, sizeof(expected)));
		return -EINVAL;
	}
	if (!config_set(c, row, value ? value : flag, "command line"))
		return 0;
	snprintf(why, cap, "option %s: \"%s\" is not %s", word,
		 value ? value : flag,
		 config_expected(row, expected, sizeof(expected)));
	return -EINVAL;
}

/* Takes the next word off *text; a backslash keeps the byte behind it. */
static void next_word(const char **text, char *out, size_t cap)
{
	const char *p = *text;
	size_t n = 0;

	for (; *p && *p != ','; p++) {
		if (*p == '\\' && p[1])
			p++;
		if (n + 1 < cap)
			out[n++] = *p;
	}
	out[n] = '\0';
	*text = *p ? p + 1 : p;
}

int config_load_options(struct config *c, const char *text, char *why,
			size_t cap)
{
	char word[4096];
	int err = 0;

	while (*text && !err) {
		next_word(&text, word, sizeof(word));
		err = set_option(c, word, why, cap);
	}
	return err;
}

static int set_from_env(struct config *c, const char *variable,
			const char *section, const char *key, char *why,
			size_t cap)
{
	const struct config_row *row = config_find(section, strlen(section),
						   key);
	const char *value = getenv(variable);
	char expected[128];

	if (!value || !*value || !config_set(c, row, value, variable))
		return 0;
	snprintf(why, cap, "%s: \"%s\" is not %s", variable, value,
		 config_expected(row, expected, sizeof(expected)));
	return -EINVAL;
}

/* A profile's own value, where nothing else was said. */
static int set_from_profile(struct config *c, const char *name,
			    const char *section, const char *key)
{
	const struct config_row *row = config_find(section, strlen(section),
						   key);
	char value[1024];

	if (strcmp(c->origin[row - config_table], "default") != 0 ||
	    creds_profile_value(c->credentials.profile, name, value,
				sizeof(value)))
		return 0;
	return config_set(c, row, value, "profile");
}

int config_load_env(struct config *c, char *why, size_t cap)
{
	static const struct {
		const char *variable, *section, *key;
	} map[] = {
		{"AWS_ENDPOINT_URL", "endpoint", "urls"},
		{"AWS_ENDPOINT_URL_S3", "endpoint", "urls"},
		{"AWS_DEFAULT_REGION", "endpoint", "region"},
		{"AWS_REGION", "endpoint", "region"},
		{"AWS_CA_BUNDLE", "endpoint", "ca_file"},
	};
	int err = 0;

	for (size_t i = 0; i < ARRAY_SIZE(map) && !err; i++)
		err = set_from_env(c, map[i].variable, map[i].section,
				   map[i].key, why, cap);
	return err;
}

int config_load_profile(struct config *c)
{
	const int err = set_from_profile(c, "region", "endpoint", "region");

	return err ? err
		   : set_from_profile(c, "endpoint_url", "endpoint", "urls");
}
