// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The program lighterman-worker: one task, from the line on stdin to the result on stdout
/// (docs/formats.md, "Between lightermand and lighterman-worker").

/// Uses descriptors 0 to 3 as lightermand set them up; the process is hardened. Returns the exit
/// status: 0 done, 1 failed, 3 cancelled.
int worker_run(void);
