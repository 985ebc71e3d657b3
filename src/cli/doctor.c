// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "cli/client.h"
#include "cli/doctor_page.h"
#include "cli/doctor_priv.h"
#include "cli/input.h"
#include "cli/interrupt.h"
#include "cli/terminal.h"

#include <string.h>

enum { LIMIT_MS = 15 * 60 * 1000, PAGE_MAX = 64 << 10 };

/// All checks in their order; those without a function are a worker's (src/worker/check_job.c).
static const struct {
	const char *name;
	doctor_check *run;
} ORDER[] = {
	{"host file", doctor_check_host_file},
	{"group file", doctor_check_group_file},
	{"lightermand", doctor_check_lightermand},
	{"user", doctor_check_user},
	{"root", doctor_check_root},
	{"worker", NULL},
	{"docker command", NULL},
	{"engine", NULL},
	{"engine version", NULL},
	{"docker-compose", NULL},
	{"compose and engine", NULL},
	{"destination", NULL},
	{"free space", NULL},
	{"region", NULL},
	{"AWS credentials", NULL},
	{"compose file", NULL},
	{"compose syntax", NULL},
	{"compose requirements", NULL},
	{"secrets", NULL},
	{"registries", NULL},
	{"broker", doctor_check_brokers},
	{"clock", NULL},
	{"log directory", doctor_check_log},
	{"state directory", doctor_check_state},
	{"runtime directory", doctor_check_runtime},
	{"memory", doctor_check_memory},
};

static void print(struct doctor *d, const json_t *check)
{
	lm_auto_buf struct lm_buf page = LM_BUF(PAGE_MAX);
	const json_t *above = json_array_get(d->checks, json_array_size(d->checks) - 1);
	bool is_more = json_equal(json_object_get(above, "check"), json_object_get(check, "check"));

	if (d->call->json)
		return;
	doctor_page_add(&page, &d->style, check, is_more);
	command_print(d->call, lm_buf_str(&page));
	(void)command_note_write(d->call, fflush(d->call->out) == 0); // the next may take its time
}

/// Keeps and prints a check; drops the reference.
static void add(struct doctor *d, json_t *check)
{
	enum doctor_verdict verdict = doctor_judge(check);

	d->wrong += verdict == DOCTOR_WRONG;
	d->warnings += verdict == DOCTOR_WARNING;
	print(d, check);
	d->at_told = true;
	json_array_append_new(d->checks, check);
}

static void tell(struct doctor *d, json_t *ok, bool warning, const char *message, const char *mend)
{
	char shown[4 * LM_ERR_MSG_SIZE + 32];

	// Names of files need not be UTF-8, and jansson takes nothing else.
	(void)lm_str_shorten(lm_str(message), LM_ERR_MSG_SIZE, shown, sizeof(shown));
	add(d, json_pack("{s:s, s:o, s:b, s:s, s:s?}", "check", d->name, "ok", ok, "warning",
		       (int)warning, "message", shown, "mend", mend));
}

void doctor_ok(struct doctor *d, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	lm_auto_free char *message = lm_xvasprintf(format, ap);
	va_end(ap);
	tell(d, json_true(), false, message, NULL);
}

void doctor_warn(struct doctor *d, const char *message, const char *mend)
{
	tell(d, json_true(), true, message, mend);
}

void doctor_wrong(struct doctor *d, const char *message, const char *mend)
{
	tell(d, json_false(), false, message, mend);
}

void doctor_skip(struct doctor *d, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	lm_auto_free char *message = lm_xvasprintf(format, ap);
	va_end(ap);
	tell(d, json_null(), false, message, NULL);
}

/// Makes the checks from where it is up to (and without) number `to`.
static void advance(struct doctor *d, size_t to)
{
	for (; d->at < to && !d->cancelled; d->at++, d->at_told = false) {
		d->name = ORDER[d->at].name;
		if (ORDER[d->at].run)
			ORDER[d->at].run(d);
		else if (!d->at_told)
			doctor_skip(d, "not checked: %s",
				d->worker_lives ? "the worker did not come to it"
						: "there is no worker");
	}
	d->name = to < LM_ARRAY_SIZE(ORDER) ? ORDER[to].name : "";
}

/// The place of a check; of one that is not known, where we are.
static size_t place_of(const struct doctor *d, const char *name)
{
	for (size_t i = d->at; name && i < LM_ARRAY_SIZE(ORDER); i++) {
		if (strcmp(ORDER[i].name, name) == 0)
			return i;
	}
	return d->at;
}

void doctor_take(struct doctor *d, const json_t *check)
{
	advance(d, place_of(d, json_get_text(check, "check")));
	add(d, json_deep_copy(check));
}

static void print_end(const struct doctor *d)
{
	lm_auto_buf struct lm_buf page = LM_BUF(PAGE_MAX);
	lm_auto_json json_t *document = NULL;

	if (d->call->json) {
		document = json_pack("{s:O, s:b}", "checks", d->checks, "ok", (int)(d->wrong == 0));
		command_print_json(d->call, document);
		return;
	}
	doctor_page_sum(&page, d->wrong, d->warnings);
	command_print(d->call, lm_buf_str(&page));
}

static int exit_status(const struct doctor *d)
{
	if (d->invalid)
		return EXIT_INVALID;
	return d->wrong > 0 ? EXIT_FAILED : EXIT_DONE;
}

static void doctor_finish(struct doctor *d)
{
	json_decref(d->checks);
	json_decref(d->status);
	free(d->socket_path);
	host_finish(&d->host);
	group_destroy(d->group);
	process_user_finish(&d->user);
	lm_buf_finish(&d->input);
}

/// All checks. LM_E_CANCELLED: told to stop.
static lm_rc run(struct doctor *d, struct lm_err *err)
{
	for (size_t i = 0; ORDER[i].run; i++)
		advance(d, i + 1);
	if (d->cancelled)
		return lm_fail(err, LM_E_CANCELLED, 0, "told to stop");
	lm_rc rc = doctor_run_worker(d, err);
	if (rc)
		return rc;
	advance(d, LM_ARRAY_SIZE(ORDER));
	return LM_OK;
}

int command_doctor(const struct call *call)
{
	lm_auto(interrupt_finish) struct interrupt interrupt = {.fd = -1};
	lm_auto(doctor_finish) struct doctor d = {.call = call,
		.style = terminal_style(call->out),
		.checks = json_array(),
		.input = LM_BUF(LIMIT_GROUP_FILE)};
	struct lm_err why = {0};

	// Whoever types the file, or waits for it, can still end that with Ctrl-C: it comes first.
	if (call->argument)
		d.input_rc = input_read(call->argument, &d.input, &d.input_err);
	lm_rc rc = interrupt_init(&interrupt, &why);

	d.limit = (struct wait_limit){.cancel_fd = interrupt.fd};
	d.limit = wait_limit_within(&d.limit, LIMIT_MS);
	if (!rc)
		rc = run(&d, &why);
	if (rc)
		return command_fail(call, EXIT_FAILED, why.msg);
	print_end(&d);
	return exit_status(&d);
}
