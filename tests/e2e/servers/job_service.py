#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""usage: job_service.py HOST PORT THING JOB_ID DOCUMENT

The jobs of AWS IoT Jobs on any MQTT broker: gives THING the job of that document (a file), prints what becomes of it, and
exits when it has ended. Jobs are kept in memory: a real fleet needs a service that keeps them on disk, and speaks as this
does (docs/fleet.md).

It keeps executions as AWS does, and rejects what AWS rejects, with the same codes.
"""
import json
import re
import sys
import threading
import time

import paho.mqtt.client

PREFIX = re.compile(r"\$aws/things/(?P<thing>[\w:-]{1,128})/jobs/(?P<what>start-next|get|(?P<job>[\w$-]{1,64})/(?P<verb>get|update))")
FINAL = {"SUCCEEDED", "FAILED", "REJECTED", "TIMED_OUT", "CANCELED", "REMOVED"}
OF_DEVICES = {"IN_PROGRESS", "SUCCEEDED", "FAILED", "REJECTED"}
KEYS = {"start-next": {"statusDetails", "stepTimeoutInMinutes", "clientToken"},
        "get": {"executionNumber", "includeJobDocument", "clientToken"},
        "update": {"status", "statusDetails", "expectedVersion", "executionNumber", "includeJobExecutionState",
                   "includeJobDocument", "stepTimeoutInMinutes", "clientToken"}}


class Rejected(Exception):
    def __init__(self, code, message, execution=None):
        super().__init__(message)
        self.code, self.execution = code, execution


class JobService:
    """`requests` has each request: (thing, what, body, code of the rejection or None). `refuse` answers the next requests of
    a kind with such a code. While `silent`, requests are carried out and not answered; `deaf`: nor carried out."""

    def __init__(self, host, port, documents_as_text=False):
        self.executions, self.requests, self.refuse = {}, [], {}
        self.silent = self.deaf = False
        self.documents_as_text = documents_as_text
        self.changed = threading.Condition(threading.RLock())
        self.subscribed = threading.Event()
        self.client = paho.mqtt.client.Client()
        self.client.reconnect_delay_set(min_delay=1, max_delay=1)
        topics = [f"$aws/things/+/jobs/{what}" for what in ("start-next", "get", "+/get", "+/update")]
        self.client.on_connect = lambda client, *_: client.subscribe([(topic, 1) for topic in topics])
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = self._on_message
        self.client.connect(host, port)

    def __enter__(self):
        self.client.loop_start()
        assert self.subscribed.wait(30)
        return self

    def __exit__(self, *_):
        self.client.disconnect()
        self.client.loop_stop()

    # What an operator does.

    def create(self, thing, job_id, document, number=1):
        now = int(time.time())
        with self._change(thing):
            self._of(thing).append({
                "jobId": job_id, "thingName": thing, "status": "QUEUED", "queuedAt": now, "lastUpdatedAt": now,
                "versionNumber": 1, "executionNumber": number, "statusDetails": {},
                "jobDocument": json.dumps(document) if self.documents_as_text else document})

    def end(self, thing, job_id, status):
        """CANCELED, TIMED_OUT or REMOVED."""
        with self._change(thing):
            self._set(self._find(thing, job_id), status)

    def delete(self, thing, job_id):
        with self._change(thing):
            self._of(thing).remove(self._find(thing, job_id))

    def requeue(self, thing, job_id):
        """What no service should do: the same execution once more."""
        with self._change(thing):
            self._set(self._find(thing, job_id), "QUEUED")

    def execution(self, thing, job_id):
        with self.changed:
            return json.loads(json.dumps(self._find(thing, job_id)))

    def wait(self, thing, job_id, true, timeout=60):
        """The execution, once `true` accepts it."""
        with self.changed:
            assert self.changed.wait_for(lambda: true(self._find(thing, job_id)), timeout), \
                f"it stays {self._find(thing, job_id)}; {self.requests[-10:]}"
            return self.execution(thing, job_id)

    def wait_ended(self, thing, job_id, timeout=60):
        return self.wait(thing, job_id, lambda found: found["status"] in FINAL, timeout)

    def wait_request(self, what, n=1, timeout=60):
        """Until there have been so many of a kind."""
        with self.changed:
            assert self.changed.wait_for(lambda: sum(kind == what for _, kind, *_ in self.requests) >= n, timeout), \
                self.requests

    def updates(self, job_id):
        """(status, stage) of each update that was accepted."""
        with self.changed:
            return [(body["status"], body["statusDetails"].get("stage")) for _, what, body, code in self.requests
                    if what == "update" and code is None and body["_job"] == job_id]

    # What the service does.

    def _of(self, thing):
        return self.executions.setdefault(thing, [])

    def _find(self, thing, job_id):
        found = [execution for execution in self._of(thing) if execution["jobId"] == job_id]
        if not found:
            raise Rejected("ResourceNotFound", f"There is no job execution {job_id} for {thing}")
        return found[-1]

    def _next(self, thing):
        pending = [execution for execution in self._of(thing) if execution["status"] not in FINAL]
        return min(pending, key=lambda execution: execution["status"] != "IN_PROGRESS", default=None)

    @staticmethod
    def _set(execution, status):
        execution.update(status=status, versionNumber=execution["versionNumber"] + 1, lastUpdatedAt=int(time.time()))

    def _change(self, thing):
        service = self

        class Change:
            """Publishes the next job if that is another one afterwards."""

            def __enter__(self):
                service.changed.acquire()
                self.before = service._next(thing)

            def __exit__(self, *_):
                after = service._next(thing)
                if after is not self.before:
                    service._publish(f"$aws/things/{thing}/jobs/notify-next",
                                     {"timestamp": int(time.time()), **({"execution": after} if after else {})})
                service.changed.notify_all()
                service.changed.release()

        return Change()

    def _publish(self, topic, body):
        self.client.publish(topic, json.dumps(body), qos=1)

    def _on_message(self, _client, _userdata, message):
        match = PREFIX.fullmatch(message.topic)
        if not match or self.deaf:
            return
        thing, what = match["thing"], match["verb"] or match["what"]
        body = {}
        try:
            with self._change(thing):
                try:
                    body = self._parse(message.payload)
                    answer = self._answer(thing, what, match["job"], body)
                    code = None
                except Rejected as why:
                    code = why.code
                    answer = {"code": code, "message": str(why)}
                    if why.execution and code in ("InvalidStateTransition", "VersionMismatch"):
                        answer["executionState"] = self._state(why.execution)
                self.requests.append((thing, what, {**body, "_job": match["job"]}, code))
                answer["timestamp"] = int(time.time())
                if "clientToken" in body:
                    answer["clientToken"] = body["clientToken"]
                if not self.silent:
                    self._publish(f"{message.topic}/{'rejected' if code else 'accepted'}", answer)
        except Exception as why:  # paho would swallow it
            self.requests.append((thing, what, {"_job": match["job"]}, repr(why)))
            raise

    @staticmethod
    def _parse(payload):
        try:
            body = json.loads(payload or b"{}")
        except ValueError:
            raise Rejected("InvalidJson", "The request is not valid JSON") from None
        if not isinstance(body, dict):
            raise Rejected("InvalidJson", "The request is no object")
        return body

    @staticmethod
    def _state(execution):
        return {key: execution[key] for key in ("status", "statusDetails", "versionNumber")}

    def _answer(self, thing, what, job_id, body):
        if self.refuse.get(what):
            raise Rejected(self.refuse[what].pop(0), "as ordered")
        self._check(what, body)
        if what == "start-next":
            return self._start_next(thing)
        if what == "get" and job_id is None:
            pending = [execution for execution in self._of(thing) if execution["status"] not in FINAL]
            return {"inProgressJobs": [job for job in pending if job["status"] == "IN_PROGRESS"],
                    "queuedJobs": [job for job in pending if job["status"] == "QUEUED"]}
        execution = self._next(thing) if job_id == "$next" else self._find(thing, job_id)
        if execution and body.get("executionNumber", execution["executionNumber"]) != execution["executionNumber"]:
            raise Rejected("ResourceNotFound", "There is no such execution")
        if what == "update":
            return self._update(execution, body)
        if execution and execution["status"] in FINAL:
            raise Rejected("TerminalStateReached", f"It is {execution['status']}")
        shown = dict(execution or {})
        if not body.get("includeJobDocument", True):
            shown.pop("jobDocument", None)
        return {"execution": shown}

    def _start_next(self, thing):
        execution = self._next(thing)
        if execution is None:
            return {}
        if execution["status"] == "QUEUED":
            self._set(execution, "IN_PROGRESS")
            execution["startedAt"] = execution["lastUpdatedAt"]
        return {"execution": dict(execution)}

    def _update(self, execution, body):
        status = body["status"]
        if execution["status"] in FINAL:
            raise Rejected("InvalidStateTransition", f"It is {execution['status']}", execution)
        if int(body.get("expectedVersion", execution["versionNumber"])) != execution["versionNumber"]:
            raise Rejected("VersionMismatch", f"The version is {execution['versionNumber']}", execution)
        self._set(execution, status)
        if "statusDetails" in body:
            execution["statusDetails"] = body["statusDetails"]
        return {"executionState": self._state(execution)} if body.get("includeJobExecutionState") else {}

    @staticmethod
    def _check(what, body):
        unknown = set(body) - KEYS[what]
        if unknown or not re.fullmatch(r"[^\s]{1,64}", body.get("clientToken", "-")):
            raise Rejected("InvalidRequest", f"Keys that are not known: {unknown}, or the clientToken")
        if what != "update":
            return
        if body.get("status") not in OF_DEVICES:
            raise Rejected("InvalidRequest", f"The status is {body.get('status')}")
        details = body.get("statusDetails", {})
        if not all(re.fullmatch(r"[\w:-]{1,128}", key) and isinstance(value, str) and
                   re.fullmatch(r"[^\x00-\x1f\x7f-\x9f]{1,1024}", value) for key, value in details.items()):
            raise Rejected("InvalidRequest", "The status details")


def main(host, port, thing, job_id, document):
    with open(document, encoding="utf-8") as file, JobService(host, int(port)) as service:
        service.create(thing, job_id, json.load(file))
        shown = None
        while True:
            execution = service.wait(thing, job_id, lambda found: found["versionNumber"] != shown, timeout=None)
            shown = execution["versionNumber"]
            print(execution["status"], json.dumps(execution["statusDetails"]), flush=True)
            if execution["status"] in FINAL:
                return 0 if execution["status"] == "SUCCEEDED" else 1


if __name__ == "__main__":
    if len(sys.argv) != 6:
        print(__doc__.strip(), file=sys.stderr)
        sys.exit(64)
    sys.exit(main(*sys.argv[1:]))
