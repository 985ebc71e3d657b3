# SPDX-License-Identifier: Apache-2.0
"""An engine of a hundred containers to which more happens in a second than to a real one in a year."""
import http.server
import json
import os
import queue
import socketserver
import threading
import time

from servers.engine import PROJECT

SECOND_NS = 10**9


class EventfulEngine:
    """Answers what lightermand asks an engine at `path`; happens() sends events."""

    def __init__(self, path, containers=100):
        self.path = path
        self.ids = [f"{n:064x}" for n in range(1, containers + 1)]
        self.events = queue.Queue()
        self.time_ns = time.time_ns()

    def service(self, container):
        return f"service{int(container, 16)}"

    def happens(self, container, action, **attributes):
        """Its events are a millisecond from each other."""
        self.time_ns = max(self.time_ns + SECOND_NS // 1000, time.time_ns())
        self.events.put({
            "Type": "container", "Action": action, "time": self.time_ns // SECOND_NS, "timeNano": self.time_ns,
            "Actor": {"ID": container, "Attributes": {
                "name": f"app_{self.service(container)}_1", "image": "harbour/local:1",
                "com.docker.compose.project": PROJECT, "com.docker.compose.service": self.service(container),
                **attributes}}})

    def answer(self, target):
        if target == "/version":
            return {"Version": "20.10.24", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
        if target.endswith("/info"):
            return {"DockerRootDir": "/nowhere"}
        if "/containers/json" in target:
            return [{"Id": name, "Names": [f"/app_{self.service(name)}_1"], "Image": "harbour/local:1", "State": "running",
                     "Status": "Up 5 minutes (healthy)", "Created": 1600000000,
                     "Labels": {"com.docker.compose.project": PROJECT,
                                "com.docker.compose.service": self.service(name)}} for name in self.ids]
        if target.split("?")[0].endswith("/json"):
            return {"RestartCount": 3, "State": {
                "Status": "running", "Running": True, "ExitCode": 0, "OOMKilled": False,
                "StartedAt": "2020-01-01T00:00:00.5Z", "FinishedAt": "0001-01-01T00:00:00Z",
                "Health": {"Status": "healthy"}}}
        return None

    def __enter__(self):
        engine = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if "/events?" in self.path:
                    self.stream()
                elif "/logs?" in self.path:
                    line = b"the last words of a container, which are not short either\n" * 4
                    self.reply(200, (bytes([1, 0, 0, 0]) + len(line).to_bytes(4, "big") + line) * 20)
                else:
                    document = engine.answer(self.path)
                    self.reply(404 if document is None else 200, json.dumps(document or {"message": "no"}).encode())

            def reply(self, status, body):
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def stream(self):
                self.send_response(200)
                self.end_headers()
                while event := engine.events.get():
                    self.wfile.write(json.dumps(event).encode() + b"\n")

            def address_string(self):
                return "a client"

            def log_message(self, *words):
                pass

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

        self.server = Server(str(self.path), Handler)
        os.chmod(self.path, 0o666)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.events.put(None)
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
