// SPDX-License-Identifier: Apache-2.0
#include "daemon/log_router.h"

#include "base/limits.h"
#include "base/log.h"
#include "daemon/connector_log.h"

#include <string.h>
#include <unistd.h>

enum { HELD_MAX = 16 << 10 };

struct loggers {
	struct logger file;  ///< Type FileSystem.
	struct logger cloud; ///< Type AWSCloudWatch.
};

static const struct host_settings *settings;
static struct loggers loggers;
static struct connector_log *file;
static const struct log_router_shipper *shipper;
static struct log_follower *followers;
static bool holds;
static struct lm_buf held = {.max = HELD_MAX}; ///< Whole lines.

/// FATAL, a level that Lighterman does not have, includes errors.
static enum lm_level level_of(const char *name)
{
	for (enum lm_level level = LM_DEBUG; level <= LM_ERROR; level++) {
		if (strcmp(lm_level_name(level), name) == 0)
			return level;
	}
	return LM_ERROR;
}

/// Of several of one type the last counts. `items` may be NULL if `n` is 0.
static struct loggers read_loggers(const struct group_logger *items, size_t n)
{
	struct loggers found = {{.on = false}, {.on = false}};

	for (size_t i = 0; i < n; i++) {
		bool is_cloud = strcmp(items[i].type, "AWSCloudWatch") == 0;

		if (strcmp(items[i].component, "Lambda") == 0)
			*(is_cloud ? &found.cloud : &found.file) =
				(struct logger){true, level_of(items[i].level), items[i].space_kb};
	}
	if (!found.file.on && !found.cloud.on)
		found.file = (struct logger){true, LM_INFO, CONNECTOR_LOG_SPACE_KB};
	return found;
}

static enum lm_level stderr_level(void)
{
	return loggers.file.on ? loggers.file.level : LM_INFO;
}

static void log_router_write_lines(struct lm_str lines)
{
	(void)!write(STDERR_FILENO, lines.p, lines.n);
	if (file)
		connector_log_write(file, lines);
}

static void write_held(void)
{
	if (held.len > 0)
		log_router_write_lines(lm_buf_str(&held));
	lm_buf_clear(&held);
}

static void log_router_write_line(void *ctx, enum lm_level level, struct lm_str line)
{
	(void)ctx;
	if (level >= stderr_level()) {
		if (holds && held.len + line.n > held.max)
			write_held();
		if (!holds || !lm_buf_add_str(&held, line))
			log_router_write_lines(line);
		for (struct log_follower *f = followers; f; f = f->next)
			f->line(f->ctx, line);
	}
	if (shipper && loggers.cloud.on && level >= loggers.cloud.level)
		shipper->add(shipper->ctx, level, line);
}

static void log_router_open_file(const char *region)
{
	struct lm_err err = {LM_OK};
	const char *root =
		settings->write_directory ? settings->write_directory : settings->greengrass_root;

	if (file || !region)
		return;
	if (connector_log_open(root, region, loggers.file.space_kb, &file, &err))
		lm_error("open the connector log: %s; logging to stderr only", err.msg);
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

void log_router_open(const struct host_settings *host)
{
	settings = host;
	loggers = read_loggers(NULL, 0);
	set_level();
	lm_log_set_sink(log_router_write_line, NULL);
	log_router_open_file(host->region);
}

void log_router_close(void)
{
	lm_log_set_sink(NULL, NULL);
	close_file();
	shipper = NULL;
	settings = NULL;
}

void log_router_set_shipper(const struct log_router_shipper *to)
{
	shipper = to;
}

void log_router_apply(const struct group *group)
{
	loggers = read_loggers(group->loggers, group->loggers_n);
	set_level();
	if (!loggers.file.on)
		close_file();
	else
		log_router_open_file(settings->region ? settings->region : group->connector.region);
	if (file)
		connector_log_set_space(file, loggers.file.space_kb);
	if (shipper)
		shipper->apply(shipper->ctx, group, &loggers.cloud);
}

void log_router_hold(void)
{
	holds = true;
}

void log_router_release(void)
{
	write_held();
	lm_buf_finish(&held);
	holds = false;
}

void log_router_follow(struct log_follower *follower)
{
	follower->next = followers;
	followers = follower;
}

void log_router_unfollow(struct log_follower *follower)
{
	struct log_follower **at = &followers;

	while (*at && *at != follower)
		at = &(*at)->next;
	if (*at)
		*at = follower->next;
}

lm_rc log_router_tail(unsigned lines, struct lm_buf *out, struct lm_err *err)
{
	if (file)
		return connector_log_tail(file, lines, out, err);
	return lm_fail(err, LM_E_NOT_FOUND, 0,
		loggers.file.on ? "there is no log file yet: neither the host file nor a "
				  "deployment has named the region, which is part of its path"
				: "there is no log file: the group has loggers, and none of them "
				  "is a FileSystem one for Lambda");
}

void log_router_forward(void *ctx, struct lm_str line)
{
	char text[LIMIT_LOG_LINE];
	enum lm_level level = LM_ERROR;
	int64_t ignored = 0;
	(void)ctx;

	if (!lm_log_parse(line, &ignored, &level) || line.n >= sizeof(text)) {
		lm_error("lighterman-worker: %.*s", LM_STR_ARG(line));
		return;
	}
	for (size_t i = 0; i < line.n; i++) {
		unsigned char c = (unsigned char)line.p[i];

		text[i] = c < 0x20 || c == 0x7f ? '?' : line.p[i];
	}
	text[line.n] = '\n';
	log_router_write_line(NULL, level, (struct lm_str){text, line.n + 1});
}
