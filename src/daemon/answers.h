// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What the clients that wait for a command are answered: why something failed or was cancelled,
/// what became of it, and the last line that says so. From the loop's thread; never logs.

#include "daemon/outcomes.h"
#include "deploy/lifecycle.h"
#include "sys/json.h"

#include <stdbool.h>

/// Why something failed, until that is answered and published.
struct answers_failure {
	char *error, *message; ///< NULL: nothing failed.
	json_t *last_line;     ///< For the client that waits for it.
};

/// A deployment that failed and is rolled back, until that has come to an end.
struct answers_rollback {
	char *message;
	json_t *last_line; ///< For the client that waits.
	struct lifecycle_target back;
};

/// All zero: nothing is known.
struct answers {
	struct answers_failure failure;
	struct answers_rollback rolled_back;
	char *unsound;             ///< Why what was deployed last has failed in its probation.
	const char *why_cancelled; ///< Of the last worker; NULL: it was not. Static storage.
};

void answers_finish(struct answers *a);

/// Takes the place of the failure before.
void answers_note_failure(struct answers *a, const char *error, const char *message);
void answers_forget_failure(struct answers *a);
/// What was deployed last has failed in its probation: that is the failure, and `unsound`.
void answers_note_unsound(struct answers *a, const char *message);
/// What became of a deployment, for whoever waits for it.
void answers_note_outcome(struct answers *a, const struct outcome *outcome);
/// A worker is to stop; `plans`: it makes a plan.
void answers_note_cancel(struct answers *a, enum lifecycle_reason reason, bool plans);

/// What becomes of the application after a failure, as a clause; the caller frees.
char *answers_describe_back(const struct lifecycle_target *back);
/// The deployment that was noted last has failed with `message`, and is rolled back: whoever waits
/// gets the answer after that. Returns the message with what becomes of the application; the
/// caller frees.
char *answers_note_rollback(
	struct answers *a, const char *message, const struct lifecycle_target *back);
/// The same for what was deployed with success, and has failed in its probation, as the failure
/// that was noted says: nobody waits for that.
char *answers_note_revocation(struct answers *a, const struct lifecycle_target *back);
void answers_forget_rollback(struct answers *a);

/// The last line for a client that waits for `command`, and is to get that answer; a new reference.
/// `awaits_activation`: the deployment waits for its ActivateAt or HoldFile.
json_t *answers_last_line(struct answers *a, const struct lifecycle *l,
	enum lifecycle_answer answer, enum lifecycle_command command, bool awaits_activation);
