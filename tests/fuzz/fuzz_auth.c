/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Authorization by header, or by the query when the first byte is '?'.  Lines:
 * the header or query, then "name:value" of other headers.
 */
#include <assert.h>
#include <stdio.h>

#include "fuzz.h"
#include "request.h"

static void add_header(struct request *r, const char *name, const char *value)
{
	if (r->nheaders == MAX_HEADERS)
		return;
	snprintf(r->headers[r->nheaders].name, sizeof(r->headers[0].name), "%s",
		 name);
	r->headers[r->nheaders++].value = strdup(value);
}

static void take_lines(struct request *r, char *text)
{
	char *save = NULL, *line = strtok_r(text, "\n", &save);

	if (line && *line == '?')
		uri_query_parse(line + 1, 64, &r->query);
	else if (line)
		add_header(r, "authorization", line);
	while ((line = strtok_r(NULL, "\n", &save))) {
		char *colon = strchr(line, ':');

		if (!colon)
			continue;
		*colon = '\0';
		add_header(r, line, colon + 1);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct gateway gw = {.region = "us-east-1"};
	struct request *r = calloc(1, sizeof(*r));

	assert(r && !keyring_add(&gw.keys, "AKIA", "secret"));
	r->gw = &gw;
	r->method = "GET";
	r->path = strdup("/b/k");
	strbuf_init(&r->out, 1 << 20);
	take_lines(r, text);
	/* Nobody guesses a signature. */
	assert(!auth_check(r) && r->status >= 400);
	reply_clear(r);
	strbuf_free(&r->out);
	uri_query_free(&r->query);
	for (size_t i = 0; i < r->nheaders; i++)
		free(r->headers[i].value);
	free(r->path);
	free(r);
	keyring_free(&gw.keys);
	free(text);
	return 0;
}
