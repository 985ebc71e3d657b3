// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A group file, read and checked: what our connector is to do, and what of the group it needs.
///
/// Pure: no file, no network. Accepts a version object as Greengrass V1 had it
/// ({"Connectors":[…]}), one under "Definition" or "InitialVersion", or the array of connectors
/// alone. Every error is found, not only the first; of a document of another known form
/// (config/group_form.h) only that it is one.

#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "config/validation_errors.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/// How the address of an artifact in a registry begins, in docker compose's own spelling.
#define SOURCE_ARTIFACT "oci://"

#define CONNECTOR_NAME "DockerApplicationDeployment"
enum { CONNECTOR_VERSION_LAST = 7 };

/// Our extensions to a connector entry ("Policy").
struct connector_policy {
	bool wait_healthy;
	unsigned health_timeout_s;
	unsigned stable_s; ///< 0: not given, see policy_stable_ms.
	/// A deployment that fails after it has changed what runs gives way to the last good one.
	bool rollback_on_failure;
	/// So does one that does not run as it should in the time after its success; 0: none.
	unsigned probation_s;
	bool restart_unhealthy; ///< See daemon/healer.h.
	bool prune_images;
	unsigned max_bandwidth_kbps; ///< 0: no limit.
	unsigned min_free_disk_mb;   ///< 0: no reserve.
	unsigned keep_generations;
	/// The first deployment on this device stops nothing: containers of the application that
	/// run already, as Greengrass has started them, are its own from then on.
	bool adopt_containers;
	bool snapshot_volumes;
	unsigned snapshot_max_mb; ///< To be copied byte by byte.
	/// What runs is not interrupted but when a window is open (config/activation_window.h) and
	/// when nobody has locked that file (sys/file_hold.h); NULL: at any time.
	char *activate_at, *hold_file;
	unsigned activate_within_s; ///< After that time it is all the same; 0: never.
	char *compose_file_sha256;  ///< 64 hexadecimal digits; NULL: not checked.
};

/// How long a service without a health check must be up without a restart: StableSeconds, by
/// default 10 s or half of HealthTimeoutSeconds, whichever is less.
uint64_t policy_stable_ms(const struct connector_policy *policy);

/// Where the compose file is, if it is in no bucket ("Source"): one of `text` and `url`.
struct compose_source {
	char *text; ///< The compose file itself.
	char *name; ///< How messages call it.
	char *url;  ///< Begins with https:// or SOURCE_ARTIFACT.
};

/// Whether it is an artifact in a registry.
bool compose_source_is_artifact(const struct compose_source *source);

struct connector_definition {
	char *id, *arn, *partition, *region;
	unsigned version;             ///< 1 to CONNECTOR_VERSION_LAST.
	struct compose_source source; ///< Empty: `bucket` and `key` say where it is.
	char *bucket;                 ///< NULL with a source.
	char *key;                    ///< With a source: how messages call the file.
	char *object_version;         ///< NULL: the latest.
	char *destination;            ///< Absolute.
	bool has_user;                ///< DockerUserId was given.
	uint32_t uid;
	char **secret_arns;
	size_t secret_arns_n;
	unsigned status_log_frequency_s;
	bool force_deploy;
	bool pull_before_up; ///< The parameter or its default; versions before 5 decide by
			     ///< themselves.
	bool stop_containers_on_new_deployment;
	bool offline_mode;
	struct connector_policy policy;
};

struct group_logger {
	char *component, *level, *type;
	unsigned space_kb; ///< Default 128.
};

struct group_core {
	char *thing_arn, *certificate_arn;
	bool sync_shadow;
};

#define ENDPOINT_CLOUD "cloud"
#define ENDPOINT_SHADOWS "GGShadowService"

/// A client device: a thing that connects to the broker of the group.
struct group_device {
	char *id, *thing_arn;
	char *thing_name; ///< The last part of `thing_arn`; no two devices have the same.
	char *certificate_arn;
	char *certificate_sha256; ///< The last part of `certificate_arn`, in lower case, if it is
				  ///< 64 hexadecimal digits: the SHA-256 of the certificate's DER
				  ///< form. NULL: it is something else.
	bool sync_shadow;
};

/// What comes from `source` on a topic that matches `subject` goes to `target`. Those two are the
/// ARN of a device, of a Lambda function or of the connector (exactly as it is deployed), or
/// ENDPOINT_CLOUD or ENDPOINT_SHADOWS. After a warning also the ARN of another connector or of the
/// core, with which nothing is exchanged.
struct group_subscription {
	char *id, *source;
	char *subject; ///< A filter (config/topic.h).
	char *target;
};

struct group {
	struct connector_definition connector;
	struct group_logger *loggers;
	size_t loggers_n;
	struct group_core *cores;
	size_t cores_n;
	struct group_device *devices;
	size_t devices_n; ///< At most LIMIT_DEVICES.
	struct group_subscription *subscriptions;
	size_t subscriptions_n; ///< At most LIMIT_SUBSCRIPTIONS.
	char **warnings;        ///< Whole sentences, with their place.
	size_t warnings_n;
	json_t *json; ///< As written, reduced to what we use: see group_to_json.
};

/// The document in a text, before anything in it is checked; NULL after an error, which says what
/// the text is if it is of another form that is known (config/group_form.h). A UTF-8 byte order
/// mark is skipped. The caller's.
json_t *definition_read(struct lm_str text, struct validation_errors *errors);
/// Parses and checks. On LM_E_INVALID all errors are in `errors` (the caller's, zeroed; free with
/// validation_errors_finish) and `err` has the first and the number of others. A text over
/// LIMIT_GROUP_FILE is LM_E_INVALID too. `*ret` is freed with group_destroy.
lm_rc definition_parse(struct lm_str text, struct validation_errors *errors, struct group **ret,
	struct lm_err *err);
/// As definition_parse, for a document that is parsed already (borrowed).
lm_rc definition_parse_json(const json_t *document, struct validation_errors *errors,
	struct group **ret, struct lm_err *err);
void group_destroy(struct group *group);
LM_DEFINE_CLEANUP(struct group, group_destroy)

/// The definition's compose file, for messages: "'app/compose.yml' from bucket 'harbour'". The
/// caller frees.
char *definition_file_text(const struct connector_definition *def) __attribute__((returns_nonnull));
/// Whether two definitions name the same compose file, in whatever version.
bool definition_same_file(
	const struct connector_definition *a, const struct connector_definition *b);
/// {"Connectors":[ours],"Cores":[…],"Devices":[…],"Subscriptions":[…],"Loggers":[…]}: what
/// definition_parse_json reads back as an equal group. A new reference.
json_t *group_to_json(const struct group *group);
