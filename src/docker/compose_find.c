// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_find.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "docker/compose_output.h"
#include "sys/process.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static const char *const COMPOSE_DIRECTORIES[] = {"/usr/bin", "/usr/local/bin", NULL};

enum {
	VERSION_MS = 60 * 1000, ///< Python starts slowly from a cold card.
	VERSION_MAX = 4096,
	GRACE_MS = 2000,
};

void compose_finish(struct compose *c)
{
	free(c->program);
	free(c->version);
	free(c->stamp);
	*c = (struct compose){0};
}

static bool is_executable(const char *path)
{
	struct stat st;
	return stat(path, &st) == 0 && S_ISREG(st.st_mode) && access(path, X_OK) == 0;
}

static char *stamp_of(const char *path)
{
	struct stat st;
	if (stat(path, &st) != 0)
		return lm_xstrdup("");
	return lm_xasprintf("%s:%llu:%lld:%lld.%ld", path, (unsigned long long)st.st_ino,
		(long long)st.st_size, (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
}

struct version_lines {
	struct lm_buf first; ///< First line of stdout.
	struct compose_reason reason;
	struct lm_buf clean, text;
};

static void take_version_line(void *ctx, enum process_stream stream, struct lm_str line)
{
	struct version_lines *v = ctx;
	compose_line_clean(line, &v->clean);
	struct lm_str clean = lm_str_trim(lm_buf_str(&v->clean));
	if (stream == PROCESS_STDOUT && v->first.len == 0)
		(void)lm_buf_add_str(&v->first, clean);
	enum compose_line_kind kind = compose_line_read(lm_buf_str(&v->clean), &v->text);
	compose_reason_add(&v->reason, kind, lm_buf_str(&v->text));
}

static void version_lines_finish(struct version_lines *v)
{
	lm_buf_finish(&v->first);
	lm_buf_finish(&v->clean);
	lm_buf_finish(&v->text);
	compose_reason_finish(&v->reason);
}

/// "1.29.2", "v2.26.1-4", "5.0.0". False if it does not start with a number.
static bool set_version(struct compose *c, struct lm_str text)
{
	if (text.n > 0 && text.p[0] == 'v')
		text = (struct lm_str){text.p + 1, text.n - 1};
	struct lm_str rest = text;
	uint64_t major = 0;
	if (text.n > 64 || !lm_str_to_u64(lm_str_cut(&rest, '.'), 1000, &major))
		return false;
	free(c->version);
	c->version = lm_xmemdup0(text.p, text.n);
	c->generation = major <= 1 ? 1 : 2;
	return true;
}

static lm_rc ask_compose_version(struct compose *c, const char *const *env,
	const struct wait_limit *limit, struct lm_err *err)
{
	const char *const plain[] = {c->program, "version", "--short", NULL};
	const char *const plugin[] = {c->program, "compose", "version", "--short", NULL};
	lm_auto(version_lines_finish) struct version_lines lines = {
		.first = LM_BUF(VERSION_MAX), .clean = LM_BUF(64 << 10), .text = LM_BUF(64 << 10)};
	compose_reason_init(&lines.reason);
	struct process_run run = {
		.spec = {.argv = c->plugin ? plugin : plain, .envp = env, .die_with_parent = true},
		.on_line = take_version_line,
		.ctx = &lines,
		.term_grace_ms = GRACE_MS,
	};
	struct wait_limit within = wait_limit_within(limit, VERSION_MS);
	int status = 0;
	lm_rc rc = process_run(&run, &within, &status, err);
	if (rc != LM_OK)
		return lm_wrap(err, "ask %s for its version", c->program);
	if (status == 0 && set_version(c, lm_buf_str(&lines.first)))
		return LM_OK;
	const char *reason = compose_reason_text(&lines.reason);
	return lm_fail(err, LM_E_REFUSED, 0, "%s%s does not print its version, reinstall it: %s",
		c->program, c->plugin ? " compose" : "", *reason ? reason : "it printed nothing");
}

/// Takes a program if it answers.
static lm_rc try_program(const char *path, bool plugin, const struct compose_search *search,
	const struct wait_limit *limit, struct compose *ret, struct lm_err *err)
{
	lm_auto(compose_finish) struct compose c = {.program = lm_xstrdup(path), .plugin = plugin};
	// docker finds the plugin itself, so a change of its file goes unnoticed.
	c.stamp = plugin ? lm_xstrdup("") : stamp_of(path);
	bool known = !plugin && search->known_stamp && search->known_version &&
		     strcmp(c.stamp, search->known_stamp) == 0 &&
		     set_version(&c, lm_str(search->known_version));
	lm_rc rc = known ? LM_OK : ask_compose_version(&c, search->env, limit, err);
	if (rc != LM_OK)
		return rc;
	*ret = c;
	c = (struct compose){0};
	return LM_OK;
}

static lm_rc use_setting(const struct compose_search *search, const struct wait_limit *limit,
	struct compose *ret, struct lm_err *err)
{
	const char *path = search->setting;
	if (!lm_path_is_absolute(lm_str(path)))
		return lm_fail(err, LM_E_INVALID, 0,
			"docker.compose is '%s': an absolute path is needed", path);
	if (!is_executable(path))
		return lm_fail(err, LM_E_NOT_FOUND, 0,
			"docker.compose in the host file is '%s', which is not an executable "
			"program: correct it, or remove it",
			path);
	bool plugin = strcmp(lm_path_base(path), "docker") == 0;
	return try_program(path, plugin, search, limit, ret, err);
}

static void list_directories(const char *const *directories, struct lm_buf *out)
{
	for (size_t i = 0; directories[i]; i++)
		(void)lm_buf_printf(out, "%s%s", i > 0 ? " and " : "", directories[i]);
}

/// Whether a failure to run one candidate leaves the next one worth a try.
static bool may_try_next(lm_rc rc)
{
	return rc != LM_E_CANCELLED && rc != LM_E_TIMEOUT;
}

lm_rc compose_find(const struct compose_search *search, const struct wait_limit *limit,
	struct compose *ret, struct lm_err *err)
{
	if (search->setting)
		return use_setting(search, limit, ret, err);
	const char *const *directories =
		search->directories ? search->directories : COMPOSE_DIRECTORIES;
	static const char *const names[] = {"docker-compose", "docker"};
	struct lm_err first = {0};
	bool found_docker = false;
	for (size_t n = 0; n < LM_ARRAY_SIZE(names); n++) {
		for (size_t i = 0; directories[i]; i++) {
			lm_auto_free char *path = lm_path_join(directories[i], names[n]);
			if (!is_executable(path))
				continue;
			struct lm_err failed = {0};
			lm_rc rc = try_program(path, n == 1, search, limit, ret, &failed);
			if (rc == LM_OK)
				return LM_OK;
			found_docker = found_docker || n == 1;
			// An error of docker-compose is more useful than that docker has no
			// plugin.
			if (!may_try_next(rc) || (n == 0 && first.rc == LM_OK))
				first = failed;
			if (!may_try_next(rc))
				break;
		}
	}
	if (first.rc != LM_OK)
		return lm_fail(err, first.rc, first.sys, "%s", first.msg);
	lm_auto_buf struct lm_buf places = LM_BUF(512);
	list_directories(directories, &places);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"no docker-compose in %s, and %s: install docker-compose", lm_buf_cstr(&places),
		found_docker ? "the docker there has no compose plugin"
			     : "no docker with the plugin there");
}

lm_rc docker_find(const char *const *directories, char **ret, struct lm_err *err)
{
	if (!directories)
		directories = COMPOSE_DIRECTORIES;
	for (size_t i = 0; directories[i]; i++) {
		lm_auto_free char *path = lm_path_join(directories[i], "docker");
		if (is_executable(path)) {
			*ret = lm_take(path);
			return LM_OK;
		}
	}
	lm_auto_buf struct lm_buf places = LM_BUF(512);
	list_directories(directories, &places);
	return lm_fail(err, LM_E_NOT_FOUND, 0, "no docker in %s: install the Docker Engine",
		lm_buf_cstr(&places));
}

enum {
	MINOR_BY_FORMAT_BEFORE = 27, ///< docker-compose 1.27 gave up API versions by format.
	API_NEWEST_FORMAT = 38,
	API_OF_1_27 = 39, ///< The default of docker-py 4.3.
	API_OF_1_29 = 41, ///< The default of docker-py 5.0.
};

static const struct {
	const char *format;
	unsigned api;
} FORMATS[] = {
	{"2", 22},
	{"2.0", 22},
	{"2.1", 24},
	{"2.2", 25},
	{"2.3", 30},
	{"2.4", 35},
	{"3", 25},
	{"3.0", 25},
	{"3.1", 25},
	{"3.2", 25},
	{"3.3", 30},
	{"3.4", 30},
	{"3.5", 30},
	{"3.6", 36},
	{"3.7", 38},
};

static unsigned api_of_format(const char *format)
{
	for (size_t i = 0; format && i < LM_ARRAY_SIZE(FORMATS); i++) {
		if (strcmp(FORMATS[i].format, format) == 0)
			return FORMATS[i].api;
	}
	return API_NEWEST_FORMAT;
}

/// The minor of the API version that a docker-compose of the first generation asks for.
static unsigned api_of(const struct compose *compose, const char *format)
{
	unsigned minor = 0;

	if (sscanf(compose->version, "1.%u", &minor) != 1 || minor < MINOR_BY_FORMAT_BEFORE)
		return api_of_format(format);
	return minor < 29 ? API_OF_1_27 : API_OF_1_29;
}

lm_rc compose_check_api(const struct compose *compose, const struct engine_version *engine,
	const char *file_format, struct lm_err *err)
{
	if (compose->generation != 1)
		return LM_OK;
	unsigned api = api_of(compose, file_format);
	if (api < engine->offered_min)
		return lm_fail(err, LM_E_REFUSED, 0,
			"docker-compose %s uses Engine API 1.%u, but Docker Engine %s requires "
			"1.%u or later: every docker-compose command will fail",
			compose->version, api, engine->engine, engine->offered_min);
	if (api > engine->offered_max)
		return lm_fail(err, LM_E_REFUSED, 0,
			"docker-compose %s uses Engine API 1.%u, but Docker Engine %s supports "
			"only up to 1.%u: every docker-compose command will fail",
			compose->version, api, engine->engine, engine->offered_max);
	return LM_OK;
}
