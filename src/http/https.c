// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/encoding.h"
#include "base/memory.h"
#include "http/https_priv.h"
#include "http/wiping_alloc.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	URL_MAX = 64 << 10,
	ATTEMPTS = 5,
	BACKOFF_BASE_MS = 200,
	BACKOFF_MAX_MS = 20 * 1000,
	POLL_MS = 1000, ///< libcurl's own timers are looked after by curl_multi_poll.
};

struct lm_str https_origin_host(struct lm_str origin)
{
	const char *mark = memmem(origin.p, origin.n, "://", 3);

	if (!mark)
		return origin;
	mark += 3;
	return (struct lm_str){mark, (size_t)(origin.p + origin.n - mark)};
}

void https_answer_finish(struct https_answer *answer)
{
	header_list_finish(&answer->headers);
	lm_buf_finish(&answer->body);
	*answer = (struct https_answer){0};
}

lm_rc https_create(const char *ca_bundle, struct https **ret, struct lm_err *err)
{
	static bool ready;

	if (!ready && curl_global_init_mem(CURL_GLOBAL_DEFAULT, wiping_malloc, wiping_free,
			      wiping_realloc, wiping_strdup, wiping_calloc) != CURLE_OK)
		return lm_fail(err, LM_E_SYS, 0, "libcurl does not start");
	ready = true;

	CURLM *multi = curl_multi_init();
	if (!multi)
		return lm_fail(err, LM_E_SYS, 0, "libcurl does not start");
	struct https *h = lm_xcalloc(1, sizeof(*h));
	h->multi = multi;
	h->ca_bundle = ca_bundle ? lm_xstrdup(ca_bundle) : NULL;
	*ret = h;
	return LM_OK;
}

static void transfer_destroy(struct https *h, struct transfer *t)
{
	https_attempt_drop(h, t);
	https_answer_finish(&t->answer);
	free(t->url);
	free(t->certificate);
	free(t->private_key);
	free(t->ca);
	free(t);
}

void https_destroy(struct https *h)
{
	if (!h)
		return;
	while (h->transfers) {
		struct transfer *t = h->transfers;

		h->transfers = t->next;
		transfer_destroy(h, t);
	}
	(void)curl_multi_cleanup(h->multi);
	free(h->ca_bundle);
	free(h);
}

static char *build_url(const struct https_request *r)
{
	lm_auto_buf struct lm_buf url = LM_BUF(URL_MAX);

	(void)lm_buf_add_str(&url, r->origin);
	(void)lm_percent_encode(&url, r->path, true);
	for (size_t i = 0; i < r->query_n; i++) {
		(void)lm_buf_putc(&url, i ? '&' : '?');
		(void)lm_percent_encode(&url, r->query[i].name, false);
		(void)lm_buf_putc(&url, '=');
		(void)lm_percent_encode(&url, r->query[i].value, false);
	}
	return url.overflow ? lm_xstrdup("") : lm_buf_take(&url);
}

static char *copy_or_null(const char *s)
{
	return s ? lm_xstrdup(s) : NULL;
}

void https_start(struct https *h, const struct https_request *request)
{
	struct transfer *t = lm_xcalloc(1, sizeof(*t));
	struct transfer **end = &h->transfers;

	t->request = *request;
	t->request.certificate = t->certificate = copy_or_null(request->certificate);
	t->request.private_key = t->private_key = copy_or_null(request->private_key);
	t->request.ca = t->ca = copy_or_null(request->ca);
	t->url = build_url(request);
	t->request.origin = (struct lm_str){t->url, *t->url ? request->origin.n : 0};
	t->request.query = NULL;
	t->request.query_n = 0;
	while (*end)
		end = &(*end)->next;
	*end = t;
}

static void unlink_transfer(struct https *h, struct transfer *t)
{
	struct transfer **p = &h->transfers;

	while (*p != t)
		p = &(*p)->next;
	*p = t->next;
}

/// Ends a transfer; `done` may start others.
static void finish(struct https *h, struct transfer *t, lm_rc rc, const struct lm_err *err)
{
	unlink_transfer(h, t);
	https_attempt_drop(h, t);
	t->request.done(t->request.ctx, rc, &t->answer, err);
	transfer_destroy(h, t);
}

static lm_rc check_request(const struct transfer *t, struct lm_err *err)
{
	struct lm_str url = lm_str(t->url);

	if (!url.n)
		return lm_fail(
			err, LM_E_INVALID, 0, "the address of a request is over %d bytes", URL_MAX);
	if (lm_str_starts(url, LM_STR("https://")) ||
		(t->request.plain_http && lm_str_starts(url, LM_STR("http://"))))
		return LM_OK;
	return lm_fail(err, LM_E_INVALID, 0, "'%.*s' is not an https:// address",
		LM_STR_ARG(t->request.origin));
}

int64_t https_parse_date_ms(struct lm_str date)
{
	lm_auto_free char *text = lm_xmemdup0(date.p, date.n);
	time_t t = curl_getdate(text, NULL);

	return t > 0 ? (int64_t)t * 1000 : 0;
}

/// Retry-After, which is seconds or a date (RFC 9110 10.2.3); 0 if there is none.
static uint64_t retry_after_ms(const struct transfer *t)
{
	struct lm_str after = header_list_get(&t->answer.headers, "retry-after");
	uint64_t seconds = 0;

	if (!after.n || lm_str_to_u64(after, 24 * 3600, &seconds))
		return seconds * 1000;
	int64_t left_ms = https_parse_date_ms(after) - lm_clock_wall_ms();
	return left_ms > 0 ? (uint64_t)left_ms : 0;
}

/// How long to wait before the next attempt: our backoff or, if the server asks for more, that, up
/// to the backoff's bound.
static uint64_t retry_delay_ms(const struct transfer *t)
{
	const struct https_request *r = &t->request;
	uint64_t base = r->backoff_base_ms ? r->backoff_base_ms : BACKOFF_BASE_MS;
	uint64_t max = r->backoff_max_ms ? r->backoff_max_ms : BACKOFF_MAX_MS;
	uint64_t ours = lm_backoff_ms(t->attempt, base, max), theirs = retry_after_ms(t);
	uint64_t delay = theirs > ours ? theirs : ours;

	return delay < max ? delay : max;
}

/// An attempt ended: again later, or to its end. A retry that the time limit would cut off is not
/// waited for, as the failure at hand says more than "time limit reached".
static void attempt_ended(
	struct https *h, struct transfer *t, CURLcode code, const struct wait_limit *limit)
{
	struct lm_err err = {0};
	bool retry = false;
	unsigned attempts = t->request.attempts ? t->request.attempts : ATTEMPTS;
	lm_rc rc = https_attempt_end(h, t, code, &retry, &err);

	if (retry && t->attempt + 1 < attempts) {
		uint64_t start = lm_clock_mono_ms() + retry_delay_ms(t);

		if (!limit->deadline_ms || start < limit->deadline_ms) {
			t->start_ms = start;
			t->attempt++;
			return;
		}
	}
	if (rc != LM_OK && t->attempt > 0)
		rc = lm_wrap(&err, "after %u attempts", t->attempt + 1);
	finish(h, t, rc, &err);
}

/// Starts what is due; returns milliseconds until the next is, at most POLL_MS.
static uint64_t start_due(struct https *h)
{
	uint64_t wait = POLL_MS;
	struct transfer *next;

	for (struct transfer *t = h->transfers; t; t = next) {
		struct lm_err err = {0};
		uint64_t now = lm_clock_mono_ms();

		next = t->next;
		if (t->easy)
			continue;
		if (t->start_ms > now) {
			wait = t->start_ms - now < wait ? t->start_ms - now : wait;
			continue;
		}
		lm_rc rc = check_request(t, &err);
		if (rc == LM_OK)
			rc = https_attempt_start(h, t, &err);
		if (rc == LM_OK)
			continue;
		finish(h, t, rc, &err);
		wait = 0; // `done` may have started another, or it was the last
		next = h->transfers;
	}
	return wait;
}

static lm_rc step(struct https *h, const struct wait_limit *limit, struct lm_err *err)
{
	int running = 0, left = 0;
	CURLMcode code = curl_multi_perform(h->multi, &running);

	if (code != CURLM_OK)
		return lm_fail(err, LM_E_SYS, 0, "libcurl: %s", curl_multi_strerror(code));
	for (CURLMsg *m; (m = curl_multi_info_read(h->multi, &left));) {
		char *owner = NULL;

		if (m->msg == CURLMSG_DONE &&
			curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &owner) == CURLE_OK)
			attempt_ended(h, (struct transfer *)owner, m->data.result, limit);
	}
	return LM_OK;
}

static lm_rc check_limit(const struct wait_limit *limit, struct lm_err *err)
{
	struct pollfd cancel = {.fd = limit->cancel_fd, .events = POLLIN};

	if (cancel.fd >= 0 && poll(&cancel, 1, 0) > 0)
		return lm_fail(err, LM_E_CANCELLED, 0, "told to stop");
	if (limit->deadline_ms && lm_clock_mono_ms() >= limit->deadline_ms)
		return lm_fail(err, LM_E_TIMEOUT, 0, "time limit reached");
	return LM_OK;
}

/// Waits for the network, the cancel descriptor or `ms`.
static lm_rc wait_for_events(
	struct https *h, const struct wait_limit *limit, uint64_t ms, struct lm_err *err)
{
	struct curl_waitfd cancel = {.fd = limit->cancel_fd, .events = CURL_WAIT_POLLIN};
	uint64_t now = lm_clock_mono_ms();

	if (limit->deadline_ms && limit->deadline_ms < now + ms)
		ms = limit->deadline_ms > now ? limit->deadline_ms - now : 0;
	if (limit->alive && limit->alive_ms < ms)
		ms = limit->alive_ms;
	CURLMcode code = curl_multi_poll(h->multi, limit->cancel_fd >= 0 ? &cancel : NULL,
		limit->cancel_fd >= 0 ? 1 : 0, (int)ms, NULL);

	now = lm_clock_mono_ms();
	if (limit->alive && now - h->alive_at_ms >= limit->alive_ms) {
		limit->alive(limit->alive_ctx);
		h->alive_at_ms = now;
	}
	if (code != CURLM_OK)
		return lm_fail(err, LM_E_SYS, 0, "libcurl: %s", curl_multi_strerror(code));
	return LM_OK;
}

lm_rc https_run(struct https *h, const struct wait_limit *limit, struct lm_err *err)
{
	struct lm_err failure = {0};
	lm_rc rc = LM_OK;

	while (h->transfers && rc == LM_OK) {
		rc = check_limit(limit, &failure);
		if (rc == LM_OK)
			rc = step(h, limit, &failure);
		if (rc != LM_OK)
			break;
		uint64_t wait_ms = start_due(h); // behind step(), whose ends may have started some

		if (h->transfers && wait_ms)
			rc = wait_for_events(h, limit, wait_ms, &failure);
	}
	if (rc == LM_OK)
		return LM_OK;
	while (h->transfers) // what `done` starts now ends at once, too
		finish(h, h->transfers, rc, &failure);
	if (err)
		*err = failure;
	return rc;
}
