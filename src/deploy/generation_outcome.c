// SPDX-License-Identifier: Apache-2.0
#include "deploy/generation_outcome.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "deploy/generation_fetched.h"
#include "deploy/generation_folder.h"
#include "sys/record.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

/// There is none that can be used.
static bool is_missing(lm_rc rc)
{
	return rc == LM_E_NOT_FOUND || rc == LM_E_INVALID || rc == LM_E_TOO_LARGE;
}

static void copy_compose_sha256(const json_t *j, char ret[LM_SHA256_HEX + 1])
{
	const char *text = json_get_text(j, "compose_sha256");

	ret[0] = '\0';
	if (text && lm_hex_is_sha256(lm_str(text)))
		memcpy(ret, text, LM_SHA256_HEX + 1);
}

lm_rc generation_verdict_read(int dir, struct generation_verdict *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	lm_rc rc = generation_json_read(dir, GENERATION_OUTCOME, &j, err);

	if (is_missing(rc)) {
		*ret = (struct generation_verdict){0};
		return LM_OK;
	}
	if (rc)
		return rc;
	int64_t attempt = json_get_int(j, "attempt", 0);
	*ret = (struct generation_verdict){
		.attempt = attempt > 0 && attempt < INT32_MAX ? (unsigned)attempt : 0,
		.success = json_is_true(json_object_get(j, "success")),
		.probation = json_is_true(json_object_get(j, "probation")),
		.good = json_is_true(json_object_get(j, "good")),
		.has_status = json_is_string(json_object_get(j, "status")),
	};
	copy_compose_sha256(j, ret->compose_sha256);
	return LM_OK;
}

/// A text that may hold bytes that are not UTF-8 (a program's output), as JSON; null for NULL.
static json_t *json_text_or_null(const char *text)
{
	if (!text)
		return json_null();
	json_t *j = json_string(text);
	if (j)
		return j;
	lm_auto_free char *ascii = lm_xstrdup(text);
	for (char *c = ascii; *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	return json_string(ascii);
}

/// The version of what becomes, or stays, the generation's compose.yml.
static json_t *good_version(const json_t *last, const struct store_outcome *o)
{
	json_t *version = json_object_get(last, "good_compose_version");

	if (o->success)
		return json_text_or_null(o->compose_version);
	return version ? json_incref(version) : json_null();
}

static json_t *outcome_to_json(unsigned n, unsigned attempt, const json_t *last,
	const char *compose_sha256, const struct store_outcome *o)
{
	json_t *j = json_object();
	bool good = o->success || json_is_true(json_object_get(last, "good"));
	// json_object_set_new takes NULL too, and then fails: `bad` counts that.
	int bad = json_object_set_new(j, "generation", json_integer(n));

	bad |= json_object_set_new(j, "attempt", json_integer(attempt));
	bad |= json_object_set_new(j, "success", json_boolean(o->success));
	// Until it is deployed without, or confirmed: a failed attempt proves nothing.
	bool probation =
		o->success ? o->probation : json_is_true(json_object_get(last, "probation"));
	bad |= json_object_set_new(j, "probation", json_boolean(probation));
	bad |= json_object_set_new(j, "good", json_boolean(good));
	bad |= json_object_set_new(j, "stage", json_text_or_null(o->stage));
	bad |= json_object_set_new(j, "error", json_text_or_null(o->error));
	bad |= json_object_set_new(j, "message", json_text_or_null(o->message));
	bad |= json_object_set_new(j, "compose_version", json_text_or_null(o->compose_version));
	bad |= json_object_set_new(j, "good_compose_version", good_version(last, o));
	bad |= json_object_set_new(
		j, "compose_sha256", *compose_sha256 ? json_string(compose_sha256) : json_null());
	bad |= json_object_set_new(j, "started_ms", json_integer(o->started_ms));
	bad |= json_object_set_new(j, "ended_ms", json_integer(o->ended_ms));
	bad |= json_object_set_new(j, "status",
		o->status.n > 0 ? json_stringn(o->status.p, o->status.n) : json_null());
	if (bad == 0)
		return j;
	json_decref(j);
	return NULL;
}

/// Of the compose file that is the generation's own from this outcome on.
static lm_rc find_sha256(
	int dir, const json_t *last, bool success, char ret[LM_SHA256_HEX + 1], struct lm_err *err)
{
	// What a failed attempt fetched does not replace what once was good.
	bool adopts = success || !json_is_true(json_object_get(last, "good"));

	lm_rc rc = adopts ? generation_fetched_sha256(dir, ret, err) : LM_E_NOT_FOUND;

	if (rc != LM_E_NOT_FOUND)
		return rc;
	copy_compose_sha256(last, ret);
	// It was never hashed: the release before did not.
	if (!*ret)
		rc = generation_compose_sha256(dir, ret, err);
	return rc == LM_E_NOT_FOUND ? LM_OK : rc;
}

lm_rc generation_outcome_write(int dir, unsigned n, unsigned attempt,
	const struct store_outcome *outcome, struct lm_err *err)
{
	lm_auto_json json_t *last = NULL;
	char sha256[LM_SHA256_HEX + 1];
	struct lm_err ignored; // what cannot be read is as none

	(void)!generation_json_read(dir, GENERATION_OUTCOME, &last, &ignored);
	lm_rc rc = find_sha256(dir, last, outcome->success, sha256, err);
	if (rc)
		return rc;
	lm_auto_json json_t *j = outcome_to_json(n, attempt, last, sha256, outcome);
	if (!j)
		return lm_fail(err, LM_E_INVALID, 0, "the status document is not UTF-8");
	return generation_json_replace(dir, GENERATION_OUTCOME, j, err);
}

lm_rc generation_reported_read(int dir, unsigned *ret_attempt, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(GENERATION_NAME_SIZE);
	lm_rc rc = record_read(dir, GENERATION_REPORTED, &text, err);

	if (rc != LM_OK && !is_missing(rc))
		return rc;
	*ret_attempt = rc == LM_OK ? generation_parse_number(lm_str_trim(lm_buf_str(&text))) : 0;
	return LM_OK;
}

lm_rc generation_reported_write(int dir, unsigned attempt, struct lm_err *err)
{
	char text[GENERATION_NAME_SIZE];

	(void)snprintf(text, sizeof(text), "%u\n", attempt);
	return record_replace(dir, GENERATION_REPORTED, lm_str(text), err);
}

lm_rc generation_is_unreported(
	int dir, const struct generation_verdict *verdict, bool *ret, struct lm_err *err)
{
	unsigned reported = 0;
	lm_rc rc = LM_OK;

	*ret = false;
	if (verdict->attempt == 0 || !verdict->has_status)
		return LM_OK;
	rc = generation_reported_read(dir, &reported, err);
	// Anything but this attempt's number: better sent twice than never.
	*ret = rc == LM_OK && reported != verdict->attempt;
	return rc;
}
