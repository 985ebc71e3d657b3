// SPDX-License-Identifier: Apache-2.0
#include "devices/certificates.h"

#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct certificate_authority *make_signer(void)
{
	static struct certificate_authority *ca;
	lm_auto_secret struct lm_secret key = {0};
	lm_auto_free char *pem = NULL;

	if (!ca && (certificate_make_key(&key, NULL) ||
			   certificate_make_authority(
				   lm_secret_str(&key), "CA", 1800000000, &pem, NULL) ||
			   certificate_authority_open(lm_secret_str(&key), lm_str(pem), &ca, NULL)))
		abort();
	return ca;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct lm_str text = {(const char *)data, size};
	struct lm_err err = {0};
	lm_auto_free char *pem = NULL;
	lm_auto_certificate struct certificate c = {0};
	lm_rc rc = certificate_sign_request(make_signer(), text, "Sensor", 1800000000, &pem, &err);

	if (rc == LM_OK ? !pem || certificate_read(lm_str(pem), &c, NULL) || c.is_authority
			: pem || !err.msg[0])
		abort();
	certificate_finish(&c);
	if (certificate_read(text, &c, &err) && !err.msg[0])
		abort();
	lm_auto_buf struct lm_buf copies = LM_BUF(1 << 20);
	(void)!certificate_copy_all(text, &copies, &err);
	return 0;
}
