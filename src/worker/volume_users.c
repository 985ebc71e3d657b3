// SPDX-License-Identifier: Apache-2.0
#include "worker/volume_users.h"

#include "base/cleanup.h"

#include <string.h>

/// The first of the volumes that is mounted in it; NULL: none is.
static const char *find_mounted(const struct engine_container *c, struct volume_names names)
{
	for (size_t i = 0; i < names.n; i++)
		if (engine_container_mounts(c, names.items[i]))
			return names.items[i];
	return NULL;
}

static lm_rc add_user(const struct engine *e, const char *project, bool ours_may,
	const struct engine_container *c, const char *volume, const struct wait_limit *limit,
	json_t *users, struct lm_err *err)
{
	bool is_ours = strcmp(c->project, project) == 0;
	struct engine_container_state state = {0};

	if (engine_container_is_active(c) && !(is_ours && ours_may))
		return lm_fail(err, LM_E_CONFLICT, 0,
			"container '%s'%s runs and uses the volume '%s': stop it, or set "
			"Policy.SnapshotVolumes to \"False\"",
			c->name, is_ours ? "" : ", which is not of this application,", volume);
	lm_rc rc = engine_inspect_container(e, c->id, limit, &state, err);
	if (!rc)
		json_object_set_new(users, c->id, json_integer(state.started_ms));
	return rc;
}

lm_rc volume_users_list(const struct engine *e, const char *project, bool ours_may,
	struct volume_names names, const struct wait_limit *limit, json_t **ret, struct lm_err *err)
{
	lm_auto(engine_containers_finish) struct engine_containers list = {0};
	lm_auto_json json_t *users = json_object();
	lm_rc rc = engine_list_containers(e, NULL, limit, &list, err);

	for (size_t i = 0; !rc && i < list.n; i++) {
		const char *volume = find_mounted(&list.items[i], names);

		if (volume)
			rc = add_user(
				e, project, ours_may, &list.items[i], volume, limit, users, err);
	}
	if (rc)
		return rc;
	*ret = lm_take(users);
	return LM_OK;
}

lm_rc volume_users_compare(const struct engine *e, const char *project, struct volume_names names,
	const json_t *before, const struct wait_limit *limit, struct lm_err *err)
{
	lm_auto_json json_t *now = NULL;
	lm_rc rc = volume_users_list(e, project, false, names, limit, &now, err);
	const char *id;
	json_t *started;

	if (rc)
		return rc;
	json_object_foreach(now, id, started)
	{
		if (json_integer_value(started) != json_get_int(before, id, 0))
			return lm_fail(err, LM_E_CONFLICT, 0,
				"container %.12s, which uses the volumes, ran after they were "
				"copied: something else than lightermand starts it",
				id);
	}
	return LM_OK;
}
