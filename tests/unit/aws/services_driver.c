// SPDX-License-Identifier: Apache-2.0
/// Asks Secrets Manager, ECR and CloudWatch Logs for tests/e2e/aws_services_test.py: takes what to
/// ask for as JSON on stdin and credentials from the environment, starts all of it at the same
/// time, and prints what came of it as JSON.
#include "aws/cloudwatch_logs.h"
#include "aws/ecr.h"
#include "aws/secrets_manager.h"
#include "aws/shared_config.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/json.h"

#include <stdio.h>
#include <string.h>

/// What is asked, of whom, within which limits.
struct driver {
	const json_t *in;
	struct https *https;
	struct credentials_provider *credentials;
	struct request_limits limits;
	struct wait_limit wait;
};

static json_t *outcome(lm_rc rc, const struct lm_err *err, int64_t clock_offset_ms)
{
	return json_pack("{ss ss sI}", "rc", rc == LM_OK ? "ok" : lm_rc_name(rc), "message",
		err->msg, "clock_offset_ms", (json_int_t)clock_offset_ms);
}

static json_t *show_secret(const struct secret_result *r)
{
	json_t *out = outcome(r->rc, &r->err, r->clock_offset_ms);

	if (r->rc == LM_OK)
		(void)json_object_update_new(
			out, json_pack("{ss ss ss}", "username", r->value.username, "password",
				     r->value.password.data, "registryUrl", r->value.registry_url));
	return out;
}

static json_t *show_token(const struct ecr_result *r)
{
	json_t *out = outcome(r->rc, &r->err, r->clock_offset_ms);

	if (r->rc == LM_OK)
		(void)json_object_update_new(
			out, json_pack("{ss ss sI}", "username", r->username, "password",
				     r->password.data, "expires_ms", (json_int_t)r->expires_ms));
	return out;
}

static json_t *show_batch(const struct cloudwatch_logs_result *r)
{
	json_t *out = outcome(r->rc, &r->err, r->clock_offset_ms);

	(void)json_object_update_new(
		out, json_pack("{sI sI sI sI sb}", "taken", (json_int_t)r->taken, "too_new",
			     (json_int_t)r->too_new, "too_old", (json_int_t)r->too_old, "expired",
			     (json_int_t)r->expired, "created", r->created));
	return out;
}

/// Batch after batch, until all events are taken or one fails.
static json_t *ship(struct driver *d, const json_t *in)
{
	const json_t *list = json_object_get(in, "events");
	size_t n = json_array_size(list);
	lm_auto_free struct log_event *events = lm_xcalloc(n + 1, sizeof(*events));
	struct cloudwatch_logs_request r = {
		.region = json_get_text(in, "region"),
		.group = json_get_text(in, "group"),
		.stream = json_get_text(in, "stream"),
		.events = events,
		.events_n = n,
		.limits = d->limits,
	};
	struct cloudwatch_logs_result result = {0};
	json_t *out = json_array();

	for (size_t i = 0; i < n; i++) {
		const json_t *event = json_array_get(list, i);

		events[i] = (struct log_event){json_integer_value(json_array_get(event, 0)),
			json_text(json_array_get(event, 1))};
	}
	while (r.events_n && result.rc == LM_OK) {
		cloudwatch_logs_start_put(d->https, &r, d->credentials, &result);
		(void)https_run(d->https, &d->wait, NULL);
		(void)json_array_append_new(out, show_batch(&result));
		r.events += result.taken;
		r.events_n -= result.taken;
		r.clock_offset_ms = result.clock_offset_ms;
	}
	return out;
}

/// All secrets and tokens at the same time.
static json_t *fetch(struct driver *d)
{
	const json_t *secrets = json_object_get(d->in, "secrets");
	const json_t *hosts = json_object_get(d->in, "registries");
	size_t secrets_n = json_array_size(secrets), hosts_n = json_array_size(hosts);
	lm_auto_free struct secret_request *wanted = lm_xcalloc(secrets_n + 1, sizeof(*wanted));
	lm_auto_free struct secret_result *values = lm_xcalloc(secrets_n + 1, sizeof(*values));
	lm_auto_free struct ecr_request *registries = lm_xcalloc(hosts_n + 1, sizeof(*registries));
	lm_auto_free struct ecr_result *tokens = lm_xcalloc(hosts_n + 1, sizeof(*tokens));
	json_t *out = json_pack("{s[] s[]}", "secrets", "registries");

	for (size_t i = 0; i < secrets_n; i++) {
		wanted[i] = (struct secret_request){
			json_string_value(json_array_get(secrets, i)), d->limits};
		secrets_manager_start(d->https, &wanted[i], d->credentials, &values[i]);
	}
	for (size_t i = 0; i < hosts_n; i++) {
		registries[i].limits = d->limits;
		if (!ecr_registry_parse(
			    json_text(json_array_get(hosts, i)), &registries[i].registry))
			exit(64);
		ecr_start_token(d->https, &registries[i], d->credentials, &tokens[i]);
	}
	(void)https_run(d->https, &d->wait, NULL); // a failure of it is in the results
	for (size_t i = 0; i < secrets_n; i++) {
		(void)json_array_append_new(
			json_object_get(out, "secrets"), show_secret(&values[i]));
		secret_result_finish(&values[i]);
	}
	for (size_t i = 0; i < hosts_n; i++) {
		(void)json_array_append_new(
			json_object_get(out, "registries"), show_token(&tokens[i]));
		ecr_result_finish(&tokens[i]);
	}
	return out;
}

int main(void)
{
	json_error_t e;
	struct lm_err err = {0};

	secret_json_harden();
	lm_auto_json json_t *in = json_loadf(stdin, 0, &e);
	if (!in)
		return 64;
	struct driver d = {
		.in = in,
		.limits = {.timeout_ms = (unsigned)json_get_int(in, "timeout_ms", 0),
			.attempts = (unsigned)json_get_int(in, "attempts", 2),
			.backoff_base_ms = 1,
			.backoff_max_ms = 10},
		.wait = {.deadline_ms = lm_clock_mono_ms() + 60 * 1000, .cancel_fd = -1},
	};
	const struct credentials_settings settings = {0}; // the environment's

	if (shared_config_https(&d.https, &err) != LM_OK ||
		credentials_provider_create(&settings, &d.wait, &d.credentials, &err) != LM_OK) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	lm_auto_json json_t *out = fetch(&d);
	const json_t *logs = json_object_get(in, "logs");
	if (logs)
		(void)json_object_set_new(out, "logs", ship(&d, logs));
	(void)json_dumpf(out, stdout, JSON_COMPACT);
	(void)putchar('\n');
	https_destroy(d.https);
	credentials_provider_destroy(d.credentials);
	return 0;
}
