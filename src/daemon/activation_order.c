// SPDX-License-Identifier: Apache-2.0
#include "daemon/activation_order.h"

#include "base/cleanup.h"
#include "sys/json.h"
#include "sys/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ORDER "activation.json"

enum {
	ORDER_MAX = 4096,
	CLOCK_SET_MS = 2000, ///< A clock that is only adjusted moves less.
};
static const int64_t CLOCK_UNSET_MS = 1704067200000; ///< 2024: a clock before has not been set.

struct activation_order activation_order_make(
	unsigned generation, bool now, int64_t wall_ms, uint64_t boot_ms, const char *boot_id)
{
	struct activation_order o = {
		.generation = generation, .now = now, .ordered_ms = wall_ms, .boot_ms = boot_ms};

	(void)snprintf(o.boot_id, sizeof(o.boot_id), "%s", boot_id);
	return o;
}

/// Whether it was given since the device has started.
static bool order_is_of_boot(
	const struct activation_order *o, uint64_t boot_ms, const char *boot_id)
{
	return *boot_id && strcmp(o->boot_id, boot_id) == 0 && o->boot_ms <= boot_ms;
}

uint64_t activation_order_age_ms(
	const struct activation_order *o, int64_t wall_ms, uint64_t boot_ms, const char *boot_id)
{
	int64_t age_ms = wall_ms - o->ordered_ms;

	if (order_is_of_boot(o, boot_ms, boot_id))
		return boot_ms - o->boot_ms;
	if (o->ordered_ms < CLOCK_UNSET_MS || age_ms < 0 || (uint64_t)age_ms < boot_ms)
		return boot_ms;
	return (uint64_t)age_ms;
}

bool activation_order_follow_clock(
	struct activation_order *o, int64_t wall_ms, uint64_t boot_ms, const char *boot_id)
{
	if (!order_is_of_boot(o, boot_ms, boot_id))
		return false;
	int64_t ordered_ms = wall_ms - (int64_t)(boot_ms - o->boot_ms);
	int64_t moved_ms = ordered_ms - o->ordered_ms;
	if (moved_ms > -CLOCK_SET_MS && moved_ms < CLOCK_SET_MS)
		return false;
	o->ordered_ms = ordered_ms;
	return true;
}

static lm_rc open_order_directory(const char *path, int *ret, struct lm_err *err)
{
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? lm_fail(err, LM_E_SYS, errno, "open '%s': %m", path) : LM_OK;
}

lm_rc activation_order_read(const char *state_directory, struct damage *damage,
	struct activation_order *ret, struct lm_err *err)
{
	static const char meaning[] = "the time of ActivateWithinSeconds starts over";
	lm_auto_close int dir = -1;
	lm_auto_json json_t *record = NULL;
	lm_rc rc = open_order_directory(state_directory, &dir, err);

	*ret = (struct activation_order){.generation = 0};
	if (rc || record_json_load(dir, ORDER, ORDER_MAX, meaning, damage, &record))
		return rc;
	int64_t generation = json_get_int(record, "generation", 0);
	int64_t boot_ms = json_get_int(record, "boot_ms", 0);
	const char *boot_id = json_get_text(record, "boot_id");
	if (generation <= 0 || generation > INT32_MAX || boot_ms < 0 || !boot_id) {
		(void)damage_report(damage, dir, ORDER, "'" ORDER "' is not complete", meaning);
		return LM_OK;
	}
	*ret = activation_order_make((unsigned)generation, json_get_bool(record, "now", false),
		json_get_int(record, "ordered_ms", 0), (uint64_t)boot_ms, boot_id);
	return LM_OK;
}

lm_rc activation_order_write(
	const char *state_directory, const struct activation_order *o, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_auto_json json_t *record = json_pack("{s:i, s:b, s:I, s:I, s:s}", "generation",
		(int)o->generation, "now", (int)o->now, "ordered_ms", (json_int_t)o->ordered_ms,
		"boot_ms", (json_int_t)o->boot_ms, "boot_id", o->boot_id);
	lm_rc rc = open_order_directory(state_directory, &dir, err);

	return rc ? rc : record_json_replace(dir, ORDER, ORDER_MAX, record, err);
}

lm_rc activation_order_forget(const char *state_directory, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	lm_rc rc = open_order_directory(state_directory, &dir, err);

	if (rc == LM_OK && unlinkat(dir, ORDER, 0) < 0 && errno != ENOENT)
		return lm_fail(err, LM_E_SYS, errno, "remove '%s/" ORDER "': %m", state_directory);
	return rc;
}
