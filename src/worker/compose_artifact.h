// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The compose file that is an artifact in a registry (the definition's Source.Url, oci://…), as
/// `docker compose publish` puts it there.

#include "aws/s3.h"
#include "base/error.h"
#include "docker/image_ref.h"
#include "docker/registry_auth.h"
#include "sys/wait.h"

struct compose_artifact_options {
	const struct registry_credentials *credentials; ///< NULL: there are none.
	const char *certificates;                       ///< REGISTRY_CERTIFICATES
	unsigned attempts;                              ///< Of each request; 0: the default.
};

/// The reference in "oci://registry/repository:tag". LM_E_INVALID: it is none, or its digest is not
/// of the kind sha256. The caller finishes `ret`, also after a failure.
lm_rc compose_artifact_parse(const char *address, struct image_ref *ret, struct lm_err *err);

/// Gets it, and checks the digests of manifest and file. Its version is the manifest's digest.
/// LM_E_INVALID: it is something else, or more than a compose file. LM_E_TOO_LARGE. LM_E_NOT_FOUND,
/// LM_E_DENIED, LM_E_REFUSED: the registry says so. LM_E_NETWORK, LM_E_TIMEOUT, LM_E_CANCELLED.
/// LM_E_PROTOCOL: what came has another digest, or is no manifest.
lm_rc compose_artifact_get(const struct image_ref *ref,
	const struct compose_artifact_options *options, const struct wait_limit *limit,
	struct stored_object *ret, struct lm_err *err);
