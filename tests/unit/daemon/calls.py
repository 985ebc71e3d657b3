# SPDX-License-Identifier: Apache-2.0
"""calls.py LIBRARY: no files of the library call each other in a circle, by its symbols."""
import collections
import re
import subprocess
import sys

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
assert {"supervisor.c.o", "requests.c.o", "log_router.c.o"} <= set(defined.values()), "not the daemon's library"
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


circles = sorted(name for name in wanted if reaches(name, name))
if circles:
    sys.exit(f"these call each other in a circle: {', '.join(circles)}")
