// SPDX-License-Identifier: Apache-2.0
#include "worker/image_check.h"

#include "base/clock.h"
#include "base/memory.h"
#include "docker/engine_images.h"
#include "docker/image_export.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/statvfs.h>

enum {
	MIB = 1 << 20,
	SPARE_MB = 64, ///< Stay free while the Engine exports an image to its own disk.
	/// Gently, it rests as long as it works, after so many bytes.
	PACE_BYTES = 1 << 20,
	/// The Engine reports an image's size unpacked, or, with containerd's image store, some
	/// releases, as it is compressed, which for a real image is not a tenth of it. What is far
	/// above that is made to exhaust who unpacks it: gzip packs a thousand zeros into a byte,
	/// zstd many more.
	UNPACKED_RATIO = 100,
};

/// For small images, which may be nearly all zeros.
static const uint64_t UNPACKED_MIN = (uint64_t)16 << 30;

/// No image has it: stands for that of an image that the Engine does not find.
static const char NO_ID[] =
	"sha256:0000000000000000000000000000000000000000000000000000000000000000";

const char *image_found_name(enum image_found found)
{
	static const char *const names[] = {[IMAGE_FOUND_OK] = "ok",
		[IMAGE_FOUND_DAMAGED] = "damaged",
		[IMAGE_FOUND_MISSING] = "missing",
		[IMAGE_FOUND_UNREADABLE] = "unreadable"};

	return names[found];
}

void image_finding_finish(struct image_finding *finding)
{
	free(finding->id);
	free(finding->platform);
	*finding = (struct image_finding){0};
}

struct image_reading {
	const struct image_check *check;
	struct image_archive *archive;
	struct image_finding *finding;
	uint64_t pace_bytes, pace_ms; ///< Since the last rest.
};

static void conclude(struct image_finding *f, enum image_found found, const char *why)
{
	f->found = found;
	(void)snprintf(f->verdict.why, sizeof(f->verdict.why), "%s", why);
}

static lm_rc rest_now_and_then(struct image_reading *r, size_t n, struct lm_err *err)
{
	uint64_t now = lm_clock_mono_ms();

	r->pace_bytes += n;
	if (!r->check->is_gentle || r->pace_bytes < PACE_BYTES)
		return LM_OK;
	lm_rc rc = wait_ms(now - r->pace_ms, r->check->limit, err);
	r->pace_bytes = 0;
	r->pace_ms = lm_clock_mono_ms();
	return rc;
}

static lm_rc on_archive_piece(void *ctx, struct lm_str piece, struct lm_err *err)
{
	struct image_reading *r = ctx;
	lm_rc rc = image_archive_feed(r->archive, piece, err);

	r->finding->bytes += piece.n;
	return rc ? rc : rest_now_and_then(r, piece.n, err);
}

/// The Engine with storage drivers of its own writes an archive to its disk before it sends it. A
/// disk that was filled would do more damage than is looked for.
static bool has_room_for_export(
	const struct image_check *check, uint64_t size, struct image_finding *f)
{
	const char *root = check->facts->root_directory;
	uint64_t reserve_mb = check->reserve_mb > SPARE_MB ? check->reserve_mb : SPARE_MB;
	struct statvfs fs;

	if (check->facts->has_containerd_store || statvfs(root, &fs) < 0)
		return true;
	uint64_t free_mb = (uint64_t)fs.f_bavail * fs.f_frsize / MIB;
	uint64_t needed_mb = size / MIB + 1 + reserve_mb;
	if (free_mb >= needed_mb)
		return true;
	lm_auto_free char *why = lm_xasprintf(
		"the Docker daemon exports it to '%s' to read it, which needs %" PRIu64
		" MB there, with a reserve; %" PRIu64 " MB are free: free disk space there",
		root, needed_mb, free_mb);
	conclude(f, IMAGE_FOUND_UNREADABLE, why);
	return false;
}

static void judge_archive(struct image_reading *r)
{
	struct image_finding *f = r->finding;
	struct lm_err why = {LM_OK};

	if (image_archive_end(r->archive, &f->verdict, &why))
		conclude(f, IMAGE_FOUND_UNREADABLE, why.msg);
	else
		f->found = f->verdict.is_sound ? IMAGE_FOUND_OK : IMAGE_FOUND_DAMAGED;
}

static lm_rc read_exported(struct image_reading *r, const char *name, struct lm_err *err)
{
	enum image_export_state state = IMAGE_UNREADABLE;
	struct lm_err why = {LM_OK};
	lm_rc rc = image_export(
		r->check->engine, name, on_archive_piece, r, r->check->limit, &state, &why);

	if (rc == LM_E_CANCELLED) {
		*err = why;
		return rc;
	}
	if (rc) // what came is no archive
		state = IMAGE_UNREADABLE;
	switch (state) {
	case IMAGE_EXPORTED:
		judge_archive(r);
		break;
	case IMAGE_BROKEN:
		conclude(r->finding, IMAGE_FOUND_DAMAGED, why.msg);
		break;
	case IMAGE_MISSING:
		conclude(r->finding, IMAGE_FOUND_MISSING, why.msg);
		break;
	case IMAGE_UNREADABLE:
		conclude(r->finding, IMAGE_FOUND_UNREADABLE, why.msg);
		break;
	}
	return LM_OK;
}

static uint64_t unpacked_max(uint64_t size)
{
	return size > (UINT64_MAX - UNPACKED_MIN) / UNPACKED_RATIO
		       ? UINT64_MAX
		       : UNPACKED_MIN + size * UNPACKED_RATIO;
}

/// An image without a configuration that can be read is not there for the Engine, until it is
/// exported: then it names the reason.
static lm_rc find_and_read(
	struct image_reading *r, const char *ref, const char *id, struct lm_err *err)
{
	lm_auto(engine_image_finish) struct engine_image image = {0};
	struct image_finding *f = r->finding;
	struct lm_err why = {LM_OK};
	const char *name = id ? id : ref;
	lm_rc rc = engine_inspect_image(r->check->engine, name, r->check->limit, &image, &why);

	if (rc == LM_E_CANCELLED) {
		*err = why;
		return rc;
	}
	if (rc && rc != LM_E_NOT_FOUND) {
		conclude(f, IMAGE_FOUND_UNREADABLE, why.msg);
		return LM_OK;
	}
	f->id = id ? lm_xstrdup(id) : lm_take(image.id);
	f->platform = image.platform && *image.platform ? lm_take(image.platform) : NULL;
	if (!has_room_for_export(r->check, image.size, f))
		return LM_OK;
	if (image_archive_create(
		    f->id ? f->id : NO_ID, unpacked_max(image.size), &r->archive, &why)) {
		conclude(f, IMAGE_FOUND_UNREADABLE, why.msg);
		return LM_OK;
	}
	rc = read_exported(r, name, err);
	image_archive_destroy(lm_take(r->archive));
	return rc;
}

lm_rc image_check(const struct image_check *check, const char *ref, const char *id,
	struct image_finding *ret, struct lm_err *err)
{
	lm_auto(image_finding_finish) struct image_finding f = {0};
	uint64_t began_ms = lm_clock_mono_ms();
	struct image_reading reading = {.check = check, .finding = &f, .pace_ms = began_ms};
	lm_rc rc = find_and_read(&reading, ref, id, err);

	if (rc)
		return rc;
	f.ms = lm_clock_mono_ms() - began_ms;
	*ret = f;
	f = (struct image_finding){0};
	return LM_OK;
}
