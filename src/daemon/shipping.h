// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Log lines on their way to CloudWatch Logs: kept in a spool (`<stateDirectory>/cloudwatch`), and
/// shipped from there by workers (job `ship-logs`), as lightermand holds no AWS credentials.
///
/// Lines wait for others to go with them, so that a worker is not started for each; if they do not
/// wait for long, a worker ships one batch after the other, with the same credentials. One worker
/// at a time, and none while anybody else has a job: shipping_pause kills it, at worst a batch is
/// shipped twice. Failures are tried again with growing pauses, and only the first of a series is
/// told. What is said about shipping itself is not shipped, but for how many lines were lost: it
/// could never come to an end. From the loop's thread; logs.

#include "base/cleanup.h"
#include "base/log.h"
#include "base/str.h"
#include "config/definition.h"
#include "config/host_file.h"
#include "daemon/loggers.h"
#include "sys/loop.h"

struct shipping;

/// `host` is borrowed. Nothing is kept before shipping_apply, and nothing shipped before
/// shipping_resume.
struct shipping *shipping_create(struct loop *loop, const struct host_settings *host);
/// What waits stays in the spool.
void shipping_destroy(struct shipping *s);
LM_DEFINE_CLEANUP(struct shipping, shipping_destroy)

/// Goes by a group's logger: its space, the group's user and core.
void shipping_apply(struct shipping *s, const struct group *group, const struct logger *logger);
/// A finished line for the spool.
void shipping_add(struct shipping *s, enum lm_level level, struct lm_str line);

/// Somebody else is about to start a worker: when it returns, none of ours runs, until
/// shipping_resume.
void shipping_pause(struct shipping *s);
void shipping_resume(struct shipping *s);
