# SPDX-License-Identifier: Apache-2.0
"""lightermand and its worker, killed at each system call by which they change something, and started again.

A kill leaves what the kernel has; what a power cut leaves is sweep_power_cut_test.py's.
"""
import pytest

import sweep_berth
from sweep_berth import SCENARIOS
from sweep_points import CHANGES, PROGRAMS, Point, numbered

SAMPLE = 6


def count(berth, scenario, calls):
    """Every call of a run in which nothing fails: [(program, call, n)]."""
    out = berth.folder / "count"
    sweep_berth.run_to_end(berth, scenario, [berth.tools / "fault_tracer", "-o", out, "count",
                                            ",".join(call for call in calls if ":" not in call), "--"])
    return list(numbered(out.read_text().splitlines()))


def kill(berth, point):
    out = berth.folder / "hit"
    world = sweep_berth.run_to_end(berth, point.scenario, [berth.tools / "fault_tracer", "-o", out, "-p", point.program, "kill",
                                                           point.call, point.n, "--"])
    if not out.read_text():
        return None
    secrets = berth.secrets_on_disk("state", "gg", "app")
    assert not secrets, f"the kill leaves a password in {secrets}"
    berth.check_restorable()
    sweep_berth.converge(berth, world, berth.owed())
    return "converged"


@pytest.mark.parametrize("program", PROGRAMS)
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_a_kill_at_any_write_is_mended_by_the_next_start(berths, sweep, scenario, program):
    trial = sweep(f"kill of {program}, {scenario.name}")
    points = [Point(scenario, *place) for place in count(berths[0], scenario, CHANGES) if place[0] == program]
    assert len(points) > 50
    trial.run(kill, trial.sample(points, SAMPLE), berths)
    trial.end(least=SAMPLE // 2)
