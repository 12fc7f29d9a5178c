/* SPDX-License-Identifier: Apache-2.0 */
#include "fault.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/parse.h"

struct faults {
	struct fault *first;
};

static const struct {
	const char *name;
	enum fault_action action;
	bool has_value;
} actions[] = {
	{"status", FAULT_STATUS, true},
	{"reset", FAULT_RESET, false},
	{"truncate", FAULT_TRUNCATE, true},
	{"stall", FAULT_STALL, true},
	{"slow", FAULT_SLOW, true},
	{"delay", FAULT_DELAY, true},
	{"etag", FAULT_ETAG, false},
	{"norange", FAULT_NORANGE, false},
	{"short", FAULT_SHORT, true},
	{"refuse-token", FAULT_REFUSE_TOKEN, false},
	{"ignore-token", FAULT_IGNORE_TOKEN, false},
	{"late", FAULT_LATE, true},
	{"lie", FAULT_LIE, false},
};

static int parse_action(struct fault *f, char *text)
{
	char *value = strchr(text, '=');

	if (value)
		*value++ = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(actions); i++) {
		if (strcmp(text, actions[i].name) != 0)
			continue;
		f->action = actions[i].action;
		if (actions[i].has_value != (value != NULL))
			return -EINVAL;
		return value ? parse_u64(value, &f->value) : 0;
	}
	return -EINVAL;
}

static int parse_option(struct fault *f, char *text)
{
	char *value = strchr(text, '=');

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	if (!strcmp(text, "key")) {
		snprintf(f->key, sizeof(f->key), "%s", value);
		return 0;
	}
	return !strcmp(text, "nth")     ? parse_u64(value, &f->nth)
	       : !strcmp(text, "every") ? parse_u64(value, &f->every)
	       : !strcmp(text, "count") ? parse_u64(value, &f->count)
					: -EINVAL;
}

static int parse(struct fault *f, const char *text)
{
	static const char *const ops[] = {"get", "head",    "list",
					  "put", "connect", "any"};
	AUTO_FREE char *copy = strdup(text);
	char *save = NULL, *part;
	int err = -EINVAL;

	if (!copy)
		return -ENOMEM;
	part = strtok_r(copy, ":", &save);
	for (size_t i = 0; part && i < ARRAY_SIZE(ops); i++)
		if (!strcmp(part, ops[i]))
			err = 0;
	if (err)
		return err;
	snprintf(f->op, sizeof(f->op), "%s", part);
	part = strtok_r(NULL, ":", &save);
	err = part ? parse_action(f, part) : -EINVAL;
	while (!err && (part = strtok_r(NULL, ":", &save)))
		err = parse_option(f, part);
	return err;
}

static void free_one(struct fault *f)
{
	if (f)
		free(f->line_ns);
	free(f);
}

int fault_add(struct faults **list, const char *text)
{
	struct fault *f = calloc(1, sizeof(*f));
	struct fault **end;
	int err = f ? parse(f, text) : -ENOMEM;

	if (!err && f->action == FAULT_SLOW) {
		f->line_ns = calloc(1, sizeof(*f->line_ns));
		err = !f->line_ns ? -ENOMEM : f->value ? 0 : -EINVAL;
	}
	if (!err && !*list) {
		*list = calloc(1, sizeof(**list));
		err = *list ? 0 : -ENOMEM;
	}
	if (err) {
		free_one(f);
		return err;
	}
	for (end = &(*list)->first; *end; end = &(*end)->next)
		;
	*end = f;
	return 0;
}

void fault_free(struct faults *list)
{
	struct fault *f = list ? list->first : NULL;

	while (f) {
		struct fault *next = f->next;

		free_one(f);
		f = next;
	}
	free(list);
}

static const char *kind_of(const struct request *r)
{
	if (!strcmp(r->method, "HEAD"))
		return "head";
	if (!strcmp(r->method, "GET"))
		return r->has_key ? "get" : "list";
	/* The one that moves bytes; the object's name is not in it. */
	if (!strcmp(r->bucket, ".hipobj-rc"))
		return !strcmp(r->key, "ready") ? "get" : "connect";
	if (!strcmp(r->bucket, ".s3rdma-rc"))
		return "connect";
	return "put";
}

const struct fault *fault_for(struct faults *list, const struct request *r)
{
	for (struct fault *f = list ? list->first : NULL; f; f = f->next) {
		uint64_t n;

		if (strcmp(f->op, "any") != 0 && strcmp(f->op, kind_of(r)) != 0)
			continue;
		if (f->key[0] && !strstr(r->key, f->key))
			continue;
		n = __atomic_add_fetch(&f->seen, 1, __ATOMIC_RELAXED);
		if ((f->nth && n != f->nth) || (f->every && n % f->every) ||
		    (f->count && n > f->count))
			continue;
		return f;
	}
	return NULL;
}

bool fault_is(const struct request *r, enum fault_action action)
{
	return r->fault && r->fault->action == action;
}

/* The code that S3 sends with a status. */
static const char *code_of(uint64_t status)
{
	return status == 403   ? "AccessDenied"
	       : status == 404 ? "NoSuchKey"
	       : status == 409 ? "OperationAborted"
	       : status == 412 ? "PreconditionFailed"
	       : status == 503 ? "SlowDown"
			       : "InternalError";
}

bool fault_before(struct request *r)
{
	if (fault_is(r, FAULT_DELAY))
		gateway_sleep_ms(r->fault->value);
	if (fault_is(r, FAULT_RESET)) {
		r->drop = true;
		return true;
	}
	if (!fault_is(r, FAULT_STATUS))
		return false;
	reply_error(r, code_of(r->fault->value), "injected");
	r->status = (int)r->fault->value;
	return true;
}

bool fault_wrong_etag(struct request *r)
{
	if (!fault_is(r, FAULT_ETAG))
		return false;
	reply_header(r, "ETag", "\"00000000000000000000000000000000\"");
	return true;
}

bool fault_ignore_range(const struct request *r)
{
	return fault_is(r, FAULT_NORANGE);
}

uint64_t fault_short(const struct request *r, uint64_t len)
{
	if (!fault_is(r, FAULT_SHORT))
		return len;
	return len > r->fault->value ? len - r->fault->value : 1;
}

size_t fault_pace(const struct fault *f, size_t n)
{
	const size_t step = f->value / 32 + 1;
	uint64_t now = clock_ns(), free_ns, at;

	if (n > step)
		n = step;
	free_ns = __atomic_load_n(f->line_ns, __ATOMIC_RELAXED);
	do
		at = (free_ns > now ? free_ns : now) +
		     n * 1000000000 / f->value;
	while (!__atomic_compare_exchange_n(f->line_ns, &free_ns, at, false,
					    __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED));
	gateway_sleep_ms((at - now) / 1000000);
	return n;
}
