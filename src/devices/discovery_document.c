// SPDX-License-Identifier: Apache-2.0
#include "devices/discovery_document.h"

#include "base/cleanup.h"
#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"
#include "sys/json.h"

#include <inttypes.h>

enum { DISCOVERY_FORMAT = 1, TEXT_MAX = 1024 };

static const char CERTIFICATE_BEGIN[] = "-----BEGIN CERTIFICATE-----";
static const char CERTIFICATE_END[] = "-----END CERTIFICATE-----";

static bool is_plain_text(struct lm_str text)
{
	if (text.n == 0 || text.n > TEXT_MAX)
		return false;
	for (size_t i = 0; i < text.n; i++) {
		if ((unsigned char)text.p[i] < 0x20 || text.p[i] == 0x7f)
			return false;
	}
	return true;
}

/// The next certificate of a PEM text, with its line end, cut off at its front; empty: no more.
static struct lm_str next_certificate(struct lm_str *pem)
{
	const char *begin =
		memmem(pem->p, pem->n, CERTIFICATE_BEGIN, sizeof(CERTIFICATE_BEGIN) - 1);
	const char *end = begin ? memmem(begin, (size_t)(pem->p + pem->n - begin), CERTIFICATE_END,
					  sizeof(CERTIFICATE_END) - 1)
				: NULL;

	if (!end)
		return (struct lm_str)LM_STR("");
	end += sizeof(CERTIFICATE_END) - 1;
	*pem = (struct lm_str){end, (size_t)(pem->p + pem->n - end)};
	return (struct lm_str){begin, (size_t)(end - begin)};
}

static lm_rc take_text(const json_t *value, const char *name, char **ret, struct lm_err *err)
{
	if (!json_is_string(value) || !is_plain_text(json_text(value)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'%s' must be a text of 1 to %d bytes without control characters", name,
			TEXT_MAX);
	*ret = lm_xstrdup(json_string_value(value));
	return LM_OK;
}

static lm_rc take_port(const json_t *object, const char *name, unsigned *ret, struct lm_err *err)
{
	int64_t port = json_get_int(object, name, 0);

	if (port < 1 || port > UINT16_MAX)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' must be a number from 1 to 65535", name);
	*ret = (unsigned)port;
	return LM_OK;
}

/// The array and how long it is.
static lm_rc take_array(const json_t *object, const char *name, size_t least, size_t most,
	const json_t **ret, size_t *ret_n, struct lm_err *err)
{
	const json_t *array = json_object_get(object, name);

	if (!json_is_array(array) || json_array_size(array) < least ||
		json_array_size(array) > most)
		return lm_fail(err, LM_E_INVALID, 0, "'%s' must be an array of %zu to %zu items",
			name, least, most);
	*ret = array;
	*ret_n = json_array_size(array);
	return LM_OK;
}

static lm_rc parse_addresses(const json_t *root, struct discovery_document *doc, struct lm_err *err)
{
	const json_t *array = NULL;
	size_t n = 0;
	lm_rc rc = take_array(root, "addresses", 1, DISCOVERY_ADDRESSES_MAX, &array, &n, err);

	if (rc)
		return rc;
	doc->addresses = lm_xcalloc(n, sizeof(*doc->addresses));
	for (size_t i = 0; i < n && !rc; i++) {
		rc = take_text(json_array_get(array, i), "addresses",
			&doc->addresses[doc->addresses_n], err);
		doc->addresses_n += !rc;
	}
	return rc;
}

static lm_rc parse_device(const json_t *value, struct discovery_device *device, struct lm_err *err)
{
	const json_t *name = json_object_get(value, "name"), *array = NULL;
	size_t n = 0;

	if (!json_is_string(name) || !arn_is_thing_name(json_text(name)))
		return lm_fail(err, LM_E_INVALID, 0,
			"'name' must be a thing name: 1 to %d of A-Z a-z 0-9 : _ -",
			ARN_THING_NAME_MAX);
	lm_rc rc =
		take_array(value, "certificates", 0, DISCOVERY_CERTIFICATES_MAX, &array, &n, err);
	if (rc)
		return rc;
	device->name = lm_xstrdup(json_string_value(name));
	device->certificates = lm_xcalloc(n, sizeof(*device->certificates));
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(array, i);

		if (!json_is_string(item) || !lm_hex_is_sha256(json_text(item)))
			return lm_fail(err, LM_E_INVALID, 0,
				"'certificates' must be SHA-256 fingerprints: %d lower-case "
				"hexadecimal digits each",
				LM_SHA256_HEX);
		device->certificates[device->certificates_n++] =
			lm_xstrdup(json_string_value(item));
	}
	return LM_OK;
}

static lm_rc parse_devices(const json_t *root, struct discovery_document *doc, struct lm_err *err)
{
	const json_t *array = NULL;
	size_t n = 0;
	lm_rc rc = take_array(root, "devices", 0, LIMIT_DEVICES, &array, &n, err);

	if (rc)
		return rc;
	doc->devices = lm_xcalloc(n, sizeof(*doc->devices));
	for (size_t i = 0; i < n; i++) {
		rc = parse_device(json_array_get(array, i), &doc->devices[doc->devices_n++], err);
		if (rc)
			return lm_wrap(err, "devices[%zu]", i);
	}
	return LM_OK;
}

static lm_rc parse_listen(const json_t *root, struct discovery_document *doc, struct lm_err *err)
{
	const json_t *array = NULL;
	size_t n = 0;
	lm_rc rc = take_array(root, "listen", 1, DISCOVERY_LISTEN_MAX, &array, &n, err);

	if (rc)
		return rc;
	doc->listen = lm_xcalloc(n, sizeof(*doc->listen));
	for (size_t i = 0; i < n; i++) {
		const json_t *item = json_array_get(array, i);
		struct discovery_port *port = &doc->listen[doc->listen_n++];

		rc = take_port(item, "port", &port->port, err);
		if (rc)
			return lm_wrap(err, "listen[%zu]", i);
		for (size_t before = 0; before < i; before++) {
			if (doc->listen[before].port == port->port)
				return lm_fail(err, LM_E_INVALID, 0,
					"listen[%zu]: port %u is listed twice", i, port->port);
		}
		port->optional = json_get_bool(item, "optional", false);
	}
	return LM_OK;
}

static lm_rc parse_ca(const json_t *root, struct discovery_document *doc, struct lm_err *err)
{
	const json_t *ca = json_object_get(root, "ca");
	struct lm_str pem = json_is_string(ca) ? json_text(ca) : (struct lm_str)LM_STR("");

	if (pem.n > LIMIT_PEM_FILE || next_certificate(&pem).n == 0)
		return lm_fail(err, LM_E_INVALID, 0, "'ca' must be a PEM certificate");
	doc->ca = lm_xstrdup(json_string_value(ca));
	return LM_OK;
}

static lm_rc parse_root(const json_t *root, struct discovery_document *doc, struct lm_err *err)
{
	lm_rc rc;

	if (!json_is_object(root))
		return lm_fail(err, LM_E_INVALID, 0, "it must be an object, but is %s",
			json_type_name(root));
	if (json_get_int(root, "format", 0) != DISCOVERY_FORMAT)
		return lm_fail(err, LM_E_INVALID, 0,
			"'format' must be %d: this version of Lighterman reads no other",
			DISCOVERY_FORMAT);
	if ((rc = take_text(json_object_get(root, "group"), "group", &doc->group, err)) ||
		(rc = take_text(json_object_get(root, "core"), "core", &doc->core, err)) ||
		(rc = take_port(root, "port", &doc->port, err)) ||
		(rc = parse_addresses(root, doc, err)) || (rc = parse_ca(root, doc, err)) ||
		(rc = parse_devices(root, doc, err)))
		return rc;
	return parse_listen(root, doc, err);
}

lm_rc discovery_document_parse(
	struct lm_str text, struct discovery_document *ret, struct lm_err *err)
{
	lm_auto_json json_t *root = NULL;
	lm_auto(discovery_document_finish) struct discovery_document doc = {0};

	// Counted first, as a parsed value takes hundreds of bytes.
	if (text.n > LIMIT_DISCOVERY_FILE || json_count(text) > LIMIT_DISCOVERY_VALUES)
		return lm_fail(err, LM_E_TOO_LARGE, 0, "it is over %d bytes or %d values",
			LIMIT_DISCOVERY_FILE, LIMIT_DISCOVERY_VALUES);
	lm_rc rc = json_parse(text, &root, err);
	if (rc || (rc = parse_root(root, &doc, err)))
		return rc;
	*ret = doc;
	doc = (struct discovery_document){0};
	return LM_OK;
}

static json_t *strings_to_json(char *const *texts, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		(void)json_array_append_new(array, json_string(texts[i]));
	return array;
}

bool discovery_document_write(const struct discovery_document *doc, struct lm_buf *out)
{
	json_t *devices = json_array(), *listen = json_array();

	for (size_t i = 0; i < doc->devices_n; i++) {
		const struct discovery_device *d = &doc->devices[i];

		(void)json_array_append_new(
			devices, json_pack("{s:s, s:o}", "name", d->name, "certificates",
					 strings_to_json(d->certificates, d->certificates_n)));
	}
	for (size_t i = 0; i < doc->listen_n; i++) {
		json_t *port = json_pack("{s:i}", "port", (int)doc->listen[i].port);

		if (doc->listen[i].optional)
			(void)json_object_set_new(port, "optional", json_true());
		(void)json_array_append_new(listen, port);
	}
	lm_auto_json json_t *root = json_pack("{s:i, s:s, s:s, s:i, s:o, s:s, s:o, s:o}", "format",
		DISCOVERY_FORMAT, "group", doc->group, "core", doc->core, "port", (int)doc->port,
		"addresses", strings_to_json(doc->addresses, doc->addresses_n), "ca", doc->ca,
		"devices", devices, "listen", listen);
	return root && json_write(root, out);
}

void discovery_document_finish(struct discovery_document *doc)
{
	free(doc->group);
	free(doc->core);
	free(doc->ca);
	for (size_t i = 0; i < doc->addresses_n; i++)
		free(doc->addresses[i]);
	free((void *)doc->addresses);
	for (size_t i = 0; i < doc->devices_n; i++) {
		free(doc->devices[i].name);
		for (size_t c = 0; c < doc->devices[i].certificates_n; c++)
			free(doc->devices[i].certificates[c]);
		free((void *)doc->devices[i].certificates);
	}
	free(doc->devices);
	free(doc->listen);
	*doc = (struct discovery_document){0};
}

const struct discovery_device *discovery_document_find(
	const struct discovery_document *doc, struct lm_str name)
{
	for (size_t i = 0; i < doc->devices_n; i++) {
		if (lm_str_eq(lm_str(doc->devices[i].name), name))
			return &doc->devices[i];
	}
	return NULL;
}

bool discovery_document_has_certificate(const struct discovery_document *doc,
	const struct discovery_device *device, struct lm_str fingerprint)
{
	const struct discovery_device *from = device ? device : doc->devices;
	size_t n = device ? 1 : doc->devices_n;

	for (size_t i = 0; i < n; i++) {
		for (size_t c = 0; c < from[i].certificates_n; c++) {
			if (lm_str_eq(lm_str(from[i].certificates[c]), fingerprint))
				return true;
		}
	}
	return false;
}

bool discovery_document_answer(const struct discovery_document *doc, struct lm_buf *out)
{
	json_t *connectivity = json_array(), *authorities = json_array();
	struct lm_str pem = lm_str(doc->ca);

	for (size_t i = 0; i < doc->addresses_n; i++) {
		lm_auto_free char *id = lm_xasprintf("AUTOIP_%s_%zu", doc->addresses[i], i + 1);

		(void)json_array_append_new(connectivity,
			json_pack("{s:s, s:s, s:i, s:s}", "Id", id, "HostAddress",
				doc->addresses[i], "PortNumber", (int)doc->port, "Metadata", ""));
	}
	for (struct lm_str one = next_certificate(&pem); one.n > 0; one = next_certificate(&pem)) {
		lm_auto_free char *text = lm_xasprintf("%.*s\n", LM_STR_ARG(one));

		(void)json_array_append_new(authorities, json_string(text));
	}
	lm_auto_json json_t *root = json_pack("{s:[{s:s, s:[{s:s, s:o}], s:o}]}", "GGGroups",
		"GGGroupId", doc->group, "Cores", "thingArn", doc->core, "Connectivity",
		connectivity, "CAs", authorities);
	return root && json_write(root, out);
}
