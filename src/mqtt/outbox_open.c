// SPDX-License-Identifier: Apache-2.0
#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "mqtt/outbox_file_priv.h"
#include "mqtt/outbox_priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>

static void load_file(struct outbox *o, const char *name)
{
	lm_auto_buf struct lm_buf text = LM_BUF(OUTBOX_FILE_MAX);
	struct lm_str topic;
	struct lm_str payload;
	struct entry e = {0};
	enum outbox_file_state state =
		outbox_file_parse_name(name, &e.seq, &e.class)
			? outbox_file_read(o->dir_fd, name, &text, &topic, &payload)
			: OUTBOX_FILE_BAD;

	outbox_reserve(o, e.seq); // set aside, its name is not to be taken by another
	if (state == OUTBOX_FILE_BAD) {
		outbox_file_set_aside(o->dir_fd, name);
		o->bad++;
		return;
	}
	e.charge =
		OUTBOX_OVERHEAD + (state == OUTBOX_FILE_WHOLE ? topic.n + payload.n
							      : outbox_file_size(o->dir_fd, name));
	outbox_insert(o, e);
}

static lm_rc load_all(struct outbox *o, struct lm_err *err)
{
	// A descriptor of its own: closedir closes it.
	int fd = openat(o->dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	lm_auto_closedir DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *d;

	if (!dir)
		return lm_fail(err, LM_E_SYS, errno, "list the outbox '%s': %m", o->path);
	while ((d = readdir(dir))) {
		struct lm_str name = lm_str(d->d_name);
		uint64_t seq;

		if (lm_str_eq(name, LM_STR(".")) || lm_str_eq(name, LM_STR("..")))
			continue;
		if (lm_str_eq(name, LM_STR(OUTBOX_TAKEN)))
			outbox_load_taken(o);
		else if (outbox_file_is_bad(d->d_name, &seq))
			outbox_reserve(o, seq);
		else if (lm_str_ends(name, LM_STR(".tmp")))
			(void)unlinkat(o->dir_fd, d->d_name, 0);
		else
			load_file(o, d->d_name);
	}
	o->bad_removed += outbox_file_limit_bad(o->dir_fd);
	return LM_OK;
}

lm_rc outbox_open(const char *directory, struct outbox **ret, struct lm_err *err)
{
	lm_rc rc = lm_dir_make(directory, 0700, err);

	if (rc != LM_OK)
		return lm_wrap(err, "open the outbox");
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return lm_fail(err, errno == EACCES ? LM_E_DENIED : LM_E_SYS, errno,
			"open the outbox '%s': %m", directory);

	lm_auto(outbox_close_p) struct outbox *o = lm_xcalloc(1, sizeof(*o));
	o->dir_fd = fd;
	o->path = lm_xstrdup(directory);
	o->next_seq = 1;
	rc = load_all(o, err);
	if (rc != LM_OK)
		return rc;
	*ret = lm_take(o);
	return LM_OK;
}

void outbox_close(struct outbox *o)
{
	if (!o)
		return;
	while (o->n > 0)
		outbox_forget(o, o->n - 1);
	for (size_t i = 0; i < o->taken_n; i++)
		free(o->taken[i]);
	free(o->taken);
	for (size_t i = 0; i < OUTBOX_CLASSES; i++)
		free(o->redirects[i]);
	free(o->entries);
	free(o->path);
	(void)close(o->dir_fd);
	free(o);
}
