// SPDX-License-Identifier: Apache-2.0

/// A file of the state directory beside the store, whatever is in it: it is read, or set aside with
/// a note.

#include "base/cleanup.h"
#include "base/file.h"
#include "base/memory.h"
#include "daemon/boot_record.h"
#include "daemon/log_spool.h"
#include "deploy/job_record.h"
#include "events/crash_log.h"
#include "events/event_cursor.h"
#include "mqtt/outbox.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char directory[] = "/dev/shm/state_files_fuzz.XXXXXX";
static int directory_fd = -1;

static void remove_directory(void)
{
	(void)lm_tree_remove(AT_FDCWD, directory, NULL);
}

static void read_events(struct damage *damage)
{
	struct event_cursor c;

	event_cursor_load(directory, "boot", 1000, damage, &c);
	if (event_cursor_is_ahead(event_cursor_from(&c), 1000))
		abort();
}

static void read_boot(struct damage *damage)
{
	enum boot_kind kind;
	unsigned left;
	struct lm_err err;

	if (boot_record_read(directory, damage, &kind, &left, &err) != LM_OK ||
		(damage->n > 0 && (kind != BOOT_UNCLEAN || left != 0)))
		abort();
}

static void read_crashes(struct damage *damage)
{
	lm_auto(crash_log_close_p) struct crash_log *l = NULL;
	struct lm_err err;

	if (crash_log_open(directory, damage, &l, &err) != LM_OK)
		abort();
	lm_auto_json json_t *list = crash_log_to_json(l);
	if (json_array_size(list) + damage->n != 1)
		abort();
}

static void read_jobs(struct damage *damage)
{
	struct job_list list;
	struct lm_err err;

	job_record_read(directory, damage, &list);
	if (list.n > JOBS_KEPT || (damage->n > 0 && list.n > 0))
		abort();
	if (damage->n == 0 && job_record_write(directory, &list, &err) != LM_OK)
		abort();
}

static void read_log(struct damage *damage)
{
	lm_auto(log_spool_close_p) struct log_spool *s = NULL;
	struct lm_err err;

	if (log_spool_open(directory, 16, damage, &s, &err) != LM_OK || log_spool_waits(s))
		abort();
}

static void read_outbox(struct damage *damage)
{
	lm_auto(outbox_close_p) struct outbox *o = NULL;
	struct lm_err err;

	(void)damage;
	if (outbox_open(directory, &o, &err) != LM_OK || outbox_counts(o).bad > 1)
		abort();
}

static const struct {
	const char *name;
	void (*read)(struct damage *damage);
} FILES[] = {{"events.json", read_events}, {"boot.json", read_boot}, {"jobs.json", read_jobs},
	{"00000000000000000001.json", read_crashes}, {"cursor", read_log}, {"taken", read_outbox}};

/// An empty directory with that file.
static void put_file(const char *name, struct lm_str text)
{
	lm_auto_close int fd = -1;

	remove_directory();
	if (mkdir(directory, 0700) < 0)
		abort();
	lm_cleanup_close(&directory_fd);
	directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	fd = openat(directory_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || lm_fd_write_all(fd, name, text, NULL) != LM_OK)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static bool is_made;

	if (!is_made) {
		if (!mkdtemp(directory) || atexit(remove_directory) != 0)
			abort();
		is_made = true;
	}
	for (size_t i = 0; i < LM_ARRAY_SIZE(FILES); i++) {
		lm_auto(damage_finish) struct damage damage = {0};

		put_file(FILES[i].name, (struct lm_str){(const char *)data, size});
		FILES[i].read(&damage);
		if (damage.n > 1)
			abort();
		lm_auto_free char *aside = lm_xasprintf("%s" DAMAGE_SUFFIX, FILES[i].name);
		bool is_aside = faccessat(directory_fd, aside, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
		if (is_aside != (damage.n == 1))
			abort();
	}
	return 0;
}
