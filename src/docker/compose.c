// SPDX-License-Identifier: Apache-2.0
#include "docker/compose.h"

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/str.h"
#include "docker/compose_output.h"
#include "docker/compose_values.h"
#include "docker/compose_variables.h"
#include "sys/process.h"

#define PATH_DEFAULT "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static const char SECRET[] = "it is a secret of lightermand or leads to one";
static const char ELSEWHERE[] = "it would change what docker-compose connects to or does";
static const char LOADED[] = "it would load other code into docker-compose";
static const char MANAGER[] = "it belongs to lightermand and its service manager";

/// A variable that docker-compose does not get from lightermand.
struct withheld {
	const char *name;
	const char *reason;
	/// docker-compose would also take it from `.env`, which the environment overrides: it is
	/// set to nothing, which counts as not set.
	bool emptied;
};

/// docs/formats.md has the same list.
static const struct withheld WITHHELD[] = {
	{"AWS_ACCESS_KEY_ID", SECRET, false},
	{"AWS_SECRET_ACCESS_KEY", SECRET, false},
	{"AWS_ACCESS_KEY", SECRET, false},
	{"AWS_SECRET_KEY", SECRET, false},
	{"AWS_SESSION_TOKEN", SECRET, false},
	{"AWS_SECURITY_TOKEN", SECRET, false},
	{"AWS_PROFILE", SECRET, false},
	{"AWS_DEFAULT_PROFILE", SECRET, false},
	{"AWS_SHARED_CREDENTIALS_FILE", SECRET, false},
	{"AWS_CONFIG_FILE", SECRET, false},
	{"AWS_CREDENTIAL_FILE", SECRET, false},
	{"AWS_WEB_IDENTITY_TOKEN_FILE", SECRET, false},
	{"AWS_ROLE_ARN", SECRET, false},
	{"AWS_ROLE_SESSION_NAME", SECRET, false},
	{"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", SECRET, false},
	{"AWS_CONTAINER_CREDENTIALS_FULL_URI", SECRET, false},
	{"AWS_CONTAINER_AUTHORIZATION_TOKEN", SECRET, false},
	{"AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", SECRET, false},
	{"CREDENTIALS_DIRECTORY", SECRET, false},
	{"DOCKER_AUTH_CONFIG", SECRET, false},
	{"DOCKER_HOST", ELSEWHERE, false}, // set to our own
	{"DOCKER_CONTEXT", ELSEWHERE, true},
	{"DOCKER_CONFIG", ELSEWHERE, false}, // empty, it means the working directory
	{"DOCKER_TLS", ELSEWHERE, true},
	{"DOCKER_TLS_VERIFY", ELSEWHERE, true},
	{"DOCKER_CERT_PATH", ELSEWHERE, true},
	{"DOCKER_CLI_PLUGIN_ORIGINAL_CLI_COMMAND", ELSEWHERE, false},
	{"DOCKER_CLI_PLUGIN_SOCKET", ELSEWHERE, false},
	{"BUILDKIT_HOST", ELSEWHERE, false},
	{"COMPOSE_FILE", ELSEWHERE, false}, // given as an option, as are the next two
	{"COMPOSE_PATH_SEPARATOR", ELSEWHERE, false},
	{"COMPOSE_PROJECT_NAME", ELSEWHERE, false},
	{"COMPOSE_ENV_FILES", ELSEWHERE, false},
	{"COMPOSE_DISABLE_ENV_FILE", ELSEWHERE, false}, // docker-compose 2 fails if it is empty
	{"COMPOSE_TLS_VERSION", ELSEWHERE, true},
	{"COMPOSE_IGNORE_ORPHANS", ELSEWHERE, true},
	{"COMPOSE_REMOVE_ORPHANS", ELSEWHERE, true},
	{"COMPOSE_PARALLEL_LIMIT", ELSEWHERE, false}, // set to our own
	{"COMPOSE_PROGRESS", ELSEWHERE, false},
	{"COMPOSE_STATUS_STDOUT", ELSEWHERE, false},
	{"LD_PRELOAD", LOADED, false},
	{"LD_LIBRARY_PATH", LOADED, false},
	{"LD_AUDIT", LOADED, false},
	{"NOTIFY_SOCKET", MANAGER, false},
	{"WATCHDOG_USEC", MANAGER, false},
	{"WATCHDOG_PID", MANAGER, false},
	{"LISTEN_FDS", MANAGER, false},
	{"LISTEN_PID", MANAGER, false},
	{"LISTEN_FDNAMES", MANAGER, false},
};

static const struct withheld *find_withheld(struct lm_str name)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(WITHHELD); i++)
		if (lm_str_eq(name, lm_str(WITHHELD[i].name)))
			return &WITHHELD[i];
	return NULL;
}

static struct lm_str variable_name(const char *entry)
{
	struct lm_str rest = lm_str(entry);
	return lm_str_cut(&rest, '=');
}

/// Replaces the entry of that name, or adds one. `value` NULL: leaves things as they are.
static void set_variable(char **env, size_t *n, const char *name, const char *value)
{
	if (!value)
		return;
	size_t i = 0;
	while (i < *n && !lm_str_eq(variable_name(env[i]), lm_str(name)))
		i++;
	if (i == *n)
		(*n)++;
	free(env[i]);
	env[i] = lm_xasprintf("%s=%s", name, value);
}

static bool has_variable(char **env, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (lm_str_eq(variable_name(env[i]), lm_str(name)))
			return true;
	return false;
}

char **compose_env_make(const char *const *parent, const struct compose_env_settings *settings)
{
	enum { OURS = 5 + LM_ARRAY_SIZE(WITHHELD), PARALLEL = LIMIT_SERVICES + 64 };
	size_t parent_n = 0;
	while (parent[parent_n])
		parent_n++;
	char **env = lm_xcalloc(parent_n + OURS + 1, sizeof(*env));
	size_t n = 0;
	for (size_t i = 0; i < parent_n; i++)
		if (strchr(parent[i], '=') && !find_withheld(variable_name(parent[i])))
			env[n++] = lm_xstrdup(parent[i]);
	if (!has_variable(env, n, "PATH"))
		set_variable(env, &n, "PATH", PATH_DEFAULT);
	// Debian's Python looks for its distutils through setuptools, which takes half of the start
	// of docker-compose 1.29 (0.37 s of CPU become 0.19 s). Nothing else reads this.
	if (!has_variable(env, n, "SETUPTOOLS_USE_DISTUTILS"))
		set_variable(env, &n, "SETUPTOOLS_USE_DISTUTILS", "stdlib");
	// docker-compose 1.29 counts each service, and then again what it does for each service,
	// against one limit (by default 64). More services than that take all of it, and wait for
	// ever for what they need besides.
	lm_auto_free char *parallel = lm_xasprintf("%d", PARALLEL);
	set_variable(env, &n, "COMPOSE_PARALLEL_LIMIT", parallel);
	for (size_t i = 0; i < LM_ARRAY_SIZE(WITHHELD); i++)
		if (WITHHELD[i].emptied)
			set_variable(env, &n, WITHHELD[i].name, "");
	set_variable(env, &n, "DOCKER_CONFIG", settings->docker_config);
	if (settings->docker_socket) {
		lm_auto_free char *host = lm_xasprintf("unix://%s", settings->docker_socket);
		set_variable(env, &n, "DOCKER_HOST", host);
	}
	return env;
}

char **compose_env_with(const char *const *env, const char *name, const char *value)
{
	size_t n = 0;

	while (env[n])
		n++;
	char **copy = lm_xcalloc(n + 2, sizeof(*copy));
	for (size_t i = 0; i < n; i++)
		copy[i] = lm_xstrdup(env[i]);
	set_variable(copy, &n, name, value);
	return copy;
}

const char *compose_env_reason(const char *const *parent, struct lm_str name)
{
	const struct withheld *found = find_withheld(name);

	return found && (found->emptied || compose_env_get(parent, name)) ? found->reason : NULL;
}

const char *compose_env_get(const char *const *env, struct lm_str name)
{
	for (; *env; env++)
		if (strchr(*env, '=') && lm_str_eq(variable_name(*env), name))
			return *env + name.n + 1;
	return NULL;
}

void compose_env_free(char **env)
{
	for (size_t i = 0; env && env[i]; i++)
		free(env[i]);
	free(env);
}

enum {
	GRACE_MS = 10 * 1000, ///< compose finishes its current step at SIGTERM.
	ARGS_MAX = 24,        ///< Without services.
	HELD_MAX = 16 << 10,
	LONG_SHOWN_MAX = 1000,
	FILES_MAX = 64, ///< That the compose file refers to.
	PLACE_MAX = 300,
};

/// One run and what is collected from its lines.
struct compose_run {
	const struct compose_project *project;
	struct compose_reason reason;
	struct compose_quotes quotes;
	struct compose_values *values; ///< NULL until they are needed.
	struct lm_buf file;            ///< The compose file, from then on.
	bool in_long[2];               ///< By stream: the previous line was cut off.
	struct lm_buf held;            ///< Lines that may still turn out to be errors.
	struct lm_buf clean, text, stripped, masked;
};

static void compose_run_init(struct compose_run *r, const struct compose_project *project)
{
	enum { LINE_MAX_BYTES = LIMIT_LOG_LINE * 4 };

	*r = (struct compose_run){.project = project,
		.file = LM_BUF_SECRET(LIMIT_COMPOSE_CONFIG),
		.held = LM_BUF(HELD_MAX),
		.clean = LM_BUF_SECRET(LINE_MAX_BYTES),
		.text = LM_BUF_SECRET(LINE_MAX_BYTES),
		.stripped = LM_BUF_SECRET(LINE_MAX_BYTES),
		.masked = LM_BUF(LINE_MAX_BYTES)};
	compose_reason_init(&r->reason);
}

static void compose_run_finish(struct compose_run *r)
{
	compose_reason_finish(&r->reason);
	compose_values_destroy(r->values);
	lm_buf_finish(&r->file);
	lm_buf_finish(&r->held);
	lm_buf_finish(&r->clean);
	lm_buf_finish(&r->text);
	lm_buf_finish(&r->stripped);
	lm_buf_finish(&r->masked);
}

/// Copies a line with the name of the compose file that users know: the file that docker-compose
/// was given is temporary. Clears `out` first.
static void show_file(const struct compose_project *project, struct lm_str line, struct lm_buf *out)
{
	size_t n = strlen(project->file);

	lm_buf_clear(out);
	while (line.n > 0) {
		const char *found =
			project->file_shown ? memmem(line.p, line.n, project->file, n) : NULL;
		size_t before = found ? (size_t)(found - line.p) : line.n;
		size_t taken = found ? before + n : before;

		(void)lm_buf_add(out, line.p, before);
		if (found)
			(void)lm_buf_puts(out, project->file_shown);
		line = (struct lm_str){line.p + taken, line.n - taken};
	}
}

/// Reads what docker-compose itself reads; what cannot be read has no values for it either.
static bool read_beside(const struct compose_project *project, const char *path, struct lm_buf *out)
{
	lm_auto_free char *joined =
		*path == '/' ? lm_xstrdup(path) : lm_path_join(project->directory, path);

	lm_buf_clear(out);
	return lm_file_read(joined, out, NULL) == LM_OK;
}

/// Whether a line of `.env` sets the variable to more than nothing.
static bool sets(struct lm_str line, struct lm_str name)
{
	static const char export[] = "export ";

	line = lm_str_trim(line);
	if (lm_str_starts(line, lm_str(export)))
		line = lm_str_trim(
			(struct lm_str){line.p + sizeof(export) - 1, line.n - sizeof(export) + 1});
	struct lm_str key = lm_str_trim(lm_str_cut(&line, '='));
	return lm_str_eq(key, name) && lm_str_trim(line).n > 0;
}

/// Whether docker-compose has a value for the variable, from the environment or else from `.env`.
static bool is_variable_set(const struct compose_project *project, const char *name)
{
	lm_auto_buf struct lm_buf dot_env = LM_BUF_SECRET(LIMIT_COMPOSE_CONFIG);
	const char *value = compose_env_get(project->env, lm_str(name));

	if (value || !read_beside(project, ".env", &dot_env))
		return value && *value;
	for (struct lm_str rest = lm_buf_str(&dot_env); rest.n > 0;)
		if (sets(lm_str_cut(&rest, '\n'), lm_str(name)))
			return true;
	return false;
}

/// Calls `take` for .env and for each file that the compose file refers to, which may name more.
/// Their paths count from other directories, too; what docker-compose 2 finds there is not looked
/// for.
static void each_other_file(const struct compose_run *r,
	void (*take)(void *ctx, bool is_env, struct lm_str text), void *ctx)
{
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(LIMIT_COMPOSE_CONFIG);
	bool env = false;
	const char *path;

	if (read_beside(r->project, ".env", &text))
		take(ctx, true, lm_buf_str(&text));
	for (size_t i = 0; i < FILES_MAX && (path = compose_values_file(r->values, i, &env)); i++)
		if (read_beside(r->project, path, &text))
			take(ctx, env, lm_buf_str(&text));
}

static void add_other_file(void *ctx, bool is_env, struct lm_str text)
{
	struct compose_values *v = ctx;

	if (is_env)
		compose_values_add_env_file(v, text);
	else
		compose_values_add_file(v, text);
}

static void load_values(struct compose_run *r)
{
	r->values = compose_values_create();
	compose_values_add_environment(r->values, r->project->env);
	if (lm_file_read(r->project->file, &r->file, NULL) == LM_OK)
		compose_values_add_file(r->values, lm_buf_str(&r->file));
	if (r->project->resolved.n > 0)
		compose_values_add_file(r->values, r->project->resolved);
	each_other_file(r, add_other_file, r->values);
}

static void log_as(const struct compose_run *r, enum lm_level level, struct lm_str line)
{
	if (r->project->on_line && line.n > 0)
		r->project->on_line(r->project->ctx, level, line);
}

/// Logs the lines that were held.
static void release_held(struct compose_run *r, enum lm_level level)
{
	struct lm_str rest = lm_buf_str(&r->held);

	while (rest.n > 0)
		log_as(r, level, lm_str_cut(&rest, '\n'));
	lm_buf_clear(&r->held);
}

static void compose_log_line(struct compose_run *r, enum compose_line_kind kind, struct lm_str line)
{
	static const enum lm_level levels[] = {[COMPOSE_DETAIL] = LM_DEBUG,
		[COMPOSE_PROGRESS] = LM_INFO,
		[COMPOSE_WARNING] = LM_WARN,
		[COMPOSE_ERROR] = LM_ERROR};

	if (kind == COMPOSE_UNDECIDED) {
		if (r->held.len + line.n + 1 > r->held.max)
			release_held(r, LM_INFO);
		(void)lm_buf_add_str(&r->held, line);
		(void)lm_buf_putc(&r->held, '\n');
		return;
	}
	if (kind != COMPOSE_DETAIL)
		release_held(r, kind == COMPOSE_ERROR ? LM_ERROR : LM_INFO);
	log_as(r, levels[kind], line);
}

struct variable_uses {
	struct lm_str name;
	size_t doubtful, others;
	struct lm_buf place; ///< Of the first that is doubtful.
};

static void variable_uses_finish(struct variable_uses *u)
{
	lm_buf_finish(&u->place);
}

static void count_use(
	void *ctx, const struct compose_reference *reference, const struct compose_place *place)
{
	struct variable_uses *u = ctx;

	if (!lm_str_eq(reference->name, u->name))
		return;
	if (!compose_reference_is_doubtful(reference, place)) {
		u->others++;
		return;
	}
	if (u->doubtful++ == 0)
		compose_place_describe(place, &u->place);
}

/// Docker-compose 2 has variables in env files, too.
static void count_in_env_file(struct variable_uses *u, struct lm_str text)
{
	struct compose_place place = {.option = LM_STR("environment")};
	struct compose_reference r;

	while (text.n > 0) {
		place.text = lm_str_cut(&text, '\n');
		for (size_t at = 0; compose_reference_next(place.text, &at, &r);) {
			if (!lm_str_eq(r.name, u->name))
				continue;
			if (!compose_reference_is_doubtful(&r, &place))
				u->others++;
			else if (u->doubtful++ == 0)
				(void)lm_buf_puts(&u->place, "an env file");
		}
	}
}

static void count_in_other_file(void *ctx, bool is_env, struct lm_str text)
{
	if (is_env)
		count_in_env_file(ctx, text);
	else
		(void)!compose_references_each(text, count_use, ctx, NULL);
}

/// A line that names an unset variable. Where a `$` is in the middle of a word, what follows
/// it is more likely a part of a password than a name. False: it is another line.
static bool take_unset(struct compose_run *r, struct lm_str line)
{
	lm_auto(variable_uses_finish) struct variable_uses uses = {
		.name = compose_line_unset(line), .place = LM_BUF(PLACE_MAX)};

	if (uses.name.n == 0)
		return false;
	(void)!compose_references_each(lm_buf_str(&r->file), count_use, &uses, NULL);
	each_other_file(r, count_in_other_file, &uses);
	lm_buf_clear(&r->masked);
	if (uses.doubtful > 0 && uses.others == 0) {
		(void)lm_buf_printf(&r->masked,
			"a $ in the value of %s does not start a variable that is set: write $$ "
			"for a literal $, and ${NAME} for a variable",
			lm_buf_cstr(&uses.place));
		return true;
	}
	(void)lm_buf_printf(&r->masked, "the variable %.*s is not set, and counts as empty",
		LM_STR_ARG(uses.name));
	if (r->project->on_unset)
		r->project->on_unset(r->project->ctx, uses.name);
	return true;
}

/// What of a line may be shown, in `masked`. False: nothing.
static bool make_shown(struct compose_run *r, enum compose_line_kind *ret_kind)
{
	const struct compose *compose = r->project->compose;

	*ret_kind = compose_line_read(lm_buf_str(&r->clean), &r->text);
	if (!compose_quotes_strip(&r->quotes, lm_buf_str(&r->text), &r->stripped))
		return false;
	if (take_unset(r, lm_buf_str(&r->text)))
		return true;
	show_file(r->project, lm_buf_str(&r->stripped), &r->text);
	lm_buf_clear(&r->masked);
	compose_values_mask(r->values, lm_buf_str(&r->text), &r->masked);
	if (compose->generation >= 2)
		return true;
	compose_line_explain_key(lm_buf_str(&r->masked), compose->version, &r->text);
	lm_buf_clear(&r->masked);
	(void)lm_buf_add_str(&r->masked, lm_buf_str(&r->text));
	return true;
}

static void take_compose_line(void *ctx, enum process_stream stream, struct lm_str line)
{
	struct compose_run *r = ctx;
	enum compose_line_kind kind;
	bool *in_long = &r->in_long[stream];
	bool goes_on = *in_long;

	// A value could be cut where a long line is: of such a line only the beginning is shown.
	*in_long = line.n >= LIMIT_LOG_LINE;
	if (goes_on)
		return;
	compose_line_clean(line, &r->clean);
	if (lm_str_trim(lm_buf_str(&r->clean)).n == 0)
		return;
	if (!r->values)
		load_values(r);
	if (!make_shown(r, &kind))
		return;
	struct lm_str shown = lm_buf_str(&r->masked);
	if (*in_long && shown.n > LONG_SHOWN_MAX)
		shown.n = LONG_SHOWN_MAX;
	if (stream == PROCESS_STDERR || kind == COMPOSE_ERROR)
		compose_reason_add(&r->reason, kind, shown);
	else if (kind == COMPOSE_UNDECIDED)
		kind = COMPOSE_PROGRESS;
	if (r->reason.traceback && shown.n > 0 && shown.p[0] == ' ')
		kind = COMPOSE_DETAIL; // where Python failed
	compose_log_line(r, kind, lm_str_trim(shown));
}

struct compose_command {
	const char *verb;            ///< "up", for messages too.
	const char *options[4];      ///< NULL-terminated.
	const char *const *services; ///< Behind the options.
	size_t services_n;
	struct lm_buf *output;
};

/// NULL-terminated; what it points to is borrowed. The caller frees it.
static const char **make_args(
	const struct compose_project *project, const struct compose_command *command)
{
	const char **args = lm_xcalloc(ARGS_MAX + command->services_n, sizeof(const char *));
	size_t n = 0;
	args[n++] = project->compose->program;
	if (project->compose->plugin)
		args[n++] = "compose";
	args[n++] = "-p";
	args[n++] = project->name;
	args[n++] = "-f";
	args[n++] = project->file;
	args[n++] = "--project-directory";
	args[n++] = project->directory;
	args[n++] = command->verb;
	for (size_t i = 0; i < LM_ARRAY_SIZE(command->options) && command->options[i]; i++)
		args[n++] = command->options[i];
	for (size_t i = 0; i < command->services_n; i++)
		args[n++] = command->services[i];
	return args;
}

/// The environment of generation 1, which gives up on the engine after 60 s unless it is set
/// otherwise: the engine has as long as docker-compose itself. NULL: it stays as it is.
static char **make_patient_env(
	const struct compose_project *project, const struct wait_limit *limit)
{
	enum { WITHOUT_LIMIT_S = 3600, LEAST_S = 60 };
	uint64_t now = lm_clock_mono_ms(), left_s = WITHOUT_LIMIT_S;
	char value[24];

	if (project->compose->generation >= 2 || is_variable_set(project, "COMPOSE_HTTP_TIMEOUT"))
		return NULL;
	if (limit->deadline_ms > 0)
		left_s = limit->deadline_ms > now ? (limit->deadline_ms - now) / 1000 : 0;
	(void)snprintf(value, sizeof(value), "%llu",
		(unsigned long long)(left_s > LEAST_S ? left_s : LEAST_S));
	return compose_env_with(project->env, "COMPOSE_HTTP_TIMEOUT", value);
}

static void free_env(char ***env)
{
	compose_env_free(*env);
}

static lm_rc run_compose(const struct compose_project *project,
	const struct compose_command *command, const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_free const char **args = make_args(project, command);
	const char *name = project->compose->plugin ? "docker compose" : "docker-compose";
	lm_auto(free_env) char **patient = make_patient_env(project, limit);
	lm_auto(compose_run_finish) struct compose_run r;
	compose_run_init(&r, project);
	struct process_run run = {
		.spec = {.argv = args,
			.envp = patient ? (const char *const *)patient : project->env,
			.directory = project->directory,
			.die_with_parent = true},
		.on_line = take_compose_line,
		.ctx = &r,
		.output = command->output,
		.term_grace_ms = GRACE_MS,
	};
	int status = 0;
	lm_rc rc = process_run(&run, limit, &status, err);
	release_held(&r, rc || status ? LM_ERROR : LM_INFO);
	if (rc != LM_OK)
		return lm_wrap(err, "%s %s", name, command->verb);
	if (status == 0)
		return LM_OK;
	const char *reason = compose_reason_text(&r.reason);
	char how[96];
	if (!*reason)
		reason = process_describe_status(status, how, sizeof(how));
	return lm_fail(err, compose_reason_class(reason), 0, "%s %s failed: %s", name,
		command->verb, reason);
}

lm_rc compose_config(const struct compose_project *project, const struct wait_limit *limit,
	struct lm_buf *ret_config, struct lm_err *err)
{
	struct compose_command command = {.verb = "config", .output = ret_config};
	return run_compose(project, &command, limit, err);
}

lm_rc compose_hash(const struct compose_project *project, const struct wait_limit *limit,
	struct lm_buf *ret_hashes, struct lm_err *err)
{
	struct compose_command command = {
		.verb = "config", .options = {"--hash=*"}, .output = ret_hashes};
	return run_compose(project, &command, limit, err);
}

lm_rc compose_down(const struct compose_project *project, bool remove_orphans,
	const struct wait_limit *limit, struct lm_err *err)
{
	struct compose_command command = {
		.verb = "down", .options = {remove_orphans ? "--remove-orphans" : NULL}};
	return run_compose(project, &command, limit, err);
}

lm_rc compose_build(const struct compose_project *project, const char *const *services, size_t n,
	const struct wait_limit *limit, struct lm_err *err)
{
	struct compose_command command = {.verb = "build", .services = services, .services_n = n};
	return run_compose(project, &command, limit, err);
}

/// `up --pull` is of docker-compose 2.15 (in some before, it is taken and has no effect).
static bool knows_pull_option(const struct compose *compose)
{
	char *end = NULL;

	if (compose->generation < 2)
		return false;
	unsigned long major = strtoul(compose->version, &end, 10);
	unsigned long minor = *end == '.' ? strtoul(end + 1, NULL, 10) : 0;
	return major > 2 || (major == 2 && minor >= 15);
}

bool compose_up_pulls_again(const struct compose *compose)
{
	return compose->generation >= 2 && !knows_pull_option(compose);
}

lm_rc compose_up(const struct compose_project *project, const struct compose_up_options *options,
	const struct wait_limit *limit, struct lm_err *err)
{
	struct compose_command command = {.verb = "up", .options = {"-d"}};
	size_t n = 1;

	if (knows_pull_option(project->compose))
		command.options[n++] = "--pull=never";
	if (options->remove_orphans)
		command.options[n++] = "--remove-orphans";
	if (options->no_build)
		command.options[n++] = "--no-build";
	return run_compose(project, &command, limit, err);
}
