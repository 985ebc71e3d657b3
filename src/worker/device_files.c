// SPDX-License-Identifier: Apache-2.0
#include "worker/device_files.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"
#include "devices/device_bundle.h"
#include "devices/device_registry.h"
#include "sys/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FOLDER "devices"
#define LIST ".lighterman.json"

enum { FILES = 4, LIST_MAX = 1 << 20 };

static const char *const file_names[FILES] = {
	"device.key", "device.pem", "group-ca.pem", "root-ca.pem"};

static lm_rc fail_folder(const char *what, const char *name, struct lm_err *err)
{
	int sys = errno;

	if (sys == ELOOP || sys == ENOTDIR)
		return lm_fail(err, LM_E_DENIED, sys,
			"'%s' is in the way of the folder for a device's keys, as it is a link or "
			"a file: move it away",
			name);
	return lm_fail(err, lm_rc_of_errno(sys), sys, "%s '%s': %m", what, name);
}

/// A folder of ours; `*ret_fd` is -1 if there is none. Its mode is set only when it is made: of one
/// that a person made, that is the person's.
static lm_rc open_device_folder(
	int parent_fd, const char *name, bool make, int *ret_fd, struct lm_err *err)
{
	struct stat st;
	bool is_made = make && mkdirat(parent_fd, name, 0700) == 0;

	if (make && !is_made && errno != EEXIST)
		return fail_folder("create the directory", name, err);
	lm_auto_close int fd =
		openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 && errno == ENOENT && !make) {
		*ret_fd = -1;
		return LM_OK;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_folder("open the directory", name, err);
	if (st.st_uid != geteuid())
		return lm_fail(err, LM_E_DENIED, 0,
			"the directory '%s' belongs to user %u, so keys are not put there: it must "
			"belong to user %u, who runs the application",
			name, (unsigned)st.st_uid, (unsigned)geteuid());
	if (is_made && fchmod(fd, 0700) < 0) // whatever the umask is
		return fail_folder("set the mode of", name, err);
	lm_rc rc = is_made ? lm_dir_sync(parent_fd, name, err) : LM_OK;
	if (!rc)
		*ret_fd = lm_take_fd(fd);
	return rc;
}

// The list of our folders.

/// As an object whose keys are the names; an empty one if there is no list that can be read.
static json_t *read_list(int dir_fd)
{
	lm_auto_close int fd = openat(dir_fd, LIST, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	lm_auto_buf struct lm_buf text = LM_BUF(LIST_MAX);
	lm_auto_json json_t *document = NULL;
	json_t *names = json_object(), *name;
	size_t i;

	if (fd < 0 || lm_fd_read_all(fd, LIST, &text, NULL) ||
		json_parse(lm_buf_str(&text), &document, NULL))
		return names;
	json_array_foreach(json_object_get(document, "things"), i, name)
	{
		// A name is used as that of a folder.
		if (json_is_string(name) && arn_is_thing_name(json_text(name)))
			json_object_set_new(names, json_string_value(name), json_true());
	}
	return names;
}

static lm_rc write_list(int dir_fd, json_t *names, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIST_MAX);
	json_t *things = json_array(), *value;
	const char *name;

	json_object_foreach(names, name, value) json_array_append_new(things, json_string(name));
	lm_auto_json json_t *document = json_pack("{s:o}", "things", things);
	if (!json_write(document, &text))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "write '" LIST "'");
	return lm_file_replace(dir_fd, LIST, lm_buf_str(&text), 0600, err);
}

// Files.

static bool is_placed(int dir_fd, const char *name, struct lm_str text)
{
	lm_auto_buf struct lm_buf old = LM_BUF_SECRET(text.n);
	lm_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
	       st.st_nlink == 1 && (st.st_mode & 07777) == 0600 &&
	       lm_fd_read_all(fd, name, &old, NULL) == LM_OK && lm_str_eq(lm_buf_str(&old), text);
}

static lm_rc place_device(
	int dir_fd, const struct device_bundle_item *item, struct lm_str ca, struct lm_err *err)
{
	const struct lm_str texts[FILES] = {
		lm_secret_str(&item->key), lm_str(item->certificate), ca, ca};
	lm_auto_close int fd = -1;
	lm_rc rc = open_device_folder(dir_fd, item->name, true, &fd, err);

	for (size_t i = 0; !rc && i < FILES; i++)
		if (!is_placed(fd, file_names[i], texts[i]))
			rc = lm_file_replace(fd, file_names[i], texts[i], 0600, err);
	return rc ? lm_wrap(err, "the device '%s'", item->name) : LM_OK;
}

/// A folder that another user put in the place of ours has nothing of ours.
static lm_rc withdraw_device(int dir_fd, const char *name, struct lm_err *err)
{
	lm_auto_close int fd = -1;

	if (open_device_folder(dir_fd, name, false, &fd, NULL) || fd < 0)
		return LM_OK;
	for (size_t i = 0; i < FILES; i++) {
		lm_auto_free char *temporary = lm_xasprintf(".%s.tmp", file_names[i]);

		(void)unlinkat(fd, temporary, 0); // of a killed lm_file_replace
		if (unlinkat(fd, file_names[i], 0) < 0 && errno != ENOENT)
			return lm_fail(err, lm_rc_of_errno(errno), errno, "remove '%s/%s': %m",
				name, file_names[i]);
	}
	(void)unlinkat(dir_fd, name, AT_REMOVEDIR); // it stays if something else is in it
	return lm_dir_sync(dir_fd, name, err);
}

static bool has_item(const struct device_bundle *bundle, const char *name)
{
	for (size_t i = 0; i < bundle->n; i++)
		if (strcmp(bundle->items[i].name, name) == 0)
			return true;
	return false;
}

/// Withdraws the devices of the list that are not in the bundle, and takes them off the list.
static lm_rc withdraw_others(
	int dir_fd, json_t *names, const struct device_bundle *bundle, struct lm_err *err)
{
	const char *name;
	json_t *value;
	void *next;

	json_object_foreach_safe(names, next, name, value)
	{
		if (has_item(bundle, name))
			continue;
		lm_rc rc = withdraw_device(dir_fd, name, err);
		if (rc)
			return rc;
		json_object_del(names, name);
	}
	return LM_OK;
}

/// The list is on disk before a folder is made, and after one was removed.
static lm_rc place_bundle(int dir_fd, const struct device_bundle *bundle,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_json json_t *names = read_list(dir_fd);
	size_t before = json_object_size(names);
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < bundle->n; i++)
		json_object_set_new(names, bundle->items[i].name, json_true());
	size_t all = json_object_size(names);
	if (all != before)
		rc = write_list(dir_fd, names, err);
	for (size_t i = 0; !rc && i < bundle->n; i++) {
		rc = wait_ms(0, limit, err);
		if (!rc)
			rc = place_device(dir_fd, &bundle->items[i], lm_str(bundle->ca), err);
	}
	if (!rc)
		rc = withdraw_others(dir_fd, names, bundle, err);
	return !rc && json_object_size(names) != all ? write_list(dir_fd, names, err) : rc;
}

/// The folder itself goes, too, if nothing is left in it.
static void remove_empty(int directory_fd, int dir_fd)
{
	(void)unlinkat(dir_fd, "." LIST ".tmp", 0);
	(void)unlinkat(dir_fd, LIST, 0);
	(void)unlinkat(directory_fd, FOLDER, AT_REMOVEDIR);
}

lm_rc device_files_place(int directory_fd, const char *directory, struct lm_str text,
	const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_bundle struct device_bundle bundle = {0};
	lm_auto_close int fd = -1;

	if (text.n == 0)
		return LM_OK;
	lm_rc rc = device_bundle_read(text, &bundle, err);
	if (rc)
		return lm_fail(err, LM_E_PROTOCOL, 0, "%s", err ? err->msg : "");
	if (bundle.n == 0)
		return device_files_remove(directory_fd, directory, err);
	rc = open_device_folder(directory_fd, FOLDER, true, &fd, err);
	if (!rc)
		rc = place_bundle(fd, &bundle, limit, err);
	return rc ? lm_wrap(err, "put the files of client devices into '%s/" FOLDER "'", directory)
		  : LM_OK;
}

lm_rc device_files_remove(int directory_fd, const char *directory, struct lm_err *err)
{
	const struct device_bundle nothing = {0};
	lm_auto_close int fd = -1;

	// A folder that is not ours has no list of ours.
	if (open_device_folder(directory_fd, FOLDER, false, &fd, NULL) || fd < 0 ||
		faccessat(fd, LIST, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return LM_OK;
	lm_auto_json json_t *names = read_list(fd);
	lm_rc rc = withdraw_others(fd, names, &nothing, err);
	if (rc)
		return lm_wrap(
			err, "remove the files of client devices from '%s/" FOLDER "'", directory);
	remove_empty(directory_fd, fd);
	return lm_dir_sync(directory_fd, FOLDER, err);
}
