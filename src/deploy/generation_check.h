// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Looks at every file of a generation when the store is opened. What is damaged is set aside, and
/// what that means is noted. Used by the store only.

#include "sys/damage.h"

#include <stdbool.h>

struct generation_facts {
	unsigned n;     ///< 0: its folder cannot be opened, and was set aside.
	bool empty;     ///< It has neither a definition nor an outcome, nor ever had: half removed.
	bool usable;    ///< Its definition can be read, or may be later: it can be deployed.
	bool ended;     ///< It has an outcome.
	bool good;      ///< It was deployed with success once;
	bool probation; ///< that success was on probation.
	bool quarantined;
	unsigned reported; ///< The last attempt that is known to be reported; 0: none.
};

/// All files but compose.yml.
struct generation_facts generation_check(int generations_fd, unsigned n, struct damage *d);
/// compose.yml, by the outcome, once all that follows the outcome is done.
void generation_check_compose(int generations_fd, unsigned n, struct damage *d);
/// Removes folders that were set aside, but for the few newest.
void generation_check_limit(int generations_fd, struct damage *d);
