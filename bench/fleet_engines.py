#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""usage: fleet_engines.py FOLDER N IMAGE...

N engines in one process, each on a socket FOLDER/<n>/engine.sock: those of the tests' sweeps. The images can be pulled.
Prints "ready" when all listen, and answers until its standard input ends.
"""
import asyncio
import pathlib
import resource
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/e2e"))

from sweep_quay import Engine, digest  # noqa: E402


class FleetEngine(Engine):
    """Without the history that a sweep needs, which grows."""

    def note(self):
        pass

    def state(self):
        return ""


async def serve(folder, count, images):
    for number in range(count):
        engine = FleetEngine(str(folder / str(number) / "engine.sock"))
        engine.registry = {image: digest(image) for image in images}
        await engine.open()
    print("ready", flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    asyncio.run(serve(pathlib.Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]))
