// SPDX-License-Identifier: Apache-2.0
#include "registry/image_archive.h"

#include "base/buf.h"
#include "base/digest.h"
#include "base/limits.h"
#include "base/memory.h"
#include "registry/manifest.h"
#include "registry/tar_stream.h"
#include "registry/unpacker.h"
#include "sys/json.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	/// Engine 20.10 has four entries for each layer.
	ENTRIES_MAX = 4 * LIMIT_LAYERS + 64,
	/// Engine 20.10 has one for each layer, too.
	DOCUMENTS_MAX = LIMIT_LAYERS + 64,
	DEPTH_MAX = 3, ///< An index, a manifest, a configuration.
	PREFIX = 7,    ///< "sha256:"
};

/// What a file is, from how it begins.
enum looks {
	LOOKS_BLANK, ///< So far: white space, which JSON may begin with.
	LOOKS_JSON,  ///< An object.
	LOOKS_OTHER,
};

/// A file that may be a configuration, a manifest or an index.
struct document {
	char sha256[LM_SHA256_HEX + 1];
	char *text;
	size_t n;
};

struct digest {
	char hex[LM_SHA256_HEX + 1];
};

struct image_archive {
	char id[LM_SHA256_HEX + 1];
	struct tar_stream tar;
	unsigned entries;
	struct digest *contents; ///< Of all files, also unpacked.
	size_t contents_n;
	struct document documents[DOCUMENTS_MAX];
	size_t documents_n;
	size_t documents_size; ///< Of their texts.

	// The file that comes now:
	bool is_file;
	uint64_t size;
	struct lm_sha256 *packed, *unpacked;
	uint64_t unpacked_n, unpacked_max; ///< Of all files.
	bool is_over;                      ///< That maximum.
	struct lm_buf begin;               ///< Its first bytes, until it is known what it is.
	bool is_known;
	struct unpacker *unpacker; ///< NULL: it is not compressed.
	struct lm_buf text;        ///< Of what may be a document.
	enum looks looks;
};

static void add_content(struct image_archive *a, struct lm_sha256 *sum)
{
	lm_sha256_end(sum, a->contents[a->contents_n++].hex);
}

static bool on_unpacked(void *ctx, struct lm_str piece)
{
	struct image_archive *a = ctx;

	a->is_over |= piece.n > a->unpacked_max - a->unpacked_n;
	if (a->is_over)
		return false;
	a->unpacked_n += piece.n;
	lm_sha256_add(a->unpacked, piece);
	return true;
}

static lm_rc archive_on_begin(void *ctx, const struct tar_entry *entry, struct lm_err *err)
{
	struct image_archive *a = ctx;

	if (++a->entries > ENTRIES_MAX)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "the archive has more than %d entries",
			ENTRIES_MAX);
	a->is_file = entry->kind == TAR_FILE;
	a->size = entry->size;
	a->is_known = false;
	a->looks = a->size <= LIMIT_MANIFEST ? LOOKS_BLANK : LOOKS_OTHER;
	lm_buf_clear(&a->begin);
	lm_buf_clear(&a->text);
	return LM_OK;
}

/// Its first bytes tell what the file is.
static void recognize(struct image_archive *a)
{
	struct lm_str begin = lm_buf_str(&a->begin);

	a->is_known = true;
	if (unpacker_knows(begin))
		a->unpacker = unpacker_create(begin, on_unpacked, a);
}

static bool is_json_space(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static void look_for_json(struct image_archive *a, struct lm_str piece)
{
	for (size_t i = 0; i < piece.n && a->looks == LOOKS_BLANK; i++)
		if (!is_json_space(piece.p[i]))
			a->looks = piece.p[i] == '{' ? LOOKS_JSON : LOOKS_OTHER;
	if (a->looks == LOOKS_JSON)
		(void)lm_buf_add_str(&a->text, piece);
}

static lm_rc take_bytes(struct image_archive *a, struct lm_str piece, struct lm_err *err)
{
	lm_sha256_add(a->packed, piece);
	look_for_json(a, piece);
	if (!a->unpacker || unpacker_feed(a->unpacker, piece) || !a->is_over)
		return LM_OK;
	return lm_fail(err, LM_E_TOO_LARGE, 0,
		"its compressed files unpack to more than %" PRIu64
		" MB, which those of no image of its size do: remove it, and pull one from a "
		"source that you trust",
		a->unpacked_max >> 20);
}

static lm_rc archive_on_content(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct image_archive *a = ctx;

	if (!a->is_file)
		return LM_OK;
	if (a->is_known)
		return take_bytes(a, piece, err);
	size_t wanted = UNPACKER_MAGIC - a->begin.len;
	struct lm_str first = {piece.p, piece.n < wanted ? piece.n : wanted};
	(void)lm_buf_add_str(&a->begin, first);
	if (a->begin.len < UNPACKER_MAGIC)
		return LM_OK;
	recognize(a);
	lm_rc rc = take_bytes(a, lm_buf_str(&a->begin), err);
	struct lm_str rest = {piece.p + first.n, piece.n - first.n};
	return rc ? rc : take_bytes(a, rest, err);
}

static lm_rc keep_document(struct image_archive *a, struct lm_err *err)
{
	struct document *d = &a->documents[a->documents_n];

	if (a->documents_n == DOCUMENTS_MAX || a->documents_size + a->text.len > 2 * LIMIT_MANIFEST)
		return lm_fail(err, LM_E_TOO_LARGE, 0,
			"the archive has more documents than can be those of one image");
	memcpy(d->sha256, a->contents[a->contents_n - 1].hex, sizeof(d->sha256));
	d->n = a->text.len;
	d->text = lm_buf_take(&a->text);
	a->documents_size += d->n;
	a->documents_n++;
	return LM_OK;
}

static lm_rc archive_on_end(void *ctx, struct lm_err *err)
{
	struct image_archive *a = ctx;
	lm_rc rc = LM_OK;

	if (!a->is_file)
		return LM_OK;
	if (!a->is_known) { // a short one
		recognize(a);
		rc = take_bytes(a, lm_buf_str(&a->begin), err);
	}
	bool is_whole = a->unpacker && unpacker_end(a->unpacker);
	bool was_packed = a->unpacker != NULL;
	unpacker_destroy(lm_take(a->unpacker));
	if (was_packed)
		add_content(a, a->unpacked);
	if (was_packed && !is_whole) // what came out is only a part
		a->contents_n--;
	add_content(a, a->packed);
	if (rc == LM_OK && a->looks == LOOKS_JSON)
		rc = keep_document(a, err);
	a->is_file = false;
	return rc;
}

/// The digits of "sha256:…"; NULL: it is something else.
static const char *digits_of(const char *digest)
{
	bool is_sha256 = digest && strncmp(digest, "sha256:", PREFIX) == 0 &&
			 lm_hex_is_sha256(lm_str(digest + PREFIX));

	return is_sha256 ? digest + PREFIX : NULL;
}

lm_rc image_archive_create(
	const char *id, uint64_t unpacked_max, struct image_archive **ret, struct lm_err *err)
{
	const char *digits = digits_of(id);
	struct image_archive *a;

	if (!digits) {
		char shown[4 * 80 + 32];

		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not the ID of an image",
			lm_str_shorten(lm_str(id), 80, shown, sizeof(shown)));
	}
	a = lm_xcalloc(1, sizeof(*a));
	const struct tar_handler handler = {
		archive_on_begin, archive_on_content, archive_on_end, a};
	memcpy(a->id, digits, sizeof(a->id));
	a->unpacked_max = unpacked_max;
	tar_stream_init(&a->tar, &handler);
	a->contents = lm_xcalloc(2 * (size_t)ENTRIES_MAX, sizeof(*a->contents));
	a->packed = lm_sha256_create();
	a->unpacked = lm_sha256_create();
	a->begin = LM_BUF(UNPACKER_MAGIC);
	a->text = LM_BUF(LIMIT_MANIFEST);
	*ret = a;
	return LM_OK;
}

void image_archive_destroy(struct image_archive *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->documents_n; i++)
		free(a->documents[i].text);
	tar_stream_finish(&a->tar);
	unpacker_destroy(a->unpacker);
	lm_sha256_destroy(a->packed);
	lm_sha256_destroy(a->unpacked);
	lm_buf_finish(&a->begin);
	lm_buf_finish(&a->text);
	free(a->contents);
	free(a);
}

lm_rc image_archive_feed(struct image_archive *a, struct lm_str piece, struct lm_err *err)
{
	return tar_stream_feed(&a->tar, piece, err);
}

static bool has_content(const struct image_archive *a, const char *hex)
{
	for (size_t i = 0; i < a->contents_n; i++)
		if (strcmp(a->contents[i].hex, hex) == 0)
			return true;
	return false;
}

static const struct document *find_document(const struct image_archive *a, const char *hex)
{
	for (size_t i = 0; hex && i < a->documents_n; i++)
		if (strcmp(a->documents[i].sha256, hex) == 0)
			return &a->documents[i];
	return NULL;
}

/// A description that cannot be read says nothing of damage.
static lm_rc fail_description(
	const char *what, const char *digest, const char *why, struct lm_err *err)
{
	return lm_fail(err, LM_E_INVALID, 0,
		"its %s (%.80s) is as it was pulled or built, and cannot be read: %s: pull or "
		"build another image",
		what, digest, why);
}

/// The document with that digest; NULL: there is none, or it is damaged. LM_E_INVALID: it is there,
/// and no document.
static lm_rc open_document(const struct image_archive *a, const char *what, const char *digest,
	const struct document **ret, struct lm_err *err)
{
	const char *hex = digits_of(digest);

	*ret = find_document(a, hex);
	if (!hex)
		return fail_description(what, digest, "that is not a SHA-256 digest", err);
	if (!*ret && has_content(a, hex))
		return fail_description(
			what, digest, "it is not a JSON object of at most 4 MB", err);
	return LM_OK;
}

static void judge_layer(
	const struct image_archive *a, const char *diff_id, unsigned n, struct image_verdict *v)
{
	const char *digits = digits_of(diff_id);

	if (!v->is_sound || has_content(a, digits))
		return;
	v->is_sound = false;
	v->layer = n;
	(void)snprintf(v->diff_id, sizeof(v->diff_id), "%s", diff_id);
	(void)snprintf(v->why, sizeof(v->why),
		"layer %u of %u (%.80s) has another content, or none", n, v->layers, diff_id);
}

static lm_rc judge_layers(const struct image_archive *a, const char *digest, struct lm_str config,
	struct image_verdict *v, struct lm_err *err)
{
	char **layers = NULL;
	size_t n = 0;
	struct lm_err why;
	lm_rc rc = LM_OK;

	if (manifest_config_layers(config, &layers, &n, &why))
		return fail_description("configuration", digest, why.msg, err);
	v->is_sound = true;
	v->layers = (unsigned)n;
	for (size_t i = 0; i < n; i++) {
		if (rc == LM_OK && !digits_of(layers[i]))
			rc = fail_description("configuration", digest,
				"it names a layer by something else than a SHA-256 digest", err);
		if (rc == LM_OK)
			judge_layer(a, layers[i], (unsigned)i + 1, v);
		free(layers[i]);
	}
	free(layers);
	return rc;
}

static lm_rc judge_document(const struct image_archive *a, const char *what, const char *digest,
	unsigned depth, struct image_verdict *v, struct lm_err *err);

/// The images of an index that are here; those for other platforms usually are not.
static lm_rc judge_index(const struct image_archive *a, const json_t *entries, unsigned depth,
	struct image_verdict *v, struct lm_err *err)
{
	size_t i;
	json_t *entry;
	bool found = false;
	lm_rc rc = LM_OK;

	json_array_foreach(entries, i, entry)
	{
		const char *digest = json_get_text(entry, "digest");
		const char *hex = digits_of(digest);
		// An attestation is about an image, and has layers that are not unpacked.
		bool is_image = !json_object_get(
			json_object_get(entry, "annotations"), "vnd.docker.reference.type");

		if (!hex || !has_content(a, hex) || !is_image || rc || (found && !v->is_sound))
			continue;
		found = true;
		*v = (struct image_verdict){0};
		rc = judge_document(a, "manifest", digest, depth + 1, v, err);
	}
	if (!found)
		(void)snprintf(v->why, sizeof(v->why), "none of its images is there");
	return rc;
}

static lm_rc judge_json(const struct image_archive *a, const char *digest, const struct document *d,
	unsigned depth, struct image_verdict *v, struct lm_err *err)
{
	struct lm_str text = {d->text, d->n};
	lm_auto_json json_t *json = NULL;
	struct lm_err why = {LM_OK};

	if (depth > DEPTH_MAX)
		return fail_description("description", digest, "its indexes are nested", err);
	if (manifest_parse_json(text, &json, &why))
		return fail_description("description", digest, why.msg, err);
	const json_t *entries = json_object_get(json, "manifests");
	const json_t *config = json_object_get(json, "config");
	const char *next = json_is_object(config) ? json_get_text(config, "digest") : NULL;
	if (json_is_array(entries))
		return judge_index(a, entries, depth, v, err);
	return next ? judge_document(a, "configuration", next, depth + 1, v, err)
		    : judge_layers(a, digest, text, v, err);
}

static lm_rc judge_document(const struct image_archive *a, const char *what, const char *digest,
	unsigned depth, struct image_verdict *v, struct lm_err *err)
{
	const struct document *d = NULL;
	lm_rc rc = open_document(a, what, digest, &d, err);

	if (rc == LM_OK && d)
		return judge_json(a, digest, d, depth, v, err);
	if (rc == LM_OK)
		(void)snprintf(v->why, sizeof(v->why),
			"its %s (%.80s) has another content, or none", what, digest);
	return rc;
}

lm_rc image_archive_end(struct image_archive *a, struct image_verdict *ret, struct lm_err *err)
{
	struct image_verdict verdict = {0};
	char id[PREFIX + LM_SHA256_HEX + 1];

	if (!tar_stream_has_ended(&a->tar))
		return lm_fail(err, LM_E_PROTOCOL, 0, "the archive is incomplete");
	(void)snprintf(id, sizeof(id), "sha256:%s", a->id);
	lm_rc rc = judge_document(a, "configuration", id, 0, &verdict, err);
	if (rc == LM_OK)
		*ret = verdict;
	return rc;
}
