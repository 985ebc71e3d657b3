# SPDX-License-Identifier: Apache-2.0
"""bench/fleet: its arithmetic, what it prints, and its usage."""
import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "bench"))

import fleet_figures as figures  # noqa: E402
import fleet_report as report  # noqa: E402


def test_percentiles_are_values_that_there_are():
    values = list(range(100, 0, -1))
    assert [figures.percentile(values, percent) for percent in (0, 50, 99, 100)] == [1, 50, 99, 100]
    assert figures.percentile([7], 99) == 7
    assert figures.percentile([1, 2, 3], 50) == 2


def test_a_histogram_counts_each_moment_once():
    moments = [0, 0.9, 1, 3.5, 3.999]
    assert figures.histogram(moments, 1) == [2, 1, 0, 2]
    assert figures.histogram(moments, 2) == [3, 2]
    assert figures.histogram([], 1) == []


def test_the_worst_second_begins_anywhere():
    assert figures.most_within([0.5, 1.0, 1.4, 1.6, 5], 1) == 3
    assert figures.most_within([0, 1, 2], 1) == 1
    assert figures.most_within([], 1) == 0


def test_growth_is_the_exponent():
    sizes = [10, 100, 1000]
    assert figures.growth(sizes, [3 * n for n in sizes]) == pytest.approx(1)
    assert figures.growth(sizes, [n * n for n in sizes]) == pytest.approx(2)
    assert figures.growth(sizes, [7, 7, 7]) == pytest.approx(0)
    assert figures.growth([10], [7]) is None


def test_a_month_is_thirty_days():
    assert figures.a_month(70, 7) == pytest.approx(300)
    assert figures.spread([2, 3, 4]) == 2


def rollout(devices, **more):
    return {**{key: 1.0 for key, _, _ in report.ROWS}, "devices": devices, "at_a_time": 50, "all_reported_s": devices / 10.0, **more,
            "broker_restart": {**{key: 1.0 for key, _, _ in report.RESTART}, "slot_s": 1, "connects_per_slot": [0, devices, 1]}}


def found(*rollouts, idle=None):
    return {"files_on": "tmpfs", "rollouts": list(rollouts), "idle": idle, "growth": report.growths(list(rollouts))}


def test_what_grows_faster_than_the_fleet_is_marked():
    growth = found(rollout(10), rollout(100, cpu_s_per_device=2.0, all_reported_s=30.0))["growth"]
    assert growth["messages_up_per_device"] == {"exponent": pytest.approx(1), "linear": True, "spread": 1, "flat": True}
    assert not growth["cpu_s_per_device"]["linear"] and not growth["cpu_s_per_device"]["flat"]
    assert not growth["all_reported_s"]["linear"] and "flat" not in growth["all_reported_s"]
    text = report.text(found(rollout(10), rollout(100, cpu_s_per_device=2.0)))
    assert [line for line in text.splitlines() if "NOT FLAT NOT LINEAR" in line and line.startswith("CPU a device")]
    assert text.count("NOT") == 2


def test_one_fleet_has_no_growth_and_its_connections_are_drawn():
    text = report.text(found(rollout(10)))
    assert "n^" not in text
    assert f"     1.0 s     10 {'#' * figures.BAR}" in text and "     2.0 s      1 ####" in text


@pytest.mark.parametrize("words", [["--no-such-option"], ["many"], ["1"], ["--days", "0"], ["--part", "all"]])
def test_refuses_words_that_it_does_not_know(words):
    done = subprocess.run([ROOT / "bench/fleet", *words], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=60, cwd="/")
    assert done.returncode == 64 and done.stdout == "" and "usage: bench/fleet" in done.stderr


def test_tells_how_to_use_it():
    done = subprocess.run([ROOT / "bench/fleet", "--help"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
                          timeout=60, cwd="/")
    assert (done.returncode, done.stderr) == (0, "") and done.stdout.startswith("usage: ")
