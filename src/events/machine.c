// SPDX-License-Identifier: Apache-2.0
#include "events/machine.h"

#include "base/file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

enum { PROC_FILE_MAX = 16 << 10 };

static bool read_proc(const char *path, struct lm_buf *out)
{
	lm_auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct lm_err ignored;

	return fd >= 0 && lm_fd_read_all(fd, path, out, &ignored) == LM_OK;
}

int64_t machine_memory_free(void)
{
	lm_auto_buf struct lm_buf text = LM_BUF(PROC_FILE_MAX);
	long long kib;

	if (!read_proc("/proc/meminfo", &text))
		return MACHINE_UNKNOWN;
	const char *line = strstr(lm_buf_cstr(&text), "\nMemAvailable:");
	if (!line || sscanf(line, "\nMemAvailable: %lld kB", &kib) != 1)
		return MACHINE_UNKNOWN;
	return (int64_t)kib * 1024;
}

int64_t machine_disk_free(const char *path)
{
	struct statvfs fs;

	if (statvfs(path, &fs) < 0)
		return MACHINE_UNKNOWN;
	return (int64_t)fs.f_bavail * (int64_t)fs.f_frsize;
}

char *machine_boot_id(char out[MACHINE_BOOT_SIZE])
{
	lm_auto_buf struct lm_buf text = LM_BUF(PROC_FILE_MAX);

	out[0] = '\0';
	if (read_proc("/proc/sys/kernel/random/boot_id", &text))
		(void)snprintf(
			out, MACHINE_BOOT_SIZE, "%.*s", LM_STR_ARG(lm_str_trim(lm_buf_str(&text))));
	return out;
}
