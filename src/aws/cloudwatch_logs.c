// SPDX-License-Identifier: Apache-2.0
#include "aws/cloudwatch_logs.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

/// One batch: PutLogEvents; if group or stream is missing, CreateLogStream, if that misses the
/// group CreateLogGroup before it, and the batch again.
struct job {
	struct https *https;
	const struct cloudwatch_logs_request *request;
	struct credentials_provider *credentials;
	struct cloudwatch_logs_result *result;
	json_t *batch; ///< The input of PutLogEvents.
	size_t sent;
	bool created_group;
};

static void job_end(struct job *j)
{
	json_decref(j->batch);
	free(j);
}

static void call(struct job *j, const char *operation, const json_t *input, service_done *done)
{
	const struct cloudwatch_logs_request *r = j->request;
	lm_auto_free char *subject =
		lm_xasprintf("log stream '%.200s' of group '%s'", r->stream, r->group);
	lm_auto_free char *permission = lm_xasprintf("logs:%s on arn:%s:logs:%s:*:log-group:%s:*",
		operation, endpoint_partition(r->region), r->region, r->group);
	const struct service_call c = {
		.service = AWS_CLOUDWATCH_LOGS,
		.region = r->region,
		.operation = operation,
		.subject = subject,
		.permission = permission,
		.input = input,
		.answer_max = LIMIT_HTTP_ERROR_BODY,
		.clock_offset_ms = j->result->clock_offset_ms,
		.limits = r->limits,
		.done = done,
		.ctx = j,
	};

	json_service_start(j->https, &c, j->credentials);
}

static bool has_code(const struct service_outcome *o, const char *code)
{
	return strcmp(o->error.code, code) == 0;
}

static void note(struct job *j, const struct service_outcome *o)
{
	j->result->clock_offset_ms = o->clock_offset_ms;
}

static void fail(struct job *j, const struct service_outcome *o)
{
	j->result->rc = o->rc;
	j->result->err = o->err;
	job_end(j);
}

static void put_events(struct job *j);
static void create_stream(struct job *j);

static void on_group(void *ctx, const struct service_outcome *o)
{
	struct job *j = ctx;

	note(j, o);
	if (o->rc == LM_OK || has_code(o, "ResourceAlreadyExistsException"))
		create_stream(j);
	else
		fail(j, o);
}

static void create_group(struct job *j)
{
	lm_auto_json json_t *input = json_pack("{ss}", "logGroupName", j->request->group);

	j->created_group = true;
	call(j, "CreateLogGroup", input, on_group);
}

static void on_stream(void *ctx, const struct service_outcome *o)
{
	struct job *j = ctx;

	note(j, o);
	if (o->rc == LM_OK || has_code(o, "ResourceAlreadyExistsException"))
		put_events(j);
	else if (has_code(o, "ResourceNotFoundException") && !j->created_group)
		create_group(j);
	else
		fail(j, o);
}

static void create_stream(struct job *j)
{
	lm_auto_json json_t *input = json_pack(
		"{ss ss}", "logGroupName", j->request->group, "logStreamName", j->request->stream);

	j->result->created = true;
	call(j, "CreateLogStream", input, on_stream);
}

static size_t index_or(const json_t *info, const char *key, size_t absent, size_t most)
{
	int64_t i = json_get_int(info, key, (int64_t)absent);

	return i < 0 ? 0 : (size_t)i > most ? most : (size_t)i;
}

/// The events are in the order of time, so what is refused is at their ends.
static void count_rejected(struct job *j, const json_t *answer)
{
	const json_t *info = json_object_get(answer, "rejectedLogEventsInfo");
	size_t n = j->sent;
	size_t too_old = index_or(info, "tooOldLogEventEndIndex", 0, n);
	size_t expired = index_or(info, "expiredLogEventEndIndex", 0, n);

	j->result->too_new = n - index_or(info, "tooNewLogEventStartIndex", n, n);
	j->result->too_old = too_old;
	j->result->expired = expired > too_old ? expired - too_old : 0;
}

static void on_put(void *ctx, const struct service_outcome *o)
{
	struct job *j = ctx;

	note(j, o);
	if (has_code(o, "ResourceNotFoundException") && !j->result->created) {
		create_stream(j);
		return;
	}
	if (o->rc != LM_OK) {
		fail(j, o);
		return;
	}
	count_rejected(j, o->answer);
	job_end(j);
}

static void put_events(struct job *j)
{
	call(j, "PutLogEvents", j->batch, on_put);
}

static lm_rc check_names(const struct cloudwatch_logs_request *r, struct lm_err *err)
{
	char shown[4 * 64 + 32];

	if (!log_group_is_name(lm_str(r->group)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' cannot be the name of a log group: 1 to 512 letters, digits and "
			".-_/#, not beginning with aws/",
			lm_str_shorten(lm_str(r->group), 64, shown, sizeof(shown)));
	if (!log_stream_is_name(lm_str(r->stream)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' cannot be the name of a log stream: 1 to 512 characters without ':' "
			"and '*'",
			lm_str_shorten(lm_str(r->stream), 64, shown, sizeof(shown)));
	return LM_OK;
}

void cloudwatch_logs_start_put(struct https *https, const struct cloudwatch_logs_request *request,
	struct credentials_provider *credentials, struct cloudwatch_logs_result *ret)
{
	*ret = (struct cloudwatch_logs_result){
		.taken = log_batch_fit(request->events, request->events_n),
		.clock_offset_ms = request->clock_offset_ms,
	};
	ret->rc = check_names(request, &ret->err);
	if (ret->rc != LM_OK)
		return;
	lm_auto_json json_t *events = log_batch_build(request->events, ret->taken);
	size_t sent = json_array_size(events);

	if (!sent)
		return;
	struct job *j = lm_xcalloc(1, sizeof(*j));
	*j = (struct job){
		.https = https,
		.request = request,
		.credentials = credentials,
		.result = ret,
		.batch = json_pack("{ss ss sO}", "logGroupName", request->group, "logStreamName",
			request->stream, "logEvents", events),
		.sent = sent,
	};
	put_events(j);
}
