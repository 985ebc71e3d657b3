// SPDX-License-Identifier: Apache-2.0
#include "worker/registry_route.h"

#include "base/cleanup.h"
#include "base/memory.h"

bool registry_route_is_local(struct lm_str host)
{
	if (lm_str_eq(host, LM_STR("[::1]")) || lm_str_starts(host, LM_STR("[::1]:")))
		return true;
	struct lm_str name = lm_str_cut(&host, ':');
	if (lm_str_eq(name, LM_STR("localhost")))
		return true;
	for (size_t i = 0; i < name.n; i++)
		if (!(name.p[i] >= '0' && name.p[i] <= '9') && name.p[i] != '.')
			return false;
	return lm_str_starts(name, LM_STR("127."));
}

void registry_route_find(const char *registry, const char *certificates, struct registry_route *ret)
{
	lm_auto_free char *ca = lm_xasprintf("%s/%s/ca.crt", certificates, registry);
	bool has_ca = access(ca, R_OK) == 0;
	bool is_hub = strcmp(registry, "docker.io") == 0;
	bool plain = !has_ca && registry_route_is_local(lm_str(registry));

	*ret = (struct registry_route){
		.origin = lm_xasprintf("%s://%s", plain ? "http" : "https",
			is_hub ? "registry-1.docker.io" : registry),
		.ca = has_ca ? lm_take(ca) : NULL,
		.plain = plain,
	};
}

void registry_route_finish(struct registry_route *route)
{
	free(route->origin);
	free(route->ca);
	*route = (struct registry_route){0};
}
