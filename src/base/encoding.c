// SPDX-License-Identifier: Apache-2.0
#include "base/encoding.h"

#include <stdint.h>

static const char BASE64_STANDARD[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char BASE64_URL[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

bool lm_base64_encode(struct lm_buf *out, struct lm_str bytes, enum lm_base64 alphabet)
{
	const char *digits = alphabet == LM_BASE64_URL ? BASE64_URL : BASE64_STANDARD;

	for (size_t i = 0; i < bytes.n; i += 3) {
		size_t have = bytes.n - i;
		uint32_t group = (uint32_t)(unsigned char)bytes.p[i] << 16;

		if (have > 1)
			group |= (uint32_t)(unsigned char)bytes.p[i + 1] << 8;
		if (have > 2)
			group |= (unsigned char)bytes.p[i + 2];
		char quad[4] = {digits[group >> 18], digits[group >> 12 & 63],
			have > 1 ? digits[group >> 6 & 63] : '=',
			have > 2 ? digits[group & 63] : '='};
		if (!lm_buf_add(out, quad, sizeof(quad)))
			return false;
	}
	return true;
}

static int base64_digit(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	if (c == '+' || c == '-')
		return 62;
	if (c == '/' || c == '_')
		return 63;
	return -1;
}

bool lm_base64_decode(struct lm_buf *out, struct lm_str text)
{
	uint32_t bits = 0;
	unsigned digits = 0;
	unsigned padding = 0;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '\n' || c == '\r')
			continue;
		if (c == '=') {
			padding++;
			continue;
		}
		int digit = base64_digit(c);
		if (digit < 0 || padding)
			return false;
		bits = bits << 6 | (uint32_t)digit;
		digits++;
		if (digits % 4 != 1 &&
			!lm_buf_putc(out, (char)(bits >> (6 - 2 * ((digits - 1) % 4)))))
			return false;
	}
	unsigned over = digits % 4;
	if (over == 1 || padding > 2)
		return false;
	return padding == 0 || (over != 0 && over + padding == 4);
}

bool lm_hex_encode(struct lm_buf *out, struct lm_str bytes)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < bytes.n; i++) {
		unsigned char c = (unsigned char)bytes.p[i];

		if (!lm_buf_add(out, (char[]){digits[c >> 4], digits[c & 15]}, 2))
			return false;
	}
	return true;
}

bool lm_hex_is_sha256(struct lm_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		if (!(text.p[i] >= '0' && text.p[i] <= '9') &&
			!(text.p[i] >= 'a' && text.p[i] <= 'f'))
			return false;
	}
	return text.n == LM_SHA256_HEX;
}

static bool is_unreserved(char c)
{
	return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
	       c == '-' || c == '_' || c == '.' || c == '~';
}

bool lm_percent_encode(struct lm_buf *out, struct lm_str s, bool keep_slash)
{
	static const char digits[] = "0123456789ABCDEF";

	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		bool fits;

		if (is_unreserved((char)c) || (keep_slash && c == '/'))
			fits = lm_buf_putc(out, (char)c);
		else
			fits = lm_buf_add(out, (char[]){'%', digits[c >> 4], digits[c & 15]}, 3);
		if (!fits)
			return false;
	}
	return true;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

bool lm_percent_decode(struct lm_buf *out, struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];

		if (c == '%') {
			int high = s.n - i > 2 ? hex_digit(s.p[i + 1]) : -1;
			int low = s.n - i > 2 ? hex_digit(s.p[i + 2]) : -1;

			if (high < 0 || low < 0)
				return false;
			c = (char)(high << 4 | low);
			i += 2;
		}
		if (!lm_buf_putc(out, c))
			return false;
	}
	return true;
}
