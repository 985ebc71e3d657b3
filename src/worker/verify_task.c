// SPDX-License-Identifier: Apache-2.0
#include "worker/verify_task.h"

#include "base/clock.h"
#include "base/memory.h"
#include "docker/engine.h"

#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
	// Of linux/ioprio.h, which the C library does not have:
	IOPRIO_WHO_PROCESS = 1,
	IOPRIO_CLASS_IDLE = 3,
	IOPRIO_CLASS_SHIFT = 13,
	NICE_MAX = 19,
};

/// Where that is not allowed (a service manager may deny it), the pauses have to do.
static void lower_priority(void)
{
	(void)setpriority(PRIO_PROCESS, 0, NICE_MAX);
	(void)syscall(
		SYS_ioprio_set, IOPRIO_WHO_PROCESS, 0, IOPRIO_CLASS_IDLE << IOPRIO_CLASS_SHIFT);
}

static json_t *number_or_null(unsigned n)
{
	return n ? json_integer(n) : json_null();
}

lm_rc verify_task_report(struct protocol *protocol, const char *ref, const char *state,
	const struct image_finding *f, struct lm_err *err)
{
	const struct image_verdict *v = &f->verdict;

	return protocol_send(protocol,
		json_pack("{s:{s:s, s:s?, s:s, s:s?, s:o, s:o, s:o, s:I, s:I}}", "verify", "image",
			ref, "id", f->id, "state", state, "platform", f->platform, "layer",
			number_or_null(v->layer), "layers", number_or_null(v->layers), "message",
			json_from_text(v->why[0] ? v->why : NULL), "bytes", (json_int_t)f->bytes,
			"ms", (json_int_t)f->ms),
		err);
}

static lm_rc verify_image(const struct image_check *check, struct protocol *protocol,
	const struct task_subject *image, struct lm_err *err)
{
	const struct image_finding nothing = {.id = image->id};
	lm_auto(image_finding_finish) struct image_finding f = {0};
	lm_rc rc = verify_task_report(protocol, image->ref, "reading", &nothing, err);

	if (!rc)
		rc = image_check(check, image->ref, image->id, &f, err);
	return rc ? rc
		  : verify_task_report(protocol, image->ref, image_found_name(f.found), &f, err);
}

static lm_rc verify_images(const struct task *task, struct protocol *protocol, struct lm_err *err)
{
	const struct wait_limit limit = protocol_limit(protocol, task->host.worker_silence_s);
	lm_auto(engine_close) struct engine engine = {0};
	lm_auto(engine_facts_finish) struct engine_facts facts = {0};
	const struct image_check check = {.engine = &engine,
		.facts = &facts,
		.limit = &limit,
		.is_gentle = task->is_gentle,
		.reserve_mb = task->group->connector.policy.min_free_disk_mb};
	lm_rc rc = engine_open(task->host.docker_socket, &limit, &engine, err);

	if (!rc)
		rc = engine_get_facts(&engine, &limit, &facts, err);
	for (size_t i = 0; i < task->subjects_n && !rc; i++)
		rc = verify_image(&check, protocol, &task->subjects[i], err);
	return rc;
}

void verify_task_run(const struct task *task, struct protocol *protocol, struct deploy_outcome *ret)
{
	*ret = (struct deploy_outcome){.failed = DEPLOY_STAGES,
		.error_class = DEPLOY_INTERNAL_ERROR,
		.started_ms = lm_clock_mono_ms()};
	lower_priority();
	ret->rc = verify_images(task, protocol, &ret->err);
	ret->ended_ms = lm_clock_mono_ms();
}
