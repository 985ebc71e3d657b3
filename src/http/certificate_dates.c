// SPDX-License-Identifier: Apache-2.0
#include "http/certificate_dates.h"

#include "base/buf.h"
#include "base/cleanup.h"
#include "base/file.h"
#include "base/limits.h"

#include <openssl/pem.h>
#include <openssl/x509.h>
#include <time.h>

static bool to_ms(const ASN1_TIME *time, int64_t *ret)
{
	struct tm tm;

	if (!ASN1_TIME_to_tm(time, &tm))
		return false;
	*ret = (int64_t)timegm(&tm) * 1000;
	return true;
}

static bool read_text(struct lm_str text, struct certificate_dates *ret)
{
	BIO *bio = text.n <= LIMIT_PEM_FILE ? BIO_new_mem_buf(text.p, (int)text.n) : NULL;
	X509 *x = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	struct certificate_dates d;
	bool ok = x && to_ms(X509_get0_notBefore(x), &d.from_ms) &&
		  to_ms(X509_get0_notAfter(x), &d.until_ms);

	X509_free(x);
	BIO_free(bio);
	if (ok)
		*ret = d;
	return ok;
}

bool certificate_dates_read(const char *path, struct lm_str text, struct certificate_dates *ret)
{
	lm_auto_buf struct lm_buf read = LM_BUF(LIMIT_PEM_FILE);

	if (text.n)
		return read_text(text, ret);
	return path && lm_file_read(path, &read, NULL) == LM_OK &&
	       read_text(lm_buf_str(&read), ret);
}
