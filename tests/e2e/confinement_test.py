# SPDX-License-Identifier: Apache-2.0
"""What lightermand and all that it starts may ask of the kernel: few capabilities, no new privileges, no core dumps, and
none of the system calls that an attacker would want."""
import subprocess

from client_devices_test import served  # a fixture
from servers.server import processes

NAMES = {"CHOWN": 0, "DAC_OVERRIDE": 1, "FOWNER": 3, "FSETID": 4, "KILL": 5, "SETGID": 6, "SETUID": 7, "NET_BIND_SERVICE": 10}
KEPT = sum(1 << number for number in NAMES.values())
# What root could do by one program each, and a filter has to forbid even to root.
ATTEMPTS = ["mount -t tmpfs none /mnt", "unshare --mount true", "unshare --user true", "nsenter --target 1 --net true",
            "chroot / true"]


def rights(pid):
    with open(f"/proc/{pid}/status", encoding="utf-8") as file:
        lines = dict(line.split(":", 1) for line in file.read().splitlines() if ":" in line)
    found = {name: int(lines[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")}
    return found | {"no_new_privs": int(lines["NoNewPrivs"]), "seccomp": int(lines["Seccomp"]),
                    "core": core_limit(pid)}


def core_limit(pid):
    with open(f"/proc/{pid}/limits", encoding="ascii") as file:
        return next(line.split()[4:6] for line in file if line.startswith("Max core file size"))


CONFINED = {"no_new_privs": 1, "seccomp": 2, "core": ["0", "0"], "CapInh": 0, "CapAmb": 0}


def test_lightermand_and_its_workers_have_the_rights_they_need_and_no_more(device, held, local_image):
    group = device.local_group(["web"], local_image)
    device.start()
    held.hold("config")
    with device.begin(group) as deployment:
        held.wait_held("config")
        daemon = [pid for pid in processes(device.programs / "lightermand")]
        assert daemon
        for pid in daemon:
            assert rights(pid) == CONFINED | {"CapEff": KEPT, "CapPrm": KEPT, "CapBnd": KEPT}
        for pid in [device.worker(), *held.processes()]:
            assert rights(pid) == CONFINED | {"CapEff": 0, "CapPrm": 0, "CapBnd": KEPT}
        held.release()
        assert deployment.end()["exit"] == 0


def test_not_even_root_gets_out_by_docker_compose(device, folder, local_image):
    """A docker-compose that somebody else has written tries what it likes."""
    real, said = device.host["docker"]["compose"], folder / "said"
    tries = "\n".join(f'{attempt} 2>/dev/null && echo "{attempt}" >>{said}' for attempt in ATTEMPTS)
    program = folder / "docker-compose"
    program.write_text(f'#!/bin/sh\necho began >>{said}\n{tries}\nexec {real} "$@"\n')
    program.chmod(0o755)
    folder.chmod(0o755)
    device.host["docker"]["compose"] = str(program)
    device.host["allowRoot"] = True
    device.start()
    with device.begin(device.local_group(["web"], local_image, DockerUserId="0")) as deployment:
        assert deployment.end()["exit"] == 0
    assert set(said.read_text().splitlines()) == {"began"}


def test_the_attempts_above_succeed_where_nothing_forbids_them():
    """Else the test above would show nothing."""
    allowed = [attempt for attempt in ATTEMPTS if subprocess.run(attempt.split(), check=False).returncode == 0]
    subprocess.run(["umount", "/mnt"], check="mount -t tmpfs none /mnt" in allowed)
    assert allowed == ATTEMPTS


def test_the_broker_and_discovery_keep_a_port_at_most(served):
    served.device.start()
    served.device.deploy(served.group())
    broker, discovery = served.wait_running()
    assert rights(broker) == CONFINED | {"CapEff": 0, "CapPrm": 0, "CapBnd": KEPT}
    binds = 1 << NAMES["NET_BIND_SERVICE"]
    assert rights(discovery) == CONFINED | {"CapEff": binds, "CapPrm": binds, "CapBnd": KEPT}
