# SPDX-License-Identifier: Apache-2.0
"""AWS Security Token Service as a client sees it: AssumeRole and AssumeRoleWithWebIdentity in the AWS Query protocol,
with XML answers; checks what aws_services.py checks of the others, and the trust policies of its roles.
"""
import datetime
import re
from urllib.parse import parse_qs
from xml.sax.saxutils import escape

from servers.aws_services import AwsService, Refusal

CONTENT_TYPE = "application/x-www-form-urlencoded; charset=utf-8"
VERSION = "2011-06-15"


class Sts(AwsService):
    SIGNING_NAME = "sts"
    VARIABLE = "AWS_ENDPOINT_URL_STS"
    ANSWER_TYPE = "text/xml"

    def reset(self):
        super().reset()
        self.roles = {}       # ARN: the access keys and tokens that its trust policy names, and more of the policy
        self.issued = 0
        self.lifetime_s = 3600
        self.calls = []       # the parameters of those that were let in
        self.client_keys = []  # what they were signed with; None: not signed

    def role(self, name, *trusted, external_id=None):
        """Makes a role; its ARN."""
        arn = f"arn:aws:iam::{self.ACCOUNT}:role/{name}"
        self.roles[arn] = (set(trusted), external_id)
        return arn

    def answer(self, path, headers, body):
        try:
            return 200, self.dispatch(path, headers, body)
        except Refusal as refusal:
            return refusal.status, (
                '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n  <Error>\n    <Type>Sender</Type>\n'
                f"    <Code>{refusal.code}</Code>\n    <Message>{escape(refusal.message)}</Message>\n  </Error>\n"
                "  <RequestId>c6104cbe-af31-11e0-8154-cbc7ccf896c7</RequestId>\n</ErrorResponse>\n").encode()

    def dispatch(self, path, headers, body):
        wanted = {name: values[0] for name, values in parse_qs(body.decode(), strict_parsing=True).items()}
        action = wanted.get("Action")
        if headers.get("Content-Type") != CONTENT_TYPE or path != "/" or wanted.get("Version") != VERSION:
            raise Refusal("InvalidAction", f"Could not find operation {action} for version {wanted.get('Version')}")
        if not re.fullmatch(r"[\w+=,.@-]{2,64}", wanted.get("RoleSessionName", "")):
            raise Refusal("ValidationError", "1 validation error detected: Value at 'roleSessionName' failed to satisfy "
                          "constraint: Member must satisfy regular expression pattern: [\\w+=,.@-]*")
        if not 900 <= int(wanted.get("DurationSeconds", 3600)) <= 43200:
            raise Refusal("ValidationError", "1 validation error detected: Value at 'durationSeconds'")
        with self.lock:
            if action == "AssumeRole":
                return self.assume(wanted, headers, path, body)
            if action == "AssumeRoleWithWebIdentity":
                return self.assume_with_web_identity(wanted, headers)
        raise Refusal("InvalidAction", f"Could not find operation {action} for version {VERSION}")

    def assume(self, wanted, headers, path, body):
        self.check_signature(path, headers, body)
        key = headers["Authorization"].partition("Credential=")[2].partition("/")[0]
        trusted, external_id = self.roles.get(wanted["RoleArn"], ((), None))
        if key not in trusted or external_id != wanted.get("ExternalId"):
            raise Refusal("AccessDenied", f"User: arn:aws:iam::{self.ACCOUNT}:user/{key} is not authorized to perform: "
                          f"sts:AssumeRole on resource: {wanted['RoleArn']}", 403)
        return self.give("AssumeRole", wanted, key)

    def assume_with_web_identity(self, wanted, headers):
        if "Authorization" in headers:
            raise Refusal("InvalidAction", "this call is not signed")
        token = wanted.get("WebIdentityToken", "")
        if token.startswith("expired"):
            raise Refusal("ExpiredTokenException", "Token expired: current date/time must be before the expiration date")
        if token not in self.roles.get(wanted["RoleArn"], ((), None))[0]:
            raise Refusal("AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity", 403)
        return self.give("AssumeRoleWithWebIdentity", wanted, None)

    def check_signature(self, path, headers, body):
        try:
            super().check_signature(path, headers, body)
        except Refusal as refusal:
            code = {"InvalidSignatureException": "SignatureDoesNotMatch", "ExpiredTokenException": "ExpiredToken",
                    "UnrecognizedClientException": "InvalidClientTokenId"}.get(refusal.code, refusal.code)
            raise Refusal(code, refusal.message, 403) from None

    def give(self, action, wanted, key):
        self.issued += 1
        number = self.issued
        self.calls.append(wanted)
        self.client_keys.append(key)
        self.keys[f"ASIASTS{number}"] = (f"sts-secret-{number}/+", f"sts-token-{number}/+==")
        end = (self.now() + datetime.timedelta(seconds=self.lifetime_s)).strftime("%Y-%m-%dT%H:%M:%SZ")
        return (f'<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">\n  <{action}Result>\n'
                f"    <AssumedRoleUser>\n      <AssumedRoleId>AROA:{wanted['RoleSessionName']}</AssumedRoleId>\n"
                f"      <Arn>{wanted['RoleArn']}</Arn>\n    </AssumedRoleUser>\n    <Credentials>\n"
                f"      <AccessKeyId>ASIASTS{number}</AccessKeyId>\n"
                f"      <SecretAccessKey>sts-secret-{number}/+</SecretAccessKey>\n"
                f"      <SessionToken>sts-token-{number}/+==</SessionToken>\n      <Expiration>{end}</Expiration>\n"
                f"    </Credentials>\n  </{action}Result>\n  <ResponseMetadata>\n    <RequestId>1</RequestId>\n"
                f"  </ResponseMetadata>\n</{action}Response>\n").encode()
