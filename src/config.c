/* SPDX-License-Identifier: Apache-2.0 */
/* The table, and values from and to text. */
#include "config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "config_int.h"
#include "gpubuf/gpubuf.h"
#include "s3/creds.h"
#include "xfer/xfer.h"

#define AT(field) offsetof(struct config, field)

const struct config_row config_table[] = {
	{"endpoint", "urls", CONFIG_LISTED, AT(endpoint.urls), NULL, NULL,
	 "S3 endpoints, http(s)://host[:port]; of several, each request goes "
	 "where "
	 "it is expected to be answered first"},
	{"endpoint", "region", CONFIG_STRING, AT(endpoint.region), "us-east-1",
	 NULL, "region in the signature"},
	{"endpoint", "addressing", CONFIG_ENUM, AT(endpoint.addressing), "path",
	 "path|virtual", "bucket in the path or in the host name"},
	{"endpoint", "ca_file", CONFIG_STRING, AT(endpoint.ca_file), NULL, NULL,
	 "certificates to trust, PEM; else the system's"},
	{"credentials", "profile", CONFIG_STRING, AT(credentials.profile), NULL,
	 NULL, "profile in ~/.aws; else the environment, then default"},
	{"credentials", "anonymous", CONFIG_BOOL, AT(credentials.anonymous),
	 "false", NULL, "do not sign requests"},
	{"transport", "mode", CONFIG_ENUM, AT(transport.mode), "auto",
	 "auto|dc|rc|shm|http", "how object data comes"},
	{"transport", "require", CONFIG_BOOL, AT(transport.require), "false",
	 NULL, "EIO instead of falling back to http"},
	{"transport", "devices", CONFIG_LISTED, AT(transport.devices), NULL,
	 NULL,
	 "RDMA devices to use, each a rail; else the one that the route to the "
	 "endpoint takes"},
	{"transport", "dc_key", CONFIG_HEX, AT(transport.dc_key), "0xffeeddcc",
	 NULL, "DC access key, the same at the server"},
	{"transport", "min_size", CONFIG_SIZE, AT(transport.min_size), "256KiB",
	 NULL, "smaller pieces come by http instead of rc or dc"},
	{"transport", "profile", CONFIG_ENUM, AT(transport.profile), "standard",
	 "standard|aistor|aistor-suffix|hyperstore|objectscale|scality|"
	 "flashblade|noobaa|versitygw|ceph|sirius",
	 "whose server it is: how it wants tokens"},
	{"transport", "rc_protocol", CONFIG_ENUM, AT(transport.rc_protocol),
	 "auto", "auto|persistent|hipobj-rc-v2",
	 "what rc speaks; auto: a persistent connection where it is offered"},
	{"staging", "host", CONFIG_SIZE, AT(staging.host), "auto", NULL,
	 "size of the pool that all data passes through; auto is an eighth "
	 "of the memory, 1GiB at most"},
	{"staging", "slot", CONFIG_SIZE, AT(staging.slot), "auto", NULL,
	 "size of one transfer: a power of two; auto is 8MiB in a pool of "
	 "256MiB and more, else 4MiB"},
	{"staging", "hugepages", CONFIG_ENUM, AT(staging.hugepages), "auto",
	 "auto|on|off",
	 "huge pages for the pool: auto where root mounts, on reserved ones"},
	{"staging", "gpus", CONFIG_GPUS, AT(staging.gpus), NULL, NULL,
	 "GPUs with memory set aside for CUDA handles, and how much"},
	{"read", "prefetch_max", CONFIG_SIZE, AT(read.prefetch_max), "64MiB",
	 NULL, "how far ahead of a sequential reader to fetch"},
	{"read", "files_ahead", CONFIG_UINT, AT(read.files_ahead), "64", NULL,
	 "so many small files are fetched ahead of who opens a directory's one "
	 "after the other"},
	{"read", "kernel_cache", CONFIG_BOOL, AT(read.kernel_cache), "false",
	 NULL, "use the kernel's page cache instead of direct I/O"},
	{"read", "passthrough", CONFIG_BOOL, AT(read.passthrough), "true", NULL,
	 "where root mounts, the kernel itself reads files that were read "
	 "whole "
	 "twice"},
	{"metadata", "ttl", CONFIG_LIFETIME, AT(metadata.ttl), "60s", NULL,
	 "how long names and attributes are believed"},
	{"metadata", "negative_ttl", CONFIG_DURATION, AT(metadata.negative_ttl),
	 "5s", NULL, "how long a missing name is believed to be missing"},
	{"metadata", "kernel_ttl", CONFIG_LIFETIME, AT(metadata.kernel_ttl),
	 "forever", NULL,
	 "how long at most the kernel keeps them without asking the daemon"},
	{"metadata", "rules", CONFIG_RULES, AT(metadata.rules), NULL, NULL,
	 "prefixes whose names are believed longer, or without a listing"},
	{"metadata", "path", CONFIG_STRING, AT(metadata.path), "auto", NULL,
	 "where names are kept; none: nowhere; auto: /var/cache/s3rdmafs for "
	 "root, else under ~/.cache"},
	{"metadata", "size", CONFIG_SIZE, AT(metadata.size), "8GiB", NULL,
	 "how large that may become"},
	{"request", "connect_timeout", CONFIG_DURATION,
	 AT(request.connect_timeout), "5s", NULL, "for a connection"},
	{"request", "attempt_timeout", CONFIG_DURATION,
	 AT(request.attempt_timeout), "30s", NULL,
	 "for one request, and for each eighth of its data"},
	{"request", "deadline", CONFIG_DURATION, AT(request.deadline), "60s",
	 NULL, "for a read or a look-up with all its retries"},
	{"request", "hedge_after", CONFIG_DURATION, AT(request.hedge_after),
	 "200ms", NULL,
	 "a request that others wait for is made twice after this, or twice "
	 "the time of the slowest in 100, whichever is longer"},
	{"request", "connections", CONFIG_UINT, AT(request.connections), "64",
	 NULL, "requests at a time"},
	{"mount", "uid", CONFIG_UINT, AT(mount.uid), "caller", NULL,
	 "owner of all files"},
	{"mount", "gid", CONFIG_UINT, AT(mount.gid), "caller", NULL,
	 "group of all files"},
	{"mount", "file_mode", CONFIG_OCTAL, AT(mount.file_mode), "0444", NULL,
	 "mode of files"},
	{"mount", "dir_mode", CONFIG_OCTAL, AT(mount.dir_mode), "0555", NULL,
	 "mode of directories"},
	{"mount", "umask", CONFIG_OCTAL, AT(mount.umask), "0", NULL,
	 "taken away from both modes"},
	{"mount", "allow_other", CONFIG_BOOL, AT(mount.allow_other), "false",
	 NULL, "let other users in"},
	{"log", "level", CONFIG_ENUM, AT(log.level), "info",
	 "error|warning|info|debug|trace", "how much is logged"},
	{"log", "sink", CONFIG_ENUM, AT(log.sink), "auto",
	 "auto|stderr|syslog|journal",
	 "where to; auto is stderr in the foreground, else syslog"},
};
const size_t config_rows = ARRAY_SIZE(config_table);

bool config_is_list(const struct config_row *row)
{
	return row->type == CONFIG_LISTED || row->type == CONFIG_GPUS ||
	       row->type == CONFIG_RULES;
}

static const char *const type_names[] = {
	[CONFIG_STRING] = "a text",
	[CONFIG_ENUM] = "one of",
	[CONFIG_LISTED] = "a list of texts",
	[CONFIG_BOOL] = "true or false",
	[CONFIG_SIZE] = "a size such as 64MiB",
	[CONFIG_DURATION] = "a duration such as 500ms or 5s",
	[CONFIG_UINT] = "a number",
	[CONFIG_OCTAL] = "an octal mode such as 0444",
	[CONFIG_HEX] = "a hexadecimal number such as 0xffeeddcc",
	[CONFIG_RULES] = "a list of {prefix: a/, ttl: 1h}, or of a/:1h:trusted",
	[CONFIG_LIFETIME] = "a duration such as 500ms or 5s, or forever",
	[CONFIG_GPUS] = "a list of {device: 0, size: 8GiB}, or of 0:8GiB",
};

/* Values that depend on the machine or the caller. */
static bool default_of(const char *word, const struct config_row *row,
		       uint64_t *out)
{
	if (!strcmp(word, "caller")) {
		*out = row->offset == AT(mount.uid) ? getuid() : getgid();
		return true;
	}
	if (!strcmp(word, "auto") && row->type == CONFIG_SIZE) {
		const uint64_t memory = (uint64_t)sysconf(_SC_PHYS_PAGES) *
					(uint64_t)sysconf(_SC_PAGESIZE);

		*out = memory / 8 < 1ULL << 30 ? memory / 8 : 1ULL << 30;
		if (row->offset == AT(staging.slot))
			*out = CONFIG_AUTO;
		return true;
	}
	return false;
}

static bool is_choice(const char *choices, const char *value)
{
	const size_t n = strlen(value);

	while (*choices) {
		const size_t len = strcspn(choices, "|");

		if (len == n && !strncmp(choices, value, n))
			return true;
		choices += len + (choices[len] == '|');
	}
	return false;
}

static int set_text(char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy)
		return -ENOMEM;
	free(*field);
	*field = copy;
	return 0;
}

void config_list_clear(struct config_list *l)
{
	for (size_t i = 0; i < l->n; i++)
		free(l->items[i]);
	l->n = 0;
}

int config_list_add(struct config_list *l, const char *value)
{
	if (l->n == CONFIG_LIST)
		return -E2BIG;
	l->items[l->n] = strdup(value);
	return l->items[l->n] ? (l->n++, 0) : -ENOMEM;
}

/* Items between blanks or semicolons: a command line has no other form. */
static int set_list(struct config_list *l, const char *value)
{
	AUTO_FREE char *copy = strdup(value);
	char *save = NULL;
	int err = copy ? 0 : -ENOMEM;

	config_list_clear(l);
	for (char *p = copy ? strtok_r(copy, " ;", &save) : NULL; p && !err;
	     p = strtok_r(NULL, " ;", &save))
		err = config_list_add(l, p);
	return err;
}

int config_parse_gpu(const char *item, struct config_gpu *out)
{
	const char *colon = strchr(item, ':');
	char device[16];
	uint64_t n;

	*out = (struct config_gpu){.fake = !strncmp(item, "fake", 4)};
	if (out->fake)
		item += 4;
	if (!colon || (size_t)(colon - item) >= sizeof(device))
		return -EINVAL;
	memcpy(device, item, (size_t)(colon - item));
	device[colon - item] = '\0';
	if (parse_u64(device, &n) || n > 255 ||
	    parse_size(colon + 1, &out->size) || out->size == 0)
		return -EINVAL;
	out->ordinal = (unsigned int)n;
	return 0;
}

static int set_gpus(struct config_list *l, const char *value)
{
	struct config_gpu gpu;
	int err = set_list(l, value);

	for (size_t i = 0; i < l->n && !err; i++)
		err = config_parse_gpu(l->items[i], &gpu);
	return err;
}

static int parse_lifetime(const char *value, uint64_t *out)
{
	if (strcmp(value, "forever") != 0)
		return parse_duration(value, out);
	*out = UINT64_MAX;
	return 0;
}

int config_parse_rule(const char *item, char *prefix, uint64_t *ttl,
		      bool *trusted)
{
	static const char word[] = ":trusted";
	const size_t tail = sizeof(word) - 1;
	size_t n = strlen(item);
	char time[32];
	const char *colon;

	*trusted = n >= tail && !strcmp(item + n - tail, word);
	if (*trusted)
		n -= tail;
	colon = memrchr(item, ':', n);
	if (!colon || colon - item > 1024 ||
	    (size_t)(item + n - colon) > sizeof(time))
		return -EINVAL;
	snprintf(prefix, 1025, "%.*s", (int)(colon - item), item);
	snprintf(time, sizeof(time), "%.*s", (int)(item + n - colon - 1),
		 colon + 1);
	return *time ? parse_lifetime(time, ttl) : 0;
}

int config_check_rules(const struct config_list *l)
{
	char prefix[1025];
	uint64_t ttl;
	bool trusted;
	int err = 0;

	for (size_t i = 0; i < l->n && !err; i++)
		err = config_parse_rule(l->items[i], prefix, &ttl, &trusted);
	return err;
}

static int set_rules(struct config_list *l, const char *value)
{
	const int err = set_list(l, value);

	return err ? err : config_check_rules(l);
}

static int set_value(struct config *c, const struct config_row *row,
		     const char *value)
{
	void *field = (char *)c + row->offset;

	switch (row->type) {
	case CONFIG_ENUM:
		if (!is_choice(row->choices, value))
			return -EINVAL;
		return set_text(field, value);
	case CONFIG_STRING:
		return set_text(field, value);
	case CONFIG_LISTED:
		return set_list(field, value);
	case CONFIG_GPUS:
		return set_gpus(field, value);
	case CONFIG_RULES:
		return set_rules(field, value);
	case CONFIG_LIFETIME:
		return parse_lifetime(value, field);
	case CONFIG_BOOL:
		return parse_bool(value, field);
	case CONFIG_OCTAL:
		return parse_octal(value, field);
	case CONFIG_UINT:
		return default_of(value, row, field) ? 0
						     : parse_u64(value, field);
	case CONFIG_SIZE:
		return default_of(value, row, field) ? 0
						     : parse_size(value, field);
	case CONFIG_DURATION:
		return parse_duration(value, field);
	case CONFIG_HEX:
		return parse_hex32(value, field);
	}
	return -EINVAL;
}

const char *config_expected(const struct config_row *row, char *buf, size_t cap)
{
	snprintf(buf, cap, "%s%s%s", type_names[row->type],
		 row->choices ? " " : "", row->choices ? row->choices : "");
	return buf;
}

int config_set(struct config *c, const struct config_row *row,
	       const char *value, const char *origin)
{
	const int err = set_value(c, row, value);

	if (!err)
		c->origin[row - config_table] = origin;
	return err;
}

const struct config_row *config_find(const char *section, size_t n,
				     const char *key)
{
	for (size_t i = 0; i < config_rows; i++)
		if (strlen(config_table[i].section) == n &&
		    !strncmp(config_table[i].section, section, n) &&
		    !strcmp(config_table[i].key, key))
			return &config_table[i];
	return NULL;
}

int config_init(struct config *c)
{
	int err = 0;

	*c = (struct config){0};
	c->origin = calloc(config_rows, sizeof(*c->origin));
	if (!c->origin)
		return -ENOMEM;
	for (size_t i = 0; i < config_rows && !err; i++) {
		c->origin[i] = "default";
		if (config_table[i].fallback)
			err = config_set(c, &config_table[i],
					 config_table[i].fallback, "default");
	}
	return err;
}

void config_free(struct config *c)
{
	for (size_t i = 0; i < config_rows; i++) {
		void *field = (char *)c + config_table[i].offset;

		if (config_table[i].type == CONFIG_STRING ||
		    config_table[i].type == CONFIG_ENUM)
			free(*(char **)field);
		else if (config_is_list(&config_table[i]))
			config_list_clear(field);
	}
	free(c->origin);
	c->origin = NULL;
}

/* Fewer and larger requests cost less, but a small pool is to have some. */
#define LARGE_POOL (256ULL << 20)

void config_settle(struct config *c)
{
	if (c->staging.slot == CONFIG_AUTO)
		c->staging.slot = c->staging.host >= LARGE_POOL ? 8 << 20
								: 4 << 20;
}

int config_check(const struct config *c, char *why, size_t cap)
{
	const uint64_t slot = c->staging.slot;

	if (c->endpoint.urls.n == 0) {
		snprintf(why, cap,
			 "no endpoint: use -o endpoint=http://host:port, "
			 "endpoint.urls in the configuration file, or "
			 "AWS_ENDPOINT_URL");
		return -EINVAL;
	}
	if (slot < 1 << 20 || slot > 1 << 30 || (slot & (slot - 1))) {
		snprintf(why, cap,
			 "staging.slot: expected a power of two from "
			 "1MiB to 1GiB");
		return -EINVAL;
	}
	if (c->staging.host < 4 * slot) {
		snprintf(why, cap,
			 "staging.host: expected at least four slots (%llu "
			 "MiB)",
			 (unsigned long long)(4 * slot >> 20));
		return -EINVAL;
	}
	if (c->transport.devices.n > XFER_DEVICES) {
		snprintf(why, cap, "transport.devices: expected at most %d",
			 XFER_DEVICES);
		return -EINVAL;
	}
	if (c->staging.gpus.n > GPUBUF_DEVICES) {
		snprintf(why, cap, "staging.gpus: expected at most %d",
			 GPUBUF_DEVICES);
		return -EINVAL;
	}
	if (c->read.files_ahead > 128) {
		snprintf(why, cap,
			 "read.files_ahead: expected a number from 0 to 128");
		return -EINVAL;
	}
	if (c->request.hedge_after > 3600 * 1000) {
		snprintf(why, cap,
			 "request.hedge_after: expected at most an hour");
		return -EINVAL;
	}
	if (c->request.connections == 0 || c->request.connections > 4096) {
		snprintf(why, cap,
			 "request.connections: expected a number from 1 to "
			 "4096");
		return -EINVAL;
	}
	return 0;
}

static json_t *value_json(const struct config *c, const struct config_row *row)
{
	const void *field = (const char *)c + row->offset;
	const struct config_list *l = field;
	char text[32];
	json_t *a;

	switch (row->type) {
	case CONFIG_STRING:
	case CONFIG_ENUM:
		return *(char *const *)field
			       ? json_string(*(char *const *)field)
			       : json_null();
	case CONFIG_LISTED:
	case CONFIG_GPUS:
	case CONFIG_RULES:
		a = json_array();
		for (size_t i = 0; i < l->n; i++)
			json_array_append_new(a, json_string(l->items[i]));
		return a;
	case CONFIG_BOOL:
		return json_boolean(*(const bool *)field);
	case CONFIG_OCTAL:
		snprintf(text, sizeof(text), "%04o",
			 *(const unsigned int *)field);
		return json_string(text);
	case CONFIG_LIFETIME:
		if (*(const uint64_t *)field == UINT64_MAX)
			return json_string("forever");
		/* fallthrough */
	case CONFIG_DURATION:
		snprintf(text, sizeof(text), "%llums",
			 (unsigned long long)*(const uint64_t *)field);
		return json_string(text);
	case CONFIG_HEX:
		snprintf(text, sizeof(text), "0x%llx",
			 (unsigned long long)*(const uint64_t *)field);
		return json_string(text);
	case CONFIG_SIZE:
	case CONFIG_UINT:
		return json_integer((json_int_t) * (const uint64_t *)field);
	}
	return json_null();
}

json_t *config_dump(const struct config *c)
{
	json_t *o = json_object();
	char path[64];

	for (size_t i = 0; i < config_rows; i++) {
		snprintf(path, sizeof(path), "%s.%s", config_table[i].section,
			 config_table[i].key);
		json_object_set_new(o, path,
				    json_pack("{s:o, s:s}", "value",
					      value_json(c, &config_table[i]),
					      "origin", c->origin[i]));
	}
	return o;
}

void config_each(void (*row)(void *ctx, const char *path, const char *type,
			     const char *fallback, const char *doc),
		 void *ctx)
{
	char path[64], type[128];

	for (size_t i = 0; i < config_rows; i++) {
		const struct config_row *r = &config_table[i];

		snprintf(path, sizeof(path), "%s.%s", r->section, r->key);
		row(ctx, path, config_expected(r, type, sizeof(type)),
		    r->fallback ? r->fallback : "", r->doc);
	}
}
