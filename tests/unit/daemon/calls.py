# SPDX-License-Identifier: Apache-2.0
"""calls.py LIBRARY: the supervisor's files do not call each other in a circle, by the symbols of libdaemon.a."""
import collections
import re
import subprocess
import sys

FILES = {"supervisor.c.o", "view.c.o", "deployment.c.o", "teardown.c.o", "planning.c.o", "outcomes.c.o", "progress.c.o",
         "workers.c.o", "generation.c.o", "waiter.c.o", "fallback.c.o"}

OBJECT = re.compile(r"(\w+\.c\.o):")

listing = subprocess.run(["nm", "-A", sys.argv[1]], stdout=subprocess.PIPE, text=True, check=True).stdout
defined, wanted = {}, collections.defaultdict(set)
for line in listing.splitlines():
    found = OBJECT.search(line)
    if not found:
        continue
    name, (kind, symbol) = found[1], line.split()[-2:]
    if kind in "TDBR":
        defined[symbol] = name
    elif kind == "U":
        wanted[name].add(symbol)
assert FILES <= set(defined.values()), f"not in the library: {FILES - set(defined.values())}"
calls = {name: {defined[symbol] for symbol in symbols if symbol in defined} - {name} for name, symbols in wanted.items()}


def reaches(start, goal):
    seen, ahead = set(), [start]
    while ahead:
        name = ahead.pop()
        for called in calls.get(name, set()) - seen:
            if called == goal:
                return True
            seen.add(called)
            ahead.append(called)
    return False


circles = sorted(name for name in FILES if reaches(name, name))
if circles:
    sys.exit(f"these call each other in a circle: {', '.join(circles)}")
