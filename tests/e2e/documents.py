# SPDX-License-Identifier: Apache-2.0
"""The two status messages, as the connector's documentation has them."""


def success(version=None, bucket="ships", key="docker-compose.yml"):
    return {"status": "success",
            "GreengrassDockerApplicationDeploymentStatus": "Successfully triggered docker-compose up",
            "S3Bucket": bucket, "ComposeFileName": key, "ComposeFileVersion": version}


def assert_failure(message, error, *words):
    """It is a failure document of that class, and its sentence has all of these words."""
    assert set(message) == {"status", "error_message", "error"}, message
    assert (message["status"], message["error"]) == ("fail", error), message
    for word in words:
        assert word in message["error_message"], message
