// SPDX-License-Identifier: Apache-2.0
#include "worker/task.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"

static void task_fallback_finish(struct task_fallback *f)
{
	for (size_t i = 0; i < f->copies_n; i++) {
		free(f->copies[i].sha256);
		free(f->copies[i].version);
	}
	free(f->copies);
	for (size_t i = 0; i < f->images_n; i++) {
		free(f->images[i].name);
		free(f->images[i].id);
	}
	free(f->images);
	free(f->start_version);
	*f = (struct task_fallback){0};
}

static void task_released_finish(struct task_released *released)
{
	for (size_t i = 0; i < released->names_n; i++)
		free(released->names[i]);
	free(released->names);
	free(released->id);
}

void task_finish(struct task *task)
{
	task_fallback_finish(&task->fallback);
	for (size_t i = 0; i < task->released_n; i++)
		task_released_finish(&task->released[i]);
	free(task->released);
	group_destroy(task->group);
	host_finish(&task->host);
	free(task->credentials_directory);
	free(task->compose_stamp);
	free(task->compose_version);
	free(task->previous_destination);
	free(task->device.name);
	free(task->device.csr);
	free(task->device.certificate);
	json_decref(task->kept);
	for (size_t i = 0; i < task->subjects_n; i++) {
		free(task->subjects[i].ref);
		free(task->subjects[i].id);
		free(task->subjects[i].digest);
		free(task->subjects[i].platform);
		json_decref(task->subjects[i].names);
	}
	free(task->subjects);
	*task = (struct task){0};
}

static lm_rc read_kind(const json_t *document, enum task_kind *ret, struct lm_err *err)
{
	static const char *const names[] = {[TASK_DEPLOY] = "deploy",
		[TASK_DOWN] = "down",
		[TASK_CHECK] = "check",
		[TASK_PLAN] = "plan",
		[TASK_SHIP_LOGS] = "ship-logs",
		[TASK_DEVICES] = "devices",
		[TASK_PRUNE_IMAGES] = "prune-images",
		[TASK_VERIFY] = "verify",
		[TASK_REPLACE_IMAGES] = "replace-images",
		[TASK_VOLUMES] = "volumes"};
	const char *name = json_get_text(document, "job");

	for (unsigned i = 0; name && i < LM_ARRAY_SIZE(names); i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		*ret = (enum task_kind)i;
		return LM_OK;
	}
	char shown[4 * 40 + 32];
	return lm_fail(err, LM_E_PROTOCOL, 0, "unknown task '%s'",
		lm_str_shorten(lm_str(name ? name : ""), 40, shown, sizeof(shown)));
}

static lm_rc read_directory(const json_t *document, char **ret, struct lm_err *err)
{
	const char *path = json_get_text(document, "credentials_directory");

	if (!path || !lm_path_is_absolute(lm_str(path)))
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "credentials_directory must be an absolute path");
	*ret = lm_xstrdup(path);
	return LM_OK;
}

static lm_rc read_compose(const json_t *document, struct task *task, struct lm_err *err)
{
	const json_t *compose = json_object_get(document, "compose");
	const char *stamp = json_get_text(compose, "stamp");
	const char *version = json_get_text(compose, "version");

	if (!compose || json_is_null(compose))
		return LM_OK;
	if (!stamp || !version)
		return lm_fail(err, LM_E_PROTOCOL, 0, "compose must have a stamp and a version");
	task->compose_stamp = lm_xstrdup(stamp);
	task->compose_version = lm_xstrdup(version);
	return LM_OK;
}

static lm_rc read_copies(const json_t *copies, struct task_fallback *ret, struct lm_err *err)
{
	size_t i;
	json_t *copy;

	ret->copies = lm_xcalloc(json_array_size(copies) + 1, sizeof(*ret->copies));
	json_array_foreach(copies, i, copy)
	{
		const char *sha256 = json_get_text(copy, "sha256");
		const char *version = json_get_text(copy, "version");

		if (!sha256 || !version)
			return lm_fail(err, LM_E_PROTOCOL, 0,
				"a copy in fallback must have a sha256 and a version");
		ret->copies[ret->copies_n++] = (struct task_copy){
			.sha256 = lm_xstrdup(sha256), .version = lm_xstrdup(version)};
	}
	return LM_OK;
}

/// Earlier releases recorded no ID.
static void read_images(json_t *images, struct task_fallback *ret)
{
	const char *name;
	json_t *image;

	ret->images = lm_xcalloc(json_object_size(images) + 1, sizeof(*ret->images));
	json_object_foreach(images, name, image)
	{
		const char *id = json_get_text(image, "id");

		if (id && *id)
			ret->images[ret->images_n++] =
				(struct task_image){lm_xstrdup(name), lm_xstrdup(id)};
	}
}

static lm_rc read_fallback(const json_t *document, struct task_fallback *ret, struct lm_err *err)
{
	const json_t *fallback = json_object_get(document, "fallback");
	const json_t *start = json_object_get(fallback, "start");
	const char *version = json_get_text(start, "version");

	if (!fallback || json_is_null(fallback))
		return LM_OK;
	ret->placed = json_get_bool(fallback, "placed", true);
	ret->restores = json_get_bool(fallback, "restores", false);
	ret->keeps = json_get_bool(fallback, "keeps", false);
	ret->is_start = json_is_object(start);
	ret->start_version = version ? lm_xstrdup(version) : NULL;
	read_images(json_object_get(fallback, "images"), ret);
	return read_copies(json_object_get(fallback, "copies"), ret, err);
}

static void read_names(const json_t *names, struct task_released *ret)
{
	size_t i;
	json_t *name;

	ret->names = lm_xcalloc(json_array_size(names) + 1, sizeof(*ret->names));
	json_array_foreach(names, i, name)
	{
		if (json_is_string(name))
			ret->names[ret->names_n++] = lm_xstrdup(json_string_value(name));
	}
}

static lm_rc read_released(const json_t *document, struct task *task, struct lm_err *err)
{
	const json_t *list = json_object_get(document, "released");
	size_t i;
	json_t *image;

	task->released = lm_xcalloc(json_array_size(list) + 1, sizeof(*task->released));
	json_array_foreach(list, i, image)
	{
		const char *id = json_get_text(image, "id");
		struct task_released *released = &task->released[task->released_n];

		if (!id)
			return lm_fail(err, LM_E_PROTOCOL, 0, "a released image must have an id");
		task->released_n++;
		released->id = lm_xstrdup(id);
		read_names(json_object_get(image, "names"), released);
	}
	return LM_OK;
}

static lm_rc read_previous_destination(const json_t *document, char **ret, struct lm_err *err)
{
	const json_t *previous = json_object_get(document, "previous");
	const char *path = json_get_text(previous, "destination");

	if (!previous || json_is_null(previous))
		return LM_OK;
	if (!path || !lm_path_is_absolute(lm_str(path)))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"previous must have a destination, which must be an absolute path");
	*ret = lm_xstrdup(path);
	return LM_OK;
}

static lm_rc read_devices_action(
	const json_t *document, enum devices_action *ret, struct lm_err *err)
{
	static const char *const names[] = {[DEVICES_PREPARE] = "prepare",
		[DEVICES_APPLY] = "apply",
		[DEVICES_ADD] = "add",
		[DEVICES_LIST] = "list",
		[DEVICES_REMOVE] = "remove"};
	const char *name = json_get_text(document, "action");

	for (unsigned i = 0; name && i < LM_ARRAY_SIZE(names); i++) {
		if (strcmp(name, names[i]) != 0)
			continue;
		*ret = (enum devices_action)i;
		return LM_OK;
	}
	return lm_fail(err, LM_E_PROTOCOL, 0, "action must be prepare, apply, add, list or remove");
}

static char *copy_member(const json_t *document, const char *key)
{
	const char *text = json_get_text(document, key);

	return text ? lm_xstrdup(text) : NULL;
}

static lm_rc read_device_request(
	const json_t *document, struct task_device *ret, struct lm_err *err)
{
	lm_rc rc = read_devices_action(document, &ret->action, err);

	if (rc)
		return rc;
	ret->name = copy_member(document, "name");
	ret->csr = copy_member(document, "csr");
	ret->certificate = copy_member(document, "certificate");
	if ((ret->action == DEVICES_ADD || ret->action == DEVICES_REMOVE) && !ret->name)
		return lm_fail(err, LM_E_PROTOCOL, 0, "name must be a text");
	if (ret->csr && ret->certificate)
		return lm_fail(err, LM_E_PROTOCOL, 0, "csr and certificate exclude each other");
	return LM_OK;
}

static lm_rc read_subjects(const json_t *images, struct task *task, struct lm_err *err)
{
	size_t i;
	json_t *image;

	if (!json_is_array(images) || json_array_size(images) > LIMIT_LOCAL_IMAGES)
		return lm_fail(err, LM_E_PROTOCOL, 0, "images must be a list of at most %d images",
			LIMIT_LOCAL_IMAGES);
	task->subjects = lm_xcalloc(json_array_size(images) + 1, sizeof(*task->subjects));
	json_array_foreach(images, i, image)
	{
		const char *id = json_get_text(image, "id");
		const char *ref = json_get_text(image, "image");
		const char *digest = json_get_text(image, "digest");
		const char *platform = json_get_text(image, "platform");
		json_t *names = json_object_get(image, "names");
		int64_t layer = json_get_int(image, "layer", 0);

		if (!ref)
			return lm_fail(err, LM_E_PROTOCOL, 0, "an image must have a name");
		if (!id && task->kind == TASK_REPLACE_IMAGES)
			return lm_fail(err, LM_E_PROTOCOL, 0, "an image must have an ID");
		task->subjects[task->subjects_n++] = (struct task_subject){.ref = lm_xstrdup(ref),
			.id = id ? lm_xstrdup(id) : NULL,
			.digest = digest && *digest ? lm_xstrdup(digest) : NULL,
			.layer = layer > 0 && layer <= LIMIT_LAYERS ? (unsigned)layer : 0,
			.platform = platform ? lm_xstrdup(platform) : NULL,
			.names = json_is_object(names) ? json_incref(names) : NULL};
	}
	return LM_OK;
}

static bool read_u32(const json_t *document, const char *key, uint32_t max, uint32_t *ret)
{
	int64_t value = json_get_int(document, key, -1);

	*ret = (uint32_t)value;
	return value >= 0 && value <= max;
}

static lm_rc read_volumes_request(
	const json_t *document, struct task_volumes *ret, struct lm_err *err)
{
	static const char *const names[] = {[VOLUMES_MEASURE] = "measure",
		[VOLUMES_COPY] = "copy",
		[VOLUMES_START] = "start",
		[VOLUMES_CLEAN] = "clean"};
	const char *name = json_get_text(document, "action");
	unsigned i = 0;

	while (name && i < LM_ARRAY_SIZE(names) && strcmp(name, names[i]) != 0)
		i++;
	if (!name || i == LM_ARRAY_SIZE(names))
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "action must be measure, copy, start or clean");
	ret->action = (enum volumes_action)i;
	if (!read_u32(document, "generation", INT32_MAX, &ret->generation) ||
		!read_u32(document, "subject", INT32_MAX, &ret->subject) ||
		!read_u32(document, "max_mb", UINT32_MAX, &ret->max_mb) ||
		!read_u32(document, "reserve_mb", UINT32_MAX, &ret->reserve_mb))
		return lm_fail(err, LM_E_PROTOCOL, 0,
			"generation, subject, max_mb and reserve_mb must be numbers");
	return LM_OK;
}

/// The member, or null.
static const json_t *task_member(const json_t *document, const char *key)
{
	const json_t *value = json_object_get(document, key);

	return value ? value : json_null();
}

static lm_rc read_group(const json_t *document, struct group **ret, struct lm_err *err)
{
	struct validation_errors errors = {0};
	lm_rc rc = definition_parse_json(task_member(document, "group"), &errors, ret, err);

	validation_errors_finish(&errors);
	return rc;
}

static lm_rc read_host(const json_t *document, struct host_settings *ret, struct lm_err *err)
{
	if (host_from_json(task_member(document, "host"), ret, err) == LM_OK)
		return LM_OK;
	// LM_E_INVALID would blame the definition.
	return lm_fail(err, LM_E_PROTOCOL, 0, "host: %s", err->msg);
}

static lm_rc read_members(const json_t *document, struct task *task, struct lm_err *err)
{
	lm_rc rc = read_kind(document, &task->kind, err);

	task->as_user = json_get_bool(document, "as_user", false);
	task->is_first = json_get_bool(document, "first", false);
	task->snapshots = json_get_bool(document, "snapshots", false);
	task->restores_data = json_get_bool(document, "restores_data", false);
	if (!rc && task->kind == TASK_DEVICES)
		rc = read_device_request(document, &task->device, err);
	if (!rc && task->kind == TASK_VOLUMES)
		rc = read_volumes_request(document, &task->volumes, err);
	task->is_gentle = json_get_bool(document, "gentle", false);
	if (!rc && (task->kind == TASK_VERIFY || task->kind == TASK_REPLACE_IMAGES))
		rc = read_subjects(json_object_get(document, "images"), task, err);
	if (!rc && task->kind == TASK_DEPLOY && json_object_get(document, "damaged"))
		rc = read_subjects(json_object_get(document, "damaged"), task, err);
	if (!rc && json_is_object(json_object_get(document, "kept")))
		task->kept = json_incref(json_object_get(document, "kept"));
	if (!rc &&
		(task->kind == TASK_DEPLOY || task->kind == TASK_DOWN || task->kind == TASK_PLAN))
		rc = read_directory(document, &task->credentials_directory, err);
	if (!rc)
		rc = read_compose(document, task, err);
	if (!rc)
		rc = read_fallback(document, &task->fallback, err);
	if (!rc)
		rc = read_released(document, task, err);
	if (!rc)
		rc = read_previous_destination(document, &task->previous_destination, err);
	if (!rc)
		rc = read_host(document, &task->host, err);
	return rc;
}

lm_rc task_parse(struct lm_str line, struct task *ret, struct lm_err *err)
{
	lm_auto_json json_t *document = NULL;
	lm_auto_task struct task task = {0};
	struct lm_err own = {LM_OK};

	if (json_parse(line, &document, &own))
		return lm_fail(err, LM_E_PROTOCOL, 0, "the task is not valid JSON: %s", own.msg);
	if (read_members(document, &task, &own))
		return lm_fail(err, LM_E_PROTOCOL, 0, "the task: %s", own.msg);
	bool without = task.kind == TASK_VOLUMES ||
		       ((task.kind == TASK_CHECK || task.kind == TASK_DEVICES ||
				task.kind == TASK_PRUNE_IMAGES) &&
			       json_is_null(task_member(document, "group")));
	lm_rc rc = without ? LM_OK : read_group(document, &task.group, &own);
	if (rc)
		return lm_fail(err, rc, 0, "%s", own.msg);
	*ret = task;
	task = (struct task){0};
	return LM_OK;
}
