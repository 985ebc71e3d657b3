// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What `lighterman doctor` checks for client devices: mosquitto, our plugin for it, discovery,
/// ports, user, the core's identity, certificates. For groups with devices only.
/// Each function makes one check.

#include "config/definition.h"
#include "config/host_file.h"
#include "deploy/check.h"
#include "sys/json.h"

#include <stdbool.h>
#include <sys/types.h>

/// What the checks go by. Everything is borrowed.
struct device_checks {
	const struct group *group;
	const struct host_settings *host;
	const json_t *status; ///< `devices` of lightermand's status; NULL: unknown, or not running.
	uid_t daemon_uid;     ///< Of lightermand.
	/// What it cannot read of the certificates, and what to do; NULL: nothing, or unknown.
	const char *store_fault;
};

/// Whether lightermand runs broker and discovery for this group.
bool device_checks_apply(const struct group *group);

void device_checks_broker(const struct device_checks *c, struct check_report *r);
void device_checks_ports(const struct device_checks *c, struct check_report *r);
void device_checks_user(const struct device_checks *c, struct check_report *r);
void device_checks_cloud(const struct device_checks *c, struct check_report *r);
void device_checks_certificates(const struct device_checks *c, struct check_report *r);

/// "mosquitto version 2.0.11": reads the major version; -1: the line has none. Pure.
int device_checks_parse_version(struct lm_str line);
