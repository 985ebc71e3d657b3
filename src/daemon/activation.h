// SPDX-License-Identifier: Apache-2.0
#pragma once

/// When a deployment may interrupt what runs: Policy.ActivateAt, HoldFile and
/// ActivateWithinSeconds (docs/life.md, "When"). A deployment that has all it needs is held here
/// before its first stage that stops or replaces containers.
///
/// Nothing is held where no container of the application is up: waiting would interrupt it for
/// longer. From the loop's thread; logs.

#include "base/cleanup.h"
#include "base/error.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "sys/json.h"
#include "sys/loop.h"

#include <stdbool.h>
#include <stdint.h>

struct activation;

/// Called from the loop, or from within activation_continue and activation_now.
struct activation_events {
	/// A deployment waits from now on, and what runs is left alone (true); or its stages are
	/// about to go on (false).
	void (*waits)(void *ctx, bool waits);
	/// activation_view is another one. `message`: a sentence about that, borrowed.
	void (*changed)(void *ctx, const char *message);
	/// Whether stages that change containers may begin; else activation_continue follows.
	bool (*may_act)(void *ctx);
	void *ctx;
};

/// `host` is borrowed.
struct activation *activation_create(struct loop *loop, const struct host_settings *host,
	const struct activation_events *events);
/// Takes NULL.
void activation_destroy(struct activation *a);
LM_DEFINE_CLEANUP(struct activation, activation_destroy)

struct activation_terms {
	unsigned generation; ///< It has an attempt under way.
	const struct connector_policy *policy;
	/// It would interrupt what runs without a need: neither brings it up what has stopped or
	/// failed, nor has a person ordered what it does as a way back.
	bool may_wait;
	bool now; ///< A person wants it at once.
};

/// A deployment begins. The first one of that generation since the last success is what
/// ActivateWithinSeconds counts from.
void activation_begin(struct activation *a, const struct activation_terms *terms);
/// The deployment that has begun is about to change containers. False: it may, from now on. True:
/// `done` is called later, once; `why` not NULL: it must not, as the HoldFile is none.
typedef void activation_done(void *ctx, const struct lm_err *why);
bool activation_hold(struct activation *a, activation_done *done, void *ctx);
/// `done` is not called any more.
void activation_forget(struct activation *a);
/// What ran before is stopped: the lock on the HoldFile, by which that could not begin anything
/// since activation_hold, is released.
void activation_unlock(struct activation *a);
/// The deployment is over, and the lock released. `success`: the generation needs no activation
/// any more.
void activation_end(struct activation *a, bool success);

/// `may_act` returns true again.
void activation_continue(struct activation *a);
/// Containers may have been started or stopped. May be called often.
void activation_containers_changed(struct activation *a);
/// A person wants the deployment that has begun activated at once, also after a restart. False:
/// none has, or it is activated already.
bool activation_now(struct activation *a);

enum activation_reason { ACTIVATION_WINDOW, ACTIVATION_FILE };

/// What waits, and why. Borrowed until it changes.
struct activation_view {
	unsigned generation;
	enum activation_reason reason;
	const char *windows;   ///< ActivateAt; NULL: none.
	const char *hold_file; ///< NULL: none.
	const char *trouble;   ///< Why HoldFile cannot be examined; NULL: it is locked.
	int64_t opens_ms;      ///< When a window opens, by the wall clock; 0: one is open.
	int64_t latest_ms;     ///< When it is activated at the latest; 0: never.
};

/// False: nothing waits.
bool activation_view(const struct activation *a, struct activation_view *ret);
/// "generation 3 is ready and waits until 02:00 (ActivateAt)"; the caller frees.
char *activation_describe(const struct activation_view *view);
/// For `status`: an object or null, a new reference.
json_t *activation_to_json(const struct activation_view *view);
/// What a plan says of a definition, if the application runs: "down would wait until …"; NULL: it
/// would not wait. The caller frees.
char *activation_foretell(const struct connector_policy *policy);
