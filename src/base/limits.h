// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Every ceiling in one place, in bytes unless the name says otherwise.

enum {
	LIMIT_GROUP_FILE = 4 << 20, ///< 10,000 subscriptions of a V1 group fit.
	LIMIT_HOST_FILE = 256 << 10,
	LIMIT_COMPOSE_FILE = 4 << 20,    ///< The object in the store, after decompression.
	LIMIT_COMPOSE_TEXT = 1 << 20,    ///< A compose file in a group file, which must hold it.
	LIMIT_COMPOSE_CONFIG = 16 << 20, ///< What `docker-compose config` prints.
	LIMIT_SECRET_VALUE = 64 << 10,   ///< Secrets Manager's own: 65,536.
	/// Secrets Manager's answer: a value in JSON, with every byte written as \uXXXX.
	LIMIT_SECRET_ANSWER = 6 * LIMIT_SECRET_VALUE + (16 << 10),
	LIMIT_ECR_ANSWER = 64 << 10,
	LIMIT_LOG_BATCH = 1 << 20,      ///< CloudWatch Logs' own, counted as it does.
	LIMIT_LOG_BATCH_JSON = 8 << 20, ///< The same as it is sent.
	LIMIT_HTTP_HEADERS = 64 << 10,
	LIMIT_HTTP_ERROR_BODY = 64 << 10,
	LIMIT_ENGINE_BODY = 16 << 20,    ///< A list of a few thousand containers.
	LIMIT_ENGINE_LINE = 256 << 10,   ///< One JSON document of a pull or event stream.
	LIMIT_MANIFEST = 4 << 20,        ///< Of an image, or its configuration: registries' own.
	LIMIT_REGISTRY_TOKEN = 64 << 10, ///< A token server's answer.
	LIMIT_WORKER_JOB = 8 << 20,
	LIMIT_ENVIRONMENT = 2 << 20, ///< The kernel's own, with its usual limit for a stack.
	LIMIT_WORKER_LINE = 64 << 10,
	/// A group file as a JSON string: each quote, backslash and line end takes two bytes.
	LIMIT_CONTROL_REQUEST = 2 * LIMIT_GROUP_FILE + (64 << 10),
	/// Of requests that are not complete: of all clients, and of root's. The largest one fits.
	LIMIT_CONTROL_READING = 16 << 20,
	/// The last line of an answer: a list of LIMIT_DEVICES with all their certificates fits.
	LIMIT_CONTROL_REPLY = 8 << 20,
	LIMIT_CONTROL_WAITING = 1 << 20, ///< Of lines before it that a client has not read yet.
	LIMIT_METRICS = 256 << 10,       ///< LIMIT_SERVICES and eight brokers fit.
	LIMIT_LOG_LINE = 16 << 10,
	LIMIT_LOG_TAIL = 256 << 10,     ///< What `lighterman logs` shows of the past.
	LIMIT_SPOOL = 64 << 20,         ///< Of lines that wait to be shipped, whatever Space is.
	LIMIT_LOG_CHUNK = 1 << 20,      ///< Of them, what a worker gets at a time.
	LIMIT_MQTT_RECEIVED = 16 << 20, ///< Of a message that a broker sends to lightermand.
	LIMIT_MQTT_PAYLOAD = 128 << 10, ///< AWS IoT Core's own.
	LIMIT_MQTT_TOPIC = 256,         ///< AWS IoT Core's own.
	LIMIT_CLOUD_REQUESTS = 8,       ///< To the cloud's shadow service at a time; it takes 10.
	LIMIT_SHADOW_SYNC_VALUES =
		32768, ///< As json_count counts, of a reply of 8 KB with its metadata.
	/// mosquitto.conf with 10,000 subjects from the cloud and 2,500 shadows to synchronize.
	LIMIT_BROKER_CONFIG = 8 << 20,
	LIMIT_MQTT_PASSWORD = 65535,     ///< MQTT's own.
	LIMIT_OUTBOX_BYTES = 2560 << 10, ///< V1's default for its cloud queue: 2.5 MB.
	LIMIT_OUTBOX_BAD = 8,            ///< Files of an outbox that were set aside, the newest.
	LIMIT_OUTBOX_TAKEN = 64, ///< Keys of messages that an outbox has taken, not yet all.

	LIMIT_DEVICE_STATUS = 2 << 20, ///< Of the broker's status.json.
	LIMIT_EVENTS_FILE = 16 << 10,  ///< How far the engine's events were read.
	LIMIT_CRASH_LOG = 8 << 10,     ///< The last lines of a container's log.
	/// One crash on disk. All that are kept fit into LIMIT_CONTROL_REPLY.
	LIMIT_CRASH_FILE = 20000,

	LIMIT_SHADOW_STATE =
		8 << 10, ///< Of a device, `desired` and `reported` together: AWS IoT's own.
	/// Of a request for a shadow, with spaces, and nulls for all that it deletes.
	LIMIT_SHADOW_REQUEST = 4 * LIMIT_SHADOW_STATE,
	/// Two documents of arrays of digits, each with its time: 220 KB.
	LIMIT_SHADOW_REPLY = 512 << 10,
	LIMIT_SHADOW_TOKEN = 64,     ///< AWS IoT's own.
	LIMIT_SHADOW_DEPTH = 6,      ///< AWS IoT's own, for each section.
	LIMIT_SHADOW_IN_FLIGHT = 10, ///< AWS IoT's own: for one thing, of one connection.
	LIMIT_SHADOW_WAITING = 4096, ///< Requests of all clients that wait for one commit.
	LIMIT_SHADOW_WAITING_BYTES = 32 << 20, ///< Of the replies to them.

	LIMIT_PROFILE_FILE = 256 << 10,      ///< ~/.aws/credentials and ~/.aws/config, each.
	LIMIT_CREDENTIALS_ANSWER = 64 << 10, ///< Of a source of AWS credentials.
	LIMIT_AUTHORIZATION_FILE = 16 << 10, ///< AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.
	LIMIT_WEB_IDENTITY_TOKEN = 20 << 10, ///< STS takes 20,000 characters.
	LIMIT_PEM_FILE = 64 << 10,           ///< A private key, or a certificate with its chain.
	LIMIT_DISCOVERY_FILE = 4 << 20,      ///< LIMIT_DEVICES with all their certificates fit.
	LIMIT_DISCOVERY_HEAD = 8 << 10,      ///< Of a request to lighterman-discovery.
	LIMIT_DISCOVERY_ANSWER = 256 << 10,
	LIMIT_SIGNING_REQUEST = 16 << 10, ///< A device's own request for a certificate.
	LIMIT_DOCKER_CONFIG = 256 << 10,  ///< ~/.docker/config.json.
	LIMIT_HELPER_ANSWER = 256 << 10,  ///< Of a Docker credential helper.

	LIMIT_ROUTER_TABLE = 8 << 20,  ///< router.json: the tables of V1's limits fit.
	LIMIT_ROUTER_STATUS = 8 << 20, ///< status.json: every endpoint of such a table fits.
	LIMIT_ROUTER_NAME = 512,       ///< An ARN as the source or target of a subscription.

	LIMIT_UNSET_NAMES = 4 << 10, ///< Of variables that a compose file uses in vain.

	LIMIT_JSON_DEPTH = 32,
	/// As json_count counts. 10,000 subscriptions take 90,000, all else that V1 allows no
	/// 60,000.
	LIMIT_GROUP_VALUES = 150000,
	LIMIT_CONTROL_VALUES = 64,
	LIMIT_YAML_DEPTH = 64,
	LIMIT_YAML_NODES = 200000,
	LIMIT_YAML_TEXT = 1 << 20,  ///< Of one value.
	LIMIT_YAML_DOCUMENTS = 100, ///< In one compose file.
	LIMIT_DEVICES = 2500,       ///< Of a group: V1's own.
	LIMIT_DISCOVERY_CONNECTIONS = 64,
	LIMIT_DISCOVERY_CONNECTIONS_EACH = 16, ///< Of one address.
	LIMIT_DISCOVERY_CLIENTS = 512, ///< Whose rates are known, addresses and certificates each.
	/// As json_count counts, for discovery.json: 13 a device.
	LIMIT_DISCOVERY_VALUES = 40000,
	LIMIT_SERVICES = 1000,
	LIMIT_LISTENERS = 10000, ///< Sockets of each kind that programs of this device listen on.
	LIMIT_COMPOSE_VALUES =
		400000,          ///< That messages must not repeat; of a file of LIMIT_YAML_NODES.
	LIMIT_RESOURCES = 10000, ///< Containers, ports, networks of a compose file, of each kind.
	LIMIT_LAYERS = 500,      ///< Of an image; engines take 127.
	LIMIT_LOCAL_IMAGES = 1000,  ///< On the engine, whose layers a plan looks at.
	LIMIT_PULLED_IMAGES = 1000, ///< That are remembered as brought by deployments.
	LIMIT_SECRETS = 100,
	/// As json_count counts: 11 a client.
	LIMIT_DEVICE_STATUS_VALUES = 40000,
	LIMIT_SUBSCRIPTIONS = 10000, ///< Of a group; Greengrass V1's own.
	LIMIT_CONTAINERS = 1000,     ///< Of the application, that are followed.
	LIMIT_CRASHES = 50,          ///< Kept on disk.
	LIMIT_CRASH_LINES = 20,
	LIMIT_RECORDINGS = 64, ///< Crashes at a time of which the engine is asked.
	LIMIT_CONTROL_CLIENTS = 16,
	LIMIT_CONTROL_RESERVED = 4,     ///< More of them, for root and lightermand's own user.
	LIMIT_CONTROL_FOLLOWERS = 12,   ///< Clients that follow the log, and may stay for ever.
	LIMIT_STATUS_INSPECTIONS = 128, ///< Single containers asked for, for one container status.
	LIMIT_PARALLEL_PULLS = 4,
	LIMIT_PARALLEL_LOGINS = 128,
	LIMIT_ECR_REGISTRIES = 50,      ///< Accounts and Regions of one compose file.
	LIMIT_DOCKER_LOGINS = 200,      ///< In ~/.docker/config.json.
	LIMIT_DEVICE_CERTIFICATES = 16, ///< Of one device or function.
	LIMIT_ROUTER_VALUES = 400000,   ///< As json_count counts.
	/// Filters that one client of the local broker may subscribe to at a time; AWS IoT has 50.
	LIMIT_CLIENT_FILTERS = 500,
	LIMIT_DEVICE_BUNDLE = 16 << 20, ///< Keys and certificates of LIMIT_DEVICES.
	LIMIT_REGISTRY_DEVICES = 10000, ///< Of which certificates were made, or that were removed.
	/// Each of them with one certificate, or a few with all that are kept.
	LIMIT_REGISTRY_FILE = 16 << 20,
	LIMIT_ADDRESSES = 48,     ///< Of this device.
	LIMIT_SERVER_NAMES = 512, ///< Addresses and names in the certificate of a server.
	LIMIT_MQTT_HANGING = 8,   ///< Attempts to connect, given up, whose threads have not ended.
};
