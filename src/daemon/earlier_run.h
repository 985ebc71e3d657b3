// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What an earlier run of the program has left, when this one starts: what is on record, and the
/// outcomes that a kill or a full disk kept it from recording. From the loop's thread; logs.

#include "daemon/outcomes.h"
#include "daemon/quarantine.h"
#include "deploy/lifecycle.h"
#include "deploy/store.h"

#include <stdint.h>

/// All borrowed.
struct earlier_run {
	struct store *store;
	struct quarantine *quarantine;
};

/// What is on record. `left_running`: as in struct lifecycle_record.
struct lifecycle_record earlier_run_record(const struct earlier_run *e, unsigned left_running);
/// Records and publishes the failure of an attempt, or of a probation, if what is wanted or
/// quarantined on record shows that there was one whose outcome is not. `l`: as it begins with that
/// record. What cannot be recorded is logged.
void earlier_run_close(
	const struct earlier_run *e, struct outcomes *outcomes, const struct lifecycle *l);
/// How long the probation of generation `n`, which goes on, is to be; 0: there is none (`n` is 0),
/// or its definition cannot be read.
uint64_t earlier_run_probation_ms(const struct earlier_run *e, unsigned n);
