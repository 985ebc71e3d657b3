// SPDX-License-Identifier: Apache-2.0
#include "worker/fetch.h"

#include "aws/local_store.h"
#include "aws/s3.h"
#include "base/digest.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "worker/compose_address.h"
#include "worker/compose_artifact.h"
#include "worker/local_copy.h"
#include "worker/login.h"
#include "worker/pins.h"
#include "worker/registry_client.h"
#include "worker/secrets.h"

#include <errno.h>
#include <strings.h>
#include <sys/stat.h>

enum { VERSION_MAX = 1024 }; ///< S3's own limit for the name of a version.

struct fetch {
	struct context *cx;
	const char *region;
	bool object_from_s3;
	struct s3_result s3;
	/// Of the compose file that is not in S3.
	lm_rc object_rc;
	struct lm_err object_err;
	struct stored_object object;
};

static void fetch_finish(struct fetch *f)
{
	s3_result_finish(&f->s3);
	stored_object_finish(&f->object);
}

/// Fetches tokens for the ECR registries in the compose file while other requests are still
/// running. Registry names with variables are found later, when they are resolved; only then is
/// known whether a token was needed at all, so failures do not count yet.
static void begin_tokens(struct context *cx, struct lm_str text)
{
	struct lm_err ignored;

	ecr_tokens_scan(&cx->tokens, text);
	if (cx->tokens.n > 0 && aws_session_open(&cx->session, &ignored) == LM_OK)
		ecr_tokens_start(&cx->tokens, &cx->session);
}

static void fetch_on_object(void *ctx, const struct s3_result *result)
{
	if (result->rc == LM_OK)
		begin_tokens(ctx, lm_buf_str(&result->object.text));
}

/// It stands in the definition itself.
static lm_rc copy_source_text(const struct compose_source *source, struct stored_object *ret)
{
	ret->text = LM_BUF(LIMIT_COMPOSE_FILE);
	(void)lm_buf_puts(&ret->text, source->text);
	return LM_OK;
}

static void get_object_elsewhere(struct fetch *f)
{
	const struct connector_definition *d = context_definition(f->cx);

	if (d->source.text)
		f->object_rc = copy_source_text(&d->source, &f->object);
	else if (compose_source_is_artifact(&d->source))
		return; // once the secrets are there: get_artifact
	else if (d->source.url)
		f->object_rc = compose_address_get(
			d->source.url, &f->cx->limit, &f->object, &f->object_err);
	else
		f->object_rc = local_store_get_object(f->cx->task->host.object_store_directory,
			d->bucket, d->key, d->object_version, LIMIT_COMPOSE_FILE, &f->object,
			&f->object_err);
	if (f->object_rc == LM_OK)
		begin_tokens(f->cx, lm_buf_str(&f->object.text));
}

static lm_rc fetch_artifact(struct fetch *f, const struct registry_list *secrets)
{
	const char *address = context_definition(f->cx)->source.url;
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_auto(registry_credentials_finish) struct registry_credentials login = {0};
	struct lm_err *err = &f->object_err;
	lm_rc rc = compose_artifact_parse(address, &ref, err);

	if (rc)
		return rc;
	rc = login_find_early(f->cx, secrets, &ref, &login, err);
	const struct compose_artifact_options options = {
		.credentials = login.username ? &login : NULL,
		.certificates = REGISTRY_CERTIFICATES};
	if (!rc)
		rc = compose_artifact_get(&ref, &options, &f->cx->limit, &f->object, err);
	return rc ? lm_wrap(err, "'%s'", address) : LM_OK;
}

/// The compose file in a registry, for which a secret may have the login.
static void get_artifact(struct fetch *f, const struct registry_list *secrets)
{
	f->object_rc = fetch_artifact(f, secrets);
	if (f->object_rc == LM_OK)
		begin_tokens(f->cx, lm_buf_str(&f->object.text));
}

static lm_rc take_object(struct fetch *f, struct stored_object *ret, struct lm_err *err)
{
	const struct s3_result *r = &f->s3;
	struct stored_object *object = f->object_from_s3 ? &f->s3.object : &f->object;
	lm_rc rc = f->object_from_s3 ? r->rc : f->object_rc;

	if (f->object_from_s3)
		aws_session_note(&f->cx->session, "S3", r->clock_offset_ms);
	if (r->region[0] && strcmp(r->region, f->region) != 0)
		lm_info("bucket '%s' is in region %s, not in %s", context_definition(f->cx)->bucket,
			r->region, f->region);
	if (rc) {
		*err = f->object_from_s3 ? r->err : f->object_err;
		// The definition's names are valid, so a setting of this device is invalid.
		if (f->object_from_s3 && rc == LM_E_INVALID)
			err->rc = LM_E_DENIED;
		return err->rc;
	}
	*ret = *object;
	*object = (struct stored_object){0};
	return LM_OK;
}

/// The policy's ComposeFileSHA256, if there is one.
static lm_rc check_sha256(const struct context *cx, struct lm_str text, struct lm_err *err)
{
	const char *wanted = context_definition(cx)->policy.compose_file_sha256;
	char found[LM_SHA256_HEX + 1];

	if (!wanted)
		return LM_OK;
	lm_sha256_hex(text, found);
	if (strcasecmp(found, wanted) == 0)
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0,
		"the SHA-256 of the compose file is %s, not Policy.ComposeFileSHA256 (%s): upload "
		"the intended file, or correct the policy",
		found, wanted);
}

/// Hands the file to lightermand, replacing what the same task wrote before.
static lm_rc fetch_hand_over(const struct context *cx, struct lm_str text, struct lm_err *err)
{
	struct stat st;

	if (fstat(cx->compose_fd, &st) == 0 && S_ISREG(st.st_mode) &&
		(ftruncate(cx->compose_fd, 0) < 0 || lseek(cx->compose_fd, 0, SEEK_SET) < 0))
		return lm_fail(err, LM_E_SYS, errno, "keep the compose file: %m");
	return lm_fd_write_all(cx->compose_fd, "the generation's compose file", text, err);
}

/// So that a later deployment recognizes the local copy.
static void report_copy(const struct context *cx, const char *sha256, const char *version)
{
	if (cx->task->kind == TASK_DEPLOY && (!version || strlen(version) <= VERSION_MAX))
		context_send(cx, json_pack("{s:{s:s, s:s}}", "copy", "sha256", sha256, "version",
					 version ? version : ""));
}

/// Takes this text, of that version (NULL: none), as the deployment's compose file. `is_known`: it
/// is what the definition names.
static lm_rc fetch_take_text(struct context *cx, struct lm_buf *text, const char *version,
	bool is_known, struct lm_err *err)
{
	char sha256[LM_SHA256_HEX + 1];
	lm_rc rc = check_sha256(cx, lm_buf_str(text), err);

	if (!rc)
		rc = fetch_hand_over(cx, lm_buf_str(text), err);
	if (rc)
		return rc;
	lm_buf_finish(&cx->text);
	cx->text = *text;
	*text = (struct lm_buf){0};
	free(cx->store_version);
	cx->store_version = version ? lm_xstrdup(version) : NULL;
	lm_sha256_hex(lm_buf_str(&cx->text), sha256);
	if (is_known)
		report_copy(cx, sha256, version);
	return LM_OK;
}

static lm_rc get_secrets(struct fetch *f, struct registry_list *ret, struct lm_err *err)
{
	const struct connector_definition *d = context_definition(f->cx);
	const struct secrets_source source = {
		.directory = f->cx->task->host.secret_store_directory, .session = &f->cx->session};

	return secrets_get(&source, d->secret_arns, d->secret_arns_n, ret, err);
}

lm_rc fetch_secrets(struct context *cx, struct lm_err *err)
{
	const struct connector_definition *d = context_definition(cx);
	struct fetch f = {.cx = cx};
	bool online = d->secret_arns_n > 0 && !cx->task->host.secret_store_directory;
	lm_rc rc = online ? aws_session_open(&cx->session, err) : LM_OK;

	return rc ? rc : get_secrets(&f, &cx->secrets, err);
}

static lm_rc get_all(struct fetch *f, struct stored_object *ret_object,
	struct registry_list *ret_secrets, struct lm_err *err)
{
	const struct connector_definition *d = context_definition(f->cx);
	struct aws_session *session = &f->cx->session;
	const struct s3_request request = {.bucket = d->bucket,
		.key = d->key,
		.version = d->object_version,
		.region = f->region,
		.style = S3_STYLE_AUTO,
		.size_max = LIMIT_COMPOSE_FILE,
		.done = fetch_on_object,
		.ctx = f->cx};
	struct lm_err secrets_err = {LM_OK};

	if (f->object_from_s3)
		s3_start_get_object(session->https, &request, session->credentials, &f->s3);
	else
		get_object_elsewhere(f);
	lm_rc secrets_rc = get_secrets(f, ret_secrets, &secrets_err);
	if (compose_source_is_artifact(&d->source) && !secrets_rc)
		get_artifact(f, ret_secrets);
	// Even if the secrets failed: `request` is borrowed until its result is there.
	(void)!aws_session_run(session, NULL); // the results have its failures
	ecr_tokens_take(&f->cx->tokens, session);
	lm_rc rc = take_object(f, ret_object, err);
	// A definite refusal outweighs a failure that may pass.
	if (secrets_rc && (!rc || (deploy_is_away(rc) && !deploy_is_away(secrets_rc)))) {
		*err = secrets_err;
		rc = secrets_rc;
	}
	return rc;
}

/// Fetching the secrets failed, but not the compose file: offline mode uses it.
static void keep_text(struct context *cx, struct stored_object *object)
{
	struct lm_err ignored; // offline mode then tries the local copy

	if (object->text.len > 0)
		(void)!fetch_take_text(cx, &object->text, object->version, true, &ignored);
}

/// Before the fetched file overwrites it.
static lm_rc read_own(struct context *cx, struct lm_err *err)
{
	if (!cx->task->fallback.is_start || cx->own.len > 0)
		return LM_OK;
	return lm_fd_read_all(cx->compose_fd, "the generation's compose file", &cx->own, err);
}

lm_rc fetch_all(struct context *cx, struct lm_err *err)
{
	const struct connector_definition *d = context_definition(cx);
	const struct host_settings *host = &cx->task->host;
	lm_auto(fetch_finish) struct fetch f = {.cx = cx,
		.region = host->region ? host->region : d->region,
		.object_from_s3 = d->bucket && !host->object_store_directory};
	lm_auto_stored_object struct stored_object object = {0};
	lm_auto_registry_list struct registry_list secrets = {0};
	bool online = f.object_from_s3 || (d->secret_arns_n > 0 && !host->secret_store_directory);
	lm_rc rc = read_own(cx, err);

	if (!rc && online)
		rc = aws_session_open(&cx->session, err);
	if (!rc)
		rc = get_all(&f, &object, &secrets, err);
	if (rc) {
		keep_text(cx, &object);
		return rc;
	}
	rc = fetch_take_text(cx, &object.text, object.version, true, err);
	if (rc)
		return rc;
	cx->secrets = secrets;
	secrets = (struct registry_list){0};
	lm_auto_free char *file = definition_file_text(d);
	lm_info("fetched %s (%zu bytes) and %zu secrets", file, cx->text.len, cx->secrets.n);
	return LM_OK;
}

/// The copy with that content, if it is known to be what the definition names; else NULL.
static const struct task_copy *find_copy(const struct context *cx, const char *sha256)
{
	const struct task_fallback *f = &cx->task->fallback;

	for (size_t i = 0; i < f->copies_n; i++)
		if (strcmp(f->copies[i].sha256, sha256) == 0)
			return &f->copies[i];
	return NULL;
}

static lm_rc fail_unknown_copy(const struct context *cx, struct lm_err *err)
{
	const struct connector_definition *d = context_definition(cx);
	lm_auto_free char *file = definition_file_text(d);

	return lm_fail(err, LM_E_CONFLICT, 0,
		"the local copy '%s/%s' is not known to be %s%s%s: another deployment put it "
		"there, "
		"or it was changed since",
		d->destination, LOCAL_COPY_NAME, file, d->object_version ? " in version " : "",
		d->object_version ? d->object_version : "");
}

/// The local copy, if it is known to be what the definition names, or if a person put it there.
static lm_rc take_local_copy(struct context *cx, struct lm_err *err)
{
	const char *directory = context_definition(cx)->destination;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_COMPOSE_FILE);
	char sha256[LM_SHA256_HEX + 1];
	lm_rc rc = local_copy_read(cx->destination_fd, directory, &text, err);

	if (rc)
		return rc;
	lm_sha256_hex(lm_buf_str(&text), sha256);
	const struct task_copy *copy = find_copy(cx, sha256);
	if (!copy && cx->task->fallback.placed)
		return fail_unknown_copy(cx, err);
	const char *version = copy && copy->version[0] ? copy->version : NULL;
	rc = fetch_take_text(cx, &text, version, copy != NULL, err);
	if (rc)
		return rc;
	cx->fell_back = true;
	lm_warn("offline: using the local copy of the compose file in '%s'%s", directory,
		copy ? "" : ", which was put there by hand");
	return LM_OK;
}

lm_rc fetch_own_suffices(struct context *cx, bool *ret, struct lm_err *err)
{
	lm_rc rc = read_own(cx, err);

	*ret = false;
	return rc || cx->own.len == 0 ? rc : pins_are_here(cx, ret, err);
}

lm_rc fetch_take_own(struct context *cx, bool *ret_changed, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_COMPOSE_FILE);
	bool changed = !lm_str_eq(lm_buf_str(&cx->text), lm_buf_str(&cx->own));

	(void)lm_buf_add_str(&text, lm_buf_str(&cx->own));
	lm_rc rc = fetch_take_text(cx, &text, cx->task->fallback.start_version, true, err);
	if (rc)
		return rc;
	cx->fell_back = true;
	cx->is_own = true;
	*ret_changed = changed;
	if (cx->task->fallback.restores)
		lm_info("using the previously deployed compose file and images");
	else
		lm_warn("offline: using the previously deployed compose file");
	return LM_OK;
}

lm_rc fetch_local_copy(struct context *cx, struct lm_err *err)
{
	bool changed;

	if (cx->own.len > 0)
		return fetch_take_own(cx, &changed, err);
	if (cx->text.len > 0) {
		lm_warn("offline: using the fetched compose file, without the secrets");
		return LM_OK;
	}
	return take_local_copy(cx, err);
}
