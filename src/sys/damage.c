// SPDX-License-Identifier: Apache-2.0
#include "sys/damage.h"

#include "base/cleanup.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>

enum { NOTES_MAX = 32 };

void damage_finish(struct damage *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->notes[i]);
	free(d->notes);
	*d = (struct damage){0};
}

void damage_note(struct damage *d, const char *format, ...)
{
	va_list ap;

	if (d->n == NOTES_MAX)
		return;
	d->notes = lm_xrealloc(d->notes, (d->n + 1) * sizeof(*d->notes));
	va_start(ap, format);
	d->notes[d->n++] = lm_xvasprintf(format, ap);
	va_end(ap);
}

bool damage_is(const struct lm_err *err)
{
	switch (err->rc) {
	case LM_E_INVALID:
	case LM_E_TOO_LARGE:
	case LM_E_DENIED:
		return true;
	case LM_E_SYS:
		// The last two are what file systems say of their own structures.
		return err->sys == EIO || err->sys == ELOOP || err->sys == ENOTDIR ||
		       err->sys == EISDIR || err->sys == ENXIO || err->sys == EBADMSG ||
		       err->sys == EUCLEAN;
	default:
		return false;
	}
}

bool damage_set_aside(struct damage *d, int dir_fd, const char *name)
{
	char aside[NAME_MAX + sizeof(DAMAGE_SUFFIX)];
	struct lm_err err = {LM_OK};

	(void)snprintf(aside, sizeof(aside), "%s" DAMAGE_SUFFIX, name);
	// A file takes another one's place; a directory takes that of an empty one only.
	lm_rc rc = renameat(dir_fd, name, dir_fd, aside) == 0 ? LM_OK
							      : lm_tree_remove(dir_fd, aside, &err);
	if (rc == LM_OK && renameat(dir_fd, name, dir_fd, aside) < 0 && errno != ENOENT)
		rc = lm_fail(&err, LM_E_SYS, errno, "rename it: %m");
	if (rc == LM_OK)
		rc = lm_dir_sync(dir_fd, name, &err);
	if (rc)
		damage_note(d, "'%s' is damaged and cannot be set aside: %s", name, err.msg);
	return rc == LM_OK;
}

bool damage_report(
	struct damage *d, int dir_fd, const char *name, const char *why, const char *meaning)
{
	if (!damage_set_aside(d, dir_fd, name))
		return false;
	damage_note(d, "%s; it was set aside as '%s" DAMAGE_SUFFIX "': %s", why, name, meaning);
	return true;
}

void damage_log(const struct damage *d, const char *directory)
{
	for (size_t i = 0; i < d->n; i++)
		lm_warn("in '%s': %s", directory, d->notes[i]);
}
