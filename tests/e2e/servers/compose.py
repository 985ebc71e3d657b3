# SPDX-License-Identifier: Apache-2.0
"""Both generations of docker-compose, and one that can be held in the middle of its work."""
import errno
import os

from servers.server import processes, run, wait_until

V1 = "/usr/bin/docker-compose"

# By its own distutils Python loads all of setuptools, which is half of the time that each docker-compose 1 takes to start.
QUICK_START = {"SETUPTOOLS_USE_DISTUTILS": "stdlib"}


def is_first_generation(program):
    done = run(program, "version", "--short", check=False)
    return done.returncode == 0 and done.stdout.startswith("1.")


class Compose:
    """One docker-compose. Container names differ between the generations, so tests select by label."""

    def __init__(self, generation, path):
        self.generation, self.path = generation, path

    def __repr__(self):
        return f"compose{self.generation}"

    def __call__(self, *words, project, file, check=True):
        return run(self.path, "-p", project, "-f", file, *words, check=check,
                   env={"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], **QUICK_START})


class HeldCompose:
    """A docker-compose that stops at a command it was told to hold, once, until it is released or killed."""

    def __init__(self, program, folder, user):
        """`program` is the real one's path; `user` is who runs it."""
        self.folder, self.path, self.gate = folder, folder / "docker-compose", folder / "gate"
        folder.mkdir()
        user.owns(folder)
        os.mkfifo(self.gate)
        user.owns(self.gate)
        self.path.write_text(f"""#!/bin/sh
for word in "$@"; do
	case $word in
	version | config | down | up) rm "{folder}/hold-$word" 2>/dev/null || continue ;;
	*) continue ;;
	esac
	# `up` is held when one service of the application runs and the others do not yet.
	[ "$word" != up ] || "{program}" "$@" first
	: >"{folder}/held-$word"
	read -r _ <"{self.gate}"
done
exec "{program}" "$@"
""")
        self.path.chmod(0o755)

    def hold(self, command):
        """The next `command` ("version", "config", "down", "up") is held; an `up` once the service "first" runs."""
        (self.folder / f"held-{command}").unlink(missing_ok=True)
        (self.folder / f"hold-{command}").touch()

    def wait_held(self, command):
        wait_until((self.folder / f"held-{command}").exists, 60, f"docker-compose {command} was not called")

    def release(self):
        """Lets go what is held."""
        wait_until(self._open_gate, 60, "no docker-compose is held")

    def _open_gate(self):
        try:
            gate = os.open(self.gate, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            assert error.errno == errno.ENXIO, error
            return False
        os.write(gate, b"\n")
        os.close(gate)
        return True

    def processes(self):
        """The pids of those that run."""
        return processes(self.path)

    def wait_gone(self):
        """None runs any more."""
        wait_until(lambda: not self.processes(), 60, lambda: f"docker-compose still runs: {self.processes()}")
