// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A folder with the files that the local broker or discovery reads, as it should be: what of it is
/// different on disk, what the program has to do because of that, and putting it there. Files that
/// are right already stay as they are.
///
/// What the two programs have to do is on disk (`pending.json`) before the first file is changed;
/// lightermand removes that file once they have done it.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/process.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/// In ascending order: what the higher one does includes the lower one.
enum service_step { SERVICE_NONE, SERVICE_RELOAD, SERVICE_RESTART, SERVICE_STOP };

/// "none", "reload", "restart", "stop".
const char *service_step_name(enum service_step step);
enum service_step service_step_max(enum service_step a, enum service_step b);

struct service_steps {
	enum service_step broker, discovery;
};

/// What pending.json of the folder says; none if it cannot be read. What was to be stopped has to
/// be restarted: it is there again.
struct service_steps service_steps_read(int folder_fd);
lm_rc service_steps_write(int folder_fd, struct service_steps steps, struct lm_err *err);

enum { SERVICE_FOLDER_FILES_MAX = 10 };

/// A file as it should be. The text is borrowed.
struct service_file {
	const char *name;
	struct lm_str text;
	mode_t mode;
	bool is_users;          ///< It belongs to the user that the services run as.
	enum service_step step; ///< What a change of it takes.
};

struct service_folder {
	int fd;
	const struct process_user *user; ///< That one; NULL: all files are ours.
	struct service_file files[SERVICE_FOLDER_FILES_MAX];
	size_t n;
	bool changed[SERVICE_FOLDER_FILES_MAX];
	enum service_step step; ///< The strongest one of the files that change.
};

/// They are written in the order in which they are added: what others name comes before them.
void service_folder_add(struct service_folder *folder, const struct service_file *file);
/// Sets `changed` and `step`.
void service_folder_compare(struct service_folder *folder);
/// Writes those that are changed.
lm_rc service_folder_place(const struct service_folder *folder, struct lm_err *err);

/// Reads a regular file, and follows no link. LM_E_NOT_FOUND. LM_E_INVALID: it is something else.
lm_rc service_file_read(int dir_fd, const char *name, struct lm_buf *out, struct lm_err *err);
/// Removes files, and what a killed lm_file_replace left of them.
lm_rc service_file_remove_all(int dir_fd, const char *const *names, size_t n, struct lm_err *err);
