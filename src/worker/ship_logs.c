// SPDX-License-Identifier: Apache-2.0
#include "worker/ship_logs.h"

#include "aws/cloudwatch_logs.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "worker/cloud.h"
#include "worker/log_text.h"

#include <unistd.h>

enum { MACHINE_SIZE = 256 };

struct shipment {
	const struct job *job;
	struct report *report;
	struct wait_limit limit;
	struct cloud cloud;
	const char *region;
	char *group, *core;
	int64_t clock_offset_ms; ///< As a batch found it out, for the next.
	struct lm_buf text;
	struct log_event *events;
	size_t events_n;
};

static void shipment_finish(struct shipment *s)
{
	cloud_finish(&s->cloud);
	free(s->group);
	free(s->core);
	lm_buf_finish(&s->text);
	free(s->events);
}

static void forget_batch(struct shipment *s)
{
	lm_buf_finish(&s->text);
	free(s->events);
	s->events = NULL;
	s->events_n = 0;
}

static lm_rc read_batch(struct shipment *s, int log_fd, struct lm_err *err)
{
	s->text = LM_BUF(LIMIT_LOG_CHUNK);
	lm_rc rc = lm_fd_read_all(log_fd, "the log", &s->text, err);

	if (!rc)
		s->events_n = log_text_split(lm_buf_str(&s->text), lm_clock_wall_ms(), &s->events);
	return rc;
}

static lm_rc prepare(struct shipment *s, struct lm_err *err)
{
	const struct host_settings *host = &s->job->host;
	const struct group *group = s->job->group;
	char machine[MACHINE_SIZE] = "";

	if (gethostname(machine, sizeof(machine) - 1) < 0)
		machine[0] = '\0';
	s->region = host->region ? host->region : group->connector.region;
	s->group = log_group_name(s->region);
	s->core = log_core_name(host, group, machine);
	s->cloud.region = s->region;
	return cloud_open(&s->cloud, err);
}

/// One request.
static lm_rc put(struct shipment *s, const struct cloudwatch_logs_request *request,
	struct cloudwatch_logs_result *ret, struct lm_err *err)
{
	cloudwatch_logs_start_put(s->cloud.https, request, s->cloud.credentials, ret);
	lm_rc rc = cloud_run(&s->cloud, err);

	if (rc || !ret->rc)
		return rc;
	*err = ret->err;
	return ret->rc;
}

/// How many bytes of the text the first `n` events are.
static size_t bytes_of(const struct shipment *s, size_t n)
{
	const struct lm_str *last = &s->events[n - 1].message;
	size_t end = (size_t)(last->p + last->n - s->text.data) + 1; // and the line's end

	return end < s->text.len ? end : s->text.len;
}

/// The next request; `*from` moves behind it.
static lm_rc ship_next(struct shipment *s, size_t *from, struct lm_err *err)
{
	const struct log_event *events = &s->events[*from];
	size_t n = log_text_one_day(events, s->events_n - *from);
	lm_auto_free char *stream = log_stream_name(events->time_ms, s->core);
	const struct cloudwatch_logs_request request = {
		.region = s->region,
		.group = s->group,
		.stream = stream,
		.events = events,
		.events_n = n,
		.clock_offset_ms = s->clock_offset_ms,
	};
	struct cloudwatch_logs_result result = {LM_OK};
	lm_rc rc = put(s, &request, &result, err);

	if (rc)
		return rc;
	cloud_note(&s->cloud, "CloudWatch Logs", result.clock_offset_ms);
	s->clock_offset_ms = result.clock_offset_ms;
	*from += result.taken;
	size_t rejected = result.too_new + result.too_old + result.expired;
	return report_send(s->report,
		json_pack("{s:I, s:I}", "shipped", (json_int_t)bytes_of(s, *from), "rejected",
			(json_int_t)rejected),
		err);
}

/// What lightermand had in the file when it gave its order.
static lm_rc ship_batch(struct shipment *s, int log_fd, struct lm_err *err)
{
	size_t from = 0;
	lm_rc rc = read_batch(s, log_fd, err);

	while (!rc && from < s->events_n)
		rc = ship_next(s, &from, err);
	forget_batch(s);
	return rc;
}

/// Whether there is another batch. lightermand decides how long we wait for that.
static lm_rc wait_for_order(struct shipment *s, bool *ret_more, struct lm_err *err)
{
	struct lm_str order;
	lm_rc rc = report_send(s->report, json_pack("{s:b}", "idle", 1), err);

	if (!rc)
		rc = report_wait(s->report, s->job->host.worker_silence_s, err);
	if (!rc)
		rc = report_read_line(s->report, LIMIT_WORKER_LINE, &order, err);
	if (rc)
		return rc;
	*ret_more = lm_str_eq(order, LM_STR("more"));
	if (*ret_more || lm_str_eq(order, LM_STR("end")))
		return LM_OK;
	return lm_fail(err, LM_E_PROTOCOL, 0,
		"lightermand sent something else than 'more' or 'end'; are lightermand and "
		"lighterman-worker of the same version?");
}

static lm_rc ship_all(struct shipment *s, int log_fd, struct lm_err *err)
{
	bool more = true;
	lm_rc rc = prepare(s, err);

	while (!rc && more) {
		rc = ship_batch(s, log_fd, err);
		if (!rc)
			rc = wait_for_order(s, &more, err);
	}
	return rc;
}

void ship_logs_run(const struct job *job, struct report *report, const struct handover *files,
	struct deploy_outcome *ret)
{
	lm_auto(shipment_finish) struct shipment s = {.job = job,
		.report = report,
		.limit = report_limit(report, job->host.worker_silence_s),
		.cloud = {.host = &job->host,
			.key_fd = files->key_fd,
			.certificate_fd = files->certificate_fd},
		.text = LM_BUF(LIMIT_LOG_CHUNK)};

	s.cloud.limit = &s.limit;
	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	ret->rc = ship_all(&s, files->compose_fd, &ret->err);
	ret->ended_ms = lm_clock_mono_ms();
}
