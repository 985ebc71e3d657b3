// SPDX-License-Identifier: Apache-2.0
#include "registry/manifest.h"

#include "base/limits.h"
#include "base/memory.h"

#include <stdio.h>

enum {
	DIGEST_MAX = 256,
	NAMES_MAX = 300,
	/// As json_count counts: an image of 500 layers has a tenth of it, and what fits into
	/// LIMIT_MANIFEST would take hundreds of megabytes.
	VALUES_MAX = 100000,
};

const char *const MANIFEST_TYPES[] = {
	"application/vnd.oci.image.index.v1+json",
	"application/vnd.docker.distribution.manifest.list.v2+json",
	"application/vnd.oci.image.manifest.v1+json",
	"application/vnd.docker.distribution.manifest.v2+json",
	NULL,
};

static void copy_lower(char out[32], struct lm_str part)
{
	(void)snprintf(out, 32, "%.*s", (int)(part.n < 31 ? part.n : 31), part.p);
}

/// Architectures as `uname -m` and people name them.
static void normalize_architecture(struct manifest_platform *p)
{
	static const struct {
		const char *given, *name, *variant;
	} names[] = {
		{"x86_64", "amd64", ""},
		{"x86-64", "amd64", ""},
		{"aarch64", "arm64", ""},
		{"armhf", "arm", "v7"},
		{"armv7l", "arm", "v7"},
		{"armel", "arm", "v6"},
		{"armv6l", "arm", "v6"},
		{"i386", "386", ""},
		{"i686", "386", ""},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		if (strcmp(p->architecture, names[i].given) != 0)
			continue;
		copy_lower(p->architecture, lm_str(names[i].name));
		if (!*p->variant)
			copy_lower(p->variant, lm_str(names[i].variant));
		break;
	}
	// Each has one that is meant where none is named.
	if (strcmp(p->architecture, "arm") == 0 && !*p->variant)
		copy_lower(p->variant, LM_STR("v7"));
	if (strcmp(p->architecture, "arm64") == 0 && strcmp(p->variant, "v8") == 0)
		p->variant[0] = '\0';
}

lm_rc manifest_platform_parse(struct lm_str text, struct manifest_platform *ret, struct lm_err *err)
{
	struct lm_str rest = text;
	struct lm_str os = lm_str_cut(&rest, '/');
	struct lm_str architecture = lm_str_cut(&rest, '/');
	char shown[4 * 60 + 32];

	if (os.n == text.n) {
		architecture = os;
		os = LM_STR("linux");
	}
	if (os.n == 0 || architecture.n == 0 || lm_str_find(rest, '/') < rest.n || os.n > 31 ||
		architecture.n > 31 || rest.n > 31)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a platform such as linux/arm64",
			lm_str_shorten(text, 60, shown, sizeof(shown)));
	*ret = (struct manifest_platform){0};
	copy_lower(ret->os, os);
	copy_lower(ret->architecture, architecture);
	copy_lower(ret->variant, rest);
	normalize_architecture(ret);
	return LM_OK;
}

void manifest_finish(struct manifest *m)
{
	for (size_t i = 0; i < m->layers_n; i++)
		free(m->layers[i].digest);
	free(m->layers);
	free(m->child);
	free(m->config);
	*m = (struct manifest){0};
}

/// "algorithm:hexadecimal", and short enough to be asked for.
static const char *get_digest(const json_t *descriptor)
{
	const char *digest = json_get_text(descriptor, "digest");
	size_t n = digest ? strlen(digest) : 0;

	if (n == 0 || n > DIGEST_MAX || !strchr(digest, ':'))
		return NULL;
	for (size_t i = 0; i < n; i++)
		if (digest[i] <= ' ' || digest[i] == '/' || digest[i] == 0x7f)
			return NULL;
	return digest;
}

static struct manifest_platform read_platform(const json_t *entry)
{
	const json_t *platform = json_object_get(entry, "platform");
	struct manifest_platform p = {0};

	copy_lower(p.os, lm_str(json_get_text(platform, "os")));
	copy_lower(p.architecture, lm_str(json_get_text(platform, "architecture")));
	copy_lower(p.variant, lm_str(json_get_text(platform, "variant")));
	normalize_architecture(&p);
	return p;
}

/// "v7" is 7; 0 if it is none.
static unsigned variant_number(const char *variant)
{
	return variant[0] == 'v' && variant[1] >= '1' && variant[1] <= '9'
		       ? (unsigned)(variant[1] - '0')
		       : 0;
}

/// How well an entry suits: 0 not at all. An older variant runs on a newer processor, and the
/// newest of those is the best.
static unsigned rank(const struct manifest_platform *have, const struct manifest_platform *wanted)
{
	if (strcmp(have->os, wanted->os) != 0 ||
		strcmp(have->architecture, wanted->architecture) != 0)
		return 0;
	if (strcmp(have->variant, wanted->variant) == 0)
		return 100;
	unsigned has = variant_number(have->variant), most = variant_number(wanted->variant);
	return has <= most ? 1 + has : 0;
}

static void name_platform(const struct manifest_platform *p, struct lm_buf *names)
{
	char shown[4 * 100 + 32], text[128];

	// What signatures and provenance are listed under.
	if (!*p->os || strcmp(p->os, "unknown") == 0)
		return;
	(void)snprintf(text, sizeof(text), "%s/%s%s%s", p->os, p->architecture,
		*p->variant ? "/" : "", p->variant);
	(void)lm_buf_printf(names, "%s%s", names->len > 0 ? ", " : "",
		lm_str_shorten(lm_str(text), 100, shown, sizeof(shown)));
}

static lm_rc choose_child(const json_t *entries, const struct manifest_platform *platform,
	struct manifest *ret, struct lm_err *err)
{
	lm_auto_buf struct lm_buf names = LM_BUF(NAMES_MAX);
	const char *best = NULL;
	unsigned best_rank = 0;
	size_t i;
	json_t *entry;

	json_array_foreach(entries, i, entry)
	{
		const struct manifest_platform have = read_platform(entry);
		const char *digest = get_digest(entry);
		unsigned fits = digest ? rank(&have, platform) : 0;

		name_platform(&have, &names);
		if (fits > best_rank) {
			best = digest;
			best_rank = fits;
		}
	}
	if (!best)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "not available for %s/%s%s%s, only for: %s",
			platform->os, platform->architecture, *platform->variant ? "/" : "",
			platform->variant, names.len > 0 ? lm_buf_cstr(&names) : "nothing");
	ret->child = lm_xstrdup(best);
	return LM_OK;
}

/// Layers without a known media type count as compressed: nearly all are.
static bool is_packed(const json_t *layer)
{
	struct lm_str type = lm_str(json_get_text(layer, "mediaType"));

	return !lm_str_ends(type, LM_STR(".tar"));
}

/// Layers that registries do not hand out, with an address of their own, are of Windows.
static lm_rc read_layer(const json_t *layer, struct manifest_layer *ret, struct lm_err *err)
{
	const char *digest = get_digest(layer);
	int64_t bytes = json_get_int(layer, "size", -1);

	if (!digest || bytes < 0)
		return lm_fail(err, LM_E_PROTOCOL, 0, "a layer has no digest or no size");
	*ret = (struct manifest_layer){
		.digest = lm_xstrdup(digest), .bytes = (uint64_t)bytes, .packed = is_packed(layer)};
	return LM_OK;
}

static lm_rc read_layers(const json_t *layers, struct manifest *m, struct lm_err *err)
{
	size_t n = json_array_size(layers);
	size_t i;
	json_t *layer;

	if (n > LIMIT_LAYERS)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "it has %zu layers, the maximum is %d", n,
			LIMIT_LAYERS);
	m->layers = lm_xcalloc(n + 1, sizeof(*m->layers));
	json_array_foreach(layers, i, layer)
	{
		lm_rc rc = read_layer(layer, &m->layers[i], err);
		if (rc)
			return rc;
		m->layers_n++;
	}
	return LM_OK;
}

static lm_rc read_manifest(const json_t *document, struct manifest *ret, struct lm_err *err)
{
	lm_auto(manifest_finish) struct manifest m = {0};
	const char *config = get_digest(json_object_get(document, "config"));
	const json_t *layers = json_object_get(document, "layers");

	if (!config || !json_is_array(layers))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"its manifest has no layer sizes: push the image again with a newer tool");
	lm_rc rc = read_layers(layers, &m, err);
	if (rc)
		return rc;
	m.config = lm_xstrdup(config);
	*ret = m;
	m = (struct manifest){0};
	return LM_OK;
}

lm_rc manifest_parse_json(struct lm_str text, json_t **ret, struct lm_err *err)
{
	lm_auto_json json_t *document = NULL;

	if (json_count(text) > VALUES_MAX)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "it has more than %d values", VALUES_MAX);
	if (json_parse(text, &document, NULL) || !json_is_object(document))
		return lm_fail(err, LM_E_PROTOCOL, 0, "it is not a JSON object");
	*ret = lm_take(document);
	return LM_OK;
}

lm_rc manifest_parse(struct lm_str body, const struct manifest_platform *platform,
	struct manifest *ret, struct lm_err *err)
{
	lm_auto_json json_t *document = NULL;
	lm_rc rc = manifest_parse_json(body, &document, err);

	if (rc)
		return rc;
	const json_t *entries = json_object_get(document, "manifests");
	return json_is_array(entries) ? choose_child(entries, platform, ret, err)
				      : read_manifest(document, ret, err);
}

struct digests {
	char **items;
	size_t n;
};

static void digests_finish(struct digests *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->items[i]);
	free(d->items);
}

lm_rc manifest_config_layers(
	struct lm_str body, char ***ret_digests, size_t *ret_n, struct lm_err *err)
{
	lm_auto(digests_finish) struct digests layers = {0};
	lm_auto_json json_t *document = NULL;
	size_t i;
	json_t *digest;

	lm_rc rc = manifest_parse_json(body, &document, err);
	if (rc)
		return lm_wrap(err, "the configuration");
	const json_t *list = json_object_get(json_object_get(document, "rootfs"), "diff_ids");
	if (!json_is_array(list))
		return lm_fail(err, LM_E_PROTOCOL, 0, "the configuration names no layers");
	if (json_array_size(list) > LIMIT_LAYERS)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the configuration names %zu layers, the maximum is %d",
			json_array_size(list), LIMIT_LAYERS);
	layers.items = lm_xcalloc(json_array_size(list) + 1, sizeof(*layers.items));
	json_array_foreach(list, i, digest)
	{
		if (!json_is_string(digest))
			return lm_fail(err, LM_E_PROTOCOL, 0,
				"the configuration names a layer that is %s",
				json_type_name(digest));
		layers.items[layers.n++] = lm_xstrdup(json_string_value(digest));
	}
	*ret_digests = lm_take(layers.items);
	*ret_n = layers.n;
	layers.n = 0;
	return LM_OK;
}
