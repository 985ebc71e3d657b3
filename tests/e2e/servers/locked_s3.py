# SPDX-License-Identifier: Apache-2.0
"""S3 whose objects are encrypted with a KMS key that nobody may use, which OpenStack Swift does not have: to a request
that is signed well it answers as S3 does when KMS denies it the key.
"""
from xml.sax.saxutils import escape

import botocore.auth

from servers.aws_services import AwsService, Refusal


class LockedS3(AwsService):
    SIGNING_NAME, VARIABLE = "s3", "AWS_ENDPOINT_URL_S3"
    METHOD, SIGNER, ANSWER_TYPE = "GET", botocore.auth.S3SigV4Auth, "application/xml"

    def answer(self, path, headers, body):
        try:
            self.check_signature(path, headers, body)
            raise Refusal("AccessDenied", f"User: arn:aws:sts::{self.ACCOUNT}:assumed-role/edge/device is not authorized to "
                          f"perform: kms:Decrypt on resource: arn:aws:kms:{self.region}:{self.ACCOUNT}:key/harbour because "
                          "no identity-based policy allows the kms:Decrypt action")
        except Refusal as refusal:
            return 403, ('<?xml version="1.0" encoding="UTF-8"?>\n'
                         f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message>"
                         "<RequestId>4442587FB7D0A2F9</RequestId><HostId>x</HostId></Error>").encode()
