/* SPDX-License-Identifier: Apache-2.0 */
#include "rdma/token.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/parse.h"

#define HEX "0123456789abcdef"
#define ANY_HEX "0123456789abcdefABCDEF"
#define BASE64 \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
#define DC_BASE64 108 /* of 81 bytes, without padding */
#define RC_BYTES (TOKEN_RC / 2)

static unsigned int digit(char c)
{
	return c <= '9' ? (unsigned int)(c - '0')
			: (unsigned int)(tolower(c) - 'a') + 10;
}

int token_hex(const char *s, size_t min, size_t max, uint64_t *out)
{
	const size_t n = strspn(s, ANY_HEX);
	uint64_t v = 0;

	if (n < min || n > max || s[n])
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		v = v << 4 | digit(s[i]);
	*out = v;
	return 0;
}

/* Exactly n digits of the alphabet, then end; moves *s behind both. */
static int field(const char **s, const char *alphabet, size_t n, char end,
		 uint64_t *out)
{
	uint64_t v = 0;

	if (strspn(*s, alphabet) != n || (*s)[n] != end)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		v = v << 4 | digit((*s)[i]);
	*out = v;
	*s += n + (end != '\0');
	return 0;
}

static bool all_zero(const uint8_t *p, size_t n)
{
	while (n > 0)
		if (p[--n])
			return false;
	return true;
}

bool token_gid_ipv4(const uint8_t gid[TOKEN_GID], uint32_t *host_order)
{
	if (!all_zero(gid, 10) || gid[10] != 0xff || gid[11] != 0xff)
		return false;
	*host_order = (uint32_t)gid[12] << 24 | (uint32_t)gid[13] << 16 |
		      (uint32_t)gid[14] << 8 | gid[15];
	return true;
}

/* ---- shm ---- */

void token_shm_format(const struct token_shm *t, char out[TOKEN_MAX])
{
	snprintf(out, TOKEN_MAX, "shm:%s:%08x:%08x:%016llx:%08x", t->session,
		 t->region, t->gen, (unsigned long long)t->off, t->len);
}

int token_shm_parse(const char *s, struct token_shm *out)
{
	uint64_t region, gen, off, len;
	const char *session;

	if (strncmp(s, "shm:", 4) != 0)
		return -EINVAL;
	session = s + 4;
	if (strspn(session, HEX) != SHM_SESSION || session[SHM_SESSION] != ':')
		return -EINVAL;
	s = session + SHM_SESSION + 1;
	if (field(&s, HEX, 8, ':', &region) || field(&s, HEX, 8, ':', &gen) ||
	    field(&s, HEX, 16, ':', &off) || field(&s, HEX, 8, '\0', &len) ||
	    len == 0 || off + len < off)
		return -EINVAL;
	*out = (struct token_shm){.region = (uint32_t)region,
				  .gen = (uint32_t)gen,
				  .off = off,
				  .len = (uint32_t)len};
	memcpy(out->session, session, SHM_SESSION);
	return 0;
}

/* ---- DC ---- */

void token_dc_format(const struct token_dc *t, char out[TOKEN_MAX])
{
	char gid[2 * TOKEN_GID + 1];

	format_hex(t->gid, sizeof(t->gid), gid);
	snprintf(out, TOKEN_MAX, "%016llx:%08x:%08x:%04x:%06x:%1x:%s",
		 (unsigned long long)t->addr, t->size, t->rkey, t->lid,
		 t->dctn & 0xffffff, t->is_global, gid);
}

/* Without what others leave at the end; false when it does not fit. */
static bool trim(const char *s, char out[TOKEN_MAX])
{
	size_t n = strlen(s);

	while (n > 0 && strchr(" \t;", s[n - 1]))
		n--;
	if (n >= TOKEN_MAX)
		return false;
	memcpy(out, s, n);
	out[n] = '\0';
	return true;
}

/* Where the base64 digits of the alphabet are not 81 bytes: false. */
static bool undo_base64(char text[TOKEN_MAX])
{
	char plain[TOKEN_DC + 1];

	if (strspn(text, BASE64) != DC_BASE64 || text[DC_BASE64])
		return false;
	for (size_t i = 0; i < DC_BASE64; i += 4) {
		unsigned int v = 0;

		for (size_t k = 0; k < 4; k++)
			v = v << 6 |
			    (unsigned int)(strchr(BASE64, text[i + k]) -
					   BASE64);
		plain[i / 4 * 3] = (char)(v >> 16);
		plain[i / 4 * 3 + 1] = (char)(v >> 8);
		plain[i / 4 * 3 + 2] = (char)v;
	}
	plain[TOKEN_DC] = '\0';
	strcpy(text, plain);
	return true;
}

/* ":addr:size" behind a form of n characters, of 1 to 16 digits each. */
static bool has_suffix(const char *s, size_t n, uint64_t *addr, uint64_t *size)
{
	char text[TOKEN_MAX];
	char *colon;

	if (strlen(s) <= n || s[n] != ':')
		return false;
	strcpy(text, s + n + 1);
	colon = strchr(text, ':');
	if (!colon)
		return false;
	*colon++ = '\0';
	return !token_hex(text, 1, 16, addr) && !token_hex(colon, 1, 16, size);
}

/* Narrows a window to what a suffix names; false when it is not inside. */
static bool narrow(uint64_t *addr, uint64_t *len, uint64_t to, uint64_t size)
{
	if (size == 0 || to < *addr || to - *addr > *len ||
	    size > *len - (to - *addr))
		return false;
	*addr = to;
	*len = size;
	return true;
}

int token_dc_parse(const char *s, struct token_dc *out)
{
	uint64_t addr, size, rkey, lid, dctn, global, to, len;
	char text[TOKEN_MAX], bare[TOKEN_DC + 1];
	struct token_dc t = {0};
	const char *p = bare;

	if (!trim(s, text))
		return -EINVAL;
	undo_base64(text);
	if (strlen(text) < TOKEN_DC)
		return -EINVAL;
	memcpy(bare, text, TOKEN_DC);
	bare[TOKEN_DC] = '\0';
	if (field(&p, ANY_HEX, 16, ':', &addr) ||
	    field(&p, ANY_HEX, 8, ':', &size) ||
	    field(&p, ANY_HEX, 8, ':', &rkey) ||
	    field(&p, ANY_HEX, 4, ':', &lid) ||
	    field(&p, ANY_HEX, 6, ':', &dctn) ||
	    field(&p, ANY_HEX, 1, ':', &global) ||
	    parse_hex(p, t.gid, sizeof(t.gid)) || size == 0 ||
	    addr + size < addr || dctn == 0 || global > 1 ||
	    (global && all_zero(t.gid, sizeof(t.gid))))
		return -EINVAL;
	if (text[TOKEN_DC] && (!has_suffix(text, TOKEN_DC, &to, &len) ||
			       !narrow(&addr, &size, to, len)))
		return -EINVAL;
	t.addr = addr;
	t.size = (uint32_t)size;
	t.rkey = (uint32_t)rkey;
	t.lid = (uint16_t)lid;
	t.dctn = (uint32_t)dctn;
	t.is_global = global == 1;
	*out = t;
	return 0;
}

static void to_base64(const char *in, size_t n, char *out)
{
	for (size_t i = 0; i + 2 < n; i += 3) {
		const unsigned int v = (unsigned int)(uint8_t)in[i] << 16 |
				       (unsigned int)(uint8_t)in[i + 1] << 8 |
				       (uint8_t)in[i + 2];

		*out++ = BASE64[v >> 18];
		*out++ = BASE64[v >> 12 & 63];
		*out++ = BASE64[v >> 6 & 63];
		*out++ = BASE64[v & 63];
	}
	*out = '\0';
}

void token_dress(enum token_form form, const char *bare, char out[TOKEN_MAX])
{
	struct token_dc t;

	if (form == TOKEN_BARE || token_dc_parse(bare, &t))
		snprintf(out, TOKEN_MAX, "%s", bare);
	else if (form == TOKEN_SUFFIX)
		snprintf(out, TOKEN_MAX, "%s:%016llx:%016llx", bare,
			 (unsigned long long)t.addr,
			 (unsigned long long)t.size);
	else
		to_base64(bare, TOKEN_DC, out);
}

/* ---- RC ---- */

static void put_le(uint8_t *p, size_t n, uint64_t v)
{
	for (size_t i = 0; i < n; i++)
		p[i] = (uint8_t)(v >> (8 * i));
}

static uint64_t get_le(const uint8_t *p, size_t n)
{
	uint64_t v = 0;

	while (n > 0)
		v = v << 8 | p[--n];
	return v;
}

void token_rc_format(const struct token_rc *t, char out[TOKEN_MAX])
{
	uint8_t raw[RC_BYTES];

	raw[0] = 1; /* the transport: RC */
	put_le(raw + 1, 4, t->qpn);
	memcpy(raw + 5, t->gid, TOKEN_GID);
	put_le(raw + 21, 4, t->rkey);
	put_le(raw + 25, 8, t->addr);
	put_le(raw + 33, 8, t->len);
	raw[41] = t->port;
	put_le(raw + 42, 2, t->lid);
	format_hex(raw, sizeof(raw), out);
}

int token_rc_parse(const char *s, struct token_rc *out)
{
	char text[TOKEN_MAX], bare[TOKEN_RC + 1];
	uint64_t addr, len, to, size;
	uint8_t raw[RC_BYTES];

	if (!trim(s, text) || strlen(text) < TOKEN_RC)
		return -EINVAL;
	memcpy(bare, text, TOKEN_RC);
	bare[TOKEN_RC] = '\0';
	if (parse_hex(bare, raw, sizeof(raw)) || raw[0] != 1 ||
	    get_le(raw + 1, 4) > 0xffffff)
		return -EINVAL;
	addr = get_le(raw + 25, 8);
	len = get_le(raw + 33, 8);
	if (addr + len < addr)
		return -EINVAL;
	if (text[TOKEN_RC] && !has_suffix(text, TOKEN_RC, &to, &size))
		return -EINVAL;
	/* A token that names a pair alone leaves the window to the suffix. */
	if (text[TOKEN_RC] && len == 0 && size > 0 && to + size >= to) {
		addr = to;
		len = size;
	} else if (text[TOKEN_RC] && !narrow(&addr, &len, to, size)) {
		return -EINVAL;
	}
	*out = (struct token_rc){.qpn = (uint32_t)get_le(raw + 1, 4),
				 .rkey = (uint32_t)get_le(raw + 21, 4),
				 .addr = addr,
				 .len = len,
				 .port = raw[41],
				 .lid = (uint16_t)get_le(raw + 42, 2)};
	memcpy(out->gid, raw + 5, TOKEN_GID);
	return 0;
}

/* ---- a connection that stands ---- */

void token_conn_format(const struct token_conn *t, char out[TOKEN_MAX])
{
	snprintf(out, TOKEN_MAX, "rc:%s:%016llx:%08x:%08x", t->conn,
		 (unsigned long long)t->addr, t->size, t->rkey);
}

int token_conn_parse(const char *s, struct token_conn *out)
{
	uint64_t addr, size, rkey;
	const char *conn = s + 3;

	if (strncmp(s, "rc:", 3) != 0 || strspn(conn, HEX) != TOKEN_CONN ||
	    conn[TOKEN_CONN] != ':')
		return -EINVAL;
	s = conn + TOKEN_CONN + 1;
	if (field(&s, HEX, 16, ':', &addr) || field(&s, HEX, 8, ':', &size) ||
	    field(&s, HEX, 8, '\0', &rkey) || size == 0 || addr + size < addr)
		return -EINVAL;
	*out = (struct token_conn){
		.addr = addr, .size = (uint32_t)size, .rkey = (uint32_t)rkey};
	memcpy(out->conn, conn, TOKEN_CONN);
	return 0;
}

enum token_kind token_kind(const char *s)
{
	static const unsigned char colons[] = {16, 25, 34, 39, 46, 48};
	char text[TOKEN_MAX];
	size_t n;

	if (!strncmp(s, "shm:", 4))
		return TOKEN_KIND_SHM;
	if (!strncmp(s, "rc:", 3))
		return TOKEN_KIND_CONN;
	if (strstr(s, ":ofi1:"))
		return TOKEN_KIND_LIBFABRIC;
	if (!trim(s, text))
		return TOKEN_KIND_NONE;
	undo_base64(text);
	n = strspn(text, ANY_HEX);
	if (n == TOKEN_RC && (!text[n] || text[n] == ':'))
		return TOKEN_KIND_RC;
	for (size_t i = 0; i < sizeof(colons); i++)
		if (strlen(text) < TOKEN_DC || text[colons[i]] != ':')
			return TOKEN_KIND_NONE;
	return TOKEN_KIND_DC;
}
