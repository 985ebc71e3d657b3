// SPDX-License-Identifier: Apache-2.0
#include "docker/pull.h"

#include "base/clock.h"
#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "docker/engine_images.h"
#include "docker/engine_json.h"
#include "docker/engine_request.h"
#include "docker/image_ref.h"
#include "sys/http_unix.h"
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
	*s = (struct pull_stream){0};
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

/// A status that means: no progress at the moment.
static bool pull_is_idle(const char *status)
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
		// A small layer may be extracted without a report of its download.
		if (layer->total < total)
			layer->total = total;
		layer->done = layer->total;
	} else if (strcmp(status, "Download complete") == 0 ||
		   strcmp(status, "Pull complete") == 0 ||
		   strcmp(status, "Verifying Checksum") == 0) {
		layer->done = layer->total;
	}
	if (pull_is_idle(status))
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

static lm_rc pull_take_progress(void *ctx, struct lm_str object, struct lm_err *err)
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
	if (strcmp(status, "Download complete") == 0)
		(void)snprintf(s->complete_id, sizeof(s->complete_id), "%.70s", id);
	if (layer) {
		take_layer(s, layer, status, json_object_get(j, "progressDetail"));
		sum_bytes(s);
	}
	return LM_OK;
}

lm_rc pull_stream_feed(struct pull_stream *s, struct lm_str piece, struct lm_err *err)
{
	return json_stream_feed(&s->json, piece, pull_take_progress, s, err);
}

lm_rc pull_stream_end(const struct pull_stream *s, struct lm_err *err)
{
	if (s->finished && json_stream_at_boundary(&s->json))
		return LM_OK;
	return lm_fail(err, LM_E_NETWORK, 0,
		"the Docker daemon closed the connection before the image was complete");
}

enum {
	PROGRESS_MS = 250,
	ID_SHORT = 12, ///< Digits of an id in its short form.
	TARGET_MAX = 4096,
	API_MINOR_PLATFORM = 32, ///< Below it the engine ignores `platform`.
	/// A pull that failed later than this was refused because its credentials had expired.
	LONG_TRY_MS = 3600 * 1000,
};

struct pull_set;

/// One image, from its first request to its last.
struct pull {
	struct pull_set *set;
	size_t item;
	struct pull_stream stream;
	uint64_t moves_seen;
	uint64_t reported_ms; ///< When on_progress was last called.
	uint64_t begun_ms;    ///< When this request began.
	bool renewed;         ///< It is not the first.
};

struct pull_set {
	const struct engine *engine;
	const struct pull_item *items;
	size_t n;
	const struct pull_options *options;
	const struct wait_limit *limit;
	struct engine_batch *batch;
	struct pull *pulls;    ///< One for each item.
	uint64_t moved_ms;     ///< When any of them last made progress.
	struct lm_err failure; ///< The first; LM_OK: none.
	size_t failed_n;
};

static void finish_set(struct pull_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		pull_stream_finish(&set->pulls[i].stream);
	free(set->pulls);
}

static void report_progress(const struct pull *p, const char *status)
{
	const struct pull_options *o = p->set->options;
	const struct pull_progress progress = {.bytes_done = p->stream.bytes_done,
		.bytes_total = p->stream.bytes_total,
		.status = status};

	if (o->on_progress)
		o->on_progress(o->ctx, p->item, &progress);
}

static lm_rc take_pull_piece(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct pull *p = ctx;

	return pull_stream_feed(&p->stream, piece, err);
}

static void note_progress(void *ctx, size_t i)
{
	struct pull_set *set = ctx;
	struct pull *p = &set->pulls[i];

	if (p->stream.moves == p->moves_seen)
		return;
	p->moves_seen = p->stream.moves;
	set->moved_ms = lm_clock_mono_ms();
	if (p->reported_ms != 0 && set->moved_ms - p->reported_ms < PROGRESS_MS)
		return;
	p->reported_ms = set->moved_ms;
	report_progress(p, p->stream.status);
}

static lm_rc build_target(const struct engine *e, const struct pull_item *item, struct lm_buf *out,
	struct lm_err *err)
{
	lm_auto(image_ref_finish) struct image_ref ref = {0};
	lm_rc rc = image_ref_parse(lm_str(item->image), &ref, err);
	if (rc != LM_OK)
		return rc;
	// Without `tag` the engine would pull all tags of the repository.
	(void)lm_buf_printf(out, "/v1.%u/images/create?fromImage=", e->version.minor);
	(void)lm_percent_encode(out, lm_str(ref.name), false);
	(void)lm_buf_puts(out, "&tag=");
	(void)lm_percent_encode(out, lm_str(image_ref_version(&ref)), false);
	if (item->platform && e->version.minor >= API_MINOR_PLATFORM) {
		(void)lm_buf_puts(out, "&platform=");
		(void)lm_percent_encode(out, lm_str(item->platform), false);
	}
	if (out->overflow)
		return lm_fail(err, LM_E_INVALID, 0, "an image name is too long");
	return LM_OK;
}

/// Asks for other credentials. What the other pulls received meanwhile has not been read.
static lm_rc renew_credentials(
	struct pull *p, const struct lm_err *refusal, bool *ret_renewed, struct lm_err *err)
{
	const struct pull_options *o = p->set->options;
	lm_rc rc = o->renew ? o->renew(o->ctx, p->item, refusal, ret_renewed, err) : LM_OK;

	p->set->moved_ms = lm_clock_mono_ms();
	return rc;
}

static lm_rc start_pull(void *ctx, size_t i, struct http_unix **ret, struct lm_err *err)
{
	struct pull_set *set = ctx;
	struct pull *p = &set->pulls[i];
	const struct pull_item *item = &set->items[i];
	lm_auto_buf struct lm_buf target = LM_BUF(TARGET_MAX);
	bool renewed = false;
	lm_rc rc = p->renewed ? LM_OK : renew_credentials(p, NULL, &renewed, err);

	if (rc == LM_OK)
		rc = build_target(set->engine, item, &target, err);
	if (rc != LM_OK)
		return rc;
	const struct http_unix_request request = {.socket_path = set->engine->socket_path,
		.method = "POST",
		.target = lm_buf_cstr(&target),
		.secret_header = item->auth && item->auth->len > 0 ? "X-Registry-Auth" : NULL,
		.secret_value = item->auth,
		.on_body = take_pull_piece,
		.ctx = p};
	p->moves_seen = 0;
	p->reported_ms = 0;
	p->begun_ms = set->moved_ms = lm_clock_mono_ms();
	pull_stream_init(&p->stream);
	return engine_connect(&request, ret, err);
}

/// When no pull has made progress for too long.
static uint64_t stall_ms(void *ctx, uint64_t begun_ms)
{
	const struct pull_set *set = ctx;
	uint64_t bytes = 0, silence_ms = set->options->stall_ms;
	(void)begun_ms;

	if (silence_ms == 0)
		return UINT64_MAX;
	for (size_t i = 0; i < set->n; i++)
		bytes += set->pulls[i].stream.silent_bytes;
	uint64_t slowest_ms = bytes * 1000 / PULL_SLOWEST;
	return set->moved_ms + (slowest_ms > silence_ms ? slowest_ms : silence_ms);
}

/// An answer that is not 2xx. 404 is the registry's final answer on the image; 409 is no conflict
/// on this device, so it is a plain refusal here.
static lm_rc pull_fail_refused(const struct http_unix *h, struct lm_err *err)
{
	lm_rc rc = engine_answer_error(h, err);
	if (rc != LM_E_CONFLICT)
		return rc;
	if (err)
		err->rc = LM_E_REFUSED;
	return LM_E_REFUSED;
}

/// Podman has no closing line: the last thing complete is the image itself, by (the beginning of)
/// its id. An image of that id and that name is what was to be pulled, also if the answer was cut
/// off.
static bool is_what_is_complete(const struct pull_stream *s, const struct engine_image *image)
{
	struct lm_str id = lm_str(image->id ? image->id : "");

	(void)lm_str_cut(&id, ':');
	return strlen(s->complete_id) >= ID_SHORT && json_stream_at_boundary(&s->json) &&
	       lm_str_starts(id, lm_str(s->complete_id));
}

/// The answer is complete: is the image there, and what is its digest?
static lm_rc complete(struct pull *p, const struct http_unix *http, struct lm_err *err)
{
	const struct pull_set *set = p->set;
	lm_auto(engine_image_finish) struct engine_image image = {0};
	const char *digest = p->stream.digest;

	if (http_unix_status(http) / 100 != 2)
		return pull_fail_refused(http, err);
	lm_rc rc = pull_stream_end(&p->stream, err);
	if (!*digest && (rc == LM_OK || *p->stream.complete_id)) {
		struct lm_err why = {LM_OK};
		lm_rc found = engine_inspect_image(
			set->engine, set->items[p->item].image, set->limit, &image, &why);

		if (rc == LM_OK && found != LM_OK) {
			*err = why;
			rc = found;
		} else if (rc != LM_OK && found == LM_OK &&
			   is_what_is_complete(&p->stream, &image)) {
			rc = LM_OK;
		}
		digest = image.digest ? image.digest : "";
	}
	if (rc != LM_OK)
		return rc;
	report_progress(p, "done");
	if (set->options->on_done)
		set->options->on_done(set->options->ctx, p->item, digest);
	return LM_OK;
}

/// Whether a pull that has failed with what is in `err` is tried again: it was refused, and there
/// are other credentials now.
static bool try_again(struct pull *p, struct lm_err *err)
{
	bool lasted = lm_clock_mono_ms() - p->begun_ms >= LONG_TRY_MS;
	const struct lm_err refusal = *err;
	bool renewed = false;

	if (refusal.rc != LM_E_DENIED || (p->renewed && !lasted))
		return false;
	if (renew_credentials(p, &refusal, &renewed, err) != LM_OK)
		return false;
	p->renewed = renewed;
	*err = refusal;
	return renewed;
}

/// Records the failure of an item. Returns an error that cancels all pulls.
static lm_rc fail_item(struct pull_set *set, size_t index, struct lm_err *err)
{
	const struct pull_options *o = set->options;
	const struct pull_item *item = &set->items[index];

	if (err->rc == LM_E_CANCELLED)
		return err->rc;
	(void)!lm_wrap(err, "pull image %s", item->image);
	if (o->on_failed)
		o->on_failed(o->ctx, index, err);
	if (item->may_fail)
		return LM_OK;
	if (set->failed_n++ == 0)
		set->failure = *err;
	set->batch->draining = true;
	return LM_OK;
}

static lm_rc finish_pull(void *ctx, size_t i, const struct http_unix *http, uint64_t *ret_again_ms,
	struct lm_err *err)
{
	struct pull_set *set = ctx;
	struct pull *p = &set->pulls[i];
	lm_rc rc = err->rc;

	if (http && rc == LM_E_TIMEOUT)
		rc = lm_fail(err, rc, 0,
			"no progress for %llu s: is the registry reachable, and fast enough?",
			(unsigned long long)(lm_clock_mono_ms() - set->moved_ms) / 1000);
	else if (rc == LM_OK)
		rc = complete(p, http, err);
	pull_stream_finish(&p->stream);
	if (rc == LM_OK)
		return LM_OK;
	if (!http || !try_again(p, err))
		return fail_item(set, i, err);
	*ret_again_ms = 0;
	return LM_OK;
}

/// All pulls have finished.
static lm_rc sum_up_failures(const struct pull_set *set, struct lm_err *err)
{
	size_t others = set->failed_n - 1;

	if (set->failed_n == 0)
		return LM_OK;
	*err = set->failure;
	if (others == 0)
		return err->rc;
	return lm_fail(err, set->failure.rc, set->failure.sys, "%s; %zu other image%s failed too",
		set->failure.msg, others, others == 1 ? "" : "s");
}

lm_rc engine_pull(const struct engine *e, const struct pull_item *items, size_t n,
	const struct pull_options *options, const struct wait_limit *limit, struct lm_err *err)
{
	struct lm_err own;
	unsigned parallel = options->parallel;
	struct engine_batch batch = {.what = "pull images",
		.n = n,
		.parallel = parallel == 0 || parallel > LIMIT_PARALLEL_PULLS ? LIMIT_PARALLEL_PULLS
									     : parallel,
		.start = start_pull,
		.deadline_ms = stall_ms,
		.progress = note_progress,
		.finish = finish_pull};
	lm_auto(finish_set) struct pull_set set = {.engine = e,
		.items = items,
		.n = n,
		.options = options,
		.limit = limit,
		.batch = &batch,
		.pulls = lm_xcalloc(n + 1, sizeof(*set.pulls))};

	if (!err)
		err = &own;
	batch.ctx = &set;
	for (size_t i = 0; i < n; i++) {
		set.pulls[i].set = &set;
		set.pulls[i].item = i;
	}
	lm_rc rc = engine_batch_run(&batch, limit, err);
	return rc == LM_OK ? sum_up_failures(&set, err) : rc;
}
