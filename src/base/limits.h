// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Every ceiling in one place, in bytes unless the name says otherwise.

enum {
	LIMIT_GROUP_FILE = 4 << 20, ///< 10,000 subscriptions of a V1 group fit.
	LIMIT_HOST_FILE = 256 << 10,
	LIMIT_COMPOSE_FILE = 4 << 20,    ///< The object in the store, after decompression.
	LIMIT_COMPOSE_CONFIG = 16 << 20, ///< What `docker-compose config` prints.
	LIMIT_SECRET_VALUE = 64 << 10,   ///< Secrets Manager's own: 65,536.
	/// Secrets Manager's answer: a value in JSON, with every byte written as \uXXXX.
	LIMIT_SECRET_ANSWER = 6 * LIMIT_SECRET_VALUE + (16 << 10),
	LIMIT_ECR_ANSWER = 64 << 10,
	LIMIT_LOG_BATCH = 1 << 20,      ///< CloudWatch Logs' own, counted as it does.
	LIMIT_LOG_BATCH_JSON = 8 << 20, ///< The same as it is sent.
	LIMIT_HTTP_HEADERS = 64 << 10,
	LIMIT_HTTP_ERROR_BODY = 64 << 10,
	LIMIT_ENGINE_BODY = 16 << 20,  ///< A list of a few thousand containers.
	LIMIT_ENGINE_LINE = 256 << 10, ///< One JSON document of a pull or event stream.
	LIMIT_WORKER_JOB = 8 << 20,
	LIMIT_WORKER_LINE = 64 << 10,
	/// A group file as a JSON string: each quote, backslash and line end takes two bytes.
	LIMIT_CONTROL_REQUEST = 2 * LIMIT_GROUP_FILE + (64 << 10),
	LIMIT_CONTROL_REPLY = 1 << 20,
	LIMIT_METRICS = 256 << 10, ///< LIMIT_SERVICES and eight brokers fit.
	LIMIT_LOG_LINE = 16 << 10,
	LIMIT_MQTT_PAYLOAD = 128 << 10,  ///< AWS IoT Core's own.
	LIMIT_MQTT_TOPIC = 256,          ///< AWS IoT Core's own.
	LIMIT_MQTT_PASSWORD = 65535,     ///< MQTT's own.
	LIMIT_OUTBOX_BYTES = 2560 << 10, ///< V1's default for its cloud queue: 2.5 MB.

	LIMIT_PROFILE_FILE = 256 << 10,      ///< ~/.aws/credentials and ~/.aws/config, each.
	LIMIT_CREDENTIALS_ANSWER = 64 << 10, ///< Of a source of AWS credentials.
	LIMIT_AUTHORIZATION_FILE = 16 << 10, ///< AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE.

	LIMIT_JSON_DEPTH = 32,
	LIMIT_YAML_DEPTH = 64,
	LIMIT_YAML_NODES = 200000,
	LIMIT_SERVICES = 1000,
	LIMIT_SECRETS = 100,
	LIMIT_CONTROL_CLIENTS = 16,
	LIMIT_PARALLEL_PULLS = 4,
	LIMIT_MQTT_HANGING = 8, ///< Attempts to connect, given up, whose threads have not ended.
};
