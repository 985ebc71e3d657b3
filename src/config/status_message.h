// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The messages that the connector publishes (spec "Output data"). Pure; the caller frees.

#define STATUS_TOPIC "dockerapplicationdeploymentconnector/message/status"
#define STATUS_TOPIC_CONTAINERS "dockerapplicationdeploymentconnector/message/containers"
#define STATUS_TOPIC_CONNECTION "dockerapplicationdeploymentconnector/message/connection"
#define STATUS_TOPIC_PROGRESS "dockerapplicationdeploymentconnector/message/progress"

/// The success document: five keys, in the spec's order. `bucket` and `version` NULL
/// become JSON null.
char *status_message_success(const char *bucket, const char *key, const char *version)
	__attribute__((returns_nonnull));
/// The failure document: three keys. `error` is "InvalidParameter" or "InternalError". Bytes of
/// `message` that are not UTF-8 are written as \xNN.
char *status_message_failure(const char *error, const char *message)
	__attribute__((returns_nonnull));
