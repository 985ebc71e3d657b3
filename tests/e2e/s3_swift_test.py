# SPDX-License-Identifier: Apache-2.0
"""Our S3 client against OpenStack Swift's S3 API, which checks signature, clock and region for itself.

The client is driven by the program of tests/unit/aws/s3_driver.c.
"""
import glob
import gzip
import json
import os
import pathlib
import subprocess

import pytest

from servers.s3 import S3

KEYS = ["plain.yml", "a b.yml", "a+b.yml", "ü/日本.yml", "100%20.yml", "k=v&x?y#z~.yml", "dir//x", "x/../y", "é%2Fb",
        "q'(!*).yml", '"<>\\^`{|}', ".", "🚢;,:@$"]
STYLES = ["path", "virtual-host"]


PLAIN, KEPT = "driver-plain", "driver-kept"


@pytest.fixture
def store(s3):
    """The server, with a bucket that keeps no versions and one that does."""
    names = [bucket["Name"] for bucket in s3.client().list_buckets()["Buckets"]]
    if PLAIN not in names:
        s3.make_bucket(PLAIN)
        s3.make_bucket(KEPT, versions=True)
    return s3


@pytest.fixture
def fetch(store, request):
    """fetch(key, …): what the client answers, as the driver prints it."""
    driver = pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/aws/s3_driver"
    # libfaketime and the address sanitizer both step in before main() and wait for each other: the plain build it is.
    plain = pathlib.Path(__file__).resolve().parents[2] / "build/tests/unit/aws/s3_driver"

    def run(key, bucket=PLAIN, version=None, region=S3.REGION, style=None, clock=None, **environment):
        variables = {"PATH": os.environ["PATH"], **store.environment(), **environment}
        if style and style.startswith("as-is-"):  # at the test's own endpoint
            style = style[len("as-is-"):]
        elif style == "virtual-host":
            variables["AWS_ENDPOINT_URL_S3"] = f"http://s3.localhost:{store.port}"
        wanted = {"bucket": bucket, "key": key, "version": version, "region": region, "style": style}
        wanted = {name: value for name, value in wanted.items() if value is not None}
        if clock:  # not by the faketime command, which trips over semaphores that an earlier one left
            library, = glob.glob("/usr/lib/*/faketime/libfaketime.so.1")
            variables.update(LD_PRELOAD=library, FAKETIME=clock, FAKETIME_DONT_RESET="1")
        words = [plain if clock else driver, json.dumps(wanted)]
        done = subprocess.run(words, env=variables, capture_output=True, text=True, timeout=60, check=True)
        return json.loads(done.stdout)

    return run


def assert_refused(answer, kind, *parts):
    assert answer["rc"] == kind, answer
    for part in parts:
        assert part in answer["message"], answer


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("key", KEYS)
def test_fetches_any_key_that_a_person_can_name(store, fetch, key, style):
    store.put(PLAIN, key, f"content of {key}".encode())
    answer = fetch(key, style=style)
    assert (answer["rc"], answer.get("text")) == ("ok", f"content of {key}"), answer


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("endpoint", ["http://LOCALHOST:{}", "HTTP://S3.LocalHost:0{}/", "http://localhost:000{}"])
def test_an_endpoint_is_signed_as_it_is_sent_however_it_is_written(store, fetch, endpoint, style):
    if style == "virtual-host":
        endpoint = endpoint.replace("//LOCALHOST", "//S3.LOCALHOST").replace("//localhost", "//s3.localhost")
    store.put(PLAIN, "written", b"so")
    answer = fetch("written", style="as-is-" + style, AWS_ENDPOINT_URL_S3=endpoint.format(store.port))
    assert answer.get("text") == "so", answer


def test_fetches_the_latest_and_an_old_version(store, fetch):
    old, new = store.put(KEPT, "compose", b"old"), store.put(KEPT, "compose", b"new")
    latest, asked = fetch("compose", KEPT), fetch("compose", KEPT, version=old)
    assert (latest["text"], latest["version"]) == ("new", new)
    assert (asked["text"], asked["version"]) == ("old", old)


def test_names_no_version_for_a_bucket_without(store, fetch):
    store.put(PLAIN, "unversioned", b"x")
    assert "version" not in fetch("unversioned")


def test_names_an_unknown_version(store, fetch):
    store.put(KEPT, "compose2", b"x")
    answer = fetch("compose2", KEPT, version="1700000000.00000")
    assert_refused(answer, "not found", "bucket 'driver-kept' has no object 'compose2' of version '1700000000.00000'")


def test_decompresses_an_object_stored_as_gzip(store, fetch):
    store.client().put_object(Bucket=PLAIN, Key="packed", Body=gzip.compress(b"services: {}"), ContentEncoding="gzip")
    assert fetch("packed")["text"] == "services: {}"


def test_decompresses_an_object_whose_encoding_is_a_list(store, fetch):
    # Swift takes no "aws-chunked"; Amazon S3 takes it and leaves it out of what it stores, others keep it.
    for encoding in ("x-gzip, identity", "identity,gzip"):
        store.client().put_object(Bucket=PLAIN, Key="listed", Body=gzip.compress(b"services: {}"), ContentEncoding=encoding)
        assert fetch("listed")["text"] == "services: {}"


def test_refuses_an_object_over_4_mib(store, fetch):
    store.put(PLAIN, "fits", b"x" * (4 << 20))
    store.put(PLAIN, "large", b"x" * ((4 << 20) + 1))
    assert fetch("fits")["size"] == 4 << 20
    assert_refused(fetch("large"), "too large", "object 'large' of bucket 'driver-plain' is larger than 4194304 bytes")


def test_says_that_object_or_bucket_is_missing(store, fetch):
    assert_refused(fetch("none"), "not found", "bucket 'driver-plain' has no object 'none'")
    assert_refused(fetch("none", "nowhere"), "not found", "there is no bucket 'nowhere'")


def test_says_which_action_the_role_needs(store, fetch):
    store.put(PLAIN, "guarded", b"x")
    poor = {"AWS_ACCESS_KEY_ID": store.POOR_ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": store.POOR_SECRET_KEY}
    assert_refused(fetch("guarded", **poor), "denied", "s3:GetObject on arn:aws:s3:::driver-plain/guarded")


def test_says_that_the_secret_key_is_wrong_without_showing_it(store, fetch):
    answer = fetch("plain.yml", AWS_SECRET_ACCESS_KEY="hunter2")
    assert_refused(answer, "denied", "SignatureDoesNotMatch", store.ACCESS_KEY)
    assert "hunter2" not in answer["message"]


@pytest.mark.parametrize("style", STYLES)
def test_signs_again_for_the_right_region(store, fetch, style):
    store.put(PLAIN, "elsewhere", b"here")
    answer = fetch("elsewhere", region="us-west-2", style=style)
    assert (answer.get("text"), answer["region"]) == ("here", store.REGION), answer


@pytest.mark.parametrize("clock", ["-2h", "+2d"])
def test_signs_again_with_the_servers_time(store, fetch, clock):
    store.put(PLAIN, "late", b"on time")
    answer = fetch("late", clock=clock)
    assert answer.get("text") == "on time", answer
    assert abs(answer["clock_offset_ms"]) > 3600 * 1000


def test_sends_a_session_token(store, fetch):
    store.put(PLAIN, "temporary", b"x")
    assert fetch("temporary", AWS_SESSION_TOKEN="token/+==")["rc"] == "ok"
