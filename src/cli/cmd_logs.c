// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_logs.h"

#include "base/cleanup.h"
#include "base/memory.h"
#include "cli/client.h"
#include "cli/output.h"
#include "cli/terminal.h"

#include <errno.h>
#include <signal.h>
#include <string.h>

enum { LINES_DEFAULT = 100 };

/// False: it could not be written.
static bool logs_print_line(const struct call *call, const json_t *line, json_t *lines)
{
	const char *text = json_get_text(line, "line");
	const char *warning = json_get_text(line, "warning");

	if (warning)
		output_error(call->err, warning);
	if (!text)
		return true;
	if (call->json) {
		json_array_append_new(lines, json_string(text));
		return true;
	}
	size_t size = 4 * strlen(text) + 32;
	lm_auto_free char *plain = lm_xmalloc(size);
	(void)lm_str_shorten(lm_str(text), strlen(text), plain, size);
	return output_note(call, fprintf(call->out, "%s\n", plain) >= 0);
}

/// What came is for whoever reads on the other side of a pipe, now. False: nobody does any more.
static bool logs_hand_over(const struct call *call, const struct client *client)
{
	return !call->follow || client_has_line(client) ||
	       output_note(call, fflush(call->out) == 0);
}

static int end_answer(const struct call *call, const json_t *last, const json_t *lines)
{
	const char *message = json_get_text(last, "message");
	int status = (int)json_get_int(last, "exit", EXIT_FAILED);

	if (status != EXIT_DONE)
		return output_fail(call, status, message ? message : "lightermand gave no reason");
	if (call->json)
		output_json(call, lines);
	return EXIT_DONE;
}

/// Ends as if something had been written that nobody reads.
static int end_unread(void)
{
	(void)raise(SIGPIPE);
	return EXIT_FAILED; // it is ignored
}

static int fail_read(const struct call *call, lm_rc rc, const struct lm_err *err)
{
	if (rc == LM_E_CANCELLED)
		return err->sys == EPIPE ? end_unread()
		       : call->json      ? output_fail(call, EXIT_FAILED, err->msg)
					 : EXIT_DONE; // Ctrl-C ends following
	return output_fail(call, EXIT_FAILED, err->msg);
}

static int logs_read_answer(const struct call *call, struct client *client,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_json json_t *lines = json_array();

	for (;;) {
		lm_auto_json json_t *line = NULL;
		lm_rc rc = client_read(client, limit, &line, err);

		if (rc)
			return fail_read(call, rc, err);
		if (json_object_get(line, "exit"))
			return end_answer(call, line, lines);
		if (!logs_print_line(call, line, lines) || !logs_hand_over(call, client))
			return EXIT_FAILED;
	}
}

int cmd_logs(const struct call *call)
{
	lm_auto(client_close_p) struct client *client = NULL;
	lm_auto_json json_t *request = json_pack("{s:s, s:b, s:i}", "command", "logs", "follow",
		call->follow, "lines", call->lines >= 0 ? call->lines : LINES_DEFAULT);
	lm_auto(interrupt_finish) struct interrupt interrupt = {.fd = -1};
	struct wait_limit limit = WAIT_FOREVER;
	struct lm_err why = {0};

	if (call->follow && call->json) {
		output_error(call->err, "--follow and --json cannot be used together");
		return EXIT_USAGE;
	}
	if (interrupt_init(&interrupt, &why))
		return output_fail(call, EXIT_FAILED, why.msg);
	limit.cancel_fd = interrupt.fd;
	lm_auto_free char *path = client_socket_path(call);
	if (client_open(path, request, &limit, &client, &why))
		return output_fail(
			call, why.rc == LM_E_CANCELLED ? EXIT_FAILED : EXIT_UNREACHABLE, why.msg);
	if (call->follow)
		client_watch_output(client, fileno(call->out));
	return logs_read_answer(call, client, &limit, &why);
}
