// SPDX-License-Identifier: Apache-2.0
#include "deploy/launch.h"

#include "base/file.h"
#include "base/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define CREDENTIALS "credentials"

static lm_rc find_named(
	const struct host_settings *host, struct process_user *ret, struct lm_err *err)
{
	lm_rc rc = host->default_user ? process_user_by_name(host->default_user, ret, err)
				      : process_user_by_uid(geteuid(), ret, err);

	if (rc == LM_E_NOT_FOUND && host->default_user)
		return lm_fail(err, rc, 0,
			"the definition has no DockerUserId, and its default, the user '%s', does "
			"not "
			"exist on this device: create it ('useradd -G docker %s'), or set "
			"DockerUserId "
			"or the host file's defaultUser",
			host->default_user, host->default_user);
	return rc;
}

static lm_rc find_numbered(uint32_t uid, struct process_user *ret, struct lm_err *err)
{
	lm_rc rc = process_user_by_uid(uid, ret, err);

	if (rc == LM_E_NOT_FOUND)
		return lm_fail(err, LM_E_INVALID, 0,
			"DockerUserId %" PRIu32
			": this device has no user of that number: create it "
			"('useradd -u %" PRIu32 " -G docker NAME'), or set another",
			uid, uid);
	return rc;
}

lm_rc launch_look_up_user(const struct host_settings *host, const struct connector_definition *def,
	struct process_user *ret, struct lm_err *err)
{
	return def->has_user ? find_numbered(def->uid, ret, err) : find_named(host, ret, err);
}

lm_rc launch_check_user(const struct host_settings *host, const struct connector_definition *def,
	const struct process_user *user, struct lm_err *err)
{
	lm_rc rc = def->has_user ? LM_E_INVALID : LM_E_DENIED;
	uid_t own = geteuid();

	if (user->uid == 0 && own == 0 && !host->allow_root)
		return lm_fail(err, rc, 0,
			"the application's user is root, which is not allowed on this device: set "
			"another DockerUserId, or allowRoot in the host file");
	if (own != 0 && user->uid != own)
		return lm_fail(err, rc, 0,
			"lightermand runs as user %u and cannot become the application's user '%s' "
			"(%u): run it as root, or as that user",
			(unsigned)own, user->name, (unsigned)user->uid);
	return LM_OK;
}

lm_rc launch_find_user(const struct host_settings *host, const struct connector_definition *def,
	struct process_user *ret, struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	lm_rc rc = launch_look_up_user(host, def, &user, err);

	if (rc == LM_OK)
		rc = launch_check_user(host, def, &user, err);
	if (rc)
		return rc;
	*ret = user;
	user = (struct process_user){0};
	return LM_OK;
}

/// The directory of our own program. The caller frees.
static lm_rc find_own_directory(char **ret, struct lm_err *err)
{
	char own[4096];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);

	if (n < 0)
		return lm_fail(err, LM_E_SYS, errno, "find our own program in /proc/self/exe: %m");
	own[n] = '\0';
	char *slash = strrchr(own, '/');
	if (slash)
		*slash = '\0';
	*ret = lm_xstrdup(own);
	return LM_OK;
}

lm_rc launch_find_worker(char **ret, struct lm_err *err)
{
	lm_auto_free char *own = NULL;
	lm_rc rc = find_own_directory(&own, err);

	if (rc)
		return rc;
	lm_auto_free char *path = lm_path_join(own, "lighterman-worker");
	if (access(path, X_OK) < 0)
		return lm_fail(err, LM_E_NOT_FOUND, errno,
			"'%s' cannot be run (%m): it belongs beside lightermand; install it again",
			path);
	*ret = lm_take(path);
	return LM_OK;
}

lm_rc launch_find_library(const char *name, char **ret, struct lm_err *err)
{
	lm_auto_free char *own = NULL;
	lm_rc rc = find_own_directory(&own, err);

	if (rc)
		return rc;
	lm_auto_free char *beside = lm_path_join(own, name);
	lm_auto_free char *installed = lm_xasprintf("%s/../lib/lighterman/%s", own, name);
	if (access(beside, R_OK) == 0)
		*ret = lm_take(beside);
	else if (access(installed, R_OK) == 0)
		*ret = lm_take(installed);
	else
		return lm_fail(err, LM_E_NOT_FOUND, errno,
			"neither '%s' nor '%s' can be read (%m): install Lighterman again", beside,
			installed);
	return LM_OK;
}

static pid_t read_holder(int fd)
{
	char text[32];
	uint64_t pid = 0;
	ssize_t n = pread(fd, text, sizeof(text), 0);

	if (n > 0)
		(void)lm_str_to_u64(lm_str_trim((struct lm_str){text, (size_t)n}), INT32_MAX, &pid);
	return (pid_t)pid;
}

lm_rc launch_lock(
	const struct host_settings *host, int *ret_fd, pid_t *ret_holder, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(host->runtime_directory, "job.lock");
	lm_auto_close int fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", path);
	if (flock(fd, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK) {
		*ret_holder = read_holder(fd);
		return lm_fail(err, LM_E_CONFLICT, 0,
			"a worker of an earlier lightermand is still running");
	}
	if (ftruncate(fd, 0) < 0)
		return lm_fail(err, LM_E_SYS, errno, "write '%s': %m", path);
	*ret_fd = lm_take_fd(fd);
	return LM_OK;
}

lm_rc launch_lock_note(int lock_fd, pid_t worker, struct lm_err *err)
{
	char text[32];

	(void)snprintf(text, sizeof(text), "%ld\n", (long)worker);
	return lm_fd_write_all(lock_fd, "job.lock", lm_str(text), err);
}

lm_rc launch_remove_credentials(const struct host_settings *host, struct lm_err *err)
{
	lm_auto_close int fd = open(host->runtime_directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "open '%s': %m", host->runtime_directory);
	return lm_tree_remove(fd, CREDENTIALS, err);
}

lm_rc launch_make_credentials(const struct host_settings *host, const struct process_user *user,
	char **ret_path, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(host->runtime_directory, CREDENTIALS);
	lm_rc rc = launch_remove_credentials(host, err);

	if (rc)
		return lm_wrap(err, "remove what an earlier task left in '%s'", path);
	if (mkdir(path, 0700) < 0)
		return lm_fail(err, LM_E_SYS, errno, "create '%s': %m", path);
	if (user->uid != geteuid() && lchown(path, user->uid, user->gid) < 0)
		return lm_fail(err, LM_E_SYS, errno, "give '%s' to '%s': %m", path, user->name);
	*ret_path = lm_take(path);
	return LM_OK;
}

/// -1 if it is no file that can be read.
static int open_regular(const char *path)
{
	struct stat st;
	// O_NONBLOCK: a FIFO of that name must not hold us up.
	lm_auto_close int fd = path ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? lm_take_fd(fd) : -1;
}

struct launch_identity launch_open_identity(const struct host_settings *host)
{
	const struct host_credentials *c = &host->credentials;
	const struct host_iot *iot = &host->iot;

	if (!c->role_alias)
		return (struct launch_identity){-1, -1};
	return (struct launch_identity){
		.key_fd = open_regular(c->private_key ? c->private_key : iot->private_key),
		.certificate_fd = open_regular(c->certificate ? c->certificate : iot->certificate),
	};
}

void launch_identity_finish(struct launch_identity *i)
{
	lm_cleanup_close(&i->key_fd);
	lm_cleanup_close(&i->certificate_fd);
	*i = (struct launch_identity){-1, -1};
}

json_t *launch_make_document(const char *kind, const struct group *group,
	const struct host_settings *host, const char *credentials,
	const struct launch_compose *compose, const struct launch_extras *extras)
{
	json_t *document = json_object();

	json_object_set_new(document, "job", json_string(kind));
	json_object_set_new(document, "group", group_to_json(group));
	json_object_set_new(document, "host", host_to_json(host));
	json_object_set_new(document, "credentials_directory", json_string(credentials));
	if (compose->stamp && compose->version)
		json_object_set_new(document, "compose",
			json_pack("{s:s, s:s}", "stamp", compose->stamp, "version",
				compose->version));
	if (extras->fallback)
		json_object_set(document, "fallback", (json_t *)extras->fallback);
	if (extras->released)
		json_object_set(document, "released", (json_t *)extras->released);
	if (extras->previous_destination)
		json_object_set_new(document, "previous",
			json_pack("{s:s}", "destination", extras->previous_destination));
	return document;
}
