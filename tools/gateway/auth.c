/* SPDX-License-Identifier: Apache-2.0 */
/* SigV4 checked with the code that signs, in src/s3. */
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "request.h"

#define MAX_SKEW 900       /* seconds, as AWS has it */
#define MAX_EXPIRES 604800 /* likewise */

int keyring_add(struct keyring *k, const char *access, const char *secret)
{
	void *more = realloc(k->keys, (k->n + 1) * sizeof(*k->keys));

	if (!more)
		return -ENOMEM;
	k->keys = more;
	k->keys[k->n].access = strdup(access);
	k->keys[k->n].secret = strdup(secret);
	if (!k->keys[k->n].access || !k->keys[k->n].secret)
		return -ENOMEM;
	k->n++;
	return 0;
}

/* Lines of ACCESS:SECRET; blank lines and # are passed over. */
int keyring_load(struct keyring *k, const char *file)
{
	FILE *f = fopen(file, "re");
	char line[512];
	int err = 0;

	if (!f)
		return -errno;
	while (!err && fgets(line, sizeof(line), f)) {
		char *colon;

		line[strcspn(line, "\r\n")] = '\0';
		if (!line[0] || line[0] == '#')
			continue;
		colon = strchr(line, ':');
		if (!colon || colon == line || !colon[1]) {
			err = -EINVAL;
			break;
		}
		*colon = '\0';
		err = keyring_add(k, line, colon + 1);
	}
	fclose(f);
	OPENSSL_cleanse(line, sizeof(line));
	return err;
}

void keyring_free(struct keyring *k)
{
	for (size_t i = 0; i < k->n; i++) {
		free(k->keys[i].access);
		OPENSSL_cleanse(k->keys[i].secret, strlen(k->keys[i].secret));
		free(k->keys[i].secret);
	}
	free(k->keys);
}

const char *keyring_find(const struct keyring *k, const char *access)
{
	for (size_t i = 0; i < k->n; i++)
		if (!strcmp(k->keys[i].access, access))
			return k->keys[i].secret;
	return NULL;
}

/* What a request claims. */
struct claim {
	char access[128];
	char day[9];
	char region[64];
	char signature[SIGV4_HEX];
};

/* ACCESS/20261122/REGION/s3/aws4_request; the access key may hold a '/'. */
static bool parse_credential(const char *s, size_t n, struct claim *c)
{
	char text[400], *parts[4];

	if (n >= sizeof(text))
		return false;
	memcpy(text, s, n);
	text[n] = '\0';
	for (int i = 3; i >= 0; i--) {
		parts[i] = strrchr(text, '/');
		if (!parts[i])
			return false;
		*parts[i]++ = '\0';
	}
	if (strcmp(parts[2], "s3") != 0 ||
	    strcmp(parts[3], "aws4_request") != 0 || strlen(parts[0]) != 8 ||
	    strlen(parts[1]) >= sizeof(c->region) ||
	    strlen(text) >= sizeof(c->access))
		return false;
	snprintf(c->access, sizeof(c->access), "%s", text);
	snprintf(c->day, sizeof(c->day), "%s", parts[0]);
	snprintf(c->region, sizeof(c->region), "%s", parts[1]);
	return true;
}

/* The value behind "Name=" in an Authorization header. */
static const char *auth_part(const char *auth, const char *name, size_t *n)
{
	const char *p = strstr(auth, name);

	if (!p)
		return NULL;
	p += strlen(name);
	*n = strcspn(p, ", ");
	return p;
}

static bool parse_header(struct request *r, const char *auth, struct claim *c)
{
	const char *date = request_header(r, "x-amz-date");
	const char *cred, *names, *sig;
	size_t ncred, nnames, nsig;

	cred = auth_part(auth, "Credential=", &ncred);
	names = auth_part(auth, "SignedHeaders=", &nnames);
	sig = auth_part(auth, "Signature=", &nsig);
	if (!cred || !names || !sig || !parse_credential(cred, ncred, c) ||
	    nnames >= sizeof(r->signed_headers) || nsig != SIGV4_HEX - 1) {
		reply_error(r, "AuthorizationHeaderMalformed",
			    "The authorization header is malformed.");
		return false;
	}
	snprintf(r->signed_headers, sizeof(r->signed_headers), "%.*s",
		 (int)nnames, names);
	snprintf(c->signature, sizeof(c->signature), "%.*s", (int)nsig, sig);
	if (!date || strlen(date) != SIGV4_DATE - 1) {
		reply_error(r, "AccessDenied",
			    "AWS authentication requires a valid Date or "
			    "x-amz-date header");
		return false;
	}
	snprintf(r->date, sizeof(r->date), "%s", date);
	return true;
}

static bool parse_presigned(struct request *r, struct claim *c)
{
	const char *cred = request_param(r, "X-Amz-Credential");
	const char *names = request_param(r, "X-Amz-SignedHeaders");
	const char *sig = request_param(r, "X-Amz-Signature");
	const char *date = request_param(r, "X-Amz-Date");
	const char *alg = request_param(r, "X-Amz-Algorithm");
	const char *expires = request_param(r, "X-Amz-Expires");
	uint64_t seconds;

	r->presigned = true;
	if (!cred || !names || !sig || !date || !expires || !alg ||
	    strcmp(alg, "AWS4-HMAC-SHA256") != 0 ||
	    !parse_credential(cred, strlen(cred), c) ||
	    strlen(names) >= sizeof(r->signed_headers) ||
	    strlen(sig) != SIGV4_HEX - 1 || strlen(date) != SIGV4_DATE - 1 ||
	    parse_u64(expires, &seconds) || seconds > MAX_EXPIRES) {
		reply_error(r, "AuthorizationQueryParametersError",
			    "Query-string authentication version 4 requires "
			    "the X-Amz-Algorithm, X-Amz-Credential, "
			    "X-Amz-Signature, X-Amz-Date, X-Amz-SignedHeaders, "
			    "and X-Amz-Expires parameters.");
		return false;
	}
	snprintf(r->signed_headers, sizeof(r->signed_headers), "%s", names);
	snprintf(c->signature, sizeof(c->signature), "%s", sig);
	snprintf(r->date, sizeof(r->date), "%s", date);
	return true;
}

static bool check_time(struct request *r, const struct claim *c)
{
	const time_t now = time(NULL);
	uint64_t expires = 0;
	time_t t;

	if (sigv4_parse_date(r->date, &t) || strncmp(r->date, c->day, 8) != 0) {
		reply_error(r, "AccessDenied", "Invalid date");
		return false;
	}
	if (r->presigned) {
		parse_u64(request_param(r, "X-Amz-Expires"), &expires);
		if (now > t + (time_t)expires || t > now + MAX_SKEW) {
			reply_error(r, "AccessDenied", "Request has expired");
			return false;
		}
		return true;
	}
	if (t > now + MAX_SKEW || t < now - MAX_SKEW) {
		reply_error(r, "RequestTimeTooSkewed",
			    "The difference between the request time and the "
			    "current time is too large.");
		return false;
	}
	return true;
}

bool auth_covers(const struct request *r, const char *header)
{
	const size_t n = strlen(header);
	const char *p = r->signed_headers;

	while (*p) {
		const size_t len = strcspn(p, ";");

		if (len == n && !strncmp(p, header, n))
			return true;
		p += len + (p[len] == ';');
	}
	return false;
}

/* Each x-amz-* header and Host must be covered, or it could be forged. */
static bool check_coverage(struct request *r)
{
	if (!auth_covers(r, "host"))
		return false;
	for (size_t i = 0; i < r->nheaders; i++)
		if (!strncmp(r->headers[i].name, "x-amz-", 6) &&
		    !auth_covers(r, r->headers[i].name))
			return false;
	return true;
}

/* The signed headers, in the order that the client named them. */
static bool gather(struct request *r, struct sigv4_header *h, size_t cap,
		   size_t *n, char *names)
{
	char *save = NULL;

	*n = 0;
	for (char *name = strtok_r(names, ";", &save); name;
	     name = strtok_r(NULL, ";", &save)) {
		const char *value = request_header(r, name);

		if (*n == cap)
			return false;
		h[(*n)++] = (struct sigv4_header){name, value ? value : ""};
	}
	return true;
}

static bool check_signature(struct request *r, const struct claim *c,
			    const char *secret)
{
	const char *hash = r->presigned
				   ? "UNSIGNED-PAYLOAD"
				   : request_header(r, "x-amz-content-sha256");
	struct sigv4_header headers[MAX_HEADERS];
	char names[sizeof(r->signed_headers)];
	AUTO_FREE char *query = NULL;
	size_t n;

	snprintf(names, sizeof(names), "%s", r->signed_headers);
	if (!gather(r, headers, ARRAY_SIZE(headers), &n, names) ||
	    uri_query_canonical(
		    &r->query, r->presigned ? "X-Amz-Signature" : NULL, &query))
		return false;
	sigv4_signing_key(secret, c->day, c->region, r->signing_key);
	sigv4_scope(c->day, c->region, r->scope, sizeof(r->scope));
	return !sigv4_sign(&(struct sigv4_request){.method = r->method,
						   .path = r->path,
						   .query = query,
						   .headers = headers,
						   .nheaders = n,
						   .payload_hash = hash},
			   r->signing_key, r->date, r->scope, r->signature) &&
	       sigv4_equal(r->signature, c->signature);
}

bool auth_check(struct request *r)
{
	const char *auth = request_header(r, "authorization");
	const char *secret;
	struct claim c;

	if (!auth && !request_param(r, "X-Amz-Signature") &&
	    !request_param(r, "X-Amz-Algorithm")) {
		reply_error(r, "AccessDenied", "Access Denied");
		return false;
	}
	if (auth && strncmp(auth, "AWS4-HMAC-SHA256", 16) != 0) {
		reply_error(r, "InvalidRequest",
			    "The authorization mechanism you have provided is "
			    "not supported. Please use AWS4-HMAC-SHA256.");
		return false;
	}
	if (auth ? !parse_header(r, auth, &c) : !parse_presigned(r, &c))
		return false;
	if (strcmp(c.region, r->gw->region) != 0) {
		reply_error(r, "AuthorizationHeaderMalformed",
			    "The authorization header is malformed; the region "
			    "'%s' is wrong; expecting '%s'",
			    c.region, r->gw->region);
		return false;
	}
	secret = keyring_find(&r->gw->keys, c.access);
	if (!secret) {
		reply_error(r, "InvalidAccessKeyId",
			    "The AWS Access Key Id you provided does not exist "
			    "in our records.");
		return false;
	}
	if (!check_time(r, &c))
		return false;
	if (!r->presigned && !request_header(r, "x-amz-content-sha256")) {
		reply_error(r, "InvalidRequest",
			    "Missing required header for this request: "
			    "x-amz-content-sha256");
		return false;
	}
	if (!check_coverage(r)) {
		reply_error(r, "AccessDenied",
			    "There were headers present in the request which "
			    "were not signed");
		return false;
	}
	if (!check_signature(r, &c, secret)) {
		reply_error(r, "SignatureDoesNotMatch",
			    "The request signature we calculated does not "
			    "match the signature you provided. Check your key "
			    "and signing method.");
		return false;
	}
	snprintf(r->access, sizeof(r->access), "%s", c.access);
	return true;
}
