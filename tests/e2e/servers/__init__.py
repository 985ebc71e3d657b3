# SPDX-License-Identifier: Apache-2.0
"""The real servers that the tests run against, each started, stopped and restarted by its class here."""
