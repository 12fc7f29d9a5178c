/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text to values.  Each takes the whole string or fails; out is written only
 * on success.  Returns 0, -EINVAL for what is no such value, or -ERANGE for
 * one that does not fit.
 */
#ifndef S3RDMAFS_BASE_PARSE_H
#define S3RDMAFS_BASE_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal digits, no sign, no blanks. */
int parse_u64(const char *s, uint64_t *out);

/* As parse_u64 over the n bytes at s, which need no terminator. */
int parse_u64_n(const char *s, size_t n, uint64_t *out);

/* Octal digits: a file mode or a umask. */
int parse_octal(const char *s, unsigned int *out);

/* Bytes: 4096, 64k, 4KiB, 8MB, 1GiB.  k, KB and KiB are all 1024. */
int parse_size(const char *s, uint64_t *out);

/* Milliseconds: 500ms, 5s, 2m, 1h; a bare number is seconds. */
int parse_duration(const char *s, uint64_t *out);

/* true/false, yes/no, on/off, 1/0. */
int parse_bool(const char *s, bool *out);

/* Up to eight hex digits, with or without 0x. */
int parse_hex32(const char *s, uint64_t *out);

/* Decimal digits and a terminator; how many digits. */
size_t format_u64(uint64_t v, char out[21]);

/* 2 * n lower- or upper-case digits into n bytes. */
int parse_hex(const char *s, unsigned char *out, size_t n);

/* n bytes into 2 * n lower-case digits and a terminator. */
void format_hex(const unsigned char *in, size_t n, char *out);

#endif
