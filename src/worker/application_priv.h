// SPDX-License-Identifier: Apache-2.0
#pragma once

/// How this job runs docker-compose; for the files that do.

#include "worker/work_priv.h"

/// Borrows from `w` and `env`. Each line that compose prints goes to the log.
struct compose_job application_compose_job(const struct work *w, char *const *env);
