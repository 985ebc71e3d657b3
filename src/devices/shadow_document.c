// SPDX-License-Identifier: Apache-2.0
#include "devices/shadow_document.h"

#include "base/limits.h"

#include <inttypes.h>
#include <string.h>

static const struct {
	int code;
	const char *text;
} rejections[] = {
	[SHADOW_ACCEPTED] = {0, ""},
	[SHADOW_INVALID_JSON] = {400, "Invalid JSON"},
	[SHADOW_NO_STATE] = {400, "Missing required node: state"},
	[SHADOW_STATE_NO_OBJECT] = {400, "State node must be an object"},
	[SHADOW_DESIRED_NO_OBJECT] = {400, "Desired node must be an object"},
	[SHADOW_REPORTED_NO_OBJECT] = {400, "Reported node must be an object"},
	[SHADOW_INVALID_VERSION] = {400, "Invalid version"},
	[SHADOW_INVALID_TOKEN] = {400, "Invalid clientToken"},
	[SHADOW_TOO_DEEP] = {400, "JSON contains too many levels of nesting; maximum is 6"},
	[SHADOW_INVALID_NODE] = {400, "State contains an invalid node"},
	[SHADOW_NO_THING] = {404, "Thing not found"},
	[SHADOW_NO_SHADOW] = {404, "No shadow exists with name: "},
	[SHADOW_CONFLICT] = {409, "Version conflict"},
	[SHADOW_TOO_LARGE] = {413, "The payload exceeds the maximum size allowed"},
	[SHADOW_NOT_UTF8] = {415, "Unsupported documented encoding; supported encoding is UTF-8"},
	[SHADOW_TOO_MANY] = {429, "Too many requests"},
	[SHADOW_FAILURE] = {500, "Internal service failure"},
};

static const char *const operations[] = {
	[SHADOW_GET] = "get", [SHADOW_UPDATE] = "update", [SHADOW_DELETE] = "delete"};

int shadow_rejection_code(enum shadow_rejection why)
{
	return rejections[why].code;
}

const char *shadow_rejection_text(enum shadow_rejection why)
{
	return rejections[why].text;
}

const char *shadow_operation_name(enum shadow_operation operation)
{
	return operations[operation];
}

bool shadow_topic_read(
	struct lm_str topic, struct lm_str *ret_thing, enum shadow_operation *ret_operation)
{
	struct lm_str rest = topic;

	if (!lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("$aws")) ||
		!lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("things")))
		return false;
	struct lm_str thing = lm_str_cut(&rest, '/');
	if (thing.n == 0 || !lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("shadow")))
		return false;
	for (size_t i = 0; i < LM_ARRAY_SIZE(operations); i++) {
		if (lm_str_eq(rest, lm_str(operations[i]))) {
			*ret_thing = thing;
			*ret_operation = (enum shadow_operation)i;
			return true;
		}
	}
	return false;
}

// Text. jansson writes 21.3 as 21.300000000000001: the shortest text that reads as the same number
// is written instead.

static int append_piece(const char *piece, size_t n, void *out)
{
	return lm_buf_add(out, piece, n) ? 0 : -1;
}

static bool write_real(const json_t *number, struct lm_buf *out)
{
	enum { SHORTEST = 15, EXACT = 17 };
	char text[64];

	for (unsigned digits = SHORTEST;; digits++) {
		size_t n = json_dumpb(
			number, text, sizeof(text), JSON_ENCODE_ANY | JSON_REAL_PRECISION(digits));

		if (n > sizeof(text))
			return false;
		lm_auto_json json_t *read = json_loadb(text, n, JSON_DECODE_ANY, NULL);
		if (digits == EXACT || (read && json_real_value(read) == json_real_value(number)))
			return lm_buf_add(out, text, n);
	}
}

/// The comma between members and elements.
static void write_separator(struct lm_buf *out, bool *first)
{
	if (!*first)
		lm_buf_putc(out, ',');
	*first = false;
}

static void write_text(const char *text, size_t n, struct lm_buf *out)
{
	lm_auto_json json_t *string = json_stringn_nocheck(text, n);

	if (json_dump_callback(string, append_piece, out, JSON_ENCODE_ANY) != 0)
		out->overflow = true;
}

static void write_value(const json_t *value, struct lm_buf *out)
{
	const char *key;
	size_t key_n, i;
	json_t *member;
	bool first = true;

	switch (json_typeof(value)) {
	case JSON_OBJECT:
		lm_buf_putc(out, '{');
		json_object_keylen_foreach((json_t *)value, key, key_n, member)
		{
			write_separator(out, &first);
			write_text(key, key_n, out);
			lm_buf_putc(out, ':');
			write_value(member, out);
		}
		lm_buf_putc(out, '}');
		break;
	case JSON_ARRAY:
		lm_buf_putc(out, '[');
		json_array_foreach((json_t *)value, i, member)
		{
			write_separator(out, &first);
			write_value(member, out);
		}
		lm_buf_putc(out, ']');
		break;
	case JSON_REAL:
		if (!write_real(value, out))
			out->overflow = true;
		break;
	case JSON_STRING:
	case JSON_INTEGER:
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL:
		if (json_dump_callback(value, append_piece, out, JSON_ENCODE_ANY) != 0)
			out->overflow = true;
		break;
	}
}

/// The times of what is below a member.
static const json_t *times_below(const json_t *times, const char *key)
{
	return json_is_object(times) ? json_object_get(times, key) : times;
}

/// Metadata: the tree of `value`, with the time in place of each leaf. A delta is a part of the
/// section that the times are of.
static void write_times(const json_t *value, const json_t *times, struct lm_buf *out)
{
	const char *key;
	size_t key_n, i;
	json_t *member;
	bool first = true;

	if (json_is_object(value)) {
		lm_buf_putc(out, '{');
		json_object_keylen_foreach((json_t *)value, key, key_n, member)
		{
			write_separator(out, &first);
			write_text(key, key_n, out);
			lm_buf_putc(out, ':');
			write_times(member, times_below(times, key), out);
		}
		lm_buf_putc(out, '}');
	} else if (json_is_array(value)) {
		lm_buf_putc(out, '[');
		json_array_foreach((json_t *)value, i, member)
		{
			write_separator(out, &first);
			write_times(member, times, out);
		}
		lm_buf_putc(out, ']');
	} else {
		lm_buf_printf(
			out, "{\"timestamp\":%" JSON_INTEGER_FORMAT "}", json_integer_value(times));
	}
}

// Documents

void shadow_document_finish(struct shadow_document *d)
{
	json_decref(d->desired);
	json_decref(d->reported);
	json_decref(d->desired_times);
	json_decref(d->reported_times);
	*d = (struct shadow_document){0};
}

/// Whether more than `levels` objects and arrays are in each other.
static bool is_too_deep(const json_t *value, unsigned levels)
{
	const char *key;
	json_t *member;
	size_t i;

	if (!json_is_object(value) && !json_is_array(value))
		return false;
	if (levels == 0)
		return true;
	json_object_foreach((json_t *)value, key, member)
	{
		if (is_too_deep(member, levels - 1))
			return true;
	}
	json_array_foreach((json_t *)value, i, member)
	{
		if (is_too_deep(member, levels - 1))
			return true;
	}
	return false;
}

/// A section of a stored document with its times.
static bool stored_section(
	const json_t *stored, const char *name, json_t **ret_section, json_t **ret_times)
{
	json_t *section = json_object_get(stored, name);
	json_t *times = json_object_get(json_object_get(stored, "times"), name);

	if (!section)
		return true;
	if (!json_is_object(section) || json_object_size(section) == 0 ||
		!(json_is_object(times) || json_is_integer(times)) ||
		is_too_deep(section, LIMIT_SHADOW_DEPTH) || is_too_deep(times, LIMIT_SHADOW_DEPTH))
		return false;
	*ret_section = json_incref(section);
	*ret_times = json_incref(times);
	return true;
}

lm_rc shadow_document_read(struct lm_str text, struct shadow_document *ret, struct lm_err *err)
{
	lm_auto_json json_t *stored = NULL;
	lm_rc rc = json_parse(text, &stored, err);

	if (rc)
		return lm_wrap(err, "read a stored shadow");
	lm_auto(shadow_document_finish) struct shadow_document d = {.exists = true};
	if (!json_is_object(stored) ||
		!stored_section(stored, "desired", &d.desired, &d.desired_times) ||
		!stored_section(stored, "reported", &d.reported, &d.reported_times))
		return lm_fail(err, LM_E_INVALID, 0, "read a stored shadow: it is no document");
	*ret = d;
	d = (struct shadow_document){0};
	return LM_OK;
}

static void write_member(const char *name, const json_t *value, bool *first, struct lm_buf *out)
{
	if (!value)
		return;
	write_separator(out, first);
	lm_buf_printf(out, "\"%s\":", name);
	write_value(value, out);
}

bool shadow_document_write(const struct shadow_document *d, struct lm_buf *out)
{
	bool first = true, first_time = true;

	lm_buf_putc(out, '{');
	write_member("desired", d->desired, &first, out);
	write_member("reported", d->reported, &first, out);
	write_separator(out, &first);
	lm_buf_puts(out, "\"times\":{");
	write_member("desired", d->desired_times, &first_time, out);
	write_member("reported", d->reported_times, &first_time, out);
	lm_buf_puts(out, "}}");
	return !out->overflow;
}

json_t *shadow_document_state(const struct shadow_document *d)
{
	json_t *state = json_object();

	if (d->desired)
		json_object_set_nocheck(state, "desired", d->desired);
	if (d->reported)
		json_object_set_nocheck(state, "reported", d->reported);
	return state;
}

// Requests

void shadow_request_finish(struct shadow_request *r)
{
	json_decref(r->body);
	*r = (struct shadow_request){0};
}

/// How deep brackets are nested at most, without parsing.
static unsigned nesting(struct lm_str text)
{
	unsigned depth = 0, deepest = 0;
	bool quoted = false;

	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (c == '"') {
			quoted = !quoted;
		} else if (quoted) {
			i += c == '\\'; // and what it escapes
		} else if (c == '{' || c == '[') {
			depth++;
			deepest = depth > deepest ? depth : deepest;
		} else if ((c == '}' || c == ']') && depth > 0) {
			depth--;
		}
	}
	return deepest;
}

/// Whether a null is in an array: it could delete nothing there.
static bool has_null_in_array(const json_t *value, bool in_array)
{
	const char *key;
	json_t *member;
	size_t i;

	if (json_is_null(value))
		return in_array;
	json_object_foreach((json_t *)value, key, member)
	{
		if (has_null_in_array(member, in_array))
			return true;
	}
	json_array_foreach((json_t *)value, i, member)
	{
		if (has_null_in_array(member, true))
			return true;
	}
	return false;
}

static enum shadow_rejection check_section(const json_t *section, enum shadow_rejection no_object)
{
	if (!section || json_is_null(section))
		return SHADOW_ACCEPTED;
	if (!json_is_object(section))
		return no_object;
	if (is_too_deep(section, LIMIT_SHADOW_DEPTH))
		return SHADOW_TOO_DEEP;
	return has_null_in_array(section, false) ? SHADOW_INVALID_NODE : SHADOW_ACCEPTED;
}

static enum shadow_rejection check_sections(const json_t *state)
{
	const char *key;
	json_t *member;

	if (!state)
		return SHADOW_NO_STATE;
	if (!json_is_object(state))
		return SHADOW_STATE_NO_OBJECT;
	json_object_foreach((json_t *)state, key, member)
	{
		if (strcmp(key, "desired") != 0 && strcmp(key, "reported") != 0)
			return SHADOW_INVALID_NODE;
	}
	enum shadow_rejection why =
		check_section(json_object_get(state, "desired"), SHADOW_DESIRED_NO_OBJECT);
	if (why)
		return why;
	return check_section(json_object_get(state, "reported"), SHADOW_REPORTED_NO_OBJECT);
}

static enum shadow_rejection take_token(struct shadow_request *r)
{
	const json_t *token = json_object_get(r->body, "clientToken");

	if (!token)
		return SHADOW_ACCEPTED;
	if (!json_is_string(token) || json_string_length(token) > LIMIT_SHADOW_TOKEN)
		return SHADOW_INVALID_TOKEN;
	r->token = token;
	return SHADOW_ACCEPTED;
}

static enum shadow_rejection read_update(struct shadow_request *r)
{
	r->version = json_object_get(r->body, "version");
	if (r->version && (!json_is_integer(r->version) || json_integer_value(r->version) < 0))
		return SHADOW_INVALID_VERSION;
	r->state = json_object_get(r->body, "state");
	return check_sections(r->state);
}

enum shadow_rejection shadow_request_read(
	enum shadow_operation operation, struct lm_str payload, struct shadow_request *ret)
{
	bool update = operation == SHADOW_UPDATE;

	*ret = (struct shadow_request){.operation = operation};
	if (payload.n > LIMIT_SHADOW_REQUEST)
		return SHADOW_TOO_LARGE;
	if (!lm_str_is_utf8(payload))
		return SHADOW_NOT_UTF8;
	if (nesting(payload) > LIMIT_JSON_DEPTH)
		return update ? SHADOW_TOO_DEEP : SHADOW_ACCEPTED;
	if (json_parse(payload, &ret->body, NULL) != LM_OK || !json_is_object(ret->body))
		return update ? SHADOW_INVALID_JSON : SHADOW_ACCEPTED;
	enum shadow_rejection why = take_token(ret);
	return why || !update ? why : read_update(ret);
}

enum shadow_rejection shadow_request_of_state(json_t *state, struct shadow_request *ret)
{
	*ret = (struct shadow_request){.operation = SHADOW_UPDATE, .body = json_object()};
	json_object_set_nocheck(ret->body, "state", state);
	return read_update(ret);
}

// Merging

/// A copy of a new value, without nulls. NULL: nothing is left of an object but there was
/// something.
static json_t *copy_without_nulls(const json_t *value)
{
	const char *key;
	json_t *member;

	if (!json_is_object(value))
		return json_deep_copy(value);
	json_t *copy = json_object();
	json_object_foreach((json_t *)value, key, member)
	{
		json_t *kept = json_is_null(member) ? NULL : copy_without_nulls(member);

		if (kept)
			json_object_set_new_nocheck(copy, key, kept);
	}
	if (json_object_size(copy) > 0 || json_object_size(value) == 0)
		return copy;
	json_decref(copy);
	return NULL;
}

/// Times as an object with a member for each of the section's, in place of a number for all.
static json_t *spread_times(const json_t *section, const json_t *times)
{
	const char *key;
	json_t *member;
	json_t *spread = json_object();

	json_object_foreach((json_t *)section, key, member)
	{
		const json_t *below = times_below(times, key);

		json_object_set_new_nocheck(
			spread, key, below ? json_incref((json_t *)below) : json_integer(0));
	}
	return spread;
}

/// Merges a request's object into one of the document; `times` has a member for each of its
/// members.
static void merge(json_t *section, json_t *times, const json_t *patch, int64_t now_s)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)patch, key, value)
	{
		json_t *old = json_object_get(section, key);

		if (json_is_object(value) && json_is_object(old)) {
			json_t *below = json_object_get(times, key);

			if (!json_is_object(below)) {
				below = spread_times(old, below);
				json_object_set_new_nocheck(times, key, below);
			}
			merge(old, below, value, now_s);
			continue;
		}
		json_t *copy = json_is_null(value) ? NULL : copy_without_nulls(value);
		if (copy) {
			json_object_set_new_nocheck(section, key, copy);
			json_object_set_new_nocheck(times, key, json_integer(now_s));
		} else {
			json_object_del(section, key);
			json_object_del(times, key);
		}
	}
}

/// One section after the update; both stay NULL if there is none.
static void update_section(const json_t *section, const json_t *times, const json_t *patch,
	int64_t now_s, json_t **ret_section, json_t **ret_times)
{
	if (json_is_null(patch))
		return;
	json_t *copy = section ? json_deep_copy(section) : json_object();
	json_t *copied_times =
		json_is_object(times) ? json_deep_copy(times) : spread_times(copy, times);

	if (patch)
		merge(copy, copied_times, patch, now_s);
	if (json_object_size(copy) > 0) {
		*ret_section = copy;
		*ret_times = copied_times;
		return;
	}
	json_decref(copy);
	json_decref(copied_times);
}

static size_t section_size(const json_t *section)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_SHADOW_REQUEST);

	if (section)
		write_value(section, &text);
	return text.overflow ? text.max : text.len;
}

enum shadow_rejection shadow_document_update(const struct shadow_document *before,
	const struct shadow_request *update, int64_t now_s, struct shadow_document *ret)
{
	lm_auto(shadow_document_finish) struct shadow_document after = {
		.exists = true, .version = before->version + 1};

	if (update->version && (uint64_t)json_integer_value(update->version) != before->version)
		return SHADOW_CONFLICT;
	update_section(before->desired, before->desired_times,
		json_object_get(update->state, "desired"), now_s, &after.desired,
		&after.desired_times);
	update_section(before->reported, before->reported_times,
		json_object_get(update->state, "reported"), now_s, &after.reported,
		&after.reported_times);
	if (section_size(after.desired) + section_size(after.reported) > LIMIT_SHADOW_STATE)
		return SHADOW_TOO_LARGE;
	*ret = after;
	after = (struct shadow_document){0};
	return SHADOW_ACCEPTED;
}

// Differences

static bool is_equal(const json_t *a, const json_t *b)
{
	const char *key;
	json_t *member;

	if (json_is_integer(a) && json_is_integer(b))
		return json_integer_value(a) == json_integer_value(b);
	if (json_is_number(a) && json_is_number(b))
		return json_number_value(a) == json_number_value(b);
	if (json_typeof(a) != json_typeof(b))
		return false;
	if (json_is_array(a)) {
		if (json_array_size(a) != json_array_size(b))
			return false;
		for (size_t i = 0; i < json_array_size(a); i++) {
			if (!is_equal(json_array_get(a, i), json_array_get(b, i)))
				return false;
		}
		return true;
	}
	if (!json_is_object(a))
		return json_equal(a, b);
	if (json_object_size(a) != json_object_size(b))
		return false;
	json_object_foreach((json_t *)a, key, member)
	{
		const json_t *other = json_object_get(b, key);

		if (!other || !is_equal(member, other))
			return false;
	}
	return true;
}

/// What of `desired` is missing in or different from `reported`; NULL: nothing. Shares its values.
static json_t *difference(json_t *desired, const json_t *reported)
{
	const char *key;
	json_t *member;

	if (!reported || !json_is_object(desired) || !json_is_object(reported))
		return reported && is_equal(desired, reported) ? NULL : json_incref(desired);
	json_t *different = json_object();
	json_object_foreach(desired, key, member)
	{
		json_t *below = difference(member, json_object_get(reported, key));

		if (below)
			json_object_set_new_nocheck(different, key, below);
	}
	if (json_object_size(different) > 0)
		return different;
	json_decref(different);
	return NULL;
}

static json_t *document_delta(const struct shadow_document *d)
{
	return d->desired ? difference(d->desired, d->reported) : NULL;
}

// Replies

static void write_sections(const struct shadow_document *d, const json_t *delta, struct lm_buf *out)
{
	bool first = true, first_time = true;

	lm_buf_puts(out, "\"state\":{");
	write_member("desired", d->desired, &first, out);
	write_member("reported", d->reported, &first, out);
	write_member("delta", delta, &first, out);
	lm_buf_puts(out, "},\"metadata\":{");
	if (d->desired) {
		write_separator(out, &first_time);
		lm_buf_puts(out, "\"desired\":");
		write_times(d->desired, d->desired_times, out);
	}
	if (d->reported) {
		write_separator(out, &first_time);
		lm_buf_puts(out, "\"reported\":");
		write_times(d->reported, d->reported_times, out);
	}
	lm_buf_printf(out, "},\"version\":%" PRIu64, d->version);
}

/// What each reply ends with.
static void write_end(const json_t *token, struct lm_buf *out)
{
	if (token) {
		lm_buf_puts(out, ",\"clientToken\":");
		write_value(token, out);
	}
	lm_buf_putc(out, '}');
}

static void write_timestamp(int64_t now_s, struct lm_buf *out)
{
	lm_buf_printf(out, ",\"timestamp\":%" PRId64, now_s);
}

void shadow_write_accepted(const struct shadow_request *request,
	const struct shadow_document *after, int64_t now_s, struct lm_buf *out)
{
	lm_buf_putc(out, '{');
	switch (request->operation) {
	case SHADOW_GET: {
		lm_auto_json json_t *delta = document_delta(after);

		write_sections(after, delta, out);
		break;
	}
	case SHADOW_UPDATE: {
		lm_auto_json json_t *now = json_integer(now_s);

		lm_buf_puts(out, "\"state\":");
		write_value(request->state, out);
		lm_buf_puts(out, ",\"metadata\":");
		write_times(request->state, now, out);
		lm_buf_printf(out, ",\"version\":%" PRIu64, after->version);
		break;
	}
	case SHADOW_DELETE:
		lm_buf_printf(out, "\"version\":%" PRIu64, after->version);
		break;
	}
	write_timestamp(now_s, out);
	write_end(request->token, out);
}

bool shadow_write_delta(
	const struct shadow_document *d, const json_t *token, int64_t now_s, struct lm_buf *out)
{
	lm_auto_json json_t *delta = document_delta(d);

	if (!delta)
		return false;
	lm_buf_printf(out, "{\"version\":%" PRIu64, d->version);
	write_timestamp(now_s, out);
	lm_buf_puts(out, ",\"state\":");
	write_value(delta, out);
	lm_buf_puts(out, ",\"metadata\":");
	write_times(delta, d->desired_times, out);
	write_end(token, out);
	return true;
}

void shadow_write_documents(const struct shadow_document *before,
	const struct shadow_document *after, const json_t *token, int64_t now_s, struct lm_buf *out)
{
	lm_buf_puts(out, "{\"previous\":{");
	write_sections(before, NULL, out);
	lm_buf_puts(out, "},\"current\":{");
	write_sections(after, NULL, out);
	lm_buf_putc(out, '}');
	write_timestamp(now_s, out);
	write_end(token, out);
}

void shadow_write_rejected(enum shadow_rejection why, struct lm_str thing, const json_t *token,
	int64_t now_s, struct lm_buf *out)
{
	lm_buf_printf(out, "{\"code\":%d,\"message\":", rejections[why].code);
	if (why == SHADOW_NO_SHADOW) {
		lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_SHADOW_REPLY);

		lm_buf_printf(&text, "%s'%.*s'", rejections[why].text, LM_STR_ARG(thing));
		write_text(text.data, text.len, out);
	} else {
		write_text(rejections[why].text, strlen(rejections[why].text), out);
		write_timestamp(now_s, out);
	}
	write_end(token, out);
}
