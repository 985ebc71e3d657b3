// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The time that a deployment has to prove itself after its success (Policy.ProbationSeconds): what
/// its containers do meanwhile, by the monitor. It fails as soon as one is in a crash loop or a
/// restart loop, or unhealthy, and passes when none was for all that time. Time during which the
/// Docker daemon is not seen does not count, nor does any while it is paused, or while a container
/// is down that has crashed.
///
/// From the loop's thread, on the monotonic clock; never logs. Its timer runs only while there is a
/// probation.

#include "base/cleanup.h"
#include "events/monitor.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct probation;

struct probation_events {
	/// It has passed, and is over.
	void (*passed)(void *ctx);
	/// It has failed; `why` is a clause ("container app_web_1 (service web) is unhealthy"). If
	/// it is not ended, it begins anew once that is over.
	void (*failed)(void *ctx, const char *why);
	void *ctx;
};

/// `monitor` is borrowed and outlives it.
struct probation *probation_create(
	struct loop *loop, const struct monitor *monitor, const struct probation_events *events);
/// Takes NULL.
void probation_destroy(struct probation *p);
LM_DEFINE_CLEANUP(struct probation, probation_destroy)

/// Begins one, in the place of any other, and not paused. Calls nothing: probation_look does.
void probation_begin(struct probation *p, uint64_t ms);
/// Nothing is watched any more.
void probation_end(struct probation *p);
/// What is watched may change by what we do ourselves.
void probation_pause(struct probation *p, bool pauses);
/// What the monitor knows may be another. Does nothing while there is none, or it is paused.
void probation_look(struct probation *p);

/// There is one, paused or not.
bool probation_is_on(const struct probation *p);
/// How much of it is left; 0: there is none.
uint64_t probation_left_ms(const struct probation *p);
