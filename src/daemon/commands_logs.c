// SPDX-License-Identifier: Apache-2.0
#include "daemon/commands_logs.h"

#include "base/limits.h"
#include "base/memory.h"
#include "daemon/daemon_log.h"

enum { LINES_DEFAULT = 100, LINES_MAX = 100000 };

struct logs_request {
	struct control_client *client;
	struct daemon_log_follower follower;
	unsigned long long left_out; ///< Lines, since the last one that was sent.
};

static void send_line(struct control_client *client, struct lm_str line)
{
	size_t n = lm_str_ends(line, LM_STR("\n")) ? line.n - 1 : line.n;
	size_t size = 4 * n + 32;
	lm_auto_free char *text = lm_xmalloc(size);

	// A part of the file may be another program's.
	(void)lm_str_shorten((struct lm_str){line.p, n}, n, text, size);
	control_send(client, json_pack("{s:s}", "line", text), false);
}

static void tell_left_out(struct logs_request *r)
{
	lm_auto_free char *text = lm_xasprintf(
		"%llu lines were left out here, as what came before was not read in time; they are "
		"in the log itself",
		r->left_out);

	if (r->left_out > 0)
		control_send(r->client, json_pack("{s:s}", "warning", text), false);
	r->left_out = 0;
}

static void on_line(void *ctx, struct lm_str line)
{
	struct logs_request *r = ctx;

	if (control_waiting(r->client) > LIMIT_LOG_TAIL) {
		r->left_out++;
		return;
	}
	tell_left_out(r);
	send_line(r->client, line);
}

static void send_past(struct control_client *client, struct lm_str text)
{
	while (text.n > 0)
		send_line(client, lm_str_cut(&text, '\n'));
}

struct logs_request *logs_begin(struct control_client *client, const json_t *request)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_LOG_TAIL);
	int64_t lines = json_get_int(request, "lines", LINES_DEFAULT);
	bool follows = json_get_bool(request, "follow", false);
	struct lm_err err = {LM_OK};

	if (lines < 0 || lines > LINES_MAX)
		lines = LINES_MAX;
	if (daemon_log_tail((unsigned)lines, &text, &err) && !follows) {
		control_end(client, control_last_line(1, err.msg));
		return NULL;
	}
	send_past(client, lm_buf_str(&text));
	if (!follows) {
		control_end(client, control_last_line(0, NULL));
		return NULL;
	}
	struct logs_request *r = lm_xcalloc(1, sizeof(*r));
	*r = (struct logs_request){.client = client, .follower = {.line = on_line, .ctx = r}};
	daemon_log_follow(&r->follower);
	return r;
}

void logs_end(struct logs_request *r)
{
	if (!r)
		return;
	daemon_log_unfollow(&r->follower);
	free(r);
}
