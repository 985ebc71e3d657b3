// SPDX-License-Identifier: Apache-2.0
#include "base/file.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "cli/doctor_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/vfs.h>

enum {
	MIB = 1 << 20,
	STATE_WRONG_MB = 8, ///< The outbox and a few definitions.
	STATE_WARNING_MB = 64,
	MEMORY_MB = 36, ///< The connector's documentation asks for so much.
	PROC_MAX = 16 << 10,
};

static void check_broker(struct doctor *d, const json_t *broker)
{
	const char *name = json_get_text(broker, "name");
	const char *error = json_get_text(broker, "error");
	long long waiting = json_get_int(broker, "waiting", 0);

	if (!name)
		name = "a broker";
	const json_t *refused = json_object_get(broker, "refused_topics");
	for (size_t i = 0; i < json_array_size(refused); i++) {
		const char *topic = json_string_value(json_array_get(refused, i));
		lm_auto_free char *message =
			lm_xasprintf("%s: refuses the topic %s", name, topic ? topic : "?");
		doctor_warn(d, message,
			"allow it in the broker's policy, or switch it off with mqtt.topics in the "
			"host file");
	}
	if (json_get_bool(broker, "connected", false)) {
		doctor_ok(d, "%s: connected", name);
		return;
	}
	lm_auto_free char *message = lm_xasprintf("%s: not connected%s%s, %lld messages wait", name,
		error ? ": " : "", error ? error : "", waiting);
	doctor_wrong(d, message, "start the broker, or mend mqtt in the host file");
}

void doctor_check_brokers(struct doctor *d)
{
	const json_t *brokers = json_object_get(d->status, "brokers");

	if (d->has_host && d->host.brokers_n == 0) {
		doctor_warn(d, "none is set up: status messages are not sent",
			"set mqtt in the host file, if somebody is to hear of deployments");
		return;
	}
	if (!d->status) {
		doctor_skip(d, "not checked: lightermand cannot be asked");
		return;
	}
	if (json_array_size(brokers) == 0)
		doctor_warn(d, "the host file names a broker, but lightermand knows of none",
			"restart lightermand: it read the host file before that was written");
	for (size_t i = 0; i < json_array_size(brokers); i++)
		check_broker(d, json_array_get(brokers, i));
}

/// The part of a path that is there. The caller frees.
static char *existing_part(const char *path)
{
	char *part = lm_xstrdup(path);
	struct stat st;

	while (stat(part, &st) < 0 && (errno == ENOENT || errno == ENOTDIR)) {
		char *slash = strrchr(part, '/');

		if (!slash || slash == part) {
			free(part);
			return lm_xstrdup("/");
		}
		*slash = '\0';
	}
	return part;
}

/// Whether lightermand can write in a directory, or create it. False: it was told why not.
static bool check_writable(struct doctor *d, const char *path, const char *mend)
{
	lm_auto_free char *part = existing_part(path);
	struct lm_err err = {0};
	struct stat st;

	if (d->daemon_uid != geteuid()) {
		doctor_skip(d, "not checked: lightermand runs as user %u, and you are another",
			(unsigned)d->daemon_uid);
		return false;
	}
	if (stat(part, &st) == 0 && !S_ISDIR(st.st_mode))
		(void)!lm_fail(&err, LM_E_INVALID, 0, "'%s' is not a directory", part);
	else if (faccessat(AT_FDCWD, part, W_OK | X_OK, AT_EACCESS) < 0)
		(void)!lm_fail(
			&err, LM_E_DENIED, errno, "lightermand cannot write to '%s': %m", part);
	else
		return true;
	doctor_wrong(d, err.msg, mend);
	return false;
}

void doctor_check_log(struct doctor *d)
{
	const char *region = d->host.region;
	const char *root =
		d->host.write_directory ? d->host.write_directory : d->host.greengrass_root;

	if (!region && d->group)
		region = d->group->connector.region;
	if (!d->has_host || !region) {
		doctor_skip(d, "not checked: %s",
			d->has_host ? "without a region there is no log file"
				    : "the host file is invalid");
		return;
	}
	lm_auto_free char *path = lm_xasprintf("%s/ggc/var/log/user/%s/aws", root, region);
	if (check_writable(d, path,
		    "make room for lightermand there, or set greengrassRoot in the "
		    "host file"))
		doctor_ok(d, "lightermand can write to '%s'", path);
}

void doctor_check_state(struct doctor *d)
{
	const char *path = d->host.state_directory;
	static const char mend[] = "make room there, or set stateDirectory in the host file";
	struct statvfs fs;

	if (!d->has_host) {
		doctor_skip(d, "not checked: the host file is invalid");
		return;
	}
	if (!check_writable(d, path, mend))
		return;
	lm_auto_free char *part = existing_part(path);
	if (statvfs(part, &fs) < 0) {
		doctor_skip(d, "not checked: how much room '%s' has (%m)", part);
		return;
	}
	uint64_t mb = (uint64_t)fs.f_bavail * fs.f_frsize / MIB;
	lm_auto_free char *message = lm_xasprintf("'%s' has %" PRIu64 " MB left", path, mb);
	if (mb < STATE_WRONG_MB)
		doctor_wrong(d, message, mend);
	else if (mb < STATE_WARNING_MB)
		doctor_warn(d, message, mend);
	else
		doctor_ok(d, "%s", message);
}

void doctor_check_runtime(struct doctor *d)
{
	const char *path = d->host.runtime_directory;
	const size_t longest =
		sizeof(((struct sockaddr_un *)0)->sun_path) - sizeof("/control.sock");
	static const char mend[] =
		"set runtimeDirectory in the host file, to a directory below /run";
	struct statfs fs;

	if (!d->has_host) {
		doctor_skip(d, "not checked: the host file is invalid");
		return;
	}
	lm_auto_free char *part = existing_part(path);
	if (strlen(path) > longest) {
		lm_auto_free char *message = lm_xasprintf(
			"'%.300s' is too long for the path of a socket in it (%zu bytes at most)",
			path, longest);
		doctor_wrong(d, message, mend);
	} else if (!check_writable(d, path, mend)) {
		return;
	} else if (statfs(part, &fs) == 0 &&
		   (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)) {
		doctor_ok(d, "'%s' is in memory", path);
	} else {
		lm_auto_free char *message = lm_xasprintf(
			"'%s' is not in memory: credentials for builds would be on a disk", path);
		doctor_warn(d, message, mend);
	}
}

/// MB that a program could still get; false if the system does not tell.
static bool read_available(uint64_t *ret_mb)
{
	lm_auto_buf struct lm_buf text = LM_BUF(PROC_MAX);

	if (lm_file_read("/proc/meminfo", &text, NULL))
		return false;
	struct lm_str rest = lm_buf_str(&text);
	while (rest.n > 0) {
		struct lm_str value = lm_str_cut(&rest, '\n');
		struct lm_str key = lm_str_cut(&value, ':');
		uint64_t kb;

		if (!lm_str_eq(key, LM_STR("MemAvailable")))
			continue;
		value = lm_str_trim(value);
		if (!lm_str_to_u64(lm_str_cut(&value, ' '), UINT64_MAX, &kb))
			return false;
		*ret_mb = kb / 1024;
		return true;
	}
	return false;
}

void doctor_check_memory(struct doctor *d)
{
	uint64_t mb = 0;

	if (!read_available(&mb)) {
		doctor_skip(d, "not checked: the system does not tell");
		return;
	}
	if (mb >= MEMORY_MB) {
		doctor_ok(d, "%" PRIu64 " MB available", mb);
		return;
	}
	lm_auto_free char *message = lm_xasprintf("%" PRIu64 " MB available", mb);
	doctor_warn(d, message, "36 MB are what a deployment needs beside the containers");
}
