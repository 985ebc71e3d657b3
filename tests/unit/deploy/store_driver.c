// SPDX-License-Identifier: Apache-2.0
//
// A program to be killed: it does with a store what lightermand does, and says on stdout what it
// was told is done. tests/e2e/store_kill_test.py runs it.
//
//     store_driver run DIR      finish what was interrupted, then a few deployments
//     store_driver check DIR    open the store, verify it, print what it knows
//     store_driver take-up DIR  check, then run
//
// A call that fails is reported on stderr and made once more, as the store promises it may be.

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "deploy/store.h"

#include <dirent.h>
#include <fcntl.h>
#include <jansson.h>
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

static void deploy(struct store *s, unsigned n, bool success)
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
	TWICE(store_image(s, n, LM_STR("app"), lm_str(text), &err));
	struct store_outcome outcome = {.success = success, .started_ms = 1, .ended_ms = 2};
	outcome.status = lm_str(text);
	if (!success)
		outcome.stage = "up", outcome.error = "InternalError", outcome.message = "no";
	TWICE(store_finish(s, n, &outcome, &err));
	say("finished %u %u %s\n", n, attempt, success ? "good" : "bad");
	report_all(s);
}

static void begin(struct store *s, const char *definition, bool reuse, bool success)
{
	unsigned n = 0;

	TWICE(store_begin(s, lm_str(definition), reuse, store_state(s)->wanted, false, &n, &err));
	deploy(s, n, success);
}

static void run(struct store *s)
{
	unsigned open = store_state(s)->open;

	report_all(s);
	if (open != 0) {
		TWICE(store_rerun(s, open, &err));
		deploy(s, open, true);
	}
	begin(s, "definition A", false, true);
	begin(s, "definition B", true, false);
	begin(s, "definition A", true, false);
	unsigned again = store_state(s)->current;
	TWICE(store_rerun(s, again, &err));
	deploy(s, again, true);
	begin(s, "definition C", false, true);
	TWICE(store_prune(s, 1, &err));
	const struct lifecycle_target wanted = store_state(s)->wanted;
	const struct lifecycle_target down = {WANTED_DOWN, wanted.generation};
	TWICE(store_want(s, down, store_state(s)->before, false, &err));
	TWICE(store_want(s, wanted, store_state(s)->before, false, &err));
	say("done\n");
}

static void wrong(unsigned n, const char *what)
{
	say("wrong: generation %u: %s\n", n, what);
	exit(1);
}

/// A generation that is linked to has all of its parts, and they belong together.
static void check_complete(struct store *s, const char *dir, unsigned n)
{
	struct lm_err err;
	lm_auto_free char *definition = NULL, *outcome = NULL, *path = NULL;
	lm_auto_close int fd = -1;
	unsigned of = 0, attempt = 0;

	if (store_read_definition(s, n, &definition, &err) != LM_OK ||
		strncmp(definition, "definition ", 11) != 0)
		wrong(n, "its definition");
	if (store_read_outcome(s, n, &outcome, &err) != LM_OK || !strstr(outcome, "\"good\": true"))
		wrong(n, "it never succeeded");
	path = lm_xasprintf("%s/generations/%u/images.json", dir, n);
	json_t *images = json_load_file(path, 0, NULL);
	const char *digest = json_string_value(json_object_get(images, "app"));
	if (!digest || sscanf(digest, "%u %u", &of, &attempt) != 2 || of != n)
		wrong(n, "its images");
	json_decref(images);
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
	say("outcome %u %d %s\n", n, (int)json_integer_value(json_object_get(outcome, "attempt")),
		json_is_true(json_object_get(outcome, "success")) ? "good" : "bad");
	json_decref(outcome);
}

static void check(struct store *s, const char *dir)
{
	const struct store_state *state = store_state(s);
	lm_auto_free struct store_message *messages = NULL;
	lm_auto_free unsigned *numbers = NULL;
	size_t count = 0, generations = 0;

	if (state->current != 0)
		check_complete(s, dir, state->current);
	if (state->last_good != 0)
		check_complete(s, dir, state->last_good);
	if (store_note(s))
		wrong(0, store_note(s));
	say("current %u\nlast_good %u\nopen %u %u\n", state->current, state->last_good, state->open,
		state->open_attempt);
	TWICE(store_unreported(s, &messages, &count, &err));
	for (size_t i = 0; i < count; i++)
		say("unreported %u %u\n", messages[i].generation, messages[i].attempt);
	TWICE(store_list(s, &numbers, &generations, &err));
	for (size_t i = 0; i < generations; i++)
		say_outcome(s, numbers[i]);
	check_tidy(dir);
}

int main(int argc, char **argv)
{
	lm_auto(store_close_p) struct store *s = NULL;

	if (argc != 3)
		return 64;
	TWICE(store_open(argv[2], &s, &err));
	if (strcmp(argv[1], "run") != 0)
		check(s, argv[2]);
	if (strcmp(argv[1], "check") != 0)
		run(s);
	return 0;
}
