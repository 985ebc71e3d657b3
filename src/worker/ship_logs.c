// SPDX-License-Identifier: Apache-2.0
#include "worker/ship_logs.h"

#include "aws/cloudwatch_logs.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "worker/aws_session.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

enum {
	DAY_MS = 24 * 3600 * 1000,
	/// Lines of two programs may be slightly out of order. Further back, the clock was set.
	BACK_MAX_MS = 10 * 1000,
	CORE_MAX = 256,
};

size_t ship_logs_split(struct lm_str text, int64_t fallback_ms, struct log_event **ret)
{
	struct lm_str rest = text;
	int64_t time_ms = fallback_ms;
	int64_t own_ms = 0;
	enum lm_level ignored;
	size_t lines = 1, n = 0;

	for (size_t i = 0; i < text.n; i++)
		lines += text.p[i] == '\n';
	*ret = lm_xcalloc(lines, sizeof(**ret));
	while (rest.n) {
		struct lm_str line = lm_str_cut(&rest, '\n');

		if (lm_log_parse(line, &own_ms, &ignored) &&
			(own_ms > time_ms || own_ms < time_ms - BACK_MAX_MS || n == 0))
			time_ms = own_ms;
		(*ret)[n++] = (struct log_event){.time_ms = time_ms, .message = line};
	}
	return n;
}

static int64_t day_of(int64_t time_ms)
{
	return time_ms > 0 ? time_ms / DAY_MS : 0;
}

size_t ship_logs_one_day(const struct log_event *events, size_t n)
{
	size_t same = 0;

	while (same < n && day_of(events[same].time_ms) == day_of(events[0].time_ms))
		same++;
	return same;
}

char *ship_logs_group_name(const char *region)
{
	return lm_xasprintf("/aws/greengrass/Lambda/%s/aws/" CONNECTOR_NAME, region);
}

char *ship_logs_stream_name(int64_t time_ms, const char *core)
{
	char time[LM_TIME_SIZE];
	lm_auto_free char *name = NULL;

	(void)lm_time_format_iso(time_ms > 0 ? time_ms : 0, time);
	name = lm_xasprintf(
		"%.4s/%.2s/%.2s/aws/lighterman/%.*s", time, time + 5, time + 8, CORE_MAX, core);
	bool is_utf8 = lm_str_is_utf8(lm_str(name));
	for (char *p = name; *p; p++) {
		unsigned char c = (unsigned char)*p;

		if (c == ':' || c == '*' || c < ' ' || c == 0x7f || (c >= 0x80 && !is_utf8))
			*p = '_';
	}
	return lm_take(name);
}

/// "arn:aws:iot:eu-west-1:123456789012:thing/NAME".
static const char *thing_of(const char *arn)
{
	const char *name = strstr(arn, ":thing/");

	return name ? name + strlen(":thing/") : "";
}

char *ship_logs_core_name(
	const struct host_settings *host, const struct group *group, const char *machine)
{
	if (host->thing_name)
		return lm_xstrdup(host->thing_name);
	if (group->cores_n > 0 && *thing_of(group->cores[0].thing_arn))
		return lm_xstrdup(thing_of(group->cores[0].thing_arn));
	return lm_xstrdup(*machine ? machine : "unknown");
}

enum { MACHINE_SIZE = 256 };

struct shipment {
	const struct task *task;
	struct protocol *protocol;
	struct wait_limit limit;
	struct aws_session session;
	const char *region;
	char *group, *core;
	int64_t clock_offset_ms; ///< From one batch for the next.
	struct lm_buf text;
	struct log_event *events;
	size_t events_n;
};

static void shipment_finish(struct shipment *s)
{
	aws_session_finish(&s->session);
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
		s->events_n = ship_logs_split(lm_buf_str(&s->text), lm_clock_wall_ms(), &s->events);
	return rc;
}

static lm_rc open_shipment(struct shipment *s, struct lm_err *err)
{
	const struct host_settings *host = &s->task->host;
	const struct group *group = s->task->group;
	char machine[MACHINE_SIZE] = "";

	if (gethostname(machine, sizeof(machine) - 1) < 0)
		machine[0] = '\0';
	s->region = host->region ? host->region : group->connector.region;
	s->group = ship_logs_group_name(s->region);
	s->core = ship_logs_core_name(host, group, machine);
	s->session.region = s->region;
	return aws_session_open(&s->session, err);
}

/// One request.
static lm_rc send_request(struct shipment *s, const struct cloudwatch_logs_request *request,
	struct cloudwatch_logs_result *ret, struct lm_err *err)
{
	cloudwatch_logs_start_put(s->session.https, request, s->session.credentials, ret);
	lm_rc rc = aws_session_run(&s->session, err);

	if (rc || !ret->rc)
		return rc;
	*err = ret->err;
	return ret->rc;
}

/// How many bytes of the text the first `n` events are.
static size_t bytes_of(const struct shipment *s, size_t n)
{
	const struct lm_str *last = &s->events[n - 1].message;
	size_t end = (size_t)(last->p + last->n - s->text.data) + 1; // with the newline

	return end < s->text.len ? end : s->text.len;
}

/// Sends the next request, and moves `*from` behind it.
static lm_rc ship_next(struct shipment *s, size_t *from, struct lm_err *err)
{
	const struct log_event *events = &s->events[*from];
	size_t n = ship_logs_one_day(events, s->events_n - *from);
	lm_auto_free char *stream = ship_logs_stream_name(events->time_ms, s->core);
	const struct cloudwatch_logs_request request = {
		.region = s->region,
		.group = s->group,
		.stream = stream,
		.events = events,
		.events_n = n,
		.clock_offset_ms = s->clock_offset_ms,
	};
	struct cloudwatch_logs_result result = {LM_OK};
	lm_rc rc = send_request(s, &request, &result, err);

	if (rc)
		return rc;
	aws_session_note(&s->session, "CloudWatch Logs", result.clock_offset_ms);
	s->clock_offset_ms = result.clock_offset_ms;
	*from += result.taken;
	size_t rejected = result.too_new + result.too_old + result.expired;
	return protocol_send(s->protocol,
		json_pack("{s:I, s:I}", "shipped", (json_int_t)bytes_of(s, *from), "rejected",
			(json_int_t)rejected),
		err);
}

/// Ships the lines that the file had at lightermand's order.
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
	lm_rc rc = protocol_send(s->protocol, json_pack("{s:b}", "idle", 1), err);

	if (!rc)
		rc = protocol_wait(s->protocol, s->task->host.worker_silence_s, err);
	if (!rc)
		rc = protocol_read_line(s->protocol, LIMIT_WORKER_LINE, &order, err);
	if (rc)
		return rc;
	*ret_more = lm_str_eq(order, LM_STR("more"));
	if (*ret_more || lm_str_eq(order, LM_STR("end")))
		return LM_OK;
	return lm_fail(err, LM_E_PROTOCOL, 0,
		"lightermand sent neither 'more' nor 'end'; are lightermand and lighterman-worker "
		"of the same version?");
}

static lm_rc ship_all(struct shipment *s, int log_fd, struct lm_err *err)
{
	bool more = true;
	lm_rc rc = open_shipment(s, err);

	while (!rc && more) {
		rc = ship_batch(s, log_fd, err);
		if (!rc)
			rc = wait_for_order(s, &more, err);
	}
	return rc;
}

void ship_logs_run(const struct task *task, struct protocol *protocol, const struct handover *files,
	struct deploy_outcome *ret)
{
	lm_auto(shipment_finish) struct shipment s = {.task = task,
		.protocol = protocol,
		.limit = protocol_limit(protocol, task->host.worker_silence_s),
		.session = {.host = &task->host,
			.key_fd = files->key_fd,
			.certificate_fd = files->certificate_fd},
		.text = LM_BUF(LIMIT_LOG_CHUNK)};

	s.session.limit = &s.limit;
	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	ret->rc = ship_all(&s, files->compose_fd, &ret->err);
	ret->ended_ms = lm_clock_mono_ms();
}
