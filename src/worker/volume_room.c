// SPDX-License-Identifier: Apache-2.0
#include "worker/volume_room.h"

#include "base/memory.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/statvfs.h>

enum {
	MIB = 1 << 20,
	ENTRY = 512, ///< What a file takes up beside its content, at least.
};

void volume_sum_add(struct volume_sum *sum, const struct tree_size *size)
{
	sum->content += size->content;
	sum->bytes += size->content + size->rest + size->entries * ENTRY;
	sum->entries += size->entries;
}

void volume_need_finish(struct volume_need *need)
{
	free(need->lacking);
	*need = (struct volume_need){0};
}

static lm_rc fail_room(const struct volume_room *room, uint64_t need, uint64_t have,
	struct volume_need *ret, struct lm_err *err)
{
	free(ret->lacking);
	ret->lacking = lm_xstrdup(room->path);
	ret->lacking_bytes = room->reserve < UINT64_MAX - need ? need + room->reserve : UINT64_MAX;
	return lm_fail(err, LM_E_SYS, ENOSPC,
		"%s does not fit: it needs %" PRIu64 " MB, and '%s' has %" PRIu64
		" MB left%s: free disk space there, or %s",
		room->what, need / MIB + 1, room->path, have / MIB,
		room->reserve ? " beside Policy.MinFreeDiskMB" : "", room->instead);
}

lm_rc volume_room_check(const struct volume_room *room, const struct volume_sum *sum,
	struct volume_need *ret, struct lm_err *err)
{
	struct statvfs fs;

	if (fstatvfs(room->fd, &fs) < 0)
		return lm_fail(
			err, LM_E_SYS, errno, "examine the file system of '%s': %m", room->path);
	uint64_t all = (uint64_t)fs.f_bavail * fs.f_frsize + room->removable;
	uint64_t have = all > room->reserve ? all - room->reserve : 0;
	if (fs.f_files > 0 && fs.f_favail < sum->entries && room->removable == 0)
		return lm_fail(err, LM_E_SYS, ENOSPC,
			"%s does not fit: it has %" PRIu64 " files, and '%s' has room for %" PRIu64
			": remove files there",
			room->what, sum->entries, room->path, (uint64_t)fs.f_favail);
	return sum->bytes <= have ? LM_OK : fail_room(room, sum->bytes, have, ret, err);
}
