// SPDX-License-Identifier: Apache-2.0
#include "config/host_draft.h"

#include "base/memory.h"
#include "sys/json.h"

enum { NOTE_MAX = 200 };

/// A comment of one line: `text`, then what it quotes (NULL: nothing). That is from this device,
/// and may hold anything.
static void draft_add_note(struct lm_buf *out, const char *text, const char *quoted)
{
	char shown[4 * NOTE_MAX + 32];

	(void)lm_buf_printf(out, "  // %s%s\n", text,
		quoted ? lm_str_shorten(lm_str(quoted), NOTE_MAX, shown, sizeof(shown)) : "");
}

/// A member, with a comma; without a value a comment with the example. Takes over both.
static void draft_add_member(struct lm_buf *out, const char *key, json_t *value, json_t *example)
{
	lm_auto_json json_t *ours = value, *other = example;
	lm_auto_free char *text = json_dumps(ours ? ours : other, JSON_ENCODE_ANY);

	(void)lm_buf_printf(out, "  %s\"%s\": %s,\n", ours ? "" : "// ", key, text ? text : "null");
}

static void draft_add_text(
	struct lm_buf *out, const char *key, const char *value, const char *example)
{
	draft_add_member(out, key, value ? json_string(value) : NULL, json_string(example));
}

static json_t *one_member(const char *key, const char *value)
{
	return json_pack("{s:s}", key, value);
}

static void add_aws(const struct host_draft *d, struct lm_buf *out)
{
	if (d->greengrass_root)
		draft_add_note(out,
			"Region, thing name, endpoint and certificate, if not set here, are those "
			"of: ",
			d->greengrass_root);
	draft_add_note(out, "The AWS Region. Without it, that of the connector's ARN.", NULL);
	draft_add_text(out, "region", d->region, "eu-west-1");
	draft_add_note(out, "This device as a thing of AWS IoT.", NULL);
	draft_add_text(out, "thingName", NULL, d->host_name ? d->host_name : "Gateway");
	draft_add_note(out,
		"AWS credentials by a role alias of AWS IoT. Without it, as the AWS SDKs find "
		"them.",
		NULL);
	draft_add_member(out, "credentials", NULL,
		json_pack("{s:s, s:s, s:s, s:s}", "roleAlias", "ALIAS", "endpoint",
			"ID.credentials.iot.eu-west-1.amazonaws.com", "certificate",
			"/etc/lighterman/device.pem", "privateKey", "/etc/lighterman/device.key"));
	draft_add_note(out, "Directories of this device in place of S3 and Secrets Manager.", NULL);
	draft_add_member(
		out, "objectStore", NULL, one_member("directory", "/srv/lighterman/objects"));
	draft_add_member(
		out, "secretStore", NULL, one_member("directory", "/srv/lighterman/secrets"));
	(void)lm_buf_putc(out, '\n');
}

static void add_messages(const struct host_draft *d, struct lm_buf *out)
{
	json_t *broker = d->broker_host ? json_pack("{s:s, s:i}", "host", d->broker_host, "port",
						  (int)d->broker_port)
					: NULL;

	draft_add_note(out,
		"The MQTT broker for status messages; off without it. A password is in a file of "
		"its",
		NULL);
	draft_add_note(out, "own: \"username\", \"passwordFile\". TLS: \"ca\".", NULL);
	draft_add_member(
		out, "mqtt", broker, json_pack("{s:s, s:i}", "host", "127.0.0.1", "port", 1883));
	(void)lm_buf_putc(out, '\n');
}

static void add_access(const struct host_draft *d, struct lm_buf *out)
{
	draft_add_note(out,
		"The user that applications run as, if the definition has no DockerUserId.", NULL);
	draft_add_text(out, "defaultUser", d->default_user, "ggc_user");
	draft_add_note(out,
		"The group that may use all of `lighterman`. Its members are as powerful as root.",
		NULL);
	draft_add_text(out, "controlGroup", d->control_group, "lighterman");
	draft_add_note(out,
		"The group that may only look: status, history, logs, crashes, metrics.", NULL);
	draft_add_text(out, "controlReadGroup", NULL, "adm");
	(void)lm_buf_putc(out, '\n');
}

void host_draft_write(const struct host_draft *d, struct lm_buf *out)
{
	lm_auto_json json_t *docker = one_member("socket", d->docker_socket);
	lm_auto_free char *docker_text = json_dumps(docker, 0);

	(void)lm_buf_puts(out, "{\n");
	draft_add_note(
		out, "How this device is set up for Lighterman, by `lighterman init`.", NULL);
	draft_add_note(out,
		"Every key is optional; lines that begin with // are comments. All keys are in",
		NULL);
	draft_add_note(out,
		"docs/formats.md, \"Host file\". After a change: systemctl restart lightermand",
		NULL);
	(void)lm_buf_putc(out, '\n');
	add_access(d, out);
	add_messages(d, out);
	add_aws(d, out);
	// Last, and always there: what is uncommented above it needs no other comma.
	draft_add_note(out,
		"The Docker Engine; \"compose\" names a docker-compose other than the first in "
		"/usr/bin and",
		NULL);
	draft_add_note(out,
		"/usr/local/bin, or else the plugin. Found: ", d->compose ? d->compose : "none");
	(void)lm_buf_printf(out, "  \"docker\": %s\n}\n", docker_text ? docker_text : "{}");
}
