# SPDX-License-Identifier: Apache-2.0
"""Measures Lighterman against what a user would use instead. See scripts/bench --help."""
import argparse
import importlib
import json
import os
import pathlib
import subprocess
import sys

from rows import NAMES, names

ROOT = pathlib.Path(__file__).resolve().parent.parent
QUICK_RUNS, RUNS = 1, 5


class Parser(argparse.ArgumentParser):
    """Wrong usage ends with 64, as everywhere here."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


def parse(words):
    """Of the options scripts/bench has the help."""
    parser = Parser(prog="scripts/bench", add_help=False, usage="scripts/bench [OPTION]... [NAME]... (see --help)")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--runs", type=int)
    parser.add_argument("--build", default=str(ROOT / "build"))
    parser.add_argument("--compose", default="/usr/bin/docker-compose")
    parser.add_argument("--compose2")
    parser.add_argument("--peer-only", action="store_true")
    parser.add_argument("--steps", action="store_true")
    parser.add_argument("--inside", metavar="MODULE", choices=list(NAMES), help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME")
    args = parser.parse_args(words)
    unknown = sorted(set(args.names) - set(names()))
    if unknown:
        parser.error(f"no row named {unknown[0]}; the rows are {', '.join(names())}")
    if args.runs is not None and args.runs < 1:
        parser.error("--runs must be at least 1")
    args.runs = args.runs or (QUICK_RUNS if args.quick else RUNS)
    return args


def missing(args):
    """The first thing that the measurement needs and that is not there, as a sentence; else None."""
    if os.geteuid() != 0:
        return "the measurement starts an engine of its own: run it as root"
    if not os.access(args.compose, os.X_OK):
        return f"'{args.compose}' cannot be run: name another with --compose"
    if not args.peer_only and not (pathlib.Path(args.build) / "bin/lightermand").exists():
        return f"'{args.build}/bin/lightermand' is not built: run scripts/build"
    return None


def outside(args, words):
    """Runs this program again for each module, in the tests' sandbox; whatever it starts there ends with it."""
    fault = missing(args)
    if fault:
        print(f"scripts/bench: {fault}", file=sys.stderr)
        return 1
    wanted = set(args.names or names())
    if wanted & set(NAMES["resident"]) and not args.peer_only and not args.compose2:
        fetched = subprocess.run([str(ROOT / "tests/e2e/fetch-compose2")], check=False, stdout=subprocess.PIPE, text=True)
        if fetched.returncode != 0:
            print("scripts/bench: there is no docker-compose of the second generation: name one with --compose2",
                  file=sys.stderr)
            return 1
        words = [*words, "--compose2", fetched.stdout.strip()]
    rows = []
    for module in ["deployments"] if args.peer_only else NAMES:
        if not wanted & set(NAMES[module]):
            continue
        command = [str(ROOT / "tests/e2e/sandbox"), sys.executable, __file__, "--inside", module, *words]
        done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            return done.returncode
        rows += json.loads(done.stdout)
    if args.json:
        print(json.dumps({"rows": rows}))
    else:
        print_rows(rows, args)
    return 0


def inside(args):
    module = importlib.import_module(args.inside)  # needs Debian's modules, which --help does not
    wanted = set(args.names or names()) & set(NAMES[args.inside])
    try:
        rows = module.measure(args, pathlib.Path(os.environ["LIGHTERMAN_SANDBOX"]), wanted)
    except (RuntimeError, AssertionError, OSError) as fault:
        print(f"scripts/bench: {fault}", file=sys.stderr)
        return 1
    print(json.dumps(rows))
    return 0


def print_rows(rows, args):
    if not rows:
        return
    print(f"{args.runs} run(s) of each, medians; {args.compose}")
    print(f"{'row':<40}{'unit':<7}{'ours':>9}{'peer':>9}{'ratio':>8}  peer")
    for row in rows:
        peer = "-" if row["peer"] is None else f"{row['peer']:.3f}"
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(f"{row['name']:<40}{row['unit']:<7}{row['ours']:>9.3f}{peer:>9}{ratio:>8}  {row['peer_name'] or '-'}")


def main():
    words = sys.argv[1:]
    args = parse(words)
    return inside(args) if args.inside else outside(args, words)


if __name__ == "__main__":
    sys.exit(main())
