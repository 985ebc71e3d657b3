# SPDX-License-Identifier: Apache-2.0
"""An engine of another age, as far as GET /version: which versions of the API it takes."""
import http.server
import json
import os
import socketserver
import threading


class VersionOnlyEngine:
    """Answers GET /version at `path`, and 400 to all else."""

    def __init__(self, path, version, api, least=None):
        self.path = path
        self.document = {"Version": version, "ApiVersion": api, **({"MinAPIVersion": least} if least else {})}

    def __enter__(self):
        document = json.dumps(self.document).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                known = self.path == "/version"
                body = document if known else b'{"message":"this engine tells nothing but its version"}'
                self.send_response(200 if known else 400)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def address_string(self):
                return "a client"

            def log_message(self, *words):
                pass

        self.server = socketserver.ThreadingUnixStreamServer(str(self.path), Handler)
        os.chmod(self.path, 0o666)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()
