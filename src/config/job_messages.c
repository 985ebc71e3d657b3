// SPDX-License-Identifier: Apache-2.0
#include "config/job_messages.h"

#include "base/limits.h"
#include "base/memory.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/// As json_count counts: a document of 32 KB as an object, with the rest around it.
	MESSAGE_VALUES_MAX = 20000,
	SHOWN_BYTES = 100,
};

static const char *const STATUS_NAMES[JOB_STATUSES] = {
	[JOB_STATUS_QUEUED] = "QUEUED",
	[JOB_STATUS_IN_PROGRESS] = "IN_PROGRESS",
	[JOB_STATUS_SUCCEEDED] = "SUCCEEDED",
	[JOB_STATUS_FAILED] = "FAILED",
	[JOB_STATUS_TIMED_OUT] = "TIMED_OUT",
	[JOB_STATUS_REJECTED] = "REJECTED",
	[JOB_STATUS_REMOVED] = "REMOVED",
	[JOB_STATUS_CANCELED] = "CANCELED",
};

const char *job_status_name(enum job_status status)
{
	return status < JOB_STATUSES ? STATUS_NAMES[status] : "";
}

enum job_status job_status_from_name(const char *name)
{
	int status = 0;

	while (status < JOB_STATUSES && !(name && strcmp(STATUS_NAMES[status], name) == 0))
		status++;
	return (enum job_status)status;
}

bool job_status_is_final(enum job_status status)
{
	return status > JOB_STATUS_IN_PROGRESS && status < JOB_STATUSES;
}

static enum job_code code_from_name(const char *name)
{
	static const struct {
		const char *name;
		enum job_code code;
	} codes[] = {
		{"VersionMismatch", JOB_CODE_STALE},
		{"InvalidStateTransition", JOB_CODE_STALE},
		{"ResourceNotFound", JOB_CODE_GONE},
		{"TerminalStateReached", JOB_CODE_GONE},
		{"RequestThrottled", JOB_CODE_LATER},
		{"InternalError", JOB_CODE_LATER},
	};

	for (size_t i = 0; name && i < LM_ARRAY_SIZE(codes); i++) {
		if (strcmp(codes[i].name, name) == 0)
			return codes[i].code;
	}
	return JOB_CODE_INVALID;
}

static bool is_id_character(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_' || c == '-';
}

/// Copies a job's ID; false if it is none.
static bool copy_id(struct lm_str text, char out[JOB_ID_SIZE])
{
	bool fits = text.n > 0 && text.n < JOB_ID_SIZE;

	for (size_t i = 0; fits && i < text.n; i++)
		fits = is_id_character(text.p[i]);
	(void)snprintf(out, JOB_ID_SIZE, "%.*s", fits ? (int)text.n : 0, text.p);
	return fits;
}

// Topics -----------------------------------------------------------------------------------------

static bool cut_prefix(struct lm_str *s, struct lm_str prefix)
{
	if (!lm_str_starts(*s, prefix))
		return false;
	*s = (struct lm_str){s->p + prefix.n, s->n - prefix.n};
	return true;
}

/// What comes after "$aws/things/<thing>/jobs/".
static bool read_rest(struct lm_str rest, struct job_message *ret)
{
	struct lm_str first = lm_str_cut(&rest, '/');

	if (lm_str_eq(first, LM_STR("notify-next")) && rest.n == 0) {
		ret->kind = JOB_KIND_NOTIFY_NEXT;
		return true;
	}
	if (lm_str_eq(first, LM_STR("start-next"))) {
		ret->kind = JOB_KIND_START_NEXT;
	} else {
		struct lm_str verb = lm_str_cut(&rest, '/');

		if (!copy_id(first, ret->id))
			return false;
		ret->kind = lm_str_eq(verb, LM_STR("get"))      ? JOB_KIND_GET
			    : lm_str_eq(verb, LM_STR("update")) ? JOB_KIND_UPDATE
								: JOB_KIND_NONE;
	}
	ret->rejected = lm_str_eq(rest, LM_STR("rejected"));
	return ret->kind != JOB_KIND_NONE && (ret->rejected || lm_str_eq(rest, LM_STR("accepted")));
}

static lm_rc read_job_topic(
	const char *thing, const char *topic, struct job_message *ret, struct lm_err *err)
{
	struct lm_str rest = lm_str(topic);

	if (!cut_prefix(&rest, LM_STR("$aws/things/")) || !cut_prefix(&rest, lm_str(thing)) ||
		!cut_prefix(&rest, LM_STR("/jobs/")) || !read_rest(rest, ret))
		return lm_fail(err, LM_E_NOT_FOUND, 0, "no topic of the jobs of '%s'", thing);
	return LM_OK;
}

char *job_request_topic(const char *thing, const struct job_request *r)
{
	if (r->kind == JOB_KIND_START_NEXT)
		return lm_xasprintf("$aws/things/%s/jobs/start-next", thing);
	return lm_xasprintf("$aws/things/%s/jobs/%s/%s", thing, r->id,
		r->kind == JOB_KIND_GET ? "get" : "update");
}

void job_filters(const char *thing, char *ret[JOB_FILTERS])
{
	static const char *const names[JOB_FILTERS] = {"notify-next", "start-next/accepted",
		"start-next/rejected", "+/get/accepted", "+/get/rejected", "+/update/accepted",
		"+/update/rejected"};

	for (size_t i = 0; i < JOB_FILTERS; i++)
		ret[i] = lm_xasprintf("$aws/things/%s/jobs/%s", thing, names[i]);
}

// What comes -------------------------------------------------------------------------------------

/// A number, or a text that is one: AWS's own interfaces differ. -1: neither.
static int64_t read_job_number(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	uint64_t number = 0;

	if (json_is_integer(value) && json_integer_value(value) >= 0)
		return json_integer_value(value);
	if (json_is_string(value) && lm_str_to_u64(json_text(value), INT64_MAX, &number))
		return (int64_t)number;
	return value ? -1 : 0;
}

static lm_rc fail_protocol(struct lm_err *err, const char *key)
{
	return lm_fail(err, LM_E_INVALID, 0, "'%s' is missing or not as it should be", key);
}

static lm_rc read_execution(
	const char *thing, const json_t *from, struct job_execution *ret, struct lm_err *err)
{
	const json_t *id = json_object_get(from, "jobId");
	const char *of = json_get_text(from, "thingName");

	if (!json_is_string(id) || !copy_id(json_text(id), ret->id))
		return fail_protocol(err, "execution.jobId");
	if (of && strcmp(of, thing) != 0)
		return lm_fail(err, LM_E_INVALID, 0, "the job is of another thing");
	ret->number = read_job_number(from, "executionNumber");
	ret->version = read_job_number(from, "versionNumber");
	if (ret->number < 0 || ret->version < 0)
		return fail_protocol(err, "execution.executionNumber or versionNumber");
	ret->status = job_status_from_name(json_get_text(from, "status"));
	ret->document = json_incref(json_object_get(from, "jobDocument"));
	return LM_OK;
}

static void read_job_state(const json_t *body, struct job_message *ret)
{
	const json_t *state = json_object_get(body, "executionState");
	int64_t version = read_job_number(state, "versionNumber");

	ret->state = job_status_from_name(json_get_text(state, "status"));
	ret->version = version > 0 ? version : 0;
}

static void read_rejection(const json_t *body, struct job_message *ret)
{
	const char *code = json_get_text(body, "code");
	const char *message = json_get_text(body, "message");
	char first[4 * SHOWN_BYTES + 32], second[4 * SHOWN_BYTES + 32];

	ret->code = code_from_name(code);
	(void)snprintf(ret->why, sizeof(ret->why), "%s: %s",
		lm_str_shorten(lm_str(code ? code : "no code"), SHOWN_BYTES, first, sizeof(first)),
		lm_str_shorten(
			lm_str(message ? message : ""), SHOWN_BYTES, second, sizeof(second)));
}

static lm_rc read_body(
	const char *thing, const json_t *body, struct job_message *ret, struct lm_err *err)
{
	const json_t *execution = json_object_get(body, "execution");
	const char *token = json_get_text(body, "clientToken");

	if (!json_is_object(body))
		return lm_fail(err, LM_E_INVALID, 0, "it must be an object, but is %s",
			json_type_name(body));
	if (token && strlen(token) < JOB_TOKEN_SIZE)
		(void)snprintf(ret->token, sizeof(ret->token), "%s", token);
	read_job_state(body, ret);
	if (ret->rejected) {
		read_rejection(body, ret);
		return LM_OK;
	}
	if (execution && !json_is_object(execution) && !json_is_null(execution))
		return fail_protocol(err, "execution");
	ret->has_execution = json_object_size(execution) > 0;
	if (!ret->has_execution)
		return ret->kind == JOB_KIND_GET ? fail_protocol(err, "execution") : LM_OK;
	return read_execution(thing, execution, &ret->execution, err);
}

lm_rc job_message_parse(const char *thing, const char *topic, struct lm_str payload,
	struct job_message *ret, struct lm_err *err)
{
	lm_auto_job_message struct job_message m = {
		.state = JOB_STATUSES, .execution.status = JOB_STATUSES};
	lm_auto_json json_t *body = NULL;
	lm_rc rc = read_job_topic(thing, topic, &m, err);

	if (rc)
		return rc;
	if (!payload.p || payload.n > LIMIT_MQTT_PAYLOAD ||
		json_count(payload) > MESSAGE_VALUES_MAX)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "it is too large");
	rc = json_parse(payload, &body, err);
	if (rc == LM_OK)
		rc = read_body(thing, body, &m, err);
	if (rc)
		return rc;
	*ret = m;
	m = (struct job_message){0};
	return LM_OK;
}

void job_message_finish(struct job_message *m)
{
	json_decref(m->execution.document);
	*m = (struct job_message){0};
}

// Requests ---------------------------------------------------------------------------------------

static json_t *make_details(const struct job_request *r)
{
	json_t *details = json_object();
	char text[JOB_TEXT_SIZE];

	if (r->stage && r->stage[0])
		json_object_set_new(details, "stage", json_string(job_text(r->stage, text)));
	if (r->generation) {
		(void)snprintf(text, sizeof(text), "%u", r->generation);
		json_object_set_new(details, "generation", json_string(text));
	}
	if (r->reason && r->reason[0])
		json_object_set_new(details, "reason", json_string(job_text(r->reason, text)));
	return details;
}

bool job_request_write(const struct job_request *r, struct lm_buf *out)
{
	lm_auto_json json_t *body = json_object();

	if (r->kind != JOB_KIND_START_NEXT && r->number > 0)
		json_object_set_new(body, "executionNumber", json_integer(r->number));
	if (r->kind == JOB_KIND_GET)
		json_object_set_new(body, "includeJobDocument", json_boolean(r->wants_document));
	if (r->kind == JOB_KIND_UPDATE) {
		json_object_set_new(body, "status", json_string(job_status_name(r->status)));
		json_object_set_new(body, "statusDetails", make_details(r));
		if (r->version > 0)
			json_object_set_new(body, "expectedVersion", json_integer(r->version));
		json_object_set_new(body, "includeJobExecutionState", json_true());
	}
	json_object_set_new(body, "clientToken", json_string(r->token));
	return json_write(body, out);
}

/// What is no character to be read: controls, formats, private use, and ranges that hold nothing.
/// What later versions of Unicode may fill is not here.
static bool is_no_text(uint32_t c)
{
	static const struct {
		uint32_t first, last;
	} ranges[] = {
		{0x0, 0x1f},
		{0x7f, 0x9f},
		{0xad, 0xad},
		{0x600, 0x605},
		{0x61c, 0x61c},
		{0x6dd, 0x6dd},
		{0x70f, 0x70f},
		{0x890, 0x891},
		{0x8e2, 0x8e2},
		{0x180e, 0x180e},
		{0x200b, 0x200f},
		{0x202a, 0x202e},
		{0x2060, 0x206f},
		{0xd800, 0xf8ff},
		{0xfdd0, 0xfdef},
		{0xfeff, 0xfeff},
		{0xfff0, 0xfffb},
		{0x110bd, 0x110bd},
		{0x110cd, 0x110cd},
		{0x13430, 0x1343f},
		{0x1bca0, 0x1bca3},
		{0x1d173, 0x1d17a},
		{0xe0000, 0xe00ff},
		{0xf0000, 0x10ffff},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(ranges); i++) {
		if (c >= ranges[i].first && c <= ranges[i].last)
			return true;
	}
	return (c & 0xfffe) == 0xfffe; // the last two of each plane
}

/// The character at `p`, of valid UTF-8, and how many bytes it has.
static uint32_t read_character(const char *p, size_t *ret_n)
{
	const unsigned char first = (unsigned char)*p;
	uint32_t c = first < 0x80   ? first
		     : first < 0xe0 ? first & 0x1f
		     : first < 0xf0 ? first & 0xf
				    : first & 0x7;

	*ret_n = first < 0x80 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
	for (size_t i = 1; i < *ret_n; i++)
		c = c << 6 | ((unsigned char)p[i] & 0x3f);
	return c;
}

char *job_text(const char *text, char out[JOB_TEXT_SIZE])
{
	bool is_utf8 = lm_str_is_utf8(lm_str(text));
	size_t n = 0, bytes = 1;

	for (const char *p = text; *p; p += bytes) {
		unsigned char byte = (unsigned char)*p;
		uint32_t c = is_utf8 ? read_character(p, &bytes) : byte < 0x80 ? byte : '?';
		bool is_replaced = is_no_text(c);
		size_t takes = is_replaced ? 1 : bytes;

		if (n + takes >= JOB_TEXT_SIZE)
			break;
		if (is_replaced || !is_utf8)
			out[n] = is_replaced ? ' ' : (char)c;
		else
			memcpy(out + n, p, bytes);
		n += takes;
	}
	out[n] = '\0';
	return out;
}
