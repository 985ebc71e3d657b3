// SPDX-License-Identifier: Apache-2.0
#include "base/log.h"
#include "base/memory.h"
#include "worker/check_priv.h"

static json_t *optional_text(const char *text)
{
	return text ? report_text(text) : json_null();
}

static void tell(struct checkup *c, json_t *ok, bool warning, const char *message, const char *mend)
{
	work_tell(c->w, json_pack("{s:s, s:o, s:b, s:o, s:o}", "check", c->name, "ok", ok,
				"warning", (int)warning, "message", report_text(message), "mend",
				optional_text(mend)));
}

void check_ok(struct checkup *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	lm_auto_free char *message = lm_xvasprintf(format, ap);
	va_end(ap);
	tell(c, json_true(), false, message, NULL);
}

void check_warn(struct checkup *c, const char *message, const char *mend)
{
	tell(c, json_true(), true, message, mend);
}

void check_wrong(struct checkup *c, const struct lm_err *err, const char *mend)
{
	if (err->rc == LM_E_CANCELLED) {
		c->cancelled = true;
		return;
	}
	c->wrong_n++;
	tell(c, json_false(), false, err->msg, mend);
}

void check_skip(struct checkup *c, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	lm_auto_free char *message = lm_xvasprintf(format, ap);
	va_end(ap);
	tell(c, json_null(), false, message, NULL);
}

const char *check_lack(const struct checkup *c, unsigned needs)
{
	static const struct {
		enum check_need need;
		const char *words;
	} rows[] = {
		{NEED_DEFINITION, "there is no definition to check"},
		{NEED_USER, "the application's user is not known"},
		{NEED_ENGINE, "the Docker daemon cannot be asked"},
		{NEED_COMPOSE, "there is no docker-compose that runs"},
		{NEED_DESTINATION, "the destination cannot be used"},
		{NEED_CREDENTIALS, "there are no AWS credentials"},
		{NEED_FILE, "there is no compose file"},
	};

	for (size_t i = 0; i < LM_ARRAY_SIZE(rows); i++) {
		if (needs & ~c->have & (unsigned)rows[i].need)
			return rows[i].words;
	}
	return NULL;
}

/// "[…Z][WARN]-prepare.c:102,words\n": the words.
static struct lm_str words_of(struct lm_str line)
{
	struct lm_str rest = line;

	(void)lm_str_cut(&rest, ',');
	return lm_str_trim(rest.n > 0 ? rest : line);
}

static void take_log_line(void *ctx, enum lm_level level, struct lm_str line)
{
	struct checkup *c = ctx;
	struct lm_str words = words_of(line);

	if (level == LM_WARN && c->warnings_n < CHECK_WARNINGS_MAX)
		c->warnings[c->warnings_n++] = lm_xmemdup0(words.p, words.n);
}

void check_log_begin(struct checkup *c)
{
	lm_log_set_sink(take_log_line, c);
}

void check_log_end(struct checkup *c)
{
	lm_log_set_sink(NULL, NULL);
	for (size_t i = 0; i < c->warnings_n; i++) {
		check_warn(c, c->warnings[i], NULL);
		free(c->warnings[i]);
	}
	c->warnings_n = 0;
}
