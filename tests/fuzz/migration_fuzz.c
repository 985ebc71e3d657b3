// SPDX-License-Identifier: Apache-2.0
#include "config/migration.h"

#include "config/definition.h"
#include "config/host_file.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// What is written can be read.
static void check_files(const struct migration *m)
{
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	lm_auto(group_destroy_p) struct group *group = NULL;
	lm_auto_host struct host_settings host = {0};
	struct lm_err err = {0};

	if (migration_host(m) && host_from_json(migration_host(m), &host, &err))
		abort();
	if (migration_group(m) && definition_parse_json(migration_group(m), &errors, &group, &err))
		abort();
	lm_auto_free char *report = json_dumps(migration_report(m), JSON_COMPACT);
	if (!report)
		abort();
}

/// The documents of a file, one behind the other; the first may be a core's config.json.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	lm_auto(migration_destroy_p) struct migration *m = migration_create();
	lm_auto(validation_errors_finish) struct validation_errors errors = {0};
	struct lm_str rest = {(const char *)data, size};
	struct lm_err err = {0};

	for (unsigned n = 0; rest.n > 0; n++) {
		lm_auto_json json_t *document = NULL;

		if (json_parse(lm_str_cut(&rest, '\n'), &document, &err))
			return 0;
		lm_rc rc = n == 0 && json_object_get(document, "coreThing")
				   ? migration_add_core(m, document, "/greengrass", &err)
				   : migration_add_document(m, document, "file", &err);
		if (rc) {
			if (!err.msg[0])
				abort();
			return 0;
		}
	}
	if (migration_finish(m, &errors, &err)) {
		if (!err.msg[0])
			abort();
		return 0;
	}
	check_files(m);
	return 0;
}
