// SPDX-License-Identifier: Apache-2.0
#include "cli/main.h"

#include "base/cleanup.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct options options;
static struct lm_err err;

/// Parses the words behind the program's name, which a NULL ends.
static lm_rc parse(const char *socket_path, ...)
{
	char *argv[16] = {(char[]){"lighterman"}};
	int argc = 1;
	va_list ap;

	va_start(ap, socket_path);
	for (char *word; (word = va_arg(ap, char *)) != NULL;)
		argv[argc++] = word;
	va_end(ap);
	return options_parse(&MAIN_COMMANDS, argc, argv, socket_path, &options, &err);
}

static void now_needs_no_file(void **state)
{
	(void)state;
	assert_int_equal(parse(NULL, "deploy", "--now", NULL), LM_OK);
	assert_true(options.call.now);
	assert_null(options.call.argument);
	assert_int_equal(parse(NULL, "deploy", "f", "--now", NULL), LM_OK);
	assert_true(options.call.now);
	assert_string_equal(options.call.argument, "f");
	assert_int_equal(parse(NULL, "deploy", "f", NULL), LM_OK);
	assert_false(options.call.now);
}

static void takes_options_anywhere(void **state)
{
	(void)state;
	assert_int_equal(
		parse(NULL, "--socket", "/s", "deploy", "--json", "f", "--no-wait", NULL), LM_OK);
	assert_string_equal(options.command->name, "deploy");
	assert_string_equal(options.call.argument, "f");
	assert_string_equal(options.call.socket_path, "/s");
	assert_true(options.call.json);
	assert_true(options.call.no_wait);

	assert_int_equal(parse(NULL, "status", "--socket=/t", NULL), LM_OK);
	assert_string_equal(options.call.socket_path, "/t");
	assert_false(options.call.json);
}

static void a_host_file_is_for_the_command_that_takes_it(void **state)
{
	(void)state;
	assert_int_equal(parse(NULL, "doctor", "f", "--config", "/h", NULL), LM_OK);
	assert_string_equal(options.call.config, "/h");
	assert_string_equal(options.call.argument, "f");
	assert_int_equal(parse(NULL, "doctor", NULL), LM_OK);
	assert_null(options.call.config);
	assert_null(options.call.argument);
	assert_int_equal(parse(NULL, "doctor", "--config", NULL), LM_E_INVALID);
	assert_string_equal(err.msg, "--config requires a path");
	assert_int_equal(parse(NULL, "status", "--config=/h", NULL), LM_E_INVALID);
	assert_string_equal(err.msg, "'status' does not take --config");
}

static void the_socket_is_the_options_then_the_environments(void **state)
{
	(void)state;
	assert_int_equal(parse("/env", "status", "--socket", "/s", NULL), LM_OK);
	assert_string_equal(options.call.socket_path, "/s");
	assert_int_equal(parse("/env", "status", NULL), LM_OK);
	assert_string_equal(options.call.socket_path, "/env");
	assert_int_equal(parse("", "status", NULL), LM_OK);
	assert_null(options.call.socket_path);
	assert_int_equal(parse(NULL, "status", NULL), LM_OK);
	assert_null(options.call.socket_path);
}

static void a_number_of_lines_may_stand_behind_its_letter(void **state)
{
	(void)state;
	assert_int_equal(parse(NULL, "logs", "-n5", NULL), LM_OK);
	assert_int_equal(options.call.lines, 5);
	assert_int_equal(parse(NULL, "-n", "6", "logs", NULL), LM_OK);
	assert_int_equal(options.call.lines, 6);
	assert_int_equal(parse(NULL, "logs", "-n=7", NULL), LM_OK);
	assert_int_equal(options.call.lines, 7);
	assert_int_equal(parse(NULL, "logs", "-nx", NULL), LM_E_INVALID);
}

static void a_dash_and_what_is_behind_two_are_arguments(void **state)
{
	(void)state;
	assert_int_equal(parse(NULL, "deploy", "-", NULL), LM_OK);
	assert_string_equal(options.call.argument, "-");
	assert_int_equal(parse(NULL, "deploy", "--", "--json", NULL), LM_OK);
	assert_string_equal(options.call.argument, "--json");
	assert_false(options.call.json);
}

static void a_second_argument_is_for_the_command_that_takes_it(void **state)
{
	(void)state;
	assert_int_equal(
		parse(NULL, "device", "add", "--csr", "c", "Crane", "--certificate=d", NULL),
		LM_OK);
	assert_string_equal(options.call.argument, "add");
	assert_string_equal(options.call.second, "Crane");
	assert_string_equal(options.call.csr, "c");
	assert_string_equal(options.call.certificate, "d");
	assert_int_equal(parse(NULL, "device", "list", NULL), LM_OK);
	assert_null(options.call.second);
	assert_null(options.call.csr);
	assert_int_equal(parse(NULL, "device", "add", "a", "b", NULL), LM_E_INVALID);
	assert_string_equal(err.msg, "unexpected argument 'b': 'device' takes at most two");
	assert_int_equal(parse(NULL, "status", "--csr", "c", NULL), LM_E_INVALID);
	assert_string_equal(err.msg, "'status' does not take --csr");
}

static void an_import_takes_any_number_of_arguments(void **state)
{
	(void)state;
	assert_int_equal(
		parse(NULL, "import", "/gg", "--output", "/o", "a", "--force", "--", "-b", NULL),
		LM_OK);
	assert_int_equal(options.call.arguments_n, 3);
	assert_string_equal(options.call.argument, "/gg");
	assert_string_equal(options.call.arguments[0], "/gg");
	assert_string_equal(options.call.arguments[1], "a");
	assert_string_equal(options.call.arguments[2], "-b");
	assert_null(options.call.second);
	assert_string_equal(options.call.output, "/o");
	assert_true(options.call.force);
	assert_false(options.call.dry_run);
	assert_int_equal(parse(NULL, "import", "a", "--dry-run", NULL), LM_OK);
	assert_true(options.call.dry_run);
	assert_null(options.call.output);
}

static void help_needs_nothing_else(void **state)
{
	(void)state;
	assert_int_equal(parse(NULL, "--help", NULL), LM_OK);
	assert_true(options.help);
	assert_null(options.command);
	assert_int_equal(parse(NULL, "deploy", "-h", NULL), LM_OK);
	assert_true(options.help);
	assert_string_equal(options.command->name, "deploy");
	assert_int_equal(parse(NULL, "--version", NULL), LM_OK);
	assert_true(options.version);
}

#define ASSERT_WRONG(sentence, ...)                                                                \
	do {                                                                                       \
		assert_int_equal(parse(NULL, __VA_ARGS__), LM_E_INVALID);                          \
		assert_string_equal(err.msg, sentence);                                            \
	} while (0)

static void each_wrong_word_has_its_sentence(void **state)
{
	(void)state;
	ASSERT_WRONG("no command given", NULL);
	ASSERT_WRONG("unknown command 'deplo'; did you mean 'deploy'?", "deplo", NULL);
	ASSERT_WRONG("unknown command 'frobnicate'", "frobnicate", NULL);
	ASSERT_WRONG("unknown option '--jsno'; did you mean '--json'?", "status", "--jsno", NULL);
	ASSERT_WRONG("unknown option '--jso'; did you mean '--json'?", "status", "--jso", NULL);
	ASSERT_WRONG("unknown option '--sock=/s'", "status", "--sock=/s", NULL);
	ASSERT_WRONG("unknown option '--vers'; did you mean '--yes'?", "--vers", NULL);
	ASSERT_WRONG("unknown option '-x'", "status", "-x", NULL);
	ASSERT_WRONG("--socket requires a path", "status", "--socket", NULL);
	ASSERT_WRONG("--socket requires a path", "status", "--socket=", NULL);
	ASSERT_WRONG("--json takes no value", "status", "--json=yes", NULL);
	ASSERT_WRONG("'status' does not take --no-wait", "status", "--no-wait", NULL);
	ASSERT_WRONG("'plan' does not take --now", "plan", "--now", NULL);
	ASSERT_WRONG("'help' does not take --json", "help", "--json", NULL);
	ASSERT_WRONG("'deploy' requires a FILE", "deploy", NULL);
	ASSERT_WRONG("'import' requires a ROOT", "import", NULL);
	ASSERT_WRONG("--output requires a path", "import", "a", "--output", NULL);
	ASSERT_WRONG("'deploy' does not take --force", "deploy", "a", "--force", NULL);
	ASSERT_WRONG("unexpected argument 'b': 'deploy' takes one FILE", "deploy", "a", "b", NULL);
	ASSERT_WRONG("unexpected argument 'now': 'stop' takes none", "stop", "now", NULL);
	ASSERT_WRONG("unknown command ''", "", NULL);
}

static void every_command_is_complete(void **state)
{
	(void)state;
	for (size_t i = 0; i < MAIN_COMMANDS.n; i++) {
		assert_non_null(MAIN_COMMANDS.commands[i].run);
		assert_true(strlen(MAIN_COMMANDS.commands[i].summary) < 60);
		const char *line = MAIN_COMMANDS.commands[i].details;
		for (size_t n; *line; line += line[n] ? n + 1 : n) {
			n = strcspn(line, "\n");
			assert_true(n <= 80);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(now_needs_no_file),
		cmocka_unit_test(takes_options_anywhere),
		cmocka_unit_test(a_host_file_is_for_the_command_that_takes_it),
		cmocka_unit_test(the_socket_is_the_options_then_the_environments),
		cmocka_unit_test(a_number_of_lines_may_stand_behind_its_letter),
		cmocka_unit_test(a_dash_and_what_is_behind_two_are_arguments),
		cmocka_unit_test(a_second_argument_is_for_the_command_that_takes_it),
		cmocka_unit_test(an_import_takes_any_number_of_arguments),
		cmocka_unit_test(help_needs_nothing_else),
		cmocka_unit_test(each_wrong_word_has_its_sentence),
		cmocka_unit_test(every_command_is_complete),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
