// SPDX-License-Identifier: Apache-2.0
#include "deploy/job_record.h"

#include "base/file.h"
#include "base/memory.h"
#include "damaged_file.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char directory[] = "/tmp/job_record_test.XXXXXX";
static struct damage damage;
static struct job_list list;

static int make_directory(void **state)
{
	(void)state;
	return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state)
{
	(void)state;
	damage_finish(&damage);
	return lm_tree_remove(AT_FDCWD, directory, NULL) == LM_OK ? 0 : -1;
}

static void read_again(void)
{
	damage_finish(&damage);
	job_record_read(directory, &damage, &list);
}

static struct job_list two_jobs(void)
{
	struct job_list jobs = {.n = 2};

	jobs.items[0] = (struct job_entry){.id = "b",
		.number = 2,
		.operation = JOB_ROLLS_BACK,
		.begun = true,
		.generation = 3,
		.newest = 4,
		.acted = true,
		.closed = true,
		.closed_as = JOB_STATUS_CANCELED,
		.status = JOB_STATUS_IN_PROGRESS};
	jobs.items[1] = (struct job_entry){.id = "a",
		.number = 1,
		.status = JOB_STATUS_REJECTED,
		.acknowledged = true,
		.reason = "no \"way\"",
		.ended_ms = 1700000000000};
	return jobs;
}

static void without_a_file_there_is_no_job(void **state)
{
	(void)state;
	read_again();
	assert_int_equal(list.n, 0);
	assert_int_equal(damage.n, 0);
}

static void what_is_written_is_read(void **state)
{
	const struct job_list jobs = two_jobs();

	(void)state;
	assert_int_equal(job_record_write(directory, &jobs, NULL), LM_OK);
	read_again();
	assert_int_equal(damage.n, 0);
	assert_int_equal(list.n, 2);
	assert_memory_equal(&list.items[0], &jobs.items[0], sizeof(jobs.items[0]));
	assert_string_equal(list.items[1].reason, "no \"way\"");
	assert_int_equal(list.items[1].status, JOB_STATUS_REJECTED);
	assert_true(list.items[1].acknowledged);
	assert_int_equal(list.items[1].ended_ms, 1700000000000);
}

static void as_many_as_are_kept_fit(void **state)
{
	struct job_list jobs = {.n = JOBS_KEPT};

	(void)state;
	for (size_t i = 0; i < JOBS_KEPT; i++) {
		jobs.items[i] = (struct job_entry){
			.status = JOB_STATUS_FAILED, .acknowledged = true, .number = (int64_t)i};
		memset(jobs.items[i].id, 'x', JOB_ID_SIZE - 1);
		memset(jobs.items[i].reason, '"', JOB_TEXT_SIZE - 1);
	}
	assert_int_equal(job_record_write(directory, &jobs, NULL), LM_OK);
	read_again();
	assert_int_equal(list.n, JOBS_KEPT);
}

static void put(const char *text)
{
	lm_auto_close int dir = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	assert_int_equal(lm_file_replace(dir, "jobs.json", lm_str(text), 0600, NULL), LM_OK);
}

#define ENTRY(status, more)                                                                        \
	"{\"job\":\"a\",\"execution\":1,\"operation\":\"deploy\",\"generation\":0,\"newest\":0,"   \
	"\"status\":\"" status "\",\"reason\":\"\"" more "}"

static void a_list_that_makes_no_sense_is_set_aside(void **state)
{
	static const char *const bad[] = {"[]", "{}", "{\"jobs\":[3]}",
		"{\"jobs\":[" ENTRY("QUEUED", "") "]}", "{\"jobs\":[" ENTRY("DONE", "") "]}",
		"{\"jobs\":[" ENTRY("IN_PROGRESS", ",\"acknowledged\":true") "]}",
		"{\"jobs\":[" ENTRY("FAILED", "") "," ENTRY("FAILED", "") "]}"};
	(void)state;

	for (size_t i = 0; i < LM_ARRAY_SIZE(bad); i++) {
		put(bad[i]);
		read_again();
		assert_int_equal(list.n, 0);
		assert_int_equal(damage.n, 1);
		assert_non_null(strstr(damage.notes[0], "'jobs.json.damaged'"));
		read_again();
		assert_int_equal(damage.n, 0);
	}
	put("{\"jobs\":[" ENTRY("FAILED", "") "]}");
	read_again();
	assert_int_equal(list.n, 1);
}

static void assert_set_aside(const char *kind)
{
	const struct job_list jobs = two_jobs();

	read_again();
	if (list.n != 0 || damage.n != 1 || !strstr(damage.notes[0], "is run again"))
		fail_msg("%s", kind);
	assert_int_equal(job_record_write(directory, &jobs, NULL), LM_OK);
	read_again();
	assert_int_equal(list.n, 2);
}

static void any_damage_is_found_and_set_aside(void **state)
{
	lm_auto_free char *path = lm_path_join(directory, "jobs.json");
	const struct job_list jobs = two_jobs();
	(void)state;

	assert_int_equal(job_record_write(directory, &jobs, NULL), LM_OK);
	damaged_file_each(path, assert_set_aside);
}

static void a_directory_that_is_not_there_is_reported(void **state)
{
	const struct job_list jobs = two_jobs();
	struct lm_err err = {LM_OK};
	(void)state;

	assert_int_equal(job_record_write("/nonexistent", &jobs, &err), LM_E_SYS);
	assert_non_null(strstr(err.msg, "/nonexistent"));
	damage_finish(&damage);
	job_record_read("/nonexistent", &damage, &list);
	assert_int_equal(list.n, 0);
	assert_int_equal(damage.n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(without_a_file_there_is_no_job),
		cmocka_unit_test(what_is_written_is_read),
		cmocka_unit_test(as_many_as_are_kept_fit),
		cmocka_unit_test(a_list_that_makes_no_sense_is_set_aside),
		cmocka_unit_test(any_damage_is_found_and_set_aside),
		cmocka_unit_test(a_directory_that_is_not_there_is_reported),
	};

	return cmocka_run_group_tests_name(
		"deploy/job_record", tests, make_directory, remove_directory);
}
