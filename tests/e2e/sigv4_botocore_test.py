# SPDX-License-Identifier: Apache-2.0
"""Our signer against botocore's, over generated requests.

The signer is driven by the program of tests/unit/aws/sigv4_driver.c.
"""
import datetime
import json
import pathlib
import random
import subprocess
from unittest import mock
from urllib.parse import quote

import botocore.auth
import botocore.awsrequest
import botocore.credentials

REQUESTS = 4000
SEED = 20130524

# What a person can put into a key, a query or a header, and what breaks signers.
PIECES = ["a", "Z", "0", "-", "_", ".", "~", " ", "+", "%", "%20", "%2F", "=", "&", "?", "#", ";", ":",
          "@", "!", "$", "'", "(", ")", "*", ",", "[", "]", "ü", "日本", "\U0001f6a2", "é", "\"", "<", ">",
          "\\", "^", "`", "{", "|", "}", "compose", "docker-compose.yml"]
PATH_PIECES = PIECES + ["/", "/", "//", "/./", "/../", "/.", "/..", "..", "/a/"]
HEADER_PIECES = ["a", "B", "1", " ", "  ", "\t", ",", ";", "=", "/", "bytes=0-9", "\"x y\"", "%20", "+"]
HEADER_NAMES = ["Range", "x-amz-meta-a", "X-Amz-Meta-B", "X-Amz-Target", "Content-Type", "If-None-Match",
                "x-amz-checksum-mode", "User-Agent", "Expect", "X-Amz-Meta-Ab", "X-Amz-Meta-A-b"]


def text(rng, pieces, most):
    return "".join(rng.choice(pieces) for _ in range(rng.randint(0, most)))


def generate(rng):
    service = rng.choice(["s3", "s3", "s3", "secretsmanager", "ecr", "logs", "service"])
    headers = {}
    for name in rng.sample(HEADER_NAMES, rng.randint(0, 5)):
        headers.setdefault(name, "v" + text(rng, HEADER_PIECES, 8))
    return {
        "method": rng.choice(["GET", "HEAD", "POST", "PUT", "DELETE"]),
        "host": rng.choice(["s3.eu-west-1.amazonaws.com", "bucket.s3.us-east-1.amazonaws.com",
                            "127.0.0.1:8085", "s3.cn-north-1.amazonaws.com.cn", "example.org:8443"]),
        "path": "/" + text(rng, PATH_PIECES, 12),
        "query": [[text(rng, PIECES, 4) or "k", text(rng, PIECES, 6)] for _ in range(rng.randint(0, 5))],
        "headers": sorted(headers.items()),
        "body": "" if rng.random() < 0.5 else text(rng, PIECES, 20),
        "region": rng.choice(["us-east-1", "eu-west-1", "cn-north-1", "us-gov-west-1"]),
        "service": service,
        "access_key": rng.choice(["AKIDEXAMPLE", "test:tester"]),
        "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"[: rng.randint(1, 41)],
        "token": "" if rng.random() < 0.5 else "IQoJb3JpZ2luX2VjE" + text(rng, ["a", "/", "+", "="], 400),
        "wall_ms": rng.randint(0, 4102444800) * 1000 + rng.randint(0, 999),
    }


def botocore_headers(request):
    """What botocore's signer adds; the URL is encoded strictly, as https.c does."""
    query = "&".join(f"{quote(k, safe='-_.~')}={quote(v, safe='-_.~')}" for k, v in request["query"])
    url = f"https://{request['host']}{quote(request['path'], safe='/-_.~')}" + (f"?{query}" if query else "")
    aws_request = botocore.awsrequest.AWSRequest(
        method=request["method"], url=url, data=request["body"].encode(), headers=dict(request["headers"]))
    credentials = botocore.credentials.Credentials(
        request["access_key"], request["secret_key"], request["token"] or None)
    kind = botocore.auth.S3SigV4Auth if request["service"] == "s3" else botocore.auth.SigV4Auth
    now = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=request["wall_ms"])
    with mock.patch("botocore.auth.datetime") as clock:
        clock.datetime.utcnow.return_value = now
        kind(credentials, request["service"], request["region"]).add_auth(aws_request)
    names = ["X-Amz-Date", "X-Amz-Content-SHA256", "X-Amz-Security-Token", "Authorization"]
    return {name: aws_request.headers[name] for name in names if name in aws_request.headers}


def test_signs_generated_requests_as_botocore_does(request):
    driver = pathlib.Path(request.config.getoption("--programs")).parent / "tests/unit/aws/sigv4_driver"
    rng = random.Random(SEED)
    requests = [generate(rng) for _ in range(REQUESTS)]
    lines = "".join(json.dumps(r) + "\n" for r in requests)
    run = subprocess.run([driver], input=lines, capture_output=True, text=True, timeout=120, check=True)
    answers = [json.loads(line) for line in run.stdout.splitlines()]
    assert len(answers) == REQUESTS
    for wanted, answer in zip(requests, answers):
        assert answer == botocore_headers(wanted), wanted
