// SPDX-License-Identifier: Apache-2.0
//
// A program to be killed: it writes numbered lines to a connector log, and says on stdout which
// it has handed over. tests/e2e/connector_log_kill_test.py runs it.
//
//     connector_log_driver ROOT SPACE_KB FIRST LAST
//
// Each line is "line N size S xxx…" and S bytes long.

#include "base/buf.h"
#include "base/limits.h"
#include "daemon/connector_log.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <unistd.h>

static void say(const char *word, long n)
{
	char line[64];
	int size = snprintf(line, sizeof(line), "%s %ld\n", word, n);

	// Not write: into that faults are injected.
	(void)!writev(STDOUT_FILENO, &(struct iovec){line, (size_t)size}, 1);
}

static void write_line(struct connector_log *log, long n)
{
	lm_auto_buf struct lm_buf line = LM_BUF(LIMIT_LOG_LINE);
	size_t size = 40 + (size_t)(n * 37 % 300);

	(void)lm_buf_printf(&line, "line %ld size %zu ", n, size);
	while (line.len < size - 1)
		(void)lm_buf_putc(&line, 'x');
	(void)lm_buf_putc(&line, '\n');
	connector_log_write(log, lm_buf_str(&line));
}

int main(int argc, char **argv)
{
	lm_auto(connector_log_close_p) struct connector_log *log = NULL;
	struct lm_err err;

	if (argc != 5)
		return 64;
	unsigned space = (unsigned)strtoul(argv[2], NULL, 10);
	if (connector_log_open(argv[1], "us-east-1", space, &log, &err) != LM_OK) {
		(void)fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	long last = strtol(argv[4], NULL, 10);
	for (long n = strtol(argv[3], NULL, 10); n <= last; n++) {
		write_line(log, n);
		say("handed", n);
	}
	say("done", last);
	return 0;
}
