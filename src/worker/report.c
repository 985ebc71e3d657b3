// SPDX-License-Identifier: Apache-2.0
#include "worker/report.h"

#include "base/file.h"
#include "base/limits.h"
#include "base/secret.h"

#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
	ALIVE_MAX_MS = 10 * 1000,
	ALIVE_MIN_MS = 100, ///< Not to be busy with it.
	ALIVE_PARTS = 3,    ///< Two signs may come late.
};

static lm_rc add_stop_source(struct report *r, int fd, struct lm_err *err)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (epoll_ctl(r->stop_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return lm_fail(err, LM_E_SYS, errno, "watch for the order to stop: %m");
	return LM_OK;
}

lm_rc report_init(struct report *r, int in, int out, struct lm_err *err)
{
	sigset_t stop;

	*r = (struct report){.in = in, .out = out, .signal_fd = -1, .stop_fd = -1};
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigaddset(&stop, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &stop, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	r->signal_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	r->stop_fd = epoll_create1(EPOLL_CLOEXEC);
	if (r->signal_fd < 0 || r->stop_fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "watch for the order to stop: %m");
	lm_rc rc = add_stop_source(r, r->signal_fd, err);
	// Between a `go` and the next begin nothing is written to us: readable then means its end.
	return rc ? rc : add_stop_source(r, r->in, err);
}

void report_finish(struct report *r)
{
	lm_cleanup_close(&r->signal_fd);
	lm_cleanup_close(&r->stop_fd);
	lm_buf_finish(&r->pending);
	*r = (struct report){.in = -1, .out = -1, .signal_fd = -1, .stop_fd = -1};
}

static void send_alive(void *ctx)
{
	struct lm_err ignored; // whoever waits finds out from stop_fd

	(void)!report_send(ctx, json_pack("{s:b}", "alive", 1), &ignored);
}

static unsigned alive_ms(unsigned silence_s)
{
	uint64_t ms = (uint64_t)silence_s * 1000 / ALIVE_PARTS;

	if (ms < ALIVE_MIN_MS)
		return ALIVE_MIN_MS;
	return ms > ALIVE_MAX_MS ? ALIVE_MAX_MS : (unsigned)ms;
}

struct wait_limit report_limit(struct report *r, unsigned silence_s)
{
	return (struct wait_limit){.cancel_fd = r->stop_fd,
		.alive = send_alive,
		.alive_ctx = r,
		.alive_ms = alive_ms(silence_s),
		.alive_due_ms = &r->alive_due_ms};
}

lm_rc report_wait(struct report *r, unsigned silence_s, struct lm_err *err)
{
	struct pollfd in = {.fd = r->in, .events = POLLIN};
	struct wait_limit limit = report_limit(r, silence_s);

	limit.cancel_fd = r->signal_fd;
	return wait_for(&in, 1, &limit, err);
}

static lm_rc wait_to_read(const struct report *r, struct lm_err *err)
{
	struct pollfd in = {.fd = r->in, .events = POLLIN};
	struct wait_limit limit = {.cancel_fd = r->signal_fd};

	return wait_for(&in, 1, &limit, err);
}

lm_rc report_take_handover(struct report *r, struct handover *ret, struct lm_err *err)
{
	if (!lm_secret_is_hardened())
		return lm_fail(err, LM_E_SYS, 0,
			"the system does not keep other programs of this user out of this one");
	lm_rc rc = report_send(r, json_pack("{s:b}", "hardened", 1), err);

	if (!rc)
		rc = wait_to_read(r, err);
	return rc ? rc : handover_receive(r->in, ret, err);
}

static lm_rc read_more(struct report *r, struct lm_err *err)
{
	char piece[16 * 1024];
	lm_rc rc = wait_to_read(r, err);

	if (rc)
		return rc;
	ssize_t n = read(r->in, piece, sizeof(piece));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return LM_OK;
	if (n <= 0)
		return lm_fail(err, LM_E_CANCELLED, 0, "told to stop");
	if (!lm_buf_add(&r->pending, piece, (size_t)n))
		return lm_fail(
			err, LM_E_TOO_LARGE, 0, "a line is longer than %zu bytes", r->pending.max);
	return LM_OK;
}

lm_rc report_read_line(struct report *r, size_t max, struct lm_str *ret, struct lm_err *err)
{
	r->pending.max = max;
	lm_buf_clear(&r->pending); // the line before: nothing is sent to us ahead of its time
	for (;;) {
		struct lm_str have = lm_buf_str(&r->pending);
		size_t n = lm_str_find(have, '\n');

		if (n < have.n) {
			*ret = (struct lm_str){have.p, n};
			return LM_OK;
		}
		lm_rc rc = read_more(r, err);
		if (rc)
			return rc;
	}
}

lm_rc report_send(struct report *r, json_t *line, struct lm_err *err)
{
	lm_auto_json json_t *owned = line;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_WORKER_LINE);

	if (!owned || !json_write(owned, &text) || !lm_buf_putc(&text, '\n'))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "a report is too long to be sent");
	return lm_fd_write_all(r->out, "lightermand", lm_buf_str(&text), err);
}

json_t *report_text(const char *text)
{
	char shown[4 * LM_ERR_MSG_SIZE + 32];

	if (lm_str_is_utf8(lm_str(text)))
		return json_string(text);
	return json_string(lm_str_shorten(lm_str(text), LM_ERR_MSG_SIZE, shown, sizeof(shown)));
}

static json_t *event_line(const struct deploy_event *event)
{
	json_t *line = json_pack("{s:s, s:s}", "stage", deploy_stage_name(event->stage), "state",
		deploy_state_name(event->state));

	if (event->state == DEPLOY_END || event->state == DEPLOY_FAIL)
		(void)json_object_set_new(line, "ms", json_integer((json_int_t)event->ms));
	if (event->message)
		(void)json_object_set_new(line, "message", report_text(event->message));
	if (event->is_warning)
		(void)json_object_set_new(line, "warning", json_true());
	return line;
}

lm_rc report_stage(struct report *r, const struct deploy_event *event, struct lm_err *err)
{
	struct lm_str answer;
	lm_rc rc = report_send(r, event_line(event), err);

	if (rc || event->state != DEPLOY_BEGIN)
		return rc;
	rc = report_read_line(r, LIMIT_WORKER_LINE, &answer, err);
	if (!rc && !lm_str_eq(answer, LM_STR("go")))
		return lm_fail(
			err, LM_E_PROTOCOL, 0, "lightermand answered something else than 'go'");
	return rc;
}
