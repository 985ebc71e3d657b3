// SPDX-License-Identifier: Apache-2.0
#include "worker/protocol.h"

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
	ALIVE_MIN_MS = 100, ///< At least.
	ALIVE_PARTS = 3,    ///< Two may be late.
};

static lm_rc add_stop_source(struct protocol *p, int fd, struct lm_err *err)
{
	struct epoll_event event = {.events = EPOLLIN};

	if (epoll_ctl(p->stop_fd, EPOLL_CTL_ADD, fd, &event) < 0)
		return lm_fail(err, LM_E_SYS, errno, "watch for signals: %m");
	return LM_OK;
}

lm_rc protocol_init(struct protocol *p, int in, int out, struct lm_err *err)
{
	sigset_t stop;

	*p = (struct protocol){.in = in, .out = out, .signal_fd = -1, .stop_fd = -1};
	(void)sigemptyset(&stop);
	(void)sigaddset(&stop, SIGTERM);
	(void)sigaddset(&stop, SIGINT);
	(void)sigprocmask(SIG_BLOCK, &stop, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	p->signal_fd = signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
	p->stop_fd = epoll_create1(EPOLL_CLOEXEC);
	if (p->signal_fd < 0 || p->stop_fd < 0)
		return lm_fail(err, LM_E_SYS, errno, "watch for signals: %m");
	lm_rc rc = add_stop_source(p, p->signal_fd, err);
	// Nothing is sent to us between a `go` and the next begin: readable then means end of file.
	return rc ? rc : add_stop_source(p, p->in, err);
}

void protocol_finish(struct protocol *p)
{
	lm_cleanup_close(&p->signal_fd);
	lm_cleanup_close(&p->stop_fd);
	lm_buf_finish(&p->pending);
	*p = (struct protocol){.in = -1, .out = -1, .signal_fd = -1, .stop_fd = -1};
}

static void send_alive(void *ctx)
{
	struct lm_err ignored; // whoever waits finds out from stop_fd

	(void)!protocol_send(ctx, json_pack("{s:b}", "alive", 1), &ignored);
}

static unsigned alive_ms(unsigned silence_s)
{
	uint64_t ms = (uint64_t)silence_s * 1000 / ALIVE_PARTS;

	if (ms < ALIVE_MIN_MS)
		return ALIVE_MIN_MS;
	return ms > ALIVE_MAX_MS ? ALIVE_MAX_MS : (unsigned)ms;
}

struct wait_limit protocol_limit(struct protocol *p, unsigned silence_s)
{
	return (struct wait_limit){.cancel_fd = p->stop_fd,
		.alive = send_alive,
		.alive_ctx = p,
		.alive_ms = alive_ms(silence_s),
		.alive_due_ms = &p->alive_due_ms};
}

lm_rc protocol_wait(struct protocol *p, unsigned silence_s, struct lm_err *err)
{
	struct pollfd in = {.fd = p->in, .events = POLLIN};
	struct wait_limit limit = protocol_limit(p, silence_s);

	limit.cancel_fd = p->signal_fd;
	return wait_for(&in, 1, &limit, err);
}

static lm_rc wait_to_read(const struct protocol *p, struct lm_err *err)
{
	struct pollfd in = {.fd = p->in, .events = POLLIN};
	struct wait_limit limit = {.cancel_fd = p->signal_fd};

	return wait_for(&in, 1, &limit, err);
}

lm_rc protocol_take_handover(struct protocol *p, struct handover *ret, struct lm_err *err)
{
	if (!lm_secret_is_hardened())
		return lm_fail(err, LM_E_SYS, 0,
			"cannot protect this process from other programs of its user");
	lm_rc rc = protocol_send(p, json_pack("{s:b}", "hardened", 1), err);

	if (!rc)
		rc = wait_to_read(p, err);
	return rc ? rc : handover_receive(p->in, ret, err);
}

static lm_rc protocol_read_more(struct protocol *p, struct lm_err *err)
{
	char piece[16 * 1024];
	lm_rc rc = wait_to_read(p, err);

	if (rc)
		return rc;
	ssize_t n = read(p->in, piece, sizeof(piece));
	if (n < 0 && (errno == EINTR || errno == EAGAIN))
		return LM_OK;
	if (n <= 0)
		return lm_fail(err, LM_E_CANCELLED, 0, "cancelled");
	if (!lm_buf_add(&p->pending, piece, (size_t)n))
		return lm_fail(
			err, LM_E_TOO_LARGE, 0, "a line is longer than %zu bytes", p->pending.max);
	return LM_OK;
}

lm_rc protocol_read_line(struct protocol *p, size_t max, struct lm_str *ret, struct lm_err *err)
{
	p->pending.max = max;
	lm_buf_clear(&p->pending); // the previous line; nothing is sent ahead
	for (;;) {
		struct lm_str have = lm_buf_str(&p->pending);
		size_t n = lm_str_find(have, '\n');

		if (n < have.n) {
			*ret = (struct lm_str){have.p, n};
			return LM_OK;
		}
		lm_rc rc = protocol_read_more(p, err);
		if (rc)
			return rc;
	}
}

lm_rc protocol_send(struct protocol *p, json_t *line, struct lm_err *err)
{
	lm_auto_json json_t *owned = line;
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_WORKER_LINE);

	if (!owned || !json_write(owned, &text) || !lm_buf_putc(&text, '\n'))
		return lm_fail(err, LM_E_TOO_LARGE, 0, "a report is too long to be sent");
	return lm_fd_write_all(p->out, "lightermand", lm_buf_str(&text), err);
}

static json_t *event_line(const struct deploy_event *event)
{
	json_t *line = json_pack("{s:s, s:s}", "stage", deploy_stage_name(event->stage), "state",
		deploy_state_name(event->state));

	if (event->state == DEPLOY_END || event->state == DEPLOY_FAIL)
		(void)json_object_set_new(line, "ms", json_integer((json_int_t)event->ms));
	if (event->message)
		(void)json_object_set_new(line, "message", json_from_text(event->message));
	if (event->is_warning)
		(void)json_object_set_new(line, "warning", json_true());
	return line;
}

/// "go", or "go" and a number of bytes.
static bool read_go(struct lm_str answer, uint64_t *ret_need)
{
	struct lm_str go = LM_STR("go ");

	*ret_need = 0;
	return lm_str_eq(answer, LM_STR("go")) ||
	       (lm_str_starts(answer, go) &&
		       lm_str_to_u64((struct lm_str){answer.p + go.n, answer.n - go.n}, INT64_MAX,
			       ret_need));
}

lm_rc protocol_report_stage(
	struct protocol *p, const struct deploy_event *event, struct lm_err *err)
{
	struct lm_str answer;
	lm_rc rc = protocol_send(p, event_line(event), err);

	if (rc || event->state != DEPLOY_BEGIN)
		return rc;
	rc = protocol_read_line(p, LIMIT_WORKER_LINE, &answer, err);
	if (!rc && !read_go(answer, &p->need))
		return lm_fail(err, LM_E_PROTOCOL, 0, "lightermand did not answer 'go'");
	return rc;
}
