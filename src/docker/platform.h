// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Platforms of images ("linux/arm64", "linux/arm/v7"), compared as the engine compares them. Pure.

#include <stdbool.h>

/// Whether an image made for `actual` serves who asked for `wanted`, on an engine that runs
/// containers of `own`. `wanted` may lack parts ("arm64", "linux") and use other names ("aarch64").
/// An `actual` that is not known ("") serves.
bool platform_fits(const char *actual, const char *wanted, const char *own);
