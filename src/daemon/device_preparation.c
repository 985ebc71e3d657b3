// SPDX-License-Identifier: Apache-2.0
#include "daemon/device_preparation.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "daemon/device_task.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct device_preparation {
	const struct host_settings *host;
	struct own_tasks *tasks;
	device_preparation_done *done; ///< NULL: nobody waits.
	void *ctx;
};

/// The keys of a bundle are for the worker of the deployment only. One that was killed leaves a
/// part of it, a lightermand that was killed all.
static void remove_bundle(const struct host_settings *host)
{
	static const char *const names[] = {"device-files.json", ".device-files.json.tmp"};

	for (size_t i = 0; i < LM_ARRAY_SIZE(names); i++) {
		lm_auto_free char *path = lm_path_join(host->runtime_directory, names[i]);

		(void)unlink(path);
	}
}

/// The file is removed at once: its keys are for the worker only.
static lm_rc take_files(const struct host_settings *host, int *ret_fd, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(host->runtime_directory, "device-files.json");
	lm_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", path);
	if (unlink(path) < 0)
		return lm_fail(err, LM_E_SYS, errno, "remove '%s': %m", path);
	if (!S_ISREG(st.st_mode) || st.st_uid != geteuid() || st.st_size > LIMIT_DEVICE_BUNDLE)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' is not what the worker writes", path);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

static void on_prepared(void *ctx, const struct own_task_result *result)
{
	struct device_preparation *p = ctx;
	device_preparation_done *done = lm_take(p->done);
	struct lm_err err = {LM_OK};
	int fd = -1;

	if (done && result->rc)
		(void)!lm_fail(&err, result->is_invalid ? LM_E_INVALID : result->rc, 0, "%s",
			result->message);
	else if (done)
		(void)!take_files(p->host, &fd, &err);
	remove_bundle(p->host);
	if (!done)
		return;
	if (err.rc && err.rc != LM_E_CANCELLED)
		(void)!lm_wrap(&err, "make certificates for the client devices");
	done(p->ctx, fd, err.rc ? &err : NULL);
}

void device_preparation_begin(struct device_preparation *p, const struct group *group,
	device_preparation_done *done, void *ctx)
{
	p->done = done;
	p->ctx = ctx;
	const struct own_task_spec task = device_task("prepare", group);
	own_tasks_add(p->tasks, &task, on_prepared, p);
}

void device_preparation_cancel(struct device_preparation *p)
{
	own_tasks_cancel(p->tasks, p);
}

void device_preparation_forget(struct device_preparation *p)
{
	p->done = NULL;
}

int device_preparation_make_nothing(void)
{
	static const char nothing[] = "{\"format\":1,\"ca\":\"\",\"things\":{}}";
	struct lm_err ignored; // then they stay

	lm_auto_close int fd = memfd_create("devices", MFD_CLOEXEC);
	if (fd < 0 || lm_fd_write_all(fd, "devices", lm_str(nothing), &ignored) != LM_OK ||
		lseek(fd, 0, SEEK_SET) < 0)
		return -1;
	return lm_take_fd(fd);
}

struct device_preparation *device_preparation_create(
	const struct host_settings *host, struct own_tasks *tasks)
{
	struct device_preparation *p = lm_xcalloc(1, sizeof(*p));

	*p = (struct device_preparation){.host = host, .tasks = tasks};
	remove_bundle(host);
	return p;
}

void device_preparation_destroy(struct device_preparation *p)
{
	if (!p)
		return;
	own_tasks_forget(p->tasks, p);
	free(p);
}
