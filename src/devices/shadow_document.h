// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Device shadows: a thing's document, the requests that change it, and the replies to them. Rules,
/// texts and codes are those of the AWS IoT Device Shadow service (spec/wire-formats.md section 3).
/// Pure: no clock, no storage.
///
/// What that service leaves open: `version` and times are whole numbers; numbers compare by value
/// (1 is 1.0); an array with a null anywhere inside is refused; an empty section is no section; 8
/// KB are counted over `desired` and `reported` together, written compactly; texts with NUL and
/// integers over 64 bits are no valid JSON.

#include "base/buf.h"
#include "base/error.h"
#include "base/str.h"
#include "sys/json.h"

#include <stdbool.h>
#include <stdint.h>

enum shadow_operation { SHADOW_GET, SHADOW_UPDATE, SHADOW_DELETE };

/// Why a request is rejected.
enum shadow_rejection {
	SHADOW_ACCEPTED,
	SHADOW_INVALID_JSON,
	SHADOW_NO_STATE,
	SHADOW_STATE_NO_OBJECT,
	SHADOW_DESIRED_NO_OBJECT,
	SHADOW_REPORTED_NO_OBJECT,
	SHADOW_INVALID_VERSION,
	SHADOW_INVALID_TOKEN,
	SHADOW_TOO_DEEP,
	SHADOW_INVALID_NODE,
	SHADOW_NO_THING,
	SHADOW_NO_SHADOW,
	SHADOW_CONFLICT,
	SHADOW_TOO_LARGE,
	SHADOW_NOT_UTF8,
	SHADOW_TOO_MANY,
	SHADOW_FAILURE,
};

/// The code of a rejection, as in HTTP: 400 to 500; 0 for SHADOW_ACCEPTED.
int shadow_rejection_code(enum shadow_rejection why);
/// Its text; of SHADOW_NO_SHADOW without the thing's name. Static.
const char *shadow_rejection_text(enum shadow_rejection why);

/// What is known of a thing's shadow. Zeroed: there never was one.
struct shadow_document {
	bool exists;      ///< False: never made, or deleted. The version stays.
	uint64_t version; ///< Of the last accepted update; 0: there was none.
	json_t *desired;  ///< An object with a member at least; NULL: there is no such section.
	json_t *reported;
	/// When each value was set, in seconds since 1970: an object like the section, in which a
	/// number stands for all that is below.
	json_t *desired_times;
	json_t *reported_times;
};

void shadow_document_finish(struct shadow_document *d);
/// Reads what shadow_document_write wrote; sets `exists`, and leaves `version` 0. LM_E_INVALID: it
/// is something else.
lm_rc shadow_document_read(struct lm_str text, struct shadow_document *ret, struct lm_err *err);
/// Appends the sections and times as one line of JSON; `version` is not in it. False over the
/// ceiling of `out`.
bool shadow_document_write(const struct shadow_document *d, struct lm_buf *out);
/// The sections as an update's `state` has them: {"desired":…,"reported":…}, without those that
/// there are not. A new reference of which the caller must change nothing.
json_t *shadow_document_state(const struct shadow_document *d);

/// A request that was read; all borrowed from `body`.
struct shadow_request {
	enum shadow_operation operation;
	json_t *body; ///< NULL: not JSON, or none.
	const json_t *token;
	const json_t *state;   ///< Of an update.
	const json_t *version; ///< Of an update: the one that it wants to change. NULL: any.
};

/// Reads a request's payload. The token is there with a rejection too, if it could be read. Get and
/// delete may have a token; anything else in their payload is ignored. The caller finishes `*ret`
/// in any case.
enum shadow_rejection shadow_request_read(
	enum shadow_operation operation, struct lm_str payload, struct shadow_request *ret);
/// As shadow_request_read, for an update with that `state` from somewhere else. Takes a reference.
enum shadow_rejection shadow_request_of_state(json_t *state, struct shadow_request *ret);
void shadow_request_finish(struct shadow_request *r);

/// What an update makes of a document. `*ret` is set only if it is accepted, and shares nothing
/// that changes with `before`.
enum shadow_rejection shadow_document_update(const struct shadow_document *before,
	const struct shadow_request *update, int64_t now_s, struct shadow_document *ret);

// The replies' payloads, appended to `out`, whose ceiling should be LIMIT_SHADOW_REPLY: all that
// are possible fit.

/// To …/get/accepted, …/update/accepted and …/delete/accepted. `after` is the document after the
/// request; of a delete, the one that was deleted.
void shadow_write_accepted(const struct shadow_request *request,
	const struct shadow_document *after, int64_t now_s, struct lm_buf *out);
/// To …/update/delta. False, and nothing is appended: `desired` and `reported` do not differ.
bool shadow_write_delta(
	const struct shadow_document *d, const json_t *token, int64_t now_s, struct lm_buf *out);
/// To …/update/documents.
void shadow_write_documents(const struct shadow_document *before,
	const struct shadow_document *after, const json_t *token, int64_t now_s,
	struct lm_buf *out);
/// To …/rejected. `token` may be NULL.
void shadow_write_rejected(enum shadow_rejection why, struct lm_str thing, const json_t *token,
	int64_t now_s, struct lm_buf *out);

/// Takes a topic $aws/things/<thing>/shadow/{get,update,delete} apart. False: it is another one.
/// The thing's name is borrowed, and may be none that a thing can have.
bool shadow_topic_read(
	struct lm_str topic, struct lm_str *ret_thing, enum shadow_operation *ret_operation);
/// "get", "update", "delete". Static.
const char *shadow_operation_name(enum shadow_operation operation);
