/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A leaf:  magic 2 | entries 2 | crc 4 | number 8 | entry...
 * An entry: shared 1 | rest 1 | the rest of the name | kind 1 | ...
 *   directory: its number
 *   file:      size | seconds since the file before it, zigzag | ETag | class
 * Numbers are varints, little end first.  An ETag that is an MD5 in lower
 * case hex, with or without a number of parts, takes 16 bytes.
 */
#include "cache/rec.h"

#include <string.h>

#include "base/parse.h"
#include "s3/checksum.h"

#define MAGIC 0x4c52U
#define HEAD 16

enum {
	KIND_DIR = 1,
	KIND_HIDES = 2,
	KIND_MD5 = 4,
	KIND_PARTS = 8,
	KIND_CLASS = 16
};

int rec_compare(const char *a, size_t alen, bool a_dir, const char *b,
		size_t blen, bool b_dir)
{
	const size_t n = alen < blen ? alen : blen;
	const int c = memcmp(a, b, n);
	int x, y;

	if (c)
		return c;
	x = alen > n ? (unsigned char)a[n] : a_dir ? '/' : -1;
	y = blen > n ? (unsigned char)b[n] : b_dir ? '/' : -1;
	if (x != y)
		return x - y;
	/* Both ended, or both went on with one '/': no name holds one. */
	return 0;
}

/* Of two pieces, as one. */
static uint32_t crc(const void *a, size_t na, const void *b, size_t nb)
{
	struct checksum c;

	checksum_init(&c, CHECKSUM_CRC32C);
	checksum_update(&c, a, na);
	checksum_update(&c, b, nb);
	return (uint32_t)c.crc;
}

/* ---- numbers and texts ---- */

static unsigned char *put_num(unsigned char *p, uint64_t v)
{
	while (v >= 0x80) {
		*p++ = (unsigned char)(v | 0x80);
		v >>= 7;
	}
	*p++ = (unsigned char)v;
	return p;
}

/* NULL when the number does not end before end. */
static const unsigned char *get_num(const unsigned char *p,
				    const unsigned char *end, uint64_t *out)
{
	uint64_t v = 0;

	for (unsigned int shift = 0; p && p < end && shift < 64; shift += 7) {
		const unsigned char c = *p++;

		v |= (uint64_t)(c & 0x7f) << shift;
		if (!(c & 0x80)) {
			*out = v;
			return p;
		}
	}
	return NULL;
}

static unsigned char *put_text(unsigned char *p, const char *s)
{
	const size_t n = strlen(s);

	*p++ = (unsigned char)n;
	memcpy(p, s, n);
	return p + n;
}

static const unsigned char *get_text(const unsigned char *p,
				     const unsigned char *end, char *out,
				     size_t cap)
{
	size_t n;

	if (!p || p >= end)
		return NULL;
	n = *p++;
	if (n > (size_t)(end - p) || n >= cap)
		return NULL;
	memcpy(out, p, n);
	out[n] = '\0';
	return p + n;
}

/* One more than the value of a lower-case digit; 0 for all else. */
static const unsigned char digit_of[256] = {
	['0'] = 1,  ['1'] = 2,  ['2'] = 3,  ['3'] = 4,  ['4'] = 5,  ['5'] = 6,
	['6'] = 7,  ['7'] = 8,  ['8'] = 9,  ['9'] = 10, ['a'] = 11, ['b'] = 12,
	['c'] = 13, ['d'] = 14, ['e'] = 15, ['f'] = 16};

/* "0123...ef" or "0123...ef-12" to bytes and parts; false for another form. */
static bool pack_etag(const char *etag, unsigned char md5[16], uint64_t *parts)
{
	const char *p = etag + 1;

	*parts = 0;
	if (*etag != '"' || strlen(etag) < 34)
		return false;
	for (int i = 0; i < 16; i++, p += 2) {
		const int hi = digit_of[(unsigned char)p[0]];
		const int lo = digit_of[(unsigned char)p[1]];

		if (!hi || !lo)
			return false;
		md5[i] = (unsigned char)((hi - 1) << 4 | (lo - 1));
	}
	if (p[0] == '-' && p[1] != '0') {
		for (p++; *p >= '0' && *p <= '9' && *parts < 100000; p++)
			*parts = *parts * 10 + (uint64_t)(*p - '0');
		if (!*parts)
			return false;
	}
	return p[0] == '"' && !p[1];
}

static void unpack_etag(const unsigned char *md5, uint64_t parts, char *out)
{
	static const char digits[] = "0123456789abcdef";
	char *p = out;

	*p++ = '"';
	for (int i = 0; i < 16; i++) {
		*p++ = digits[md5[i] >> 4];
		*p++ = digits[md5[i] & 15];
	}
	if (parts) {
		*p++ = '-';
		p += format_u64(parts, p);
	}
	*p++ = '"';
	*p = '\0';
}

/* ---- what is behind the name ---- */

static unsigned char *pack_file(unsigned char *p, const struct rec *r,
				time_t before)
{
	const int64_t delta = (int64_t)r->mtime - (int64_t)before;
	unsigned char md5[16], *kind = p++;
	uint64_t parts;

	*kind = 0;
	p = put_num(p, r->size);
	p = put_num(p, (uint64_t)delta << 1 ^ (uint64_t)(delta >> 63));
	if (pack_etag(r->etag, md5, &parts)) {
		*kind |= KIND_MD5 | (parts ? KIND_PARTS : 0);
		memcpy(p, md5, 16);
		p += 16;
		if (parts)
			p = put_num(p, parts);
	} else {
		p = put_text(p, r->etag);
	}
	if (r->storage_class[0] && strcmp(r->storage_class, "STANDARD") != 0) {
		*kind |= KIND_CLASS;
		p = put_text(p, r->storage_class);
	}
	return p;
}

static unsigned char *pack_body(unsigned char *p, const struct rec *r,
				time_t before)
{
	if (!r->is_dir)
		return pack_file(p, r, before);
	*p++ = (unsigned char)(KIND_DIR | (r->hides ? KIND_HIDES : 0));
	return put_num(p, r->dir);
}

/* Past an ETag and a storage class. */
static const unsigned char *skip_texts(const unsigned char *p,
				       const unsigned char *end, int kind)
{
	uint64_t parts;

	if (!p || p >= end)
		return NULL;
	p += kind & KIND_MD5 ? 16 : 1 + *p;
	if (kind & KIND_PARTS)
		p = get_num(p, end, &parts);
	if (kind & KIND_CLASS)
		p = p && p < end ? p + 1 + *p : NULL;
	return p && p <= end ? p : NULL;
}

static const unsigned char *unpack_file(const unsigned char *p,
					const unsigned char *end, int kind,
					struct rec *r, time_t before,
					bool brief)
{
	uint64_t delta = 0, parts = 0;

	p = get_num(p, end, &r->size);
	p = get_num(p, end, &delta);
	r->mtime = (time_t)((int64_t)before +
			    (int64_t)(delta >> 1 ^ -(delta & 1)));
	if (brief)
		return skip_texts(p, end, kind);
	if (kind & KIND_MD5) {
		const unsigned char *md5 = p;

		if (!p || end - p < 16)
			return NULL;
		p += 16;
		if (kind & KIND_PARTS)
			p = get_num(p, end, &parts);
		unpack_etag(md5, parts, r->etag);
	} else {
		p = get_text(p, end, r->etag, sizeof(r->etag));
	}
	r->storage_class[0] = '\0';
	if (kind & KIND_CLASS)
		p = get_text(p, end, r->storage_class,
			     sizeof(r->storage_class));
	return p;
}

static const unsigned char *unpack_body(const unsigned char *p,
					const unsigned char *end, struct rec *r,
					time_t before, bool brief)
{
	int kind;

	if (!p || p >= end)
		return NULL;
	kind = *p++;
	r->is_dir = kind & KIND_DIR;
	r->hides = kind & KIND_HIDES;
	if (!r->is_dir)
		return unpack_file(p, end, kind, r, before, brief);
	r->size = 0;
	r->etag[0] = r->storage_class[0] = '\0';
	return get_num(p, end, &r->dir);
}

/* ---- leaves ---- */

void rec_writer_init(struct rec_writer *w)
{
	w->len = HEAD;
	w->count = 0;
	w->mtime = 0;
	w->last_len = 0;
}

bool rec_writer_add(struct rec_writer *w, const struct rec *r)
{
	unsigned char tmp[REC_ONE_MAX], *p = tmp;
	size_t shared = 0, n;

	while (shared < r->len && shared < w->last_len &&
	       w->last[shared] == r->name[shared])
		shared++;
	*p++ = (unsigned char)shared;
	*p++ = (unsigned char)(r->len - shared);
	memcpy(p, r->name + shared, r->len - shared);
	p = pack_body(p + r->len - shared, r, w->mtime);
	n = (size_t)(p - tmp);
	if (w->len + n > sizeof(w->buf))
		return false;
	memcpy(w->buf + w->len, tmp, n);
	w->len += n;
	w->count++;
	if (!r->is_dir)
		w->mtime = r->mtime;
	memcpy(w->last, r->name, r->len);
	w->last_len = r->len;
	return true;
}

static void store_le(unsigned char *p, uint64_t v, int n)
{
	for (int i = 0; i < n; i++)
		p[i] = (unsigned char)(v >> 8 * i);
}

static uint64_t load_le(const unsigned char *p, int n)
{
	uint64_t v = 0;

	for (int i = 0; i < n; i++)
		v |= (uint64_t)p[i] << 8 * i;
	return v;
}

void rec_writer_finish(struct rec_writer *w, uint64_t id)
{
	store_le(w->buf, MAGIC, 2);
	store_le(w->buf + 2, w->count, 2);
	store_le(w->buf + 8, id, 8);
	store_le(w->buf + 4, crc(w->buf, 4, w->buf + 8, w->len - 8), 4);
}

bool rec_check(const void *leaf, size_t n, uint64_t id)
{
	const unsigned char *p = leaf;

	return n >= HEAD && n <= REC_LEAF_MAX && load_le(p, 2) == MAGIC &&
	       load_le(p + 8, 8) == id &&
	       load_le(p + 4, 4) == crc(p, 4, p + 8, n - 8);
}

unsigned int rec_count(const void *leaf)
{
	return (unsigned int)load_le((const unsigned char *)leaf + 2, 2);
}

void rec_reader_init(struct rec_reader *r, const void *leaf, size_t n)
{
	r->p = (const unsigned char *)leaf + HEAD;
	r->end = (const unsigned char *)leaf + n;
	r->left = rec_count(leaf);
	r->rec.len = 0;
	r->rec.mtime = 0;
}

static bool next(struct rec_reader *r, bool brief)
{
	const unsigned char *p = r->p;
	size_t shared, rest;

	/* The CRC was right, so the bounds are for writers' mistakes. */
	if (!r->left || r->end - p < 2)
		return false;
	shared = p[0];
	rest = p[1];
	p += 2;
	if (shared > r->rec.len || shared + rest > REC_NAME_MAX ||
	    rest > (size_t)(r->end - p))
		return false;
	memcpy(r->rec.name + shared, p, rest);
	r->rec.len = shared + rest;
	r->rec.name[r->rec.len] = '\0';
	r->body = p + rest;
	r->before = r->rec.mtime;
	r->p = unpack_body(r->body, r->end, &r->rec, r->before, brief);
	if (!r->p)
		return false;
	r->left--;
	return true;
}

bool rec_next(struct rec_reader *r)
{
	return next(r, false);
}

bool rec_skim(struct rec_reader *r)
{
	return next(r, true);
}

bool rec_fill(struct rec_reader *r)
{
	return unpack_body(r->body, r->end, &r->rec, r->before, false);
}

/* ---- single entries ---- */

size_t rec_pack_one(const struct rec *r, unsigned char out[REC_ONE_MAX])
{
	const size_t n = (size_t)(pack_body(out + 4, r, 0) - out);

	store_le(out, crc(out + 4, n - 4, "", 0), 4);
	return n;
}

bool rec_unpack_one(const void *data, size_t n, struct rec *out)
{
	const unsigned char *p = data;

	out->mtime = 0;
	return n > 4 && n <= REC_ONE_MAX &&
	       load_le(p, 4) == crc(p + 4, n - 4, "", 0) &&
	       unpack_body(p + 4, p + n, out, 0, false);
}
