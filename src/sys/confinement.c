// SPDX-License-Identifier: Apache-2.0
#include "sys/confinement.h"

#include "base/cleanup.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define IS_TRACED_BY_ITSELF
#endif
#elif defined(__SANITIZE_ADDRESS__)
#define IS_TRACED_BY_ITSELF
#endif

// Capabilities ------------------------------------------------------------------------------------

typedef struct __user_cap_data_struct capability_sets[_LINUX_CAPABILITY_U32S_3];

static bool get_sets(capability_sets sets)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capget, &header, sets) == 0;
}

static bool set_sets(capability_sets sets)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

	return syscall(SYS_capset, &header, sets) == 0;
}

/// For a program that was root and has kept its capabilities over a change of the user.
static bool use_all(void)
{
	capability_sets sets;

	if (!get_sets(sets))
		return false;
	for (size_t i = 0; i < LM_ARRAY_SIZE(sets); i++)
		sets[i].effective = sets[i].permitted;
	return set_sets(sets);
}

static bool lower_bounds(uint64_t kept)
{
	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++) { // up to the kernel's last
		bool is_kept = i < 64 && (kept & CONFINEMENT_CAPABILITY(i)) != 0;

		if (!is_kept && prctl(PR_CAPBSET_READ, i, 0, 0, 0) == 1 &&
			prctl(PR_CAPBSET_DROP, i, 0, 0, 0) < 0 && errno != EPERM)
			return false;
	}
	return true;
}

static bool keep_only(uint64_t kept)
{
	capability_sets sets;

	if (!get_sets(sets))
		return false;
	for (size_t i = 0; i < LM_ARRAY_SIZE(sets); i++) {
		sets[i].permitted &= (uint32_t)(kept >> (32 * i));
		sets[i].effective = sets[i].permitted;
		sets[i].inheritable = 0; // and with it what is ambient
	}
	return set_sets(sets);
}

lm_rc confinement_keep_capabilities(uint64_t kept, struct lm_err *err)
{
	if (!use_all() || !lower_bounds(kept) || !keep_only(kept))
		return lm_fail(err, LM_E_SYS, errno, "drop capabilities: %m");
	return LM_OK;
}

// System calls ------------------------------------------------------------------------------------

/// What systemd's @system-service leaves out, and its @resources has no part in.
static const int FORBIDDEN[] = {
	// File systems.
	SCMP_SYS(mount),
	SCMP_SYS(umount),
	SCMP_SYS(umount2),
	SCMP_SYS(pivot_root),
	SCMP_SYS(open_tree),
	SCMP_SYS(move_mount),
	SCMP_SYS(fsopen),
	SCMP_SYS(fsmount),
	SCMP_SYS(fsconfig),
	SCMP_SYS(fspick),
	SCMP_SYS(mount_setattr),
	SCMP_SYS(open_by_handle_at),
	SCMP_SYS(swapon),
	SCMP_SYS(swapoff),
	SCMP_SYS(quotactl),
	SCMP_SYS(acct),
	// The kernel.
	SCMP_SYS(init_module),
	SCMP_SYS(finit_module),
	SCMP_SYS(delete_module),
	SCMP_SYS(kexec_load),
	SCMP_SYS(kexec_file_load),
	SCMP_SYS(reboot),
	SCMP_SYS(bpf),
	SCMP_SYS(perf_event_open),
	SCMP_SYS(userfaultfd),
	SCMP_SYS(lookup_dcookie),
	SCMP_SYS(syslog),
	SCMP_SYS(iopl),
	SCMP_SYS(ioperm),
	SCMP_SYS(vhangup),
	SCMP_SYS(io_uring_setup),
	// The clock, the host's name.
	SCMP_SYS(settimeofday),
	SCMP_SYS(clock_settime),
	SCMP_SYS(clock_settime64),
	SCMP_SYS(clock_adjtime),
	SCMP_SYS(clock_adjtime64),
	SCMP_SYS(adjtimex),
	SCMP_SYS(stime),
	SCMP_SYS(sethostname),
	SCMP_SYS(setdomainname),
	// Other processes, other namespaces.
	SCMP_SYS(process_vm_readv),
	SCMP_SYS(process_vm_writev),
	SCMP_SYS(pidfd_getfd),
	SCMP_SYS(kcmp),
	SCMP_SYS(setns),
	SCMP_SYS(chroot),
#ifndef IS_TRACED_BY_ITSELF // a sanitizer's leak check stops the threads of its own process so
	SCMP_SYS(ptrace),
#endif
};

static int forbid_namespaces(scmp_filter_ctx filter)
{
	static const unsigned flags[] = {CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET,
		CLONE_NEWIPC, CLONE_NEWUTS, CLONE_NEWCGROUP};
	// Its flags are in memory, where a filter cannot look; the C library then takes clone().
	int rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);

	for (size_t i = 0; i < LM_ARRAY_SIZE(flags) && rc == 0; i++) {
		const struct scmp_arg_cmp has_flag =
			SCMP_A0(SCMP_CMP_MASKED_EQ, flags[i], flags[i]);

		rc = seccomp_rule_add_array(
			filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(clone), 1, &has_flag);
		if (rc == 0)
			rc = seccomp_rule_add_array(
				filter, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(unshare), 1, &has_flag);
	}
	return rc;
}

static int load_filter(scmp_filter_ctx filter)
{
	int rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(EPERM));

	for (size_t i = 0; i < LM_ARRAY_SIZE(FORBIDDEN) && rc == 0; i++) {
		rc = seccomp_rule_add(filter, SCMP_ACT_ERRNO(EPERM), FORBIDDEN[i], 0);
		if (rc == -EDOM) // this processor has no such call
			rc = 0;
	}
	if (rc == 0)
		rc = forbid_namespaces(filter);
	return rc == 0 ? seccomp_load(filter) : rc; // sets no_new_privs, too
}

lm_rc confinement_forbid_calls(struct lm_err *err)
{
	scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);

	if (!filter)
		return lm_fail(err, LM_E_SYS, ENOMEM, "forbid system calls: %m");
	int rc = load_filter(filter);
	seccomp_release(filter);
	if (rc != 0)
		return lm_fail(err, LM_E_SYS, -rc, "forbid system calls: %m");
	return LM_OK;
}
