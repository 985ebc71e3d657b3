// SPDX-License-Identifier: Apache-2.0
#include "base/limits.h"
#include "cli/cmd_device.h"
#include "cli/cmd_history.h"
#include "cli/cmd_status.h"
#include "cli/progress.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct terminal_style STYLES[] = {
	{.columns = 80, .rows = 24},
	{.moving = true, .colour = true, .utf8 = true, .columns = 1, .rows = 1},
	{.moving = true, .columns = 80, .rows = 5},
};

/// Nothing that came from outside commands the terminal.
static void check_plain(const struct lm_buf *text)
{
	if (text->overflow || !lm_str_is_utf8(lm_buf_str(text)))
		abort();
	for (size_t i = 0; i < text->len; i++) {
		if ((text->data[i] & 0xe0) == 0 && text->data[i] != '\n')
			abort();
	}
}

/// Each line is an event of a job and a status, shown in each style.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < sizeof(STYLES) / sizeof(STYLES[0]); i++) {
		lm_auto(progress_destroy_p) struct progress *p = progress_create();
		struct lm_str rest = {(const char *)data, size};

		for (uint64_t now_ms = 0; rest.n; now_ms += 1000) {
			lm_auto_json json_t *line = NULL;
			lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);
			lm_auto_buf struct lm_buf text = LM_BUF(16 * LIMIT_CONTROL_REPLY);
			struct lm_err err;

			if (json_parse(lm_str_cut(&rest, '\n'), &line, &err))
				continue;
			progress_take(p, &STYLES[i], line, now_ms, &text);
			progress_draw(p, &STYLES[i], now_ms, &text);
			status_render(line, (int64_t)now_ms, &page);
			device_render_added(line, false, &page);
			device_render_list(line, &page);
			history_render(line, (int64_t)now_ms, STYLES[i].columns, &page);
			check_plain(&page);
			if (!STYLES[i].moving)
				check_plain(&text);
		}
	}
	return 0;
}
