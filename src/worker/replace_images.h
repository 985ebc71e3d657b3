// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The task `replace-images`: damaged images of a generation that is kept, but does not run, are
/// removed and pulled again, by their digest, one after the other; so are those that are missing as
/// an earlier repair has removed them. No container is touched: an image that one uses stays. What
/// became of each is reported as by the task `verify` (docs/formats.md).

#include "worker/context.h"

/// Runs the task; there is always an outcome. It has succeeded if every image was reported,
/// whatever became of it.
void replace_images_run(struct context *cx, struct deploy_outcome *ret);
