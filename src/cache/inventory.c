/* SPDX-License-Identifier: Apache-2.0 */
#include "cache/inventory.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/cleanup.h"
#include "base/parse.h"
#include "s3/list.h"
#include "s3/uri.h"

#define MAX_COLUMNS 64

static const char *const names[INVENTORY_FIELDS] = {
	[INVENTORY_BUCKET] = "Bucket",   [INVENTORY_KEY] = "Key",
	[INVENTORY_SIZE] = "Size",       [INVENTORY_MTIME] = "LastModifiedDate",
	[INVENTORY_ETAG] = "ETag",       [INVENTORY_CLASS] = "StorageClass",
	[INVENTORY_LATEST] = "IsLatest", [INVENTORY_DELETED] = "IsDeleteMarker",
};

int inventory_columns(const char *text, struct inventory_columns *out)
{
	int column = 0;

	for (int f = 0; f < INVENTORY_FIELDS; f++)
		out->at[f] = -1;
	for (;; column++) {
		const char *p = text + strspn(text, " \t");
		const size_t n = strcspn(p, ", \t");

		for (int f = 0; f < INVENTORY_FIELDS; f++)
			if (strlen(names[f]) == n &&
			    !strncasecmp(p, names[f], n))
				out->at[f] = column;
		text = strchr(p, ',');
		if (!text)
			break;
		text++;
	}
	return out->at[INVENTORY_KEY] < 0 || out->at[INVENTORY_SIZE] < 0 ||
			       column >= MAX_COLUMNS
		       ? -EINVAL
		       : 0;
}

/* Cuts one field off *line, without its quotes; NULL when it is malformed. */
static char *next_field(char **line)
{
	char *p = *line, *out = p, *start = p;

	if (*p != '"') {
		*line = strchrnul(p, ',');
		if (**line)
			*(*line)++ = '\0';
		else
			*line = NULL;
		return start;
	}
	for (p++; *p; p++) {
		if (*p == '"' && *++p != '"')
			break;
		*out++ = *p;
	}
	if (p[-1] != '"' || (*p && *p != ','))
		return NULL;
	*line = *p ? p + 1 : NULL;
	*out = '\0';
	return start;
}

static int take_text(char *out, size_t cap, const char *s)
{
	if (strlen(s) >= cap)
		return -EBADMSG;
	strcpy(out, s);
	return 0;
}

/* Keys are percent-encoded, a blank as '+' or "%20". */
static int take_key(char *out, const char *s)
{
	char plain[3 * S3_KEY_MAX + 1];
	const size_t n = strlen(s);
	long len;

	if (n >= sizeof(plain))
		return -EBADMSG;
	len = uri_decode(s, n, true, plain);
	if (len <= 0 || len > S3_KEY_MAX || memchr(plain, '\0', (size_t)len))
		return -EBADMSG;
	memcpy(out, plain, (size_t)len + 1);
	return 0;
}

static int take_etag(char *out, const char *s)
{
	const size_t n = strlen(s);

	if (n + 3 > S3_ETAG_MAX || strpbrk(s, "\r\n"))
		return -EBADMSG;
	if (!n)
		*out = '\0';
	else
		snprintf(out, S3_ETAG_MAX, *s == '"' ? "%s" : "\"%s\"", s);
	return 0;
}

static int take_field(struct inventory_row *r, enum inventory_field f,
		      const char *s)
{
	switch (f) {
	case INVENTORY_BUCKET:
		return take_text(r->bucket, sizeof(r->bucket), s);
	case INVENTORY_KEY:
		return take_key(r->key, s);
	case INVENTORY_SIZE:
		/* Delete markers have none. */
		return *s && parse_u64(s, &r->size) ? -EBADMSG : 0;
	case INVENTORY_MTIME:
		r->mtime = list_parse_time(s);
		return *s && r->mtime == -1 ? -EBADMSG : 0;
	case INVENTORY_ETAG:
		return take_etag(r->etag, s);
	case INVENTORY_CLASS:
		return take_text(r->storage_class, sizeof(r->storage_class), s);
	case INVENTORY_LATEST:
		return !strcasecmp(s, "false");
	case INVENTORY_DELETED:
		return !strcasecmp(s, "true");
	case INVENTORY_FIELDS:
		break;
	}
	return -EINVAL;
}

int inventory_parse(char *line, const struct inventory_columns *c,
		    struct inventory_row *out)
{
	char *fields[MAX_COLUMNS];
	int n = 0, skip = 0;

	if (!*line)
		return 1;
	while (line && n < MAX_COLUMNS) {
		fields[n] = next_field(&line);
		if (!fields[n++])
			return -EBADMSG;
	}
	memset(out, 0, sizeof(*out));
	for (int f = 0; f < INVENTORY_FIELDS; f++) {
		int err;

		if (c->at[f] < 0)
			continue;
		if (c->at[f] >= n)
			return -EBADMSG;
		err = take_field(out, (enum inventory_field)f,
				 fields[c->at[f]]);
		if (err < 0)
			return err;
		skip |= err;
	}
	return skip;
}

/* ---- rows on disk: size, time, texts with their lengths ---- */

static size_t pack_text(unsigned char *buf, const char *s)
{
	const uint16_t n = (uint16_t)strlen(s);

	memcpy(buf, &n, sizeof(n));
	memcpy(buf + sizeof(n), s, n);
	return sizeof(n) + n;
}

size_t inventory_pack(const struct inventory_row *row,
		      unsigned char buf[INVENTORY_PACKED_MAX])
{
	const int64_t mtime = row->mtime;
	size_t at = sizeof(row->size) + sizeof(mtime);

	memcpy(buf, &row->size, sizeof(row->size));
	memcpy(buf + sizeof(row->size), &mtime, sizeof(mtime));
	at += pack_text(buf + at, row->key);
	at += pack_text(buf + at, row->etag);
	return at + pack_text(buf + at, row->storage_class);
}

/* Takes it off *p; false for what is longer than the data, or its place. */
static bool unpack_text(const unsigned char **p, const unsigned char *end,
			char *out, size_t cap)
{
	uint16_t n;

	if ((size_t)(end - *p) < sizeof(n))
		return false;
	memcpy(&n, *p, sizeof(n));
	*p += sizeof(n);
	if (n >= cap || n > (size_t)(end - *p))
		return false;
	memcpy(out, *p, n);
	out[n] = '\0';
	*p += n;
	return true;
}

int inventory_unpack(const void *data, size_t n, struct inventory_row *out)
{
	const unsigned char *p = data, *end = p + n;
	int64_t mtime;

	if (n < sizeof(out->size) + sizeof(mtime))
		return -EBADMSG;
	memcpy(&out->size, p, sizeof(out->size));
	p += sizeof(out->size);
	memcpy(&mtime, p, sizeof(mtime));
	p += sizeof(mtime);
	out->mtime = mtime;
	out->bucket[0] = '\0';
	return unpack_text(&p, end, out->key, sizeof(out->key)) &&
			       unpack_text(&p, end, out->etag,
					   sizeof(out->etag)) &&
			       unpack_text(&p, end, out->storage_class,
					   sizeof(out->storage_class)) &&
			       p == end
		       ? 0
		       : -EBADMSG;
}

/* ---- rows as text ---- */

/* In quotes, with those inside doubled. */
static void quote(struct strbuf *b, const char *s, char end)
{
	strbuf_puts(b, "\"");
	for (; *s; s++) {
		if (*s == '"')
			strbuf_puts(b, "\"");
		strbuf_add(b, s, 1);
	}
	strbuf_puts(b, "\"");
	strbuf_add(b, &end, 1);
}

void inventory_format(struct strbuf *b, const struct inventory_row *row)
{
	char key[3 * S3_KEY_MAX + 1], etag[S3_ETAG_MAX], date[32], size[24];
	const size_t n = strlen(row->etag);
	struct tm tm;

	if (uri_encode(row->key, strlen(row->key), true, key, sizeof(key))) {
		b->failed = true;
		return;
	}
	gmtime_r(&row->mtime, &tm);
	strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S.000Z", &tm);
	snprintf(size, sizeof(size), "%llu", (unsigned long long)row->size);
	/* Bare, as in S3's own. */
	snprintf(etag, sizeof(etag), "%.*s", n > 2 ? (int)n - 2 : 0,
		 row->etag + (n > 0));
	quote(b, row->bucket, ',');
	quote(b, key, ',');
	quote(b, size, ',');
	quote(b, date, ',');
	quote(b, etag, ',');
	quote(b, row->storage_class[0] ? row->storage_class : "STANDARD", '\n');
}
