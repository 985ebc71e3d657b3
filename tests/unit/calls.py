# SPDX-License-Identifier: Apache-2.0
"""calls.py LIBRARY [FILE.c,FILE.c]...: the files of a folder do not call each other in a circle.

Reads the symbols of the folder's static library. The pairs that may call each other are named, and must do so.
"""
import collections
import re
import subprocess
import sys

OBJECT = re.compile(r"(\w+\.c)\.o:")


def calls_of(library):
    """By file, the files of the same library that it calls, or whose data it uses."""
    listing = subprocess.run(["nm", "-A", library], stdout=subprocess.PIPE, text=True, check=True).stdout
    defined, used = {}, collections.defaultdict(set)
    for line in listing.splitlines():
        found = OBJECT.search(line)
        if not found:
            continue
        kind, symbol = line.split()[-2:]
        if kind in "TDBR":
            defined[symbol] = found[1]
        elif kind == "U":
            used[found[1]].add(symbol)
    assert defined, f"{library} defines nothing"
    return {name: {defined[symbol] for symbol in used[name] if symbol in defined} - {name} for name in set(defined.values())}


def reached(calls, start):
    seen, ahead = set(), [start]
    while ahead:
        for called in calls[ahead.pop()] - seen:
            seen.add(called)
            ahead.append(called)
    return seen


calls = calls_of(sys.argv[1])
for first, second in (pair.split(",") for pair in sys.argv[2:]):
    assert second in calls[first] and first in calls[second], f"{first} and {second} do not call each other: a pair too many"
    calls[second].discard(first)
circles = sorted(name for name in calls if name in reached(calls, name))
assert not circles, f"call each other in a circle: {', '.join(circles)}"
