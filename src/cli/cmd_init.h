// SPDX-License-Identifier: Apache-2.0
#pragma once

/// `lighterman init`: a host file for this device.

#include "cli/options.h"

int cmd_init(const struct call *call);
