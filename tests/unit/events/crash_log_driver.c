// SPDX-License-Identifier: Apache-2.0
//
// A program to be killed: it adds numbered records to a log, and prints which it has
// added. tests/e2e/crash_log_kill_test.py runs it.
//
//     crash_log_driver DIRECTORY FIRST LAST     adds them
//     crash_log_driver DIRECTORY                prints the numbers that are there, newest first

#include "base/cleanup.h"
#include "events/crash_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

static void print(const char *word, const char *id)
{
	char line[64];
	int size = snprintf(line, sizeof(line), "%s %s\n", word, id);

	// Not write: into that faults are injected.
	(void)!writev(STDOUT_FILENO, &(struct iovec){line, (size_t)size}, 1);
}

static lm_rc add(struct crash_log *crashes, long n, struct lm_err *err)
{
	char id[16];

	(void)snprintf(id, sizeof(id), "%ld", n);
	lm_auto_json json_t *record = json_pack("{s:s, s:s}", "id", id, "log", "a line");
	lm_rc rc = crash_log_add(crashes, record, err);
	if (rc == LM_OK)
		print("added", id);
	return rc;
}

static void list(const struct crash_log *crashes)
{
	lm_auto_json json_t *records = crash_log_to_json(crashes);

	for (size_t i = 0; i < json_array_size(records); i++)
		print("has", json_get_text(json_array_get(records, i), "id"));
}

int main(int argc, char **argv)
{
	lm_auto(crash_log_close_p) struct crash_log *crashes = NULL;
	lm_auto(damage_finish) struct damage damage = {0};
	struct lm_err err = {LM_OK};

	if (argc != 2 && argc != 4)
		return 64;
	lm_rc rc = crash_log_open(argv[1], &damage, &crashes, &err);
	if (rc == LM_OK && argc == 2)
		list(crashes);
	long last = argc == 4 ? strtol(argv[3], NULL, 10) : 0;
	for (long n = argc == 4 ? strtol(argv[2], NULL, 10) : 1; rc == LM_OK && n <= last; n++)
		rc = add(crashes, n, &err);
	if (rc)
		(void)fprintf(stderr, "%s\n", err.msg);
	return rc ? 1 : 0;
}
