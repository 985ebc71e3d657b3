// SPDX-License-Identifier: Apache-2.0
#include "cli/ask.h"

#include "base/cleanup.h"
#include "cli/client.h"
#include "cli/socket_path.h"

/// lightermand gives the Docker daemon 10 s.
enum { ANSWER_S = 30 };

lm_rc ask_lightermand(const char *socket_path, const char *command, const struct wait_limit *limit,
	json_t **ret_last, int *ret_exit, struct lm_err *err)
{
	lm_auto(client_close_p) struct client *client = NULL;
	lm_auto_json json_t *request = json_pack("{s:s}", "command", command);
	struct wait_limit within = wait_limit_within(limit, ANSWER_S * 1000);

	*ret_exit = EXIT_UNREACHABLE;
	lm_rc rc = client_open(socket_path, request, &within, &client, err);
	if (!rc || rc == LM_E_CANCELLED)
		*ret_exit = EXIT_FAILED;
	while (!rc) {
		lm_auto_json json_t *line = NULL;

		rc = client_read(client, &within, &line, err);
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

int ask_for(const struct call *call, const char *command, json_t **ret_last)
{
	lm_auto_free char *path = socket_path_of(call);
	struct lm_err why = {0};
	int status;

	if (!ask_lightermand(path, command, &WAIT_FOREVER, ret_last, &status, &why))
		return EXIT_DONE;
	return command_fail(call, status, why.msg);
}
