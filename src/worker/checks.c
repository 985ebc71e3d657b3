// SPDX-License-Identifier: Apache-2.0
#include "worker/checks.h"

#include "aws/endpoint.h"
#include "aws/shared_config.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/memory.h"
#include "deploy/check.h"
#include "docker/compose.h"
#include "docker/compose_find.h"
#include "docker/engine_images.h"
#include "sys/process.h"
#include "sys/yaml.h"
#include "worker/disk_check.h"
#include "worker/fetch.h"
#include "worker/images.h"
#include "worker/login.h"
#include "worker/policy_check.h"
#include "worker/preflight.h"
#include "worker/pull.h"
#include "worker/requirements.h"
#include "worker/resolve.h"
#include "worker/secrets.h"

#include <errno.h>
#include <inttypes.h>
#include <sys/statvfs.h>

/// What a check may require of earlier ones.
enum check_need {
	NEED_USER = 1, ///< We are the application's user.
	NEED_DEFINITION = 2,
	NEED_ENGINE = 4,
	NEED_COMPOSE = 8,
	NEED_DESTINATION = 16,
	NEED_CREDENTIALS = 32, ///< AWS.
	NEED_FILE = 64,        ///< The compose file's text.
};

enum { CHECK_WARNINGS_MAX = 20 };

struct checkup {
	struct context *cx;
	struct check_report report;
	unsigned have; ///< Of enum check_need.
	bool cancelled;
	lm_rc engine_rc, compose_rc; ///< LM_OK: found.
	struct lm_err engine_err, compose_err;

	char *warnings[CHECK_WARNINGS_MAX]; ///< Logged since the check began.
	size_t warnings_n;
};

static void checks_send_result(void *ctx, json_t *result)
{
	context_send(ctx, result);
}

/// An `err` of LM_E_CANCELLED ends the task instead.
static void check_failed(struct checkup *c, const struct lm_err *err, const char *fix)
{
	if (err->rc == LM_E_CANCELLED) {
		c->cancelled = true;
		return;
	}
	check_problem(&c->report, err->msg, fix);
}

/// The first of `needs` that is missing, as a part of a sentence; NULL: all are there.
static const char *check_lack(const struct checkup *c, unsigned needs)
{
	static const struct {
		enum check_need need;
		const char *words;
	} rows[] = {
		{NEED_DEFINITION, "no definition was given"},
		{NEED_USER, "the application's user is not known"},
		{NEED_ENGINE, "the Docker daemon does not respond"},
		{NEED_COMPOSE, "no docker-compose works"},
		{NEED_DESTINATION, "the destination cannot be used"},
		{NEED_CREDENTIALS, "there are no AWS credentials"},
		{NEED_FILE, "there is no compose file"},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(rows); i++) {
		if (needs & ~c->have & (unsigned)rows[i].need)
			return rows[i].words;
	}
	return NULL;
}

/// "[…Z][WARN]-prepare.c:102,words\n": the words.
static struct lm_str words_of(struct lm_str line)
{
	struct lm_str rest = line;

	(void)lm_str_cut(&rest, ',');
	return lm_str_trim(rest.n > 0 ? rest : line);
}

static void take_log_line(void *ctx, enum lm_level level, struct lm_str line)
{
	struct checkup *c = ctx;
	struct lm_str words = words_of(line);

	if (level == LM_WARN && c->warnings_n < CHECK_WARNINGS_MAX)
		c->warnings[c->warnings_n++] = lm_xmemdup0(words.p, words.n);
}

static void check_log_begin(struct checkup *c)
{
	lm_log_set_sink(take_log_line, c);
}

static void check_log_end(struct checkup *c)
{
	lm_log_set_sink(NULL, NULL);
	for (size_t i = 0; i < c->warnings_n; i++) {
		check_warning(&c->report, c->warnings[i], NULL);
		free(c->warnings[i]);
	}
	c->warnings_n = 0;
}

enum {
	MIB = 1 << 20,
	ENGINE_SPARE_MB = 256, ///< Less hardly holds an image beside the one that runs.
};

static void check_find(struct checkup *c)
{
	struct context *cx = c->cx;

	c->engine_rc = preflight_engine(cx, &c->engine_err);
	c->compose_rc = preflight_compose(cx, &c->compose_err);
	if (!c->engine_rc)
		c->have |= NEED_ENGINE;
	if (!c->compose_rc)
		c->have |= NEED_COMPOSE;
	c->cancelled = c->engine_rc == LM_E_CANCELLED || c->compose_rc == LM_E_CANCELLED;
}

static void check_docker(struct checkup *c)
{
	const struct compose *compose = &c->cx->compose;
	lm_auto_free char *path = NULL;
	struct lm_err err = {LM_OK};
	bool plugin = compose->program && compose->plugin;

	if (plugin)
		check_ok(&c->report, "%s", compose->program);
	else if (docker_find(NULL, &path, &err) == LM_OK)
		check_ok(&c->report, "%s", path);
	else if (compose->program)
		check_skip(&c->report, "not needed: docker-compose is a standalone program (%s)",
			err.msg);
	else
		check_failed(c, &err, NULL);
}

/// Whether the engine was reached, whatever it answered.
static bool answers(const struct checkup *c)
{
	lm_rc rc = c->engine_rc;

	return rc == LM_OK || rc == LM_E_REFUSED || rc == LM_E_PROTOCOL;
}

static void check_engine(struct checkup *c)
{
	const char *path = c->cx->task->host.docker_socket;
	const char *fix = NULL;

	if (answers(c)) {
		check_ok(&c->report, "the Docker daemon responds at %s%s", path,
			check_lack(c, NEED_USER) ? " (not checked as the application's user)" : "");
		return;
	}
	if (c->engine_rc == LM_E_NOT_FOUND)
		fix = "install it (apt-get install docker.io), start it (systemctl start docker), "
		      "or set docker.socket in the host file";
	else if (c->engine_rc == LM_E_DENIED)
		fix = "the next deployment uses the new group; no restart is needed";
	check_failed(c, &c->engine_err, fix);
}

static void check_engine_version(struct checkup *c)
{
	if (!answers(c))
		check_skip(&c->report, "not checked: the Docker daemon does not respond");
	else if (c->engine_rc)
		check_failed(c, &c->engine_err, NULL);
	else
		check_ok(&c->report, "Docker Engine %s", c->cx->engine.version.engine);
}

static void check_compose(struct checkup *c)
{
	const struct compose *compose = &c->cx->compose;

	if (c->compose_rc)
		check_failed(c, &c->compose_err,
			c->compose_rc == LM_E_NOT_FOUND ? "apt-get install docker-compose, or set "
							  "docker.compose in the host file"
							: NULL);
	else
		check_ok(&c->report, "%s%s, version %s", compose->program,
			compose->plugin ? " compose" : "", compose->version);
}

static void check_compose_api(struct checkup *c)
{
	const struct context *cx = c->cx;
	struct lm_err err = {LM_OK};

	if (compose_check_api(&cx->compose, &cx->engine.version, NULL, &err))
		check_failed(c, &err,
			"install docker-compose 2 or later, or allow older clients: "
			"\"min-api-version\": \"1.24\" in /etc/docker/daemon.json");
	else
		check_ok(&c->report, "docker-compose %s can talk to Docker Engine %s",
			cx->compose.version, cx->engine.version.engine);
}

static void check_destination(struct checkup *c)
{
	const char *path = context_definition(c->cx)->destination;
	lm_auto_free char *user = preflight_user_name();
	struct lm_err err = {LM_OK};

	if (preflight_destination(c->cx, &err)) {
		lm_auto_free char *fix = lm_xasprintf("install -d -o %s -m 0700 '%s'", user, path);
		check_failed(c, &err, err.rc == LM_E_INVALID ? fix : NULL);
		return;
	}
	c->have |= NEED_DESTINATION;
	check_ok(&c->report, "user %s can write to '%s'", user, path);
}

static uint64_t free_mb(const struct statvfs *fs)
{
	return (uint64_t)fs->f_bavail * fs->f_frsize / MIB;
}

/// The engine's image directory, if we can see it.
static void check_engines_space(struct checkup *c)
{
	lm_auto(disk_space_finish) struct disk_space space = {0};
	struct lm_err err = {LM_OK};

	if (disk_space_find(c->cx, &space, &err)) {
		check_failed(c, &err, NULL);
		return;
	}
	errno = space.sys;
	uint64_t mb = space.free_bytes / MIB;
	if (!space.seen) {
		check_skip(&c->report,
			"not checked: where the Docker daemon keeps images, '%s' (%m)",
			space.directory);
		return;
	}
	if (mb >= ENGINE_SPARE_MB) {
		check_ok(&c->report, "'%s', for images: %" PRIu64 " MB", space.directory, mb);
		return;
	}
	lm_auto_free char *message =
		lm_xasprintf("'%s', for images, has %" PRIu64 " MB left", space.directory, mb);
	check_warning(&c->report, message, "docker system prune removes what no container uses");
}

static void check_free_space(struct checkup *c)
{
	struct context *cx = c->cx;
	const char *path = context_definition(cx)->destination;
	bool engine = !check_lack(c, NEED_ENGINE);
	struct lm_err err = {LM_OK};
	struct statvfs fs;

	if (disk_check_deployment(cx, engine ? DEPLOY_PULL_ALL : DEPLOY_PULL_LOCAL, &err))
		check_failed(c, &err, NULL);
	else if (fstatvfs(cx->destination_fd, &fs) == 0)
		check_ok(&c->report, "'%s': %" PRIu64 " MB", path, free_mb(&fs));
	if (engine)
		check_engines_space(c);
}

enum {
	/// Secrets Manager and ECR reject signatures that are further off; S3 accepts 15 minutes.
	SKEW_WRONG_S = 300,
	SKEW_WARNING_S = 30,
	DATE_MAX = 64 << 10,
	DATE_MS = 15 * 1000,
};

static bool uses_s3(const struct checkup *c)
{
	const struct group *group = c->cx->task->group;

	return (!group || group->connector.bucket) && !c->cx->task->host.object_store_directory;
}

static bool uses_secrets_manager(const struct checkup *c)
{
	const struct task *task = c->cx->task;

	return task->group && task->group->connector.secret_arns_n > 0 &&
	       !task->host.secret_store_directory;
}

/// NULL: unknown.
static const char *region_of(const struct checkup *c)
{
	const struct task *task = c->cx->task;

	if (task->host.region)
		return task->host.region;
	return task->group ? task->group->connector.region : NULL;
}

static void check_region(struct checkup *c)
{
	const char *own = c->cx->task->host.region, *region = region_of(c);
	struct lm_err err = {LM_OK};

	if (!region) {
		(void)!lm_fail(&err, LM_E_NOT_FOUND, 0,
			"no region is set in the host file, a Greengrass core's config.json, "
			"AWS_REGION, the AWS profile or a definition");
		check_failed(c, &err, "set region in the host file");
	} else if (!endpoint_is_region(lm_str(region))) {
		(void)!lm_fail(&err, LM_E_INVALID, 0, "'%.64s' is not a valid region", region);
		check_failed(c, &err, "set region in the host file");
	} else {
		check_ok(&c->report, "%s, %s", region,
			own ? "set on this device" : "from the connector's ARN");
	}
}

static void check_credentials(struct checkup *c)
{
	const struct aws_credentials *found = NULL;
	struct lm_err err = {LM_OK};

	if (!uses_s3(c) && !uses_secrets_manager(c)) {
		check_skip(&c->report,
			"not needed: compose file and secrets come from local directories");
		return;
	}
	lm_rc rc = aws_session_open(&c->cx->session, &err);
	if (!rc)
		rc = credentials_get(c->cx->session.credentials, &found, &err);
	if (rc) {
		check_failed(c, &err,
			"lighterman doctor uses its own environment: run it with the variables of "
			"lightermand");
		return;
	}
	c->have |= NEED_CREDENTIALS;
	check_ok(&c->report, "access key %.64s from %s", found->access_key_id, found->source);
}

/// Fetches the compose file as the stage does; the secrets have a check of their own, and are
/// fetched here only where one may have the login for the compose file.
static lm_rc fetch_object(struct context *cx, struct lm_err *err)
{
	const struct task *whole = cx->task;
	struct group group = *whole->group;
	struct task task = *whole;

	if (!compose_source_is_artifact(&group.connector.source))
		group.connector.secret_arns_n = 0;
	task.group = &group;
	cx->task = &task;
	lm_rc rc = fetch_all(cx, err);
	cx->task = whole;
	registry_list_finish(&cx->secrets);
	return rc;
}

static void check_object(struct checkup *c)
{
	struct context *cx = c->cx;
	const struct connector_definition *d = context_definition(cx);
	bool signs =
		uses_s3(c) || (compose_source_is_artifact(&d->source) && uses_secrets_manager(c));
	const char *lack = signs ? check_lack(c, NEED_CREDENTIALS) : NULL;
	struct lm_err err = {LM_OK};

	if (lack) {
		check_skip(&c->report, "not checked: %s", lack);
		return;
	}
	if (fetch_object(cx, &err)) {
		check_failed(c, &err,
			err.rc == LM_E_NOT_FOUND
				? d->bucket ? "upload the compose file, or correct "
					      "DockerComposeFileS3Bucket, DockerComposeFileS3Key "
					      "or DockerComposeFileS3Version"
					    : "put the compose file there, or correct Source.Url"
				: NULL);
		return;
	}
	c->have |= NEED_FILE;
	lm_auto_free char *file = definition_file_text(d);
	check_ok(&c->report, "%s can be read: %zu bytes%s%.80s", file, cx->text.len,
		cx->store_version ? ", version " : "", cx->store_version ? cx->store_version : "");
}

static void check_secrets(struct checkup *c)
{
	struct context *cx = c->cx;
	const struct connector_definition *d = context_definition(cx);
	const char *lack = uses_secrets_manager(c) ? check_lack(c, NEED_CREDENTIALS) : NULL;
	const struct secrets_source source = {
		.directory = cx->task->host.secret_store_directory, .session = &cx->session};
	size_t good = 0;

	if (d->secret_arns_n == 0 || lack) {
		check_skip(&c->report, "%s",
			lack ? lack : "not needed: the definition has no AWSSecretsArnList");
		return;
	}
	// One after the other, so that each failure is reported.
	for (size_t i = 0; i < d->secret_arns_n && !c->cancelled; i++) {
		lm_auto_registry_list struct registry_list got = {0};
		struct lm_err err = {LM_OK};

		if (secrets_get(&source, &d->secret_arns[i], 1, &got, &err)) {
			check_failed(c, &err, NULL);
			continue;
		}
		registry_list_add(&cx->secrets, &got.items[0]);
		good++;
	}
	if (good > 0)
		check_ok(&c->report, "%zu of %zu can be read", good, d->secret_arns_n);
}

struct date {
	lm_rc rc;
	struct lm_err err;
	int64_t server_ms, own_ms;
};

static void on_date(void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct date *date = ctx;

	date->rc = rc;
	if (rc) {
		date->err = *err;
		return;
	}
	date->own_ms = lm_clock_wall_ms();
	date->server_ms = https_parse_date_ms(https_header(answer, "date"));
}

/// Any response has a date.
static lm_rc ask_date(struct checkup *c, const char *region, struct date *ret)
{
	lm_auto(https_destroy_p) struct https *https = NULL;
	lm_auto_endpoint struct aws_endpoint e = {0};
	struct wait_limit limit = wait_limit_within(&c->cx->limit, DATE_MS);
	lm_rc rc = endpoint_resolve(AWS_S3, region, &e, &ret->err);

	if (!rc)
		rc = shared_config_https(&https, &ret->err);
	if (rc)
		return rc;
	const struct https_request request = {.method = "HEAD",
		.origin = lm_str(e.origin),
		.path = LM_STR("/"),
		.body_max = DATE_MAX,
		.plain_http = e.plain_http,
		.attempts = 2,
		.done = on_date,
		.ctx = ret};
	https_start(https, &request);
	rc = https_run(https, &limit, &ret->err);
	return rc ? rc : ret->rc;
}

static void report_skew(struct checkup *c, const struct date *date)
{
	int64_t skew_s = (date->own_ms - date->server_ms) / 1000;
	int64_t off_s = skew_s < 0 ? -skew_s : skew_s;
	const char *side = skew_s < 0 ? "behind" : "ahead of";
	static const char fix[] =
		"set the clock, and enable time synchronization (systemd-timesyncd, chrony)";
	struct lm_err err = {LM_OK};

	if (off_s <= SKEW_WARNING_S) {
		check_ok(&c->report, "as that of S3, but for %" PRId64 " s", off_s);
		return;
	}
	(void)!lm_fail(&err, LM_E_DENIED, 0, "this device's clock is %" PRId64 " s %s that of S3",
		off_s, side);
	if (off_s > SKEW_WRONG_S)
		check_failed(c, &err, fix);
	else
		check_warning(&c->report, err.msg, fix);
}

/// The check of the compose file has reported that S3 cannot be reached, if it could run.
static void fail_date(struct checkup *c, struct lm_err *err)
{
	if (err->rc != LM_E_CANCELLED)
		(void)!lm_wrap(err, "ask S3 for the time");
	if (err->rc != LM_E_CANCELLED && !check_lack(c, NEED_CREDENTIALS | NEED_DEFINITION))
		check_skip(&c->report, "not checked: %s", err->msg);
	else
		check_failed(c, err, NULL);
}

static bool can_read_sdk_files(void)
{
	lm_auto_shared_config struct shared_config config = {0};

	return shared_config_load(&config, NULL) == LM_OK;
}

static void check_clock(struct checkup *c)
{
	const char *region = region_of(c);
	struct date date = {.rc = LM_OK};

	if (!uses_s3(c))
		check_skip(&c->report, "not needed: nothing comes from S3");
	else if (!region)
		check_skip(&c->report, "not checked: no region is known");
	else if (!can_read_sdk_files())
		check_skip(&c->report, "not checked: the settings of the AWS SDKs cannot be read");
	else if (ask_date(c, region, &date))
		fail_date(c, &date.err);
	else if (!date.server_ms)
		check_skip(&c->report, "not checked: S3 did not send its time");
	else
		report_skew(c, &date);
}

enum { ASK_DOCKER_COMPOSE = NEED_USER | NEED_COMPOSE | NEED_DESTINATION };

/// The file's `version`, by which old docker-composes choose an API version; NULL: none. The
/// caller frees.
static char *read_format(struct lm_str text)
{
	lm_auto(yaml_destroy_p) struct yaml_doc *doc = NULL;

	if (yaml_parse(text, &doc, NULL) || yaml_kind(yaml_root(doc)) != YAML_MAPPING)
		return NULL;
	const struct yaml_node *version = yaml_get(yaml_root(doc), "version");
	return version ? lm_xmemdup0(yaml_text(version).p, yaml_text(version).n) : NULL;
}

/// Whether docker-compose can talk to the engine with the file's `version`; problems with any
/// version were reported before.
static void check_format(struct checkup *c)
{
	const struct context *cx = c->cx;
	lm_auto_free char *format = read_format(lm_buf_str(&cx->text));
	struct lm_err err = {LM_OK};

	if (check_lack(c, NEED_COMPOSE | NEED_ENGINE) ||
		compose_check_api(&cx->compose, &cx->engine.version, NULL, NULL))
		return;
	if (compose_check_api(&cx->compose, &cx->engine.version, format, &err))
		check_failed(c, &err, "set version: \"3.7\" in the compose file");
}

static void check_compose_file(struct checkup *c)
{
	struct context *cx = c->cx;
	const char *lack = check_lack(c, ASK_DOCKER_COMPOSE);
	struct lm_err err = {LM_OK};

	check_format(c);
	if (lack && compose_file_check(lm_buf_str(&cx->text), 0, &err)) {
		check_failed(c, &err, NULL);
		return;
	}
	if (lack) {
		check_ok(&c->report, "valid YAML; not checked with docker-compose: %s", lack);
		return;
	}
	if (resolve_compose_file(cx, &err))
		check_failed(c, &err, NULL);
	else
		check_ok(&c->report, "valid for docker-compose: %zu services", cx->services.n);
}

static void check_requirements(struct checkup *c)
{
	lm_auto(problems_finish) struct problems problems = {0};
	struct lm_err err = {LM_OK};

	if (c->cx->services.n == 0) {
		check_skip(&c->report,
			"not checked: docker-compose has not resolved the compose file");
		return;
	}
	if (requirements_check(c->cx, &problems, &err)) {
		check_failed(c, &err, NULL);
		return;
	}
	for (size_t i = 0; i < problems.n; i++) {
		const struct problem *p = &problems.items[i];

		if (p->level == PROBLEM_WARNING) {
			check_warning(&c->report, p->message, NULL);
			continue;
		}
		(void)!lm_fail(&err, p->rc, 0, "%s", p->message);
		check_failed(c, &err, NULL);
	}
	if (problems.n == 0)
		check_ok(&c->report, "everything the compose file refers to is on this device");
}

static void on_policy_found(void *ctx, const char *message, const char *fix)
{
	struct checkup *c = ctx;

	check_warning(&c->report, message, fix);
}

static bool has_policy_for_health(const struct connector_policy *p)
{
	return p->restart_unhealthy || p->probation_s > 0;
}

static void check_policies(struct checkup *c)
{
	size_t before = c->report.warnings;

	if (!has_policy_for_health(&context_definition(c->cx)->policy)) {
		check_skip(&c->report, "not needed: no policy depends on health checks");
		return;
	}
	if (c->cx->services.n == 0) {
		check_skip(&c->report,
			"not checked: docker-compose has not resolved the compose file");
		return;
	}
	policy_check_services(c->cx, on_policy_found, c);
	if (c->report.warnings == before)
		check_ok(&c->report, "the policies fit the compose file");
}

struct logins {
	size_t good, images;
	bool *used; ///< By secret: an image is of its registry.
};

static void check_logins(struct checkup *c, struct logins *l)
{
	lm_auto_registry_list struct registry_list list = {0};
	struct lm_err err = {LM_OK};

	if (login_list_own(c->cx, &list, &err)) {
		check_failed(c, &err, NULL);
		return;
	}
	// One after the other, so that each failure is reported; the stage stops at the first.
	for (size_t i = 0; i < list.n && !c->cancelled; i++) {
		if (login_once(c->cx, &list.items[i], &err))
			check_failed(c, &err,
				err.rc == LM_E_DENIED
					? "correct the user name and password in the secret"
					: NULL);
		else
			l->good++;
	}
}

/// The value of X-Registry-Auth for an image; `ret` stays empty if there is no login for it.
static lm_rc find_auth(struct context *cx, const char *image, struct logins *l,
	struct lm_secret *ret, struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_auto(registry_credentials_finish) struct registry_credentials login = {0};
	enum login_source source = LOGIN_NONE;
	lm_rc rc = image_ref_parse(lm_str(image), &ref, err);

	if (!rc)
		rc = login_find(cx, &ref, &login, &source, err);
	if (rc || source == LOGIN_NONE)
		return rc;
	if (source == LOGIN_SECRET)
		l->used[registry_match(cx->secrets.items, cx->secrets.n, &ref) -
			cx->secrets.items] = true;
	return registry_auth_header(&login, ret, err);
}

static void check_image(struct checkup *c, const struct compose_image *image, struct logins *l)
{
	struct context *cx = c->cx;
	const struct connector_definition *d = context_definition(cx);
	const struct deploy_options options = context_deploy_options(cx);
	lm_auto_secret struct lm_secret auth = {0};
	lm_auto(engine_image_finish) struct engine_image found = {0};
	struct image_case decision = {.image = image,
		.generation = cx->compose.generation,
		.mode = deploy_pull_mode(&options)};
	struct lm_err err = {LM_OK};
	lm_rc rc =
		image_action_may_pull(image) ? find_auth(cx, image->name, l, &auth, &err) : LM_OK;

	if (images_find(cx, image, &found, &decision.here, NULL))
		decision.here = false;
	if (!rc && image_action_decide(&decision) != IMAGE_PULL)
		return; // it is not pulled
	if (!rc)
		rc = engine_ask_registry(
			&cx->engine, image->name, auth.len > 0 ? &auth : NULL, &cx->limit, &err);
	if (!rc)
		l->images++;
	else if (image_action_without_pull(&decision) == IMAGE_BUILD)
		return;
	else if (decision.here && d->offline_mode)
		check_warning(&c->report, err.msg,
			"with DockerOfflineMode, a deployment uses the local image");
	else
		check_failed(c, &err, NULL);
}

/// Images that can be neither pulled nor built.
static void check_missing(struct checkup *c)
{
	const struct deploy_options options = context_deploy_options(c->cx);
	struct lm_err err = {LM_OK};

	if (images_check(c->cx, deploy_pull_mode(&options), &err) == LM_E_NOT_FOUND)
		check_failed(c, &err, NULL);
}

static void check_images(struct checkup *c, struct logins *l)
{
	const struct context *cx = c->cx;

	check_missing(c);
	for (size_t i = 0; i < cx->images.n && !c->cancelled; i++)
		check_image(c, &cx->images.items[i], l);
}

static bool builds(const struct compose_services *services)
{
	for (size_t i = 0; i < services->n; i++) {
		if (services->items[i].active && services->items[i].has_build)
			return true;
	}
	return false;
}

/// A secret that no image uses mostly has a registryUrl that differs from the compose file.
static void check_unused(struct checkup *c, const struct logins *l)
{
	const struct context *cx = c->cx;

	if (cx->services.n == 0 || builds(&cx->services))
		return;
	for (size_t i = 0; i < cx->secrets.n; i++) {
		if (l->used[i])
			continue;
		lm_auto_free char *message =
			lm_xasprintf("no image of the compose file is from registry '%.200s', for "
				     "which there is a secret",
				cx->secrets.items[i].registry);
		check_warning(&c->report, message,
			"set registryUrl in the secret to the registry that the compose file "
			"names");
	}
}

static void check_registries(struct checkup *c)
{
	const struct context *cx = c->cx;
	lm_auto_free bool *used = lm_xcalloc(cx->secrets.n + 1, sizeof(*used));
	struct logins l = {.used = used};
	bool asks = cx->engine.version.minor >= ENGINE_ASK_MINOR_MIN;
	size_t problems_before = c->report.problems;

	if (cx->secrets.n == 0 && cx->services.n == 0) {
		check_skip(&c->report, "not checked: no image and no login is known");
		return;
	}
	check_logins(c, &l);
	if (asks)
		check_images(c, &l);
	if (asks)
		check_unused(c, &l);
	if (l.good + l.images > 0)
		check_ok(&c->report, "%zu logins are accepted, %zu images can be pulled", l.good,
			l.images);
	else if (c->report.problems == problems_before)
		check_skip(
			&c->report, "not needed: all images are available locally or built here");
}

/// In the order of a deployment, with the requirements of each.
static const struct check {
	const char *name;
	unsigned needs;
	void (*run)(struct checkup *c);
} CHECKS[] = {
	{"docker command", 0, check_docker},
	{"engine", 0, check_engine},
	{"engine version", 0, check_engine_version},
	{"docker-compose", 0, check_compose},
	{"compose and engine", NEED_COMPOSE | NEED_ENGINE, check_compose_api},
	{"destination", NEED_DEFINITION | NEED_USER, check_destination},
	{"free space", NEED_DEFINITION | NEED_DESTINATION, check_free_space},
	{"region", 0, check_region},
	{"AWS credentials", 0, check_credentials},
	{"compose file", NEED_DEFINITION, check_object},
	{"compose syntax", NEED_FILE, check_compose_file},
	{"compose requirements", NEED_FILE | NEED_ENGINE, check_requirements},
	{"policies", NEED_DEFINITION | NEED_FILE | NEED_ENGINE, check_policies},
	{"secrets", NEED_DEFINITION | NEED_USER, check_secrets},
	{"registries", NEED_DEFINITION | NEED_USER | NEED_ENGINE, check_registries},
	{"clock", 0, check_clock},
};

static void run_check(struct checkup *c, const struct check *check)
{
	const char *lack = check_lack(c, check->needs);

	c->report.name = check->name;
	if (lack) {
		check_skip(&c->report, "not checked: %s", lack);
		return;
	}
	check_log_begin(c);
	check->run(c);
	check_log_end(c);
}

static void run_checks(struct checkup *c)
{
	check_find(c);
	for (size_t i = 0; i < LM_ARRAY_SIZE(CHECKS) && !c->cancelled; i++)
		run_check(c, &CHECKS[i]);
}

void checks_run(struct context *cx, struct deploy_outcome *ret)
{
	struct checkup c = {.cx = cx, .report = {.add = checks_send_result, .ctx = cx}};

	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	c.have = (cx->task->group ? NEED_DEFINITION : 0) | (cx->task->as_user ? NEED_USER : 0);
	run_checks(&c);
	if (c.cancelled) {
		ret->failed = DEPLOY_VALIDATE;
		ret->rc = lm_fail(&ret->err, LM_E_CANCELLED, 0, "cancelled");
	}
	ret->ended_ms = lm_clock_mono_ms();
}
