// SPDX-License-Identifier: Apache-2.0
#include "config/greengrass_priv.h"

#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"

static void fill(char **field, struct lm_str value)
{
	if (!*field && value.n)
		*field = lm_xmemdup0(value.p, value.n);
}

static struct lm_str member(const json_t *object, const char *key)
{
	return lm_str(json_get_text(object, key));
}

/// A path out of "file:///path" or "/path". Other URIs (PKCS#11) name no file: empty.
static struct lm_str file_path(const json_t *object, const char *key)
{
	struct lm_str uri = member(object, key);

	if (lm_str_starts(uri, LM_STR("file://")))
		uri = (struct lm_str){uri.p + 7, uri.n - 7};
	return lm_path_is_absolute(uri) ? uri : (struct lm_str){"", 0};
}

/// Region and thing name out of "arn:aws:iot:<region>:<account>:thing/<name>".
static void fill_from_thing(struct host_settings *host, struct lm_str arn)
{
	struct lm_str rest = arn;

	(void)lm_str_cut(&rest, ':');
	(void)lm_str_cut(&rest, ':');
	if (!lm_str_eq(lm_str_cut(&rest, ':'), LM_STR("iot")))
		return;
	fill(&host->region, lm_str_cut(&rest, ':'));
	(void)lm_str_cut(&rest, ':');
	if (lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("thing")))
		fill(&host->thing_name, rest);
}

lm_rc greengrass_merge(struct host_settings *host, bool says_root, struct lm_err *err)
{
	lm_auto_free char *path = lm_path_join(host->greengrass_root, "config/config.json");
	lm_auto_json json_t *config = NULL;
	lm_rc rc = json_read_file(path, LIMIT_HOST_FILE, &config, err);

	if (rc == LM_E_NOT_FOUND)
		return LM_OK;
	if (rc)
		return rc;
	const json_t *thing = json_object_get(config, "coreThing");
	const json_t *crypto = json_object_get(config, "crypto");
	const json_t *iot =
		json_object_get(json_object_get(crypto, "principals"), "IoTCertificate");
	fill_from_thing(host, member(thing, "thingArn"));
	fill(&host->iot.endpoint, member(thing, "iotHost"));
	fill(&host->iot.certificate, file_path(iot, "certificatePath"));
	fill(&host->iot.private_key, file_path(iot, "privateKeyPath"));
	fill(&host->iot.ca, file_path(crypto, "caPath"));
	fill(&host->write_directory, file_path(config, "writeDirectory"));
	const json_t *allows =
		json_object_get(json_object_get(config, "runtime"), "allowFunctionsToRunAsRoot");
	if (!says_root)
		host->allow_root = json_is_true(allows) ||
				   (json_is_string(allows) &&
					   lm_str_eq_nocase(json_text(allows), LM_STR("yes")));
	return LM_OK;
}
