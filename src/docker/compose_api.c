// SPDX-License-Identifier: Apache-2.0
#include "docker/compose_api.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

enum {
	MINOR_BY_FORMAT_BEFORE = 27, ///< docker-compose 1.27 gave up API versions by format.
	API_NEWEST_FORMAT = 38,
	API_OF_1_27 = 39, ///< The default of docker-py 4.3.
	API_OF_1_29 = 41, ///< The default of docker-py 5.0.
};

static const struct {
	const char *format;
	unsigned api;
} FORMATS[] = {
	{"2", 22},
	{"2.0", 22},
	{"2.1", 24},
	{"2.2", 25},
	{"2.3", 30},
	{"2.4", 35},
	{"3", 25},
	{"3.0", 25},
	{"3.1", 25},
	{"3.2", 25},
	{"3.3", 30},
	{"3.4", 30},
	{"3.5", 30},
	{"3.6", 36},
	{"3.7", 38},
};

static unsigned api_of_format(const char *format)
{
	for (size_t i = 0; format && i < LM_ARRAY_SIZE(FORMATS); i++) {
		if (strcmp(FORMATS[i].format, format) == 0)
			return FORMATS[i].api;
	}
	return API_NEWEST_FORMAT;
}

/// The minor of the API version that a docker-compose of the first generation asks for.
static unsigned api_of(const struct compose *compose, const char *format)
{
	unsigned minor = 0;

	if (sscanf(compose->version, "1.%u", &minor) != 1 || minor < MINOR_BY_FORMAT_BEFORE)
		return api_of_format(format);
	return minor < 29 ? API_OF_1_27 : API_OF_1_29;
}

lm_rc compose_check_api(const struct compose *compose, const struct engine_version *engine,
	const char *file_format, struct lm_err *err)
{
	if (compose->generation != 1)
		return LM_OK;
	unsigned api = api_of(compose, file_format);
	if (api < engine->offered_min)
		return lm_fail(err, LM_E_REFUSED, 0,
			"docker-compose %s speaks version 1.%u of the Engine API, Docker Engine %s "
			"takes 1.%u and later: every command of it will fail",
			compose->version, api, engine->engine, engine->offered_min);
	if (api > engine->offered_max)
		return lm_fail(err, LM_E_REFUSED, 0,
			"docker-compose %s speaks version 1.%u of the Engine API, Docker Engine %s "
			"takes it up to 1.%u: every command of it will fail",
			compose->version, api, engine->engine, engine->offered_max);
	return LM_OK;
}
