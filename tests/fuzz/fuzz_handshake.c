/* SPDX-License-Identifier: Apache-2.0 */
/* Lines "name: value", the names without x-amz-rdma-, as a hand-shake. */
#include <assert.h>

#include "fuzz.h"
#include "xfer/handshake.h"

#define HEX "0123456789abcdefABCDEF"

static void check_fields(const struct handshake *h)
{
	assert(strlen(h->token) < sizeof(h->token));
	assert(strlen(h->etag) < sizeof(h->etag));
	assert(!h->session[0] || (strlen(h->session) == TOKEN_CONN &&
				  strspn(h->session, HEX) == TOKEN_CONN));
	assert(!h->has_psn || (h->psn > 0 && h->psn <= TOKEN_PSN_MAX));
	assert(h->qpn <= 0xffffff);
}

static void feed(struct handshake *h, const char *lines)
{
	char *text = fuzz_text((const uint8_t *)lines, strlen(lines));
	char *save = NULL;

	for (char *line = strtok_r(text, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *value = strstr(line, ": ");
		const bool was = h->bad;

		if (!value)
			continue;
		*value = '\0';
		handshake_take(h, line, value + 2);
		check_fields(h);
		assert(!was || h->bad); /* once bad, bad */
	}
	free(text);
}

static void check_opened(const struct handshake *h)
{
	struct token_rc t;

	assert(!h->bad && h->session[0] && h->has_psn);
	assert(!token_rc_parse(h->token, &t));
}

static bool check_all(const struct handshake *h)
{
	static const uint8_t zero[TOKEN_GID];
	bool some = false;
	struct token_rc t;

	if (!handshake_check_connect(h)) {
		check_opened(h);
		assert(!token_rc_parse(h->token, &t) && t.qpn);
		some = true;
	}
	if (!handshake_check_prepare(h)) {
		check_opened(h);
		assert(h->v2 && !token_rc_parse(h->token, &t));
		assert((t.qpn || h->qpn) && memcmp(t.gid, zero, TOKEN_GID));
		some = true;
	}
	if (!handshake_check_final(h, h->cookie, h->bytes)) {
		assert(!h->bad && h->v2 && h->has_cookie && h->has_bytes);
		/* It speaks of one transfer, and no other. */
		assert(handshake_check_final(h, h->cookie ^ 1, h->bytes));
		assert(handshake_check_final(h, h->cookie, h->bytes + 1));
		some = true;
	}
	return some;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	struct handshake h = {0};

	feed(&h, text);
	/* All that it takes to be believed comes once. */
	if (check_all(&h)) {
		feed(&h, text);
		assert(h.bad && !check_all(&h));
	}
	free(text);
	return 0;
}
