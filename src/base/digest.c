// SPDX-License-Identifier: Apache-2.0
#include "base/digest.h"

#include "base/memory.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

struct lm_sha256 {
	EVP_MD_CTX *context;
};

/// Fails only without memory or without a provider of SHA-256.
static void require(int done)
{
	if (done != 1)
		lm_out_of_memory();
}

/// Found once: EVP_sha256() is looked up among OpenSSL's providers at each use, by code of a
/// megabyte that a resident program, which gives its idle pages back, would have to read in again.
static EVP_MD *method;

static void find_method(void)
{
	method = EVP_MD_fetch(NULL, "SHA2-256", NULL);
	require(method != NULL);
}

static const EVP_MD *sha256(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	if (pthread_once(&once, find_method) != 0)
		lm_out_of_memory();
	return method;
}

static void write_digits(const unsigned char *hash, char ret[LM_SHA256_HEX + 1])
{
	lm_auto_buf struct lm_buf hex = LM_BUF(LM_SHA256_HEX);

	(void)lm_hex_encode(&hex, (struct lm_str){(const char *)hash, LM_SHA256_HEX / 2});
	memcpy(ret, lm_buf_cstr(&hex), LM_SHA256_HEX + 1);
}

void lm_sha256_hex(struct lm_str bytes, char ret[LM_SHA256_HEX + 1])
{
	unsigned char hash[LM_SHA256_HEX / 2] = {0};

	require(EVP_Digest(bytes.p, bytes.n, hash, NULL, sha256(), NULL));
	write_digits(hash, ret);
}

struct lm_sha256 *lm_sha256_create(void)
{
	struct lm_sha256 *s = lm_xcalloc(1, sizeof(*s));

	s->context = EVP_MD_CTX_new();
	require(s->context && EVP_DigestInit_ex(s->context, sha256(), NULL));
	return s;
}

void lm_sha256_add(struct lm_sha256 *s, struct lm_str piece)
{
	require(EVP_DigestUpdate(s->context, piece.p, piece.n));
}

void lm_sha256_end(struct lm_sha256 *s, char ret_hex[LM_SHA256_HEX + 1])
{
	unsigned char hash[LM_SHA256_HEX / 2] = {0};

	require(EVP_DigestFinal_ex(s->context, hash, NULL));
	write_digits(hash, ret_hex);
	require(EVP_DigestInit_ex(s->context, sha256(), NULL));
}

void lm_sha256_destroy(struct lm_sha256 *s)
{
	if (!s)
		return;
	EVP_MD_CTX_free(s->context);
	free(s);
}
