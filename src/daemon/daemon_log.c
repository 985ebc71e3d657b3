// SPDX-License-Identifier: Apache-2.0
#include "daemon/daemon_log.h"

#include "base/limits.h"
#include "base/log.h"
#include "daemon/connector_log.h"

#include <string.h>
#include <unistd.h>

static const struct host_settings *settings;
static struct connector_log *file;
static unsigned space_kb = CONNECTOR_LOG_SPACE_KB;

static void write_line(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)ctx;
	(void)level;
	(void)!write(STDERR_FILENO, line.p, line.n);
	if (file)
		connector_log_write(file, line);
}

static void open_file(const char *region)
{
	struct lm_err err = {LM_OK};
	const char *root =
		settings->write_directory ? settings->write_directory : settings->greengrass_root;

	if (file || !region)
		return;
	if (connector_log_open(root, region, space_kb, &file, &err))
		lm_error("open the connector log: %s; going on with stderr alone", err.msg);
}

void daemon_log_begin(const struct host_settings *host)
{
	settings = host;
	lm_log_set_sink(write_line, NULL);
	open_file(host->region);
}

void daemon_log_end(void)
{
	lm_log_set_sink(NULL, NULL);
	connector_log_close(file);
	file = NULL;
	settings = NULL;
}

static enum lm_level level_of(const char *name)
{
	for (enum lm_level level = LM_DEBUG; level <= LM_ERROR; level++) {
		if (strcmp(lm_level_name(level), name) == 0)
			return level;
	}
	return strcmp(name, "FATAL") == 0 ? LM_ERROR : LM_INFO;
}

void daemon_log_apply(const struct group *group)
{
	enum lm_level level = LM_INFO;

	space_kb = CONNECTOR_LOG_SPACE_KB;
	for (size_t i = 0; i < group->loggers_n; i++) {
		const struct group_logger *logger = &group->loggers[i];

		if (strcmp(logger->component, "Lambda") != 0 ||
			strcmp(logger->type, "FileSystem") != 0)
			continue;
		level = level_of(logger->level);
		space_kb = logger->space_kb;
	}
	lm_log_set_level(level);
	open_file(settings->region ? settings->region : group->connector.region);
	if (file)
		connector_log_set_space(file, space_kb);
}

/// "[…Z][LEVEL]-": what lm_log writes.
static bool has_form(struct lm_str line)
{
	struct lm_str rest = line;

	if (line.n == 0 || line.p[0] != '[')
		return false;
	if (!lm_str_ends(lm_str_cut(&rest, ']'), LM_STR("Z")) || rest.n == 0 || rest.p[0] != '[')
		return false;
	(void)lm_str_cut(&rest, '[');
	struct lm_str word = lm_str_cut(&rest, ']');
	for (enum lm_level level = LM_DEBUG; level <= LM_ERROR; level++) {
		if (lm_str_eq(word, lm_str(lm_level_name(level))))
			return rest.n > 0 && rest.p[0] == '-';
	}
	return false;
}

void daemon_log_forward(struct lm_str line)
{
	char text[LIMIT_LOG_LINE];

	if (!has_form(line) || line.n >= sizeof(text)) {
		lm_error("lighterman-worker: %.*s", LM_STR_ARG(line));
		return;
	}
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		text[i] = c < 0x20 || c == 0x7f ? '?' : line.p[i];
	}
	text[line.n] = '\n';
	write_line(NULL, LM_INFO, (struct lm_str){text, line.n + 1});
}
