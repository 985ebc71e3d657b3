// SPDX-License-Identifier: Apache-2.0
#pragma once

/// A small group for the tests of this folder: devices A and B, a function and our connector.

#include "devices/routes.h"

#define THING_A "arn:aws:iot:r:1:thing/A"
#define THING_B "arn:aws:iot:r:1:thing/B"
#define FUNCTION "arn:aws:lambda:r:1:function:F:1"
#define CONNECTOR "arn:aws:greengrass:r::/connectors/DockerApplicationDeployment/versions/7"
#define CERTIFICATE_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define CERTIFICATE_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define CERTIFICATE_F "ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff"

/// With the subscriptions given as JSON, as in router.json; without B if `alone`.
struct routes *tables_routes(const char *subscriptions, bool alone);
