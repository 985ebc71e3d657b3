// SPDX-License-Identifier: Apache-2.0
#include "aws/json_service_priv.h"

#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum { ACCESS_KEY_SHOWN = 64 };

static const char content_type[] = "application/x-amz-json-1.1";

static const struct {
	const char *title, *signing_name, *target_prefix;
} services[] = {
	[AWS_SECRETS_MANAGER] = {"Secrets Manager", "secretsmanager", "secretsmanager"},
	[AWS_ECR] = {"ECR", "ecr", "AmazonEC2ContainerRegistry_V20150921"},
	[AWS_CLOUDWATCH_LOGS] = {"CloudWatch Logs", "logs", "Logs_20140328"},
};

/// A call under way. The texts are its own.
struct job {
	struct https *https;
	struct credentials_provider *credentials;
	enum aws_service service;
	char *region, *subject, *permission, *target;
	size_t answer_max;
	struct service_limits limits;
	service_done *done;
	void *ctx;

	struct aws_endpoint endpoint;
	char *path;
	struct lm_buf body;
	char body_sha256[SIGV4_SHA256_HEX_SIZE];
	int64_t clock_offset_ms;
	// How the last attempt was signed:
	int64_t signed_ms;
	unsigned signed_serial;
	char signed_key[ACCESS_KEY_SHOWN + 1];
	const char *signed_source;
	bool clock_corrected, credentials_corrected;
};

static void job_destroy(struct job *j)
{
	free(j->region);
	free(j->subject);
	free(j->permission);
	free(j->target);
	endpoint_finish(&j->endpoint);
	free(j->path);
	lm_buf_finish(&j->body);
	free(j);
}

static void job_end(struct job *j, struct service_outcome *outcome)
{
	outcome->clock_offset_ms = j->clock_offset_ms;
	j->done(j->ctx, outcome);
	job_destroy(j);
}

static lm_rc prepare(void *ctx, unsigned attempt, struct header_list *headers, struct lm_err *err)
{
	struct job *j = ctx;
	const struct http_pair own[] = {
		{LM_STR("Content-Type"), lm_str(content_type)},
		{LM_STR("X-Amz-Target"), lm_str(j->target)},
	};

	const struct aws_credentials *credentials = NULL;
	lm_rc rc = credentials_get(j->credentials, &credentials, err);

	(void)attempt;
	if (rc != LM_OK)
		return rc;
	(void)snprintf(j->signed_key, sizeof(j->signed_key), "%s", credentials->access_key_id);
	j->signed_source = credentials->source;
	j->signed_serial = credentials->serial;
	j->signed_ms = lm_clock_wall_ms() + j->clock_offset_ms;
	const struct sigv4_request r = {
		.method = "POST",
		.host = https_origin_host(lm_str(j->endpoint.origin)),
		.path = lm_str(j->path),
		.headers = own,
		.headers_n = LM_ARRAY_SIZE(own),
		.body_sha256 = j->body_sha256,
		.region = j->region,
		.service = services[j->service].signing_name,
		.wall_ms = j->signed_ms,
	};
	for (size_t i = 0; i < LM_ARRAY_SIZE(own); i++)
		header_list_add(headers, own[i].name, own[i].value);
	sigv4_sign(&r, credentials, headers);
	return LM_OK;
}

static void parse_error(const struct https_answer *answer, struct service_error *ret)
{
	service_error_parse(lm_buf_str(&answer->body),
		header_list_get(&answer->headers, "x-amzn-errortype"), ret);
}

static bool is_transient(void *ctx, const struct https_answer *answer)
{
	struct service_error error;

	(void)ctx;
	parse_error(answer, &error);
	return json_service_is_transient(&error);
}

static void on_answer(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err);

static void send_request(struct job *j)
{
	const struct https_request request = {
		.method = "POST",
		.origin = lm_str(j->endpoint.origin),
		.path = lm_str(j->path),
		.body = lm_buf_str(&j->body),
		.body_max = j->answer_max,
		.plain_http = j->endpoint.plain_http,
		.prepare = prepare,
		.is_transient = is_transient,
		.done = on_answer,
		.ctx = j,
		.connect_timeout_ms = j->limits.connect_timeout_ms,
		.timeout_ms = j->limits.timeout_ms,
		.attempts = j->limits.attempts,
		.backoff_base_ms = j->limits.backoff_base_ms,
		.backoff_max_ms = j->limits.backoff_max_ms,
	};
	https_start(j->https, &request);
}

/// The answer may be a secret: jansson's messages, which quote it, are wiped and not passed on.
static lm_rc parse_answer(const struct job *j, struct lm_str body, json_t **ret, struct lm_err *err)
{
	json_error_t why;

	if (!lm_str_trim(body).n) // of operations without a result
		body = LM_STR("{}");
	*ret = json_loadb(body.p, body.n, JSON_REJECT_DUPLICATES, &why);
	lm_wipe(&why, sizeof(why));
	if (json_is_object(*ret))
		return LM_OK;
	return lm_fail(err, LM_E_PROTOCOL, 0,
		"%s: %.*s answers with something that is no JSON object; check that "
		"AWS_ENDPOINT_URL names %s, and that no proxy answers in its place",
		j->subject, LM_STR_ARG(https_origin_host(lm_str(j->endpoint.origin))),
		services[j->service].title);
}

/// Signs once more, with the server's time. False if that is not what is wrong.
static bool correct_clock(struct job *j, int64_t server_ms)
{
	if (!server_ms || j->clock_corrected)
		return false;
	j->clock_corrected = true;
	j->clock_offset_ms = server_ms - lm_clock_wall_ms();
	send_request(j);
	return true;
}

/// Signs once more, with other credentials. False if they are not what is wrong, or there are none.
static bool correct_credentials(struct job *j, const struct service_error *e)
{
	if (!json_service_is_expired(e) || j->credentials_corrected ||
		!credentials_expire(j->credentials, j->signed_serial))
		return false;
	j->credentials_corrected = true;
	send_request(j);
	return true;
}

static void take_failure(
	struct job *j, const struct https_answer *answer, struct service_outcome *outcome)
{
	const struct service_failure f = {
		.service = services[j->service].title,
		.region = j->region,
		.subject = j->subject,
		.permission = j->permission,
		.access_key_id = j->signed_key,
		.source = j->signed_source,
		.host = https_origin_host(lm_str(j->endpoint.origin)),
		.answer = answer,
		.error = &outcome->error,
		.signed_ms = j->signed_ms,
	};

	parse_error(answer, &outcome->error);
	if (correct_clock(j, json_service_server_ms(&f)) || correct_credentials(j, &outcome->error))
		return;
	outcome->rc = json_service_describe(&f, &outcome->err);
	job_end(j, outcome);
}

static void on_answer(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct job *j = ctx;
	struct service_outcome outcome = {.rc = rc};
	lm_auto_json json_t *root = NULL;

	if (rc == LM_OK && (answer->status < 200 || answer->status > 299)) {
		take_failure(j, answer, &outcome);
		return;
	}
	if (rc == LM_OK) {
		outcome.rc = parse_answer(j, lm_buf_str(&answer->body), &root, &outcome.err);
		outcome.answer = root;
	} else {
		outcome.err = *err;
		outcome.rc = lm_wrap(&outcome.err, "%s", j->subject);
	}
	job_end(j, &outcome);
}

static lm_rc build_request(struct job *j, const json_t *input, struct lm_err *err)
{
	lm_rc rc = endpoint_resolve(j->service, j->region, &j->endpoint, err);

	if (rc != LM_OK)
		return lm_wrap(err, "%s", j->subject);
	j->path = lm_xasprintf("%s/", j->endpoint.base_path);
	if (!json_write(input, &j->body))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "%s: the request would be over %zu bytes",
			j->subject, j->body.max);
	sigv4_sha256_hex(lm_buf_str(&j->body), j->body_sha256);
	return LM_OK;
}

void json_service_start(struct https *https, const struct service_call *call,
	struct credentials_provider *credentials)
{
	struct service_outcome outcome = {0};
	struct job *j = lm_xcalloc(1, sizeof(*j));

	*j = (struct job){
		.https = https,
		.credentials = credentials,
		.service = call->service,
		.region = lm_xstrdup(call->region),
		.subject = lm_xstrdup(call->subject),
		.permission = lm_xstrdup(call->permission),
		.target = lm_xasprintf(
			"%s.%s", services[call->service].target_prefix, call->operation),
		.answer_max = call->answer_max,
		.limits = call->limits,
		.done = call->done,
		.ctx = call->ctx,
		.body = LM_BUF(LIMIT_LOG_BATCH_JSON),
		.clock_offset_ms = call->clock_offset_ms,
	};
	outcome.rc = build_request(j, call->input, &outcome.err);
	if (outcome.rc != LM_OK)
		job_end(j, &outcome);
	else
		send_request(j);
}
