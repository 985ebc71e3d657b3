# SPDX-License-Identifier: Apache-2.0
"""A program of tests/unit under strace: killed at one of its system calls, or with one that fails."""
import concurrent.futures
import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile

import pytest

from sweep_points import note

ROOT = pathlib.Path(__file__).resolve().parents[2]


def drivers(path):
    """Two fixtures: the program at `path` in the build that is tested, and in the gcc build, to be killed: up to there a
    sanitizer has nothing to find that it does not find in a run that is not killed."""
    @pytest.fixture
    def driver(request):
        return pathlib.Path(request.config.getoption("--programs")).parent / path

    @pytest.fixture
    def plain_driver():
        return ROOT / "build" / path

    return driver, plain_driver


@pytest.fixture
def in_memory():
    """A folder on no disk, which would be waited for: what a killed program has written is there all the same."""
    with tempfile.TemporaryDirectory(dir="/run") as folder:  # of the sandbox
        yield pathlib.Path(folder)


def run(*words):
    # The leak check of a sanitized build cannot work in a process that strace follows, and says so by failing.
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False,
                          env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})


def trace(names, log, *words):
    """The names of the calls of a run, of those that are among `names`, in order."""
    done = run("strace", "-o", log, "-e", "trace=" + ",".join(names), *words)
    assert done.returncode == 0, done.stderr
    return [name for line in log.read_text().splitlines() if (name := line.split("(")[0]) in names]


def kill(name, n, *words):
    """Its exit status is 0 if there is no n-th call of that name: calls differ a little from run to run."""
    done = run("strace", "-o", "/dev/null", "-e", f"trace={name}", "-e", f"inject={name}:signal=KILL:when={n}", *words)
    assert done.returncode in (0, -9, 137), done.stderr
    return done


def fail(name, error, n, *words):
    """By seccomp the program is stopped at those calls alone. (A signal cannot be injected so.)"""
    return run("strace", "--follow-forks", "--seccomp-bpf", "-o", "/dev/null", "-e", f"trace={name}",
               "-e", f"inject={name}:error={error}:when={n}", *words)


def in_parallel(work, places):
    """Of the test that runs: with each of its places the same came of it, or this fails."""
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        for _ in pool.map(lambda place: work(*place), places):
            pass
    test = os.environ["PYTEST_CURRENT_TEST"].split(" ")[0].rsplit("/", 1)[-1]
    note(test, len(places), len(places), {"converged": len(places)})


@contextlib.contextmanager
def followed(pid, log, *options):
    """Meanwhile strace follows a program with its threads, but not what it starts: there a sanitizer could not work."""
    words = ["strace", "--follow-forks", "--detach-on=execve", "-o", log, *options, "-p", pid]
    with subprocess.Popen([str(word) for word in words], stderr=subprocess.PIPE, text=True) as tracer:
        line = tracer.stderr.readline()
        assert "attached" in line, line
        try:
            yield
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.stderr.read()
