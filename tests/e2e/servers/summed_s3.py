# SPDX-License-Identifier: Apache-2.0
"""S3 that names the checksums of its objects, which OpenStack Swift does not: to a request that is signed well and asks
for them it answers as S3 does. It can be told to send an object damaged or truncated.
"""
import base64
import hashlib
import urllib.parse
import zlib

import botocore.auth

from servers.aws_services import AwsService, Refusal


class SummedS3(AwsService):
    SIGNING_NAME, VARIABLE = "s3", "AWS_ENDPOINT_URL_S3"
    METHOD, SIGNER, ANSWER_TYPE = "GET", botocore.auth.S3SigV4Auth, "binary/octet-stream"

    def reset(self):
        super().reset()
        self.objects = {}       # by "bucket/key"
        self.algorithm = "sha256"

    def answer(self, path, headers, body):
        try:
            self.check_signature(path, headers, body)
        except Refusal as refusal:
            return 403, f"<Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>".encode()
        assert headers["x-amz-checksum-mode"] == "ENABLED", headers
        name = urllib.parse.unquote(urllib.parse.urlsplit(path).path).lstrip("/")
        return (200, self.objects[name]) if name in self.objects else (404, b"<Error><Code>NoSuchKey</Code></Error>")

    def more_headers(self, data):
        if self.algorithm == "etag":
            return {"ETag": f'"{hashlib.md5(data).hexdigest()}"'}
        sums = {"sha256": lambda: hashlib.sha256(data).digest(), "sha1": lambda: hashlib.sha1(data).digest(),
                "crc32": lambda: zlib.crc32(data).to_bytes(4, "big")}
        return {f"x-amz-checksum-{self.algorithm}": base64.b64encode(sums[self.algorithm]()).decode(),
                "x-amz-checksum-type": "FULL_OBJECT", "ETag": '"0123456789abcdef0123456789abcdef-2"'}
