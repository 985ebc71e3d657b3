// SPDX-License-Identifier: Apache-2.0
#include "cli/socket_path.h"

#include "base/cleanup.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/path.h"
#include "cli/client.h"
#include "config/host_file.h"

char *socket_path_by_host_file(const char *host_file)
{
	lm_auto_host struct host_settings host = {0};
	lm_auto_json json_t *document = NULL;
	struct lm_err ignored; // whether lightermand is there is told by asking it

	if (json_read_file(host_file, LIMIT_HOST_FILE, &document, &ignored) ||
		host_from_json(document, &host, &ignored))
		return lm_xstrdup(CLIENT_SOCKET_DEFAULT);
	return lm_path_join(host.runtime_directory, "control.sock");
}

char *socket_path_of(const struct call *call)
{
	if (call->socket_path)
		return lm_xstrdup(call->socket_path);
	return socket_path_by_host_file(HOST_FILE_DEFAULT);
}
