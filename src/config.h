/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every setting: one table (config.c) of path, type, default and meaning.
 * Values come from the default, the file, the environment and the command
 * line, each outranking the one before; where a value came from is kept.
 */
#ifndef S3RDMAFS_CONFIG_H
#define S3RDMAFS_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONFIG_LIST 16

struct config_list {
	char *items[CONFIG_LIST]; /* owned */
	size_t n;
};

struct config {
	struct {
		struct config_list urls;
		char *region, *addressing, *ca_file;
	} endpoint;
	struct {
		char *profile;
		bool anonymous;
	} credentials;
	struct {
		char *mode, *profile, *rc_protocol;
		bool require;
		struct config_list devices;
		uint64_t dc_key, min_size;
	} transport;
	struct {
		uint64_t host, slot;
		char *hugepages;
		struct config_list gpus;
	} staging;
	struct {
		uint64_t prefetch_max, files_ahead;
		bool kernel_cache, passthrough;
	} read;
	struct {
		uint64_t ttl, negative_ttl, kernel_ttl, size;
		char *path;
		struct config_list rules;
	} metadata;
	struct {
		uint64_t connect_timeout, attempt_timeout, deadline;
		uint64_t hedge_after;
		uint64_t connections;
	} request;
	struct {
		uint64_t uid, gid;
		unsigned int file_mode, dir_mode, umask;
		bool allow_other;
	} mount;
	struct {
		char *level, *sink;
	} log;

	/* Kernel mount options that are passed on; "" for none. */
	char generic[1024];
	/* Where each value came from, in the order of the table. */
	const char **origin; /* owned array */
};

/* Sets every default.  config_free takes it back.  0 or -ENOMEM. */
int config_init(struct config *c);
void config_free(struct config *c);

/* Each returns 0, or -errno with a line for people in why. */
int config_load_file(struct config *c, const char *file, char *why, size_t cap);
int config_load_env(struct config *c, char *why, size_t cap);
/* "key=value,key": dotted paths, short names and the generic ones. */
int config_load_options(struct config *c, const char *text, char *why,
			size_t cap);

/* After the others: region and endpoint of the profile that they chose, where
 * none of them has said more. */
int config_load_profile(struct config *c);

/* What follows from other values: none is CONFIG_AUTO any more. */
#define CONFIG_AUTO UINT64_MAX
void config_settle(struct config *c);

/* What holds between values. */
int config_check(const struct config *c, char *why, size_t cap);

/* An item of staging.gpus.  0 or -EINVAL. */
struct config_gpu {
	bool fake;
	unsigned int ordinal;
	uint64_t size;
};
int config_parse_gpu(const char *item, struct config_gpu *out);

/* An item of metadata.rules, whose prefix goes to a buffer of 1025 bytes;
 * without a time *ttl stays as it is.  0 or -EINVAL. */
int config_parse_rule(const char *item, char *prefix, uint64_t *ttl,
		      bool *trusted);

/* {"path": {"value": ..., "origin": ...}, ...}; owned.  No secret is in it. */
json_t *config_dump(const struct config *c);

/* For the man page's test: calls row for each setting. */
void config_each(void (*row)(void *ctx, const char *path, const char *type,
			     const char *fallback, const char *doc),
		 void *ctx);

#endif
