// SPDX-License-Identifier: Apache-2.0
#include "config/parameters.h"

#include "base/digest.h"
#include "base/limits.h"
#include "base/memory.h"
#include "config/activation_window.h"
#include "config/arn.h"

#include <ctype.h>

enum {
	BUCKET_MIN = 3,
	BUCKET_MAX = 63,
	KEY_MAX = 1024,         ///< S3's own, for keys and version ids.
	DESTINATION_MAX = 4000, ///< PATH_MAX less the file's name.
	DAY_S = 86400,
	YEAR_S = 365 * DAY_S,
	WINDOWS_MAX = 1024,   ///< Bytes.
	HOLD_FILE_MAX = 4000, ///< PATH_MAX, as above.
};

static bool read_bucket(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct lm_str value;

	if (!schema_take_text(json, &value, why))
		return false;
	if (value.n < BUCKET_MIN || value.n > BUCKET_MAX || !schema_is_alnum(value, "-."))
		return schema_refuse(
			why, "must be 3 to 63 letters, digits, '-' or '.' (%s)", key->pattern);
	schema_put_text(field, value);
	return true;
}

/// A text of at most `max` bytes.
static bool take_limited_text(
	const json_t *json, unsigned max, struct lm_str *ret, struct lm_buf *why)
{
	if (!schema_take_text(json, ret, why))
		return false;
	return ret->n <= max || schema_refuse(why, "must be at most %u bytes long", max);
}

static bool read_limited_text(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct lm_str value;

	(void)key;
	if (!take_limited_text(json, KEY_MAX, &value, why))
		return false;
	schema_put_text(field, value);
	return true;
}

static bool read_destination(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct lm_str value;

	(void)key;
	if (!take_limited_text(json, DESTINATION_MAX, &value, why))
		return false;
	if (value.p[0] != '/')
		return schema_refuse(why, "must be an absolute path, beginning with '/'");
	schema_put_text(field, value);
	return true;
}

/// Up to `digits_max` digits, leading zeros included, as the patterns allow them.
static bool read_digits(struct lm_str value, size_t digits_max, uint64_t *ret)
{
	uint64_t number = 0;

	for (size_t i = 0; i < value.n; i++) {
		if (i == digits_max || value.p[i] < '0' || value.p[i] > '9')
			return false;
		number = number * 10 + (uint64_t)(value.p[i] - '0');
	}
	*ret = number;
	return value.n > 0;
}

// The documented pattern stops at five digits, also for version 7, whose changelog promises 32-bit
// UIDs. 4294967295 is (uid_t)-1, which no user can have.
static bool read_user(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct connector_definition *def =
		(void *)((char *)field - offsetof(struct connector_definition, uid));
	uint64_t uid;
	struct lm_str value;

	if (!schema_take_text(json, &value, why))
		return false;
	if (def->version < CONNECTOR_VERSION_LAST && !read_digits(value, 5, &uid))
		return schema_refuse(why, "must be a UID of 1 to 5 digits in version %u (%s)",
			def->version, key->pattern);
	if (!read_digits(value, 10, &uid) || uid >= UINT32_MAX)
		return schema_refuse(why, "must be a UID, a number from 0 to 4294967294");
	def->uid = (uint32_t)uid;
	def->has_user = true;
	return true;
}

static bool read_number_text(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct lm_str value;
	uint64_t number;

	if (!schema_take_text(json, &value, why))
		return false;
	if (!lm_str_to_u64(value, key->highest, &number) || number < key->lowest)
		return schema_refuse(why, "must be a number from %u to %u (%s)", key->lowest,
			key->highest, key->pattern);
	*(unsigned *)field = (unsigned)number;
	return true;
}

// The patterns are lower case, the spec's example has "True": case does not count.
static bool read_bool_text(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct lm_str value;

	(void)key;
	if (!schema_take_text(json, &value, why))
		return false;
	bool yes = lm_str_eq_nocase(value, LM_STR("true"));
	if (!yes && !lm_str_eq_nocase(value, LM_STR("false")))
		return schema_refuse(why, "must be \"true\" or \"false\"");
	*(bool *)field = yes;
	return true;
}

static bool read_sha256(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct lm_str value;

	(void)key;
	if (!schema_take_text(json, &value, why))
		return false;
	bool fits = value.n == 64;
	for (size_t i = 0; fits && i < value.n; i++) {
		char c = value.p[i];
		fits = isxdigit((unsigned char)c);
	}
	if (!fits)
		return schema_refuse(why, "must be a SHA-256 of 64 hexadecimal digits");
	schema_put_text(field, value);
	return true;
}

/// The text of a file: with line ends.
static bool read_file_text(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	(void)key;
	if (!json_is_string(json))
		return schema_refuse(why, "must be a string, but is %s", json_type_name(json));
	struct lm_str value = json_text(json);
	if (value.n == 0)
		return schema_refuse(why, "must not be empty");
	if (value.n > LIMIT_COMPOSE_TEXT)
		return schema_refuse(why,
			"must be at most %d bytes long: put a larger compose file into an object "
			"store or behind an https:// address",
			LIMIT_COMPOSE_TEXT);
	if (strlen(value.p) < value.n)
		return schema_refuse(why, "must not hold NUL");
	schema_put_text(field, value);
	return true;
}

static bool is_lower_hex(struct lm_str text)
{
	for (size_t i = 0; i < text.n; i++) {
		char c = text.p[i];

		if (!(c >= '0' && c <= '9') && !(c >= 'a' && c <= 'f'))
			return false;
	}
	return true;
}

/// Of a reference without "@...": the host may have capitals, and so may the tag.
static bool has_capital_repository(struct lm_str name)
{
	struct lm_str rest = name;

	if (lm_str_find(name, '/') < name.n)
		(void)lm_str_cut(&rest, '/');
	for (size_t i = 0; i < rest.n && rest.p[i] != ':'; i++)
		if (rest.p[i] >= 'A' && rest.p[i] <= 'Z')
			return true;
	return false;
}

/// What stands behind oci://: the characters that references have, and behind "@" only a digest.
static bool check_artifact_address(struct lm_str reference, struct lm_buf *why)
{
	struct lm_str digest = reference;
	struct lm_str name = lm_str_cut(&digest, '@');

	if (name.n < reference.n && !lm_str_starts(digest, LM_STR("sha256:")))
		return schema_refuse(why,
			"must not hold a user name or a password; behind @ stands a digest, "
			"sha256:...");
	if (name.n == 0 || !schema_is_alnum(name, "._-/:[]") || !schema_is_alnum(digest, ":"))
		return schema_refuse(why,
			"must be oci://REGISTRY/REPOSITORY:TAG, or @sha256:... in place of :TAG");
	if (has_capital_repository(name))
		return schema_refuse(why, "must have no capital letters in the repository");
	(void)lm_str_cut(&digest, ':');
	if (name.n < reference.n && (digest.n != LM_SHA256_HEX || !is_lower_hex(digest)))
		return schema_refuse(
			why, "must have 64 hexadecimal digits, in small letters, behind @sha256:");
	return true;
}

static bool read_address(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct lm_str value;

	(void)key;
	if (!take_limited_text(json, KEY_MAX, &value, why))
		return false;
	struct lm_str rest = value;
	if (lm_str_starts(value, LM_STR(SOURCE_ARTIFACT))) {
		rest.p += strlen(SOURCE_ARTIFACT);
		rest.n -= strlen(SOURCE_ARTIFACT);
		if (!check_artifact_address(rest, why))
			return false;
		schema_put_text(field, value);
		return true;
	}
	if (!lm_str_starts(value, LM_STR("https://")))
		return schema_refuse(why, "must begin with https:// or oci://");
	rest.p += strlen("https://");
	rest.n -= strlen("https://");
	struct lm_str host = lm_str_cut(&rest, '/');
	if (lm_str_find(host, '@') < host.n)
		return schema_refuse(why, "must not hold a user name or a password");
	if (lm_str_find(value, ' ') < value.n)
		return schema_refuse(why, "must not hold blanks: write %%20");
	schema_put_text(field, value);
	return true;
}

static bool read_windows(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct activation_windows windows;
	struct lm_str value;

	(void)key;
	if (!schema_take_text(json, &value, why))
		return false;
	if (value.n > WINDOWS_MAX)
		return schema_refuse(why, "must be at most %d bytes long", WINDOWS_MAX);
	if (!activation_windows_parse(value, &windows, why))
		return false;
	schema_put_text(field, value);
	return true;
}

/// Whether the path has "." or ".." between its slashes, or ends with a slash.
static bool is_roundabout(struct lm_str path)
{
	struct lm_str rest = path;

	if (lm_str_ends(path, LM_STR("/")))
		return true;
	while (rest.n > 0) {
		struct lm_str name = lm_str_cut(&rest, '/');

		if (lm_str_eq(name, LM_STR(".")) || lm_str_eq(name, LM_STR("..")))
			return true;
	}
	return false;
}

static bool read_hold_file(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct lm_str value;

	(void)key;
	if (!schema_take_text(json, &value, why))
		return false;
	if (value.p[0] != '/' || is_roundabout(value))
		return schema_refuse(why,
			"must be the absolute path of a file on this device, without '.' and '..'");
	if (value.n > HOLD_FILE_MAX)
		return schema_refuse(why, "must be at most %d bytes long", HOLD_FILE_MAX);
	schema_put_text(field, value);
	return true;
}

/// As json_count counts: no list with more needs to be parsed to be refused.
enum { SECRETS_VALUES = 4 * LIMIT_SECRETS };

static bool check_secret_list(const json_t *list, struct lm_buf *why)
{
	size_t i;
	json_t *item;

	if (!json_is_array(list))
		return schema_refuse(why, "must hold a JSON array of secret ARNs, but holds %s",
			json_type_name(list));
	if (json_array_size(list) > LIMIT_SECRETS)
		return schema_refuse(why, "must hold at most %d secrets", LIMIT_SECRETS);
	json_array_foreach(list, i, item)
	{
		char shown[4 * 60 + 32];
		if (!json_is_string(item))
			return schema_refuse(why, "item %zu must be a string, but is %s", i,
				json_type_name(item));
		if (!arn_is_secret(json_text(item)))
			return schema_refuse(why,
				"item %zu, \"%s\", must be a secret's ARN "
				"(arn:aws:secretsmanager:<region>:<account>:secret:<name>-<suffix>"
				")",
				i, lm_str_shorten(json_text(item), 60, shown, sizeof(shown)));
	}
	return true;
}

static bool read_secrets(
	const struct schema_key *key, const json_t *json, void *field, struct lm_buf *why)
{
	struct connector_definition *def =
		(void *)((char *)field - offsetof(struct connector_definition, secret_arns));
	lm_auto_json json_t *list = NULL;
	struct lm_err err = {0};

	(void)key;
	// Not schema_take_text: it is JSON itself, where line ends may stand between the items.
	if (!json_is_string(json))
		return schema_refuse(why, "must be a string, but is %s", json_type_name(json));
	struct lm_str value = json_text(json);
	if (value.n == 0)
		return schema_refuse(why, "must not be empty");
	if (json_count(value) > SECRETS_VALUES)
		return schema_refuse(why, "must hold at most %d secrets", LIMIT_SECRETS);
	if (json_parse(value, &list, &err))
		return schema_refuse(why, "must hold a JSON array of secret ARNs (%s)", err.msg);
	if (!check_secret_list(list, why))
		return false;
	def->secret_arns_n = json_array_size(list);
	def->secret_arns = lm_xcalloc(def->secret_arns_n + 1, sizeof(char *));
	for (size_t i = 0; i < def->secret_arns_n; i++)
		def->secret_arns[i] = lm_xstrdup(json_string_value(json_array_get(list, i)));
	return true;
}

static void finish_secrets(void *field)
{
	struct connector_definition *def =
		(void *)((char *)field - offsetof(struct connector_definition, secret_arns));

	for (size_t i = 0; i < def->secret_arns_n; i++)
		free(def->secret_arns[i]);
	free(def->secret_arns);
}

static const struct schema_type BUCKET = {read_bucket, NULL, schema_finish_text};
static const struct schema_type TEXT = {read_limited_text, NULL, schema_finish_text};
static const struct schema_type DESTINATION = {read_destination, NULL, schema_finish_text};
static const struct schema_type FILE_TEXT = {read_file_text, NULL, schema_finish_text};
static const struct schema_type ADDRESS = {read_address, NULL, schema_finish_text};
static const struct schema_type USER = {read_user, NULL, NULL};
static const struct schema_type NUMBER = {read_number_text, NULL, NULL};
static const struct schema_type BOOL = {read_bool_text, NULL, NULL};
static const struct schema_type WINDOWS = {read_windows, NULL, schema_finish_text};
static const struct schema_type HOLD_FILE = {read_hold_file, NULL, schema_finish_text};
static const struct schema_type SHA256 = {read_sha256, NULL, schema_finish_text};
static const struct schema_type SECRETS = {read_secrets, NULL, finish_secrets};

#define AT(member) offsetof(struct connector_definition, member)

// clang-format off
static const struct schema_key PARAMETER_KEYS[] = {
	// The S3 keys come first: see PARAMETERS_BESIDE_SOURCE.
	{"DockerComposeFileS3Bucket", &BUCKET, AT(bucket), .required = true, .pattern = "[a-zA-Z0-9\\-\\.]{3,63}"},
	{"DockerComposeFileS3Key", &TEXT, AT(key), .required = true},
	{"DockerComposeFileS3Version", &TEXT, AT(object_version)},
	{"DockerComposeFileDestinationPath", &DESTINATION, AT(destination), .required = true},
	{"DockerUserId", &USER, AT(uid), .pattern = "^[0-9]{1,5}$"},
	{"AWSSecretsArnList", &SECRETS, AT(secret_arns)},
	{"DockerContainerStatusLogFrequency", &NUMBER, AT(status_log_frequency_s), .pattern = "^[1-9]{1}[0-9]{0,3}$", .fallback = "300", .lowest = 1, .highest = 9999},
	{"ForceDeploy", &BOOL, AT(force_deploy), .since = 2, .fallback = "false"},
	{"DockerPullBeforeUp", &BOOL, AT(pull_before_up), .since = 5, .fallback = "true"},
	{"StopContainersOnNewDeployment", &BOOL, AT(stop_containers_on_new_deployment), .since = 6, .fallback = "true"},
	{"DockerOfflineMode", &BOOL, AT(offline_mode), .since = 7, .fallback = "false"},
};

static const struct schema_key POLICY_KEYS[] = {
	{"WaitHealthy", &BOOL, AT(policy.wait_healthy), .fallback = "false"},
	{"HealthTimeoutSeconds", &NUMBER, AT(policy.health_timeout_s), .pattern = "decimal", .fallback = "300", .lowest = 1, .highest = DAY_S},
	{"StableSeconds", &NUMBER, AT(policy.stable_s), .pattern = "decimal", .lowest = 1, .highest = DAY_S},
	{"RollbackOnFailure", &BOOL, AT(policy.rollback_on_failure), .fallback = "false"},
	{"ProbationSeconds", &NUMBER, AT(policy.probation_s), .pattern = "decimal", .fallback = "0", .lowest = 0, .highest = DAY_S},
	{"RestartUnhealthy", &BOOL, AT(policy.restart_unhealthy), .fallback = "false"},
	{"PruneImages", &BOOL, AT(policy.prune_images), .fallback = "false"},
	{"MaxBandwidthKBps", &NUMBER, AT(policy.max_bandwidth_kbps), .pattern = "decimal", .fallback = "0", .lowest = 0, .highest = 1u << 30},
	{"MinFreeDiskMB", &NUMBER, AT(policy.min_free_disk_mb), .pattern = "decimal", .fallback = "0", .lowest = 0, .highest = 1u << 30},
	{"KeepGenerations", &NUMBER, AT(policy.keep_generations), .pattern = "decimal", .fallback = "5", .lowest = 2, .highest = 100},
	{"AdoptContainers", &BOOL, AT(policy.adopt_containers), .fallback = "false"},
	{"SnapshotVolumes", &BOOL, AT(policy.snapshot_volumes), .fallback = "false"},
	{"SnapshotMaxMB", &NUMBER, AT(policy.snapshot_max_mb), .pattern = "decimal", .fallback = "1024", .lowest = 1, .highest = 1u << 30},
	{"ActivateAt", &WINDOWS, AT(policy.activate_at)},
	{"HoldFile", &HOLD_FILE, AT(policy.hold_file)},
	{"ActivateWithinSeconds", &NUMBER, AT(policy.activate_within_s), .pattern = "decimal", .lowest = 1, .highest = YEAR_S},
	{"ComposeFileSHA256", &SHA256, AT(policy.compose_file_sha256)},
};

static const struct schema_key SOURCE_KEYS[] = {
	{"Text", &FILE_TEXT, AT(source.text)},
	{"Name", &TEXT, AT(source.name)},
	{"Url", &ADDRESS, AT(source.url)},
};
// clang-format on

enum { S3_KEYS = 3 };
const struct schema PARAMETERS = SCHEMA(PARAMETER_KEYS);
const struct schema PARAMETERS_BESIDE_SOURCE = {PARAMETER_KEYS + S3_KEYS,
	LM_ARRAY_SIZE(PARAMETER_KEYS) - S3_KEYS, "is not known beside Source", false};
const struct schema SOURCES = SCHEMA(SOURCE_KEYS);
const struct schema POLICIES = SCHEMA(POLICY_KEYS);
