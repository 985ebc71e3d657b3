// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The host file (/etc/lighterman/lighterman.json): how this machine is set up, with defaults for
/// all of it, completed from the configuration of a Greengrass V1 core if there is one. Holds paths
/// of keys and passwords, never their contents.

#include "base/buf.h"
#include "base/error.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>

#define HOST_FILE_DEFAULT "/etc/lighterman/lighterman.json"

/// The AWS IoT credentials provider. Absent members are NULL.
struct host_credentials {
	char *role_alias, *endpoint, *certificate, *private_key, *ca;
};

/// One of the topics of ours that a broker gets: the default's name, another, or none.
struct host_topic {
	bool off;
	char *name; ///< NULL: the default.
};

/// An MQTT broker: `socket`, or `host` and `port`. Absent members are NULL.
struct host_broker {
	char *host;
	unsigned port; ///< Default 8883 if `ca` or `certificate` is given, else 1883.
	char *socket;
	char *ca, *certificate, *private_key;
	char *username, *password_file, *client_id;
	struct host_topic progress, containers, connection;
	unsigned keep_alive_s; ///< 0: the default.
	bool jobs; ///< It has the jobs of AWS IoT Jobs for this thing; of one broker at most.
};

/// The core's own connection to AWS IoT, as config.json had it. Absent members are NULL.
struct host_iot {
	char *endpoint, *certificate, *private_key, *ca;
};

struct host_names {
	char **items;
	size_t n;
};

struct host_port {
	bool given; ///< By the host file.
	unsigned number;
};

/// How client devices are served.
struct host_devices {
	unsigned broker_port;       ///< Of the broker, with TLS.
	unsigned discovery_port;    ///< Of discovery.
	struct host_port alpn_port; ///< Of discovery for clients that name its protocol; 0: none.
	unsigned cloud_port;        ///< Of AWS IoT, where the bridge connects to.
	struct host_names names;    ///< More host names and addresses that devices connect to.
	char *ca;          ///< More issuers of devices' certificates; NULL: only the group's CA.
	char *user;        ///< What the broker and discovery run as.
	char *local_group; ///< The group that may use the broker's socket; NULL: root's.
	char *mosquitto;   ///< The broker's program.
};

struct host_settings {
	char *file; ///< The absolute path of what host_load read; NULL: there was no file.
	char *greengrass_root;
	char *write_directory; ///< Stands in for greengrass_root where logs go; NULL: not set.
	char *state_directory, *runtime_directory;
	char *region;       ///< NULL: unknown.
	char *thing_name;   ///< NULL: unknown.
	char *default_user; ///< NULL: the user that runs the program.
	bool allow_root;    ///< The Docker user may be root.
	struct host_credentials credentials;
	struct host_iot iot;
	struct host_broker *brokers;
	size_t brokers_n;
	char *object_store_directory, *secret_store_directory; ///< NULL: AWS.
	char *docker_socket;
	char *docker_compose;      ///< NULL: look for it.
	char *control_group;       ///< Group that may use the control socket; NULL: root only.
	char *control_read_group;  ///< Group that may only ask; NULL: none.
	unsigned log_shipping_s;   ///< How long lines wait, to be shipped together.
	char *metrics_textfile;    ///< Where metrics are written for others to read; NULL: nowhere.
	unsigned worker_silence_s; ///< A worker that prints nothing for so long is ended.
	struct host_devices devices;
};

#define lm_auto_host lm_auto(host_finish)

/// Reads the host file, then `<greengrassRoot>/config/config.json`, then AWS_REGION and
/// AWS_DEFAULT_REGION; what comes first counts. `path` NULL: the default file, which may be
/// missing. LM_E_NOT_FOUND: the file named is missing. LM_E_INVALID: the message has the key's
/// path.
lm_rc host_load(const char *path, struct host_settings *ret, struct lm_err *err);
/// The document in a host file's text, in which lines that begin with "//", also behind blanks, are
/// comments. `text` is changed. LM_E_INVALID: it is no JSON. A new reference.
lm_rc host_parse(struct lm_buf *text, json_t **ret, struct lm_err *err);
/// The document of the host file at `path`, before anything in it is checked. As lm_file_read and
/// host_parse; the message has the path. A new reference.
lm_rc host_read(const char *path, json_t **ret, struct lm_err *err);
/// The settings as a host file that has every key; no file and no environment is needed to read it.
/// A new reference.
json_t *host_to_json(const struct host_settings *host);
/// Reads what host_to_json made, or any host file, with defaults and nothing else. LM_E_INVALID.
lm_rc host_from_json(const json_t *document, struct host_settings *ret, struct lm_err *err);
void host_finish(struct host_settings *host);
