// SPDX-License-Identifier: Apache-2.0
#include "deploy/check.h"

#include "base/cleanup.h"
#include "base/memory.h"

#include <stdarg.h>

enum check_verdict check_verdict_of(const json_t *result)
{
	const json_t *ok = json_object_get(result, "ok");

	if (json_is_true(ok))
		return json_get_bool(result, "warning", false) ? CHECK_WARNING : CHECK_OK;
	return json_is_null(ok) ? CHECK_SKIPPED : CHECK_PROBLEM;
}

void check_forward(struct check_report *r, json_t *result)
{
	enum check_verdict verdict = check_verdict_of(result);

	r->problems += verdict == CHECK_PROBLEM;
	r->warnings += verdict == CHECK_WARNING;
	r->add(r->ctx, result);
}

static void add_result(
	struct check_report *r, enum check_verdict verdict, const char *message, const char *fix)
{
	json_t *ok =
		verdict == CHECK_SKIPPED ? json_null() : json_boolean(verdict != CHECK_PROBLEM);

	check_forward(r, json_pack("{s:s, s:o, s:b, s:o, s:o}", "check", r->name, "ok", ok,
				 "warning", (int)(verdict == CHECK_WARNING), "message",
				 json_from_text(message), "mend", json_from_text(fix)));
}

void check_ok(struct check_report *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	lm_auto_free char *message = lm_xvasprintf(format, ap);
	va_end(ap);
	add_result(r, CHECK_OK, message, NULL);
}

void check_skip(struct check_report *r, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	lm_auto_free char *message = lm_xvasprintf(format, ap);
	va_end(ap);
	add_result(r, CHECK_SKIPPED, message, NULL);
}

void check_warning(struct check_report *r, const char *message, const char *fix)
{
	add_result(r, CHECK_WARNING, message, fix);
}

void check_problem(struct check_report *r, const char *message, const char *fix)
{
	add_result(r, CHECK_PROBLEM, message, fix);
}
