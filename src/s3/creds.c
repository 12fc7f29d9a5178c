/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lock: lock, a leaf.  The present credentials are read at every signature
 * and replaced by a refresh, of which one goes on at a time: who wants another
 * meanwhile waits for its end, or on an event loop just goes on.
 */
#include "s3/creds.h"

#include <errno.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/thread.h"

#define REFRESH_MS 1000   /* from one to the next, at least */
#define PATIENCE_MS 10000 /* with another's: the command may never end */

struct creds_source {
	/* Constant after creds_new. */
	bool anonymous, use_env;
	char profile[128];
	char origin[192];

	pthread_mutex_t lock;
	pthread_cond_t refreshed;

	/* Under lock. */
	struct creds now;
	uint64_t refreshed_ms; /* when the last refresh began */
	bool refreshing;
	pthread_t thread;
	bool has_thread; /* it was started, and is not yet joined */
};

static bool env_get(const char *name, char *out, size_t cap)
{
	const char *v = getenv(name);

	if (!v || !*v)
		return false;
	snprintf(out, cap, "%s", v);
	return true;
}

/* The path of one of the two files, as the AWS tools find it. */
static void aws_file(bool config, char *out, size_t cap)
{
	const char *home = getenv("HOME");

	if (env_get(config ? "AWS_CONFIG_FILE" : "AWS_SHARED_CREDENTIALS_FILE",
		    out, cap))
		return;
	snprintf(out, cap, "%s/.aws/%s", home ? home : "",
		 config ? "config" : "credentials");
}

static char *trim(char *s)
{
	char *end;

	s += strspn(s, " \t");
	end = s + strcspn(s, "\r\n");
	while (end > s && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	*end = '\0';
	return s;
}

/* Does "[profile x]" or "[x]" open the section of that profile? */
static bool is_section(char *line, const char *profile)
{
	char *name = trim(line + 1);
	char *end = strchr(name, ']');

	if (!end)
		return false;
	*end = '\0';
	name = trim(name);
	if (!strncmp(name, "profile ", 8))
		name = trim(name + 8);
	return !strcmp(name, profile);
}

static int ini_value(bool config, const char *profile, const char *name,
		     char *out, size_t cap)
{
	char path[4096], line[4096];
	bool inside = false;
	int err = -ENOENT;
	FILE *f;

	aws_file(config, path, sizeof(path));
	f = fopen(path, "re");
	if (!f)
		return -ENOENT;
	while (err && fgets(line, sizeof(line), f)) {
		char *eq;

		if (line[0] == '[') {
			inside = is_section(line, profile);
			continue;
		}
		/* Indented lines belong to a nested group such as s3 =. */
		if (!inside || line[0] == '#' || line[0] == ' ' ||
		    line[0] == '\t')
			continue;
		eq = strchr(line, '=');
		if (!eq)
			continue;
		*eq = '\0';
		if (strcmp(trim(line), name) != 0)
			continue;
		snprintf(out, cap, "%s", trim(eq + 1));
		err = 0;
	}
	fclose(f);
	OPENSSL_cleanse(line, sizeof(line));
	return err;
}

int creds_profile_value(const char *profile, const char *name, char *out,
			size_t cap)
{
	if (!profile)
		profile = getenv("AWS_PROFILE");
	if (!profile || !*profile)
		profile = "default";
	/* As with the AWS tools, the credentials file outranks the other. */
	return ini_value(false, profile, name, out, cap) &&
			       ini_value(true, profile, name, out, cap)
		       ? -ENOENT
		       : 0;
}

static int from_env(struct creds *c)
{
	if (!env_get("AWS_ACCESS_KEY_ID", c->access_key,
		     sizeof(c->access_key)) ||
	    !env_get("AWS_SECRET_ACCESS_KEY", c->secret_key,
		     sizeof(c->secret_key)))
		return -ENOENT;
	env_get("AWS_SESSION_TOKEN", c->session_token,
		sizeof(c->session_token));
	return 0;
}

static void json_field(json_t *o, const char *name, char *out, size_t cap)
{
	const char *v = json_string_value(json_object_get(o, name));

	if (v)
		snprintf(out, cap, "%s", v);
}

/* The command is the user's own configuration, as with the AWS tools. */
static int from_process(const char *command, struct creds *c)
{
	FILE *f = popen(command, "re"); /* NOLINT(cert-env33-c) */
	json_t *o;
	int status;

	if (!f)
		return -errno;
	o = json_loadf(f, JSON_DISABLE_EOF_CHECK, NULL);
	status = pclose(f);
	json_field(o, "AccessKeyId", c->access_key, sizeof(c->access_key));
	json_field(o, "SecretAccessKey", c->secret_key, sizeof(c->secret_key));
	json_field(o, "SessionToken", c->session_token,
		   sizeof(c->session_token));
	json_decref(o);
	return status || !c->access_key[0] || !c->secret_key[0] ? -EINVAL : 0;
}

static int from_profile(const char *profile, struct creds *c)
{
	char command[2048];

	if (!creds_profile_value(profile, "aws_access_key_id", c->access_key,
				 sizeof(c->access_key)) &&
	    !creds_profile_value(profile, "aws_secret_access_key",
				 c->secret_key, sizeof(c->secret_key))) {
		creds_profile_value(profile, "aws_session_token",
				    c->session_token, sizeof(c->session_token));
		return 0;
	}
	if (!creds_profile_value(profile, "credential_process", command,
				 sizeof(command)))
		return from_process(command, c);
	return -ENOENT;
}

static int load(struct creds_source *s, struct creds *c)
{
	*c = (struct creds){.anonymous = s->anonymous};
	if (s->anonymous)
		return 0;
	return s->use_env ? from_env(c) : from_profile(s->profile, c);
}

int creds_new(const struct creds_config *cfg, struct creds_source **out,
	      char *why, size_t why_cap)
{
	struct creds_source *s = calloc(1, sizeof(*s));
	const char *env_profile = getenv("AWS_PROFILE");
	const char *env_key = getenv("AWS_ACCESS_KEY_ID");
	int err;

	if (!s)
		return -ENOMEM;
	pthread_mutex_init(&s->lock, NULL);
	thread_cond_init(&s->refreshed);
	s->anonymous = cfg->anonymous;
	snprintf(s->profile, sizeof(s->profile), "%s",
		 cfg->profile                  ? cfg->profile
		 : env_profile && *env_profile ? env_profile
					       : "default");
	s->use_env = !cfg->profile && env_key && *env_key;
	snprintf(s->origin, sizeof(s->origin), "%s%s",
		 s->anonymous ? "anonymous"
		 : s->use_env ? "environment"
			      : "profile ",
		 s->anonymous || s->use_env ? "" : s->profile);
	err = load(s, &s->now);
	if (err) {
		snprintf(why, why_cap,
			 "no credentials in %s: set AWS_ACCESS_KEY_ID and "
			 "AWS_SECRET_ACCESS_KEY, write ~/.aws/credentials, or "
			 "use -o anonymous",
			 s->origin);
		creds_free(s);
		return err;
	}
	*out = s;
	return 0;
}

void creds_get(struct creds_source *s, struct creds *out)
{
	LOCK_SCOPE(&s->lock);
	*out = s->now;
}

/* What the environment holds never changes. */
bool creds_can_change(const struct creds_source *s)
{
	return !s->anonymous && !s->use_env;
}

bool creds_are_temporary(struct creds_source *s)
{
	LOCK_SCOPE(&s->lock);
	return s->now.session_token[0] != '\0';
}

/* Under lock. */
static bool claim_refresh(struct creds_source *s)
{
	if (s->refreshing ||
	    (s->refreshed_ms && clock_ms() - s->refreshed_ms < REFRESH_MS))
		return false;
	s->refreshed_ms = clock_ms();
	s->refreshing = true;
	return true;
}

static void end_refresh(struct creds_source *s, const struct creds *c)
{
	LOCK_SCOPE(&s->lock);
	if (c)
		s->now = *c;
	s->refreshing = false;
	pthread_cond_broadcast(&s->refreshed);
}

static void *refresh(void *arg)
{
	struct creds_source *s = arg;
	struct creds c;

	end_refresh(s, load(s, &c) ? NULL : &c);
	OPENSSL_cleanse(&c, sizeof(c));
	return NULL;
}

/* Under lock: until nobody refreshes, or for long enough. */
static void await_refresh(struct creds_source *s)
{
	const uint64_t until = clock_ms() + PATIENCE_MS;
	uint64_t now;

	while (s->refreshing && (now = clock_ms()) < until)
		thread_cond_wait_ms(&s->refreshed, &s->lock, until - now);
}

void creds_refresh(struct creds_source *s)
{
	bool is_mine;

	{
		LOCK_SCOPE(&s->lock);
		is_mine = claim_refresh(s);
		if (!is_mine)
			await_refresh(s);
	}
	if (is_mine)
		refresh(s);
}

void creds_refresh_soon(struct creds_source *s)
{
	LOCK_SCOPE(&s->lock);
	if (!claim_refresh(s))
		return;
	/* It takes the lock no more. */
	if (s->has_thread)
		pthread_join(s->thread, NULL);
	s->has_thread = !thread_start(&s->thread, "creds", refresh, s);
	s->refreshing = s->has_thread;
}

/* Waits for a refresh that goes on; false when it does not end. */
static bool end_thread(struct creds_source *s)
{
	{
		LOCK_SCOPE(&s->lock);
		await_refresh(s);
		if (s->refreshing)
			return false;
	}
	if (s->has_thread)
		pthread_join(s->thread, NULL);
	return true;
}

void creds_free(struct creds_source *s)
{
	if (!s)
		return;
	/* What hangs in the user's command keeps its memory, and ends with the
	 * process. */
	if (!end_thread(s))
		return;
	pthread_cond_destroy(&s->refreshed);
	pthread_mutex_destroy(&s->lock);
	OPENSSL_cleanse(&s->now, sizeof(s->now));
	free(s);
}

const char *creds_origin(const struct creds_source *s)
{
	return s->origin;
}
