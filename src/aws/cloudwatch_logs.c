// SPDX-License-Identifier: Apache-2.0
#include "aws/cloudwatch_logs.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdlib.h>
#include <string.h>

enum {
	LOG_EVENTS_MAX = 10000,
	LOG_EVENT_OVERHEAD = 26,
	NAME_MAX_CHARS = 512,
	MESSAGE_MAX = LIMIT_LOG_BATCH - LOG_EVENT_OVERHEAD,
	SPAN_MAX_MS = 24 * 3600 * 1000, ///< Both ends within: the last one is earlier.
};

static const char cut_mark[] = "...";

bool cloudwatch_logs_is_group(struct lm_str name)
{
	for (size_t i = 0; i < name.n; i++) {
		char c = name.p[i];
		bool usual = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			     (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_' ||
			     c == '/' || c == '#';

		if (!usual)
			return false;
	}
	return name.n > 0 && name.n <= NAME_MAX_CHARS && !lm_str_starts(name, LM_STR("aws/"));
}

bool cloudwatch_logs_is_stream(struct lm_str name)
{
	size_t chars = 0;

	for (size_t i = 0; i < name.n; i++) {
		unsigned char c = (unsigned char)name.p[i];

		if (c == ':' || c == '*' || c < ' ' || c == 0x7F)
			return false;
		chars += (c & 0xC0) != 0x80; // all but continuation bytes
	}
	return chars > 0 && chars <= NAME_MAX_CHARS && lm_str_is_utf8(name);
}

/// The clock of a device that woke up before 1970 is not one that the service takes.
static int64_t time_of(const struct log_event *e)
{
	return e->time_ms > 0 ? e->time_ms : 0;
}

static size_t cost_of(const struct log_event *e)
{
	size_t n = e->message.n < MESSAGE_MAX ? e->message.n : MESSAGE_MAX;

	return n + LOG_EVENT_OVERHEAD;
}

size_t cloudwatch_logs_fit(const struct log_event *events, size_t n)
{
	int64_t first = INT64_MAX, last = 0;
	size_t bytes = 0, count = 0;

	for (size_t i = 0; i < n; i++) {
		const struct log_event *e = &events[i];
		int64_t t = time_of(e);

		if (!e->message.n)
			continue;
		first = t < first ? t : first;
		last = t > last ? t : last;
		bytes += cost_of(e);
		if (++count > LOG_EVENTS_MAX || bytes > LIMIT_LOG_BATCH ||
			last - first >= SPAN_MAX_MS)
			return i;
	}
	return n;
}

/// Bytes of the well-formed character at the front of `s`; 0 if there is none.
static size_t character(struct lm_str s)
{
	unsigned char lead = (unsigned char)s.p[0];
	size_t n = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;

	return lead && n <= s.n && lm_str_is_utf8((struct lm_str){s.p, n}) ? n : 0;
}

/// Replaces what CloudWatch Logs does not take. The length stays, so that cost_of() holds.
static void make_utf8(char *p, size_t n)
{
	for (size_t i = 0; i < n;) {
		size_t c = character((struct lm_str){p + i, n - i});

		if (!c)
			p[i] = '?';
		i += c ? c : 1;
	}
}

static json_t *message_of(const struct log_event *e)
{
	lm_auto_free char *text = NULL;
	size_t n = e->message.n, mark = sizeof(cut_mark) - 1;

	if (n <= MESSAGE_MAX && lm_str_is_utf8(e->message) && !memchr(e->message.p, '\0', n))
		return json_stringn(e->message.p, n);
	text = lm_xmemdup0(e->message.p, n < MESSAGE_MAX ? n : MESSAGE_MAX);
	if (n > MESSAGE_MAX) {
		n = MESSAGE_MAX - mark;
		while ((text[n] & 0xC0) == 0x80 && n > MESSAGE_MAX - mark - 4)
			n--; // not within a character
		memcpy(text + n, cut_mark, mark);
		n += mark;
	}
	make_utf8(text, n);
	return json_stringn(text, n);
}

struct sorted_event {
	const struct log_event *event;
};

static int compare_times(const void *a, const void *b)
{
	const struct log_event *x = ((const struct sorted_event *)a)->event;
	const struct log_event *y = ((const struct sorted_event *)b)->event;

	if (time_of(x) != time_of(y))
		return time_of(x) < time_of(y) ? -1 : 1;
	return x < y ? -1 : x > y; // of one array: their order
}

json_t *cloudwatch_logs_build(const struct log_event *events, size_t n)
{
	lm_auto_free struct sorted_event *sorted = lm_xcalloc(n + 1, sizeof(*sorted));
	json_t *list = json_array();
	size_t count = 0;

	for (size_t i = 0; i < n; i++) {
		if (events[i].message.n)
			sorted[count++].event = &events[i];
	}
	qsort(sorted, count, sizeof(*sorted), compare_times);
	for (size_t i = 0; i < count; i++) {
		const struct log_event *e = sorted[i].event;

		(void)json_array_append_new(
			list, json_pack("{sI so}", "timestamp", (json_int_t)time_of(e), "message",
				      message_of(e)));
	}
	return list;
}

/// One batch: PutLogEvents; if group or stream is missing, CreateLogStream, if that misses the
/// group CreateLogGroup before it, and the batch again.
struct log_put {
	struct https *https;
	const struct cloudwatch_logs_request *request;
	struct credentials_provider *credentials;
	struct cloudwatch_logs_result *result;
	json_t *batch; ///< The input of PutLogEvents.
	size_t sent;
	bool created_group;
};

static void end_put(struct log_put *j)
{
	json_decref(j->batch);
	free(j);
}

static void call_service(
	struct log_put *j, const char *operation, const json_t *input, service_done *done)
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

	request_start_call(j->https, &c, j->credentials);
}

static bool has_code(const struct service_outcome *o, const char *code)
{
	return strcmp(o->error.code, code) == 0;
}

static void note_clock(struct log_put *j, const struct service_outcome *o)
{
	j->result->clock_offset_ms = o->clock_offset_ms;
}

static void fail_put(struct log_put *j, const struct service_outcome *o)
{
	j->result->rc = o->rc;
	j->result->err = o->err;
	end_put(j);
}

static void put_events(struct log_put *j);
static void create_stream(struct log_put *j);

static void on_group(void *ctx, const struct service_outcome *o)
{
	struct log_put *j = ctx;

	note_clock(j, o);
	if (o->rc == LM_OK || has_code(o, "ResourceAlreadyExistsException"))
		create_stream(j);
	else
		fail_put(j, o);
}

static void create_group(struct log_put *j)
{
	lm_auto_json json_t *input = json_pack("{ss}", "logGroupName", j->request->group);

	j->created_group = true;
	call_service(j, "CreateLogGroup", input, on_group);
}

static void on_stream(void *ctx, const struct service_outcome *o)
{
	struct log_put *j = ctx;

	note_clock(j, o);
	if (o->rc == LM_OK || has_code(o, "ResourceAlreadyExistsException"))
		put_events(j);
	else if (has_code(o, "ResourceNotFoundException") && !j->created_group)
		create_group(j);
	else
		fail_put(j, o);
}

static void create_stream(struct log_put *j)
{
	lm_auto_json json_t *input = json_pack(
		"{ss ss}", "logGroupName", j->request->group, "logStreamName", j->request->stream);

	j->result->created = true;
	call_service(j, "CreateLogStream", input, on_stream);
}

static size_t index_or(const json_t *info, const char *key, size_t absent, size_t most)
{
	int64_t i = json_get_int(info, key, (int64_t)absent);

	return i < 0 ? 0 : (size_t)i > most ? most : (size_t)i;
}

/// The events are in the order of time, so what is rejected is at both ends.
static void count_rejected(struct log_put *j, const json_t *answer)
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
	struct log_put *j = ctx;

	note_clock(j, o);
	if (has_code(o, "ResourceNotFoundException") && !j->result->created) {
		create_stream(j);
		return;
	}
	if (o->rc != LM_OK) {
		fail_put(j, o);
		return;
	}
	count_rejected(j, o->answer);
	end_put(j);
}

static void put_events(struct log_put *j)
{
	call_service(j, "PutLogEvents", j->batch, on_put);
}

static lm_rc check_log_names(const struct cloudwatch_logs_request *r, struct lm_err *err)
{
	char shown[4 * 64 + 32];

	if (!cloudwatch_logs_is_group(lm_str(r->group)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' cannot be the name of a log group: 1 to 512 letters, digits and "
			".-_/#, not beginning with aws/",
			lm_str_shorten(lm_str(r->group), 64, shown, sizeof(shown)));
	if (!cloudwatch_logs_is_stream(lm_str(r->stream)))
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
		.taken = cloudwatch_logs_fit(request->events, request->events_n),
		.clock_offset_ms = request->clock_offset_ms,
	};
	ret->rc = check_log_names(request, &ret->err);
	if (ret->rc != LM_OK)
		return;
	lm_auto_json json_t *events = cloudwatch_logs_build(request->events, ret->taken);
	size_t sent = json_array_size(events);

	if (!sent)
		return;
	struct log_put *j = lm_xcalloc(1, sizeof(*j));
	*j = (struct log_put){
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
