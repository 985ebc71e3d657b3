// SPDX-License-Identifier: Apache-2.0
#include "aws/object_directory.h"
#include "aws/s3.h"
#include "aws/sigv4.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "worker/local_copy.h"
#include "worker/work_priv.h"

#include <errno.h>
#include <strings.h>
#include <sys/stat.h>

/// What goes over the network, and whether anything does.
struct fetch {
	struct work *w;
	const char *region;
	bool object_from_s3;
	struct https *https; ///< NULL: nothing does.
	struct credentials_settings settings;
	struct credentials_provider *credentials;
	struct s3_result s3;
};

static void fetch_finish(struct fetch *f)
{
	https_destroy(f->https);
	s3_result_finish(&f->s3);
	credentials_provider_destroy(f->credentials);
}

/// What is wrong with this device's own settings is no fault of the definition.
static lm_rc not_the_definition(lm_rc rc, struct lm_err *err)
{
	if (rc != LM_E_INVALID && rc != LM_E_NOT_FOUND)
		return rc;
	err->rc = LM_E_DENIED;
	return LM_E_DENIED;
}

static const char *first(const char *a, const char *b)
{
	return a ? a : b;
}

struct credentials_settings fetch_credentials_settings(const struct host_settings *host)
{
	const struct host_credentials *c = &host->credentials;
	const struct host_iot *iot = &host->iot;

	return (struct credentials_settings){
		.role_alias = c->role_alias,
		.endpoint = c->endpoint,
		.certificate = first(c->certificate, iot->certificate),
		.private_key = first(c->private_key, iot->private_key),
		.ca = first(c->ca, iot->ca),
		.thing_name = host->thing_name,
	};
}

static lm_rc go_online(struct fetch *f, struct lm_err *err)
{
	const struct aws_credentials *loaded;
	lm_rc rc = https_create(&f->https, err);

	f->settings = fetch_credentials_settings(&f->w->job->host);
	if (!rc)
		rc = credentials_provider_create(&f->settings, &f->w->limit, &f->credentials, err);
	if (!rc)
		rc = credentials_get(f->credentials, &loaded, err);
	return not_the_definition(rc, err);
}

/// Not even the directory that stands in for a store is there.
static bool is_missing(const char *directory)
{
	return access(directory, F_OK) < 0;
}

/// Says what else came to light: a wrong clock, another region.
static void note_s3(const struct fetch *f)
{
	const struct s3_result *r = &f->s3;
	struct lm_err warning;

	if (credentials_take_warning(f->credentials, &warning))
		lm_warn("%s", warning.msg);

	if (r->clock_offset_ms != 0)
		lm_warn("this device's clock is wrong by %lld s, as S3 says: set it",
			(long long)(r->clock_offset_ms / 1000));
	if (r->region[0] && strcmp(r->region, f->region) != 0)
		lm_info("bucket '%s' is in region %s, not in %s", work_definition(f->w)->bucket,
			r->region, f->region);
}

static lm_rc take_object(struct fetch *f, struct stored_object *ret, struct lm_err *err)
{
	const struct connector_definition *d = work_definition(f->w);
	const char *directory = f->w->job->host.object_store_directory;

	if (!f->object_from_s3) {
		lm_rc rc = object_directory_get(directory, d->bucket, d->key, d->object_version,
			LIMIT_COMPOSE_FILE, ret, err);
		return rc && is_missing(directory) ? not_the_definition(rc, err) : rc;
	}
	note_s3(f);
	if (f->s3.rc) {
		*err = f->s3.err;
		return f->s3.rc;
	}
	*ret = f->s3.object;
	f->s3.object = (struct stored_object){0};
	return LM_OK;
}

/// The policy's ComposeFileSHA256, if there is one.
static lm_rc check_sha256(const struct work *w, struct lm_str text, struct lm_err *err)
{
	const char *wanted = work_definition(w)->policy.compose_file_sha256;
	char found[SIGV4_SHA256_HEX_SIZE];

	if (!wanted)
		return LM_OK;
	sigv4_sha256_hex(text, found);
	if (strcasecmp(found, wanted) == 0)
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0,
		"the compose file has the SHA-256 %s, not that of Policy.ComposeFileSHA256 (%s): "
		"store the file that was meant, or mend the policy",
		found, wanted);
}

/// Hands the file to lightermand, in place of what an earlier attempt of the same job wrote.
static lm_rc hand_over(const struct work *w, struct lm_str text, struct lm_err *err)
{
	struct stat st;

	if (fstat(w->compose_fd, &st) == 0 && S_ISREG(st.st_mode) &&
		(ftruncate(w->compose_fd, 0) < 0 || lseek(w->compose_fd, 0, SEEK_SET) < 0))
		return lm_fail(err, LM_E_SYS, errno, "keep the compose file: %m");
	return lm_fd_write_all(w->compose_fd, "the generation's compose file", text, err);
}

/// The compose file of this deployment is this text.
static lm_rc take_text(struct work *w, struct lm_buf *text, struct lm_err *err)
{
	lm_rc rc = check_sha256(w, lm_buf_str(text), err);

	if (!rc)
		rc = hand_over(w, lm_buf_str(text), err);
	if (rc)
		return rc;
	lm_buf_finish(&w->text);
	w->text = *text;
	*text = (struct lm_buf){0};
	return LM_OK;
}

static lm_rc get_secrets(struct fetch *f, struct secrets *ret, struct lm_err *err)
{
	const struct connector_definition *d = work_definition(f->w);
	struct secrets_source source = {.directory = f->w->job->host.secret_store_directory,
		.https = f->https,
		.credentials = f->credentials,
		.region = f->region};

	lm_rc rc = secrets_get(&source, d->secret_arns, d->secret_arns_n, &f->w->limit, ret, err);

	if (rc && source.directory && is_missing(source.directory))
		return not_the_definition(rc, err);
	return rc;
}

static lm_rc get_all(struct fetch *f, struct stored_object *ret_object, struct secrets *ret_secrets,
	struct lm_err *err)
{
	const struct connector_definition *d = work_definition(f->w);
	struct s3_request request = {.bucket = d->bucket,
		.key = d->key,
		.version = d->object_version,
		.region = f->region,
		.style = S3_STYLE_AUTO,
		.size_max = LIMIT_COMPOSE_FILE};
	struct lm_err secrets_err = {LM_OK};

	if (f->object_from_s3)
		s3_start_get_object(f->https, &request, f->credentials, &f->s3);
	lm_rc secrets_rc = get_secrets(f, ret_secrets, &secrets_err);
	// Whatever became of the secrets, `request` is borrowed until the object is there.
	lm_rc rc = f->https ? https_run(f->https, &f->w->limit, err) : LM_OK;
	if (!rc)
		rc = take_object(f, ret_object, err);
	if (!rc && secrets_rc) {
		*err = secrets_err;
		rc = secrets_rc;
	}
	return rc;
}

/// The secrets did not come, the compose file did: offline mode goes on with it.
static void keep_text(struct work *w, struct stored_object *object)
{
	struct lm_err ignored; // then there is the local copy

	if (object->text.len > 0 && take_text(w, &object->text, &ignored) == LM_OK)
		w->store_version = lm_take(object->version);
}

lm_rc fetch_all(struct work *w, struct lm_err *err)
{
	const struct connector_definition *d = work_definition(w);
	const struct host_settings *host = &w->job->host;
	lm_auto(fetch_finish) struct fetch f = {.w = w,
		.region = host->region ? host->region : d->region,
		.object_from_s3 = !host->object_store_directory};
	lm_auto_stored_object struct stored_object object = {0};
	lm_auto_secrets struct secrets secrets = {0};
	bool online = f.object_from_s3 || (d->secret_arns_n > 0 && !host->secret_store_directory);
	lm_rc rc = online ? go_online(&f, err) : LM_OK;

	if (!rc)
		rc = get_all(&f, &object, &secrets, err);
	if (rc) {
		keep_text(w, &object);
		return rc;
	}
	rc = take_text(w, &object.text, err);
	if (rc)
		return rc;
	w->store_version = lm_take(object.version);
	w->secrets = secrets;
	secrets = (struct secrets){0};
	lm_info("fetched '%s' from bucket '%s' (%zu bytes) and %zu secrets", d->key, d->bucket,
		w->text.len, w->secrets.n);
	return LM_OK;
}

lm_rc fetch_local_copy(struct work *w, struct lm_err *err)
{
	const char *directory = work_definition(w)->destination;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_COMPOSE_FILE);

	if (w->text.len > 0) {
		lm_warn("offline: going on with the compose file that was fetched, without the "
			"secrets");
		return LM_OK;
	}
	lm_rc rc = local_copy_read(w->destination_fd, directory, &text, err);

	if (!rc)
		rc = take_text(w, &text, err);
	if (rc)
		return rc;
	lm_warn("offline: going on with the local copy of the compose file in '%s'", directory);
	return LM_OK;
}
