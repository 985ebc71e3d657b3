// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Policies that cannot do anything for the application, by its compose file and images: for
/// `lighterman doctor`. Only what is certain is found.

#include "worker/context.h"

/// What is known of the health check of a service.
enum policy_health {
	POLICY_HEALTH_NONE,
	POLICY_HEALTH_CHECKED,
	POLICY_HEALTH_UNKNOWN, ///< Its image would tell, and is not on this device.
};

/// `message` says what has no effect and why, `fix` what to do.
typedef void policy_found(void *ctx, const char *message, const char *fix);

/// `health` has an entry for each of the services, of which those that are not active do not count.
/// Pure.
void policy_check(const struct connector_policy *policy, const struct compose_services *services,
	const enum policy_health *health, policy_found *found, void *ctx);
/// The same for the resolved compose file of `cx`: asks the engine for the images. What it does not
/// answer is not known.
void policy_check_services(const struct context *cx, policy_found *found, void *ctx);
