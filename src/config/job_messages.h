// SPDX-License-Identifier: Apache-2.0
#pragma once

/// AWS IoT Jobs over MQTT (wire format 5.3): what a thing subscribes to, what it asks for, and what
/// comes back. Pure.

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	JOB_ID_SIZE = 65, ///< With the NUL.
	JOB_TOKEN_SIZE = 65,
	JOB_TEXT_SIZE = 1025, ///< Of a value of statusDetails.
	JOB_FILTERS = 7,
};

enum job_status {
	JOB_STATUS_QUEUED,
	JOB_STATUS_IN_PROGRESS,
	JOB_STATUS_SUCCEEDED,
	JOB_STATUS_FAILED,
	JOB_STATUS_TIMED_OUT,
	JOB_STATUS_REJECTED,
	JOB_STATUS_REMOVED,
	JOB_STATUS_CANCELED,
	JOB_STATUSES, ///< How many there are; also: none, or an unknown one.
};

/// "QUEUED", …; "" for none. Static storage.
const char *job_status_name(enum job_status status);
enum job_status job_status_from_name(const char *name);
/// Whether nothing changes it any more.
bool job_status_is_final(enum job_status status);

enum job_kind {
	JOB_KIND_NONE,
	JOB_KIND_NOTIFY_NEXT,
	JOB_KIND_START_NEXT,
	JOB_KIND_GET,
	JOB_KIND_UPDATE,
};

/// Why a request was rejected.
enum job_code {
	JOB_CODE_NONE,
	JOB_CODE_STALE,   ///< VersionMismatch, InvalidStateTransition.
	JOB_CODE_GONE,    ///< ResourceNotFound, TerminalStateReached.
	JOB_CODE_LATER,   ///< RequestThrottled, InternalError.
	JOB_CODE_INVALID, ///< InvalidTopic, InvalidJson, InvalidRequest, or an unknown one.
};

struct job_execution {
	char id[JOB_ID_SIZE];
	int64_t number;  ///< executionNumber.
	int64_t version; ///< versionNumber; 0: not given.
	enum job_status status;
	json_t *document; ///< NULL: not given.
};

/// A message from the job service.
struct job_message {
	enum job_kind kind;
	bool rejected;
	char id[JOB_ID_SIZE];       ///< GET and UPDATE: by the topic.
	char token[JOB_TOKEN_SIZE]; ///< "": none, or none of ours.
	bool has_execution;
	struct job_execution execution;
	/// Accepted or rejected, if it has an executionState.
	enum job_status state;
	int64_t version;
	/// If it was rejected.
	enum job_code code;
	char why[256]; ///< The code and the message, to be shown.
};

#define lm_auto_job_message lm_auto(job_message_finish)

/// LM_E_NOT_FOUND: a topic that is none of this thing's jobs. LM_E_INVALID, LM_E_TOO_LARGE: it
/// breaks the protocol. `payload.p` NULL: it was too large.
lm_rc job_message_parse(const char *thing, const char *topic, struct lm_str payload,
	struct job_message *ret, struct lm_err *err);
void job_message_finish(struct job_message *m);

/// What is to be asked for. All is borrowed.
struct job_request {
	enum job_kind kind;  ///< START_NEXT, GET, UPDATE.
	const char *id;      ///< GET and UPDATE.
	int64_t number;      ///< The same.
	bool wants_document; ///< GET.
	int64_t version;     ///< UPDATE: expectedVersion; 0: none is known.
	enum job_status status;
	/// UPDATE: statusDetails; NULL or 0: left out.
	const char *stage, *reason;
	unsigned generation;
	const char *token;
};

/// The topic, and the document of the request; the caller frees the topic. False: over the ceiling
/// of `out`.
char *job_request_topic(const char *thing, const struct job_request *r);
bool job_request_write(const struct job_request *r, struct lm_buf *out);
/// The filters of a thing, which the caller frees.
void job_filters(const char *thing, char *ret[JOB_FILTERS]);

/// Makes of a text what statusDetails take: nothing of Unicode's categories Cc, Cf, Cs, Co, and of
/// Cn what is known to stay there; nothing that is not UTF-8; at most 1,024 bytes. Returns `out`.
char *job_text(const char *text, char out[JOB_TEXT_SIZE]);
