// SPDX-License-Identifier: Apache-2.0
#include "cli/group_file.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/client.h"
#include "cli/follow.h"
#include "cli/output.h"
#include "cli/render.h"
#include "config/compose_group.h"
#include "config/definition.h"
#include "deploy/destination.h"
#include "sys/process.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool is_standard_input(const char *path)
{
	return strcmp(path, "-") == 0;
}

const char *group_file_name(const char *path)
{
	return is_standard_input(path) ? "standard input" : path;
}

lm_rc group_file_read(const char *path, struct lm_buf *out, struct lm_err *err)
{
	if (compose_group_is_url(path))
		return LM_OK; // lightermand's worker fetches it
	if (is_standard_input(path))
		return lm_fd_read_all(STDIN_FILENO, group_file_name(path), out, err);
	return lm_file_read(path, out, err);
}

static void group_file_print_json(const struct call *call, const struct answer *answer)
{
	lm_auto_json json_t *document = answer_to_json(answer, "cannot send the group file");

	output_json(call, document);
}

static void group_file_report(const struct call *call, const struct validation_errors *errors)
{
	lm_auto(answer_finish) struct answer answer = {
		.faults = json_array(),
		.warnings = json_array(),
		.stages = json_array(),
		.exit_status = EXIT_INVALID,
	};

	for (size_t i = 0; i < errors->n; i++) {
		lm_auto_free char *text = validation_error_text(&errors->items[i]);
		lm_auto_free char *plain = sanitize_text(text);
		(void)json_array_append_new(
			answer.faults, json_pack("{s:n, s:n, s:n, s:s, s:s}", "entry", "parameter",
					       "value", "rule", plain, "text", plain));
		if (!call->json)
			(void)fprintf(
				call->err, "%s: %s\n", group_file_name(call->argument), plain);
	}
	if (call->json)
		group_file_print_json(call, &answer);
}

/// Who the application is to run as: whom --user names, else the caller, also by sudo. Root
/// itself is nobody's choice unless it is named: then the host file's default user is taken.
static lm_rc find_compose_user(
	const struct call *call, struct compose_group_source *source, struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	const char *sudo = getenv("SUDO_UID");
	uint64_t number = geteuid();

	if (call->user && !lm_str_to_u64(lm_str(call->user), UINT32_MAX - 1, &number)) {
		if (process_user_by_name(call->user, &user, err))
			return lm_fail(err, LM_E_INVALID, 0,
				"--user: there is no user '%s' on this device", call->user);
		number = user.uid;
	} else if (!call->user && number == 0 && sudo) {
		(void)lm_str_to_u64(lm_str(sudo), UINT32_MAX - 1, &number);
	}
	source->has_user = call->user || number != 0;
	source->uid = (uint32_t)number;
	return LM_OK;
}

/// The caller frees.
static lm_rc find_compose_destination(const struct call *call, const char *state_directory,
	const struct compose_group_source *source, char **ret, struct lm_err *err)
{
	if (!call->destination) {
		*ret = destination_default(state_directory, source->has_user ? &source->uid : NULL);
		return LM_OK;
	}
	*ret = realpath(call->destination, NULL);
	return *ret ? LM_OK
		    : lm_fail(err, LM_E_INVALID, errno,
			      "--destination '%s': %m; name a directory "
			      "that exists",
			      call->destination);
}

static lm_rc make_compose_group(const struct call *call, const char *state_directory,
	struct lm_buf *text, struct lm_err *err)
{
	bool is_url = compose_group_is_url(call->argument);
	struct compose_group_source source = {
		.text = lm_buf_str(text),
		.name = is_standard_input(call->argument) ? NULL : lm_path_base(call->argument),
		.url = is_url ? call->argument : NULL,
	};
	lm_auto_free char *destination = NULL;
	lm_auto_json json_t *group = NULL;
	lm_auto_buf struct lm_buf made = LM_BUF(LIMIT_GROUP_FILE);
	lm_rc rc = find_compose_user(call, &source, err);

	if (!rc)
		rc = find_compose_destination(call, state_directory, &source, &destination, err);
	source.destination = destination;
	if (!rc)
		rc = compose_group_make(&source, &group, err);
	if (!rc && !json_write(group, &made))
		rc = lm_fail(err, LM_E_TOO_LARGE, 0,
			"the compose file is larger than %d bytes: put it behind an https:// "
			"address, into a registry or into an object store",
			LIMIT_COMPOSE_TEXT);
	if (rc)
		return rc;
	lm_buf_finish(text);
	*text = made;
	made = (struct lm_buf){0};
	return LM_OK;
}

lm_rc group_file_complete(const struct call *call, const char *state_directory, struct lm_buf *text,
	struct lm_err *err)
{
	if (compose_group_is_url(call->argument) || compose_group_is_compose(lm_buf_str(text)))
		return make_compose_group(
			call, state_directory ? state_directory : "/var/lib/lighterman", text, err);
	if (call->destination || call->user)
		return lm_fail(err, LM_E_INVALID, 0,
			"%s is for a compose file; a group file has %s",
			call->user ? "--user" : "--destination",
			call->user ? "DockerUserId" : "DockerComposeFileDestinationPath");
	return LM_OK;
}

/// Whether lightermand has to be asked where its state is.
static bool needs_state_directory(const struct call *call, const struct lm_buf *text)
{
	return !call->destination &&
	       (compose_group_is_url(call->argument) || compose_group_is_compose(lm_buf_str(text)));
}

bool group_file_load(const struct call *call, struct lm_buf *text, int *ret_status)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto_json json_t *document = NULL, *status = NULL;
	struct lm_err why = {0};
	lm_rc rc = group_file_read(call->argument, text, &why);

	*ret_status = EXIT_INVALID;
	if (!rc && needs_state_directory(call, text)) {
		int asked = client_query(call, "status", JSON_OBJECT, &status);
		if (asked != EXIT_DONE) {
			*ret_status = asked;
			return false;
		}
	}
	if (!rc)
		rc = group_file_complete(
			call, json_get_text(status, "state_directory"), text, &why);
	if (rc)
		validation_errors_add(&errors, NULL, NULL, NULL, "%s", why.msg);
	else
		document = definition_read(lm_buf_str(text), &errors);
	if (errors.n > 0)
		group_file_report(call, &errors);
	return errors.n == 0;
}
