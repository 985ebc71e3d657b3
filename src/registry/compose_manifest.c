// SPDX-License-Identifier: Apache-2.0
#include "registry/compose_manifest.h"

#include "base/cleanup.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/memory.h"
#include "registry/manifest.h"

#include <string.h>

#define TYPES "application/vnd.docker.compose."
#define TYPE_PROJECT TYPES "project"
#define TYPE_FILE TYPES "file+yaml"
#define TYPE_ENV TYPES "envfile"
#define TYPE_NO_CONFIG TYPES "config.empty.v1+json"
// For what takes more than the compose file: docker compose merges it into one.
#define ONE_FILE                                                                                   \
	"make one of it with 'docker compose config --no-interpolate -o compose.yml' and publish " \
	"that"

enum { SHOWN_MAX = 80 };

void compose_manifest_finish(struct compose_manifest *m)
{
	free(m->digest);
	*m = (struct compose_manifest){0};
}

bool compose_manifest_is_digest(struct lm_str text)
{
	struct lm_str rest = text;

	if (!lm_str_eq(lm_str_cut(&rest, ':'), LM_STR("sha256")) || rest.n != LM_SHA256_HEX)
		return false;
	for (size_t i = 0; i < rest.n; i++)
		if (!(rest.p[i] >= '0' && rest.p[i] <= '9') &&
			!(rest.p[i] >= 'a' && rest.p[i] <= 'f'))
			return false;
	return true;
}

static bool is_image_config(const char *type)
{
	return strcmp(type, "application/vnd.oci.image.config.v1+json") == 0 ||
	       strcmp(type, "application/vnd.docker.container.image.v1+json") == 0;
}

/// What else it is.
static lm_rc fail_other_artifact(const char *artifact, const char *config, struct lm_err *err)
{
	char shown[4 * SHOWN_MAX + 32];

	if (!*artifact && is_image_config(config))
		return lm_fail(err, LM_E_INVALID, 0,
			"it is a container image, not a compose file: name what 'docker compose "
			"publish' has put there");
	return lm_fail(err, LM_E_INVALID, 0,
		"it is an artifact of the type '%s', not a compose file: name what 'docker compose "
		"publish' has put there",
		lm_str_shorten(
			lm_str(*artifact ? artifact : config), SHOWN_MAX, shown, sizeof(shown)));
}

/// As OCI has it: without an artifactType, the type of the configuration counts.
static lm_rc check_artifact_type(const json_t *document, struct lm_err *err)
{
	const char *artifact = json_get_text(document, "artifactType");
	const char *config = json_get_text(json_object_get(document, "config"), "mediaType");

	if (json_is_array(json_object_get(document, "manifests")))
		return lm_fail(err, LM_E_INVALID, 0,
			"it is an index of several images, not a compose file: name what 'docker "
			"compose publish' has put there");
	if (!json_is_array(json_object_get(document, "layers")))
		return lm_fail(err, LM_E_PROTOCOL, 0, "it is not a manifest with layers");
	artifact = artifact ? artifact : "";
	config = config ? config : "";
	if (strcmp(artifact, TYPE_PROJECT) == 0 || (!*artifact && !strcmp(config, TYPE_NO_CONFIG)))
		return LM_OK;
	return fail_other_artifact(artifact, config, err);
}

/// What docker compose calls the layer; "" without a name. `out` is for lm_str_shorten.
static const char *layer_name(const json_t *layer, char *out, size_t out_size)
{
	const json_t *notes = json_object_get(layer, "annotations");
	const char *name = json_get_text(notes, "com.docker.compose.file");

	if (!name)
		name = json_get_text(notes, "com.docker.compose.envfile");
	return lm_str_shorten(lm_str(name ? name : ""), SHOWN_MAX, out, out_size);
}

/// Refuses a layer that takes more than the compose file; `*ret_file`: it is one.
static lm_rc check_layer(const json_t *layer, bool *ret_file, struct lm_err *err)
{
	const char *type = json_get_text(layer, "mediaType");
	char shown[4 * SHOWN_MAX + 32];

	type = type ? type : "";
	*ret_file = strcmp(type, TYPE_FILE) == 0;
	if (strcmp(type, TYPE_ENV) == 0)
		return lm_fail(err, LM_E_INVALID, 0,
			"it has an env file (%s), and only a compose file is deployed: " ONE_FILE,
			layer_name(layer, shown, sizeof(shown)));
	// Others are ignored, as docker compose does: notes of other programs.
	if (*ret_file || strcmp(type, TYPE_NO_CONFIG) == 0 ||
		!lm_str_starts(lm_str(type), LM_STR(TYPES)))
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0,
		"it has a layer of the unknown type '%s', and only a compose file is "
		"deployed: " ONE_FILE,
		lm_str_shorten(lm_str(type), SHOWN_MAX, shown, sizeof(shown)));
}

static lm_rc find_compose_layer(const json_t *layers, const json_t **ret, struct lm_err *err)
{
	size_t i, files = 0;
	const json_t *layer;

	if (json_array_size(layers) > LIMIT_LAYERS)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "it has %zu layers, the maximum is %d",
			json_array_size(layers), LIMIT_LAYERS);
	json_array_foreach(layers, i, layer)
	{
		bool is_file;
		lm_rc rc = check_layer(layer, &is_file, err);

		if (rc)
			return rc;
		if (is_file && files++ == 0)
			*ret = layer;
	}
	if (files == 1)
		return LM_OK;
	if (files == 0)
		return lm_fail(err, LM_E_INVALID, 0,
			"it has no compose file: publish one with 'docker compose publish'");
	return lm_fail(err, LM_E_INVALID, 0,
		"it has %zu compose files (also those of 'extends' and of --resolve-image-digests "
		"count), and one is deployed: " ONE_FILE,
		files);
}

lm_rc compose_manifest_parse(struct lm_str body, struct compose_manifest *ret, struct lm_err *err)
{
	lm_auto_json json_t *document = NULL;
	const json_t *layer = NULL;
	lm_rc rc = manifest_parse_json(body, &document, err);

	if (!rc)
		rc = check_artifact_type(document, err);
	if (!rc)
		rc = find_compose_layer(json_object_get(document, "layers"), &layer, err);
	if (rc)
		return rc;
	const char *digest = json_get_text(layer, "digest");
	int64_t bytes = json_get_int(layer, "size", -1);
	if (!digest || !compose_manifest_is_digest(lm_str(digest)) || bytes < 0)
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"its compose file has no size, or no digest of the kind sha256");
	if (bytes > LIMIT_COMPOSE_FILE)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"its compose file has %lld bytes, the maximum is %d", (long long)bytes,
			LIMIT_COMPOSE_FILE);
	*ret = (struct compose_manifest){lm_xstrdup(digest), (uint64_t)bytes};
	return LM_OK;
}
