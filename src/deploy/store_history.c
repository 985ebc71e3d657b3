// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "deploy/store_priv.h"

#include <stdlib.h>

lm_rc store_list(struct store *s, unsigned **ret, size_t *ret_count, struct lm_err *err)
{
	unsigned *numbers = NULL;
	size_t count = 0;
	lm_rc rc = store_numbers(s, &numbers, &count, err);

	if (rc)
		return rc;
	for (size_t i = 0; i < count / 2; i++) {
		unsigned n = numbers[i];

		numbers[i] = numbers[count - 1 - i];
		numbers[count - 1 - i] = n;
	}
	*ret = numbers;
	*ret_count = count;
	return LM_OK;
}

static lm_rc read_text(
	struct store *s, unsigned n, const char *name, size_t max, char **ret, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_auto_buf struct lm_buf text = LM_BUF(max);
	lm_rc rc = store_open_generation(s, n, &fd, err);

	if (rc)
		return rc;
	rc = store_file_read(fd, name, &text, err);
	if (rc)
		return lm_wrap(err, "generation %u", n);
	*ret = lm_buf_take(&text);
	return LM_OK;
}

lm_rc store_read_outcome(struct store *s, unsigned n, char **ret, struct lm_err *err)
{
	return read_text(s, n, STORE_OUTCOME, STORE_OUTCOME_MAX, ret, err);
}

lm_rc store_read_definition(struct store *s, unsigned n, char **ret, struct lm_err *err)
{
	return read_text(s, n, STORE_DEFINITION, LIMIT_GROUP_FILE, ret, err);
}

lm_rc store_read_compose(struct store *s, unsigned n, int *ret_fd, struct lm_err *err)
{
	lm_auto_close int fd = -1;
	lm_rc rc = store_open_generation(s, n, &fd, err);

	if (rc)
		return rc;
	rc = store_file_open(fd, STORE_COMPOSE, ret_fd, err);
	return rc ? lm_wrap(err, "generation %u", n) : LM_OK;
}

static bool is_message_of(const struct store_message *messages, size_t count, unsigned n)
{
	for (size_t i = 0; i < count; i++)
		if (messages[i].generation == n)
			return true;
	return false;
}

lm_rc store_prune(struct store *s, unsigned keep, struct lm_err *err)
{
	const struct store_state *state = &s->state;
	lm_auto_free unsigned *numbers = NULL;
	lm_auto_free struct store_message *messages = NULL;
	size_t count = 0, unreported = 0;
	lm_rc rc = store_list(s, &numbers, &count, err);

	if (rc == LM_OK)
		rc = store_unreported(s, &messages, &unreported, err);
	for (size_t i = keep > 0 ? keep : 1; i < count && rc == LM_OK; i++) {
		unsigned n = numbers[i];

		if (n != state->current && n != state->last_good && n != state->open &&
			n != state->wanted.generation && n != state->before.generation &&
			!is_message_of(messages, unreported, n))
			rc = store_discard(s, n, err);
	}
	return rc ? lm_wrap(err, "remove old generations") : LM_OK;
}
