// SPDX-License-Identifier: Apache-2.0
#include "worker/compose_artifact.h"

#include "aws/shared_config.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/definition.h"
#include "http/https.h"
#include "registry/compose_manifest.h"
#include "registry/manifest.h"
#include "worker/registry_client.h"

#include <string.h>

enum { DIGEST_SIZE = 7 + LM_SHA256_HEX + 1 };

/// The questions: first for the manifest, then for the compose file.
struct artifact_visit {
	struct registry_client client;
	const struct image_ref *ref;
	struct compose_manifest manifest; ///< Without a digest: it is not known yet.
	char version[DIGEST_SIZE];
	lm_rc rc;
	struct lm_err err;
	struct stored_object *object;
};

lm_rc compose_artifact_parse(const char *address, struct image_ref *ret, struct lm_err *err)
{
	struct lm_str rest = lm_str(address);

	rest.p += strlen(SOURCE_ARTIFACT);
	rest.n -= strlen(SOURCE_ARTIFACT);
	lm_rc rc = image_ref_parse(rest, ret, err);
	if (rc)
		return lm_wrap(err, "'%s'", address);
	if (ret->digest && !compose_manifest_is_digest(lm_str(ret->digest)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s': only a digest of the kind sha256 can be checked", address);
	return LM_OK;
}

/// Whether the bytes are what a digest names; `found` gets theirs.
static bool artifact_digest_fits(
	struct lm_str bytes, const char *wanted, char found[static DIGEST_SIZE])
{
	memcpy(found, "sha256:", 7);
	lm_sha256_hex(bytes, found + 7);
	return !wanted || strcmp(found, wanted) == 0;
}

static lm_rc fail_artifact_digest(const char *what, const char *found, const char *wanted,
	const struct artifact_visit *v, struct lm_err *err)
{
	return lm_fail(err, LM_E_PROTOCOL, 0,
		"the digest of the %s that registry %s sent is %s, not %s: it is damaged, or not "
		"what was published",
		what, v->ref->registry, found, wanted);
}

/// Asks for the compose file next.
static lm_rc take_artifact_manifest(struct artifact_visit *v, struct lm_str body)
{
	if (!artifact_digest_fits(body, v->ref->digest, v->version))
		return fail_artifact_digest("manifest", v->version, v->ref->digest, v, &v->err);
	lm_rc rc = compose_manifest_parse(body, &v->manifest, &v->err);
	if (rc)
		return rc;
	return registry_client_ask(&v->client,
		&(struct registry_question){.kind = "blobs",
			.name = v->manifest.digest,
			.body_max = LIMIT_COMPOSE_FILE},
		&v->err);
}

static lm_rc take_artifact_file(struct artifact_visit *v, struct lm_buf *body)
{
	char found[DIGEST_SIZE];

	if (!artifact_digest_fits(lm_buf_str(body), v->manifest.digest, found))
		return fail_artifact_digest("compose file", found, v->manifest.digest, v, &v->err);
	*v->object = (struct stored_object){*body, lm_xstrdup(v->version)};
	*body = (struct lm_buf){0};
	return LM_OK;
}

static void compose_artifact_on_answer(
	void *ctx, lm_rc rc, struct https_answer *answer, const struct lm_err *err)
{
	struct artifact_visit *v = ctx;

	if (rc)
		v->err = *err;
	else if (!v->manifest.digest)
		rc = take_artifact_manifest(v, lm_buf_str(&answer->body));
	else
		rc = take_artifact_file(v, &answer->body);
	v->rc = rc;
}

static void artifact_visit_finish(struct artifact_visit *v)
{
	registry_client_finish(&v->client);
	compose_manifest_finish(&v->manifest);
}

lm_rc compose_artifact_get(const struct image_ref *ref,
	const struct compose_artifact_options *options, const struct wait_limit *limit,
	struct stored_object *ret, struct lm_err *err)
{
	lm_auto(https_destroy_p) struct https *https = NULL;
	lm_auto(artifact_visit_finish) struct artifact_visit v = {.ref = ref, .object = ret};
	lm_rc rc = shared_config_https(&https, err);

	if (rc)
		return rc;
	v.client = (struct registry_client){.https = https,
		.ref = ref,
		.credentials = options->credentials,
		.attempts = options->attempts,
		.done = compose_artifact_on_answer,
		.ctx = &v};
	registry_client_open(&v.client, options->certificates);
	v.rc = registry_client_ask(&v.client,
		&(struct registry_question){.kind = "manifests",
			.name = image_ref_version(ref),
			.accept = MANIFEST_TYPES,
			.body_max = LIMIT_MANIFEST},
		&v.err);
	rc = v.rc ? v.rc : https_run(https, limit, err);
	if (!v.rc)
		return rc;
	if (v.rc == LM_E_DENIED && v.client.lacks_login)
		return lm_fail(err, v.rc, 0,
			"%s: run 'docker login' as the application's user, or name a secret for it "
			"in AWSSecretsArnList",
			v.err.msg);
	*err = v.err;
	return v.rc;
}
