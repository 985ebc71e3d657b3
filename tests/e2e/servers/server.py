# SPDX-License-Identifier: Apache-2.0
"""What all servers have in common: a folder, processes with a log, and waiting until they answer."""
import contextlib
import pathlib
import signal
import socket
import subprocess
import time

POLL_S = 0.02


class Server:
    """A server on loopback in `folder`. A subclass says how it starts and when it is ready."""

    READY_S = 60
    STOP_S = 60

    def __init__(self, folder):
        self.folder = folder
        self.folder.mkdir(parents=True, exist_ok=True)
        self.folder.chmod(0o755)
        self.log_path = folder / "server.log"
        self.processes = []

    def commands(self):
        """The argument vectors of the processes, in the order in which they start."""
        raise NotImplementedError

    def is_ready(self):
        raise NotImplementedError

    @property
    def running(self):
        return bool(self.processes)

    def start(self):
        """Returns when the server answers."""
        assert not self.processes, f"{self.name} runs already"
        with open(self.log_path, "ab") as log:
            for words in self.commands():
                # A session of its own: a Ctrl-C is for the tests, which then stop the servers.
                self.processes.append(subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                                       start_new_session=True))
        wait_until(self.is_ready, self.READY_S, lambda: f"{self.name} does not answer; its last lines:\n{self.log()}",
                   hopeless=lambda: any(process.poll() is not None for process in self.processes))

    def stop(self, number=signal.SIGTERM):
        """Returns when all its processes have ended. Does nothing if it does not run."""
        processes, self.processes = self.processes, []
        for process in reversed(processes):
            process.send_signal(number)
        for process in processes:
            try:
                process.wait(self.STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                raise AssertionError(f"{self.name} did not end within {self.STOP_S} s of signal {number}") from None

    def restart(self):
        self.stop()
        self.start()

    @contextlib.contextmanager
    def frozen(self):
        """Meanwhile it takes connections and answers nothing: whoever asks it something waits."""
        processes = list(self.processes)
        for process in processes:
            process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            for process in processes:
                process.send_signal(signal.SIGCONT)

    def log(self, lines=20):
        try:
            return "\n".join(self.log_path.read_text(errors="replace").splitlines()[-lines:])
        except FileNotFoundError:
            return ""

    @property
    def name(self):
        return type(self).__name__

    def write(self, name, text, mode=0o644):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        return path


def wait_until(true, seconds, why, hopeless=lambda: False):
    """Returns what `true` returned once that is not false. Fails with why() after `seconds`, or once `hopeless`."""
    end = time.monotonic() + seconds
    while not (result := true()):
        assert not hopeless() and time.monotonic() < end, why() if callable(why) else why
        time.sleep(POLL_S)
    return result


def processes(word):
    """The pids of those that have `word` for an argument, wherever they run."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if str(word).encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def free_port():
    """A TCP port of 127.0.0.1 that nobody listens on, below those that connections get, and never twice the same."""
    while True:
        free_port.last += 1
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind(("127.0.0.1", free_port.last))
            except OSError:
                continue
            return free_port.last


free_port.last = 20000


def accepts(port):
    with socket.socket() as sock:
        return sock.connect_ex(("127.0.0.1", port)) == 0


def run(*words, check=True, **more):
    """One command, to its end, with its output as text; a failure shows it."""
    more.setdefault("timeout", 120)
    if "input" not in more:
        more.setdefault("stdin", subprocess.DEVNULL)
    done = subprocess.run([str(word) for word in words], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=not isinstance(more.get("input"), bytes), check=False, **more)
    assert not check or done.returncode == 0, \
        f"{' '.join(map(str, words))}: exit status {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done
