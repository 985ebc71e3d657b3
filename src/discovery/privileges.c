// SPDX-License-Identifier: Apache-2.0
#include "discovery/privileges.h"

#include "base/cleanup.h"
#include "base/secret.h"
#include "sys/confinement.h"
#include "sys/process.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <sys/prctl.h>

/// A change of the user clears the signal that the parent wants us to get when it ends.
static lm_rc renew_death_signal(int number, pid_t parent, struct lm_err *err)
{
	if (number == 0)
		return LM_OK;
	if (prctl(PR_SET_PDEATHSIG, number, 0, 0, 0) != 0)
		return lm_fail(err, LM_E_SYS, errno, "follow the parent process: %m");
	return getppid() == parent
		       ? LM_OK
		       : lm_fail(err, LM_E_CANCELLED, 0, "the parent process has exited");
}

lm_rc privileges_become(const char *name, struct lm_err *err)
{
	lm_auto(process_user_finish) struct process_user user = {0};
	pid_t parent = getppid();
	int death_signal = 0;
	lm_rc rc = process_user_by_name(name, &user, err);

	if (rc)
		return rc;
	if (geteuid() == user.uid && getuid() == user.uid)
		return LM_OK;
	if (geteuid() != 0)
		return lm_fail(err, LM_E_DENIED, 0,
			"cannot become user '%s': start lighterman-discovery as root", name);
	if (prctl(PR_GET_PDEATHSIG, &death_signal, 0, 0, 0) != 0 ||
		prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0 ||
		setgroups((size_t)user.groups_n, user.groups) != 0 ||
		setresgid(user.gid, user.gid, user.gid) != 0 ||
		setresuid(user.uid, user.uid, user.uid) != 0)
		return lm_fail(err, LM_E_SYS, errno, "become user '%s': %m", name);
	// Also without it: then only ports from 1024 on can be bound.
	rc = confinement_keep_capabilities(CONFINEMENT_CAPABILITY(CAP_NET_BIND_SERVICE), err);
	if (rc || (rc = confinement_forbid_calls(err)) != LM_OK)
		return rc;
	lm_secret_harden_process(); // which a change of the user may undo
	return renew_death_signal(death_signal, parent, err);
}
