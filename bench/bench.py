# SPDX-License-Identifier: Apache-2.0
"""Measures Lighterman against what a user would write instead. See scripts/bench --help."""
import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
PEER = "bench/peer-deploy.sh"
CASES = ("images_present", "images_to_pull")
SHARE = "deploy_share_compose_and_engine"
QUICK_RUNS, RUNS = 1, 5


def row_names():
    names = [f"deploy_{what}_{case}" for case in CASES for what in ("wall", "cpu")]
    return names + [SHARE]


class Parser(argparse.ArgumentParser):
    """Wrong usage ends with 64, as everywhere here."""

    def error(self, message):
        self.print_usage(sys.stderr)
        self.exit(64, f"{self.prog}: {message}\n")


def parse(words):
    about = ("Measures a deployment of five services, Lighterman against bench/peer-deploy.sh: same engine, "
             "registry, S3 and broker, in one run, by turns; medians. Needs root and `scripts/setup bench`. "
             "Everything runs in the tests' sandbox and is gone afterwards.")
    parser = Parser(prog="scripts/bench", description=about,
                    epilog="Rows: " + ", ".join(row_names()) + ". ratio = ours / peer's.")
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--quick", action="store_true", help="one run of each, under a minute")
    parser.add_argument("--runs", type=int, help=f"runs of each (default {RUNS})")
    parser.add_argument("--build", default=str(ROOT / "build"), help="build folder (default build)")
    parser.add_argument("--compose", default="/usr/bin/docker-compose", help="the docker-compose that both use")
    parser.add_argument("--peer-only", action="store_true", help="measure only the peer, and each of its steps")
    parser.add_argument("--steps", action="store_true", help="show the stages and steps of each side, too")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("names", nargs="*", metavar="NAME", help="only these rows (default all)")
    args = parser.parse_args(words)
    unknown = sorted(set(args.names) - set(row_names()))
    if unknown:
        parser.error(f"no row named {unknown[0]}; the rows are {', '.join(row_names())}")
    if args.runs is not None and args.runs < 1:
        parser.error("--runs must be at least 1")
    args.runs = args.runs or (QUICK_RUNS if args.quick else RUNS)
    return args


def missing(args):
    """The first thing that the measurement needs and that is not there, as a sentence; else None."""
    if os.geteuid() != 0:
        return "the measurement starts an engine of its own: run it as root"
    for name in ("dockerd", "docker", "docker-registry", "mosquitto", "swift-proxy-server", "memcached", "htpasswd",
                 "unshare", "aws"):
        if not shutil.which(name, path="/usr/sbin:/usr/bin:/sbin:/bin"):
            return f"'{name}' is not installed: run scripts/setup bench"
    if not os.access(args.compose, os.X_OK):
        return f"'{args.compose}' cannot be run: run scripts/setup bench, or name another with --compose"
    if not args.peer_only and not (pathlib.Path(args.build) / "bin/lightermand").exists():
        return f"'{args.build}/bin/lightermand' is not built: run scripts/build"
    return None


def outside(args, words):
    """Runs this program again in the tests' sandbox; whatever it starts there ends with it."""
    fault = missing(args)
    if fault:
        print(f"scripts/bench: {fault}", file=sys.stderr)
        return 1
    command = [str(ROOT / "tests/e2e/sandbox"), sys.executable, __file__, "--inside", *words]
    return subprocess.run(command, check=False).returncode


def inside(args):
    import deployments  # needs Debian's modules, which --help does not
    wanted = set(args.names or row_names())
    cases = [case for case in CASES if any(name.endswith(case) for name in wanted)]
    if SHARE in wanted and CASES[0] not in cases:
        cases.insert(0, CASES[0])
    try:
        results = deployments.measure(args, pathlib.Path(os.environ["LIGHTERMAN_SANDBOX"]), cases)
    except (RuntimeError, AssertionError, OSError) as fault:
        print(f"scripts/bench: {fault}", file=sys.stderr)
        return 1
    if args.peer_only or args.steps:
        print_steps(results, args)
    if args.peer_only:
        return 0
    rows = [row for row in make_rows(results) if row["name"] in wanted]
    if args.json:
        print(json.dumps({"rows": rows}))
    else:
        print_rows(rows, args)
    return 0


def median(runs, key):
    return statistics.median(run[key] for run in runs)


def make_rows(results):
    rows = []
    for case, sides in results.items():
        for what in ("wall", "cpu"):
            ours, peer = median(sides["ours"], what), median(sides["peer"], what)
            rows.append({"name": f"deploy_{what}_{case}", "unit": "s", "ours": round(ours, 3),
                         "peer": round(peer, 3), "peer_name": PEER, "ratio": round(ours / peer, 3)})
    if CASES[0] in results:
        rows.append({"name": SHARE, "unit": "share", "ours": round(median(results[CASES[0]]["ours"], "share"), 3),
                     "peer": None, "peer_name": None, "ratio": None})
    return rows


def print_rows(rows, args):
    print(f"A deployment of five services, {args.runs} run(s) of each, medians; {args.compose}")
    print(f"{'row':<36}{'unit':<7}{'ours':>9}{'peer':>9}{'ratio':>8}  peer")
    for row in rows:
        peer = "-" if row["peer"] is None else f"{row['peer']:.3f}"
        ratio = "-" if row["ratio"] is None else f"{row['ratio']:.2f}"
        print(f"{row['name']:<36}{row['unit']:<7}{row['ours']:>9.3f}{peer:>9}{ratio:>8}  {row['peer_name'] or '-'}")


def print_steps(results, args):
    print(f"Stages and steps, {args.runs} run(s), medians of wall time, seconds; {args.compose}", file=sys.stderr)
    for case, sides in results.items():
        for name, runs in sides.items():
            steps = [f"{step} {statistics.median(run['steps'][step] for run in runs):.2f}" for step in runs[0]["steps"]]
            print(f"{case}, {name}: wall {median(runs, 'wall'):.2f}, cpu {median(runs, 'cpu'):.2f}: {', '.join(steps)}",
                  file=sys.stderr)


def main():
    words = sys.argv[1:]
    args = parse(words)
    return inside(args) if args.inside else outside(args, words)


if __name__ == "__main__":
    sys.exit(main())
