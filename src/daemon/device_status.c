// SPDX-License-Identifier: Apache-2.0
#include "daemon/device_status.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/file.h"
#include "base/limits.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

json_t *device_status_parse(struct lm_str text, pid_t pid)
{
	lm_auto_json json_t *status = NULL;
	struct lm_err ignored; // the broker is shown without

	if (json_count(text) > LIMIT_DEVICE_STATUS_VALUES ||
		json_parse(text, &status, &ignored) != LM_OK ||
		json_get_int(status, "format", 0) != 1 || json_get_int(status, "pid", 0) != pid)
		return NULL;
	return lm_take(status);
}

json_t *device_status_read(const char *path, pid_t pid)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_DEVICE_STATUS);
	struct lm_err ignored; // the broker is shown without
	struct stat st;
	// O_NONBLOCK: a FIFO of that name must not hold us up.
	lm_auto_close int fd =
		pid > 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK) : -1;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
		st.st_size > LIMIT_DEVICE_STATUS ||
		lm_fd_read_all(fd, path, &text, &ignored) != LM_OK)
		return NULL;
	return device_status_parse(lm_buf_str(&text), pid);
}

uint64_t device_status_count(const json_t *status, const char *group, const char *key)
{
	const json_t *object = group ? json_object_get(status, group) : status;
	int64_t n = json_is_object(object) ? json_get_int(object, key, 0) : 0;

	return n > 0 ? (uint64_t)n : 0;
}

size_t device_status_connected(const json_t *status)
{
	size_t n = json_array_size(json_object_get(status, "connected"));

	return n < LIMIT_DEVICES + LIMIT_SUBSCRIPTIONS ? n : LIMIT_DEVICES + LIMIT_SUBSCRIPTIONS;
}

bool device_status_is_connected(const json_t *status, const char *name)
{
	const json_t *connected = json_object_get(status, "connected");
	size_t i;
	json_t *item;

	json_array_foreach(connected, i, item)
	{
		if (json_is_string(item) && strcmp(json_string_value(item), name) == 0)
			return true;
	}
	return false;
}

int device_status_cloud(const json_t *status)
{
	const json_t *connected = json_object_get(json_object_get(status, "cloud"), "connected");

	return json_is_boolean(connected) ? json_is_true(connected) : -1;
}

static json_t *show_counts(const json_t *object, const char *const *keys, size_t n)
{
	json_t *shown = json_object();

	for (size_t i = 0; i < n; i++)
		json_object_set_new(shown, keys[i],
			json_integer((json_int_t)device_status_count(object, NULL, keys[i])));
	return shown;
}

static json_t *show_cloud(const json_t *status)
{
	static const char *const keys[] = {
		"sent", "received", "refused", "sync_conflicts", "sync_failing"};
	const json_t *cloud = json_object_get(status, "cloud");
	int connected = device_status_cloud(status);

	if (!json_is_object(cloud))
		return json_null();
	json_t *shown = show_counts(cloud, keys, LM_ARRAY_SIZE(keys));
	json_object_set_new(
		shown, "connected", connected < 0 ? json_null() : json_boolean(connected));
	return shown;
}

static json_t *show_shadows(const json_t *status)
{
	static const char *const keys[] = {"updates", "rejected"};
	const json_t *shadows = json_object_get(status, "shadows");
	const char *error = json_get_text(shadows, "error");

	if (!json_is_object(shadows))
		return json_null();
	json_t *shown = show_counts(shadows, keys, LM_ARRAY_SIZE(keys));
	json_object_set_new(shown, "error", error ? json_string(error) : json_null());
	return shown;
}

static json_t *show_clients(const json_t *status)
{
	static const char *const keys[] = {"since_ms", "routed", "refused"};
	json_t *clients = json_array();
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(status, "clients"), i, item)
	{
		const char *name = json_get_text(item, "name");

		if (!name)
			continue;
		json_t *client = show_counts(item, keys, LM_ARRAY_SIZE(keys));
		json_object_set_new(client, "name", json_string(name));
		json_object_set_new(
			client, "connected", json_boolean(json_get_bool(item, "connected", false)));
		json_array_append_new(clients, client);
	}
	return clients;
}

void device_status_show(const json_t *status, json_t *answer)
{
	static const char *const counts[] = {
		"routed", "delivered", "refused", "refused_connections"};
	const char *table_error = json_get_text(status, "table_error");

	json_object_set_new(
		answer, "connected", json_integer((json_int_t)device_status_connected(status)));
	for (size_t i = 0; i < LM_ARRAY_SIZE(counts); i++)
		json_object_set_new(answer, counts[i],
			json_integer((json_int_t)device_status_count(status, NULL, counts[i])));
	json_object_set_new(
		answer, "table_error", table_error ? json_string(table_error) : json_null());
	json_object_set_new(answer, "shadows", show_shadows(status));
	json_object_set_new(answer, "cloud", show_cloud(status));
	json_object_set_new(answer, "clients", show_clients(status));
}
