/* SPDX-License-Identifier: Apache-2.0 */
/* Where the access keys come from. */
#ifndef S3RDMAFS_S3_CREDS_H
#define S3RDMAFS_S3_CREDS_H

#include <stdbool.h>
#include <stddef.h>

struct creds {
	bool anonymous; /* requests go unsigned */
	char access_key[160];
	char secret_key[160];
	char session_token[2048]; /* "" for none */
};

struct creds_source;

struct creds_config {
	const char *profile; /* NULL: AWS_PROFILE, else "default" */
	bool anonymous;
};

/*
 * Finds credentials: the environment (unless a profile was asked for), then
 * the profile in ~/.aws/credentials and ~/.aws/config, its credential_process
 * included.  Returns 0 and an owned source, or -errno with the reason, which
 * names no secret, in why.
 */
int creds_new(const struct creds_config *cfg, struct creds_source **out,
	      char *why, size_t why_cap);
void creds_free(struct creds_source *s);

/* A copy of the present ones.  Any thread. */
void creds_get(struct creds_source *s, struct creds *out);

/* Reads the source again, at most once a second.  May block on a process, also
 * on one that another thread waits for. */
void creds_refresh(struct creds_source *s);
/* The same on a thread of its own; never blocks on a process. */
void creds_refresh_soon(struct creds_source *s);
/* Can that change them at all? */
bool creds_can_change(const struct creds_source *s);
/* Do they come with a session token, so that they expire? */
bool creds_are_temporary(struct creds_source *s);

/* "environment", "profile default", "anonymous": no secret in it. */
const char *creds_origin(const struct creds_source *s);

/* A value of a profile in ~/.aws/config or credentials, e.g. region.
 * Returns 0, or -ENOENT. */
int creds_profile_value(const char *profile, const char *name, char *out,
			size_t cap);

#endif
