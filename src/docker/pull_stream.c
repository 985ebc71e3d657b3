// SPDX-License-Identifier: Apache-2.0
#include "docker/pull_stream.h"

#include "base/limits.h"
#include "base/memory.h"
#include "docker/answer.h"
#include "sys/json.h"

#include <stdio.h>

enum {
	LAYERS_MAX = 1024, ///< An image has at most 127; with indexes and provenance somewhat more.
	LAYER_ID_SIZE = 80,
	/// The engine reports a download each hundredth of it, but at least so often, in bytes.
	REPORT_BYTES = 512 << 10,
	REPORTS = 100,
};

struct pull_layer {
	char id[LAYER_ID_SIZE];
	char phase[32];
	uint64_t extracted;
	uint64_t done;
	uint64_t total;
	bool downloading;
};

void pull_stream_init(struct pull_stream *s)
{
	*s = (struct pull_stream){.status = "Waiting"};
	json_stream_init(&s->json);
}

void pull_stream_finish(struct pull_stream *s)
{
	json_stream_finish(&s->json);
	free(s->layers);
	s->layers = NULL;
	s->layers_n = 0;
}

static struct pull_layer *find_layer(struct pull_stream *s, const char *id)
{
	for (size_t i = 0; i < s->layers_n; i++)
		if (strcmp(s->layers[i].id, id) == 0)
			return &s->layers[i];
	if (s->layers_n >= LAYERS_MAX || strlen(id) >= LAYER_ID_SIZE)
		return NULL;
	s->layers = lm_xrealloc(s->layers, (s->layers_n + 1) * sizeof(*s->layers));
	struct pull_layer *layer = &s->layers[s->layers_n++];
	*layer = (struct pull_layer){0};
	(void)snprintf(layer->id, sizeof(layer->id), "%s", id);
	return layer;
}

static uint64_t report_bytes(const struct pull_layer *layer)
{
	uint64_t each = layer->total / REPORTS;

	return layer->total == 0 || each > REPORT_BYTES ? REPORT_BYTES : each;
}

static void sum_bytes(struct pull_stream *s)
{
	s->bytes_done = 0;
	s->bytes_total = 0;
	s->silent_bytes = 0;
	for (size_t i = 0; i < s->layers_n; i++) {
		s->bytes_done += s->layers[i].done;
		s->bytes_total += s->layers[i].total;
		if (s->layers[i].downloading)
			s->silent_bytes += report_bytes(&s->layers[i]);
	}
}

static uint64_t positive(const json_t *object, const char *key)
{
	int64_t value = json_get_int(object, key, 0);
	// A bound that no image reaches, so that sums cannot overflow.
	return value <= 0 ? 0 : value > INT64_C(1) << 50 ? UINT64_C(1) << 50 : (uint64_t)value;
}

/// A word of the engine's that means: nothing moves at the moment.
static bool is_idle(const char *status)
{
	return strncmp(status, "Retrying", 8) == 0 || strcmp(status, "Waiting") == 0;
}

static void take_layer(
	struct pull_stream *s, struct pull_layer *layer, const char *status, const json_t *detail)
{
	uint64_t current = positive(detail, "current");
	uint64_t total = positive(detail, "total");
	bool moved = strncmp(layer->phase, status, sizeof(layer->phase) - 1) != 0;

	layer->downloading = strcmp(status, "Downloading") == 0;
	if (layer->downloading) {
		moved = moved || current != layer->done;
		layer->done = current;
		layer->total = total > current ? total : current;
	} else if (strcmp(status, "Extracting") == 0) {
		moved = moved || current != layer->extracted;
		layer->extracted = current;
		// A small layer may be extracted without a word about its download.
		if (layer->total < total)
			layer->total = total;
		layer->done = layer->total;
	} else if (strcmp(status, "Download complete") == 0 ||
		   strcmp(status, "Pull complete") == 0 ||
		   strcmp(status, "Verifying Checksum") == 0) {
		layer->done = layer->total;
	}
	if (is_idle(status))
		return;
	(void)snprintf(layer->phase, sizeof(layer->phase), "%.31s", status);
	if (moved)
		s->moves++;
}

static void take_closing_line(struct pull_stream *s, const char *status)
{
	if (strncmp(status, "Digest: ", 8) == 0) {
		(void)snprintf(s->digest, sizeof(s->digest), "%.127s", status + 8);
		s->finished = true;
	} else if (strncmp(status, "Status: ", 8) == 0) {
		s->finished = true;
	}
}

static lm_rc stream_error(const json_t *j, const char *text, struct lm_err *err)
{
	const char *detail = json_get_text(json_object_get(j, "errorDetail"), "message");
	struct lm_str words = lm_str_trim(lm_str(detail && *detail ? detail : text));
	int64_t code = json_get_int(json_object_get(j, "errorDetail"), "code", 0);
	char shown[4 * 600 + 32];
	(void)lm_str_shorten(words, 600, shown, sizeof(shown));
	lm_rc rc = engine_error_class(code == 401 ? 401 : 0, words);
	return lm_fail(err, rc, 0, "%s", shown);
}

static lm_rc take_object(void *ctx, struct lm_str object, struct lm_err *err)
{
	struct pull_stream *s = ctx;
	lm_auto_json json_t *j = NULL;
	if (json_parse(object, &j, err) != LM_OK)
		return lm_fail(err, LM_E_PROTOCOL, 0, "the Docker daemon's progress is not JSON");
	const char *error = json_get_text(j, "error");
	if (error || json_object_get(j, "errorDetail"))
		return stream_error(j, error ? error : "no reason given", err);
	const char *status = json_get_text(j, "status");
	const char *id = json_get_text(j, "id");
	if (!status)
		return LM_OK;
	// "Pulling from demo/web" has the tag as its id.
	if (!id || strncmp(status, "Pulling from", 12) == 0) {
		take_closing_line(s, status);
		s->moves++;
		return LM_OK;
	}
	(void)snprintf(s->status, sizeof(s->status), "%.63s", status);
	struct pull_layer *layer = find_layer(s, id);
	if (layer) {
		take_layer(s, layer, status, json_object_get(j, "progressDetail"));
		sum_bytes(s);
	}
	return LM_OK;
}

lm_rc pull_stream_feed(struct pull_stream *s, struct lm_str piece, struct lm_err *err)
{
	return json_stream_feed(&s->json, piece, take_object, s, err);
}

lm_rc pull_stream_end(const struct pull_stream *s, struct lm_err *err)
{
	if (s->finished && json_stream_at_boundary(&s->json))
		return LM_OK;
	return lm_fail(err, LM_E_NETWORK, 0,
		"the Docker daemon closed the connection before the image was complete");
}
