// SPDX-License-Identifier: Apache-2.0
#include "daemon/quarantine.h"

#include "base/log.h"
#include "base/memory.h"

#include <assert.h>
#include <stdint.h>
#include <stdlib.h>

/// A generation and why it is quarantined, or was.
struct quarantine_entry {
	unsigned generation; ///< 0: none.
	char *reason;
};

struct quarantine {
	struct store *store;
	struct quarantine_entry owed;   ///< Not on disk yet.
	struct quarantine_entry lifted; ///< The last one.
};

struct quarantine *quarantine_create(struct store *store)
{
	struct quarantine *q = lm_xcalloc(1, sizeof(*q));

	q->store = store;
	return q;
}

/// Takes over `reason`.
static void set_entry(struct quarantine_entry *entry, unsigned n, char *reason)
{
	free(entry->reason);
	*entry = (struct quarantine_entry){n, reason};
}

void quarantine_destroy(struct quarantine *q)
{
	if (!q)
		return;
	set_entry(&q->owed, 0, NULL);
	set_entry(&q->lifted, 0, NULL);
	free(q);
}

bool quarantine_has(struct quarantine *q, unsigned n, char **ret_reason)
{
	lm_auto_free char *reason = NULL;
	int64_t at_ms = 0;
	struct lm_err ignored; // it is not

	if (n == 0)
		return false;
	if (n == q->owed.generation)
		reason = lm_xstrdup(q->owed.reason);
	else if (store_read_quarantine(q->store, n, &reason, &at_ms, &ignored))
		return false;
	if (ret_reason)
		*ret_reason = lm_take(reason);
	return true;
}

unsigned quarantine_find(struct quarantine *q, struct lm_str definition, char **ret_reason)
{
	lm_auto_free char *reason = NULL;
	unsigned n = 0;
	struct lm_err ignored; // it is not, or that is not on disk yet

	if (store_find_quarantined(q->store, definition, &n, &reason, &ignored))
		return quarantine_has(q, n, ret_reason) ? n : 0;
	if (ret_reason)
		*ret_reason = lm_take(reason);
	return n;
}

void quarantine_add(
	struct quarantine *q, unsigned n, enum lifecycle_quarantine why, const char *failure)
{
	const char *reason = why == QUARANTINE_BY_PERSON ? "rolled back by a person"
			     : why == QUARANTINE_AS_BEFORE && q->lifted.generation == n
				     ? q->lifted.reason
				     : failure;

	assert(n != 0);
	if (q->owed.generation == n)
		return;
	set_entry(&q->owed, n, lm_xstrdup(reason ? reason : "it failed"));
	lm_warn("generation %u is quarantined, until a person deploys its definition again: %s", n,
		q->owed.reason);
}

bool quarantine_is_owed(const struct quarantine *q)
{
	return q->owed.generation != 0;
}

lm_rc quarantine_write(struct quarantine *q, struct lm_err *err)
{
	unsigned n = q->owed.generation;

	if (n == 0)
		return LM_OK;
	lm_rc rc = store_quarantine(q->store, n, q->owed.reason, err);
	if (rc && rc != LM_E_NOT_FOUND) // one that is gone is not tried again either
		return lm_wrap(err, "quarantine generation %u", n);
	set_entry(&q->owed, 0, NULL);
	return LM_OK;
}

void quarantine_lift(struct quarantine *q, unsigned n)
{
	char *reason = NULL;
	struct lm_err err = {LM_OK};

	(void)quarantine_has(q, n, &reason);
	set_entry(&q->lifted, n, reason);
	if (q->owed.generation == n)
		set_entry(&q->owed, 0, NULL);
	if (store_lift(q->store, n, &err))
		lm_error("%s", err.msg); // nor can it be begun then
}
