// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Whether an object arrived as S3 has it, by the checksums in S3's answer. (Amazon S3: "Checking
/// object integrity".) Pure.

#include "base/error.h"
#include "base/str.h"

/// Values of the answer's headers; empty: it has none.
struct s3_checksum_headers {
	/// x-amz-checksum-sha256, …, in base64.
	struct lm_str sha256, sha1, crc64nvme, crc32c, crc32;
	struct lm_str type; ///< x-amz-checksum-type: only FULL_OBJECT is of the object's bytes.
	struct lm_str etag; ///< The MD5 of an object that was stored in one piece,
	/// unless it is encrypted otherwise than by S3's own keys (x-amz-server-side-encryption,
	struct lm_str encryption;
	/// x-amz-server-side-encryption-customer-algorithm).
	struct lm_str customer_encryption;
};

/// Compares `body`, as it came, with all checksums that are understood; there may be none.
/// LM_E_NETWORK: it differs; the message has the kind of checksum, the computed and the named one.
lm_rc s3_checksum_check(
	const struct s3_checksum_headers *headers, struct lm_str body, struct lm_err *err);
