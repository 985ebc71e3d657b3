// SPDX-License-Identifier: Apache-2.0
#include "aws/s3_checksum.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/// Lines: the headers' values in the order of the struct, then the body.
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str rest = {(const char *)data, size};
	struct s3_checksum_headers h = {0};
	struct lm_str *const fields[] = {&h.sha256, &h.sha1, &h.crc64nvme, &h.crc32c, &h.crc32,
		&h.type, &h.etag, &h.encryption, &h.customer_encryption};
	struct lm_err err = {LM_OK};

	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		*fields[i] = lm_str_cut(&rest, '\n');
	lm_rc rc = s3_checksum_check(&h, rest, &err);
	if (rc != LM_OK && rc != LM_E_NETWORK)
		abort();
	return 0;
}
