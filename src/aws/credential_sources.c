// SPDX-License-Identifier: Apache-2.0
#include "aws/credential_sources.h"

#include "aws/profile_file.h"
#include "base/clock.h"
#include "base/encoding.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "http/url.h"
#include "sys/json.h"
#include "sys/process.h"
#include "sys/wait.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESS_MAX = 8192, MESSAGE_MAX = 160 };

/// A request in progress; it finishes inside credentials_fetch.
struct source_fetch {
	const struct credentials_request *request;
	lm_rc rc;
	struct lm_err err;
	struct https_answer answer;
};

static lm_rc add_source_headers(
	void *ctx, unsigned attempt, struct header_list *headers, struct lm_err *err)
{
	const struct source_fetch *x = ctx;

	(void)attempt;
	(void)err;
	for (size_t i = 0; i < x->request->headers_n; i++)
		header_list_add(headers, x->request->headers[i].name, x->request->headers[i].value);
	return LM_OK;
}

static void keep_answer(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct source_fetch *x = ctx;

	x->rc = rc;
	x->err = *err;
	x->answer = *answer;
	*answer = (struct https_answer){0};
}

lm_rc credentials_fetch(const struct credentials_context *c, const struct credentials_request *r,
	struct https_answer *ret, struct lm_err *err)
{
	const struct credentials_settings *s = c->settings;
	struct https_request request = r->request;
	struct source_fetch x = {.request = r, .rc = LM_E_SYS};

	request.body_max = LIMIT_CREDENTIALS_ANSWER;
	request.prepare = add_source_headers;
	request.done = keep_answer;
	request.ctx = &x;
	if (s->timeout_ms)
		request.connect_timeout_ms = request.timeout_ms = s->timeout_ms;
	if (s->attempts)
		request.attempts = s->attempts;
	if (s->backoff_max_ms)
		request.backoff_max_ms = s->backoff_max_ms;
	https_start(c->https, &request);
	(void)https_run(c->https, c->limit, NULL); // its failure is the exchange's
	if (x.rc != LM_OK) {
		https_answer_finish(&x.answer);
		if (err)
			*err = x.err;
		return x.rc;
	}
	*ret = x.answer;
	return LM_OK;
}

static bool decode_part(struct lm_str text, struct lm_buf *out)
{
	return lm_percent_decode(out, text) && lm_buf_putc(out, '\0');
}

/// Fills the query's pairs. The texts stand one behind the other, each followed by NUL.
static bool parse_query(struct lm_str query, struct credentials_address *a)
{
	lm_auto_buf struct lm_buf text = LM_BUF(ADDRESS_MAX);
	const char *p;

	while (query.n) {
		struct lm_str value = lm_str_cut(&query, '&');
		struct lm_str name = lm_str_cut(&value, '=');

		if (a->query_n++ == CREDENTIALS_QUERY_MAX || !decode_part(name, &text) ||
			!decode_part(value, &text))
			return false;
	}
	p = a->query_text = lm_buf_take(&text);
	for (size_t i = 0; i < a->query_n; i++) {
		a->query[i].name = lm_str(p);
		p += a->query[i].name.n + 1;
		a->query[i].value = lm_str(p);
		p += a->query[i].value.n + 1;
	}
	return true;
}

static bool parse_path(struct lm_str rest, struct credentials_address *a)
{
	lm_auto_buf struct lm_buf path = LM_BUF(ADDRESS_MAX);
	struct lm_str encoded = lm_str_cut(&rest, '?');

	if (!lm_percent_decode(&path, encoded))
		return false;
	a->path = path.len ? lm_buf_take(&path) : lm_xstrdup("/");
	return parse_query(rest, a);
}

static bool parse_address(struct lm_str url, struct credentials_address *a)
{
	struct url w = {0};
	const char *ignored;

	if (!url_parse(url, &w, &ignored))
		return false;
	a->origin = w.origin;
	a->host = w.host;
	a->plain_http = w.plain_http;
	return lm_str_find(url, '#') == url.n && parse_path(w.rest, a);
}

lm_rc credentials_parse_address(const char *variable, struct lm_str url,
	struct credentials_address *ret, struct lm_err *err)
{
	lm_auto_address struct credentials_address a = {0};

	if (url.n > ADDRESS_MAX || !parse_address(url, &a))
		return lm_fail(err, LM_E_INVALID, 0,
			"%s holds no address that can be asked; give it as http://host/path or "
			"https://host/path",
			variable);
	*ret = a;
	a = (struct credentials_address){0};
	return LM_OK;
}

void credentials_address_finish(struct credentials_address *a)
{
	free(a->origin);
	free(a->path);
	free(a->query_text);
	*a = (struct credentials_address){0};
}

lm_rc credentials_parse_answer(const struct https_answer *answer,
	const struct credentials_names *names, struct lm_str host, struct aws_credentials *ret,
	struct lm_err *err)
{
	int64_t server_ms = https_parse_date_ms(https_header(answer, "date"));
	struct lm_err failure = {0};

	if (credentials_parse(lm_buf_str(&answer->body), names, server_ms, ret, &failure) == LM_OK)
		return LM_OK;
	return lm_fail(err, LM_E_PROTOCOL, 0, "the answer of %.*s holds no usable credentials: %s",
		LM_STR_ARG(host), failure.msg);
}

const char *credentials_error_message(
	const struct https_answer *answer, char out[CREDENTIALS_MESSAGE_SIZE])
{
	lm_auto_json json_t *document = NULL;
	struct lm_str message;

	out[0] = '\0';
	if (json_parse(lm_buf_str(&answer->body), &document, NULL) != LM_OK)
		return out;
	message = lm_str(json_get_text(document, "message"));
	if (!message.n)
		message = lm_str(json_get_text(document, "Message"));
	if (message.n) {
		(void)memcpy(out, ": ", 2);
		(void)lm_str_shorten(message, MESSAGE_MAX, out + 2, CREDENTIALS_MESSAGE_SIZE - 2);
	}
	return out;
}

lm_rc credentials_from_environment(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	// As botocore: the old name counts first.
	const char *old = shared_config_variable("AWS_SECURITY_TOKEN");
	const struct credentials_parts parts = {
		.id = lm_str(shared_config_variable("AWS_ACCESS_KEY_ID")),
		.secret = lm_str(shared_config_variable("AWS_SECRET_ACCESS_KEY")),
		.token = lm_str(old ? old : shared_config_variable("AWS_SESSION_TOKEN")),
		.id_name = "AWS_ACCESS_KEY_ID",
		.secret_name = "AWS_SECRET_ACCESS_KEY",
		.token_name = old ? "AWS_SECURITY_TOKEN" : "AWS_SESSION_TOKEN",
		.where = "",
		.source = "the environment",
	};

	(void)c;
	return credentials_assemble(&parts, ret, err);
}

// As botocore's ContainerMetadataFetcher.
enum { CONTAINER_TIMEOUT_MS = 2 * 1000, CONTAINER_ATTEMPTS = 3, CONTAINER_BACKOFF_MAX_MS = 1000 };

#define RELATIVE_URI "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
#define FULL_URI "AWS_CONTAINER_CREDENTIALS_FULL_URI"
#define CONTAINER_TOKEN "AWS_CONTAINER_AUTHORIZATION_TOKEN"
#define CONTAINER_TOKEN_FILE "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"
#define ECS_ORIGIN "http://169.254.170.2"

/// Where a token may go unencrypted: this device, and the addresses of Amazon ECS and EKS on its
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
static lm_rc find_container_address(struct credentials_address *ret, struct lm_err *err)
{
	const char *relative = shared_config_variable(RELATIVE_URI);
	const char *full = shared_config_variable(FULL_URI);

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
			FULL_URI
			" names the host '%.*s' over http://, which is accepted only for loopback, "
			"169.254.170.2, 169.254.170.23 and [fd00:ec2::23]; give it as https://",
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
	const char *path = shared_config_variable(CONTAINER_TOKEN_FILE);
	struct lm_str token = lm_str(shared_config_variable(CONTAINER_TOKEN));

	if (path) {
		lm_rc rc = lm_file_read(path, &text, err);

		if (rc != LM_OK) // not LM_E_NOT_FOUND, by which the next source would be asked
			return lm_fail(err, rc == LM_E_NOT_FOUND ? LM_E_INVALID : rc, 0,
				CONTAINER_TOKEN_FILE " names a file that cannot be read: '%s'",
				path);
		token = lm_str_trim(lm_buf_str(&text));
	}
	for (size_t i = 0; i < token.n; i++) {
		if (token.p[i] < ' ' || token.p[i] > '~')
			return lm_fail(err, LM_E_INVALID, 0,
				"%s holds a line end or another character that a header cannot "
				"have",
				path ? CONTAINER_TOKEN_FILE : CONTAINER_TOKEN);
	}
	if (token.n)
		lm_secret_set(ret, token);
	return LM_OK;
}

static lm_rc ask_container(const struct credentials_context *c, const struct credentials_address *a,
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
				.connect_timeout_ms = CONTAINER_TIMEOUT_MS,
				.timeout_ms = CONTAINER_TIMEOUT_MS,
				.attempts = CONTAINER_ATTEMPTS,
				.backoff_max_ms = CONTAINER_BACKOFF_MAX_MS,
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
	lm_rc rc = find_container_address(&address, err);

	if (rc == LM_OK)
		rc = find_authorization(&authorization, err);
	if (rc == LM_OK)
		rc = ask_container(c, &address, lm_secret_str(&authorization), ret, err);
	return rc;
}

// AWS SDKs and Tools Reference Guide: "Amazon EC2 instance metadata". Short, so that a device that
// is no instance is not held up for long.
enum {
	IMDS_TIMEOUT_MS = 1000,
	IMDS_ATTEMPTS = 2,
	IMDS_BACKOFF_MAX_MS = 100,
	IMDS_ROLE_MAX = 64,
	IMDS_TOKEN_MAX = 4096
};

#define IMDS_ENDPOINT "AWS_EC2_METADATA_SERVICE_ENDPOINT"
#define IMDS_ROLES "/latest/meta-data/iam/security-credentials/"
/// The session serves the two requests that follow at once.
#define IMDS_TOKEN_SECONDS "60"

struct imds_session {
	const struct credentials_context *context;
	struct credentials_address address;
	struct lm_secret token;
};

static void imds_session_finish(struct imds_session *s)
{
	credentials_address_finish(&s->address);
	lm_secret_finish(&s->token);
}

/// The address by default, for the wanted version of IP.
static lm_rc usual_imds(const struct shared_config *config, const char **ret, struct lm_err *err)
{
	const char *name = NULL;
	struct lm_str mode = shared_config_setting(
		config, IMDS_ENDPOINT "_MODE", "ec2_metadata_service_endpoint_mode", &name);
	bool ipv6 = lm_str_eq_nocase(mode, LM_STR("ipv6"));

	if (mode.n && !ipv6 && !lm_str_eq_nocase(mode, LM_STR("ipv4")))
		return lm_fail(err, LM_E_INVALID, 0, "%s must be IPv4 or IPv6", name);
	if (!mode.n)
		ipv6 = shared_config_flag(config, "AWS_IMDS_USE_IPV6", "imds_use_ipv6");
	*ret = ipv6 ? "http://[fd00:ec2::254]" : "http://169.254.169.254";
	return LM_OK;
}

static lm_rc find_imds(
	const struct shared_config *config, struct credentials_address *ret, struct lm_err *err)
{
	const char *disabled = shared_config_variable("AWS_EC2_METADATA_DISABLED");
	const char *usual = NULL, *name = NULL;

	if (disabled && strcasecmp(disabled, "true") == 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "AWS_EC2_METADATA_DISABLED is true");
	lm_rc rc = usual_imds(config, &usual, err);
	if (rc != LM_OK)
		return rc;
	struct lm_str url = shared_config_setting(
		config, IMDS_ENDPOINT, "ec2_metadata_service_endpoint", &name);
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
static lm_rc imds_ask(struct imds_session *s, const char *method, const char *path,
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
				.connect_timeout_ms = IMDS_TIMEOUT_MS,
				.timeout_ms = IMDS_TIMEOUT_MS,
				.attempts = IMDS_ATTEMPTS,
				.backoff_max_ms = IMDS_BACKOFF_MAX_MS,
			},
		.headers = header,
		.headers_n = 1,
	};
	lm_rc rc = credentials_fetch(s->context, &r, ret, err);

	if (rc != LM_OK || ret->status == 200)
		return rc;
	int status = ret->status;
	https_answer_finish(ret);
	if (status == 404 && strcmp(path, IMDS_ROLES) == 0)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "the instance has no role");
	return lm_fail(
		err, LM_E_REFUSED, 0, "%s answers HTTP %d for %s", s->address.origin, status, path);
}

/// Amazon EC2 User Guide: "Use the Instance Metadata Service to access instance metadata".
static lm_rc open_session(struct imds_session *s, struct lm_err *err)
{
	const struct http_pair lifetime = {
		LM_STR("X-aws-ec2-metadata-token-ttl-seconds"), LM_STR(IMDS_TOKEN_SECONDS)};
	struct https_answer answer = {0};
	lm_rc rc = imds_ask(s, "PUT", "/latest/api/token", &lifetime, &answer, err);

	if (rc != LM_OK)
		return rc;
	struct lm_str token = lm_str_trim(lm_buf_str(&answer.body));
	if (token.n > IMDS_TOKEN_MAX || !credentials_is_token(token))
		rc = lm_fail(err, LM_E_PROTOCOL, 0, "%s gives no token", s->address.origin);
	else
		lm_secret_set(&s->token, token);
	https_answer_finish(&answer);
	return rc;
}

static lm_rc imds_get(
	struct imds_session *s, const char *path, struct https_answer *ret, struct lm_err *err)
{
	const struct http_pair token = {
		LM_STR("X-aws-ec2-metadata-token"), lm_secret_str(&s->token)};

	return imds_ask(s, "GET", path, &token, ret, err);
}

static lm_rc find_role(struct imds_session *s, char role[IMDS_ROLE_MAX + 1], struct lm_err *err)
{
	struct https_answer answer = {0};
	lm_rc rc = imds_get(s, IMDS_ROLES, &answer, err);

	if (rc != LM_OK)
		return rc;
	struct lm_str rest = lm_buf_str(&answer.body);
	struct lm_str name = lm_str_trim(lm_str_cut(&rest, '\n')); // an instance has one
	bool usable = name.n <= IMDS_ROLE_MAX && credentials_is_token(name) &&
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

static lm_rc get_role_credentials(
	struct imds_session *s, const char *role, struct aws_credentials *ret, struct lm_err *err)
{
	static const struct credentials_names names = {
		.id = "AccessKeyId",
		.secret = "SecretAccessKey",
		.token = "Token",
		.expiration = "Expiration",
		.needs_token = true,
		.source = "the EC2 instance metadata",
	};
	lm_auto_free char *path = lm_xasprintf(IMDS_ROLES "%s", role);
	char message[CREDENTIALS_MESSAGE_SIZE];
	struct https_answer answer = {0};
	lm_rc rc = imds_get(s, path, &answer, err);

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
	lm_auto(imds_session_finish) struct imds_session s = {.context = c};
	struct lm_err failure = {0};
	char role[IMDS_ROLE_MAX + 1];
	lm_rc rc = find_imds(c->config, &s.address, err);

	if (rc != LM_OK)
		return rc;
	rc = open_session(&s, &failure);
	if (rc == LM_OK)
		rc = find_role(&s, role, &failure);
	if (rc == LM_OK)
		rc = get_role_credentials(&s, role, ret, &failure);
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

enum {
	IOT_CONNECT_TIMEOUT_MS = 10 * 1000,
	IOT_TIMEOUT_MS = 15 * 1000,
	IOT_ATTEMPTS = 4,
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

static lm_rc check_iot_file(const char *key, const char *path, struct lm_err *err)
{
	if (!path)
		return lm_fail(err, LM_E_INVALID, 0,
			"credentials.%s is missing: the AWS IoT credentials provider needs the "
			"device's certificate and its private key; set it in the host file",
			key);
	if (access(path, R_OK) != 0)
		return lm_fail(err, errno == EACCES ? LM_E_DENIED : LM_E_INVALID, errno,
			"credentials.%s of the host file names '%s': %m; the worker's user must be "
			"able to read it",
			key, path);
	return LM_OK;
}

static lm_rc check_iot_endpoint(const char *endpoint, struct lm_err *err)
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

static lm_rc check_iot_settings(const struct credentials_settings *s, struct lm_err *err)
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
	lm_rc rc = check_iot_endpoint(s->endpoint, err);
	if (rc == LM_OK && !s->certificate_text.n)
		rc = check_iot_file("certificate", s->certificate, err);
	if (rc == LM_OK && !s->private_key_text.n)
		rc = check_iot_file("privateKey", s->private_key, err);
	if (rc == LM_OK && s->ca)
		rc = check_iot_file("ca", s->ca, err);
	return rc;
}

static lm_rc describe_iot_refusal(
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
static lm_rc ask_iot(
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
				.connect_timeout_ms = IOT_CONNECT_TIMEOUT_MS,
				.timeout_ms = IOT_TIMEOUT_MS,
				.attempts = IOT_ATTEMPTS,
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
		rc = describe_iot_refusal(s, &answer, err);
	https_answer_finish(&answer);
	return rc;
}

lm_rc credentials_from_iot(
	const struct credentials_context *c, struct aws_credentials *ret, struct lm_err *err)
{
	lm_rc rc = check_iot_settings(c->settings, err);

	return rc == LM_OK ? ask_iot(c, ret, err) : rc;
}

enum {
	PROCESS_MS = 50 * 1000, ///< Within what a provider gives to all sources.
	PROCESS_GRACE_MS = 1000,
};

static bool is_executable_file(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/// The program's path, which the caller frees; NULL if there is none.
static char *find_process_program(const char *name)
{
	const char *path = shared_config_variable("PATH");
	struct lm_str rest = lm_str(path ? path : "/usr/local/bin:/usr/bin:/bin");

	if (strchr(name, '/'))
		return name[0] == '/' ? lm_xstrdup(name) : NULL;
	while (rest.n) {
		struct lm_str folder = lm_str_cut(&rest, ':');
		lm_auto_free char *program = lm_xasprintf("%.*s/%s", LM_STR_ARG(folder), name);

		if (program[0] == '/' && folder.n && is_executable_file(program))
			return lm_take(program);
	}
	return NULL;
}

/// Shows nothing of its output: no rule tells a secret from a reason.
static lm_rc fail_process(const char *program, int status, struct lm_err *err)
{
	char how[96];

	return lm_fail(err, LM_E_REFUSED, 0,
		"'%s' fails with %s; what it prints is not shown, as it may be secret: run it by "
		"hand as user %u",
		program, process_describe_status(status, how, sizeof(how)), (unsigned)geteuid());
}

static lm_rc run_program(const struct credentials_context *c, const char *program,
	struct profile_command *command, struct lm_buf *output, struct lm_err *err)
{
	unsigned ms = c->settings->timeout_ms ? c->settings->timeout_ms : (unsigned)PROCESS_MS;
	const struct wait_limit within = wait_limit_within(c->limit, ms);
	int status = 0;
	const struct process_run process = {
		.spec = {.argv = (const char *const *)command->items,
			.directory = "/",
			.die_with_parent = true},
		.output = output,
		.term_grace_ms = PROCESS_GRACE_MS,
	};
	lm_rc rc = process_run(&process, &within, &status, err);

	if (rc == LM_E_TIMEOUT)
		return lm_fail(err, rc, 0, "'%s' did not finish in time and was killed", program);
	if (rc == LM_E_TOO_LARGE)
		return lm_fail(err, rc, 0, "'%s' writes more than %d bytes and was killed", program,
			LIMIT_CREDENTIALS_ANSWER);
	if (rc != LM_OK)
		return rc == LM_E_NOT_FOUND
			       ? lm_fail(err, LM_E_INVALID, 0, "there is no '%s'", program)
			       : rc;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return fail_process(program, status, err);
	return LM_OK;
}

/// AWS SDKs and Tools Reference Guide: "Process credential provider".
static lm_rc take_output(
	const char *program, struct lm_str output, struct aws_credentials *ret, struct lm_err *err)
{
	static const struct credentials_names names = {
		.version = 1,
		.id = "AccessKeyId",
		.secret = "SecretAccessKey",
		.token = "SessionToken",
		.expiration = "Expiration",
		.source = "credential_process",
	};
	lm_rc rc = credentials_parse(output, &names, 0, ret, err);

	if (rc != LM_OK) {
		char why[LM_ERR_MSG_SIZE];

		(void)snprintf(why, sizeof(why), "%s", err->msg);
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the output of '%s' holds no usable credentials: %s", program, why);
	}
	if (!ret->expires_ms || ret->expires_ms > lm_clock_wall_ms())
		return LM_OK;
	credentials_finish(ret);
	return lm_fail(err, LM_E_DENIED, 0,
		"the credentials that '%s' gives have already expired; check the device's clock "
		"and the program",
		program);
}

lm_rc credentials_from_process(const struct credentials_context *c, struct lm_str command,
	struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto_profile_command struct profile_command command_words = {0};
	lm_auto_buf struct lm_buf output = LM_BUF_SECRET(LIMIT_CREDENTIALS_ANSWER);
	const char *why = NULL;

	if (!profile_command_split(command, &command_words, &why))
		return lm_fail(err, LM_E_INVALID, 0, "the command %s", why);
	if (!command_words.n)
		return lm_fail(err, LM_E_INVALID, 0, "the command is empty");
	lm_auto_free char *program = find_process_program(command_words.items[0]);
	if (!program)
		return lm_fail(err, LM_E_INVALID, 0,
			"the program '%.200s' is neither an absolute path nor in PATH",
			command_words.items[0]);
	free(command_words.items[0]);
	command_words.items[0] = lm_xstrdup(program);
	lm_rc rc = run_program(c, program, &command_words, &output, err);

	return rc == LM_OK ? take_output(program, lm_buf_str(&output), ret, err) : rc;
}
