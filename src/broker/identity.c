// SPDX-License-Identifier: Apache-2.0
#include "broker/identity.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <string.h>

static void write_hex(const unsigned char *bytes, size_t n, char ret[IDENTITY_SHA256_HEX + 1])
{
	struct lm_buf hex = LM_BUF(IDENTITY_SHA256_HEX);

	(void)lm_hex_encode(&hex, (struct lm_str){(const char *)bytes, n});
	memcpy(ret, lm_buf_cstr(&hex), hex.len);
	ret[hex.len] = '\0';
	lm_buf_finish(&hex);
}

bool identity_fingerprint(const void *x509, char ret[IDENTITY_SHA256_HEX + 1])
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned n = 0;

	if (!x509 || X509_digest(x509, EVP_sha256(), digest, &n) != 1 ||
		2 * n != IDENTITY_SHA256_HEX)
		return false;
	write_hex(digest, n, ret);
	return true;
}

static bool is_password(const struct router_table *table, const char *password)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	char hex[IDENTITY_SHA256_HEX + 1];
	unsigned n = 0;

	if (!password || !table->connector.password_sha256 ||
		EVP_Digest(password, strlen(password), digest, &n, EVP_sha256(), NULL) != 1)
		return false;
	write_hex(digest, n, hex);
	return CRYPTO_memcmp(hex, table->connector.password_sha256, IDENTITY_SHA256_HEX) == 0;
}

static bool has_certificate(const struct router_endpoint *endpoint, const char *certificate)
{
	for (size_t i = 0; i < endpoint->certificates_n; i++)
		if (strcmp(endpoint->certificates[i], certificate) == 0)
			return true;
	return false;
}

static const char *check_certificate(
	const struct router_endpoint *endpoint, const struct identity *shown)
{
	if (!shown->certificate)
		return "it has no certificate";
	if (!has_certificate(endpoint, shown->certificate))
		return "its certificate is none of those that are registered for that client ID";
	return NULL;
}

static const char *check_connector(const struct router_table *table, const struct identity *shown)
{
	if (!shown->local)
		return "the connector's client ID is for the unix socket only";
	if (!shown->user || strcmp(shown->user, table->connector.arn) != 0 ||
		!is_password(table, shown->password))
		return "its user name or password is not the connector's";
	return NULL;
}

const struct router_endpoint *identity_check(
	const struct routes *routes, const struct identity *shown, const char **why)
{
	const struct router_endpoint *endpoint =
		shown->client_id ? routes_client(routes, lm_str(shown->client_id)) : NULL;

	*why = "no device or function of the group has that client ID";
	if (!endpoint)
		return NULL;
	if (endpoint->kind == ROUTER_ENDPOINT_CONNECTOR)
		*why = check_connector(routes_table(routes), shown);
	else if (endpoint->kind == ROUTER_ENDPOINT_FUNCTION && shown->local)
		*why = NULL;
	else if (shown->local)
		*why = "a device connects with its certificate, not over the unix socket";
	else
		*why = check_certificate(endpoint, shown);
	return *why ? NULL : endpoint;
}
