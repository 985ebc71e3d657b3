// SPDX-License-Identifier: Apache-2.0
#include "daemon/loggers.h"

#include "daemon/connector_log.h"

#include <string.h>

/// FATAL, which nothing of ours is, lets errors through.
static enum lm_level level_of(const char *name)
{
	for (enum lm_level level = LM_DEBUG; level <= LM_ERROR; level++) {
		if (strcmp(lm_level_name(level), name) == 0)
			return level;
	}
	return LM_ERROR;
}

struct loggers loggers_read(const struct group_logger *items, size_t n)
{
	struct loggers found = {{.on = false}, {.on = false}};

	for (size_t i = 0; i < n; i++) {
		bool is_cloud = strcmp(items[i].type, "AWSCloudWatch") == 0;

		if (strcmp(items[i].component, "Lambda") == 0)
			*(is_cloud ? &found.cloud : &found.file) =
				(struct logger){true, level_of(items[i].level), items[i].space_kb};
	}
	if (!found.file.on && !found.cloud.on)
		found.file = (struct logger){true, LM_INFO, CONNECTOR_LOG_SPACE_KB};
	return found;
}
