// SPDX-License-Identifier: Apache-2.0
#include "devices/router_table.h"

#include "base/encoding.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"
#include "config/topic.h"

#include <string.h>

enum {
	ROUTER_FORMAT = 1,
};

bool router_table_is_device_name(struct lm_str name)
{
	return arn_is_thing_name(name) && !lm_str_starts(name, LM_STR("arn:"));
}

/// An ARN as a client ID or an endpoint: printable, of a length that messages can show.
static bool router_is_arn_text(struct lm_str text)
{
	if (!lm_str_starts(text, LM_STR("arn:")) || text.n > LIMIT_ROUTER_NAME)
		return false;
	for (size_t i = 0; i < text.n; i++)
		if (text.p[i] <= 0x20 || text.p[i] >= 0x7f)
			return false;
	return true;
}

/// Of the ARN of another connector, with which nothing is exchanged, a group file says little.
static bool router_is_endpoint_text(struct lm_str text)
{
	return lm_str_starts(text, LM_STR("arn:")) || lm_str_eq(text, LM_STR(ENDPOINT_CLOUD)) ||
	       lm_str_eq(text, LM_STR(ENDPOINT_SHADOWS));
}

/// The array `key` of the document; an absent one is empty.
static lm_rc router_get_array(
	const json_t *object, const char *key, size_t max, const json_t **ret, struct lm_err *err)
{
	const json_t *array = json_object_get(object, key);

	if (array && !json_is_array(array))
		return lm_fail(err, LM_E_INVALID, 0, "%s must be an array, it is %s", key,
			json_type_name(array));
	if (json_array_size(array) > max)
		return lm_fail(err, LM_E_INVALID, 0, "%s has %zu entries, the maximum is %zu", key,
			json_array_size(array), max);
	*ret = array;
	return LM_OK;
}

static lm_rc router_read_arn(
	const json_t *object, const char *place, size_t i, char **ret, struct lm_err *err)
{
	const char *arn = json_get_text(object, "arn");

	if (!arn || !router_is_arn_text(lm_str(arn)))
		return lm_fail(err, LM_E_INVALID, 0,
			"%s[%zu].arn must be an ARN of at most %d bytes", place, i,
			LIMIT_ROUTER_NAME);
	*ret = lm_xstrdup(arn);
	return LM_OK;
}

static lm_rc router_read_certificates(const json_t *object, const char *place, size_t at,
	char ***ret, size_t *ret_n, struct lm_err *err)
{
	const json_t *array = NULL;
	lm_rc rc = router_get_array(object, "certificates", LIMIT_DEVICE_CERTIFICATES, &array, err);

	if (rc != LM_OK)
		return lm_wrap(err, "%s[%zu]", place, at);
	*ret = lm_xcalloc(json_array_size(array) + 1, sizeof(**ret));
	for (size_t i = 0; i < json_array_size(array); i++) {
		const json_t *text = json_array_get(array, i);

		if (!json_is_string(text) || !lm_hex_is_sha256(json_text(text)))
			return lm_fail(err, LM_E_INVALID, 0,
				"%s[%zu].certificates[%zu] must be 64 lower-case hexadecimal "
				"digits",
				place, at, i);
		(*ret)[(*ret_n)++] = lm_xstrdup(json_string_value(text));
	}
	return LM_OK;
}

static lm_rc router_read_devices(const json_t *document, struct router_table *t, struct lm_err *err)
{
	const json_t *array = NULL;
	lm_rc rc = router_get_array(document, "devices", LIMIT_DEVICES, &array, err);

	if (rc != LM_OK)
		return rc;
	t->devices = lm_xcalloc(json_array_size(array) + 1, sizeof(*t->devices));
	for (size_t i = 0; rc == LM_OK && i < json_array_size(array); i++) {
		const json_t *object = json_array_get(array, i);
		struct router_device *d = &t->devices[t->devices_n++];
		const char *name = json_get_text(object, "name");

		if (!name || !router_table_is_device_name(lm_str(name)))
			return lm_fail(err, LM_E_INVALID, 0,
				"devices[%zu].name must be 1 to 128 of A-Z a-z 0-9 : _ - and must "
				"not "
				"begin with \"arn:\"",
				i);
		d->name = lm_xstrdup(name);
		d->sync = json_get_bool(object, "sync", false);
		rc = router_read_arn(object, "devices", i, &d->arn, err);
		if (rc == LM_OK)
			rc = router_read_certificates(
				object, "devices", i, &d->certificates, &d->certificates_n, err);
	}
	return rc;
}

static lm_rc router_read_functions(
	const json_t *document, struct router_table *t, struct lm_err *err)
{
	const json_t *array = NULL;
	lm_rc rc = router_get_array(document, "functions", LIMIT_SUBSCRIPTIONS, &array, err);

	if (rc != LM_OK)
		return rc;
	t->functions = lm_xcalloc(json_array_size(array) + 1, sizeof(*t->functions));
	for (size_t i = 0; rc == LM_OK && i < json_array_size(array); i++) {
		const json_t *object = json_array_get(array, i);
		struct router_function *f = &t->functions[t->functions_n++];

		rc = router_read_arn(object, "functions", i, &f->arn, err);
		if (rc == LM_OK)
			rc = router_read_certificates(
				object, "functions", i, &f->certificates, &f->certificates_n, err);
	}
	return rc;
}

static lm_rc router_read_subscription(
	const json_t *object, size_t i, struct router_subscription *s, struct lm_err *err)
{
	const char *source = json_get_text(object, "source");
	const char *subject = json_get_text(object, "subject");
	const char *target = json_get_text(object, "target");
	const char *why = "is missing";

	if (!source || !router_is_endpoint_text(lm_str(source)))
		return lm_fail(err, LM_E_INVALID, 0,
			"subscriptions[%zu].source must be an ARN, \"cloud\" or "
			"\"GGShadowService\"",
			i);
	if (!target || !router_is_endpoint_text(lm_str(target)))
		return lm_fail(err, LM_E_INVALID, 0,
			"subscriptions[%zu].target must be an ARN, \"cloud\" or "
			"\"GGShadowService\"",
			i);
	if (!subject || !topic_is_filter(lm_str(subject), &why))
		return lm_fail(err, LM_E_INVALID, 0, "subscriptions[%zu].subject %s", i, why);
	s->source = lm_xstrdup(source);
	s->subject = lm_xstrdup(subject);
	s->target = lm_xstrdup(target);
	return LM_OK;
}

static lm_rc router_read_subscriptions(
	const json_t *document, struct router_table *t, struct lm_err *err)
{
	const json_t *array = NULL;
	lm_rc rc = router_get_array(document, "subscriptions", LIMIT_SUBSCRIPTIONS, &array, err);

	if (rc != LM_OK)
		return rc;
	t->subscriptions = lm_xcalloc(json_array_size(array) + 1, sizeof(*t->subscriptions));
	for (size_t i = 0; rc == LM_OK && i < json_array_size(array); i++)
		rc = router_read_subscription(
			json_array_get(array, i), i, &t->subscriptions[t->subscriptions_n++], err);
	return rc;
}

static lm_rc router_read_connector(
	const json_t *document, struct router_table *t, struct lm_err *err)
{
	const json_t *object = json_object_get(document, "connector");
	const char *arn = json_get_text(object, "arn");
	const char *hash = json_get_text(object, "password_sha256");

	if (!object || json_is_null(object))
		return LM_OK;
	if (!arn || !router_is_arn_text(lm_str(arn)))
		return lm_fail(err, LM_E_INVALID, 0,
			"connector.arn must be an ARN of at most %d bytes", LIMIT_ROUTER_NAME);
	if (!hash || !lm_hex_is_sha256(lm_str(hash)))
		return lm_fail(err, LM_E_INVALID, 0,
			"connector.password_sha256 must be 64 lower-case hexadecimal digits");
	t->connector.arn = lm_xstrdup(arn);
	t->connector.password_sha256 = lm_xstrdup(hash);
	return LM_OK;
}

static lm_rc router_read_document(
	const json_t *document, struct router_table *t, struct lm_err *err)
{
	const char *core = json_get_text(document, "core");
	int64_t format = json_get_int(document, "format", 0);
	lm_rc rc = LM_OK;

	if (!json_is_object(document))
		return lm_fail(err, LM_E_INVALID, 0, "must be an object, it is %s",
			json_type_name(document));
	if (format != ROUTER_FORMAT)
		return lm_fail(err, LM_E_INVALID, 0,
			"format is %lld, this version reads format %d: install plugin and "
			"lightermand of "
			"the same version",
			(long long)format, ROUTER_FORMAT);
	if (core)
		t->core = lm_xstrdup(core);
	t->cloud = json_get_bool(document, "cloud", false);
	rc = router_read_connector(document, t, err);
	if (rc == LM_OK)
		rc = router_read_devices(document, t, err);
	if (rc == LM_OK)
		rc = router_read_functions(document, t, err);
	if (rc == LM_OK)
		rc = router_read_subscriptions(document, t, err);
	return rc;
}

lm_rc router_table_read(struct lm_str text, struct router_table *ret, struct lm_err *err)
{
	lm_auto_router_table struct router_table t = {0};
	lm_auto_json json_t *document = NULL;
	lm_rc rc = LM_OK;

	if (text.n > LIMIT_ROUTER_TABLE || json_count(text) > LIMIT_ROUTER_VALUES)
		return lm_fail(err, LM_E_INVALID, 0,
			"is larger than a table with %d devices and %d subscriptions can be",
			LIMIT_DEVICES, LIMIT_SUBSCRIPTIONS);
	rc = json_parse(text, &document, err);
	if (rc == LM_OK)
		rc = router_read_document(document, &t, err);
	if (rc != LM_OK)
		return rc;
	*ret = t;
	t = (struct router_table){0};
	return LM_OK;
}

static json_t *router_certificates_to_json(char *const *certificates, size_t n)
{
	json_t *array = json_array();

	for (size_t i = 0; i < n; i++)
		json_array_append_new(array, json_string(certificates[i]));
	return array;
}

json_t *router_table_to_json(const struct router_table *t)
{
	json_t *document = json_pack("{s:i}", "format", ROUTER_FORMAT);
	json_t *devices = json_array(), *functions = json_array(), *subscriptions = json_array();

	for (size_t i = 0; i < t->devices_n; i++)
		json_array_append_new(
			devices, json_pack("{s:s, s:s, s:o, s:b}", "name", t->devices[i].name,
					 "arn", t->devices[i].arn, "certificates",
					 router_certificates_to_json(t->devices[i].certificates,
						 t->devices[i].certificates_n),
					 "sync", t->devices[i].sync));
	for (size_t i = 0; i < t->functions_n; i++)
		json_array_append_new(functions,
			json_pack("{s:s, s:o}", "arn", t->functions[i].arn, "certificates",
				router_certificates_to_json(t->functions[i].certificates,
					t->functions[i].certificates_n)));
	for (size_t i = 0; i < t->subscriptions_n; i++)
		json_array_append_new(subscriptions,
			json_pack("{s:s, s:s, s:s}", "source", t->subscriptions[i].source,
				"subject", t->subscriptions[i].subject, "target",
				t->subscriptions[i].target));
	if (t->core)
		json_object_set_new(document, "core", json_string(t->core));
	if (t->connector.arn)
		json_object_set_new(document, "connector",
			json_pack("{s:s, s:s}", "arn", t->connector.arn, "password_sha256",
				t->connector.password_sha256));
	json_object_set_new(document, "devices", devices);
	json_object_set_new(document, "functions", functions);
	json_object_set_new(document, "subscriptions", subscriptions);
	json_object_set_new(document, "cloud", json_boolean(t->cloud));
	return document;
}

static void router_free_texts(char **texts, size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

void router_table_finish(struct router_table *t)
{
	for (size_t i = 0; i < t->devices_n; i++) {
		free(t->devices[i].name);
		free(t->devices[i].arn);
		router_free_texts(t->devices[i].certificates, t->devices[i].certificates_n);
	}
	for (size_t i = 0; i < t->functions_n; i++) {
		free(t->functions[i].arn);
		router_free_texts(t->functions[i].certificates, t->functions[i].certificates_n);
	}
	for (size_t i = 0; i < t->subscriptions_n; i++) {
		free(t->subscriptions[i].source);
		free(t->subscriptions[i].subject);
		free(t->subscriptions[i].target);
	}
	free(t->devices);
	free(t->functions);
	free(t->subscriptions);
	free(t->core);
	free(t->connector.arn);
	free(t->connector.password_sha256);
	*t = (struct router_table){0};
}
