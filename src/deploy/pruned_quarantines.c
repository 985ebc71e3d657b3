// SPDX-License-Identifier: Apache-2.0
#include "deploy/pruned_quarantines.h"

#include "base/digest.h"
#include "base/memory.h"
#include "deploy/generation_folder.h"

#include <stdio.h>
#include <string.h>

enum { REASON_MAX = 1000 }; ///< Of so many, each in so few bytes that all fit.

lm_rc pruned_quarantines_read(int root_fd, json_t **ret, struct lm_err *err)
{
	return generation_object_read(root_fd, PRUNED_QUARANTINES, ret, err);
}

static unsigned pruned_generation(const json_t *entry)
{
	return (unsigned)json_get_int(entry, "generation", 0);
}

/// As pruned_quarantines_read; `*ret_entry` is borrowed from it, NULL: there is none.
static lm_rc read_entry(int root_fd, struct lm_str definition, char key[LM_SHA256_HEX + 1],
	json_t **ret, json_t **ret_entry, struct lm_err *err)
{
	lm_rc rc = pruned_quarantines_read(root_fd, ret, err);

	lm_sha256_hex(definition, key);
	*ret_entry = rc ? NULL : json_object_get(*ret, key);
	return rc;
}

lm_rc pruned_quarantines_find(int root_fd, struct lm_str definition, unsigned *ret_n,
	char **ret_reason, struct lm_err *err)
{
	lm_auto_json json_t *all = NULL;
	char key[LM_SHA256_HEX + 1];
	json_t *entry = NULL;
	lm_rc rc = read_entry(root_fd, definition, key, &all, &entry, err);

	if (rc)
		return rc;
	if (!entry)
		return lm_fail(err, LM_E_NOT_FOUND, 0, "it is in no quarantine");
	const char *reason = json_get_text(entry, "reason");
	*ret_n = pruned_generation(entry);
	*ret_reason = lm_xstrdup(reason ? reason : "the record of the reason is damaged");
	return LM_OK;
}

static void forget_oldest_quarantine(json_t *all)
{
	const char *key, *oldest = NULL;
	unsigned first = 0;
	json_t *entry;

	if (json_object_size(all) < PRUNED_QUARANTINES_MAX)
		return;
	json_object_foreach(all, key, entry)
	{
		if (!oldest || pruned_generation(entry) < first) {
			oldest = key;
			first = pruned_generation(entry);
		}
	}
	(void)json_object_del(all, oldest);
}

lm_rc pruned_quarantines_keep(int root_fd, struct lm_str definition, unsigned n, const char *reason,
	int64_t at_ms, struct lm_err *err)
{
	lm_auto_json json_t *all = NULL;
	char key[LM_SHA256_HEX + 1], shortened[REASON_MAX + 1];
	json_t *entry = NULL;
	lm_rc rc = read_entry(root_fd, definition, key, &all, &entry, err);

	if (rc || pruned_generation(entry) >= n)
		return rc;
	(void)snprintf(shortened, sizeof(shortened), "%s", reason);
	if (!entry)
		forget_oldest_quarantine(all);
	json_object_set_new(all, key,
		json_pack("{s:i, s:o, s:I}", "generation", (int)n, "reason",
			json_from_text(shortened), "at_ms", (json_int_t)at_ms));
	return generation_json_replace(root_fd, PRUNED_QUARANTINES, all, err);
}

lm_rc pruned_quarantines_forget(
	int root_fd, struct lm_str definition, unsigned n, struct lm_err *err)
{
	lm_auto_json json_t *all = NULL;
	char key[LM_SHA256_HEX + 1];
	json_t *entry = NULL;
	lm_rc rc = read_entry(root_fd, definition, key, &all, &entry, err);

	if (rc || !entry || pruned_generation(entry) > n)
		return rc;
	(void)json_object_del(all, key);
	return generation_json_replace(root_fd, PRUNED_QUARANTINES, all, err);
}
