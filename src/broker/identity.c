// SPDX-License-Identifier: Apache-2.0
#include "broker/identity.h"

#include "base/digest.h"

#include <openssl/crypto.h>
#include <string.h>

static bool is_password(const struct router_table *table, const char *password)
{
	char hex[LM_SHA256_HEX + 1];

	if (!password || !table->connector.password_sha256)
		return false;
	lm_sha256_hex(lm_str(password), hex);
	return CRYPTO_memcmp(hex, table->connector.password_sha256, LM_SHA256_HEX) == 0;
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
