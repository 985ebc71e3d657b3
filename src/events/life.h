// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The engine's words for the state of a container.

#include <stdbool.h>

enum life {
	LIFE_CREATED,
	LIFE_RUNNING,
	LIFE_PAUSED,
	LIFE_RESTARTING,
	LIFE_REMOVING,
	LIFE_EXITED,
	LIFE_DEAD,
};
enum { LIVES = LIFE_DEAD + 1 };

const char *life_word(enum life life);
/// A word that is none of them is LIFE_CREATED.
enum life life_from_word(const char *word);
/// Its process is there.
bool life_is_up(enum life life);
