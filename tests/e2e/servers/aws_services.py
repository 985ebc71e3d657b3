# SPDX-License-Identifier: Apache-2.0
"""Secrets Manager, ECR and CloudWatch Logs as a client sees them: stand-ins on loopback that check what the real ones
check (signature by botocore's own signer, session token, clock, region, target, content type, input) and answer in
their shapes, errors included. Each can be told to misbehave.
"""
import base64
import contextlib
import datetime
import http.server
import json
import re
import threading
import time
import uuid

import botocore.auth
import botocore.awsrequest
import botocore.credentials

from servers.server import free_port

CONTENT_TYPE = "application/x-amz-json-1.1"
AUTHORIZATION = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/]+)/(\d{8})/([^/]+)/([^/]+)/aws4_request, "
                           r"SignedHeaders=([a-z0-9;-]+), Signature=([0-9a-f]{64})")
SKEW = datetime.timedelta(minutes=5)
GATHER_S = 60  # how long requests wait for each other at most


class Refusal(Exception):
    """An error of the service: its code and message, and the HTTP status."""

    def __init__(self, code, message, status=400):
        super().__init__(code)
        self.code, self.message, self.status = code, message, status


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def date_time_string(self, timestamp=None):
        return super().date_time_string(self.server.service.now().timestamp())

    def log_message(self, format, *args):  # pylint: disable=redefined-builtin
        pass

    def do_GET(self):
        self.do_POST()

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        with self.server.service.one_request(self.headers):
            how = self.server.service.next_misbehaviour()
            status, answer = self.server.service.answer(self.path, self.headers, body)
            self.reply(how, status, answer)

    def reply(self, how, status, answer):
        data = answer if isinstance(answer, bytes) else b"" if answer is None else json.dumps(answer).encode()
        if how == "close":
            self.close_connection = True
            return
        if how == "hang":  # until the client goes away
            self.connection.recv(1)
            self.close_connection = True
            return
        if isinstance(how, int):
            status, data = how, json.dumps({"__type": "InternalServiceError", "message": "told to"}).encode()
        if how == "throttle":
            status, data = 400, b'{"__type":"ThrottlingException","message":"Rate exceeded"}'
        if how == "rubbish":
            data = b"<html>hunter2 \xff</html>"
        self.send_response(status)
        self.send_header("Content-Type", self.server.service.ANSWER_TYPE)
        self.send_header("x-amzn-RequestId", str(uuid.uuid4()))
        self.send_header("Content-Length", str(len(data)))
        for name, value in self.server.service.more_headers(data).items():
            self.send_header(name, value)
        self.end_headers()
        if how == "damaged":
            data = bytes([data[0] ^ 1]) + data[1:]
        if how == "half":
            data = data[: len(data) // 2]
            self.close_connection = True
        self.wfile.write(data)


class HttpServer(http.server.ThreadingHTTPServer):
    request_queue_size = 256

    def handle_error(self, request, client_address):
        pass  # clients that go away


class AwsService:
    """One service in one region. A subclass says what it answers: `do_<Operation>(input)`."""

    SIGNING_NAME = TARGET_PREFIX = VARIABLE = None
    ACCOUNT = "123456789012"
    METHOD, SIGNER, ANSWER_TYPE = "POST", botocore.auth.SigV4Auth, CONTENT_TYPE

    def __init__(self, region="eu-west-1"):
        self.region = region
        self.port = free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.lock = threading.Condition()
        self.server = None
        self.reset()

    def reset(self):
        """As it was in the beginning."""
        self.keys = {"AKIDLASTING": ("lasting/secret+", None), "ASIATEMPORARY": ("temporary/secret+", "session/+==")}
        self.expired = set()          # access keys whose token is over
        self.denied = set()           # actions that nobody may do
        self.misbehaviours = []       # of the next requests, in turn
        self.always = None            # of every request behind them
        self.delay_s = 0              # before every answer
        self.gathering = 0            # requests that must be open at once before the first is answered
        self.clock = datetime.timedelta()
        self.open = self.most_open = self.count = 0
        self.operations = []          # of the requests that were let in

    def more_headers(self, data):  # pylint: disable=unused-argument
        """Of the answer with that body."""
        return {}

    def start(self):
        self.server = HttpServer(("127.0.0.1", self.port), Handler)
        self.server.daemon_threads = True
        self.server.service = self
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self):
        server, self.server = self.server, None
        if server:
            server.shutdown()
            server.server_close()

    @contextlib.contextmanager
    def at_port(self, port):
        """Meanwhile it listens there."""
        usual, self.port = self.port, port
        self.stop()
        self.start()
        try:
            yield
        finally:
            self.port = usual
            self.stop()
            self.start()

    @property
    def running(self):
        return self.server is not None

    def now(self):
        return datetime.datetime.now(datetime.timezone.utc) + self.clock

    def environment(self, key="AKIDLASTING"):
        """The variables with which a program of ours uses this service."""
        secret, token = self.keys[key]
        names = {self.VARIABLE: self.endpoint, "AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": secret,
                 "AWS_REGION": self.region, "AWS_EC2_METADATA_DISABLED": "true"}
        return {**names, "AWS_SESSION_TOKEN": token} if token else names

    def misbehave(self, *how):
        """What the next requests meet, in turn: a status, "throttle", "rubbish", "half", "close", "hang", or None."""
        self.misbehaviours = list(how)

    def gather(self, n):
        """No request is answered before `n` are open at once (or time is up: then a test sees it in `most_open`)."""
        self.gathering = n

    def next_misbehaviour(self):
        with self.lock:
            return self.misbehaviours.pop(0) if self.misbehaviours else self.always

    def one_request(self, headers):
        return OpenRequest(self, headers.get("X-Amz-Target", ""))

    def answer(self, path, headers, body):
        """HTTP status and document."""
        try:
            return 200, self.dispatch(path, headers, body)
        except Refusal as refusal:
            return refusal.status, {"__type": f"com.amazonaws.{self.SIGNING_NAME}#{refusal.code}",
                                    "message": refusal.message}

    def dispatch(self, path, headers, body):
        prefix, _, operation = headers.get("X-Amz-Target", "").rpartition(".")
        do = getattr(self, f"do_{operation}", None)
        if prefix != self.TARGET_PREFIX or not do or headers.get("Content-Type") != CONTENT_TYPE or path != "/":
            raise Refusal("UnknownOperationException", "")
        self.check_signature(path, headers, body)
        try:
            wanted = json.loads(body)
        except ValueError:
            raise Refusal("SerializationException", "no JSON") from None
        action = f"{self.SIGNING_NAME}:{operation}"
        if action in self.denied:
            raise Refusal("AccessDeniedException",
                          f"User: arn:aws:sts::{self.ACCOUNT}:assumed-role/edge/device is not authorized to perform: "
                          f"{action} because no identity-based policy allows the {action} action")
        with self.lock:
            self.operations.append(operation)
            return do(wanted)

    def check_signature(self, path, headers, body):
        match = AUTHORIZATION.fullmatch(headers.get("Authorization", ""))
        if not match:
            raise Refusal("MissingAuthenticationTokenException", "Missing Authentication Token")
        key, day, region, service, names, signature = match.groups()
        names = names.split(";")
        stamp = headers.get("X-Amz-Date", "")
        if key not in self.keys:
            raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
        secret, token = self.keys[key]
        if key in self.expired:
            raise Refusal("ExpiredTokenException", "The security token included in the request is expired")
        if headers.get("X-Amz-Security-Token") != token:
            raise Refusal("UnrecognizedClientException", "The security token included in the request is invalid.")
        if (region, service, day) != (self.region, self.SIGNING_NAME, stamp[:8]):
            raise Refusal("InvalidSignatureException", "Credential should be scoped to a valid region.")
        for name in headers.keys():
            lower = name.lower()
            if (lower in ("host", "content-type") or lower.startswith("x-amz-")) and lower not in names:
                raise Refusal("InvalidSignatureException",
                              f"'{name}' must be a 'SignedHeader' in the AWS Authorization.")
        self.check_time(stamp)
        if signature != self.signature(key, secret, path, headers, names, stamp, body):
            raise Refusal("InvalidSignatureException",
                          "The request signature we calculated does not match the signature you provided. Check your "
                          "AWS Secret Access Key and signing method.")

    def check_time(self, stamp):
        signed = datetime.datetime.strptime(stamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=datetime.timezone.utc)
        now = self.now()
        if signed < now - SKEW:
            raise Refusal("InvalidSignatureException", f"Signature expired: {stamp} is now earlier than "
                          f"{now - SKEW:%Y%m%dT%H%M%SZ} ({now:%Y%m%dT%H%M%SZ} - 5 min.)")
        if signed > now + SKEW:
            raise Refusal("InvalidSignatureException", f"Signature not yet current: {stamp} is still later than "
                          f"{now + SKEW:%Y%m%dT%H%M%SZ} ({now:%Y%m%dT%H%M%SZ} + 5 min.)")

    def signature(self, key, secret, path, headers, names, stamp, body):
        signer = self.SIGNER(botocore.credentials.Credentials(key, secret), self.SIGNING_NAME, self.region)
        request = botocore.awsrequest.AWSRequest(
            method=self.METHOD, url=f"http://{headers['Host']}{path}", data=body,
            headers={name: headers.get(name, "") for name in names})
        request.context["timestamp"] = stamp
        return signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)


class OpenRequest:
    """Counts a request while it is open, and makes it wait as the service was told."""

    def __init__(self, service, target):
        self.service, self.target = service, target

    def __enter__(self):
        service = self.service
        with service.lock:
            service.count += 1
            service.open += 1
            service.most_open = max(service.most_open, service.open)
            service.lock.notify_all()
            service.lock.wait_for(lambda: service.most_open >= service.gathering, GATHER_S)
        if service.delay_s:
            time.sleep(service.delay_s)

    def __exit__(self, *exception):
        with self.service.lock:
            self.service.open -= 1


def required(wanted, name, kind):
    value = wanted.get(name)
    if not isinstance(value, kind) or not value:
        raise Refusal("InvalidParameterException", f"1 validation error detected: Value at '{name}' failed to satisfy "
                      "constraint: Member must not be null")
    return value


class SecretsManager(AwsService):
    SIGNING_NAME = TARGET_PREFIX = "secretsmanager"
    VARIABLE = "AWS_ENDPOINT_URL_SECRETS_MANAGER"
    KMS_MESSAGES = {
        "AccessDeniedException": "Access to KMS is not allowed",
        "DecryptionFailure": "Secrets Manager can't decrypt the protected secret text using the provided KMS key."}

    def reset(self):
        super().reset()
        self.values = {}       # ARN to text, bytes, or None where there is no value yet
        self.deleted = set()   # ARNs that are scheduled for deletion
        self.locked = {}       # ARN to the code with which its KMS key fails

    def put(self, name, value):
        """Stores a secret; returns its ARN."""
        if not isinstance(value, (str, bytes, type(None))):
            value = json.dumps(value)
        arn = f"arn:aws:secretsmanager:{self.region}:{self.ACCOUNT}:secret:{name}-AbC123"
        self.values[arn] = value
        return arn

    def do_GetSecretValue(self, wanted):
        arn, stage = required(wanted, "SecretId", str), wanted.get("VersionStage", "AWSCURRENT")
        if arn not in self.values:
            raise Refusal("ResourceNotFoundException", "Secrets Manager can't find the specified secret.")
        if arn in self.deleted:
            raise Refusal("InvalidRequestException",
                          "You can't perform this operation on the secret because it was marked for deletion.")
        value = self.values[arn]
        if value is None or stage != "AWSCURRENT":
            raise Refusal("ResourceNotFoundException",
                          f"Secrets Manager can't find the specified secret value for staging label: {stage}")
        if arn in self.locked:
            raise Refusal(self.locked[arn], self.KMS_MESSAGES[self.locked[arn]])
        held = ({"SecretString": value} if isinstance(value, str) else
                {"SecretBinary": base64.b64encode(value).decode()})
        return {"ARN": arn, "CreatedDate": self.now().timestamp(), "Name": arn.rsplit(":", 1)[1][:-7], **held,
                "VersionId": str(uuid.uuid4()), "VersionStages": [stage]}


class Ecr(AwsService):
    SIGNING_NAME = "ecr"
    TARGET_PREFIX = "AmazonEC2ContainerRegistry_V20150921"
    VARIABLE = "AWS_ENDPOINT_URL_ECR"
    PASSWORD = "eyJwYXlsb2FkIjoi:" + "x" * 2500  # of today's size, and with a colon in it

    def reset(self):
        super().reset()
        self.password = self.PASSWORD
        self.strangers = set()   # accounts whose registries the role may not use
        self.accounts = []       # that were asked for

    def do_GetAuthorizationToken(self, wanted):
        accounts = wanted.get("registryIds") or [self.ACCOUNT]
        for account in accounts:
            if not re.fullmatch(r"[0-9]{12}", account):
                raise Refusal("InvalidParameterException", "Invalid parameter at 'registryIds'")
            if account in self.strangers:
                raise Refusal("AccessDeniedException", f"not authorized for registry {account}")
        self.accounts += accounts
        token = base64.b64encode(f"AWS:{self.password}".encode()).decode()
        until = (self.now() + datetime.timedelta(hours=12)).timestamp()
        return {"authorizationData": [{"authorizationToken": token, "expiresAt": until,
                                       "proxyEndpoint": f"https://{account}.dkr.ecr.{self.region}.amazonaws.com"}
                                      for account in accounts]}


class CloudWatchLogs(AwsService):
    SIGNING_NAME = "logs"
    TARGET_PREFIX = "Logs_20140328"
    VARIABLE = "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS"

    def reset(self):
        super().reset()
        self.groups = {}             # group to stream to events, as they came
        self.retention_days = None
        self.batches = []            # how many events each PutLogEvents had

    def names(self, wanted, *which):
        names = [required(wanted, name, str) for name in which]
        if not re.fullmatch(r"(?!aws/)[.\-_/#A-Za-z0-9]{1,512}", names[0]) or \
                any(not re.fullmatch(r"[^:*]{1,512}", name) for name in names[1:]):
            raise Refusal("InvalidParameterException", "1 validation error detected: a name does not fit its pattern")
        return names

    def do_CreateLogGroup(self, wanted):
        group, = self.names(wanted, "logGroupName")
        if group in self.groups:
            raise Refusal("ResourceAlreadyExistsException", "The specified log group already exists")
        self.groups[group] = {}

    def do_CreateLogStream(self, wanted):
        group, stream = self.names(wanted, "logGroupName", "logStreamName")
        if group not in self.groups:
            raise Refusal("ResourceNotFoundException", "The specified log group does not exist.")
        if stream in self.groups[group]:
            raise Refusal("ResourceAlreadyExistsException", "The specified log stream already exists")
        self.groups[group][stream] = []

    def do_PutLogEvents(self, wanted):
        group, stream = self.names(wanted, "logGroupName", "logStreamName")
        events = required(wanted, "logEvents", list)
        self.check_events(events)
        for name, held in (("group", self.groups), ("stream", self.groups.get(group, {}))):
            if {"group": group, "stream": stream}[name] not in held:
                raise Refusal("ResourceNotFoundException", f"The specified log {name} does not exist.")
        self.batches.append(len(events))
        first, end, rejected = self.reject([event["timestamp"] for event in events])
        self.groups[group][stream] += events[first:end]
        return {"nextSequenceToken": "4967", **({"rejectedLogEventsInfo": rejected} if rejected else {})}

    @staticmethod
    def check_events(events):
        times = [event["timestamp"] for event in events]
        sizes = [len(event["message"].encode()) for event in events]
        wrong = [text for text, is_wrong in (
            ("at most 10000 events", len(events) > 10000),
            ("events need a message", not all(sizes)),
            ("timestamps cannot be negative", min(times) < 0),
            ("Log events in a single PutLogEvents request must be in chronological order.", times != sorted(times)),
            ("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.",
             times[-1] - times[0] > 24 * 3600 * 1000),
            (f"Upload too large: {sum(sizes) + 26 * len(sizes)} bytes exceeds limit of 1048576",
             sum(sizes) + 26 * len(sizes) > 1048576)) if is_wrong]
        if wrong:
            raise Refusal("InvalidParameterException", wrong[0])

    def reject(self, times):
        """The range that is kept, and rejectedLogEventsInfo."""
        now, hour = self.now().timestamp() * 1000, 3600 * 1000
        too_old = sum(t < now - 14 * 24 * hour for t in times)
        expired = sum(t < now - self.retention_days * 24 * hour for t in times) if self.retention_days else 0
        too_new = sum(t > now + 2 * hour for t in times)
        info = {}
        if too_old:
            info["tooOldLogEventEndIndex"] = too_old
        if expired:
            info["expiredLogEventEndIndex"] = expired
        if too_new:
            info["tooNewLogEventStartIndex"] = len(times) - too_new
        return max(too_old, expired), len(times) - too_new, info
