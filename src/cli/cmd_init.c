// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_init.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "cli/host_survey.h"
#include "cli/new_file.h"
#include "cli/output.h"
#include "cli/render.h"
#include "config/host_draft.h"
#include "config/host_file.h"
#include "config/schema.h"
#include "sys/process.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>
#include <unistd.h>

enum {
	ANSWER_MAX = 200,
	TRIES = 3, ///< Of an answer that cannot be.
	BROKER_PORT = 1883,
	REGION_MAX = 32,
	PORT_HIGHEST = 65535,
	SURVEY_MS = 30 * 1000,
	DIRECTORY_MODE = 0755,
	REPORT_MAX = 64 << 10,
};

/// The questions: with a terminal they are asked, else the proposals are taken.
struct interview {
	const struct call *call;
	bool asks;
	struct host_survey survey;
	/// The answers; "" as NULL in the draft.
	char *user, *region, *broker_host, *control_group;
	unsigned broker_port;
};

static void interview_finish(struct interview *v)
{
	host_survey_finish(&v->survey);
	free(v->user);
	free(v->region);
	free(v->broker_host);
	free(v->control_group);
}

static void say(const struct interview *v, const char *format, ...)
	__attribute__((format(printf, 2, 3)));

static void say(const struct interview *v, const char *format, ...)
{
	lm_auto_buf struct lm_buf line = LM_BUF(REPORT_MAX);
	va_list args;

	va_start(args, format);
	(void)lm_buf_vprintf(&line, format, args);
	va_end(args);
	output_text(v->call, lm_buf_str(&line));
}

/// A label and what was found or taken, from outside.
static void say_value(const struct interview *v, const char *label, const char *value)
{
	lm_auto_free char *plain = sanitize_text(value);

	say(v, "  %-16s%s\n", label, plain);
}

// Questions

/// What can be wrong with an answer; `why` gets the reason. It may set more of the interview.
typedef bool answer_fits(struct interview *v, const char *answer, struct lm_buf *why);

struct question {
	const char *text;
	const char *proposal; ///< "": none.
	const char *label;    ///< Of what was taken without asking.
	const char *nothing;  ///< Shown if that is nothing.
	answer_fits *check;   ///< An empty answer is right.
	char **answer;
};

/// A line of standard input without its end. LM_E_CANCELLED: there is none. LM_E_TOO_LARGE: it is
/// over ANSWER_MAX; the rest of it is skipped.
static lm_rc read_answer(char answer[ANSWER_MAX + 2], struct lm_err *err)
{
	size_t n = 0;
	int c;

	while ((c = getc(stdin)) != EOF && c != '\n')
		if (n <= ANSWER_MAX)
			answer[n++] = (char)c;
	if (c == EOF)
		return lm_fail(err, LM_E_CANCELLED, 0, "no answer: nothing was written");
	answer[n] = '\0';
	if (n > ANSWER_MAX)
		return lm_fail(
			err, LM_E_TOO_LARGE, 0, "the answer is longer than %d bytes", ANSWER_MAX);
	if (strlen(answer) < n || !lm_str_is_utf8(lm_str(answer)))
		return lm_fail(err, LM_E_INVALID, 0, "the answer is not UTF-8");
	return LM_OK;
}

/// Without blanks around it.
static const char *trim(char *answer)
{
	size_t n = strlen(answer);

	while (n > 0 && strchr(" \t\r", answer[n - 1]))
		answer[--n] = '\0';
	return answer + strspn(answer, " \t");
}

/// One try; `*ret_again`: the answer cannot be, which was reported.
static lm_rc ask_once(
	struct interview *v, const struct question *q, bool *ret_again, struct lm_err *err)
{
	char answer[ANSWER_MAX + 2];
	lm_auto_buf struct lm_buf why = LM_BUF(ANSWER_MAX * 5);
	lm_auto_free char *proposal = sanitize_text(q->proposal);

	*ret_again = false;
	say(v, "%s [%s]: ", q->text, *proposal ? proposal : "none");
	(void)fflush(v->call->out);
	lm_rc rc = read_answer(answer, err);
	if (rc == LM_E_CANCELLED)
		return rc;
	const char *given = rc ? "" : trim(answer);
	// "none" takes back a proposal.
	const char *taken = !*given ? q->proposal : strcmp(given, "none") == 0 ? "" : given;
	*ret_again = rc || (*taken && !q->check(v, taken, &why));
	if (*ret_again)
		output_error(v->call->err, rc ? err->msg : lm_buf_cstr(&why));
	else
		*q->answer = lm_xstrdup(taken);
	return LM_OK;
}

static lm_rc ask(struct interview *v, const struct question *q, struct lm_err *err)
{
	bool again = true;

	if (!v->asks) {
		lm_auto_buf struct lm_buf ignored = LM_BUF(ANSWER_MAX * 5);
		bool fits = *q->proposal && q->check(v, q->proposal, &ignored);

		*q->answer = lm_xstrdup(fits ? q->proposal : "");
		say_value(v, q->label, fits ? q->proposal : q->nothing);
		return LM_OK;
	}
	for (int i = 0; i < TRIES && again; i++) {
		lm_rc rc = ask_once(v, q, &again, err);

		if (rc)
			return rc;
	}
	return again ? lm_fail(err, LM_E_INVALID, 0, "no usable answer: nothing was written")
		     : LM_OK;
}

static bool user_fits(struct interview *v, const char *answer, struct lm_buf *why)
{
	lm_auto(process_user_finish) struct process_user user = {0};

	(void)v;
	if (process_user_by_name(answer, &user, NULL))
		return schema_refuse(why, "this device has no user '%s'", answer);
	return user.uid != 0 ||
	       schema_refuse(why, "applications do not run as root: name another user");
}

static bool group_fits(struct interview *v, const char *answer, struct lm_buf *why)
{
	gid_t ignored;

	(void)v;
	return process_group_by_name(answer, &ignored, NULL) == LM_OK ||
	       schema_refuse(why, "this device has no group '%s': make it with groupadd", answer);
}

static bool region_fits(struct interview *v, const char *answer, struct lm_buf *why)
{
	size_t n = strspn(answer, "abcdefghijklmnopqrstuvwxyz0123456789-");

	(void)v;
	return (n == strlen(answer) && n <= REGION_MAX) ||
	       schema_refuse(why, "'%s' is not a Region such as eu-west-1", answer);
}

/// Host and port; sets the port.
static bool broker_fits(struct interview *v, const char *answer, struct lm_buf *why)
{
	struct lm_str port = lm_str(answer);
	struct lm_str host = lm_str_cut(&port, ':');
	uint64_t number = BROKER_PORT;
	bool has_port = host.n < strlen(answer);

	if (host.n == 0 || !schema_is_alnum(host, ".-_") ||
		(has_port && (!lm_str_to_u64(port, PORT_HIGHEST, &number) || number == 0)))
		return schema_refuse(why, "'%s' is not HOST or HOST:PORT", answer);
	v->broker_port = (unsigned)number;
	return true;
}

/// The port is in `broker_port`.
static void cut_port(char *broker)
{
	broker[strcspn(broker, ":")] = '\0';
}

static lm_rc ask_for_user(struct interview *v, struct lm_err *err)
{
	const struct host_survey *s = &v->survey;

	if (s->has_usual_user || s->users_n == 1) {
		v->user = lm_xstrdup(s->users[0]);
		say_value(v, "user", v->user);
		return LM_OK;
	}
	return ask(v,
		&(struct question){"User that applications run as, and that may use the engine",
			s->users_n > 0 ? s->users[0] : "", "user",
			"none may use the engine: useradd -G docker ggc_user", user_fits, &v->user},
		err);
}

static lm_rc ask_for_broker(struct interview *v, struct lm_err *err)
{
	if (v->survey.broker_host) {
		v->broker_host = lm_xstrdup(v->survey.broker_host);
		v->broker_port = v->survey.broker_port;
		return LM_OK;
	}
	lm_rc rc = ask(v,
		&(struct question){"MQTT broker for status messages, HOST or HOST:PORT", "",
			"MQTT broker", "none", broker_fits, &v->broker_host},
		err);
	if (!rc)
		cut_port(v->broker_host);
	return rc;
}

static lm_rc ask_for_region(struct interview *v, struct lm_err *err)
{
	if (v->survey.region) {
		v->region = lm_xstrdup(v->survey.region);
		return LM_OK;
	}
	return ask(v,
		&(struct question){"AWS Region, if the device uses AWS", "", "AWS Region", "none",
			region_fits, &v->region},
		err);
}

static lm_rc ask_all(struct interview *v, struct lm_err *err)
{
	lm_rc rc = ask_for_user(v, err);

	if (!rc)
		rc = ask_for_broker(v, err);
	if (!rc)
		rc = ask_for_region(v, err);
	return rc ? rc
		  : ask(v,
			    &(struct question){"Group that may use lighterman without sudo; its "
					       "members are as powerful as root",
				    "", "control group", "none", group_fits, &v->control_group},
			    err);
}

// Reports

static void report_survey(const struct interview *v)
{
	const struct host_survey *s = &v->survey;
	lm_auto_free char *engine = lm_xasprintf("%s%s", s->docker_socket,
		s->engine_answers ? "" : ", where nothing answers yet: start the Docker Engine");
	lm_auto_free char *broker =
		s->broker_host ? lm_xasprintf("%s:%u", s->broker_host, s->broker_port) : NULL;
	lm_auto_free char *region =
		s->region ? lm_xasprintf("%s, from %s", s->region, s->region_source) : NULL;

	say(v, "Found on this device:\n");
	say_value(v, "Docker Engine", engine);
	say_value(v, "docker-compose", s->compose ? s->compose : "none: install docker-compose");
	if (s->other_compose)
		say_value(v, "", s->other_compose);
	if (broker)
		say_value(v, "MQTT broker", broker);
	if (region)
		say_value(v, "AWS Region", region);
	if (s->has_endpoint)
		say_value(v, "AWS endpoint",
			"in the environment: lightermand needs these variables, too "
			"(systemctl edit lightermand)");
	if (!s->greengrass_root)
		return;
	lm_auto_free char *core =
		lm_xasprintf("%s%s%s: `lighterman import %s` takes over its group, too",
			s->greengrass_root, s->thing_name ? ", thing " : "",
			s->thing_name ? s->thing_name : "", s->greengrass_root);
	say_value(v, "Greengrass V1", core);
}

// The file

/// Where it goes.
struct target {
	char *path, *copy; ///< `copy` belongs to `name`.
	char *directory;
	const char *name;
	int fd;
};

static void target_finish(struct target *t)
{
	free(t->path);
	free(t->copy);
	free(t->directory);
	if (t->fd >= 0)
		(void)close(t->fd);
}

/// Before anything is asked: whether the file can be there.
static lm_rc target_check(const struct call *call, struct target *t, struct lm_err *err)
{
	*t = (struct target){.fd = -1};
	if (!call->output && geteuid() != 0)
		return lm_fail(err, LM_E_DENIED, 0,
			"only root writes " HOST_FILE_DEFAULT
			": use sudo, or name another file with --output");
	t->path = lm_xstrdup(call->output ? call->output : HOST_FILE_DEFAULT);
	t->copy = lm_xstrdup(t->path);
	t->directory = lm_xstrdup(dirname(t->copy));
	t->name = lm_path_base(t->path);
	if (!*t->name)
		return lm_fail(
			err, LM_E_INVALID, 0, "'%s' names a directory: name a file in it", t->path);
	t->fd = open(t->directory, O_DIRECTORY | O_CLOEXEC);
	if (t->fd < 0 && errno != ENOENT)
		return lm_fail(
			err, lm_rc_of_errno(errno), errno, "cannot open '%s': %m", t->directory);
	return t->fd < 0 || call->force ? LM_OK : new_file_check(t->fd, t->directory, t->name, err);
}

static lm_rc target_write(
	const struct call *call, struct target *t, struct lm_str text, struct lm_err *err)
{
	lm_rc rc = lm_dir_make(t->directory, DIRECTORY_MODE, err);

	if (!rc && t->fd < 0) {
		t->fd = open(t->directory, O_DIRECTORY | O_CLOEXEC);
		if (t->fd < 0)
			rc = lm_fail(err, lm_rc_of_errno(errno), errno, "cannot open '%s': %m",
				t->directory);
	}
	if (!rc && call->force)
		rc = new_file_keep_old(t->fd, t->directory, t->name, err);
	return rc ? rc : new_file_write(t->fd, t->directory, t->name, text, call->force, err);
}

static const char *or_null(const char *answer)
{
	return *answer ? answer : NULL;
}

/// The text, which is read as lightermand reads it before it is written.
static lm_rc make_text(const struct interview *v, struct lm_buf *out, struct lm_err *err)
{
	const struct host_survey *s = &v->survey;
	const struct host_draft draft = {.default_user = or_null(v->user),
		.region = or_null(v->region),
		.control_group = or_null(v->control_group),
		.broker_host = or_null(v->broker_host),
		.broker_port = v->broker_port,
		.docker_socket = s->docker_socket,
		.host_name = s->thing_name ? s->thing_name : s->host_name,
		.compose = s->compose,
		.greengrass_root = s->greengrass_root};
	lm_auto_buf struct lm_buf copy = LM_BUF(LIMIT_HOST_FILE);
	lm_auto_json json_t *document = NULL;
	lm_auto_host struct host_settings host = {0};

	host_draft_write(&draft, out);
	if (out->overflow)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the host file would be too large");
	(void)lm_buf_add_str(&copy, lm_buf_str(out));
	lm_rc rc = host_parse(&copy, &document, err);
	if (!rc)
		rc = host_from_json(document, &host, err);
	return rc ? lm_wrap(err, "the host file") : LM_OK;
}

static lm_rc init_run(struct interview *v, struct target *target, struct lm_err *err)
{
	const struct host_survey_places places = {0};
	const struct wait_limit forever = WAIT_FOREVER,
				limit = wait_limit_within(&forever, SURVEY_MS);
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_HOST_FILE);
	lm_rc rc = host_survey_make(&places, &limit, &v->survey, err);

	if (rc)
		return rc;
	report_survey(v);
	rc = ask_all(v, err);
	if (!rc)
		rc = make_text(v, &text, err);
	if (!rc)
		rc = target_write(v->call, target, lm_buf_str(&text), err);
	if (rc)
		return rc;
	lm_auto_free char *path = sanitize_text(target->path);
	say(v, "Written: %s\n", path);
	say(v, "Next: look through it, restart lightermand, and run `lighterman doctor`.\n");
	return LM_OK;
}

int cmd_init(const struct call *call)
{
	lm_auto(interview_finish) struct interview v = {.call = call,
		.asks = !call->yes && isatty(STDIN_FILENO) && isatty(fileno(call->out))};
	lm_auto(target_finish) struct target target = {.fd = -1};
	struct lm_err why = {LM_OK};
	lm_rc rc = target_check(call, &target, &why);

	if (!rc)
		rc = init_run(&v, &target, &why);
	if (rc)
		return output_fail(call, rc == LM_E_INVALID ? EXIT_INVALID : EXIT_FAILED, why.msg);
	return EXIT_DONE;
}
