// SPDX-License-Identifier: Apache-2.0
#include "cli/cmd_device.h"

#include "base/limits.h"
#include "base/memory.h"
#include "cli/client.h"
#include "cli/group_file.h"
#include "cli/output.h"
#include "cli/render.h"
#include "config/arn.h"

#include <string.h>

enum { FINGERPRINT_SHOWN = 16 };

/// A file that `device add` takes.
struct pem_kind {
	const char *name;
	const char *begin, *begin_too; ///< The lines it must have, one of them.
	const char *fix;
};
static const struct pem_kind CSR = {"certificate signing request",
	"-----BEGIN CERTIFICATE REQUEST-----", "-----BEGIN NEW CERTIFICATE REQUEST-----",
	"make one with 'openssl req -new -key KEY -subj /CN=NAME'"};
static const struct pem_kind CERTIFICATE = {"certificate", "-----BEGIN CERTIFICATE-----",
	"-----BEGIN TRUSTED CERTIFICATE-----",
	"convert DER with 'openssl x509 -inform DER -in FILE'"};

static void render_day(struct lm_buf *out, const json_t *expires)
{
	char time[FORMAT_SIZE];

	if (json_is_integer(expires))
		(void)lm_buf_printf(out, "%.10s", format_time(json_integer_value(expires), time));
	else
		(void)lm_buf_putc(out, '-');
}

static void render_files(const json_t *files, struct lm_buf *out)
{
	render_label(out, "files");
	for (size_t i = 0; i < json_array_size(files); i++) {
		(void)lm_buf_puts(out, i > 0 ? ", " : "");
		render_sanitized(out, json_string_value(json_array_get(files, i)));
	}
	(void)lm_buf_putc(out, '\n');
}

void device_render_added(const json_t *device, bool registered, struct lm_buf *out)
{
	render_label(out, registered ? "accepted" : "added");
	render_member(out, device, "name", "");
	(void)lm_buf_putc(out, '\n');
	render_label(out, "certificate");
	render_member(out, device, "sha256", "SHA-256 ");
	(void)lm_buf_putc(out, '\n');
	render_label(out, "valid until");
	render_day(out, json_object_get(device, "expires_ms"));
	(void)lm_buf_putc(out, '\n');
	if (json_get_text(device, "directory")) {
		render_label(out, "directory");
		render_member(out, device, "directory", "");
		(void)lm_buf_putc(out, '\n');
		render_files(json_object_get(device, "files"), out);
	}
	const char *name = json_get_text(device, "name");
	bool is_thing = !name || !lm_str_starts(lm_str(name), LM_STR("arn:")); // or a function
	if (is_thing && json_is_false(json_object_get(device, "in_group")))
		(void)lm_buf_puts(out,
			"\nThe deployed group has no device of this name: it can connect once "
			"Devices names it.\n");
}

static char *yes_no_cell(const json_t *device, const char *key)
{
	const json_t *value = json_object_get(device, key);

	return json_is_boolean(value) ? lm_xstrdup(json_is_true(value) ? "yes" : "no") : NULL;
}

static char *state_of_device(const json_t *device)
{
	if (json_get_bool(device, "removed", false))
		return lm_xstrdup("removed");
	const json_t *connected = json_object_get(device, "connected");
	if (!json_is_boolean(connected))
		return NULL;
	return lm_xstrdup(json_is_true(connected) ? "connected" : "not connected");
}

static char *fingerprint_cell(const json_t *certificate)
{
	lm_auto_free char *sha256 = sanitize_text(json_get_text(certificate, "sha256"));

	if (strlen(sha256) <= FINGERPRINT_SHOWN)
		return lm_take(sha256);
	return lm_xasprintf("%.*s…", FINGERPRINT_SHOWN, sha256);
}

static char *day_cell(const json_t *certificate)
{
	lm_auto_buf struct lm_buf day = LM_BUF(FORMAT_SIZE);

	render_day(&day, json_object_get(certificate, "expires_ms"));
	return lm_xstrdup(lm_buf_cstr(&day));
}

/// A row for a certificate; the device itself is in the first one only.
static void add_certificate(
	struct table *t, const json_t *device, const json_t *certificate, bool first)
{
	table_add(t, first ? sanitize_text(json_get_text(device, "name")) : lm_xstrdup(" "));
	table_add(t, first ? state_of_device(device) : lm_xstrdup(" "));
	table_add(t, first ? yes_no_cell(device, "in_group") : lm_xstrdup(" "));
	table_add(t, fingerprint_cell(certificate));
	table_add(t, sanitize_text(json_get_text(certificate, "origin")));
	table_add(t, day_cell(certificate));
}

void device_render_list(const json_t *devices, struct lm_buf *out)
{
	static const char *const heads[] = {
		"DEVICE", "STATE", "IN GROUP", "CERTIFICATE", "ORIGIN", "VALID UNTIL"};
	struct table t = {.columns = LM_ARRAY_SIZE(heads)};
	size_t i;
	json_t *device;

	if (json_array_size(devices) == 0) {
		(void)lm_buf_puts(out, "no client devices\n");
		return;
	}
	for (i = 0; i < t.columns; i++)
		table_add(&t, lm_xstrdup(heads[i]));
	json_array_foreach(devices, i, device)
	{
		const json_t *certificates = json_object_get(device, "certificates");
		size_t k = 0;

		do
			add_certificate(&t, device, json_array_get(certificates, k), k == 0);
		while (++k < json_array_size(certificates));
	}
	table_render(&t, out);
}

/// `text` must be a PEM file of that kind: whatever is wrong is found before it is sent.
static lm_rc check_pem(
	const char *name, const struct pem_kind *kind, const char *text, struct lm_err *err)
{
	if (strstr(text, "PRIVATE KEY-----"))
		return lm_fail(err, LM_E_INVALID, 0,
			"%s: contains a private key, which must stay with the device: give only "
			"the %s",
			name, kind->name);
	if (!strstr(text, kind->begin) && !strstr(text, kind->begin_too))
		return lm_fail(err, LM_E_INVALID, 0, "%s: is not a %s in PEM (%s): %s", name,
			kind->name, kind->begin, kind->fix);
	return LM_OK;
}

static lm_rc add_pem(json_t *request, const char *key, const char *path,
	const struct pem_kind *kind, struct lm_err *err)
{
	lm_auto_buf struct lm_buf text = LM_BUF(LIMIT_PEM_FILE);
	lm_rc rc = group_file_read(path, &text, err);

	if (rc)
		return rc;
	const char *pem = lm_buf_cstr(&text);
	rc = check_pem(group_file_name(path), kind, pem, err);
	if (rc)
		return rc;
	json_t *value = strlen(pem) == text.len ? json_string(pem) : NULL; // NULL: not UTF-8
	if (!value)
		return lm_fail(err, LM_E_INVALID, 0, "%s: is not a %s in PEM: it is binary: %s",
			group_file_name(path), kind->name, kind->fix);
	json_object_set_new(request, key, value);
	return LM_OK;
}

static int fail_words(const struct call *call, const char *why)
{
	output_error(call->err, why);
	return EXIT_USAGE;
}

static json_t *device_request(const struct call *call)
{
	json_t *request = json_pack("{s:s, s:s}", "command", "device", "action", call->argument);

	if (call->second)
		json_object_set_new(request, "name", json_string(call->second));
	return request;
}

static int device_add(const struct call *call)
{
	lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);
	lm_auto_json json_t *request = device_request(call), *device = NULL;
	struct lm_err why = {0};

	if (call->csr && add_pem(request, "csr", call->csr, &CSR, &why))
		return output_fail(call, EXIT_INVALID, why.msg);
	if (call->certificate &&
		add_pem(request, "certificate", call->certificate, &CERTIFICATE, &why))
		return output_fail(call, EXIT_INVALID, why.msg);
	int failure = client_request(call, request, "device", JSON_OBJECT, &device);
	if (failure)
		return failure;
	const char *pem = json_get_text(device, "certificate");
	if (call->json)
		output_json(call, device);
	else if (call->csr && !pem)
		return output_fail(call, EXIT_FAILED, "lightermand's answer has no certificate");
	else if (call->csr)
		output_text(call, lm_str(pem));
	else {
		device_render_added(device, call->certificate != NULL, &page);
		output_text(call, lm_buf_str(&page));
	}
	return EXIT_DONE;
}

static int device_list(const struct call *call)
{
	lm_auto_buf struct lm_buf page = LM_BUF(16 * LIMIT_CONTROL_REPLY);
	lm_auto_json json_t *request = device_request(call), *devices = NULL;
	int failure = client_request(call, request, "devices", JSON_ARRAY, &devices);

	if (failure)
		return failure;
	if (call->json) {
		output_json(call, devices);
		return EXIT_DONE;
	}
	device_render_list(devices, &page);
	output_text(call, lm_buf_str(&page));
	return EXIT_DONE;
}

static int device_remove(const struct call *call)
{
	lm_auto_buf struct lm_buf page = LM_BUF(LIMIT_PEM_FILE);
	lm_auto_json json_t *request = device_request(call), *device = NULL;
	int failure = client_request(call, request, "device", JSON_OBJECT, &device);

	if (failure)
		return failure;
	if (call->json) {
		output_json(call, device);
		return EXIT_DONE;
	}
	(void)lm_buf_puts(&page, "removed ");
	render_sanitized(&page, call->second);
	(void)lm_buf_puts(&page, "; its certificates are no longer accepted\n");
	output_text(call, lm_buf_str(&page));
	return EXIT_DONE;
}

static const struct device_action {
	const char *name;
	bool takes_name;
	int (*run)(const struct call *call);
} ACTIONS[] = {
	{"add", true, device_add},
	{"list", false, device_list},
	{"remove", true, device_remove},
};

static const struct device_action *find_action(const char *name, struct lm_err *err)
{
	for (size_t i = 0; i < LM_ARRAY_SIZE(ACTIONS); i++) {
		if (strcmp(ACTIONS[i].name, name) == 0)
			return &ACTIONS[i];
	}
	(void)!lm_fail(err, LM_E_INVALID, 0,
		"unknown command 'device %.200s'; use add, list or remove", name);
	return NULL;
}

int cmd_device(const struct call *call)
{
	struct lm_err why = {0};
	const struct device_action *action = find_action(call->argument, &why);

	if (!action)
		return fail_words(call, why.msg);
	if (action->takes_name && !call->second)
		(void)!lm_fail(&why, LM_E_INVALID, 0, "'device %s' requires a NAME", action->name);
	else if (!action->takes_name && call->second)
		(void)!lm_fail(&why, LM_E_INVALID, 0, "'device %s' takes no NAME", action->name);
	else if ((call->csr || call->certificate) && action->run != device_add)
		(void)!lm_fail(&why, LM_E_INVALID, 0,
			"--csr and --certificate are for 'device add', not 'device %s'",
			action->name);
	else if (call->csr && call->certificate)
		(void)!lm_fail(
			&why, LM_E_INVALID, 0, "--csr and --certificate cannot be used together");
	if (why.rc)
		return fail_words(call, why.msg);
	if (action->takes_name && !arn_is_thing_name(lm_str(call->second))) {
		(void)!lm_fail(&why, LM_E_INVALID, 0,
			"'%.200s' cannot be the name of a device: 1 to %d letters, digits, ':', "
			"'_' or '-'",
			call->second, ARN_THING_NAME_MAX);
		return output_fail(call, EXIT_INVALID, why.msg);
	}
	return action->run(call);
}
