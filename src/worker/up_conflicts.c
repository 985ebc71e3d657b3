// SPDX-License-Identifier: Apache-2.0
#include "worker/up_conflicts.h"

#include "base/limits.h"
#include "base/log.h"
#include "base/memory.h"
#include "docker/conflict.h"

enum {
	LOOK_MS = 60 * 1000,
	TEXT_MAX = LM_ERR_MSG_SIZE,
	EPHEMERAL_PORT_MIN = 32768, ///< Linux takes those from here on for clients.
};

#define HOST_BINDING "host_binding_ipv4"

/// What the compose file wants, what exists, and what of it is in the way.
struct scene {
	struct compose_resources wanted;
	struct engine_inventory all;
	struct listeners listeners;
	struct conflicts found;
};

static void scene_finish(struct scene *s)
{
	compose_resources_finish(&s->wanted);
	engine_inventory_finish(&s->all);
	listeners_finish(&s->listeners);
	conflicts_finish(&s->found);
}

static lm_rc find_conflicts(const struct context *cx, struct scene *s, struct lm_err *err)
{
	struct wait_limit limit = wait_limit_within(&cx->limit, LOOK_MS);
	lm_rc rc = compose_resources_parse(lm_buf_str(&cx->config), COMPOSE_PROJECT,
		cx->compose.generation, &cx->services, &s->wanted, err);

	if (!rc)
		rc = engine_take_inventory(&cx->engine, &limit, &s->all, err);
	if (rc)
		return rc;
	// Without them, ports of other programs are not found.
	(void)!listeners_read(&s->listeners, NULL);
	const struct conflict_search search = {.project = COMPOSE_PROJECT,
		.generation = cx->compose.generation,
		.wanted = &s->wanted,
		.inventory = &s->all,
		.listeners = &s->listeners};
	conflict_find(&search, &s->found);
	return LM_OK;
}

static bool up_conflicts_is_ours(const char *project)
{
	return strcmp(project, COMPOSE_PROJECT) == 0;
}

/// Stops our running containers in it. docker-compose 1 connects them to the new network only when
/// it starts them.
static lm_rc stop_users(const struct context *cx, const struct engine_inventory *all,
	const struct engine_network *n, struct lm_err *err)
{
	lm_auto_free struct engine_object *users =
		lm_xcalloc(all->containers.n + 1, sizeof(*users));
	size_t users_n = 0;

	for (size_t i = 0; i < all->containers.n; i++) {
		const struct engine_container *c = &all->containers.items[i];

		if (up_conflicts_is_ours(c->project) && engine_container_is_active(c) &&
			engine_container_is_attached(c, n->id))
			users[users_n++] = (struct engine_object){c->id, c->name};
	}
	return engine_stop_containers(&cx->engine, users, users_n, &cx->limit, err);
}

/// Our containers are taken out of it and run on: docker-compose makes them anew, with their
/// volumes, as the network is part of their definition.
static lm_rc remove_network(const struct context *cx, const struct engine_inventory *all,
	const struct engine_network *n, struct lm_err *err)
{
	const struct engine_object network = {n->id, n->name};
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < all->containers.n && !rc; i++) {
		const struct engine_container *c = &all->containers.items[i];

		if (up_conflicts_is_ours(c->project) && engine_container_is_attached(c, n->id))
			rc = engine_disconnect(&cx->engine, &network,
				&(struct engine_object){c->id, c->name}, &cx->limit, err);
	}
	if (!rc)
		rc = engine_remove_network(&cx->engine, &network, &cx->limit, err);
	if (!rc)
		lm_warn("removed network %s", n->name);
	return rc;
}

/// Stops them all, and then removes them.
static lm_rc remove_containers(
	const struct context *cx, const struct engine_object *items, size_t n, struct lm_err *err)
{
	lm_rc rc = engine_stop_containers(&cx->engine, items, n, &cx->limit, err);

	for (size_t i = 0; i < n && !rc; i++) {
		rc = engine_remove_container(&cx->engine, &items[i], &cx->limit, err);
		if (!rc)
			lm_warn("removed container %s", items[i].name);
	}
	return rc;
}

static bool is_first_conflict(const struct conflicts *list, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (list->items[k].holder == CONFLICT_OURS &&
			list->items[k].container == list->items[i].container &&
			list->items[k].network == list->items[i].network)
			return false;
	return true;
}

lm_rc up_conflicts_remove(struct context *cx, struct lm_err *err)
{
	lm_auto(scene_finish) struct scene s = {0};
	lm_rc rc = find_conflicts(cx, &s, err);
	size_t n = 0;

	if (rc)
		return rc;
	lm_auto_free struct engine_object *containers =
		lm_xcalloc(s.found.n + 1, sizeof(*containers));
	for (size_t i = 0; i < s.found.n; i++) {
		const struct conflict *c = &s.found.items[i];

		if (c->holder == CONFLICT_OURS && c->container && is_first_conflict(&s.found, i))
			containers[n++] =
				(struct engine_object){c->container->id, c->container->name};
	}
	rc = remove_containers(cx, containers, n, err);
	for (size_t i = 0; i < s.found.n && !rc; i++) {
		const struct conflict *c = &s.found.items[i];

		if (c->holder != CONFLICT_OURS || !c->network || !is_first_conflict(&s.found, i))
			continue;
		if (c->kind == CONFLICT_NETWORK_CHANGED)
			rc = stop_users(cx, &s.all, c->network, err);
		if (!rc)
			rc = remove_network(cx, &s.all, c->network, err);
	}
	return rc;
}

static lm_rc class_of(const struct conflicts *list)
{
	lm_rc rc = LM_E_REFUSED;

	for (size_t i = 0; i < list->n; i++) {
		if (list->items[i].holder == CONFLICT_OURS)
			return LM_E_CONFLICT;
		if (list->items[i].holder == CONFLICT_FILE)
			rc = LM_E_INVALID;
	}
	return rc;
}

lm_rc up_conflicts_explain(const struct context *cx, lm_rc rc, struct lm_err *err)
{
	lm_auto(scene_finish) struct scene s = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(TEXT_MAX);

	if ((rc != LM_E_REFUSED && rc != LM_E_CONFLICT) || find_conflicts(cx, &s, NULL) ||
		s.found.n == 0)
		return rc;
	conflicts_describe(&s.found, &s.all, &text);
	// What docker-compose names is what was found; else it may have failed for another reason.
	if (rc == LM_E_CONFLICT)
		return lm_fail(err, class_of(&s.found), 0, "docker-compose up failed: %s",
			lm_buf_cstr(&text));
	struct lm_err own = *err;
	return lm_fail(err, class_of(&s.found), 0, "%.600s; %s", own.msg, lm_buf_cstr(&text));
}

/// A container of ours that is in the host's network, or is just being restarted, may be the
/// program that holds a port.
static bool may_be_program(const struct engine_container *c)
{
	if (!up_conflicts_is_ours(c->project))
		return false;
	for (size_t i = 0; i < c->networks_n; i++)
		if (strcmp(c->network_names[i], "host") == 0)
			return true;
	return strcmp(c->state, "restarting") == 0;
}

static bool is_programs(const struct scene *s, const struct conflict *c)
{
	const struct listener *l = c->listener;
	bool udp = strcmp(c->protocol, "udp") == 0;

	// A client's socket, which is soon gone; or one of IPv6 alone.
	if ((udp && c->port >= EPHEMERAL_PORT_MIN) || (l->ipv6 && strchr(c->wanted, '.')))
		return false;
	for (size_t i = 0; i < s->all.containers.n; i++)
		if (may_be_program(&s->all.containers.items[i]))
			return false;
	return true;
}

/// `down` removes what carries our label; then an external network of that name is missing.
static void list_external_of_ours(
	const struct scene *s, void (*found)(void *ctx, const char *text), void *ctx)
{
	for (size_t i = 0; i < s->wanted.networks_n; i++) {
		const struct compose_network *wanted = &s->wanted.networks[i];

		for (size_t k = 0; wanted->external && k < s->all.networks.n; k++) {
			const struct engine_network *n = &s->all.networks.items[k];

			if (strcmp(n->name, wanted->name) != 0 || !up_conflicts_is_ours(n->project))
				continue;
			lm_auto_free char *text =
				lm_xasprintf("network '%s' is external, and network '%s' was "
					     "created by an earlier deployment, which removes it "
					     "when it stops: run 'lighterman stop' and 'docker "
					     "network create %s' first, or leave out 'external'",
					wanted->key, n->name, n->name);
			found(ctx, text);
		}
	}
}

lm_rc up_conflicts_list_foreign(const struct context *cx, bool sees_programs,
	void (*found)(void *ctx, const char *text), void *ctx, struct lm_err *err)
{
	lm_auto(scene_finish) struct scene s = {0};
	lm_rc rc = find_conflicts(cx, &s, err);

	// Then the engine listens on other addresses than we think.
	if (memmem(cx->config.data, cx->config.len, HOST_BINDING, strlen(HOST_BINDING)))
		sees_programs = false;
	for (size_t i = 0; i < s.found.n && !rc; i++) {
		const struct conflict *c = &s.found.items[i];
		lm_auto_buf struct lm_buf text = LM_BUF(TEXT_MAX);

		if (c->holder == CONFLICT_STRANGER ||
			(c->holder == CONFLICT_PROGRAM && sees_programs && is_programs(&s, c))) {
			conflict_describe(c, &s.all, &text);
			found(ctx, lm_buf_cstr(&text));
		}
	}
	if (!rc)
		list_external_of_ours(&s, found, ctx);
	return rc;
}

lm_rc up_conflicts_replace_networks(const struct context *cx, struct lm_err *err)
{
	lm_auto(scene_finish) struct scene s = {0};
	lm_auto_buf struct lm_buf text = LM_BUF(TEXT_MAX);

	if (cx->compose.generation < 2)
		return LM_OK;
	lm_rc rc = find_conflicts(cx, &s, err);
	for (size_t i = 0; i < s.found.n && !rc; i++) {
		const struct conflict *c = &s.found.items[i];

		if (c->kind != CONFLICT_NETWORK || !up_conflicts_is_ours(c->network->project))
			continue;
		if (c->holder != CONFLICT_OURS) {
			conflict_describe(c, &s.all, &text);
			return lm_fail(err, LM_E_REFUSED, 0, "%s", lm_buf_cstr(&text));
		}
		lm_warn("docker-compose %s rejects network %s: it was created by another "
			"generation of docker-compose, or for another compose file",
			cx->compose.version, c->network->name);
		rc = remove_network(cx, &s.all, c->network, err);
	}
	return rc;
}

/// Whether a container refers to the network, be it stopped.
static bool is_used(const struct engine_inventory *all, const struct engine_network *n)
{
	for (size_t i = 0; i < all->containers.n; i++)
		if (engine_container_is_attached(&all->containers.items[i], n->id))
			return true;
	return false;
}

static bool is_wanted(const struct compose_resources *wanted, const struct engine_network *n)
{
	for (size_t i = 0; i < wanted->networks_n; i++)
		if (strcmp(wanted->networks[i].name, n->name) == 0)
			return true;
	return false;
}

static lm_rc remove_old_networks(const struct context *cx, const struct compose_resources *wanted,
	const struct engine_inventory *all, struct lm_err *err)
{
	lm_rc rc = LM_OK;

	for (size_t i = 0; i < all->networks.n && !rc; i++) {
		const struct engine_network *n = &all->networks.items[i];

		if (up_conflicts_is_ours(n->project) && !is_wanted(wanted, n) && !is_used(all, n))
			rc = remove_network(cx, all, n, err);
	}
	return rc;
}

void up_conflicts_remove_unused_networks(const struct context *cx, bool is_down)
{
	struct wait_limit limit = wait_limit_within(&cx->limit, LOOK_MS);
	lm_auto(compose_resources_finish) struct compose_resources wanted = {0};
	lm_auto(engine_inventory_finish) struct engine_inventory all = {0};
	struct lm_err err = {LM_OK};
	lm_rc rc = is_down ? LM_OK
			   : compose_resources_parse(lm_buf_str(&cx->config), COMPOSE_PROJECT,
				     cx->compose.generation, &cx->services, &wanted, &err);

	if (!rc)
		rc = engine_take_inventory(&cx->engine, &limit, &all, &err);
	if (!rc)
		rc = remove_old_networks(cx, &wanted, &all, &err);
	if (rc && rc != LM_E_CANCELLED)
		lm_warn("cannot remove unused networks: %s, ignoring", err.msg);
}
