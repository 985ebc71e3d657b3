// SPDX-License-Identifier: Apache-2.0
#pragma once

/// Writes a self-signed certificate and its key, in PEM; with a `passphrase` the key is encrypted.
void make_certificate(const char *certificate_path, const char *key_path, const char *passphrase);
