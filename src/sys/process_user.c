// SPDX-License-Identifier: Apache-2.0
#include "base/cleanup.h"
#include "base/memory.h"
#include "sys/process.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>

static lm_rc from_entry(const struct passwd *entry, struct process_user *ret, struct lm_err *err)
{
	enum { GROUPS_MAX = 65536 }; // the kernel's own (NGROUPS_MAX)
	int n = 32;
	lm_auto_free gid_t *groups = lm_xcalloc((size_t)n, sizeof(*groups));

	while (getgrouplist(entry->pw_name, entry->pw_gid, groups, &n) < 0) {
		if (n > GROUPS_MAX)
			return lm_fail(err, LM_E_TOO_LARGE, 0,
				"user '%s' is in more groups than the system allows",
				entry->pw_name);
		groups = lm_xrealloc(groups, (size_t)n * sizeof(*groups));
	}
	*ret = (struct process_user){
		.uid = entry->pw_uid,
		.gid = entry->pw_gid,
		.groups = lm_take(groups),
		.groups_n = n,
		.name = lm_xstrdup(entry->pw_name),
		.home = lm_xstrdup(entry->pw_dir && *entry->pw_dir ? entry->pw_dir : "/"),
	};
	return LM_OK;
}

lm_rc process_user_by_uid(uid_t uid, struct process_user *ret, struct lm_err *err)
{
	errno = 0;
	const struct passwd *entry = getpwuid(uid);
	if (entry)
		return from_entry(entry, ret, err);
	if (errno && errno != ENOENT && errno != ESRCH)
		return lm_fail(err, LM_E_SYS, errno, "look up the user with the id %u: %m", uid);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"there is no user with the id %u on this machine: create it (useradd -u %u NAME)",
		uid, uid);
}

lm_rc process_user_by_name(const char *name, struct process_user *ret, struct lm_err *err)
{
	errno = 0;
	const struct passwd *entry = getpwnam(name);
	if (entry)
		return from_entry(entry, ret, err);
	if (errno && errno != ENOENT && errno != ESRCH)
		return lm_fail(err, LM_E_SYS, errno, "look up the user '%s': %m", name);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		"there is no user '%s' on this machine: create it (useradd %s)", name, name);
}

void process_user_finish(struct process_user *user)
{
	free(user->groups);
	free(user->name);
	free(user->home);
	*user = (struct process_user){0};
}
