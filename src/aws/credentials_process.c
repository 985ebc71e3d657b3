// SPDX-License-Identifier: Apache-2.0
#include "aws/credentials_http.h"
#include "aws/profile_file.h"
#include "base/clock.h"
#include "base/limits.h"
#include "base/memory.h"
#include "sys/process.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
	RUN_MS = 50 * 1000, ///< Within what a provider gives to all sources.
	GRACE_MS = 1000,
};

#define SOURCE "credential_process"

static bool is_program(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

/// The program's path, which the caller frees; NULL if there is none.
static char *find_program(const char *name)
{
	const char *path = credentials_variable("PATH");
	struct lm_str rest = lm_str(path ? path : "/usr/local/bin:/usr/bin:/bin");

	if (strchr(name, '/'))
		return name[0] == '/' ? lm_xstrdup(name) : NULL;
	while (rest.n) {
		struct lm_str folder = lm_str_cut(&rest, ':');
		lm_auto_free char *program = lm_xasprintf("%.*s/%s", LM_STR_ARG(folder), name);

		if (program[0] == '/' && folder.n && is_program(program))
			return lm_take(program);
	}
	return NULL;
}

/// Nothing of what it printed: no rule knows each secret from a reason.
static lm_rc fail_run(const char *program, int status, struct lm_err *err)
{
	char how[96];

	return lm_fail(err, LM_E_REFUSED, 0,
		"'%s' fails with %s; what it prints is not shown, as it may be secret: run it by "
		"hand as user %u",
		program, process_describe_status(status, how, sizeof(how)), (unsigned)geteuid());
}

static lm_rc run(const struct credentials_context *c, const char *program,
	struct profile_command *command, struct lm_buf *output, struct lm_err *err)
{
	unsigned ms = c->settings->timeout_ms ? c->settings->timeout_ms : (unsigned)RUN_MS;
	const struct wait_limit within = wait_limit_within(c->limit, ms);
	int status = 0;
	const struct process_run process = {
		.spec = {.argv = (const char *const *)command->items,
			.directory = "/",
			.die_with_parent = true},
		.output = output,
		.term_grace_ms = GRACE_MS,
	};
	lm_rc rc = process_run(&process, &within, &status, err);

	if (rc == LM_E_TIMEOUT)
		return lm_fail(err, rc, 0, "'%s' has not ended in time and was killed", program);
	if (rc == LM_E_TOO_LARGE)
		return lm_fail(err, rc, 0, "'%s' writes more than %d bytes and was killed", program,
			LIMIT_CREDENTIALS_ANSWER);
	if (rc != LM_OK)
		return rc == LM_E_NOT_FOUND
			       ? lm_fail(err, LM_E_INVALID, 0, "there is no '%s'", program)
			       : rc;
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		return fail_run(program, status, err);
	return LM_OK;
}

/// AWS SDKs and Tools Reference Guide: "Process credential provider".
static lm_rc take_output(
	const char *program, struct lm_str output, struct aws_credentials *ret, struct lm_err *err)
{
	static const struct credentials_names names = {
		.version = 1,
		.id = "AccessKeyId",
		.secret = "SecretAccessKey",
		.token = "SessionToken",
		.expiration = "Expiration",
		.source = SOURCE,
	};
	lm_rc rc = credentials_parse(output, &names, 0, ret, err);

	if (rc != LM_OK) {
		char why[LM_ERR_MSG_SIZE];

		(void)snprintf(why, sizeof(why), "%s", err->msg);
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"the output of '%s' holds no usable credentials: %s", program, why);
	}
	if (!ret->expires_ms || ret->expires_ms > lm_clock_wall_ms())
		return LM_OK;
	credentials_finish(ret);
	return lm_fail(err, LM_E_DENIED, 0,
		"the credentials that '%s' gives have already expired; check the device's clock "
		"and the program",
		program);
}

lm_rc credentials_from_process(const struct credentials_context *c, struct lm_str command,
	struct aws_credentials *ret, struct lm_err *err)
{
	lm_auto_profile_command struct profile_command words = {0};
	lm_auto_buf struct lm_buf output = LM_BUF_SECRET(LIMIT_CREDENTIALS_ANSWER);
	const char *why = NULL;

	if (!profile_command_split(command, &words, &why))
		return lm_fail(err, LM_E_INVALID, 0, "the command %s", why);
	if (!words.n)
		return lm_fail(err, LM_E_INVALID, 0, "the command is empty");
	lm_auto_free char *program = find_program(words.items[0]);
	if (!program)
		return lm_fail(err, LM_E_INVALID, 0,
			"the program '%.200s' is neither an absolute path nor in PATH",
			words.items[0]);
	free(words.items[0]);
	words.items[0] = lm_xstrdup(program);
	lm_rc rc = run(c, program, &words, &output, err);

	return rc == LM_OK ? take_output(program, lm_buf_str(&output), ret, err) : rc;
}
