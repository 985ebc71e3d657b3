// SPDX-License-Identifier: Apache-2.0
#pragma once

/// What can be found out about this device for a host file, without changing anything.

#include "sys/wait.h"

#include <stdbool.h>
#include <stddef.h>

enum { SURVEY_USERS_MAX = 20 };

/// Where to look; NULL: the usual places.
struct host_survey_places {
	const char *greengrass_root;            ///< "/greengrass"
	const char *const *compose_directories; ///< As in struct compose_search.
};

/// Absent texts are NULL.
struct host_survey {
	char *docker_socket;   ///< DOCKER_HOST's, or the default one. Never NULL.
	bool engine_answers;   ///< Somebody listens there, or we may not know.
	char *compose;         ///< "docker-compose 1.29.2 (/usr/bin/docker-compose)"
	char *other_compose;   ///< The plugin, if it is there beside that.
	char *greengrass_root; ///< A core of Greengrass V1.
	char *region, *region_source;
	char *thing_name; ///< The core's.
	char *host_name;
	/// Those that may use the engine, without root. The first is the usual or the likeliest.
	char *users[SURVEY_USERS_MAX];
	size_t users_n;
	bool has_usual_user; ///< The first is ggc_user.
	char *broker_host;   ///< Of a broker without TLS that listens on this device.
	unsigned broker_port;
	bool has_endpoint; ///< A variable sets an endpoint of AWS (AWS_ENDPOINT_URL…).
};

/// Looks at all of it; what fails counts as absent. LM_E_CANCELLED, LM_E_TIMEOUT.
lm_rc host_survey_make(const struct host_survey_places *places, const struct wait_limit *limit,
	struct host_survey *ret, struct lm_err *err);
void host_survey_finish(struct host_survey *survey);
