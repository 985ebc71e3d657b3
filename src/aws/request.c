// SPDX-License-Identifier: Apache-2.0
#include "aws/request.h"

#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/json.h"

#include <stdlib.h>
#include <string.h>

enum { SKEW_MS = 5 * 60 * 1000 }; ///< What the JSON services tolerate.

static const char content_type[] = "application/x-amz-json-1.1";

static const struct {
	const char *title, *signing_name, *target_prefix;
} services[] = {
	[AWS_SECRETS_MANAGER] = {"Secrets Manager", "secretsmanager", "secretsmanager"},
	[AWS_ECR] = {"ECR", "ecr", "AmazonEC2ContainerRegistry_V20150921"},
	[AWS_CLOUDWATCH_LOGS] = {"CloudWatch Logs", "logs", "Logs_20140328"},
};

/// A call under way. The texts are its own.
struct json_call {
	struct signed_request request;
	enum aws_service service;
	char *region, *subject, *permission, *target;
	service_done *done;
	void *ctx;

	struct aws_endpoint endpoint;
	char *path;
	struct lm_buf body;
	char body_sha256[LM_SHA256_HEX + 1];
	struct http_pair headers[2];
};

static void call_destroy(struct json_call *c)
{
	free(c->region);
	free(c->subject);
	free(c->permission);
	free(c->target);
	endpoint_finish(&c->endpoint);
	free(c->path);
	lm_buf_finish(&c->body);
	free(c);
}

static void call_end(struct json_call *c, struct service_outcome *outcome)
{
	outcome->clock_offset_ms = c->request.clock_offset_ms;
	c->done(c->ctx, outcome);
	call_destroy(c);
}

static bool is_code(const char *code, const char *const *codes, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(code, codes[i]) == 0)
			return true;
	}
	return false;
}

static lm_rc sign_attempt(
	void *ctx, unsigned attempt, struct header_list *headers, struct lm_err *err)
{
	struct signed_request *r = ctx;
	const struct aws_credentials *credentials = NULL;
	lm_rc rc = credentials_get(r->credentials, &credentials, err);

	(void)attempt;
	if (rc != LM_OK)
		return rc;
	(void)snprintf(
		r->access_key_id, sizeof(r->access_key_id), "%s", credentials->access_key_id);
	r->source = credentials->source;
	r->signed_serial = credentials->serial;
	r->signed_ms = lm_clock_wall_ms() + r->clock_offset_ms;
	const struct sigv4_request signature = {
		.method = r->http.method,
		.host = https_origin_host(r->http.origin),
		.path = r->http.path,
		.query = r->http.query,
		.query_n = r->http.query_n,
		.headers = r->headers,
		.headers_n = r->headers_n,
		.body_sha256 = r->body_sha256,
		.region = r->region,
		.service = r->service,
		.wall_ms = r->signed_ms,
	};
	for (size_t i = 0; i < r->headers_n; i++)
		header_list_add(headers, r->headers[i].name, r->headers[i].value);
	sigv4_sign(&signature, credentials, headers);
	return LM_OK;
}

static void on_signed_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct signed_request *r = ctx;

	r->done(r->ctx, rc, answer, err);
}

void request_set_limits(struct https_request *http, const struct request_limits *limits)
{
	http->connect_timeout_ms = limits->connect_timeout_ms;
	http->timeout_ms = limits->timeout_ms;
	http->attempts = limits->attempts;
	http->backoff_base_ms = limits->backoff_base_ms;
	http->backoff_max_ms = limits->backoff_max_ms;
}

void request_send(struct signed_request *r)
{
	r->http.prepare = sign_attempt;
	r->http.done = on_signed_answer;
	r->http.ctx = r;
	https_start(r->https, &r->http);
}

bool request_correct_clock(struct signed_request *r, int64_t server_ms)
{
	if (!server_ms || r->clock_corrected)
		return false;
	r->clock_corrected = true;
	r->clock_offset_ms = server_ms - lm_clock_wall_ms();
	request_send(r);
	return true;
}

static bool is_expired(const char *code)
{
	static const char *const codes[] = {
		"ExpiredTokenException", "ExpiredToken", "TokenRefreshRequired"};

	return is_code(code, codes, LM_ARRAY_SIZE(codes));
}

bool request_correct_credentials(struct signed_request *r, const char *code)
{
	if (!is_expired(code) || r->credentials_corrected ||
		!credentials_expire(r->credentials, r->signed_serial))
		return false;
	r->credentials_corrected = true;
	request_send(r);
	return true;
}

/// Copies what fits, and no half of a character.
static void copy_error_text(struct lm_str text, char *out, size_t size)
{
	if (text.n >= size)
		text.n = size - 1;
	while (text.n && !lm_str_is_utf8(text))
		text.n--;
	if (text.n)
		memcpy(out, text.p, text.n);
	out[text.n] = '\0';
}

/// "com.amazon.coral.service#Code:http://…" → "Code".
static struct lm_str bare_code(struct lm_str type)
{
	struct lm_str code = lm_str_cut(&type, ':'), rest = code;

	while (lm_str_find(rest, '#') < rest.n) {
		(void)lm_str_cut(&rest, '#');
		code = rest;
	}
	return lm_str_trim(code);
}

static struct lm_str first_of(const json_t *object, const char *key, const char *other)
{
	const char *text = json_get_text(object, key);

	if (!text || !*text)
		text = json_get_text(object, other);
	return text ? lm_str(text) : LM_STR("");
}

void service_error_parse(struct lm_str body, struct lm_str header, struct service_error *ret)
{
	lm_auto_json json_t *root = NULL;

	*ret = (struct service_error){0};
	if (json_parse(body, &root, NULL) == LM_OK) {
		copy_error_text(
			bare_code(first_of(root, "__type", "code")), ret->code, sizeof(ret->code));
		copy_error_text(
			first_of(root, "message", "Message"), ret->message, sizeof(ret->message));
	}
	if (!ret->code[0])
		copy_error_text(bare_code(header), ret->code, sizeof(ret->code));
}

/// What a service answered instead of its result.
struct service_failure {
	const struct json_call *call;
	struct lm_str host;
	const struct https_answer *answer;
	const struct service_error *error;
};

static bool is_transient_error(const struct service_error *error)
{
	static const char *const codes[] = {"Throttling", "ThrottlingException",
		"ThrottledException", "RequestThrottled", "RequestThrottledException",
		"TooManyRequestsException", "RequestLimitExceeded", "BandwidthLimitExceeded",
		"ProvisionedThroughputExceededException", "PriorRequestNotComplete",
		"TransactionInProgressException", "SlowDown", "RequestTimeout",
		"RequestTimeoutException", "ServiceUnavailable", "ServiceUnavailableException",
		"InternalFailure", "InternalServiceError", "InternalServerError", "ServerException",
		"OperationAbortedException"}; // of two who create the same log group

	return is_code(error->code, codes, LM_ARRAY_SIZE(codes));
}

/// The codes of a signature that is wrong or was made at the wrong time.
static bool is_signature(const struct service_error *error)
{
	static const char *const codes[] = {"InvalidSignatureException", "SignatureDoesNotMatch",
		"RequestTimeTooSkewed", "RequestTimeTooSkewedException", "RequestExpired",
		"RequestInTheFuture"};

	return is_code(error->code, codes, LM_ARRAY_SIZE(codes));
}

static bool is_denied(const struct service_error *error)
{
	static const char *const codes[] = {
		"AccessDeniedException", "AccessDenied", "NotAuthorized", "UnauthorizedOperation"};

	return is_code(error->code, codes, LM_ARRAY_SIZE(codes));
}

static bool is_unknown_key(const struct service_error *error)
{
	static const char *const codes[] = {"UnrecognizedClientException", "InvalidClientTokenId",
		"InvalidAccessKeyId", "InvalidToken"};

	return is_code(error->code, codes, LM_ARRAY_SIZE(codes));
}

static int64_t skewed_server_ms(const struct service_failure *f)
{
	struct lm_str date = https_header(f->answer, "date");
	int64_t server_ms = is_signature(f->error) ? https_parse_date_ms(date) : 0;
	int64_t apart_ms = server_ms - f->call->request.signed_ms;

	return server_ms && (apart_ms > SKEW_MS || apart_ms < -SKEW_MS) ? server_ms : 0;
}

static lm_rc describe_signature(const struct service_failure *f, struct lm_err *err)
{
	char ours[LM_TIME_SIZE];
	struct lm_str date = https_header(f->answer, "date");

	if (skewed_server_ms(f))
		return lm_fail(err, LM_E_DENIED, 0,
			"the clocks are too far apart (%s): the request was signed at %s, the "
			"server's time is %.*s; set the device's clock",
			f->error->code, lm_time_format_iso(f->call->request.signed_ms, ours),
			LM_STR_ARG(date));
	return lm_fail(err, LM_E_DENIED, 0,
		"%s does not accept our signature (%s): the secret access key from %s does not "
		"belong to access key %.64s",
		services[f->call->service].title, f->error->code, f->call->request.source,
		f->call->request.access_key_id);
}

/// What is wrong with who we are; LM_OK if that is not it.
static lm_rc describe_call_identity(const struct service_failure *f, struct lm_err *err)
{
	if (is_expired(f->error->code))
		return lm_fail(err, LM_E_DENIED, 0,
			"the temporary credentials from %s have expired (%s%s%s); renew them",
			f->call->request.source, f->error->code, f->error->message[0] ? ": " : "",
			f->error->message);
	if (is_unknown_key(f->error))
		return lm_fail(err, LM_E_DENIED, 0,
			"%s does not recognize access key %.64s from %s (%s%s%s); check key and "
			"session token, both from the same source, and that their partition is %s",
			services[f->call->service].title, f->call->request.access_key_id,
			f->call->request.source, f->error->code, f->error->message[0] ? ": " : "",
			f->error->message, endpoint_partition(f->call->region));
	return is_signature(f->error) ? describe_signature(f, err) : LM_OK;
}

static lm_rc describe_status(const struct service_failure *f, struct lm_err *err)
{
	int status = f->answer->status;

	if (status >= 500 || status == 429)
		return lm_fail(err, LM_E_REFUSED, 0, "%.*s answers HTTP %d, after %u attempt%s",
			LM_STR_ARG(f->host), status, f->answer->attempts,
			f->answer->attempts == 1 ? "" : "s");
	return lm_fail(err, LM_E_PROTOCOL, 0,
		"%.*s answers HTTP %d, and not as %s does; check that AWS_ENDPOINT_URL names such "
		"a server, and that no proxy answers in its place",
		LM_STR_ARG(f->host), status, services[f->call->service].title);
}

static lm_rc describe_call_refusal(const struct service_failure *f, struct lm_err *err)
{
	int status = f->answer->status;
	bool passes = status >= 500 || status == 429 || is_transient_error(f->error);
	lm_rc rc = strcmp(f->error->code, "ResourceNotFoundException") == 0 ? LM_E_NOT_FOUND
		   : passes                                                 ? LM_E_REFUSED
									    : LM_E_DENIED;

	return lm_fail(err, rc, 0, "%s refuses: %s%s%s (HTTP %d, after %u attempt%s)",
		services[f->call->service].title, f->error->code, f->error->message[0] ? ", " : "",
		f->error->message, f->answer->status, f->answer->attempts,
		f->answer->attempts == 1 ? "" : "s");
}

static lm_rc describe_call_failure(const struct service_failure *f, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	if (is_denied(f->error))
		return lm_fail(err, LM_E_DENIED, 0,
			"access to %s is denied: the role needs %s (%s: %s)", f->call->subject,
			f->call->permission, services[f->call->service].title,
			f->error->message[0] ? f->error->message : "nothing more");
	rc = describe_call_identity(f, err);
	if (rc == LM_OK)
		rc = f->error->code[0] ? describe_call_refusal(f, err) : describe_status(f, err);
	return rc == LM_OK ? rc : lm_wrap(err, "%s", f->call->subject);
}

static void parse_error(const struct https_answer *answer, struct service_error *ret)
{
	service_error_parse(
		lm_buf_str(&answer->body), https_header(answer, "x-amzn-errortype"), ret);
}

static bool is_transient(void *ctx, const struct https_answer *answer)
{
	struct service_error error;

	(void)ctx;
	parse_error(answer, &error);
	return is_transient_error(&error);
}

/// The answer may be a secret: jansson's messages, which quote it, are wiped and not passed on.
static lm_rc parse_answer(
	const struct json_call *c, struct lm_str body, json_t **ret, struct lm_err *err)
{
	json_error_t why;

	if (!lm_str_trim(body).n) // of operations without a result
		body = LM_STR("{}");
	*ret = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &why);
	lm_wipe(&why, sizeof(why));
	if (json_is_object(*ret))
		return LM_OK;
	return lm_fail(err, LM_E_PROTOCOL, 0,
		"%s: %.*s did not answer with a JSON object; check that AWS_ENDPOINT_URL names %s, "
		"and that no proxy answers in its place",
		c->subject, LM_STR_ARG(https_origin_host(lm_str(c->endpoint.origin))),
		services[c->service].title);
}

static void take_failure(
	struct json_call *c, const struct https_answer *answer, struct service_outcome *outcome)
{
	const struct service_failure f = {
		.call = c,
		.host = https_origin_host(lm_str(c->endpoint.origin)),
		.answer = answer,
		.error = &outcome->error,
	};

	parse_error(answer, &outcome->error);
	if (request_correct_clock(&c->request, skewed_server_ms(&f)) ||
		request_correct_credentials(&c->request, outcome->error.code))
		return;
	outcome->rc = describe_call_failure(&f, &outcome->err);
	call_end(c, outcome);
}

static void on_call_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct json_call *c = ctx;
	struct service_outcome outcome = {.rc = rc};
	lm_auto_json json_t *root = NULL;

	if (rc == LM_OK && (answer->status < 200 || answer->status > 299)) {
		take_failure(c, answer, &outcome);
		return;
	}
	if (rc == LM_OK) {
		outcome.rc = parse_answer(c, lm_buf_str(&answer->body), &root, &outcome.err);
		outcome.answer = root;
	} else {
		outcome.err = *err;
		outcome.rc = lm_wrap(&outcome.err, "%s", c->subject);
	}
	call_end(c, &outcome);
}

static lm_rc build_request(struct json_call *c, const struct service_call *call, struct lm_err *err)
{
	lm_rc rc = endpoint_resolve(c->service, c->region, &c->endpoint, err);

	if (rc != LM_OK)
		return lm_wrap(err, "%s", c->subject);
	c->path = lm_xasprintf("%s/", c->endpoint.base_path);
	if (!json_write(call->input, &c->body))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "%s: the request would be over %zu bytes",
			c->subject, c->body.max);
	lm_sha256_hex(lm_buf_str(&c->body), c->body_sha256);
	c->headers[0] = (struct http_pair){LM_STR("Content-Type"), lm_str(content_type)};
	c->headers[1] = (struct http_pair){LM_STR("X-Amz-Target"), lm_str(c->target)};
	c->request.http = (struct https_request){
		.method = "POST",
		.origin = lm_str(c->endpoint.origin),
		.path = lm_str(c->path),
		.body = lm_buf_str(&c->body),
		.body_max = call->answer_max,
		.plain_http = c->endpoint.plain_http,
		.is_transient = is_transient,
	};
	request_set_limits(&c->request.http, &call->limits);
	return LM_OK;
}

void request_start_call(struct https *https, const struct service_call *call,
	struct credentials_provider *credentials)
{
	struct service_outcome outcome = {0};
	struct json_call *c = lm_xcalloc(1, sizeof(*c));

	*c = (struct json_call){
		.service = call->service,
		.region = lm_xstrdup(call->region),
		.subject = lm_xstrdup(call->subject),
		.permission = lm_xstrdup(call->permission),
		.target = lm_xasprintf(
			"%s.%s", services[call->service].target_prefix, call->operation),
		.done = call->done,
		.ctx = call->ctx,
		.body = LM_BUF(LIMIT_LOG_BATCH_JSON),
	};
	c->request = (struct signed_request){
		.https = https,
		.credentials = credentials,
		.done = on_call_answer,
		.ctx = c,
		.headers = c->headers,
		.headers_n = LM_ARRAY_SIZE(c->headers),
		.body_sha256 = c->body_sha256,
		.region = c->region,
		.service = services[call->service].signing_name,
		.clock_offset_ms = call->clock_offset_ms,
	};
	outcome.rc = build_request(c, call, &outcome.err);
	if (outcome.rc != LM_OK)
		call_end(c, &outcome);
	else
		request_send(&c->request);
}
