// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_http.h"

#include "base/clock.h"
#include "base/memory.h"
#include "sys/wait.h"

#include <string.h>
#include <strings.h>

// AWS SDKs and Tools Reference Guide: "Amazon EC2 instance metadata". Short, so that a device that
// is no instance is not held up for long.
enum { TIMEOUT_MS = 1000, ATTEMPTS = 2, BACKOFF_MAX_MS = 100, ROLE_MAX = 64, TOKEN_MAX = 4096 };

#define ENDPOINT "AWS_EC2_METADATA_SERVICE_ENDPOINT"
#define ROLES "/latest/meta-data/iam/security-credentials/"
/// The session serves the two requests that follow at once.
#define TOKEN_SECONDS "60"

struct session {
	const struct credentials_context *context;
	struct credentials_address address;
	struct lm_secret token;
};

static void session_finish(struct session *s)
{
	credentials_address_finish(&s->address);
	lm_secret_finish(&s->token);
}

/// The address by default, for the wanted version of IP.
static lm_rc usual_endpoint(
	const struct shared_config *config, const char **ret, struct lm_err *err)
{
	const char *name = NULL;
	struct lm_str mode = shared_config_setting(
		config, ENDPOINT "_MODE", "ec2_metadata_service_endpoint_mode", &name);
	bool ipv6 = lm_str_eq_nocase(mode, LM_STR("ipv6"));

	if (mode.n && !ipv6 && !lm_str_eq_nocase(mode, LM_STR("ipv4")))
		return lm_fail(err, LM_E_INVALID, 0, "%s must be IPv4 or IPv6", name);
	if (!mode.n)
		ipv6 = shared_config_flag(config, "AWS_IMDS_USE_IPV6", "imds_use_ipv6");
	*ret = ipv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
	return LM_OK;
}

static lm_rc find_endpoint(
	const struct shared_config *config, struct credentials_address *ret, struct lm_err *err)
{
	const char *disabled = credentials_variable("AWS_EC2_METADATA_DISABLED");
	const char *usual = NULL, *name = NULL;

	if (disabled && strcasecmp(disabled, "true") == 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "AWS_EC2_METADATA_DISABLED is true");
	lm_rc rc = usual_endpoint(config, &usual, err);
	if (rc != LM_OK)
		return rc;
	struct lm_str url =
		shared_config_setting(config, ENDPOINT, "ec2_metadata_service_endpoint", &name);
	return credentials_parse_address(name, url.n ? url : lm_str(usual), ret, err);
}

/// The path below an endpoint that may have one of its own.
static char *path_below(const struct credentials_address *a, const char *path)
{
	size_t n = strlen(a->path);

	while (n && a->path[n - 1] == '/')
		n--;
	return lm_xasprintf("%.*s%s", (int)n, a->path, path);
}

/// An answer of 200; any other is a failure.
static lm_rc ask(struct session *s, const char *method, const char *path,
	const struct http_pair *header, struct https_answer *ret, struct lm_err *err)
{
	lm_auto_free char *whole = path_below(&s->address, path);
	const struct credentials_request r = {
		.request =
			{
				.method = method,
				.origin = lm_str(s->address.origin),
				.path = lm_str(whole),
				.plain_http = s->address.plain_http,
				.direct = true,
				.connect_timeout_ms = TIMEOUT_MS,
				.timeout_ms = TIMEOUT_MS,
				.attempts = ATTEMPTS,
				.backoff_max_ms = BACKOFF_MAX_MS,
			},
		.headers = header,
		.headers_n = 1,
	};
	lm_rc rc = credentials_fetch(s->context, &r, ret, err);

	if (rc != LM_OK || ret->status == 200)
		return rc;
	int status = ret->status;
	https_answer_finish(ret);
	if (status == 404 && strcmp(path, ROLES) == 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "the instance has no role");
	return lm_fail(
		err, LM_E_REFUSED, 0, "%s answers HTTP %d for %s", s->address.origin, status, path);
}

/// Amazon EC2 User Guide: "Use the Instance Metadata Service to access instance metadata".
static lm_rc open_session(struct session *s, struct lm_err *err)
{
	const struct http_pair lifetime = {
		LM_STR("X-aws-ec2-metadata-token-ttl-seconds"), LM_STR(TOKEN_SECONDS)};
	struct https_answer answer = {0};
	lm_rc rc = ask(s, "PUT", "/latest/api/token", &lifetime, &answer, err);

	if (rc != LM_OK)
		return rc;
	struct lm_str token = lm_str_trim(lm_buf_str(&answer.body));
	if (token.n > TOKEN_MAX || !credentials_is_token(token))
		rc = lm_fail(err, LM_E_PROTOCOL, 0, "%s gives no token", s->address.origin);
	else
		lm_secret_set(&s->token, token);
	https_answer_finish(&answer);
	return rc;
}

static lm_rc get(struct session *s, const char *path, struct https_answer *ret, struct lm_err *err)
{
	const struct http_pair token = {
		LM_STR("X-aws-ec2-metadata-token"), lm_secret_str(&s->token)};

	return ask(s, "GET", path, &token, ret, err);
}

static lm_rc find_role(struct session *s, char role[ROLE_MAX + 1], struct lm_err *err)
{
	struct https_answer answer = {0};
	lm_rc rc = get(s, ROLES, &answer, err);

	if (rc != LM_OK)
		return rc;
	struct lm_str rest = lm_buf_str(&answer.body);
	struct lm_str name = lm_str_trim(lm_str_cut(&rest, '\n')); // an instance has one
	bool usable = name.n <= ROLE_MAX && credentials_is_token(name) &&
		      lm_str_find(name, '/') == name.n;

	if (usable) {
		memcpy(role, name.p, name.n);
		role[name.n] = '\0';
	}
	https_answer_finish(&answer);
	if (!usable)
		return lm_fail(err, LM_E_PROTOCOL, 0, "%s names no role", s->address.origin);
	return LM_OK;
}

static lm_rc get_credentials(
	struct session *s, const char *role, struct aws_credentials *ret, struct lm_err *err)
{
	static const struct credentials_names names = {
		.id = "AccessKeyId",
		.secret = "SecretAccessKey",
		.token = "Token",
		.expiration = "Expiration",
		.needs_token = true,
		.source = "the EC2 instance metadata",
	};
	lm_auto_free char *path = lm_xasprintf(ROLES "%s", role);
	char message[CREDENTIALS_MESSAGE_SIZE];
	struct https_answer answer = {0};
	lm_rc rc = get(s, path, &answer, err);

	if (rc != LM_OK)
		return rc;
	rc = credentials_parse_answer(
		&answer, &names, https_origin_host(lm_str(s->address.origin)), ret, err);
	// A role that EC2 may not assume is an answer of 200 with "Code" and "Message".
	if (rc != LM_OK && credentials_error_message(&answer, message)[0])
		rc = lm_fail(err, LM_E_REFUSED, 0, "no credentials for role %s%s", role, message);
	https_answer_finish(&answer);
	return rc;
}

lm_rc credentials_from_imds(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto(session_finish) struct session s = {.context = c};
	struct lm_err failure = {0};
	char role[ROLE_MAX + 1];
	lm_rc rc = find_endpoint(c->config, &s.address, err);

	if (rc != LM_OK)
		return rc;
	rc = open_session(&s, &failure);
	if (rc == LM_OK)
		rc = find_role(&s, role, &failure);
	if (rc == LM_OK)
		rc = get_credentials(&s, role, ret, &failure);
	if (rc == LM_OK)
		return rc;
	bool over = c->limit->deadline_ms && lm_clock_mono_ms() >= c->limit->deadline_ms;
	if (rc == LM_E_CANCELLED || over) {
		*err = failure;
		return rc;
	}
	// Whether this is an instance at all is not known: what fails here is as good as absent.
	return lm_fail(err, LM_E_NOT_FOUND, 0, "EC2 instance metadata: %s", failure.msg);
}
