// SPDX-License-Identifier: Apache-2.0
#include "daemon/daemon_log.h"

#include "base/limits.h"
#include "base/log.h"
#include "daemon/connector_log.h"
#include "daemon/loggers.h"

#include <unistd.h>

enum { HELD_MAX = 16 << 10 };

static const struct host_settings *settings;
static struct loggers loggers;
static struct connector_log *file;
static struct shipping *shipping;
static struct daemon_log_follower *followers;
static bool holds;
static struct lm_buf held = {.max = HELD_MAX}; ///< Whole lines.

static enum lm_level stderr_level(void)
{
	return loggers.file.on ? loggers.file.level : LM_INFO;
}

static void write_lines(struct lm_str lines)
{
	(void)!write(STDERR_FILENO, lines.p, lines.n);
	if (file)
		connector_log_write(file, lines);
}

static void write_held(void)
{
	if (held.len > 0)
		write_lines(lm_buf_str(&held));
	lm_buf_clear(&held);
}

static void write_line(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)ctx;
	if (level >= stderr_level()) {
		if (holds && held.len + line.n > held.max)
			write_held();
		if (!holds || !lm_buf_add_str(&held, line))
			write_lines(line);
		for (struct daemon_log_follower *f = followers; f; f = f->next)
			f->line(f->ctx, line);
	}
	if (shipping && loggers.cloud.on && level >= loggers.cloud.level)
		shipping_add(shipping, level, line);
}

static void open_file(const char *region)
{
	struct lm_err err = {LM_OK};
	const char *root =
		settings->write_directory ? settings->write_directory : settings->greengrass_root;

	if (file || !region)
		return;
	if (connector_log_open(root, region, loggers.file.space_kb, &file, &err))
		lm_error("open the connector log: %s; going on with stderr alone", err.msg);
}

static void close_file(void)
{
	connector_log_close(lm_take(file));
}

static void set_level(void)
{
	enum lm_level lowest = stderr_level();

	if (loggers.cloud.on && loggers.cloud.level < lowest)
		lowest = loggers.cloud.level;
	lm_log_set_level(lowest);
}

void daemon_log_begin(const struct host_settings *host)
{
	settings = host;
	loggers = loggers_read(NULL, 0);
	set_level();
	lm_log_set_sink(write_line, NULL);
	open_file(host->region);
}

void daemon_log_end(void)
{
	lm_log_set_sink(NULL, NULL);
	close_file();
	shipping = NULL;
	settings = NULL;
}

void daemon_log_set_shipping(struct shipping *ships)
{
	shipping = ships;
}

void daemon_log_apply(const struct group *group)
{
	loggers = loggers_read(group->loggers, group->loggers_n);
	set_level();
	if (!loggers.file.on)
		close_file();
	else
		open_file(settings->region ? settings->region : group->connector.region);
	if (file)
		connector_log_set_space(file, loggers.file.space_kb);
	if (shipping)
		shipping_apply(shipping, group, &loggers.cloud);
}

void daemon_log_hold(void)
{
	holds = true;
}

void daemon_log_release(void)
{
	write_held();
	lm_buf_finish(&held);
	holds = false;
}

void daemon_log_follow(struct daemon_log_follower *follower)
{
	follower->next = followers;
	followers = follower;
}

void daemon_log_unfollow(struct daemon_log_follower *follower)
{
	struct daemon_log_follower **at = &followers;

	while (*at && *at != follower)
		at = &(*at)->next;
	if (*at)
		*at = follower->next;
}

lm_rc daemon_log_tail(unsigned lines, struct lm_buf *out, struct lm_err *err)
{
	if (file)
		return connector_log_tail(file, lines, out, err);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		loggers.file.on
			? "there is no log file yet: neither the host file nor a deployment has "
			  "named the region, which is part of its path"
			: "there is no log file: the group has loggers, and none of them is a "
			  "FileSystem one for Lambda");
}

void daemon_log_forward(struct lm_str line)
{
	char text[LIMIT_LOG_LINE];
	enum lm_level level = LM_ERROR;
	int64_t ignored = 0;

	if (!lm_log_parse(line, &ignored, &level) || line.n >= sizeof(text)) {
		lm_error("lighterman-worker: %.*s", LM_STR_ARG(line));
		return;
	}
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		text[i] = c < 0x20 || c == 0x7f ? '?' : line.p[i];
	}
	text[line.n] = '\n';
	write_line(NULL, level, (struct lm_str){text, line.n + 1});
}
