// SPDX-License-Identifier: Apache-2.0
#include "events/life.h"

#include <stddef.h>
#include <string.h>

static const char *const WORDS[LIVES] = {
	[LIFE_CREATED] = "created",
	[LIFE_RUNNING] = "running",
	[LIFE_PAUSED] = "paused",
	[LIFE_RESTARTING] = "restarting",
	[LIFE_REMOVING] = "removing",
	[LIFE_EXITED] = "exited",
	[LIFE_DEAD] = "dead",
};

const char *life_word(enum life life)
{
	return WORDS[life];
}

enum life life_from_word(const char *word)
{
	for (size_t i = 0; i < LIVES; i++)
		if (strcmp(WORDS[i], word) == 0)
			return (enum life)i;
	return LIFE_CREATED;
}

bool life_is_up(enum life life)
{
	return life == LIFE_RUNNING || life == LIFE_PAUSED;
}
