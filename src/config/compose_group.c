// SPDX-License-Identifier: Apache-2.0
#include "config/compose_group.h"

#include "config/definition.h"
#include "config/group_form.h"

#include <inttypes.h>
#include <stdio.h>

// The Region is that of the host file, if it has one: this one only stands in the log's path.
#define ARN "arn:aws:greengrass:us-east-1::/connectors/DockerApplicationDeployment/versions/7"

bool compose_group_is_compose(struct lm_str text)
{
	return group_form_is_compose(group_form_skip_mark(text));
}

bool compose_group_is_url(const char *argument)
{
	return lm_str_starts(lm_str(argument), LM_STR("https://")) ||
	       lm_str_starts(lm_str(argument), LM_STR(SOURCE_ARTIFACT));
}

static json_t *compose_group_source_to_json(const struct compose_group_source *source)
{
	if (source->url)
		return json_pack("{s:s}", "Url", source->url);
	return json_pack(
		"{s:s%, s:s*}", "Text", source->text.p, source->text.n, "Name", source->name);
}

lm_rc compose_group_make(
	const struct compose_group_source *source, json_t **ret, struct lm_err *err)
{
	struct lm_str text = group_form_skip_mark(source->text);
	struct compose_group_source plain = *source;
	char uid[16];

	if (!lm_str_is_utf8(text))
		return lm_fail(err, LM_E_INVALID, 0,
			"the compose file is not UTF-8: save it in that encoding");
	plain.text = text;
	plain.name = source->name && lm_str_is_utf8(lm_str(source->name)) ? source->name : NULL;
	(void)snprintf(uid, sizeof(uid), "%" PRIu32, source->uid);
	json_t *parameters = json_pack("{s:s, s:s}", "DockerComposeFileDestinationPath",
		source->destination, "DockerOfflineMode", "True");
	if (source->has_user)
		json_object_set_new(parameters, "DockerUserId", json_string(uid));
	*ret = json_pack("{s:[{s:s, s:s, s:o, s:o, s:{s:s, s:s}}]}", "Connectors", "Id",
		"compose-file", "ConnectorArn", ARN, "Source", compose_group_source_to_json(&plain),
		"Parameters", parameters, "Policy", "WaitHealthy", "True", "RollbackOnFailure",
		"True");
	return *ret ? LM_OK
		    : lm_fail(err, LM_E_INVALID, 0,
			      "the destination '%s' is not UTF-8: choose another",
			      source->destination);
}
