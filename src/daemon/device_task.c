// SPDX-License-Identifier: Apache-2.0
#include "daemon/device_task.h"

#include <string.h>

enum {
	LIMIT_MS = 5 * 60 * 1000,
	DEVICE_MS = 3000, ///< More for each device: a small processor makes a key a second.
};

static enum own_task_urgency urgency_of(const char *action)
{
	if (strcmp(action, "remove") == 0)
		return OWN_TASK_URGENT;
	// The keys that it has made are stored.
	return strcmp(action, "prepare") == 0 ? OWN_TASK_YIELDS : OWN_TASK_IN_TURN;
}

struct own_task_spec device_task(const char *action, const struct group *group)
{
	json_t *document = json_pack("{s:s, s:s}", "job", "devices", "action", action);
	size_t devices = group ? group->devices_n : 0;

	json_object_set_new(document, "group", group ? group_to_json(group) : json_null());
	return (struct own_task_spec){.document = document,
		.urgency = urgency_of(action),
		.limit_ms = LIMIT_MS + devices * DEVICE_MS};
}
