// SPDX-License-Identifier: Apache-2.0
#include "deploy/job_record.h"

#include "base/file.h"
#include "base/memory.h"
#include "sys/json.h"
#include "sys/record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define RECORD "jobs.json"
#define MEANING                                                                                    \
	"which jobs of AWS IoT this device has run is not known any more: one that the cloud "     \
	"still "                                                                                   \
	"lists is run again"

enum { RECORD_MAX = JOBS_KEPT * (6 * JOB_TEXT_SIZE + 512) };

static bool copy_job_text(const json_t *from, const char *key, char *out, size_t size)
{
	const char *text = json_get_text(from, key);

	if (text)
		(void)snprintf(out, size, "%s", text);
	return text && strlen(text) < size;
}

static bool read_job_entry(const json_t *from, struct job_entry *ret)
{
	char operation[16];
	int64_t generation = json_get_int(from, "generation", -1);
	int64_t newest = json_get_int(from, "newest", -1);

	if (!copy_job_text(from, "job", ret->id, sizeof(ret->id)) || ret->id[0] == '\0' ||
		!copy_job_text(from, "operation", operation, sizeof(operation)) ||
		!copy_job_text(from, "reason", ret->reason, sizeof(ret->reason)))
		return false;
	ret->number = json_get_int(from, "execution", -1);
	ret->operation = strcmp(operation, job_operation_name(JOB_ROLLS_BACK)) == 0 ? JOB_ROLLS_BACK
										    : JOB_DEPLOYS;
	ret->begun = json_get_bool(from, "begun", false);
	ret->acted = json_get_bool(from, "acted", false);
	ret->acknowledged = json_get_bool(from, "acknowledged", false);
	// Earlier releases did not record these.
	ret->closed = json_get_bool(from, "closed", false);
	if (ret->closed)
		ret->closed_as = job_status_from_name(json_get_text(from, "closed_as"));
	ret->status = job_status_from_name(json_get_text(from, "status"));
	ret->ended_ms = json_get_int(from, "ended_ms", 0);
	ret->generation = (unsigned)generation;
	ret->newest = (unsigned)newest;
	return ret->number >= 0 && generation >= 0 && generation <= INT32_MAX && newest >= 0 &&
	       newest <= INT32_MAX && ret->status != JOB_STATUSES &&
	       ret->status != JOB_STATUS_QUEUED &&
	       !(ret->acknowledged && ret->status == JOB_STATUS_IN_PROGRESS);
}

/// Only the newest can be unacknowledged.
static bool read_job_list(const json_t *record, struct job_list *ret)
{
	const json_t *jobs = json_object_get(record, "jobs");
	size_t i;
	json_t *item;

	if (!json_is_array(jobs) || json_array_size(jobs) > JOBS_KEPT)
		return false;
	json_array_foreach(jobs, i, item)
	{
		if (!read_job_entry(item, &ret->items[i]) || (i > 0 && !ret->items[i].acknowledged))
			return false;
	}
	ret->n = json_array_size(jobs);
	return true;
}

static lm_rc open_directory(const char *path, int *ret, struct lm_err *err)
{
	*ret = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *ret < 0 ? lm_fail(err, LM_E_SYS, errno, "open '%s': %m", path) : LM_OK;
}

void job_record_read(const char *state_directory, struct damage *damage, struct job_list *ret)
{
	lm_auto_close int dir = -1;
	lm_auto_json json_t *record = NULL;
	struct job_list list = {.n = 0};
	struct lm_err err = {LM_OK};

	*ret = (struct job_list){.n = 0};
	if (open_directory(state_directory, &dir, &err)) {
		damage_note(damage, "%s; " MEANING, err.msg);
		return;
	}
	lm_rc rc = record_json_load(dir, RECORD, RECORD_MAX, MEANING, damage, &record);
	if (rc == LM_OK && read_job_list(record, &list))
		*ret = list;
	else if (rc == LM_OK)
		(void)damage_report(
			damage, dir, RECORD, "'" RECORD "' is no list of jobs", MEANING);
}

static json_t *entry_to_json(const struct job_entry *e)
{
	return json_pack("{s:s, s:I, s:s, s:b, s:b, s:I, s:I, s:s, s:b, s:b, s:s, s:s, s:I}", "job",
		e->id, "execution", (json_int_t)e->number, "operation",
		job_operation_name(e->operation), "begun", (int)e->begun, "acted", (int)e->acted,
		"generation", (json_int_t)e->generation, "newest", (json_int_t)e->newest, "status",
		job_status_name(e->status), "acknowledged", (int)e->acknowledged, "closed",
		(int)e->closed, "closed_as", e->closed ? job_status_name(e->closed_as) : "",
		"reason", e->reason, "ended_ms", (json_int_t)e->ended_ms);
}

lm_rc job_record_write(const char *state_directory, const struct job_list *list, struct lm_err *err)
{
	lm_auto_close int dir = -1;
	json_t *jobs = json_array();
	lm_auto_json json_t *record = json_pack("{s:i, s:o}", "format", 1, "jobs", jobs);
	lm_rc rc = open_directory(state_directory, &dir, err);

	for (size_t i = 0; i < list->n; i++)
		json_array_append_new(jobs, entry_to_json(&list->items[i]));
	return rc ? rc : record_json_replace(dir, RECORD, RECORD_MAX, record, err);
}
