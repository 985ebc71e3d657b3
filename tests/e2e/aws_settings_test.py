# SPDX-License-Identifier: Apache-2.0
"""What the settings of the AWS SDKs, in the environment and in their files, make of our endpoints: against botocore.

The resolver is driven by the program of tests/unit/aws/endpoint_driver.c.
"""
import json
import os
import pathlib
import subprocess
from urllib.parse import urlsplit

import botocore.auth
import pytest

BARE = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_EC2_METADATA_DISABLED": "true"}


@pytest.fixture
def resolve(request):
    """resolve([(service, region, environment), …]): our endpoint for each, as the driver prints it."""
    driver = pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/aws/endpoint_driver"

    def run(wanted):
        asked = [dict(zip(("service", "region", "environment"), one)) for one in wanted]
        done = subprocess.run([driver], input=json.dumps(asked), env=BARE, capture_output=True, text=True, timeout=60,
                              check=True)
        return json.loads(done.stdout)

    return run


HOSTS = ["host", "S3.EU-WEST-1.Amazonaws.com", "127.0.0.1", "[::1]", "[FD00:EC2::254]", "a_b.Example"]
PORTS = ["", ":", ":80", ":443", ":080", ":0443", ":8080", ":08080", ":65535", ":1"]


def test_a_host_is_sent_and_signed_as_botocore_signs_it(resolve):
    urls = [f"{scheme}://{host}{port}/base" for scheme in ("http", "https", "HTTP", "HTTPS") for host in HOSTS
            for port in PORTS]
    answers = resolve([("s3", "eu-west-1", {"AWS_ENDPOINT_URL_S3": url}) for url in urls])
    for url, answer in zip(urls, answers):
        assert answer["host"] == botocore.auth._host_from_url(url), (url, answer)
        assert urlsplit(answer["origin"]).scheme == urlsplit(url).scheme
        assert answer["path"] == "/base"
