// SPDX-License-Identifier: Apache-2.0
#include "base/clock.h"
#include "base/file.h"
#include "base/limits.h"
#include "base/log.h"
#include "worker/work_priv.h"

/// The compose file of the generation that runs, as lightermand kept it; what cannot serve is
/// warned of and left empty.
static void read_kept(struct work *w)
{
	struct lm_err err = {LM_OK};
	lm_rc rc = lm_fd_read_all(w->compose_fd, "the generation's compose file", &w->text, &err);

	if (!rc && w->text.len > 0)
		rc = compose_file_check(lm_buf_str(&w->text), w->compose.generation, &err);
	if (!rc)
		return;
	lm_warn("the generation's compose file does not serve: %s", err.msg);
	lm_buf_clear(&w->text);
}

static lm_rc take_down(struct work *w, struct lm_err *err)
{
	struct lm_err no_destination, no_compose = {LM_OK};

	// Gone or not ours any more: what runs is to be taken down nevertheless.
	if (prepare_destination(w, &no_destination))
		lm_warn("%s", no_destination.msg);
	lm_rc found = prepare_compose(w, &no_compose);
	if (!found)
		read_kept(w);
	const struct application_down how = {.place = work_destination(w),
		.fallback = lm_buf_str(&w->text),
		.fallback_words = "the generation's compose file",
		.by_label = true,
		.no_compose = found ? &no_compose : NULL,
		.timeout_ms = APPLICATION_DOWN_MS};
	return application_down(w, &how, err);
}

static lm_rc do_down(struct work *w, struct deploy_outcome *outcome, struct lm_err *err)
{
	bool exists = false;
	lm_rc rc = prepare_engine(w, err);

	if (!rc)
		rc = application_exists(w, &exists, err);
	if (rc || !exists)
		return rc;
	outcome->effect = DEPLOY_STOPPING;
	rc = take_down(w, err);
	if (rc)
		return rc;
	application_sweep_networks(w, true);
	application_warn_left(w);
	return LM_OK;
}

static lm_rc run_stage(struct work *w, struct deploy_outcome *outcome, struct lm_err *err)
{
	struct deploy_event event = {.stage = DEPLOY_DOWN, .state = DEPLOY_BEGIN};
	lm_rc rc = report_stage(w->report, &event, err);

	if (rc)
		return rc;
	uint64_t began_ms = lm_clock_mono_ms();
	rc = do_down(w, outcome, err);
	event.ms = lm_clock_mono_ms() - began_ms;
	if (rc == LM_E_CANCELLED)
		return rc;
	event.state = rc ? DEPLOY_FAIL : DEPLOY_END;
	event.message = rc ? err->msg : NULL;
	if (rc) {
		struct lm_err ignored;
		(void)!report_stage(w->report, &event, &ignored);
		return rc;
	}
	outcome->effect = DEPLOY_STOPPED;
	lm_info("took the application down in %llu.%03u s", (unsigned long long)(event.ms / 1000),
		(unsigned)(event.ms % 1000));
	return report_stage(w->report, &event, err);
}

void down_job_run(struct work *w, struct deploy_outcome *ret)
{
	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	ret->rc = run_stage(w, ret, &ret->err);
	if (ret->rc != LM_OK)
		ret->failed = DEPLOY_DOWN;
	ret->ended_ms = lm_clock_mono_ms();
}
