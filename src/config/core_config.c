// SPDX-License-Identifier: Apache-2.0
#include "config/core_config.h"

#include "base/file.h"
#include "base/memory.h"

enum { PORT_MAX = 65535 };

static struct lm_str text_member(const json_t *object, const char *key)
{
	return lm_str(json_get_text(object, key));
}

static char *copy_nonempty(struct lm_str text)
{
	return text.n ? lm_xmemdup0(text.p, text.n) : NULL;
}

/// Out of "file:///path" or "/path".
static struct core_file read_uri(const json_t *object, const char *key)
{
	struct lm_str uri = text_member(object, key);

	if (lm_str_starts(uri, LM_STR("file://")))
		uri = (struct lm_str){uri.p + 7, uri.n - 7};
	if (lm_path_is_absolute(uri))
		return (struct core_file){.path = copy_nonempty(uri)};
	bool is_pkcs11 = lm_str_starts(uri, LM_STR("pkcs11:"));
	return (struct core_file){.is_pkcs11 = is_pkcs11,
		.is_other = !is_pkcs11 && json_object_get(object, key) != NULL};
}

/// As before 1.7: a name in the folder `certs`.
static struct core_file read_cert_name(const json_t *object, const char *key, const char *root)
{
	struct lm_str name = text_member(object, key);

	if (!name.n)
		return (struct core_file){.is_other = json_object_get(object, key) != NULL};
	lm_auto_free char *certs = lm_path_join(root, "certs");
	return (struct core_file){.path = lm_path_is_absolute(name) ? copy_nonempty(name)
								    : lm_path_join(certs, name.p)};
}

/// A port, as a number or a text.
static unsigned read_port(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	uint64_t port = 0;

	if (json_is_integer(value) && json_integer_value(value) > 0 &&
		json_integer_value(value) <= PORT_MAX)
		return (unsigned)json_integer_value(value);
	if (json_is_string(value))
		(void)lm_str_to_u64(json_text(value), PORT_MAX, &port);
	return (unsigned)port;
}

/// "arn:aws:iot:<region>:<account>:thing/<name>".
static void read_core_thing(struct lm_str arn, struct core_config *ret)
{
	struct lm_str rest = arn;

	(void)lm_str_cut(&rest, ':');
	struct lm_str partition = lm_str_cut(&rest, ':');
	if (!lm_str_eq(lm_str_cut(&rest, ':'), LM_STR("iot")))
		return;
	ret->partition = copy_nonempty(partition);
	ret->region = copy_nonempty(lm_str_cut(&rest, ':'));
	ret->account = copy_nonempty(lm_str_cut(&rest, ':'));
	if (lm_str_eq(lm_str_cut(&rest, '/'), LM_STR("thing")))
		ret->thing_name = copy_nonempty(rest);
}

/// `crypto` since 1.7, where it is present alone; else `coreThing`.
static void read_core_files(const json_t *document, const char *root, struct core_config *ret)
{
	const json_t *thing = json_object_get(document, "coreThing");
	const json_t *crypto = json_object_get(document, "crypto");
	const json_t *principals = json_object_get(crypto, "principals");
	const json_t *iot = json_object_get(principals, "IoTCertificate");

	if (!json_is_object(crypto)) {
		ret->ca = read_cert_name(thing, "caPath", root);
		ret->certificate = read_cert_name(thing, "certPath", root);
		ret->private_key = read_cert_name(thing, "keyPath", root);
		return;
	}
	ret->ca = read_uri(crypto, "caPath");
	ret->certificate = read_uri(iot, "certificatePath");
	ret->private_key = read_uri(iot, "privateKeyPath");
	ret->server_key =
		read_uri(json_object_get(principals, "MQTTServerCertificate"), "privateKeyPath");
}

void core_config_read(const json_t *document, const char *root, struct core_config *ret)
{
	const json_t *thing = json_object_get(document, "coreThing");
	const json_t *allows =
		json_object_get(json_object_get(document, "runtime"), "allowFunctionsToRunAsRoot");

	*ret = (struct core_config){0};
	read_core_thing(text_member(thing, "thingArn"), ret);
	read_core_files(document, root, ret);
	ret->iot_endpoint = copy_nonempty(text_member(thing, "iotHost"));
	ret->broker_port = read_port(thing, "ggMqttPort");
	ret->cloud_port = read_port(thing, "iotMqttPort");
	struct core_file writes = read_uri(document, "writeDirectory");
	ret->write_directory = writes.path;
	ret->has_proxy = json_object_get(json_object_get(thing, "networkProxy"), "proxy") != NULL;
	ret->allows_root =
		json_is_true(allows) ||
		(json_is_string(allows) && lm_str_eq_nocase(json_text(allows), LM_STR("yes")));
}

void core_config_finish(struct core_config *config)
{
	free(config->region);
	free(config->thing_name);
	free(config->account);
	free(config->partition);
	free(config->iot_endpoint);
	free(config->certificate.path);
	free(config->private_key.path);
	free(config->ca.path);
	free(config->server_key.path);
	free(config->write_directory);
	*config = (struct core_config){0};
}
