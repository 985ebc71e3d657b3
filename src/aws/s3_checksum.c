// SPDX-License-Identifier: Apache-2.0
#include "aws/s3_checksum.h"

#include "base/encoding.h"

#include <ctype.h>
#include <openssl/evp.h>
#include <stdint.h>
#include <string.h>

enum { DIGEST_MAX = 32, MD5_BYTES = 16, NAMED_MAX = 64 };

/// A checksum with reflected bits, as all of S3's are: start value and final XOR are all ones.
static uint64_t crc(struct lm_str bytes, uint64_t polynomial, unsigned bits)
{
	uint64_t ones = UINT64_MAX >> (64 - bits), sum = ones;

	for (size_t i = 0; i < bytes.n; i++) {
		sum ^= (unsigned char)bytes.p[i];
		for (unsigned bit = 0; bit < 8; bit++)
			sum = sum & 1 ? sum >> 1 ^ polynomial : sum >> 1;
	}
	return sum ^ ones;
}

static void crc_compute(struct lm_str body, uint64_t polynomial, size_t n, unsigned char *out)
{
	uint64_t sum = crc(body, polynomial, (unsigned)(8 * n));

	for (size_t i = 0; i < n; i++)
		out[i] = (unsigned char)(sum >> 8 * (n - 1 - i)); // big-endian
}

struct algorithm {
	const char *name; ///< For messages; of a digest also OpenSSL's.
	size_t bytes;
	uint64_t polynomial; ///< 0: it is a digest.
};

static const struct algorithm SHA256 = {"SHA256", 32, 0}, SHA1 = {"SHA1", 20, 0},
			      MD5 = {"MD5", MD5_BYTES, 0},
			      CRC64NVME = {"CRC64NVME", 8, 0x9a6c9329ac4bc9b5},
			      CRC32C = {"CRC32C", 4, 0x82f63b78}, CRC32 = {"CRC32", 4, 0xedb88320};

/// False: this system does not have it (a FIPS mode has no MD5).
static bool compute(const struct algorithm *a, struct lm_str body, unsigned char out[DIGEST_MAX])
{
	size_t n = 0;

	if (a->polynomial) {
		crc_compute(body, a->polynomial, a->bytes, out);
		return true;
	}
	return EVP_Q_digest(NULL, a->name, NULL, body.p, body.n, out, &n) == 1 && n == a->bytes;
}

/// `named` are the bytes of the checksum that the store names.
static lm_rc compare(
	const struct algorithm *a, struct lm_str named, struct lm_str body, struct lm_err *err)
{
	unsigned char found[DIGEST_MAX];
	lm_auto_buf struct lm_buf shown = LM_BUF(4 * DIGEST_MAX + 1);
	lm_auto_buf struct lm_buf wanted = LM_BUF(4 * DIGEST_MAX + 1);

	if (named.n != a->bytes || !compute(a, body, found) ||
		memcmp(found, named.p, a->bytes) == 0)
		return LM_OK;
	(void)lm_hex_encode(&shown, (struct lm_str){(const char *)found, a->bytes});
	(void)lm_hex_encode(&wanted, named);
	return lm_fail(err, LM_E_NETWORK, 0, "its %s is %s, but the store's is %s", a->name,
		lm_buf_cstr(&shown), lm_buf_cstr(&wanted));
}

/// A value that is not understood, as of parts ("…-3"), counts as none.
static lm_rc compare_base64(
	const struct algorithm *a, struct lm_str value, struct lm_str body, struct lm_err *err)
{
	lm_auto_buf struct lm_buf named = LM_BUF(NAMED_MAX);

	if (value.n == 0 || memchr(value.p, '-', value.n) || !lm_base64_decode(&named, value))
		return LM_OK;
	return compare(a, lm_buf_str(&named), body, err);
}

static int hex_value(char c)
{
	const char *digits = "0123456789abcdef";
	const char *at = c ? strchr(digits, tolower((unsigned char)c)) : NULL;

	return at ? (int)(at - digits) : -1;
}

/// Whether the ETag is an MD5; then its bytes are in `out`.
static bool read_etag(const struct s3_checksum_headers *h, unsigned char out[MD5_BYTES])
{
	struct lm_str tag = h->etag;

	if (h->customer_encryption.n > 0 ||
		(h->encryption.n > 0 && !lm_str_eq(h->encryption, LM_STR("AES256"))))
		return false;
	if (tag.n >= 2 && tag.p[0] == '"' && tag.p[tag.n - 1] == '"')
		tag = (struct lm_str){tag.p + 1, tag.n - 2};
	if (tag.n != 2 * (size_t)MD5_BYTES)
		return false;
	for (size_t i = 0; i < MD5_BYTES; i++) {
		int high = hex_value(tag.p[2 * i]), low = hex_value(tag.p[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		out[i] = (unsigned char)(high << 4 | low);
	}
	return true;
}

lm_rc s3_checksum_check(const struct s3_checksum_headers *h, struct lm_str body, struct lm_err *err)
{
	const struct {
		const struct algorithm *algorithm;
		struct lm_str value;
	} all[] = {{&SHA256, h->sha256}, {&SHA1, h->sha1}, {&CRC64NVME, h->crc64nvme},
		{&CRC32C, h->crc32c}, {&CRC32, h->crc32}};
	bool is_whole = h->type.n == 0 || lm_str_eq_nocase(h->type, LM_STR("FULL_OBJECT"));
	unsigned char md5[MD5_BYTES];
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < LM_ARRAY_SIZE(all) && is_whole && !rc; i++)
		rc = compare_base64(all[i].algorithm, all[i].value, body, err);
	if (!rc && read_etag(h, md5))
		rc = compare(&MD5, (struct lm_str){(const char *)md5, MD5_BYTES}, body, err);
	return rc;
}
