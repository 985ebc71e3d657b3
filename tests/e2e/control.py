# SPDX-License-Identifier: Apache-2.0
"""A client of the control socket (docs/formats.md), for tests that act in the middle of a deployment."""
import concurrent.futures
import contextlib
import json
import socket
import threading


class Control:
    """One request and its answer, line by line."""

    def __init__(self, path, timeout=120, **request):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(timeout)
        self.lines = []
        try:
            self.socket.connect(str(path))
            with contextlib.suppress(BrokenPipeError):  # who is turned away gets an answer all the same
                self.socket.sendall(json.dumps(request).encode() + b"\n")
            self.stream = self.socket.makefile("rb")
        except OSError:
            self.socket.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.stream.close()
        self.socket.close()

    def next(self):
        text = self.stream.readline()
        assert text, f"lightermand hung up after {self.lines}"
        self.lines.append(json.loads(text))
        return self.lines[-1]

    def until(self, stage, state="begin"):
        """Reads on until that stage is in that state; returns its line."""
        while True:
            line = self.next()
            assert "exit" not in line, f"it ended before '{stage}' {state}: {self.lines}"
            progress = line.get("progress", {})
            if (progress.get("stage"), progress.get("state")) == (stage, state):
                return progress

    def end(self):
        """Reads on to the last line, the one with the exit status, and returns it. Nothing comes after it."""
        while "exit" not in (line := self.next()):
            pass
        try:
            more = self.stream.readline()
        except ConnectionResetError:  # one that is turned away is not read to the end
            more = b""
        assert not more, f"after the last line, {line}, came {more}"
        self.close()
        return line

    def end_later(self):
        """end() in a thread: returns its Future."""
        future = concurrent.futures.Future()

        def wait():
            try:
                future.set_result(self.end())
            except BaseException as error:  # pylint: disable=broad-except
                future.set_exception(error)

        threading.Thread(target=wait, daemon=True).start()
        return future

    def stages(self):
        """Those that began, of the lines read so far."""
        return [line["progress"]["stage"] for line in self.lines
                if line.get("progress", {}).get("state") == "begin"]
