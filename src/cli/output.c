// SPDX-License-Identifier: Apache-2.0
#include "cli/output.h"

#include "base/cleanup.h"
#include "cli/render.h"

#include <errno.h>

void output_error(FILE *err, const char *message)
{
	lm_auto_free char *clean = sanitize_text(message);

	(void)fprintf(err, "lighterman: %s\n", clean);
}

bool output_note(const struct call *call, bool done)
{
	if (!done && *call->out_sys == 0)
		*call->out_sys = errno;
	return done;
}

void output_text(const struct call *call, struct lm_str text)
{
	(void)output_note(call, fwrite(text.p, 1, text.n, call->out) == text.n);
}

void output_json(const struct call *call, const json_t *document)
{
	(void)output_note(call, json_dumpf(document, call->out, JSON_INDENT(2)) == 0);
	(void)output_note(call, fputc('\n', call->out) != EOF);
}

int output_fail(const struct call *call, int status, const char *message)
{
	lm_auto_free char *clean = sanitize_text(message); // paths need not be UTF-8

	if (!call->json) {
		output_error(call->err, message);
		return status;
	}
	lm_auto_json json_t *document = json_pack("{s:i, s:s}", "exit", status, "message", clean);
	output_json(call, document);
	return status;
}
