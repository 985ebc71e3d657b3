# SPDX-License-Identifier: Apache-2.0
"""One deployment by each side, timed: wall time, CPU of the side's own processes, and the stages or steps.

Wall time runs until the command has ended and its status message has arrived. CPU is user and system time of every
process that the side started: for the peer of the shell and all that it waited for; for ours of the command, of
lightermand, and of the workers (with their docker-compose) that it reaps. The engine's own time belongs to neither.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import stand as stands
from device import Device
from rows import row
from servers.broker import STATUS_TOPIC
from servers.compose import Compose
from users import add_user

HERE = pathlib.Path(__file__).resolve().parent
CASES = ("images_present", "images_to_pull")
SHARE = "deploy_share_compose_and_engine"
TICK = os.sysconf("SC_CLK_TCK")
LIMIT_S = 120
# What Lighterman spends in these stages it spends waiting for docker-compose or for the engine.
ELSEWHERE = ("resolve", "authenticate", "pull", "down", "up")


def measure(args, folder, wanted):
    cases = [case for case in CASES if any(name.endswith(case) for name in wanted)]
    if SHARE in wanted and CASES[0] not in cases:
        cases.insert(0, CASES[0])
    results = deploy_in_turns(args, folder, cases)
    if args.peer_only or args.steps:
        print_steps(results, args)
    return [] if args.peer_only else [found for found in make_rows(results) if found["name"] in wanted]


def make_rows(results):
    for case, sides in results.items():
        for what in ("wall", "cpu"):
            yield row(f"deploy_{what}_{case}", "s", median(sides["ours"], what), median(sides["peer"], what))
    if CASES[0] in results:
        yield row(SHARE, "share", median(results[CASES[0]]["ours"], "share"))


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def print_steps(results, args):
    print(f"Stages and steps, {args.runs} run(s), medians of wall time, seconds; {args.compose}", file=sys.stderr)
    for case, sides in results.items():
        for name, runs in sides.items():
            steps = [f"{step} {statistics.median(run['steps'][step] for run in runs):.2f}" for step in runs[0]["steps"]]
            print(f"{case}, {name}: wall {median(runs, 'wall'):.2f}, cpu {median(runs, 'cpu'):.2f}: {', '.join(steps)}",
                  file=sys.stderr)


def deploy_in_turns(args, folder, cases):
    """{case: {side: [deployment, ...]}}, the sides by turns, each first in every other round."""
    stand = stands.Stand(folder)
    stand.start()
    with stand.broker.subscriber(STATUS_TOPIC) as status:
        sides = {"peer": Peer(stand, args, status)}
        if not args.peer_only:
            sides["ours"] = Ours(stand, args, status)
        releases = alternate(stands.RELEASES)
        for side in sides.values():  # not counted: caches, bytecode, folders
            side.deploy(next(releases))
        results = {case: {name: [] for name in sides} for case in cases}
        for case in cases:
            for turn in range(args.runs):
                for name in sorted(sides, reverse=turn % 2 == 1):
                    release = next(releases)
                    if case == "images_to_pull":
                        stand.remove_images(release)
                    results[case][name].append(sides[name].deploy(release))
                    stand.check(release)
        for side in sides.values():
            side.end()
    stand.stop()
    return results


def alternate(things):
    while True:
        yield from things


def timed(words, env, status, log):
    """Runs one command until it ended and its status message has arrived. Returns (wall, cpu) in seconds."""
    if not status.none_waits():
        raise RuntimeError(f"before {words[0]} ran, a status message of an earlier deployment arrived")
    begin = time.monotonic()
    child = subprocess.Popen(words, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    _, code, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(code)
    if child.returncode != 0:
        raise RuntimeError(f"{words[0]} ended with {child.returncode}:\n{tail(log.name)}")
    message = status.next_json(LIMIT_S)
    wall = time.monotonic() - begin
    if message["status"] != "success":
        raise RuntimeError(f"{words[0]} published {message!r}")
    return wall, usage.ru_utime + usage.ru_stime


def tail(path):
    return "\n".join(pathlib.Path(path).read_text(errors="replace").splitlines()[-15:])


class Script:
    """bench/peer-deploy.sh, with the environment that it needs."""

    def __init__(self, stand, args, status):
        self.stand, self.status = stand, status
        folder = stand.folder / "peer"
        (folder / "docker").mkdir(parents=True)
        (folder / "password").write_text(stand.registry.PASSWORD + "\n")
        self.log = open(folder / "log", "ab")
        self.steps = folder / "steps" if args.peer_only or args.steps else None
        self.env = {**stand.env, **stand.s3.environment(), "AWS_DEFAULT_REGION": stand.s3.REGION,
                    "ENDPOINT": stand.s3.endpoint, "BUCKET": stands.BUCKET, "REGISTRY": stand.registry.address,
                    "REGISTRY_USER": stand.registry.USER, "PASSWORD_FILE": str(folder / "password"),
                    "DESTINATION": str(folder), "COMPOSE": args.compose, "TOPIC": STATUS_TOPIC,
                    "BROKER_PORT": str(stand.broker.port), "DOCKER_CONFIG": str(folder / "docker")}

    def run(self):
        env = self.env
        if self.steps:
            env = {**env, "STEPS": str(self.steps)}
            self.steps.write_text("")
        wall, cpu = timed([str(HERE / "peer-deploy.sh")], env, self.status, self.log)
        return {"wall": wall, "cpu": cpu, "steps": self._read_steps()}

    def _read_steps(self):
        steps = {}
        for line in self.steps.read_text().splitlines() if self.steps else ():
            name, wall, *_ = line.split()
            steps[name] = steps.get(name, 0) + float(wall)
        return steps

    def end(self):
        self.log.close()


class Peer(Script):
    def deploy(self, release):
        self.env["KEY"] = self.stand.keys[release]
        return self.run()


class Daemon:
    """lightermand, not started yet, and `lighterman deploy`."""

    def __init__(self, stand, args, status):
        self.stand, self.status = stand, status
        folder = stand.folder / "ours"
        folder.mkdir()
        # A copy of the programs, as the build folder may be where the applications' user cannot go.
        programs = shutil.copytree(pathlib.Path(args.build).resolve() / "bin", folder / "bin",
                                   ignore=shutil.ignore_patterns("*.p"))
        compose = Compose(None, args.compose)
        self.device = Device(folder, programs, add_user("lmbench", groups=["docker"]), stand.engine.SOCKET, compose)
        self.device.use_broker(stand.broker)
        self.command = [str(programs / "lighterman"), "--socket", str(folder / "run/control.sock"), "deploy"]
        self.log = open(folder / "deploy.log", "ab")

    def run(self, group):
        before = self._daemon_cpu()
        wall, cpu = timed([*self.command, str(group)], self.device.environment, self.status, self.log)
        cpu += self._daemon_cpu() - before
        stages = json.loads(self.device.cli("status", "--json").stdout)["last_deployment"]["stages"]
        steps = {stage["stage"]: stage["ms"] / 1000 for stage in stages}
        elsewhere = sum(seconds for name, seconds in steps.items() if name in ELSEWHERE)
        return {"wall": wall, "cpu": cpu, "steps": steps, "share": elsewhere / wall}

    def _daemon_cpu(self):
        """CPU seconds of lightermand and of what it has reaped (proc(5), stat: utime stime cutime cstime)."""
        words = pathlib.Path(f"/proc/{self.device.process.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(int(word) for word in words[11:15]) / TICK

    def end(self):
        self.device.end()
        self.log.close()


class Ours(Daemon):
    def __init__(self, stand, args, status):
        super().__init__(stand, args, status)
        self.device.use_s3(stand.s3)
        secret = self.device.put_secret("registry", stand.registry.secret())
        self.groups = {release: self.device.group(bucket=stands.BUCKET, key=key, secrets=[secret],
                                                  name=f"group-{release}.json")
                       for release, key in stand.keys.items()}
        self.device.start()

    def deploy(self, release):
        return self.run(self.groups[release])
