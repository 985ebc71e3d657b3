// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The local shadow service, the endpoint `GGShadowService` of subscriptions (spec/wire-formats.md
/// section 3).
///
/// The requests of one turn of the broker's loop are carried out as they come, in one transaction,
/// and answered by shadow_service_commit after it is on disk: no reply tells of something that a
/// power cut could undo. If that fails, all of them are rejected with 500. Named shadows are not
/// supported. Logs; one thread; must not be called from its own callbacks unless they say so.

#include "base/error.h"
#include "base/str.h"
#include "broker/shadow_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct shadow_service;

/// Sends a reply. Called from shadow_service_commit only.
typedef void shadow_service_publish(void *ctx, const char *topic, struct lm_str payload);

/// Opens the database. Always returns a service. With `err` filled (the caller logs it) the shadows
/// cannot be used: requests are rejected with 500, and while there are some the database is tried
/// again every ten seconds.
struct shadow_service *shadow_service_open(const char *database, shadow_service_publish *publish,
	void *publish_ctx, struct lm_err *err);
/// From now on the disk is waited for on another thread, and the loop goes on meanwhile; requests
/// that come before it is done wait for the next transaction. `wake` is called from that thread
/// when it is done, and must bring about another turn of the loop; again and again until
/// shadow_service_commit has been called.
void shadow_service_commit_beside(
	struct shadow_service *s, background_function *wake, void *wake_ctx);
/// What was not committed is dropped without a reply.
void shadow_service_close(struct shadow_service *s);

/// The things of the group; requests for others are rejected with 404. Copies the names.
void shadow_service_set_things(struct shadow_service *s, const char *const *names, size_t n);
/// Takes a request that a subscription allowed to reach GGShadowService; other topics are ignored.
/// `client` is the connection it came from, of which at most LIMIT_SHADOW_IN_FLIGHT for one thing
/// wait for a reply; NULL: no limit.
void shadow_service_request(
	struct shadow_service *s, const char *client, struct lm_str topic, struct lm_str payload);
/// At the end of each turn of the loop: commits, then publishes the replies. Costs nothing if there
/// is nothing to do.
void shadow_service_commit(struct shadow_service *s);

struct shadow_counts {
	uint64_t updates;  ///< Accepted updates and deletes.
	uint64_t rejected; ///< Requests of any kind.
	const char *error; ///< Why the database cannot be used at the moment; NULL: it can.
			   ///< Borrowed, until the next call.
};
struct shadow_counts shadow_service_counts(const struct shadow_service *s);

// For the synchronisation with the cloud. These read and write in the transaction of the turn,
// before the next shadow_service_commit.

struct shadow_observer {
	/// After a commit: a request (not shadow_service_merge) changed or deleted the shadow of
	/// that thing. Once for each thing and commit. May call what follows below.
	void (*changed)(void *ctx, const char *thing);
	/// What shadow_service_merge and shadow_service_put_sync wrote in that transaction is on
	/// disk.
	void (*stored)(void *ctx, uint64_t transaction);
	/// The commit failed: it is lost.
	void (*lost)(void *ctx, uint64_t transaction);
	void *ctx;
};

/// In place of the one before; NULL: nobody any more.
void shadow_service_observe(struct shadow_service *s, const struct shadow_observer *observer);
/// The document of a thing; `exists` is false if there is none. The caller finishes it. On failure
/// the shadows cannot be used at the moment.
lm_rc shadow_service_read(struct shadow_service *s, const char *thing, struct shadow_document *ret,
	struct lm_err *err);
lm_rc shadow_service_read_sync(
	struct shadow_service *s, const char *thing, struct shadow_sync *ret, struct lm_err *err);
/// `*ret_transaction`: see struct shadow_observer.
lm_rc shadow_service_put_sync(struct shadow_service *s, const char *thing,
	const struct shadow_sync *sync, uint64_t *ret_transaction, struct lm_err *err);
/// Changes a shadow as the cloud wants it: `patch` is merged as an update's `state` is (nulls
/// delete); NULL deletes the shadow. Clients get what they would get of an update by somebody else:
/// …/update/accepted, delta and documents; …/delete/accepted. `*ret_version` is the new version, or
/// the old one if there was nothing to delete; write it to shadow_sync in the same turn.
/// LM_E_INVALID, LM_E_TOO_LARGE: the patch cannot be merged, and nothing was changed.
lm_rc shadow_service_merge(struct shadow_service *s, const char *thing, json_t *patch,
	uint64_t *ret_version, struct lm_err *err);
