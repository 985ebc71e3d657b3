// SPDX-License-Identifier: Apache-2.0
#pragma once

/// The error document of AWS's JSON services: {"__type":"…#Code","message":"…"}, where the type may
/// have a namespace in front and an address behind, and Message may be written with a capital.

#include "base/str.h"

/// Texts are UTF-8 and cut at their size; "" if absent.
struct service_error {
	char code[64]; ///< "ResourceNotFoundException", without namespace and address.
	char message[512];
};

/// `header` is the answer's x-amzn-errortype, which counts where the body names no type.
/// Whatever the body is, `ret` is filled with what could be read.
void service_error_parse(struct lm_str body, struct lm_str header, struct service_error *ret);
