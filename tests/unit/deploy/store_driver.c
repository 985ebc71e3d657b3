// SPDX-License-Identifier: Apache-2.0
//
// A program to be killed: it does with a store what lightermand does, and says on stdout what it
// was told is done. tests/e2e/store_kill_test.py runs it.
//
//     store_driver run DIR      finish what was interrupted, then a few deployments
//     store_driver check DIR    open the store, verify it, print what it knows
//     store_driver take-up DIR  check, then run
//     store_driver mend DIR     open the store, print what it found damaged
//     store_driver full DIR     do what a full disk must take, and what it may refuse; DIR is on a
//                               small disk, which it fills
//
// A call that fails is reported on stderr and made once more, as the store promises it may be.

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "deploy/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { COMPOSE_LINES = 400 };

static void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void say(const char *format, ...)
{
	char line[256];
	va_list ap;

	va_start(ap, format);
	int n = vsnprintf(line, sizeof(line), format, ap);
	va_end(ap);
	for (int tries = 0; tries < 2;
		tries++) // a fault that hits these words is none of the store's
		if (write(STDOUT_FILENO, line, (size_t)n) == n)
			return;
}

/// The call's result, of its second try if the first failed.
#define TWICE(call)                                                                                \
	({                                                                                         \
		struct lm_err err = {LM_OK};                                                       \
		lm_rc rc_ = (call);                                                                \
		if (rc_ != LM_OK) {                                                                \
			(void)fprintf(stderr, "error: %s: %s\n", lm_rc_name(rc_), err.msg);        \
			rc_ = (call);                                                              \
			if (rc_ != LM_OK) {                                                        \
				(void)fprintf(stderr, "again: %s\n", err.msg);                     \
				exit(1);                                                           \
			}                                                                          \
		}                                                                                  \
	})

static char *compose_text(unsigned n, unsigned attempt)
{
	struct lm_buf text = LM_BUF(1 << 20);

	for (int i = 0; i < COMPOSE_LINES; i++)
		(void)lm_buf_printf(&text, "# generation %u attempt %u line %d\n", n, attempt, i);
	return lm_buf_take(&text);
}

/// What the worker does with fd 3.
static void write_compose(struct store *s, unsigned n, unsigned attempt)
{
	lm_auto_free char *text = compose_text(n, attempt);
	lm_auto_close int fd = -1;

	TWICE(store_compose_open(s, n, false, &fd, &err));
	for (const char *p = text; *p;) {
		ssize_t done = write(fd, p, strlen(p) > 4000 ? 4000 : strlen(p));

		if (done < 0)
			continue; // the worker's own business
		p += done;
	}
	TWICE(store_compose_keep(s, n, &err));
}

static void report_all(struct store *s)
{
	lm_auto_free struct store_message *messages = NULL;
	size_t count = 0;

	TWICE(store_unreported(s, &messages, &count, &err));
	for (size_t i = 0; i < count; i++) {
		lm_auto_free char *text = NULL;

		TWICE(store_read_status(s, messages[i].generation, &text, &err));
		say("sent %u %u %s\n", messages[i].generation, messages[i].attempt, text);
		TWICE(store_reported(s, messages[i].generation, &err));
	}
}

enum end { BAD, GOOD, TRIAL }; // the last one is a success on probation

static const char *const ENDS[] = {"bad", "good", "trial"};

static void deploy(struct store *s, unsigned n, enum end end)
{
	static const char *const stages[] = {"prepare", "fetch", "pull", "down", "up"};
	unsigned attempt = store_state(s)->open_attempt;
	char text[64];

	say("begun %u %u\n", n, attempt);
	for (size_t i = 0; i < LM_ARRAY_SIZE(stages); i++) {
		TWICE(store_journal(s, n, stages[i], &err));
		if (i == 1)
			write_compose(s, n, attempt);
	}
	(void)snprintf(text, sizeof(text), "%u %u", n, attempt);
	TWICE(store_image(s, n, LM_STR("app"), lm_str(text), LM_STR("sha256:1"), &err));
	struct store_outcome outcome = {
		.success = end != BAD, .probation = end == TRIAL, .started_ms = 1, .ended_ms = 2};
	outcome.status = lm_str(text);
	if (end == BAD)
		outcome.stage = "up", outcome.error = "InternalError", outcome.message = "no";
	TWICE(store_finish(s, n, &outcome, &err));
	say("finished %u %u %s\n", n, attempt, ENDS[end]);
	report_all(s);
}

static unsigned begin(struct store *s, const char *definition, bool reuse, enum end end)
{
	unsigned n = 0;

	TWICE(store_begin(s, lm_str(definition), reuse, store_state(s)->wanted, false, &n, &err));
	deploy(s, n, end);
	return n;
}

static void run(struct store *s)
{
	unsigned open = store_state(s)->open;

	report_all(s);
	if (open != 0) {
		TWICE(store_rerun(s, open, &err));
		deploy(s, open, GOOD);
	}
	(void)begin(s, "definition A", false, GOOD);
	unsigned bad = begin(s, "definition B", true, BAD);
	say("quarantining %u\n", bad);
	TWICE(store_quarantine(s, bad, "it failed", &err));
	say("quarantined %u\n", bad);
	(void)begin(s, "definition A", true, BAD);
	unsigned again = store_state(s)->current;
	TWICE(store_rerun(s, again, &err));
	deploy(s, again, GOOD);
	(void)begin(s, "definition C", false, GOOD);
	unsigned trial = begin(s, "definition D", false, TRIAL);
	say("confirming %u\n", trial);
	TWICE(store_confirm(s, trial, &err));
	say("confirmed %u\n", trial);
	say("lifting %u\n", bad);
	TWICE(store_lift(s, bad, &err));
	say("lifted %u\n", bad);
	TWICE(store_prune(s, 2, &err));
	struct store_want want = {
		.wanted = store_state(s)->wanted, .before = store_state(s)->before};
	want.wanted.state = WANTED_DOWN;
	TWICE(store_want(s, &want, &err));
	want.wanted.state = WANTED_UP;
	TWICE(store_want(s, &want, &err));
	say("done\n");
}

static void wrong(unsigned n, const char *what)
{
	say("wrong: generation %u: %s\n", n, what);
	exit(1);
}

/// A generation that is linked to has all of its parts, and they belong together.
static void check_complete(struct store *s, unsigned n)
{
	struct lm_err err;
	lm_auto_free char *definition = NULL, *outcome = NULL;
	lm_auto_json json_t *images = NULL;
	lm_auto_close int fd = -1;
	unsigned of = 0, attempt = 0;

	if (store_read_definition(s, n, &definition, &err) != LM_OK ||
		strncmp(definition, "definition ", 11) != 0)
		wrong(n, "its definition");
	if (store_read_outcome(s, n, &outcome, &err) != LM_OK || !strstr(outcome, "\"good\": true"))
		wrong(n, "it never succeeded");
	if (store_read_images(s, n, &images, &err) != LM_OK)
		wrong(n, "its images cannot be read");
	const char *digest = json_get_text(json_object_get(images, "app"), "digest");
	if (!digest || sscanf(digest, "%u %u", &of, &attempt) != 2 || of != n)
		wrong(n, "its images");
	struct lm_buf text = LM_BUF(LIMIT_COMPOSE_FILE);
	lm_auto_free char *expected = compose_text(n, attempt);
	if (store_read_compose(s, n, &fd, &err) != LM_OK ||
		lm_fd_read_all(fd, "compose.yml", &text, &err) != LM_OK ||
		strcmp(lm_buf_cstr(&text), expected) != 0)
		wrong(n, "its compose file is not of the attempt that its images are of");
	lm_buf_finish(&text);
}

/// Nothing that was only being made is left.
static void check_tidy(const char *dir)
{
	lm_auto_free char *path = lm_xasprintf("%s/generations", dir);
	DIR *generations = opendir(path);
	const struct dirent *entry;

	if (!generations)
		wrong(0, "its folder");
	while ((entry = readdir(generations)))
		if (entry->d_name[0] == '.' && strcmp(entry->d_name, ".") != 0 &&
			strcmp(entry->d_name, "..") != 0)
			wrong(0, entry->d_name);
	(void)closedir(generations);
}

/// How the last attempt at a generation ended, if one did.
static void say_outcome(struct store *s, unsigned n)
{
	lm_auto_free char *text = NULL;
	struct lm_err err;

	if (store_read_outcome(s, n, &text, &err) != LM_OK)
		return;
	json_t *outcome = json_loads(text, 0, NULL);
	bool success = json_get_bool(outcome, "success", false);
	bool trial = json_get_bool(outcome, "probation", false);
	say("outcome %u %d %s\n", n, (int)json_get_int(outcome, "attempt", 0),
		ENDS[!success   ? BAD
			: trial ? TRIAL
				: GOOD]);
	json_decref(outcome);
}

static void say_quarantine(struct store *s, unsigned n)
{
	lm_auto_free char *reason = NULL;
	int64_t at_ms;
	struct lm_err err;
	lm_rc rc = store_read_quarantine(s, n, &reason, &at_ms, &err);

	if (rc != LM_E_NOT_FOUND && (rc != LM_OK || strcmp(reason, "it failed") != 0))
		wrong(n, rc == LM_OK ? reason : err.msg);
	say("generation %u %s\n", n, rc == LM_OK ? "quarantined" : "free");
}

static void check(struct store *s, const char *dir)
{
	const struct store_state *state = store_state(s);
	lm_auto_free struct store_message *messages = NULL;
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0, generations = 0;

	if (state->current != 0)
		check_complete(s, state->current);
	if (state->last_good != 0)
		check_complete(s, state->last_good);
	const char *const *notes = store_notes(s, &count);
	if (count > 0)
		wrong(0, notes[0]);
	say("current %u\nlast_good %u\nopen %u %u\n", state->current, state->last_good, state->open,
		state->open_attempt);
	TWICE(store_unreported(s, &messages, &count, &err));
	for (size_t i = 0; i < count; i++)
		say("unreported %u %u\n", messages[i].generation, messages[i].attempt);
	TWICE(store_list(s, &numbers, &generations, &err));
	for (size_t i = 0; i < generations; i++)
		say_outcome(s, numbers[i]);
	for (size_t i = 0; i < generations; i++)
		say_quarantine(s, numbers[i]);
	check_tidy(dir);
}

static void mend(struct store *s)
{
	size_t n = 0;
	const char *const *notes = store_notes(s, &n);

	for (size_t i = 0; i < n; i++)
		say("note %s\n", notes[i]);
}

/// To the last byte.
static void fill_disk(const char *path)
{
	char bytes[4096] = "";
	lm_auto_close int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);

	for (size_t size = sizeof(bytes); size > 0; size /= sizeof(bytes))
		while (write(fd, bytes, size) > 0)
			;
}

/// What a full disk refuses is told, and changes nothing.
static void refused(lm_rc rc, const struct lm_err *err, const char *what)
{
	if (rc != LM_E_SYS || !strstr(err->msg, "No space left on device"))
		wrong(0, what);
	say("refused: %s\n", err->msg);
}

static void use_full_disk(const char *dir)
{
	lm_auto(store_close_p) struct store *s = NULL;
	lm_auto_free char *filler = lm_xasprintf("%s.filler", dir), *reason = NULL;
	const struct store_outcome outcome = {.success = true};
	struct lm_err why = {LM_OK};
	unsigned n = 0;
	int64_t at_ms = 0;

	TWICE(store_open(dir, &s, &err));
	unsigned good = begin(s, "definition A", false, GOOD);
	unsigned trial = begin(s, "definition B", false, TRIAL);
	TWICE(store_rerun(s, trial, &err));
	fill_disk(filler);
	refused(store_finish(s, trial, &outcome, &why), &why, "an outcome needs space");
	TWICE(store_quarantine(s, good, "too bad", &err));
	TWICE(store_confirm(s, trial, &err));
	const struct store_want want = {
		{WANTED_DOWN, trial}, store_state(s)->wanted, .touched = true, .leaves = good};
	TWICE(store_want(s, &want, &err));
	refused(store_rerun(s, trial, &why), &why, "another attempt needs space");
	store_close(lm_take(s));
	TWICE(store_open(dir, &s, &err)); // nothing of it is lost
	TWICE(store_read_quarantine(s, good, &reason, &at_ms, &err));
	const struct store_state *state = store_state(s);
	if (state->last_good != trial || state->current != trial || state->open != trial ||
		state->wanted.state != WANTED_DOWN || !state->touched || state->leaves != good)
		wrong(trial, "its state");
	TWICE(store_lift(s, good, &err));
	(void)unlink(filler);
	TWICE(store_rerun(s, trial, &err));
	deploy(s, trial, GOOD);
	TWICE(store_begin(
		s, lm_str("definition C"), false, store_state(s)->wanted, false, &n, &err));
	say("done\n");
}

int main(int argc, char **argv)
{
	lm_auto(store_close_p) struct store *s = NULL;

	if (argc != 3)
		return 64;
	const char *mode = argv[1], *dir = argv[2];
	if (strcmp(mode, "full") == 0) {
		use_full_disk(dir);
		return 0;
	}
	TWICE(store_open(dir, &s, &err));
	if (strcmp(mode, "mend") == 0)
		mend(s);
	if (strcmp(mode, "check") == 0 || strcmp(mode, "take-up") == 0)
		check(s, dir);
	if (strcmp(mode, "run") == 0 || strcmp(mode, "take-up") == 0)
		run(s);
	return 0;
}
