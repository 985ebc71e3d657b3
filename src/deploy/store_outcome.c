// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "deploy/journal.h"
#include "deploy/store_priv.h"
#include "sys/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

lm_rc store_verdict_read(int generation_fd, struct store_verdict *ret, struct lm_err *err)
{
	lm_auto_json json_t *j = NULL;
	lm_rc rc = store_json_read(generation_fd, STORE_OUTCOME, &j, err);

	if (rc == LM_E_NOT_FOUND || rc == LM_E_INVALID || rc == LM_E_TOO_LARGE) {
		*ret = (struct store_verdict){0};
		return LM_OK;
	}
	if (rc)
		return rc;
	json_int_t attempt = json_integer_value(json_object_get(j, "attempt"));
	*ret = (struct store_verdict){
		.attempt = attempt > 0 && attempt < INT32_MAX ? (unsigned)attempt : 0,
		.success = json_is_true(json_object_get(j, "success")),
		.good = json_is_true(json_object_get(j, "good")),
		.has_status = json_is_string(json_object_get(j, "status")),
	};
	return LM_OK;
}

lm_rc store_is_unreported(
	int generation_fd, const struct store_verdict *verdict, bool *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(STORE_NAME_SIZE);

	if (verdict->attempt == 0 || !verdict->has_status) {
		*ret = false;
		return LM_OK;
	}
	lm_rc rc = store_file_read(generation_fd, STORE_REPORTED, &text, err);
	if (rc == LM_E_SYS)
		return rc;
	// Anything but this attempt's number: rather told twice than not at all.
	*ret = rc != LM_OK ||
	       store_parse_number(lm_str_trim(lm_buf_str(&text))) != verdict->attempt;
	return LM_OK;
}

lm_rc store_drop_fetched(int generation_fd, struct lm_err *err)
{
	static const char *const names[] = {
		STORE_COMPOSE_NEW, STORE_COMPOSE_KEPT, STORE_IMAGES_NEW};
	bool removed = false;

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (unlinkat(generation_fd, names[i], 0) == 0)
			removed = true;
		else if (errno != ENOENT)
			return lm_fail(err, LM_E_SYS, errno, "remove '%s': %m", names[i]);
	}
	return removed ? lm_dir_sync(generation_fd, "generation", err) : LM_OK;
}

/// Renames a file that waited for its outcome; one that is not there was moved before, or never
/// was.
static lm_rc adopt(int fd, const char *from, const char *to, struct lm_err *err)
{
	if (renameat(fd, from, fd, to) < 0 && errno != ENOENT)
		return lm_fail(err, LM_E_SYS, errno, "rename '%s' to '%s': %m", from, to);
	return LM_OK;
}

static lm_rc adopt_or_drop(int fd, const struct store_verdict *verdict, struct lm_err *err)
{
	// What a failed attempt fetched must not replace what once was good.
	if (!verdict->success && verdict->good)
		return store_drop_fetched(fd, err);
	lm_rc rc = adopt(fd, STORE_COMPOSE_KEPT, STORE_COMPOSE, err);
	if (rc == LM_OK)
		rc = adopt(fd, STORE_IMAGES_NEW, STORE_IMAGES, err);
	if (rc == LM_OK)
		rc = lm_dir_sync(fd, "generation", err);
	return rc ? rc : store_drop_fetched(fd, err);
}

lm_rc store_commit(struct store *s, unsigned n, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct store_verdict verdict;
	lm_rc rc = store_open_generation(s, n, &fd, err);

	if (rc == LM_OK)
		rc = store_verdict_read(fd, &verdict, err);
	if (rc == LM_OK)
		rc = adopt_or_drop(fd, &verdict, err);
	if (rc)
		return rc;
	if (verdict.success) {
		char target[STORE_NAME_SIZE];

		(void)snprintf(target, sizeof(target), "generations/%u", n);
		rc = lm_link_replace(s->root_fd, STORE_LAST_GOOD, target, err);
		if (rc)
			return rc;
		s->state.last_good = n;
		rc = lm_link_replace(s->root_fd, STORE_CURRENT, target, err);
		if (rc)
			return rc;
		s->state.current = n;
	}
	return journal_clear(s->root_fd, err);
}

/// A text that may hold bytes that are not UTF-8 (a program's output), as JSON; null for NULL.
static json_t *text_or_null(const char *text)
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
static json_t *good_version(const json_t *before, const struct store_outcome *o)
{
	json_t *version = json_object_get(before, "good_compose_version");

	if (o->success)
		return text_or_null(o->compose_version);
	return version ? json_incref(version) : json_null();
}

static json_t *outcome_to_json(unsigned n, unsigned attempt, bool good, const json_t *before,
	const struct store_outcome *o)
{
	json_t *j = json_object();
	// json_object_set_new takes NULL too, and then fails: `bad` counts that.
	int bad = json_object_set_new(j, "generation", json_integer(n));

	bad |= json_object_set_new(j, "attempt", json_integer(attempt));
	bad |= json_object_set_new(j, "success", json_boolean(o->success));
	bad |= json_object_set_new(j, "good", json_boolean(good));
	bad |= json_object_set_new(j, "stage", text_or_null(o->stage));
	bad |= json_object_set_new(j, "error", text_or_null(o->error));
	bad |= json_object_set_new(j, "message", text_or_null(o->message));
	bad |= json_object_set_new(j, "compose_version", text_or_null(o->compose_version));
	bad |= json_object_set_new(j, "good_compose_version", good_version(before, o));
	bad |= json_object_set_new(j, "started_ms", json_integer(o->started_ms));
	bad |= json_object_set_new(j, "ended_ms", json_integer(o->ended_ms));
	bad |= json_object_set_new(j, "status",
		o->status.n > 0 ? json_stringn(o->status.p, o->status.n) : json_null());
	if (bad == 0)
		return j;
	json_decref(j);
	return NULL;
}

lm_rc store_finish(
	struct store *s, unsigned n, const struct store_outcome *outcome, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct store_verdict before;
	lm_auto_json json_t *last = NULL;
	struct lm_err ignored; // what cannot be read is as none

	if (n == 0 || n != s->state.open)
		return lm_fail(err, LM_E_INVALID, 0, "generation %u is not under way", n);
	lm_rc rc = store_open_generation(s, n, &fd, err);
	if (rc == LM_OK)
		rc = store_verdict_read(fd, &before, err);
	if (rc)
		return rc;
	(void)!store_json_read(fd, STORE_OUTCOME, &last, &ignored);
	lm_auto_json json_t *j = outcome_to_json(
		n, s->state.open_attempt, before.good || outcome->success, last, outcome);
	if (!j)
		return lm_fail(err, LM_E_INVALID, 0, "the status document is not UTF-8");
	lm_auto_json json_t *images = s->images ? json_incref(s->images) : json_object();
	rc = store_json_replace(fd, STORE_IMAGES_NEW, images, err);
	if (rc == LM_OK)
		rc = store_json_replace(fd, STORE_OUTCOME, j, err); // from here on it has ended
	if (rc == LM_OK)
		rc = store_commit(s, n, err);
	if (rc)
		return lm_wrap(err, "record how generation %u ended", n);
	json_decref(lm_take(s->images));
	s->state.open = 0;
	s->state.open_attempt = 0;
	s->state.open_stage[0] = '\0';
	return LM_OK;
}

/// As store_is_unreported, for a number.
static lm_rc examine(const struct store *s, unsigned n, struct store_message *message, bool *ret,
	struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct store_verdict verdict;
	lm_rc rc = store_open_generation(s, n, &fd, err);

	if (rc == LM_OK)
		rc = store_verdict_read(fd, &verdict, err);
	if (rc == LM_OK)
		rc = store_is_unreported(fd, &verdict, ret, err);
	if (rc)
		return rc;
	*message = (struct store_message){n, verdict.attempt};
	return LM_OK;
}

lm_rc store_unreported(
	struct store *s, struct store_message **ret, size_t *ret_count, struct lm_err *err)
{
	lm_auto_free unsigned *numbers = NULL;
	lm_auto_free struct store_message *messages = NULL;
	size_t count = 0, found = 0;
	lm_rc rc = store_numbers(s, &numbers, &count, err);

	for (size_t i = 0; i < count; i++) {
		struct store_message message;
		bool unreported = false;
		struct lm_err later;
		lm_rc one = examine(s, numbers[i], &message, &unreported, rc ? &later : err);

		rc = rc ? rc : one;
		if (one != LM_OK || !unreported)
			continue;
		messages = lm_xrealloc(messages, (found + 1) * sizeof(*messages));
		messages[found++] = message;
	}
	*ret = lm_take(messages);
	*ret_count = found;
	return rc ? lm_wrap(err, "look for unsent status messages") : LM_OK;
}

lm_rc store_read_status(struct store *s, unsigned n, char **ret, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_auto_json json_t *j = NULL;
	lm_rc rc = store_open_generation(s, n, &fd, err);

	if (rc == LM_OK)
		rc = store_json_read(fd, STORE_OUTCOME, &j, err);
	if (rc)
		return lm_wrap(err, "status message of generation %u", n);
	const char *text = json_string_value(json_object_get(j, "status"));
	if (!text)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "generation %u has no status message", n);
	*ret = lm_xstrdup(text);
	return LM_OK;
}

lm_rc store_reported(struct store *s, unsigned n, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	struct store_verdict verdict;
	char text[STORE_NAME_SIZE];
	lm_rc rc = store_open_generation(s, n, &fd, err);

	if (rc == LM_OK)
		rc = store_verdict_read(fd, &verdict, err);
	if (rc == LM_OK && verdict.attempt == 0)
		rc = lm_fail(err, LM_E_NOT_FOUND, 0, "it has no outcome");
	if (rc == LM_OK) {
		(void)snprintf(text, sizeof(text), "%u\n", verdict.attempt);
		rc = lm_file_replace(fd, STORE_REPORTED, lm_str(text), 0600, err);
	}
	return rc ? lm_wrap(err, "mark the status message of generation %u as sent", n) : LM_OK;
}
