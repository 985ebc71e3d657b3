// SPDX-License-Identifier: Apache-2.0
#include "base/secret.h"

#include "base/memory.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>

void lm_wipe(void *p, size_t n)
{
	if (p && n)
		explicit_bzero(p, n);
}

void lm_secret_set(struct lm_secret *s, struct lm_str bytes)
{
	struct lm_secret old = *s; // `bytes` may point into it

	s->data = lm_xmemdup0(bytes.p, bytes.n);
	s->len = bytes.n;
	(void)mlock(s->data, s->len + 1); // best effort: RLIMIT_MEMLOCK may be small
	lm_secret_finish(&old);
}

void lm_secret_move(struct lm_secret *to, struct lm_secret *from)
{
	if (to == from)
		return;
	lm_secret_finish(to);
	*to = *from;
	*from = (struct lm_secret){0};
}

void lm_secret_finish(struct lm_secret *s)
{
	if (s->data) {
		// Not unlocked: the page may hold another secret, and locks do not nest.
		lm_wipe(s->data, s->len + 1);
		free(s->data);
	}
	*s = (struct lm_secret){0};
}

void lm_secret_harden_process(void)
{
	const struct rlimit none = {0, 0};

	(void)setrlimit(RLIMIT_CORE, &none);
	(void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

bool lm_secret_is_hardened(void)
{
	return prctl(PR_GET_DUMPABLE, 0, 0, 0, 0) == 0;
}
