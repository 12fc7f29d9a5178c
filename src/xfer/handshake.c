/* SPDX-License-Identifier: Apache-2.0 */
#include "xfer/handshake.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/parse.h"

/* "200:<token>": only 200 opens anything. */
static int take_reply(struct handshake *h, const char *v)
{
	/* The plain replies of other answers have their own parser. */
	if (strncmp(v, "200:", 4) != 0)
		return 0;
	if (h->token[0] || !v[4] || strlen(v + 4) >= sizeof(h->token))
		return -EPROTO;
	strcpy(h->token, v + 4);
	return 0;
}

static int take_session(struct handshake *h, const char *v)
{
	unsigned char raw[TOKEN_CONN / 2];

	if (h->session[0] || parse_hex(v, raw, sizeof(raw)))
		return -EPROTO;
	strcpy(h->session, v); /* as it was sent: it is the server's word */
	return 0;
}

static int take_psn(struct handshake *h, const char *v)
{
	uint64_t n;

	if (h->has_psn || token_hex(v, 6, 6, &n) || n == 0)
		return -EPROTO;
	h->has_psn = true;
	h->psn = (uint32_t)n;
	return 0;
}

static int take_qpn(struct handshake *h, const char *v)
{
	uint64_t n;

	if (h->qpn || token_hex(v, 1, 8, &n) || n == 0 || n > 0xffffff)
		return -EPROTO;
	h->qpn = (uint32_t)n;
	return 0;
}

static int take_cookie(struct handshake *h, const char *v)
{
	uint64_t n;

	if (h->has_cookie || token_hex(v, 8, 8, &n))
		return -EPROTO;
	h->has_cookie = true;
	h->cookie = (uint32_t)n;
	return 0;
}

static int take_bytes(struct handshake *h, const char *v)
{
	if (h->has_bytes || parse_u64(v, &h->bytes))
		return -EPROTO;
	h->has_bytes = true;
	return 0;
}

static int take_protocol(struct handshake *h, const char *v)
{
	const bool v2 = !strcmp(v, HANDSHAKE_V2);

	if (h->has_protocol && h->v2 != v2)
		return -EPROTO;
	h->has_protocol = true;
	h->v2 = v2;
	return 0;
}

static int take_status(struct handshake *h, const char *v)
{
	h->unsupported |= !strcasecmp(v, "unsupported");
	return 0;
}

static int take_etag(struct handshake *h, const char *v)
{
	if (h->etag[0] || strlen(v) + 3 > sizeof(h->etag))
		return -EPROTO;
	snprintf(h->etag, sizeof(h->etag), *v == '"' ? "%s" : "\"%s\"", v);
	return 0;
}

static const struct {
	const char *name;
	int (*take)(struct handshake *h, const char *value);
} fields[] = {
	{"reply", take_reply},       {"session", take_session},
	{"psn", take_psn},           {"qpn", take_qpn},
	{"cookie", take_cookie},     {"bytes-transferred", take_bytes},
	{"protocol", take_protocol}, {"protocol-status", take_status},
	{"etag", take_etag},
};

void handshake_take(void *arg, const char *name, const char *value)
{
	struct handshake *h = arg;

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (!strcasecmp(name, fields[i].name) &&
		    fields[i].take(h, value))
			h->bad = true;
}

/* Who is at the other end, and in which session. */
static int check_peer(const struct handshake *h)
{
	static const uint8_t zero[TOKEN_GID];
	struct token_rc t;

	if (h->bad || !h->session[0] || !h->has_psn ||
	    token_rc_parse(h->token, &t) || (t.qpn == 0 && h->qpn == 0) ||
	    (t.qpn != 0 && h->qpn != 0 && t.qpn != h->qpn) ||
	    !memcmp(t.gid, zero, sizeof(zero)))
		return -EPROTO;
	return 0;
}

int handshake_check_connect(const struct handshake *h)
{
	struct token_rc t;

	/* The pair's number must stand in the token: nothing else carries it
	 * into rdma_rc_accept. */
	if (check_peer(h) || token_rc_parse(h->token, &t) || t.qpn == 0)
		return -EPROTO;
	return 0;
}

int handshake_check_prepare(const struct handshake *h)
{
	return h->v2 ? check_peer(h) : -EPROTO;
}

int handshake_check_final(const struct handshake *h, uint32_t cookie,
			  uint64_t len)
{
	if (h->bad || !h->v2 || !h->has_cookie || h->cookie != cookie ||
	    !h->has_bytes || h->bytes != len)
		return -EPROTO;
	return 0;
}
