# SPDX-License-Identifier: Apache-2.0
"""The power is cut at each change of the disk; what may be there then is what lightermand starts on.

A run is recorded; for each moment of it, sweep_disk.py says which states of the disk a cut may leave. The engine and the broker
are as they were at that moment, but that no container runs. To show that this finds something, some syncs are taken out of the
record, which is as if the program had left them out.
"""
import collections
import random
import shutil

import pytest

import sweep_berth
import sweep_disk
from sweep_berth import SCENARIOS, World
from sweep_disk import Record, Tree, fingerprint

SAMPLE, MUTANT_SAMPLE = 14, 40


class Voyage:
    """A run of a scenario on a berth, and what may be left of it."""

    def __init__(self, berth, scenario):
        self.berth, self.scenario = berth, scenario
        self.tops = [str(berth.live / name) for name in ("app", "state")]
        self.before = None
        out = berth.folder / "record"
        sweep_berth.run_to_end(berth, scenario, [berth.tools / "fault_tracer", "-o", out, "record", ",".join(self.tops), "--"],
                               self.look)
        self.lines = out.read_text(errors="surrogateescape").splitlines()
        self.received = list(berth.broker.received)
        self.history = list(berth.engine.history)
        self.boxed, self.paid = berth.boxed, berth.paid

    def look(self):
        self.before = Tree.of(*self.tops)

    def record(self, drop=lambda operation: False):
        return Record(self.lines, self.before, drop)

    def cuts(self, record, seed, samples, known=frozenset()):
        """One Cut for each state of the disk, and what has been told by then; none of those whose disk is `known`."""
        seen, found, told = set(), [], self.told(record)
        for n, fates in record.states(random.Random(seed), samples):
            disk = fingerprint(record.tree(n, fates))
            key = disk, told[n][0], told[n][1]
            if key not in seen and disk not in known:
                seen.add(key)
                found.append(Cut(self, record, n, fates, *told[n]))
        return found

    def told(self, record):
        """For each number of operations: (what may run, as a frozenset; whether a failure must be told)."""
        texts, lines, found = collections.defaultdict(str), [], [None] * (len(record.operations) + 1)
        found[0] = frozenset(self.scenario.allowed([])), False
        for operation in record.operations:
            if operation.kind == "say" and operation.program == "lightermand":
                text = texts[operation.words[0]] + operation.data.decode(errors="replace")
                *whole, texts[operation.words[0]] = text.split("\n")
                lines += [line for line in map(json_or_none, whole) if line and "status" not in line]
            found[operation.at + 1] = frozenset(self.scenario.allowed(lines)), self.scenario.is_failure_due(lines)
        return found


class Cut:
    def __init__(self, voyage, record, n, fates, allowed, failure_due):
        self.voyage, self.record, self.n, self.fates = voyage, record, n, fates
        self.allowed, self.failure_due = allowed, failure_due

    def __str__(self):
        last = self.record.operations[self.n - 1] if self.n else None
        fates = {at: (self.record.operations[at].kind, self.record.operations[at].words[-1][-60:], fate)
                 for at, fate in self.fates.items()}
        return f"[{self.voyage.scenario.name}: after {self.n} operations, {last and (last.kind, last.words[-1][-60:])}; {fates}]"

    def lay(self):
        """The device as it is then."""
        berth, operations = self.voyage.berth, self.record.operations
        moment = operations[self.n - 1].when if self.n else 0
        for name in ("app", "state", "run"):
            shutil.rmtree(berth.live / name)
        (berth.live / "run").mkdir()
        sweep_disk.lay(self.record.tree(self.n, self.fates), {str(berth.live / "app"): berth.user})
        berth.broker.received = [message for message in self.voyage.received if message[0] <= moment]
        berth.engine.history = self.voyage.history
        berth.engine.restore(berth.engine.state_at(moment))
        berth.engine.lose_power()
        berth.boxed, berth.paid = self.voyage.boxed, self.voyage.paid

    def world(self):
        world = World(None)
        world.allowed, world.failure_due = set(self.allowed), self.failure_due
        return world


def json_or_none(text):
    try:
        return sweep_berth.json.loads(text)
    except ValueError:
        return None


def start_on(berth, cut):
    cut.lay()
    secrets = berth.secrets_on_disk("app", "state")
    assert not secrets, f"the cut leaves a password in {secrets}"
    berth.check_restorable()
    sweep_berth.converge(berth, cut.world(), berth.owed())
    return "converged"


def test_a_record_is_what_is_on_the_disk(berths):
    """With all that was done."""
    voyage = Voyage(berths[0], SCENARIOS[1])
    record = voyage.record()
    assert record.tree(len(record.operations), {}) == Tree.of(*voyage.tops).flat()
    assert sum(operation.kind == "sync" for operation in record.operations) > 50


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name.replace(" ", "-"))
def test_any_power_cut_is_mended_by_the_next_start(berths, sweep, scenario):
    trial = sweep(f"power cut, {scenario.name}")
    shares = []
    for i, berth in enumerate(berths):  # paths are part of what is written: each berth starts on its own
        voyage = Voyage(berth, scenario)
        cuts = voyage.cuts(voyage.record(), f"{trial.seed} {i}", 12 if trial.exhaustive else 2)
        shares.append((berth, trial.sample(cuts[i::len(berths)], SAMPLE // len(berths))))
    assert trial.total > 100
    trial.run_each(start_on, shares)
    trial.end(least=SAMPLE // 2)


MUTANTS = {
    "the compose file is not synced": (1, lambda o: o.words[-1].endswith("/compose.yml.new")),
    "a new generation's name is not synced": (1, lambda o: o.words[-1].endswith("/application/generations")),
    "a message for the outbox is not synced": (2, lambda o: o.words[-1].endswith(".status.tmp")),
    "the name of a message is not synced": (2, lambda o: "/outbox/" in o.words[-1] and not o.words[-1].endswith(".tmp")),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_sync_that_is_left_out_is_found(berths, sweep, mutant):
    scenario, drop = MUTANTS[mutant]
    trial = sweep(f"mutant: {mutant}")
    voyage = Voyage(berths[0], SCENARIOS[scenario])
    sound, record = voyage.record(), voyage.record(drop)
    assert record.dropped
    known = {fingerprint(sound.tree(n, fates)) for n, fates in sound.states(random.Random(1))}
    tried = 0
    for cut in trial.sample(voyage.cuts(record, trial.seed, 2, known), 10**6)[:MUTANT_SAMPLE]:
        tried += 1
        try:
            start_on(berths[0], cut)
        except AssertionError as error:
            berths[0].kill_all()
            trial.tell(f"{trial.name}: found by state {tried}: {str(error).splitlines()[0][:160]}")
            return
    raise AssertionError(f"{tried} states do not show it")
