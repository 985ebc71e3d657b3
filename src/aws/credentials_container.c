// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_http.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

#include <arpa/inet.h>

// As botocore's ContainerMetadataFetcher.
enum { TIMEOUT_MS = 2 * 1000, ATTEMPTS = 3, BACKOFF_MAX_MS = 1000 };

#define RELATIVE_URI "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL_URI "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define TOKEN "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define TOKEN_FILE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
#define ECS_ORIGIN "http://169.254.170.2"

/// Where a token may go in the clear: this machine, and the addresses of Amazon ECS and EKS on its
/// link. Numbers only, and "localhost", which libcurl itself takes for loopback.
static bool is_local(struct lm_str host)
{
	static const char *const hosts[] = {
		"localhost", "::1", "169.254.170.2", "169.254.170.23", "fd00:ec2::23"};
	lm_auto_free char *text = lm_xmemdup0(host.p, host.n);
	struct in_addr v4;

	for (size_t i = 0; i < LM_ARRAY_SIZE(hosts); i++) {
		if (lm_str_eq_nocase(host, lm_str(hosts[i])))
			return true;
	}
	return inet_pton(AF_INET, text, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

/// LM_E_NOT_FOUND: no address is set. (AWS SDKs and Tools Reference Guide: "Container credential
/// provider": the full one counts only without the relative one.)
static lm_rc find_address(struct credentials_address *ret, struct lm_err *err)
{
	const char *relative = credentials_variable(RELATIVE_URI);
	const char *full = credentials_variable(FULL_URI);

	if (relative && relative[0] != '/')
		return lm_fail(err, LM_E_INVALID, 0, RELATIVE_URI " must begin with '/'");
	if (relative) {
		lm_auto_free char *url = lm_xasprintf(ECS_ORIGIN "%s", relative);

		return credentials_parse_address(RELATIVE_URI, lm_str(url), ret, err);
	}
	if (!full)
		return lm_fail(err, LM_E_NOT_FOUND, 0, FULL_URI " is not set");
	lm_auto_address struct credentials_address a = {0};
	lm_rc rc = credentials_parse_address(FULL_URI, lm_str(full), &a, err);
	if (rc != LM_OK)
		return rc;
	if (a.plain_http && !is_local(a.host))
		return lm_fail(err, LM_E_INVALID, 0,
			FULL_URI " names the host '%.*s' over http://, which is accepted only for "
				 "loopback, 169.254.170.2, 169.254.170.23 and [fd00:ec2::23]; give "
				 "it as https://",
			LM_STR_ARG(a.host));
	*ret = a;
	a = (struct credentials_address){0};
	return LM_OK;
}

/// What goes into the header Authorization; empty if there is none. The file comes first: where it
/// is set, its content changes with time.
static lm_rc find_authorization(struct lm_secret *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_AUTHORIZATION_FILE);
	const char *path = credentials_variable(TOKEN_FILE);
	struct lm_str token = lm_str(credentials_variable(TOKEN));

	if (path) {
		lm_rc rc = lm_file_read(path, &text, err);

		if (rc != LM_OK) // not LM_E_NOT_FOUND, by which the next source would be asked
			return lm_fail(err, rc == LM_E_NOT_FOUND ? LM_E_INVALID : rc, 0,
				TOKEN_FILE " names a file that cannot be read: '%s'", path);
		token = lm_str_trim(lm_buf_str(&text));
	}
	for (size_t i = 0; i < token.n; i++) {
		if (token.p[i] < ' ' || token.p[i] > '~')
			return lm_fail(err, LM_E_INVALID, 0,
				"%s holds a line end or another character that a header cannot "
				"have",
				path ? TOKEN_FILE : TOKEN);
	}
	if (token.n)
		lm_secret_set(ret, token);
	return LM_OK;
}

static lm_rc ask(const struct credentials_context *c, const struct credentials_address *a,
	struct lm_str authorization, struct aws_credentials *ret, struct lm_err *err)
{
	static const struct credentials_names names = {
		.id = "AccessKeyId",
		.secret = "SecretAccessKey",
		.token = "Token",
		.expiration = "Expiration",
		.source = "the container endpoint",
	};
	const struct http_pair header = {LM_STR("Authorization"), authorization};
	const struct credentials_request r = {
		.request =
			{
				.method = "GET",
				.origin = lm_str(a->origin),
				.path = lm_str(a->path),
				.query = a->query,
				.query_n = a->query_n,
				.plain_http = a->plain_http,
				.direct = is_local(a->host),
				.connect_timeout_ms = TIMEOUT_MS,
				.timeout_ms = TIMEOUT_MS,
				.attempts = ATTEMPTS,
				.backoff_max_ms = BACKOFF_MAX_MS,
			},
		.headers = &header,
		.headers_n = authorization.n ? 1 : 0,
	};
	char message[CREDENTIALS_MESSAGE_SIZE];
	struct https_answer answer = {0};
	lm_rc rc = credentials_fetch(c, &r, &answer, err);

	if (rc != LM_OK)
		return lm_wrap(err, "the container endpoint for AWS credentials");
	if (answer.status == 200)
		rc = credentials_parse_answer(
			&answer, &names, https_origin_host(lm_str(a->origin)), ret, err);
	else
		rc = lm_fail(err,
			answer.status == 401 || answer.status == 403 ? LM_E_DENIED : LM_E_REFUSED,
			0,
			"the container endpoint for AWS credentials, %s, answers HTTP %d%s; check "
			"the variables AWS_CONTAINER_*",
			a->origin, answer.status, credentials_error_message(&answer, message));
	https_answer_finish(&answer);
	return rc;
}

lm_rc credentials_from_container(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto_address struct credentials_address address = {0};
	lm_auto_secret struct lm_secret authorization = {0};
	lm_rc rc = find_address(&address, err);

	if (rc == LM_OK)
		rc = find_authorization(&authorization, err);
	if (rc == LM_OK)
		rc = ask(c, &address, lm_secret_str(&authorization), ret, err);
	return rc;
}
