// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_http.h"

#include "base/memory.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum {
	CONNECT_TIMEOUT_MS = 10 * 1000,
	TIMEOUT_MS = 15 * 1000,
	ATTEMPTS = 4,
	ROLE_ALIAS_MAX = 128,
	SHOWN_MAX = 128
};

/// The pattern of the API's RoleAlias: [\w=,@-]+
static bool is_role_alias(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			    (c >= '0' && c <= '9') || c == '_';

		if (!word && c != '=' && c != ',' && c != '@' && c != '-')
			return false;
	}
	return s.n > 0 && s.n <= ROLE_ALIAS_MAX;
}

static lm_rc check_file(const char *key, const char *path, struct lm_err *err)
{
	if (!path)
		return lm_fail(err, LM_E_INVALID, 0,
			"credentials.%s is missing: the AWS IoT credentials provider wants the "
			"device's certificate and its private key; set it in the host file",
			key);
	if (access(path, R_OK) != 0)
		return lm_fail(err, errno == EACCES ? LM_E_DENIED : LM_E_INVALID, errno,
			"credentials.%s of the host file names '%s': %m; the user of the job must "
			"be able to read it",
			key, path);
	return LM_OK;
}

static lm_rc check_endpoint(const char *endpoint, struct lm_err *err)
{
	char shown[4 * SHOWN_MAX + 32];

	if (!endpoint)
		return lm_fail(err, LM_E_INVALID, 0,
			"credentials.endpoint is missing in the host file; `aws iot "
			"describe-endpoint --endpoint-type iot:CredentialProvider` prints it");
	(void)lm_str_shorten(lm_str(endpoint), SHOWN_MAX, shown, sizeof(shown));
	if (strstr(endpoint, "://") || strchr(endpoint, '/'))
		return lm_fail(err, LM_E_INVALID, 0,
			"credentials.endpoint of the host file must be a host's name, without "
			"scheme and path, not '%s'",
			shown);
	if (strstr(endpoint, ".iot.") && !strstr(endpoint, ".credentials.iot."))
		return lm_fail(err, LM_E_INVALID, 0,
			"credentials.endpoint '%s' is an endpoint of AWS IoT, but not of its "
			"credentials provider; `aws iot describe-endpoint --endpoint-type "
			"iot:CredentialProvider` prints that",
			shown);
	return LM_OK;
}

static lm_rc check_settings(const struct credentials_settings *s, struct lm_err *err)
{
	char shown[4 * SHOWN_MAX + 32];

	if (!is_role_alias(lm_str(s->role_alias)))
		return lm_fail(err, LM_E_INVALID, 0,
			"credentials.roleAlias of the host file, '%s', cannot be the name of a "
			"role alias: 1 to 128 of A-Z a-z 0-9 _ = , @ -",
			lm_str_shorten(lm_str(s->role_alias), SHOWN_MAX, shown, sizeof(shown)));
	if (s->thing_name && !credentials_is_token(lm_str(s->thing_name)))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' cannot be the name of a thing",
			lm_str_shorten(lm_str(s->thing_name), SHOWN_MAX, shown, sizeof(shown)));
	lm_rc rc = check_endpoint(s->endpoint, err);
	if (rc == LM_OK && !s->certificate_text.n)
		rc = check_file("certificate", s->certificate, err);
	if (rc == LM_OK && !s->private_key_text.n)
		rc = check_file("privateKey", s->private_key, err);
	if (rc == LM_OK && s->ca)
		rc = check_file("ca", s->ca, err);
	return rc;
}

static lm_rc describe_refusal(
	const struct credentials_settings *s, const struct https_answer *answer, struct lm_err *err)
{
	char message[CREDENTIALS_MESSAGE_SIZE];

	(void)credentials_error_message(answer, message);
	if (answer->status == 403 && s->thing_name)
		return lm_fail(err, LM_E_DENIED, 0,
			"AWS IoT gives thing '%.128s' no credentials for role alias '%s' (HTTP "
			"403%s); check that the certificate is active and attached to that thing, "
			"and that its policy allows iot:AssumeRoleWithCertificate on the role "
			"alias",
			s->thing_name, s->role_alias, message);
	if (answer->status == 403)
		return lm_fail(err, LM_E_DENIED, 0,
			"AWS IoT gives no credentials for role alias '%s' (HTTP 403%s); check that "
			"the certificate is active, and that its policy allows "
			"iot:AssumeRoleWithCertificate on the role alias",
			s->role_alias, message);
	if (answer->status == 404)
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"AWS IoT has no role alias '%s' at %s (HTTP 404%s); check "
			"credentials.roleAlias and credentials.endpoint in the host file",
			s->role_alias, s->endpoint, message);
	bool passes = answer->status >= 500 || answer->status == 429;
	return lm_fail(err, passes ? LM_E_REFUSED : LM_E_DENIED, 0,
		"the AWS IoT credentials provider %s answers HTTP %d%s, after %u attempt%s",
		s->endpoint, answer->status, message, answer->attempts,
		answer->attempts == 1 ? "" : "s");
}

/// AWS IoT Core Developer Guide: "Authorizing direct calls to AWS services using AWS IoT Core
/// credential provider".
static lm_rc ask(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	static const struct credentials_names names = {
		.object = "credentials",
		.id = "accessKeyId",
		.secret = "secretAccessKey",
		.token = "sessionToken",
		.expiration = "expiration",
		.needs_token = true,
		.source = "the AWS IoT credentials provider",
	};
	const struct credentials_settings *s = c->settings;
	lm_auto_free char *origin = lm_xasprintf("https://%s", s->endpoint);
	lm_auto_free char *path = lm_xasprintf("/role-aliases/%s/credentials", s->role_alias);
	const struct http_pair header = {LM_STR("x-amzn-iot-thingname"), lm_str(s->thing_name)};
	const struct credentials_request r = {
		.request =
			{
				.method = "GET",
				.origin = lm_str(origin),
				.path = lm_str(path),
				.certificate = s->certificate,
				.private_key = s->private_key,
				.certificate_text = s->certificate_text,
				.private_key_text = s->private_key_text,
				.ca = s->ca,
				.connect_timeout_ms = CONNECT_TIMEOUT_MS,
				.timeout_ms = TIMEOUT_MS,
				.attempts = ATTEMPTS,
			},
		.headers = &header,
		.headers_n = s->thing_name ? 1 : 0,
	};
	struct https_answer answer = {0};
	lm_rc rc = credentials_fetch(c, &r, &answer, err);

	if (rc != LM_OK)
		return lm_wrap(err, "the AWS IoT credentials provider");
	if (answer.status == 200)
		rc = credentials_parse_answer(&answer, &names, lm_str(s->endpoint), ret, err);
	else
		rc = describe_refusal(s, &answer, err);
	https_answer_finish(&answer);
	return rc;
}

lm_rc credentials_from_iot(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	lm_rc rc = check_settings(c->settings, err);

	return rc == LM_OK ? ask(c, ret, err) : rc;
}
