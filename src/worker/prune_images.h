// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task `prune-images`: removes the images that no generation needs any more.

#include "worker/context.h"

/// There is always an outcome. An image that cannot be removed is only warned of.
void prune_images_run(struct context *cx, struct deploy_outcome *ret);
