// SPDX-License-Identifier: Apache-2.0
/// `lighterman status`.

#include "cli/status.h"
#include "base/clock.h"
#include "base/limits.h"
#include "cli/client.h"
#include "cli/command.h"
#include "cli/status_page.h"

/// lightermand gives the Docker daemon 10 s.
enum { ANSWER_S = 30 };

static void print_status(const struct call *call, const json_t *status)
{
	// Escaped and padded, it is longer than what came.
	lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);

	if (call->json) {
		(void)json_dumpf(status, call->out, JSON_INDENT(2));
		(void)fputc('\n', call->out);
		return;
	}
	status_page_add(status, lm_clock_wall_ms(), &page);
	(void)fwrite(page.data, 1, page.len, call->out);
}

lm_rc status_ask(const char *socket_path, const char *command, json_t **ret_last, int *ret_exit,
	struct lm_err *err)
{
	lm_auto(client_close_p) struct client *client = NULL;
	lm_auto_json json_t *request = json_pack("{s:s}", "command", command);
	struct wait_limit limit = wait_limit_within(&WAIT_FOREVER, ANSWER_S * 1000);

	*ret_exit = EXIT_UNREACHABLE;
	lm_rc rc = client_open(socket_path, request, &limit, &client, err);
	if (!rc)
		*ret_exit = EXIT_FAILED;
	while (!rc) {
		lm_auto_json json_t *line = NULL;

		rc = client_read(client, &limit, &line, err);
		if (!rc && json_object_get(line, "exit")) {
			*ret_last = lm_take(line);
			return LM_OK;
		}
	}
	if (rc == LM_E_TIMEOUT) {
		*ret_exit = EXIT_UNREACHABLE;
		return lm_fail(err, rc, 0,
			"lightermand has not answered for %d s: see its log, and restart it if it "
			"hangs",
			ANSWER_S);
	}
	return rc;
}

int command_status(const struct call *call)
{
	lm_auto_json json_t *last = NULL;
	struct lm_err why = {0};
	int exit_status;

	if (status_ask(call->socket_path, "status", &last, &exit_status, &why)) {
		command_complain(call->err, why.msg);
		return exit_status;
	}
	const json_t *status = json_object_get(last, "status");
	if (!json_is_object(status)) {
		const char *message = json_get_text(last, "message");
		command_complain(
			call->err, message ? message : "lightermand's answer has no status");
		return EXIT_FAILED;
	}
	print_status(call, status);
	return EXIT_DONE;
}
