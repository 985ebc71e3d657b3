// SPDX-License-Identifier: Apache-2.0
#include "worker/service_folder.h"

#include "base/file.h"
#include "base/memory.h"
#include "sys/json.h"
#include "sys/record.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PENDING "pending.json"

enum { PENDING_MAX = 4096 };

static const char *const steps[] = {[SERVICE_NONE] = "none",
	[SERVICE_RELOAD] = "reload",
	[SERVICE_RESTART] = "restart",
	[SERVICE_STOP] = "stop"};

const char *service_step_name(enum service_step step)
{
	return steps[step];
}

static enum service_step find_step(const char *name)
{
	for (unsigned i = 0; name && i < LM_ARRAY_SIZE(steps); i++)
		if (strcmp(name, steps[i]) == 0)
			return (enum service_step)i;
	return SERVICE_NONE;
}

enum service_step service_step_max(enum service_step a, enum service_step b)
{
	return a > b ? a : b;
}

// Files.

lm_rc service_file_read(int dir_fd, const char *name, struct lm_buf *out, struct lm_err *err)
{
	lm_auto_close int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return lm_fail(err, lm_rc_of_errno(errno), errno, "open '%s': %m", name);
	if (!S_ISREG(st.st_mode))
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not a regular file", name);
	return lm_fd_read_all(fd, name, out, err);
}

static uid_t owner_of(const struct service_folder *folder, const struct service_file *f)
{
	return f->is_users && folder->user ? folder->user->uid : geteuid();
}

static gid_t group_of(const struct service_folder *folder, const struct service_file *f)
{
	bool is_shared = f->is_users || (f->mode & S_IRGRP);

	return is_shared && folder->user ? folder->user->gid : getegid();
}

/// Whether the file is there, with that text, owner and mode.
static bool is_as_wanted(const struct service_folder *folder, const struct service_file *f)
{
	lm_auto_buf struct lm_buf text = LM_BUF_SECRET(f->text.n);
	struct stat st;

	return fstatat(folder->fd, f->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (st.st_mode & 07777) == f->mode && st.st_uid == owner_of(folder, f) &&
	       (!folder->user || st.st_gid == group_of(folder, f)) &&
	       service_file_read(folder->fd, f->name, &text, NULL) == LM_OK &&
	       lm_str_eq(lm_buf_str(&text), f->text);
}

void service_folder_add(struct service_folder *folder, const struct service_file *file)
{
	folder->files[folder->n++] = *file;
}

void service_folder_compare(struct service_folder *folder)
{
	for (size_t i = 0; i < folder->n; i++) {
		folder->changed[i] = !is_as_wanted(folder, &folder->files[i]);
		if (folder->changed[i])
			folder->step = service_step_max(folder->step, folder->files[i].step);
	}
}

lm_rc service_folder_place(const struct service_folder *folder, struct lm_err *err)
{
	for (size_t i = 0; i < folder->n; i++) {
		const struct service_file *f = &folder->files[i];
		lm_rc rc = folder->changed[i]
				   ? lm_file_replace_for(folder->fd, f->name, f->text, f->mode,
					     owner_of(folder, f), group_of(folder, f), err)
				   : LM_OK;
		if (rc)
			return rc;
	}
	return LM_OK;
}

/// Removes files, and what a killed lm_file_replace left of them.
lm_rc service_file_remove_all(int dir_fd, const char *const *names, size_t n, struct lm_err *err)
{
	bool is_changed = false;

	for (size_t i = 0; i < n; i++) {
		lm_auto_free char *temporary = lm_xasprintf(".%s.tmp", names[i]);

		(void)unlinkat(dir_fd, temporary, 0);
		if (unlinkat(dir_fd, names[i], 0) == 0)
			is_changed = true;
		else if (errno != ENOENT)
			return lm_fail(
				err, lm_rc_of_errno(errno), errno, "remove '%s': %m", names[i]);
	}
	return is_changed ? lm_dir_sync(dir_fd, names[0], err) : LM_OK;
}

// What is to be done.

/// What was to be stopped and is there again has to be started.
static enum service_step find_pending_step(const json_t *document, const char *service)
{
	enum service_step step = find_step(json_get_text(document, service));

	return step == SERVICE_STOP ? SERVICE_RESTART : step;
}

struct service_steps service_steps_read(int folder_fd)
{
	lm_auto(damage_finish) struct damage damage = {0};
	lm_auto_json json_t *document = NULL;
	lm_rc rc = record_json_load(folder_fd, PENDING, PENDING_MAX,
		"the broker and discovery are restarted", &damage, &document);

	damage_log(&damage, "devices");
	if (rc == LM_E_NOT_FOUND)
		return (struct service_steps){SERVICE_NONE, SERVICE_NONE};
	if (rc)
		return (struct service_steps){SERVICE_RESTART, SERVICE_RESTART};
	return (struct service_steps){
		find_pending_step(document, "broker"), find_pending_step(document, "discovery")};
}

lm_rc service_steps_write(int folder_fd, struct service_steps pending, struct lm_err *err)
{
	lm_auto_json json_t *document = json_pack("{s:s, s:s}", "broker", steps[pending.broker],
		"discovery", steps[pending.discovery]);

	return record_json_replace(folder_fd, PENDING, PENDING_MAX, document, err);
}
