/* SPDX-License-Identifier: Apache-2.0 */
/* The tokens that others write: DC, RC and a connection's. */
#include <assert.h>

#include "fuzz.h"
#include "rdma/token.h"

static bool same_dc(const struct token_dc *a, const struct token_dc *b)
{
	return a->addr == b->addr && a->size == b->size && a->rkey == b->rkey &&
	       a->lid == b->lid && a->dctn == b->dctn &&
	       a->is_global == b->is_global &&
	       !memcmp(a->gid, b->gid, TOKEN_GID);
}

static bool is_zero(const uint8_t gid[TOKEN_GID])
{
	static const uint8_t zero[TOKEN_GID];

	return !memcmp(gid, zero, TOKEN_GID);
}

/* Every way to write it says the same. */
static void check_forms(const struct token_dc *t, const char *bare)
{
	static const size_t lengths[] = {
		[TOKEN_BARE] = TOKEN_DC,
		[TOKEN_SUFFIX] = TOKEN_DC + 34,
		[TOKEN_BASE64] = 108,
	};
	char out[TOKEN_MAX];
	struct token_dc back;

	for (enum token_form f = TOKEN_BARE; f <= TOKEN_BASE64; f++) {
		token_dress(f, bare, out);
		assert(strlen(out) == lengths[f]);
		assert(token_kind(out) == TOKEN_KIND_DC);
		assert(!token_dc_parse(out, &back) && same_dc(t, &back));
	}
}

static void try_dc(const char *text)
{
	char bare[TOKEN_MAX], again[TOKEN_MAX];
	struct token_dc t = {.size = 42}, back;

	if (token_dc_parse(text, &t)) {
		assert(t.size == 42); /* untouched */
		return;
	}
	assert(token_kind(text) == TOKEN_KIND_DC);
	assert(t.size > 0 && t.addr + t.size > t.addr);
	assert(t.dctn > 0 && t.dctn <= 0xffffff);
	assert(!t.is_global || !is_zero(t.gid));
	token_dc_format(&t, bare);
	assert(strlen(bare) == TOKEN_DC);
	assert(!token_dc_parse(bare, &back) && same_dc(&t, &back));
	token_dc_format(&back, again);
	assert(!strcmp(bare, again));
	check_forms(&t, bare);
}

static void try_rc(const char *text)
{
	char bare[TOKEN_MAX], again[TOKEN_MAX];
	struct token_rc t = {.qpn = 42}, back;

	if (token_rc_parse(text, &t)) {
		assert(t.qpn == 42);
		return;
	}
	assert(token_kind(text) == TOKEN_KIND_RC);
	assert(t.addr + t.len >= t.addr);
	token_rc_format(&t, bare);
	assert(strlen(bare) == TOKEN_RC);
	assert(!token_rc_parse(bare, &back));
	token_rc_format(&back, again);
	assert(!strcmp(bare, again));
}

/* There is one way to write each. */
static void try_conn(const char *text)
{
	struct token_conn t = {.size = 42};
	char back[TOKEN_MAX];

	if (token_conn_parse(text, &t)) {
		assert(t.size == 42);
		return;
	}
	assert(token_kind(text) == TOKEN_KIND_CONN);
	assert(t.size > 0 && t.addr + t.size >= t.addr);
	token_conn_format(&t, back);
	assert(!strcmp(text, back));
}

/* What is no DC form passes as it is, as far as it fits. */
static void try_dress(const char *text)
{
	char out[TOKEN_MAX];
	struct token_dc t;

	for (enum token_form f = TOKEN_BARE; f <= TOKEN_BASE64; f++) {
		token_dress(f, text, out);
		assert(strlen(out) < TOKEN_MAX);
		if (f == TOKEN_BARE || token_dc_parse(text, &t))
			assert(!strncmp(out, text, TOKEN_MAX - 1));
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = fuzz_text(data, size);
	uint64_t v = 42;

	try_dc(text);
	try_rc(text);
	try_conn(text);
	try_dress(text);
	if (!token_hex(text, 1, 8, &v))
		assert(v <= UINT32_MAX && strlen(text) <= 8);
	else
		assert(v == 42);
	free(text);
	return 0;
}
