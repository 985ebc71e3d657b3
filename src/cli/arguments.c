// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.h"

#include "base/cleanup.h"
#include "base/str.h"
#include "config/faults.h"

#include <string.h>

enum { NOT_COMMANDS_OWN = 0, LINES_MAX = 100000 };

static const struct option {
	const char *name;
	unsigned flag;     ///< OPTION_…, or NOT_COMMANDS_OWN.
	const char *value; ///< What it needs behind it; NULL: nothing.
} OPTIONS[] = {
	{"--help", NOT_COMMANDS_OWN, NULL},
	{"--version", NOT_COMMANDS_OWN, NULL},
	{"--socket", NOT_COMMANDS_OWN, "the path of a socket"},
	{"--config", OPTION_CONFIG, "the path of a host file"},
	{"--json", OPTION_JSON, NULL},
	{"--follow", OPTION_FOLLOW, NULL},
	{"--lines", OPTION_LINES, "a number of lines"},
	{"--no-wait", OPTION_NO_WAIT, NULL},
};

struct words {
	int n, at;
	char *const *list;
	bool no_more_options;
};

static lm_rc fail_unknown(const char *word, struct lm_err *err)
{
	const char *nearest =
		faults_nearest(word, OPTIONS, LM_ARRAY_SIZE(OPTIONS), sizeof(OPTIONS[0]));

	if (nearest)
		return lm_fail(err, LM_E_INVALID, 0, "there is no option '%s': did you mean '%s'?",
			word, nearest);
	return lm_fail(err, LM_E_INVALID, 0, "there is no option '%s'", word);
}

static lm_rc take_lines(const char *value, struct arguments *args, struct lm_err *err)
{
	uint64_t lines = 0;

	if (!lm_str_to_u64(lm_str(value), LINES_MAX, &lines))
		return lm_fail(err, LM_E_INVALID, 0,
			"--lines needs a number of lines, at most %d, but was given '%s'",
			LINES_MAX, value);
	args->call.lines = (int)lines;
	return LM_OK;
}

/// The value of an option, in the same word behind a '=' or in the next one.
static lm_rc take_value(struct words *words, const struct option *option, const char *value,
	struct arguments *args, struct lm_err *err)
{
	if (!value && words->at < words->n)
		value = words->list[words->at++];
	if (!value || !*value)
		return lm_fail(err, LM_E_INVALID, 0, "%s needs %s", option->name, option->value);
	if (option->flag & OPTION_LINES)
		return take_lines(value, args, err);
	if (option->flag & OPTION_CONFIG)
		args->call.config = value;
	else
		args->call.socket_path = value;
	return LM_OK;
}

static const struct option *find_option(struct lm_str name)
{
	static const struct {
		const char *name, *means;
	} letters[] = {{"-h", "--help"}, {"-f", "--follow"}, {"-n", "--lines"}};

	for (size_t i = 0; i < LM_ARRAY_SIZE(letters); i++) {
		if (lm_str_eq(name, lm_str(letters[i].name)))
			name = lm_str(letters[i].means);
	}
	for (size_t i = 0; i < LM_ARRAY_SIZE(OPTIONS); i++) {
		if (lm_str_eq(name, lm_str(OPTIONS[i].name)))
			return &OPTIONS[i];
	}
	return NULL;
}

static lm_rc take_option(struct words *words, const char *word, struct arguments *args,
	unsigned *flags, struct lm_err *err)
{
	// "-n5" is "-n 5".
	bool joined = word[1] == 'n' && word[2] && word[2] != '=';
	const char *equals = joined ? word + 1 : strchr(word, '=');
	struct lm_str name = {word, joined ? 2 : equals ? (size_t)(equals - word) : strlen(word)};
	const struct option *option = find_option(name);

	if (!option)
		return fail_unknown(word, err);
	*flags |= option->flag;
	if (option->value)
		return take_value(words, option, equals ? equals + 1 : NULL, args, err);
	if (equals)
		return lm_fail(err, LM_E_INVALID, 0, "%s takes no value", option->name);
	args->help |= strcmp(option->name, "--help") == 0;
	args->version |= strcmp(option->name, "--version") == 0;
	return LM_OK;
}

static lm_rc take_word(const char *word, struct arguments *args, struct lm_err *err)
{
	if (!args->command)
		return command_find(word, &args->command, err);
	if (!args->command->argument)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' takes no argument, but was given '%s'",
			args->command->name, word);
	if (args->call.argument)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' takes one %s, but was given '%s' too",
			args->command->name, args->command->argument, word);
	args->call.argument = word;
	return LM_OK;
}

/// What can only be said once all words are known.
static lm_rc check(const struct arguments *args, unsigned flags, struct lm_err *err)
{
	const struct command *command = args->command;

	if (args->help || args->version)
		return LM_OK;
	if (!command)
		return lm_fail(err, LM_E_INVALID, 0, "name a command");
	for (size_t i = 0; i < LM_ARRAY_SIZE(OPTIONS); i++) {
		if (OPTIONS[i].flag & flags & ~command->options)
			return lm_fail(err, LM_E_INVALID, 0, "'%s' takes no %s", command->name,
				OPTIONS[i].name);
	}
	if (command->argument && command->argument[0] != '[' && !args->call.argument)
		return lm_fail(
			err, LM_E_INVALID, 0, "'%s' needs a %s", command->name, command->argument);
	return LM_OK;
}

lm_rc arguments_parse(int argc, char *const *argv, const char *socket_path, struct arguments *ret,
	struct lm_err *err)
{
	struct words words = {.n = argc, .at = 1, .list = argv};
	unsigned flags = 0;

	*ret = (struct arguments){
		.call = {.socket_path = socket_path && *socket_path ? socket_path : NULL,
			.lines = -1}};
	while (words.at < words.n) {
		const char *word = words.list[words.at++];
		bool is_option = !words.no_more_options && word[0] == '-' && word[1];
		lm_rc rc = LM_OK;

		if (is_option && strcmp(word, "--") == 0)
			words.no_more_options = true;
		else if (is_option)
			rc = take_option(&words, word, ret, &flags, err);
		else
			rc = take_word(word, ret, err);
		if (rc)
			return rc;
	}
	ret->call.json = flags & OPTION_JSON;
	ret->call.no_wait = flags & OPTION_NO_WAIT;
	ret->call.follow = flags & OPTION_FOLLOW;
	return check(ret, flags, err);
}
