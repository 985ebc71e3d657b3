// SPDX-License-Identifier: Apache-2.0
#pragma once

/// When what has failed is tried again: a start or a stop after a growing delay, or once there is
/// disk space; what the disk has refused to record, after one of its own. From the loop's thread;
/// logs.

#include "base/cleanup.h"
#include "deploy/lifecycle.h"
#include "sys/loop.h"

#include <stdint.h>

struct retries;

/// Called from the loop.
struct retries_events {
	loop_cb *again;  ///< It is time for EVENT_TIMER,
	loop_cb *settle; ///< or for EVENT_DEBT_TIMER.
	void *ctx;
};

/// `events` is copied.
struct retries *retries_create(struct loop *loop, const struct retries_events *events);
/// Takes NULL.
void retries_destroy(struct retries *r);
LM_DEFINE_CLEANUP(struct retries, retries_destroy)

/// A deployment failed, as so many bytes are not free in `directory`, which is taken over; NULL:
/// not for that reason, and nothing changes.
void retries_note_space(struct retries *r, char *directory, uint64_t bytes);
/// Carries out an ACTION_SET_TIMER; `wanted`: what is tried. An action that awaits space looks now
/// and then whether there is enough, until retries_stop.
void retries_set(
	struct retries *r, const struct lifecycle_action *action, enum lifecycle_wanted wanted);
void retries_stop(struct retries *r);
/// When it is time, on lm_clock_mono_ms(); 0: when there is disk space. Of the last retries_set.
uint64_t retries_at_ms(const struct retries *r);

/// Carries out an ACTION_SET_DEBT_TIMER.
void retries_set_debt(struct retries *r);
/// Unless the state still has something that the disk has refused, the next delay for such a thing
/// is a short one again.
void retries_note_debts(struct retries *r, const struct lifecycle *l);
