// SPDX-License-Identifier: Apache-2.0
#include "config/parameters.h"

#include "base/limits.h"
#include "base/memory.h"
#include "config/arn.h"

enum {
	BUCKET_MIN = 3,
	BUCKET_MAX = 63,
	KEY_MAX = 1024,         ///< S3's own, for keys and version ids.
	DESTINATION_MAX = 4000, ///< PATH_MAX less the file's name.
	DAY_S = 86400,
};

typedef bool setter(const struct parameter *p, struct lm_str value, unsigned version, void *field,
	struct lm_buf *why);

static bool refuse(struct lm_buf *why, const char *rule)
{
	(void)lm_buf_puts(why, rule);
	return false;
}

static void put_text(void *field, struct lm_str value)
{
	char **text = field;

	free(*text);
	*text = lm_xmemdup0(value.p, value.n);
}

static bool set_bucket(const struct parameter *p, struct lm_str value, unsigned version,
	void *field, struct lm_buf *why)
{
	bool fits = value.n >= BUCKET_MIN && value.n <= BUCKET_MAX;

	(void)version;
	for (size_t i = 0; fits && i < value.n; i++) {
		char c = value.p[i];
		fits = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		       c == '-' || c == '.';
	}
	if (!fits) {
		(void)lm_buf_printf(
			why, "must be 3 to 63 letters, digits, '-' or '.' (%s)", p->pattern);
		return false;
	}
	put_text(field, value);
	return true;
}

static bool set_text(const struct parameter *p, struct lm_str value, unsigned version, void *field,
	struct lm_buf *why)
{
	(void)p;
	(void)version;
	if (value.n > KEY_MAX)
		return refuse(why, "must be at most 1024 bytes long");
	put_text(field, value);
	return true;
}

static bool set_destination(const struct parameter *p, struct lm_str value, unsigned version,
	void *field, struct lm_buf *why)
{
	(void)p;
	(void)version;
	if (value.p[0] != '/')
		return refuse(why, "must be an absolute path, beginning with '/'");
	if (value.n > DESTINATION_MAX)
		return refuse(why, "must be at most 4000 bytes long");
	put_text(field, value);
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
static bool set_user(const struct parameter *p, struct lm_str value, unsigned version, void *field,
	struct lm_buf *why)
{
	struct connector_definition *def =
		(void *)((char *)field - offsetof(struct connector_definition, uid));
	uint64_t uid;

	if (version < CONNECTOR_VERSION_LAST && !read_digits(value, 5, &uid)) {
		(void)lm_buf_printf(why, "must be a UID of 1 to 5 digits in version %u (%s)",
			version, p->pattern);
		return false;
	}
	if (!read_digits(value, 10, &uid) || uid >= UINT32_MAX)
		return refuse(why, "must be a UID, a number from 0 to 4294967294");
	def->uid = (uint32_t)uid;
	def->has_user = true;
	return true;
}

static bool set_number(const struct parameter *p, struct lm_str value, unsigned version,
	void *field, struct lm_buf *why)
{
	uint64_t number;

	(void)version;
	if (!lm_str_to_u64(value, p->highest, &number) || number < p->lowest) {
		(void)lm_buf_printf(why, "must be a number from %u to %u (%s)", p->lowest,
			p->highest, p->pattern);
		return false;
	}
	*(unsigned *)field = (unsigned)number;
	return true;
}

// The patterns are lower case, the spec's example says "True": case does not count.
static bool set_bool(const struct parameter *p, struct lm_str value, unsigned version, void *field,
	struct lm_buf *why)
{
	bool yes = lm_str_eq_nocase(value, LM_STR("true"));

	(void)p;
	(void)version;
	if (!yes && !lm_str_eq_nocase(value, LM_STR("false")))
		return refuse(why, "must be \"true\" or \"false\"");
	*(bool *)field = yes;
	return true;
}

static bool set_sha256(const struct parameter *p, struct lm_str value, unsigned version,
	void *field, struct lm_buf *why)
{
	bool fits = value.n == 64;

	(void)p;
	(void)version;
	for (size_t i = 0; fits && i < value.n; i++) {
		char c = value.p[i];
		fits = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
	}
	if (!fits)
		return refuse(why, "must be a SHA-256 of 64 hexadecimal digits");
	put_text(field, value);
	return true;
}

/// As json_count counts: no list with more needs to be parsed to be refused.
enum { SECRETS_VALUES = 4 * LIMIT_SECRETS };

static bool check_secrets(const json_t *list, struct lm_buf *why)
{
	size_t i;
	json_t *item;

	if (!json_is_array(list)) {
		(void)lm_buf_printf(why, "must hold a JSON array of secret ARNs, but holds %s",
			json_type_name(list));
		return false;
	}
	if (json_array_size(list) > LIMIT_SECRETS) {
		(void)lm_buf_printf(why, "must hold at most %d secrets", LIMIT_SECRETS);
		return false;
	}
	json_array_foreach(list, i, item)
	{
		char shown[4 * 60 + 32];
		if (!json_is_string(item)) {
			(void)lm_buf_printf(why, "item %zu must be a string, but is %s", i,
				json_type_name(item));
			return false;
		}
		if (!arn_is_secret(json_text(item))) {
			(void)lm_buf_printf(why,
				"item %zu, \"%s\", must be a secret's ARN "
				"(arn:aws:secretsmanager:<region>:<account>:secret:<name>-<suffix>"
				")",
				i, lm_str_shorten(json_text(item), 60, shown, sizeof(shown)));
			return false;
		}
	}
	return true;
}

static bool set_secrets(const struct parameter *p, struct lm_str value, unsigned version,
	void *field, struct lm_buf *why)
{
	struct connector_definition *def =
		(void *)((char *)field - offsetof(struct connector_definition, secret_arns));
	lm_auto_json json_t *list = NULL;
	struct lm_err err = {0};

	(void)p;
	(void)version;
	if (json_count(value) > SECRETS_VALUES) {
		(void)lm_buf_printf(why, "must hold at most %d secrets", LIMIT_SECRETS);
		return false;
	}
	if (json_parse(value, &list, &err)) {
		(void)lm_buf_printf(why, "must hold a JSON array of secret ARNs (%s)", err.msg);
		return false;
	}
	if (!check_secrets(list, why))
		return false;
	def->secret_arns_n = json_array_size(list);
	def->secret_arns = lm_xcalloc(def->secret_arns_n + 1, sizeof(char *));
	for (size_t i = 0; i < def->secret_arns_n; i++)
		def->secret_arns[i] = lm_xstrdup(json_string_value(json_array_get(list, i)));
	return true;
}

#define AT(member) offsetof(struct connector_definition, member)
#define BOOLEAN "^(true|false)$"
#define ARNS                                                                                       \
	"[( ?,? ?\"(arn:(aws(-[a-z]+)):secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:"                \
	"([a-zA-Z0-9\\]+/)[a-zA-Z0-9/_+=,.@-]+-[a-zA-Z0-9]+)\")]"

// clang-format off
const struct parameter PARAMETERS[] = {
	{"DockerComposeFileS3Bucket", true, 1, 7, "[a-zA-Z0-9\\-\\.]{3,63}", NULL, set_bucket, AT(bucket), 0, 0},
	{"DockerComposeFileS3Key", true, 1, 7, ".+", NULL, set_text, AT(key), 0, 0},
	{"DockerComposeFileS3Version", false, 1, 7, ".+", NULL, set_text, AT(object_version), 0, 0},
	{"DockerComposeFileDestinationPath", true, 1, 7, "\\/.*\\/?", NULL, set_destination, AT(destination), 0, 0},
	{"DockerUserId", false, 1, 7, "^[0-9]{1,5}$", NULL, set_user, AT(uid), 0, 0},
	{"AWSSecretsArnList", false, 1, 7, ARNS, NULL, set_secrets, AT(secret_arns), 0, 0},
	{"DockerContainerStatusLogFrequency", false, 1, 7, "^[1-9]{1}[0-9]{0,3}$", "300", set_number, AT(status_log_frequency_s), 1, 9999},
	{"ForceDeploy", false, 2, 7, BOOLEAN, "false", set_bool, AT(force_deploy), 0, 0},
	{"DockerPullBeforeUp", false, 5, 7, BOOLEAN, "true", set_bool, AT(pull_before_up), 0, 0},
	{"StopContainersOnNewDeployment", false, 6, 7, BOOLEAN, "true", set_bool, AT(stop_containers_on_new_deployment), 0, 0},
	{"DockerOfflineMode", false, 7, 7, BOOLEAN, "false", set_bool, AT(offline_mode), 0, 0},
};
const size_t PARAMETERS_N = LM_ARRAY_SIZE(PARAMETERS);

const struct parameter POLICIES[] = {
	{"WaitHealthy", false, 1, 7, BOOLEAN, "false", set_bool, AT(policy.wait_healthy), 0, 0},
	{"HealthTimeoutSeconds", false, 1, 7, "decimal", "300", set_number, AT(policy.health_timeout_s), 1, DAY_S},
	{"StableSeconds", false, 1, 7, "decimal", NULL, set_number, AT(policy.stable_s), 1, DAY_S},
	{"RollbackOnFailure", false, 1, 7, BOOLEAN, "false", set_bool, AT(policy.rollback_on_failure), 0, 0},
	{"ProbationSeconds", false, 1, 7, "decimal", "0", set_number, AT(policy.probation_s), 0, DAY_S},
	{"RestartUnhealthy", false, 1, 7, BOOLEAN, "false", set_bool, AT(policy.restart_unhealthy), 0, 0},
	{"PruneImages", false, 1, 7, BOOLEAN, "false", set_bool, AT(policy.prune_images), 0, 0},
	{"MaxBandwidthKBps", false, 1, 7, "decimal", "0", set_number, AT(policy.max_bandwidth_kbps), 0, 1u << 30},
	{"MinFreeDiskMB", false, 1, 7, "decimal", "0", set_number, AT(policy.min_free_disk_mb), 0, 1u << 30},
	{"KeepGenerations", false, 1, 7, "decimal", "5", set_number, AT(policy.keep_generations), 2, 100},
	{"ComposeFileSHA256", false, 1, 7, "[0-9a-fA-F]{64}", NULL, set_sha256, AT(policy.compose_file_sha256), 0, 0},
};
// clang-format on
const size_t POLICIES_N = LM_ARRAY_SIZE(POLICIES);

static bool has_control(struct lm_str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if ((unsigned char)s.p[i] < 0x20 || s.p[i] == 0x7f)
			return true;
	}
	return false;
}

static bool set_value(const struct parameter *p, const json_t *value,
	struct connector_definition *def, struct lm_buf *why)
{
	if (!json_is_string(value)) {
		(void)lm_buf_printf(why, "must be a string, but is %s", json_type_name(value));
		return false;
	}
	struct lm_str text = json_text(value);
	if (text.n == 0)
		return refuse(why, "must not be empty");
	// A list of ARNs is JSON itself, where spaces and line ends may stand between the items.
	if (p->set != set_secrets && has_control(text))
		return refuse(why, "must not hold control characters");
	return p->set(p, text, def->version, (char *)def + p->field, why);
}

static void read_one(const struct parameter *p, const json_t *value, const char *entry,
	const char *prefix, struct connector_definition *def, struct definition_faults *faults)
{
	lm_auto_buf struct lm_buf why = LM_BUF(LM_ERR_MSG_SIZE + 256);
	lm_auto_free char *name = lm_xasprintf("%s%s", prefix, p->name);

	if (value && def->version < p->since)
		faults_add(faults, entry, name, value,
			"version %u of the connector does not know it; it came with version %u",
			def->version, p->since);
	else if (value && !set_value(p, value, def, &why))
		faults_add(faults, entry, name, value, "%s", lm_buf_cstr(&why));
	else if (!value && p->required)
		faults_add(faults, entry, name, NULL, "is required");
	else if (!value && p->fallback)
		(void)p->set(p, lm_str(p->fallback), def->version, (char *)def + p->field, &why);
}

static void refuse_unknown(const struct parameter *table, size_t n, const json_t *values,
	const char *entry, const char *prefix, struct definition_faults *faults)
{
	const char *key;
	json_t *value;

	json_object_foreach((json_t *)values, key, value)
	{
		bool known = false;
		for (size_t i = 0; i < n && !known; i++)
			known = strcmp(table[i].name, key) == 0;
		if (known)
			continue;
		const char *near = faults_nearest(key, table, n, sizeof(*table));
		lm_auto_free char *name = lm_xasprintf("%s%s", prefix, key);
		faults_add(faults, entry, name, value, "is not known%s%s%s",
			near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
	}
}

void parameters_read(const struct parameter *table, size_t n, const json_t *values,
	const char *entry, const char *prefix, struct connector_definition *def,
	struct definition_faults *faults)
{
	for (size_t i = 0; i < n; i++)
		read_one(&table[i], json_object_get(values, table[i].name), entry, prefix, def,
			faults);
	refuse_unknown(table, n, values, entry, prefix, faults);
}
