// SPDX-License-Identifier: Apache-2.0
#include "base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void mark_cut(char *msg)
{
	size_t at = LM_ERR_MSG_SIZE - 4;

	while (at > 0 && ((unsigned char)msg[at] & 0xc0) == 0x80)
		at--; // not inside a character of UTF-8: the message may travel as JSON
	memcpy(msg + at, "...", 4);
}

/// One sentence is one line: what came from outside may hold anything.
static void make_one_line(char *msg)
{
	for (char *c = msg; *c; c++) {
		if (*c == '\n' || *c == '\r' || *c == '\t')
			*c = ' ';
		else if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = '?';
	}
}

lm_rc lm_fail(struct lm_err *err, lm_rc rc, int sys, const char *format, ...)
{
	if (!err)
		return rc;

	// Built aside: the arguments may point into err->msg.
	char text[LM_ERR_MSG_SIZE] = "";
	va_list ap;
	va_start(ap, format);
	errno = sys; // what %m prints
	int n = vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
	if (n >= (int)sizeof(text))
		mark_cut(text);
	make_one_line(text);
	err->rc = rc;
	err->sys = sys;
	memcpy(err->msg, text, sizeof(text));
	return rc;
}

lm_rc lm_wrap(struct lm_err *err, const char *format, ...)
{
	if (!err)
		return LM_E_SYS;

	char text[2 * LM_ERR_MSG_SIZE];
	va_list ap;
	va_start(ap, format);
	int n = vsnprintf(text, LM_ERR_MSG_SIZE, format, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if (n >= LM_ERR_MSG_SIZE)
		n = LM_ERR_MSG_SIZE - 1;
	n += snprintf(text + n, sizeof(text) - (size_t)n, ": %s", err->msg);
	memcpy(err->msg, text, LM_ERR_MSG_SIZE);
	err->msg[LM_ERR_MSG_SIZE - 1] = '\0';
	if (n >= LM_ERR_MSG_SIZE)
		mark_cut(err->msg);
	make_one_line(err->msg);
	return err->rc;
}

lm_rc lm_rc_of_errno(int sys)
{
	switch (sys) {
	case ENOENT:
	case ENOTDIR:
		return LM_E_NOT_FOUND;
	case EACCES:
	case EPERM:
		return LM_E_DENIED;
	default:
		return LM_E_SYS;
	}
}

const char *lm_rc_name(lm_rc rc)
{
	switch (rc) {
	case LM_OK:
		return "ok";
	case LM_E_SYS:
		return "system";
	case LM_E_INVALID:
		return "invalid";
	case LM_E_NOT_FOUND:
		return "not found";
	case LM_E_DENIED:
		return "denied";
	case LM_E_TOO_LARGE:
		return "too large";
	case LM_E_TIMEOUT:
		return "timeout";
	case LM_E_NETWORK:
		return "network";
	case LM_E_PROTOCOL:
		return "protocol";
	case LM_E_REFUSED:
		return "refused";
	case LM_E_CONFLICT:
		return "conflict";
	case LM_E_CANCELLED:
		return "cancelled";
	}
	return "unknown";
}

bool lm_rc_from_name(const char *name, lm_rc *ret)
{
	for (int rc = LM_OK; name && rc <= LM_E_CANCELLED; rc++) {
		if (strcmp(lm_rc_name((lm_rc)rc), name) == 0) {
			*ret = (lm_rc)rc;
			return true;
		}
	}
	return false;
}
